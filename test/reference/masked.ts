// Masked convolution: the plain output scaled by a weighted average of the mask under the kernel's centre.

import { type ConvGradients, conv, convBackward } from './conv';
import { type Axis, type ConvOptions, geometry } from './geometry';
import { statisticAt } from './mask';
import { at, sizeOf, type Values, values } from './values';

export interface MaskedConvOptions extends ConvOptions {
  readonly eps?: number;
}

/** Where the tap floor(K/2) of window l looks: l*s - before + d*floor(K/2), or -1 outside. */
function centre(axis: Axis, l: number): number {
  return at(axis.source, l * axis.kernel + Math.floor(axis.kernel / 2));
}

/**
 * M'[n,o,l] = sum over c of v[o,c] * m[n,c,centre(l)] / (sum over c of v[o,c] + eps), v[o,c] = sum over taps of |w[o,c]|,
 * over the channels of o's group. Aligned to the kernel's centre, so even kernels, dilation and any padding are defined
 * (the original: odd kernels, no dilation, padding >= floor(K/2)). mask [N|1, C, ...]; all-zero weights give 0.
 */
export function maskedConvScale(x: readonly number[], mask: Values, weight: Values, options: MaskedConvOptions = {}): Values {
  const g = geometry(x, weight.shape, options);
  const [perIn, perOut] = [g.inChannels / g.groups, g.outChannels / g.groups];
  const [taps, space] = [sizeOf(weight.shape.slice(2)), g.rows.input * g.cols.input];
  const dims = weight.shape.length - 2;
  if (sizeOf(mask.shape.slice(1)) !== g.inChannels * space) throw new Error(`reference: mask [${mask.shape}] against x [${x}]`);
  const batch = at(mask.shape, 0);
  const out = values([batch, g.outChannels, ...g.outShape.slice(-dims)]);
  let index = 0;
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < g.outChannels; o++)
      for (let i = 0; i < g.rows.output; i++)
        for (let j = 0; j < g.cols.output; j++) {
          const [row, col] = [centre(g.rows, i), centre(g.cols, j)];
          let sum = 0;
          let total = 0;
          for (let c = 0; c < perIn; c++) {
            let v = 0;
            for (let k = 0; k < taps; k++) v += Math.abs(at(weight.data, (o * perIn + c) * taps + k));
            const channel = n * g.inChannels + Math.floor(o / perOut) * perIn + c;
            total += v;
            if (row >= 0 && col >= 0) sum += v * at(mask.data, channel * space + row * g.cols.input + col);
          }
          out.data[index++] = total === 0 ? 0 : sum / (total + (options.eps ?? 1e-8));
        }
  return out;
}

/** y = (conv(x) + b) * M'; without a mask the plain convolution. x is not masked here. Returns [y, M' | null]. */
export function maskedConv(
  x: Values,
  mask: Values | null,
  weight: Values,
  bias: Values | null,
  options: MaskedConvOptions = {},
): [Values, Values | null] {
  const y = conv(x, weight, bias, options);
  if (!mask) return [y, null];
  const scale = maskedConvScale(x.shape, mask, weight, options);
  return [scaled(y, scale, weight.shape.length - 2), scale];
}

/** M' is a constant, also where it depends on w: dx, dw, db of the convolution for q = dy * M'. */
export function maskedConvBackward(
  x: Values,
  mask: Values | null,
  weight: Values,
  dy: Values,
  options: MaskedConvOptions = {},
): ConvGradients {
  if (!mask) return convBackward(x, weight, dy, options);
  const scale = maskedConvScale(x.shape, mask, weight, options);
  return convBackward(x, weight, scaled(dy, scale, weight.shape.length - 2), options);
}

function scaled(y: Values, scale: Values, dims: number): Values {
  return values(
    y.shape,
    y.data.map((value, i) => value * statisticAt(scale, y.shape, dims, i)),
  );
}
