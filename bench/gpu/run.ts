// npm run bench:gpu [-- --only <text> --precision TF32,bfloat16 --quick --json out.json --markdown out.md --against before.json]: ours and
// PyTorch on the same GPU in the same run. Dry run without a GPU (the tests' fake): --small --torch-device cpu.
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { contest, type Runnable, runnerOf } from '../contest';
import { formatMarkdown } from '../markdown';
import { pc } from '../peers/ours';
import { type Case, operandsOf, type Runner, sampleStride } from '../peers/peer';
import { convRequest, Torch } from '../peers/torch';
import { entryText, fixed, formatComparison, type Timed, time } from '../report';
import { bytes, flops, product } from '../shapes';
import { MEMORY_OPS, memoryArrays, memoryStride, prepareMemoryOp } from './memory_ops';
import { dtypeOf, prepareOurs } from './ours';
import { type ConvRow, convRows, memoryShape, PRECISIONS, type Precision, unetShape, type Who } from './rows';
import { prepareUNet, unetArrays } from './unet';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    precision: { type: 'string' },
    quick: { type: 'boolean', default: false },
    small: { type: 'boolean', default: false },
    'torch-device': { type: 'string', default: 'cuda' },
    json: { type: 'string' },
    markdown: { type: 'string' },
    against: { type: 'string' },
  },
});
const SECONDS = options.small ? 0.01 : options.quick ? 0.1 : 0.5;
/** Of the largest value: what products of rounded factors may differ by. */
const TOLERANCE: Readonly<Record<Precision, number>> = { TF32: 5e-3, float16: 2e-2, bfloat16: 5e-2 };

interface Result extends Timed {
  readonly precision: Precision | 'float32';
  readonly gflops?: number;
  readonly gbs: number;
  /** Of the measured bandwidth of a copy; for ops that move memory. */
  readonly copyShare?: number;
}

interface Report {
  readonly machine: Record<string, unknown>;
  readonly versions: Record<string, string>;
  readonly missing: string[];
  readonly results: Result[];
}

const precisionOf = ({ precision }: Result): string => precision;
const wanted = (shape: string, title: string): boolean => `${shape}, ${title}`.includes(options.only);

let torch: Torch | null = null;

/** PyTorch's way to run something, with settings; undefined where there is no PyTorch. */
function byTorch(
  request: Record<string, unknown>,
  arrays: Record<string, Float32Array>,
  stride: number,
): (() => Promise<Runner>) | undefined {
  const there = torch;
  return there === null
    ? undefined
    : () => there.prepare({ device: options['torch-device'], threads: 1, pass: 'forward', ...request }, arrays, stride);
}

function prepareConv(who: Who, what: Case, precision: Precision): Promise<Runner | string> {
  const operands = operandsOf(what);
  if (who.startsWith('ours')) {
    const way = { cachedMask: who !== 'ours', compiled: who === 'ours, compiled' };
    return runnerOf(() => prepareOurs(what, precision, operands, way));
  }
  const { maskShape: _, ...arrays } = operands;
  const settings = { dtype: dtypeOf(precision), channelsLast: who === 'cuDNN NHWC', compile: who === 'torch.compile' };
  return runnerOf(byTorch({ ...convRequest(what, operands), ...settings }, arrays, sampleStride(what.shape)));
}

async function runConv(row: ConvRow, precision: Precision): Promise<Result> {
  const { shape, title, pass } = row;
  const contestants: Runnable[] = [];
  for (const { who, op, holes, atLeast } of row.contestants) {
    const runner = await prepareConv(who, { shape, op, pass, holes, threads: 1 }, precision);
    contestants.push({ who, what: op, computes: op + holes, atLeast, runner });
  }
  const entries = await contest(`${shape.name}, ${title}, ${precision}`, contestants, SECONDS, TOLERANCE[precision]);
  const seconds = 1e-3 * (entries[0]?.ms as number);
  // The two gradients cost as much as the forward pass each.
  const passes = pass === 'training' ? 3 : 1;
  const share = precision === 'TF32' ? 1 : 0.5;
  const gflops = (passes * flops(shape)) / seconds / 1e9;
  return { title, shape: shape.name, precision, gflops, gbs: (share * bytes(shape)) / seconds / 1e9, entries };
}

/** copyGBs: the bandwidth of PyTorch's copy, or of ours where there is no PyTorch; 0 while that is measured. */
async function runMemoryOp(name: string, copyGBs: number): Promise<Result> {
  const shape = memoryShape(options.small);
  const arrays = memoryArrays(shape);
  const contestants = [
    { who: 'ours', runner: await runnerOf(() => prepareMemoryOp(name, shape, arrays)) },
    { who: 'PyTorch', runner: await runnerOf(byTorch({ op: name, x: shape }, arrays, memoryStride(shape))) },
  ].map((each): Runnable => ({ ...each, what: name, computes: name }));
  const entries = await contest(name, contestants, SECONDS, name === 'cast' ? TOLERANCE.bfloat16 : 1e-3);
  const seconds = 1e-3 * (entries[0]?.ms as number);
  const gbs = ((MEMORY_OPS[name]?.bytes ?? 0) * product(shape)) / seconds / 1e9;
  return { title: name, shape: `[${shape}]`, precision: 'float32', gbs, copyShare: gbs / copyGBs, entries };
}

