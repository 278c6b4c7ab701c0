// Partial convolution, forward and backward, by its definition.

import { biasGradient, type ConvGradients, channelOf, conv, convBackward } from './conv';
import { type MaskStatistics, maskRatio, type PartialOptions, resolveMask, statisticAt, updatedMask } from './mask';
import { at, type Values, values } from './values';

export interface PartialResult extends MaskStatistics {
  readonly y: Values;
  readonly updatedMask: Values;
}

/** select(m, x) = m == 0 ? 0 : x * m: what is under a hole is not read, so NaN there stays there. mask [N|1, 1|C, ...]. */
export function select(mask: Values, x: Values, dims: number): Values {
  const out = values(x.shape);
  for (let i = 0; i < out.data.length; i++) {
    const m = statisticAt(mask, x.shape, dims, i);
    out.data[i] = m === 0 ? 0 : at(x.data, i) * m;
  }
  return out;
}

/** y = updated == 0 ? 0 : (conv(select(m, x)) * ratio + b) * updated. isFloat: the mask's dtype is a float. */
export function partialConv(
  x: Values,
  mask: Values | null,
  weight: Values,
  bias: Values | null,
  options: PartialOptions = {},
  isFloat = true,
): PartialResult {
  const dims = weight.shape.length - 2;
  const m = resolveMask(mask, x.shape, dims, options.multiChannel, isFloat);
  const statistics = maskRatio(m, weight.shape, options);
  const y = conv(select(m, x, dims), weight, null, options);
  for (let i = 0; i < y.data.length; i++) {
    const ratio = statisticAt(statistics.ratio, y.shape, dims, i);
    const updated = statisticAt(statistics.updated, y.shape, dims, i);
    const b = bias ? at(bias.data, channelOf(y.shape, dims, i)) : 0;
    y.data[i] = updated === 0 ? 0 : (at(y.data, i) * ratio + b) * updated;
  }
  return { y, ...statistics, updatedMask: updatedMask(statistics, x.shape, weight.shape, options) };
}

/**
 * The mask is a constant: q = dy * ratio * updated; dw = bwW(select(m, x), q); dx = m == 0 ? 0 : m * bwX(w, q);
 * db = sum of dy * updated. A window without a valid value reaches no gradient.
 */
export function partialConvBackward(
  x: Values,
  mask: Values | null,
  weight: Values,
  dy: Values,
  options: PartialOptions = {},
  isFloat = true,
): ConvGradients {
  const dims = weight.shape.length - 2;
  const m = resolveMask(mask, x.shape, dims, options.multiChannel, isFloat);
  const { ratio, updated } = maskRatio(m, weight.shape, options);
  const [q, toBias] = [values(dy.shape), values(dy.shape)];
  for (let i = 0; i < dy.data.length; i++) {
    const u = statisticAt(updated, dy.shape, dims, i);
    toBias.data[i] = u === 0 ? 0 : at(dy.data, i) * u;
    q.data[i] = at(toBias.data, i) * statisticAt(ratio, dy.shape, dims, i);
  }
  const { dx, dw } = convBackward(select(m, x, dims), weight, q, options);
  return { dx: select(m, dx, dims), dw, db: biasGradient(toBias, dims) };
}
