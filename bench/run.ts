// npm run bench [-- --only <text> --threads 1,2 --quick --json out.json --markdown out.md --against before.json]: ours and the peers side by side.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { contest, type Runnable, runnerOf } from './contest';
import { formatMarkdown } from './markdown';
import { race } from './measure';
import { ours, pc } from './peers/ours';
import { type Case, operandsOf, type Peer } from './peers/peer';
import { torch } from './peers/torch';

import { formatComparison, formatFooter, formatResult, type Report, type Result, threadsOf } from './report';
import { buildRoof, measureRoof } from './roof';
import { type Contestant, ROWS, type Row, type Who } from './rows';
import { bytes, flops, product, SHAPES, type Shape, weightShape } from './shapes';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    threads: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    markdown: { type: 'string' },
    against: { type: 'string' },
  },
});

const SECONDS = options.quick ? 0.2 : 1;
const threadCounts = options.threads?.split(',').map(Number) ?? [1, 2].filter((n) => n <= availableParallelism());
const rows = ROWS.filter((row) => `${row.shape.name}, ${row.title}`.includes(options.only ?? ''));

/** Opens every peer; one that is not there is named in the report. */
async function openPeers(missing: string[]): Promise<Map<Who, Peer>> {
  const peers = new Map<Who, Peer>([
    ['ours', ours('partialconv')],
    ['ours, mask cached', ours('partialconv', { cachedMask: true })],
  ]);
  const open: [Who, () => Peer | Promise<Peer>][] = [
    ['PyTorch', torch],
    ['onnxruntime', async () => (await import('./peers/onnxruntime.js')).onnxruntime()],
    ['tfjs wasm', async () => (await import('./peers/tfjs.js')).tfjs()],
  ];
  for (const [who, opener] of open) {
    try {
      peers.set(who, await opener());
    } catch (error) {
      missing.push(`${who}: ${(error as Error).message}`);
    }
  }
  return peers;
}

const describe = ({ op, holes }: Contestant): string => (op === 'conv' ? 'Conv' : holes === 'full' ? 'without holes' : 'PartialConv');

async function runRow(peers: Map<Who, Peer>, row: Row, threads: number, roof: number): Promise<Result> {
  const contestants: Runnable[] = [];
  for (const contestant of row.contestants) {
    const { who, op, holes, atLeast } = contestant;
    const what: Case = { shape: row.shape, op, pass: row.pass, holes, threads };
    const peer = peers.get(who);
    const runner = await runnerOf(peer && (() => peer.prepare(what, operandsOf(what))));
    contestants.push({ who, what: describe(contestant), computes: op + holes, atLeast, runner });
  }
  const entries = await contest(`${row.shape.name}, ${row.title}`, contestants, SECONDS);
  const own = 1e-3 * (entries[0]?.ms as number);
  const { x, out, kernel, stride = 1, dilation = 1, groups = 1 } = row.shape;
  const geometry = `[${x}] -> ${out}, K ${kernel}, stride ${stride}, dilation ${dilation}, groups ${groups}`;
  // The two gradients cost as much as the forward pass each.
  const gflops = ((row.pass === 'training' ? 3 : 1) * flops(row.shape)) / own / 1e9;
  return {
    title: row.title,
    shape: row.shape.name,
    geometry,
    threads,
    gflops,
    roofShare: gflops / roof,
    gbs: bytes(row.shape) / own / 1e9,
    entries,
  };
}

/** Microseconds of a forward call on the tiny shape as a user would write it, JavaScript included. */
async function tinyCalls(): Promise<Record<string, number>> {
  const shape = SHAPES.find(({ name }) => name === 'tiny') as Shape;
  const result: Record<string, number> = {};
  for (const [label, op, holes] of [
    ['Conv1d', 'conv', 'none'],
    ['PartialConv1d', 'partial', 'single'],
  ] as const) {
    const what: Case = { shape, op, holes, pass: 'forward', threads: 1 };
    const runner = await ours('', { cachedMask: true }).prepare(what, operandsOf(what));
    const [timing] = await race([runner], SECONDS);
    result[label] = 1e6 * (timing?.median ?? Number.NaN);
  }
  return result;
}

/** Peak memory of one forward pass beyond operands and output, in a process of its own, beside the rule's bound. */
function memoryOf(shape: Shape, threads: number): Report['memory'] {
  const what: Case = { shape, op: 'partial', holes: 'single', pass: 'forward', threads };
  // Every buffer in pages of its own, so that no freed memory is used again unseen.
  const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: '16384' };
  const args = ['--expose-gc', '--import', 'tsx', join(__dirname, 'memory.ts'), JSON.stringify(what)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`memory.ts failed: ${stderr}`);
  const padded = (shape.x[1] as number) * product(shape.x.slice(2).map((length) => length + 2 * (shape.padding ?? 0)));
  const bound = 4 * (2 * product(weightShape(shape)) + threads * padded);
  return [{ shape: shape.name, threads, bytes: (JSON.parse(stdout) as { bytes: number }).bytes, bound }];
}

async function main(): Promise<void> {
  const missing: string[] = [];
  const peers = await openPeers(missing);
  buildRoof();
  const versions = Object.fromEntries([...peers.values()].map(({ name, version }) => [name, version]));
  const machine = { cpu: cpus()[0]?.model ?? '?', cpus: availableParallelism(), node: process.version, simd: pc.info().simd };
  const report: Report = { machine, versions, missing, roofs: {}, results: [], tinyCall: {}, memory: [] };
  console.log(`${machine.cpu}, ${machine.cpus} CPUs, ${machine.simd}, Node ${machine.node}; ${JSON.stringify(versions)}`);
  for (const line of missing) console.log(`missing: ${line}`);
  for (const threads of threadCounts) {
    const roof = measureRoof(threads);
    report.roofs[threads] = roof;
    console.log(
      `\nroof with ${threads} threads: ${roof.gflops} GFLOP/s, copy ${roof.copyGBs} GB/s. Ours (masked cells count as computed) | the others: their time = how many times as fast we are`,
    );
    for (const row of rows) {
      const result = await runRow(peers, row, threads, roof.gflops);
      report.results.push(result);
      console.log(formatResult(result));
    }
  }
  if (options.only === undefined) {
    Object.assign(report.tinyCall, await tinyCalls());
    const largest = SHAPES.filter(({ name }) => name === 'speech' || name === 'audio');
    if (process.platform === 'linux') for (const shape of largest) report.memory.push(...threadCounts.flatMap((n) => memoryOf(shape, n)));
    console.log(`\n${formatFooter(report)}`);
  }
  for (const peer of peers.values()) await peer.close();
  if (options.against)
    console.log(`\n${formatComparison(report.results, (JSON.parse(readFileSync(options.against, 'utf8')) as Report).results, threadsOf)}`);
  if (options.markdown) writeFileSync(options.markdown, `${formatMarkdown(report.results, threadsOf)}\n`);
  if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
}

void main();
