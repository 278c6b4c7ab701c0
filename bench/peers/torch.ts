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

/** One request under way at a time. */
class Connection {
  private readonly answers: AsyncIterator<string>;

  constructor(private readonly child: ChildProcess) {
    if (child.stdout === null) throw new Error('torch: no pipe');
    this.answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async ask(request: Record<string, unknown>): Promise<Answer> {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`torch: the Python process ended at ${JSON.stringify(request)}`);
    return JSON.parse(value) as Answer;
  }
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

let cases = 0;

async function prepare(connection: Connection, what: Case, operands: Operands): Promise<Runner> {
  const { shape, op, pass, threads, holes } = what;
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = shape;
  const id = ++cases;
  const folder = mkdtempSync(join(tmpdir(), 'partialconv-bench-'));
  const names = ['x', 'weight', 'bias', 'mask'] as const;
  const files = Object.fromEntries(names.map((name) => [name, join(folder, name)]));
  for (const name of names) writeFileSync(files[name] as string, operands[name]);
  const shapes = { x: shape.x, weight: weightShape(shape), bias: [shape.out], mask: operands.maskShape };
  const options = { stride, padding, dilation, groups };
  await connection.ask({ command: 'prepare', id, op, pass, threads, multiChannel: holes === 'multi', ...shapes, options, files });
  rmSync(folder, { recursive: true });
  return {
    time: async (iterations) => (await connection.ask({ command: 'time', id, pass, iterations })).seconds,
    sample: async () => Float32Array.from((await connection.ask({ command: 'sample', id, stride: sampleStride(shape) })).values),
    close: async () => void (await connection.ask({ command: 'close', id })),
  };
}

export async function torch(): Promise<Peer> {
  const child = spawn(findPython(), [join(__dirname, 'peer_torch.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const connection = new Connection(child);
  const { version } = await connection.ask({ command: 'version' });
  return {
    name: 'PyTorch',
    version,
    prepare: (what, operands) => prepare(connection, what, operands),
    close: () => void child.stdin?.end(),
  };
}
