// What the benchmark asks of a library: prepare a convolution, then run it a number of times.
import { outputShape, product, type Shape, weightShape } from '../shapes';

/**
 * none: no mask; single: [N, 1, ...] with runs of holes; multi: [N, C, ...]; full: single without holes; half: single, the second half
 * of every series or picture empty in one run; columns: single, the right half of every row empty.
 */
export type Holes = 'none' | 'single' | 'multi' | 'full' | 'half' | 'columns';

export interface Case {
  readonly shape: Shape;
  readonly op: 'conv' | 'partial';
  /** training: forward, then the gradients of x, weight and bias for a gradient of ones. */
  readonly pass: 'forward' | 'training';
  readonly holes: Holes;
  readonly threads: number;
}

/** The operands, the same for every peer; mask is empty for holes: 'none'. */
export interface Operands {
  readonly x: Float32Array;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly mask: Float32Array;
  readonly maskShape: readonly number[];
}

export interface Runner {
  /** Runs the case so many times; seconds for all of them. */
  time(iterations: number): Promise<number> | number;
  /** Some values of the output (samplePositions), to see that all peers compute the same. */
  sample(): Promise<Float32Array> | Float32Array;
  close(): void | Promise<void>;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  /** @throws Unsupported where the library has no such operation */
  prepare(what: Case, operands: Operands): Promise<Runner> | Runner;
  close(): void | Promise<void>;
}

/** A library lacks an operation; not an error of the benchmark. */
export class Unsupported extends Error {}

const SAMPLES = 64;

/** Positions in the flat output whose values are compared: the first of every stride-th part. */
export const sampleStride = (shape: Shape): number => Math.max(1, Math.floor(product(outputShape(shape)) / SAMPLES));

export function sampleOf(shape: Shape, y: Float32Array): Float32Array {
  const stride = sampleStride(shape);
  return Float32Array.from({ length: Math.floor(y.length / stride) }, (_, i) => y[i * stride] as number);
}

/** Uniform in [-0.5, 0.5), the same on every machine (a 32-bit xorshift). */
export function uniform(length: number, seed: number): Float32Array {
  const values = new Float32Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = (state >>> 0) / 2 ** 32 - 0.5;
  }
  return values;
}

const MEAN_RUN = 24;

/** Rows of 1 with runs of 0: a quarter of the cells are missing. */
function runsOfHoles(rows: number, length: number): Float32Array {
  const mask = new Float32Array(rows * length).fill(1);
  const random = uniform(4 * mask.length, 77).values();
  const next = () => (random.next().value as number) + 0.5;
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < length; ) {
      at += Math.ceil(next() * 6 * MEAN_RUN); // valid
      const end = Math.min(length, at + Math.ceil(next() * 2 * MEAN_RUN));
      if (at < end) mask.fill(0, row * length + at, row * length + end);
      at = Math.max(at, end);
    }
  }
  return mask;
}

function maskOf({ shape, holes }: Case): { mask: Float32Array; maskShape: number[] } {
  const [n = 1, c = 1, ...size] = shape.x;
  if (holes === 'none') return { mask: new Float32Array(0), maskShape: [] };
  const maskShape = [n, holes === 'multi' ? c : 1, ...size];
  const last = size.at(-1) as number;
  const rows = product(maskShape) / last;
  if (holes === 'single' || holes === 'multi') return { mask: runsOfHoles(rows, last), maskShape };
  const mask = new Float32Array(rows * last).fill(1);
  const run = holes === 'half' ? product(size) : last;
  if (holes !== 'full') for (let start = 0; start < mask.length; start += run) mask.fill(0, start + run / 2, start + run);
  return { mask, maskShape };
}

export function operandsOf(what: Case): Operands {
  const { shape } = what;
  const weight = uniform(product(weightShape(shape)), 2);
  return { x: uniform(product(shape.x), 1), weight, bias: uniform(shape.out, 3), ...maskOf(what) };
}
