// PyTorch in a Python process of its own, asked line by line; it takes its times itself.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { weightShape } from '../shapes';
import { type Case, type Operands, type Peer, type Runner, sampleStride } from './peer';

interface Answer {
  version: string;
  seconds: number;
  values: number[];
}

/** The Python that PARTIALCONV_TORCH_PYTHON names, else python3. @throws Error if it cannot import torch */
function findPython(): string {
  const python = process.env.PARTIALCONV_TORCH_PYTHON || 'python3';
  const { status, stderr, error } = spawnSync(python, ['-c', 'import torch'], { encoding: 'utf8' });
  if (status === 0) return python;
  throw new Error(
    `${python} cannot import torch (${error?.message ?? stderr.trim().split('\n').at(-1)}); PARTIALCONV_TORCH_PYTHON names another`,
  );
}

/** The process. One request is under way at a time. */
export class Torch {
  private readonly answers: AsyncIterator<string>;
  private prepared = 0;

  private constructor(private readonly child: ChildProcess) {
    if (child.stdout === null) throw new Error('torch: no pipe');
    this.answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** @throws Error if there is no Python with torch */
  static open(): Torch {
    return new Torch(spawn(findPython(), [join(__dirname, 'peer_torch.py')], { stdio: ['pipe', 'pipe', 'inherit'] }));
  }

  async ask(request: Record<string, unknown>): Promise<Answer> {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`torch: the Python process ended at ${JSON.stringify(request)}`);
    return JSON.parse(value) as Answer;
  }

  /** Something that peer_torch.py knows how to run, on these arrays; every stride-th value of its result is a sample. */
  async prepare(what: Record<string, unknown>, arrays: Readonly<Record<string, Float32Array>>, stride: number): Promise<Runner> {
    const id = ++this.prepared;
    const { pass } = what;
    const folder = mkdtempSync(join(tmpdir(), 'partialconv-bench-'));
    const files = Object.fromEntries(Object.keys(arrays).map((name) => [name, join(folder, name)]));
    for (const [name, array] of Object.entries(arrays)) writeFileSync(files[name] as string, array);
    await this.ask({ command: 'prepare', id, ...what, files });
    rmSync(folder, { recursive: true });
    return {
      time: async (iterations) => (await this.ask({ command: 'time', id, pass, iterations })).seconds,
      sample: async () => Float32Array.from((await this.ask({ command: 'sample', id, stride })).values),
      close: async () => void (await this.ask({ command: 'close', id })),
    };
  }

  close(): void {
    this.child.stdin?.end();
  }
}

/** A case of a convolution, as peer_torch.py takes it. */
export function convRequest(what: Case, operands: Operands): Record<string, unknown> {
  const { shape, op, pass, threads, holes } = what;
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = shape;
  const shapes = { x: shape.x, weight: weightShape(shape), bias: [shape.out], mask: operands.maskShape };
  return { op, pass, threads, multiChannel: holes === 'multi', ...shapes, options: { stride, padding, dilation, groups } };
}

export async function torch(): Promise<Peer> {
  const process = Torch.open();
  const { version } = await process.ask({ command: 'version' });
  return {
    name: 'PyTorch',
    version,
    prepare(what, operands) {
      const { maskShape: _, ...arrays } = operands;
      return process.prepare(convRequest(what, operands), arrays, sampleStride(what.shape));
    },
    close: () => process.close(),
  };
}
