// Masks: which forms are accepted, how many values a window counts, and the updated mask.

import { conv } from './conv';
import { type ConvOptions, geometry } from './geometry';
import { at, filled, type Values, values } from './values';

export interface PartialOptions extends ConvOptions {
  readonly multiChannel?: boolean;
  readonly countGroups?: boolean;
  readonly eps?: number;
}

/**
 * A user's mask as [N|1, 1, ...] (single) or [N|1, C, ...] (multiChannel); 1 means valid.
 * single: [N,1,L] [1,1,L] [N,L] [L]; multiChannel: [N,C,L] [1,C,L], and [C,L] for unbatched x. An unbatched x counts
 * as N = 1. No mask: all valid. Bool and integer masks: non-zero is 1; float masks as they are.
 */
export function resolveMask(mask: Values | null, x: readonly number[], dims: number, multiChannel = false, isFloat = true): Values {
  const unbatched = x.length === dims + 1;
  const [batch, channels] = unbatched ? [1, at(x, 0)] : [at(x, 0), at(x, 1)];
  const space = x.slice(x.length - dims);
  const count = multiChannel ? channels : 1;
  if (!mask) return filled([1, count, ...space], 1);
  const leading = mask.shape.slice(0, Math.max(mask.shape.length - dims, 0));
  const fits = (shape: readonly number[], n: number) =>
    leading.length === shape.length && shape.every((size, i) => size === leading[i]) ? n : undefined;
  const n = multiChannel
    ? (fits([batch, count], batch) ?? fits([1, count], 1) ?? (unbatched ? fits([count], 1) : undefined))
    : (fits([batch, 1], batch) ?? fits([1, 1], 1) ?? fits([batch], batch) ?? fits([], 1));
  const spaceFits = space.every((size, i) => size === mask.shape[leading.length + i]);
  if (n === undefined || !spaceFits) throw new Error(`reference: mask [${mask.shape}] does not fit x [${x}], multiChannel ${multiChannel}`);
  return values([n, count, ...space], isFloat ? mask.data : mask.data.map((m) => (m === 0 ? 0 : 1)));
}

export interface MaskStatistics {
  /** [N|1, 1|groups, ...]: one channel per group of channels that is counted together. */
  readonly ratio: Values;
  readonly updated: Values;
}

/**
 * count = conv(mask, ones); window = channels counted * taps, whatever the padding.
 * ratio = count > 0 ? window / (count + eps) : 0; updated = min(count, 1), not below 0.
 * Counted together: single one channel; multiChannel the C/groups channels of an output channel's group, or all C with
 * countGroups = false. paddingMode pads the mask as it pads x; zero padding counts as holes.
 */
export function maskRatio(mask: Values, weight: readonly number[], options: PartialOptions = {}): MaskStatistics {
  const channels = at(mask.shape, 1);
  const groups = options.multiChannel && (options.countGroups ?? true) ? (options.groups ?? 1) : 1;
  const ones = filled([groups, channels / groups, ...weight.slice(2)], 1);
  const window = ones.data.length / groups;
  const count = conv(mask, ones, null, { ...options, groups });
  const eps = options.eps ?? 0;
  return {
    ratio: values(
      count.shape,
      count.data.map((s) => (s > 0 ? window / (s + eps) : 0)),
    ),
    updated: values(
      count.shape,
      count.data.map((s) => Math.max(Math.min(s, 1), 0)),
    ),
  };
}

/** Element of statistics [N|1, 1|groups, ...] that belongs to element `index` of y [N, O, ...] (flat, batched or not). */
export function statisticAt(v: Values, y: readonly number[], dims: number, index: number): number {
  const inner = y.slice(y.length - dims).reduce((size, n) => size * n, 1);
  const out = at(y, y.length - dims - 1);
  const [n, o] = [Math.floor(index / inner / out), Math.floor(index / inner) % out];
  const [batch, groups] = [at(v.shape, 0), at(v.shape, 1)];
  const channel = Math.floor(o / (out / groups));
  return at(v.data, ((batch === 1 ? 0 : n) * groups + channel) * inner + (index % inner));
}

/** The updated mask as a layer returns it: [N|1, 1, ...] or, multiChannel, [N|1, O, ...]; without N for unbatched x. */
export function updatedMask(
  statistics: MaskStatistics,
  x: readonly number[],
  weight: readonly number[],
  options: PartialOptions = {},
): Values {
  const dims = weight.length - 2;
  const { updated } = statistics;
  const space = geometry(x, weight, options).outShape.slice(-dims);
  const shape = [at(updated.shape, 0), options.multiChannel ? at(weight, 0) : 1, ...space];
  const out = values(shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = statisticAt(updated, shape, dims, i);
  return x.length === dims + 1 ? { shape: shape.slice(1), data: out.data } : out;
}
