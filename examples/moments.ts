// The four moments that describe a distribution's place, width and shape.
import type { Tensor } from 'partialconv';

export type Kind = 'plain' | 'partial' | 'masked';

export const KINDS = [
  { kind: 'plain', color: '#8a939c' },
  { kind: 'partial', color: '#1864ab' },
  { kind: 'masked', color: '#e8590c' },
] as const satisfies readonly { kind: Kind; color: string }[];

export interface Moments {
  readonly mean: number;
  readonly std: number;
  readonly skewness: number;
  readonly kurtosis: number;
}

export interface Row extends Moments {
  /** From 1; 0 is the input. */
  readonly layer: number;
  readonly kind: Kind;
}

/** Of all elements; skewness and kurtosis are the means of z^3 and z^4, z = (v - mean) / std. */
export function momentsOf(x: Tensor): Moments {
  const values = Float64Array.from(x.readSync(), Number);
  const average = (of: (v: number) => number): number => values.reduce((sum, v) => sum + of(v), 0) / values.length;
  const mean = average((v) => v);
  const std = Math.sqrt(average((v) => (v - mean) ** 2));
  return { mean, std, skewness: average((v) => ((v - mean) / std) ** 3), kurtosis: average((v) => ((v - mean) / std) ** 4) };
}
