// Ops that do nothing but move memory, with the bytes that each has to move.
import type * as Library from '../../ts/index';
import { pc } from '../peers/ours';
import { type Runner, uniform } from '../peers/peer';
import { product } from '../shapes';
import { timed, valuesOf } from './ours';

interface Inputs {
  readonly x: Library.Tensor;
  readonly other: Library.Tensor;
  /** [N, 1, L] */
  readonly mask: Library.Tensor;
}

interface MemoryOp {
  readonly run: (inputs: Inputs) => Library.Tensor;
  /** Bytes for every element of x, in float32, where each operand is read once and the result written once; the mask is left out. */
  readonly bytes: number;
}

/** The same names as in peers/torch_ops.py. */
export const MEMORY_OPS: Readonly<Record<string, MemoryOp>> = {
  copy: { run: ({ x }) => x.clone(), bytes: 8 },
  relu: { run: ({ x }) => x.relu(), bytes: 8 },
  add: { run: ({ x, other }) => x.add(other), bytes: 12 },
  sum: { run: ({ x }) => x.sum(), bytes: 4 },
  cast: { run: ({ x }) => pc.cast(x, 'bfloat16'), bytes: 6 },
  applyMask: { run: ({ x, mask }) => pc.applyMask(x, mask), bytes: 8 },
  batchNorm: { run: ({ x }) => pc.batchNorm(x), bytes: 12 },
  loss: { run: ({ x, other, mask }) => pc.maskedMseLoss(x, other, mask), bytes: 8 },
};

/** The operands of every op, the same for everyone. */
export function memoryArrays([n = 1, c = 1, l = 1]: readonly number[]): Record<keyof Inputs, Float32Array> {
  return { x: uniform(n * c * l, 1), other: uniform(n * c * l, 2), mask: uniform(n * l, 3).map((v) => Number(v > -0.25)) };
}

export function prepareMemoryOp(name: string, shape: readonly number[], arrays: Record<keyof Inputs, Float32Array>): Runner {
  const { run } = MEMORY_OPS[name] as MemoryOp;
  const onGpu = (array: Float32Array, size: readonly number[]) => pc.tensor(array, { shape: [...size] }).to('cuda');
  const [n = 1, , l = 1] = shape;
  const inputs = { x: onGpu(arrays.x, shape), other: onGpu(arrays.other, shape), mask: onGpu(arrays.mask, [n, 1, l]) };
  return {
    time: (iterations) => timed(() => pc.tidy(() => void run(inputs)), iterations),
    sample: () => pc.tidy(() => everyNth(valuesOf(run(inputs)), memoryStride(shape))),
    close() {
      for (const t of Object.values(inputs)) t.dispose();
    },
  };
}

export const memoryStride = (shape: readonly number[]): number => Math.max(1, Math.floor(product(shape) / 64));

const everyNth = (values: Float32Array, stride: number): Float32Array => values.filter((_, i) => i % stride === 0);
