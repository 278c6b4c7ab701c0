// Padding by itself: constant, reflect, replicate, circular, negative numbers crop.

import { type PaddingMode, padSource } from './geometry';
import { at, sizeOf, type Values, values } from './values';

/** One axis: outer x length x inner; f(out, source or -1) over flat indices. */
function eachCell(shape: readonly number[], axis: number, source: Int32Array, f: (out: number, from: number) => void): void {
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  for (let a = 0; a < outer; a++)
    for (let cell = 0; cell < source.length; cell++)
      for (let b = 0; b < inner; b++) {
        const from = at(source, cell);
        f((a * source.length + cell) * inner + b, from < 0 ? -1 : (a * at(shape, axis) + from) * inner + b);
      }
}

const sourceMode = (mode: string): PaddingMode => (mode === 'constant' ? 'zeros' : (mode as PaddingMode));

const resized = (shape: readonly number[], axis: number, size: number): number[] => shape.map((n, a) => (a === axis ? size : n));

/** pads: [before, after] of the last axis, then of the one before it, ... as PyTorch's F.pad. */
export function pad(x: Values, pads: readonly number[], mode = 'constant', value = 0): Values {
  let out = x;
  for (let k = 0; k < pads.length / 2; k++) {
    const axis = x.shape.length - 1 - k;
    const source = padSource(at(x.shape, axis), at(pads, 2 * k), at(pads, 2 * k + 1), sourceMode(mode));
    const [from, to] = [out, values(resized(out.shape, axis, source.length))];
    eachCell(from.shape, axis, source, (o, s) => {
      to.data[o] = s < 0 ? value : at(from.data, s);
    });
    out = to;
  }
  return out;
}

/** Every padded cell gives its gradient to its source; those of the constant are dropped. */
export function padBackward(dy: Values, x: readonly number[], pads: readonly number[], mode = 'constant'): Values {
  let grad = dy;
  for (let k = pads.length / 2 - 1; k >= 0; k--) {
    const axis = x.length - 1 - k;
    const source = padSource(at(x, axis), at(pads, 2 * k), at(pads, 2 * k + 1), sourceMode(mode));
    const [from, to] = [grad, values(resized(grad.shape, axis, at(x, axis)))];
    eachCell(to.shape, axis, source, (o, s) => {
      if (s >= 0) to.data[s] = at(to.data, s) + at(from.data, o);
    });
    grad = to;
  }
  return grad;
}
