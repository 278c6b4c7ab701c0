// Several channels of equal length in one float32 array, row after row, NaN in the holes: what the layers take.
import { type Tensor, tensor } from 'partialconv';

export interface Signals {
  readonly data: Float32Array;
  readonly channels: number;
  readonly length: number;
}

export function fromRows(rows: readonly ArrayLike<number>[]): Signals {
  const length = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * length);
  rows.forEach((row, c) => {
    data.set(row, c * length);
  });
  return { data, channels: rows.length, length };
}

export const row = ({ data, length }: Signals, c: number): Float32Array => data.subarray(c * length, (c + 1) * length);

/** The same signals with every value replaced. */
export const map = (x: Signals, value: (v: number, i: number) => number): Signals => ({ ...x, data: x.data.map(value) });

export const toTensor = ({ data, channels, length }: Signals): Tensor => tensor(data, { shape: [channels, length] });

/** Correlation of two rows of mean about 0, `lag` steps apart, over the places where both are known; 0 without any. */
export function correlation(a: Float32Array, b: Float32Array, lag = 0): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let t = lag; t < b.length; t++) {
    const [u, v] = [a[t - lag] ?? Number.NaN, b[t] ?? Number.NaN];
    if (Number.isNaN(u * v)) continue;
    ab += u * v;
    aa += u * u;
    bb += v * v;
  }
  return aa * bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
}
