// Linear and bilinear resize with aligned corners.

import { at, sizeOf, type Values, values } from './values';

interface Tap {
  readonly low: number;
  readonly high: number;
  readonly fraction: number;
}

/** Output i reads src = i (L - 1) / (L' - 1), 0 where L' = 1: x[low] (1 - fraction) + x[high] fraction. */
function taps(length: number, target: number): Tap[] {
  return Array.from({ length: target }, (_, i) => {
    const source = target > 1 ? (i * (length - 1)) / (target - 1) : 0;
    const low = Math.min(Math.floor(source), length - 1);
    return { low, high: Math.min(low + 1, length - 1), fraction: source - low };
  });
}

/** f(y, x, weight) for every non-zero weight; the last size.length axes are resized. */
function contributions(shape: readonly number[], size: readonly number[], f: (y: number, x: number, weight: number) => void): void {
  const dims = size.length;
  const space = shape.slice(shape.length - dims);
  const [rows, cols] = dims === 1 ? [1, at(space, 0)] : [at(space, 0), at(space, 1)];
  const [rowTaps, colTaps] = [dims === 1 ? taps(1, 1) : taps(rows, at(size, 0)), taps(cols, at(size, dims - 1))];
  const planes = sizeOf(shape.slice(0, shape.length - dims));
  let y = 0;
  for (let plane = 0; plane < planes; plane++)
    for (const row of rowTaps)
      for (const col of colTaps) {
        for (const [i, wi] of [[row.low, 1 - row.fraction] as const, [row.high, row.fraction] as const])
          for (const [j, wj] of [[col.low, 1 - col.fraction] as const, [col.high, col.fraction] as const])
            if (wi * wj !== 0) f(y, (plane * rows + i) * cols + j, wi * wj);
        y++;
      }
}

/** Sizes for a scale factor: floor(L * scale). */
export function scaledSize(space: readonly number[], scale: readonly number[]): number[] {
  return space.map((n, a) => Math.floor(n * at(scale, a)));
}

/** y = weighted sum of the two (1-D) or four (2-D) neighbours. */
export function resize(x: Values, size: readonly number[]): Values {
  const y = values([...x.shape.slice(0, x.shape.length - size.length), ...size]);
  contributions(x.shape, size, (yi, xi, weight) => {
    y.data[yi] = at(y.data, yi) + at(x.data, xi) * weight;
  });
  return y;
}

/** dy scattered with the same weights. */
export function resizeBackward(dy: Values, x: readonly number[], size: readonly number[]): Values {
  const dx = values(x);
  contributions(x, size, (yi, xi, weight) => {
    dx.data[xi] = at(dx.data, xi) + at(dy.data, yi) * weight;
  });
  return dx;
}
