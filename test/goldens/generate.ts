// Deterministic inputs of the goldens.

/** Row-major float64 values with a shape: the shape of the reference's arrays. */
export interface Generated {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly complex?: boolean;
}

/** Twin of values() in common.py. X, W, B, G, M1, M2 can be worked out by hand; they take no seed. */
export type GeneratorKind = 'exact' | 'fine' | 'mask' | 'sparse' | 'soft' | 'ones' | 'X' | 'W' | 'B' | 'G' | 'M1' | 'M2';

function hash(index: number, seed: number): number {
  let h = (Math.imul(index + 1, 0x9e3779b1) + Math.imul(seed, 0x85ebca6b)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

const GENERATORS: Readonly<Record<GeneratorKind, (n: number, seed: number) => number>> = {
  exact: (n, seed) => ((hash(n, seed) >>> 24) - 128) / 64,
  fine: (n, seed) => ((hash(n, seed) >>> 8) - 2 ** 23) / 2 ** 22,
  mask: (n, seed) => (hash(n, seed) >>> 29 < 5 ? 1 : 0),
  sparse: (n, seed) => (hash(n, seed) >>> 30 < 1 ? 1 : 0),
  soft: (n, seed) => Math.min(Math.max((hash(n, seed) >>> 28) - 4, 0), 8) / 8,
  ones: () => 1,
  X: (n) => (((37 * n + 11) % 64) - 32) / 8,
  W: (n) => (((29 * n + 5) % 32) - 16) / 16,
  B: (n) => (((13 * n + 3) % 16) - 8) / 4,
  G: (n) => (((n + 1) % 16) - 8) / 8,
  M1: (n) => ((23 * n + 7) % 10 < 6 ? 1 : 0),
  M2: (n) => ((23 * n + 7) % 10 < 3 ? 1 : 0),
};

export function generate(kind: GeneratorKind, seed: number, shape: readonly number[], complex = false): Generated {
  const size = shape.reduce((product, n) => product * n, complex ? 2 : 1);
  const make = GENERATORS[kind];
  const data = Float64Array.from({ length: size }, (_, n) => make(n, seed));
  return complex ? { shape, data, complex } : { shape, data };
}
