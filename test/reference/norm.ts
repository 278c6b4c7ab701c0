// Normalisation with and without a mask, and PReLU.

import { channelOf } from './conv';
import { statisticAt } from './mask';
import { at, filled, sizeOf, type Values, values } from './values';

export interface NormOptions {
  /** 'batch': statistics per channel; 'instance': per sample and channel. */
  readonly scope: 'batch' | 'instance';
  readonly eps?: number;
  readonly momentum?: number;
  readonly training?: boolean;
}

export interface NormGradients {
  readonly dx: Values;
  readonly dgamma: Values;
  readonly dbeta: Values;
}

interface Group {
  readonly members: number[];
  readonly channel: number;
  readonly count: number;
  readonly mean: number;
  readonly variance: number;
}

/** m at every element of x [N, C, ...]; mask [N|1, 1|C, ...] or null = 1. */
function weights(x: Values, mask: Values | null): Float64Array {
  const dims = x.shape.length - 2;
  return x.data.map((_, i) => (mask ? statisticAt(mask, x.shape, dims, i) : 1));
}

/**
 * n = sum of m; mean = sum of x over m != 0 / n (x is masked already); variance = sum of ((x - mean) * m)^2 / n, biased.
 * For 0/1 masks NeMo's masked instance norm is the same numbers.
 */
function groups(x: Values, m: Float64Array, scope: NormOptions['scope']): Group[] {
  const [batch, channels, space] = [at(x.shape, 0), at(x.shape, 1), sizeOf(x.shape.slice(2))];
  const members: number[][] = Array.from({ length: scope === 'batch' ? channels : batch * channels }, () => []);
  for (let i = 0; i < x.data.length; i++) {
    const row = Math.floor(i / space);
    members[scope === 'batch' ? row % channels : row]?.push(i);
  }
  return members.map((own, g) => {
    let count = 0;
    let sum = 0;
    for (const i of own) {
      count += at(m, i);
      sum += at(m, i) === 0 ? 0 : at(x.data, i);
    }
    const mean = count > 0 ? sum / count : 0;
    let squares = 0;
    for (const i of own) squares += at(m, i) === 0 ? 0 : ((at(x.data, i) - mean) * at(m, i)) ** 2;
    return { members: own, channel: g % channels, count, mean, variance: count > 0 ? squares / count : 0 };
  });
}

/**
 * y = (x - mean) / sqrt(variance + eps) * gamma + beta, not masked again. Without a valid element y = beta (the original
 * gives NaN). batch, training: running = (1 - momentum) * running + momentum * statistic, in place; the variance stored is
 * unbiased without a mask (PyTorch) and biased with one (the original); a channel without valid elements keeps its own.
 * batch, not training: the running statistics normalise. instance: never running statistics.
 */
export function norm(
  x: Values,
  mask: Values | null,
  gamma: Values | null,
  beta: Values | null,
  options: NormOptions,
  running?: { readonly mean: Values; readonly variance: Values },
): Values {
  const { scope, eps = 1e-5, momentum = 0.1, training = true } = options;
  const y = values(x.shape);
  for (const g of groups(x, weights(x, mask), scope)) {
    const stored = scope === 'batch' && !training && running;
    const mean = stored ? at(stored.mean.data, g.channel) : g.mean;
    const variance = stored ? at(stored.variance.data, g.channel) : g.variance;
    const scale = gamma ? at(gamma.data, g.channel) : 1;
    const shift = beta ? at(beta.data, g.channel) : 0;
    for (const i of g.members)
      y.data[i] = !stored && g.count <= 0 ? shift : ((at(x.data, i) - mean) / Math.sqrt(variance + eps)) * scale + shift;
    if (scope === 'batch' && training && running && g.count > 0) {
      const kept = mask ? variance : (variance * g.count) / (g.count - 1);
      const update = (v: Values, statistic: number) => {
        v.data[g.channel] = (1 - momentum) * at(v.data, g.channel) + momentum * statistic;
      };
      update(running.mean, mean);
      update(running.variance, kept);
    }
  }
  return y;
}

/**
 * With q = dy * gamma, r = 1 / sqrt(variance + eps): dvariance = -r^3/2 * sum q (x - mean);
 * dmean = -r * sum q - dvariance * 2/n * sum m^2 (x - mean); dx = q r + [m != 0] dmean / n + dvariance * 2/n * m^2 (x - mean).
 * The statistics carry gradient only to valid elements; masked ones still get q r. Not training (batch): dx = q r.
 */
export function normBackward(
  x: Values,
  mask: Values | null,
  gamma: Values | null,
  dy: Values,
  options: NormOptions,
  running?: { readonly mean: Values; readonly variance: Values },
): NormGradients {
  const { scope, eps = 1e-5, training = true } = options;
  const m = weights(x, mask);
  const dx = values(x.shape);
  const [dgamma, dbeta] = [values([at(x.shape, 1)]), values([at(x.shape, 1)])];
  for (const g of groups(x, m, scope)) {
    const stored = scope === 'batch' && !training && running;
    const mean = stored ? at(stored.mean.data, g.channel) : g.mean;
    const r = 1 / Math.sqrt((stored ? at(stored.variance.data, g.channel) : g.variance) + eps);
    const scale = gamma ? at(gamma.data, g.channel) : 1;
    const live = stored || g.count > 0;
    let [sumQ, sumQx, sumM] = [0, 0, 0];
    for (const i of g.members) {
      const [q, d] = [at(dy.data, i) * scale, at(x.data, i) - mean];
      dbeta.data[g.channel] = at(dbeta.data, g.channel) + at(dy.data, i);
      if (!live) continue;
      dgamma.data[g.channel] = at(dgamma.data, g.channel) + at(dy.data, i) * d * r;
      sumQ += q;
      sumQx += q * d;
      sumM += at(m, i) === 0 ? 0 : at(m, i) ** 2 * d;
    }
    const dVariance = -0.5 * r ** 3 * sumQx;
    const dMean = -r * sumQ - (dVariance * 2 * sumM) / g.count;
    for (const i of g.members) {
      if (!live) continue;
      dx.data[i] = at(dy.data, i) * scale * r;
      if (stored || at(m, i) === 0) continue;
      const fromVariance = (dVariance * 2 * at(m, i) ** 2 * (at(x.data, i) - mean)) / g.count;
      dx.data[i] = at(dx.data, i) + dMean / g.count + fromVariance;
    }
  }
  return { dx, dgamma, dbeta };
}

/** y = x > 0 ? x : a[c] * x; one a for all channels or one each. */
export function prelu(x: Values, a: Values): Values {
  return values(
    x.shape,
    x.data.map((value, i) => (value > 0 ? value : slope(a, x, i) * value)),
  );
}

/** dx = dy * (x > 0 ? 1 : a[c]) (a itself at 0); da[c] = sum of dy * x over x <= 0. */
export function preluBackward(x: Values, a: Values, dy: Values): { dx: Values; da: Values } {
  const [dx, da] = [values(x.shape), filled(a.shape, 0)];
  for (let i = 0; i < x.data.length; i++) {
    const positive = at(x.data, i) > 0;
    dx.data[i] = at(dy.data, i) * (positive ? 1 : slope(a, x, i));
    const c = a.data.length === 1 ? 0 : channelOf(x.shape, x.shape.length - 2, i);
    if (!positive) da.data[c] = at(da.data, c) + at(dy.data, i) * at(x.data, i);
  }
  return { dx, da };
}

function slope(a: Values, x: Values, i: number): number {
  return at(a.data, a.data.length === 1 ? 0 : channelOf(x.shape, x.shape.length - 2, i));
}