async function runUNet(precision: Precision): Promise<Result> {
  const shape = unetShape(options.small);
  const arrays = unetArrays(shape);
  const request = { op: 'unet', ...shape, dtype: dtypeOf(precision), pass: 'training' };
  const contestants = [
    { who: 'ours', runner: await runnerOf(() => prepareUNet(shape, precision, arrays)) },
    { who: 'PyTorch', atLeast: 1, runner: await runnerOf(byTorch(request, arrays, 1)) },
    { who: 'torch.compile', runner: await runnerOf(byTorch({ ...request, compile: true }, arrays, 1)) },
  ].map((each): Runnable => ({ ...each, what: 'step', computes: 'loss' }));
  const entries = await contest(`U-net, ${precision}`, contestants, SECONDS, TOLERANCE[precision]);
  return { title: 'training step', shape: `U-net on [${shape.x}]`, precision, gbs: Number.NaN, entries };
}

function print(result: Result): void {
  const [own, ...others] = result.entries;
  const share = result.copyShare === undefined ? '' : ` ${(100 * result.copyShare).toFixed(0)} % of a copy`;
  const speed = result.gflops === undefined ? '' : ` ${fixed(result.gflops / 1e3)} TFLOP/s`;
  const bandwidth = Number.isNaN(result.gbs) ? '' : ` ${fixed(result.gbs)} GB/s`;
  const name = `${result.shape}, ${result.title}`.padEnd(50);
  console.log(
    `${name} ${result.precision.padEnd(8)} ${time(own?.ms ?? Number.NaN)}${speed}${bandwidth}${share} | ${others.map(entryText).join(' | ')}`,
  );
}

/** Nothing where a row fails: that is told, and the others are measured all the same. */
async function* attempt(run: () => Promise<Result>): AsyncGenerator<Result> {
  try {
    yield await run();
  } catch (error) {
    console.error(`bench:gpu: FAILED: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}

async function* runAll(): AsyncGenerator<Result> {
  const chosen = PRECISIONS.filter((precision) => options.precision?.split(',').includes(precision) ?? true);
  const memory = Object.keys(MEMORY_OPS).filter((name) => wanted('memory', name));
  if (memory.length > 0) {
    const { entries } = await runMemoryOp('copy', 0);
    const fastest = Math.min(...entries.flatMap(({ ms }) => (ms === undefined ? [] : [ms])));
    const copyGBs = (8 * product(memoryShape(options.small))) / fastest / 1e6;
    console.log(`copy bandwidth: ${fixed(copyGBs)} GB/s, bytes read and written`);
    for (const name of memory) yield* attempt(() => runMemoryOp(name, copyGBs));
  }
  for (const precision of chosen) {
    for (const row of convRows(options.small)) if (wanted(row.shape.name, row.title)) yield* attempt(() => runConv(row, precision));
    if (wanted('U-net', 'training step')) yield* attempt(() => runUNet(precision));
  }
}

async function main(): Promise<void> {
  const { version, node, cuda } = pc.info();
  if (!cuda.available) {
    console.error(`bench:gpu: no CUDA device can be used here, and nothing was measured: ${cuda.reason}`);
    process.exitCode = 1;
    return;
  }
  const machine = { gpu: cuda.devices[0], cudnn: cuda.cudnn, node };
  const report: Report = { machine, versions: { partialconv: version }, missing: [], results: [] };
  try {
    torch = Torch.open();
    report.versions.PyTorch = (await torch.ask({ command: 'version' })).version;
  } catch (error) {
    report.missing.push(`PyTorch: ${(error as Error).message}`);
  }
  console.log(`${cuda.devices[0]}, ${cuda.cudnn}, Node ${node}; ${JSON.stringify(report.versions)}`);
  for (const line of report.missing) console.log(`missing: ${line}`);
  for await (const result of runAll()) {
    report.results.push(result);
    print(result);
    if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`); // what there is, should time run out
  }
  torch?.close();
  if (options.against) {
    const before = JSON.parse(readFileSync(options.against, 'utf8')) as Report;
    console.log(`\n${formatComparison(report.results, before.results, precisionOf)}`);
  }
  if (options.markdown) writeFileSync(options.markdown, `${formatMarkdown(report.results, precisionOf)}\n`);
}

void main();
