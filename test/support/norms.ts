// Normalisations against the reference: one setting, forward and backward, in a dtype.
import { type BatchNormOptions, batchNorm, type DType, instanceNorm, type Tensor } from '../../ts';
import { type GeneratorKind, generate } from '../goldens/load';
import * as reference from '../reference';
import { type Values, values } from '../reference';
import { changed, decode, encode, expectClose, type Tolerance, toTensor } from './tensors';

export type Scope = 'batch' | 'instance';

export const noise = (seed: number, shape: readonly number[]): Values => generate('fine', seed, shape);

/** Values as a dtype holds them, so that reference and op see the same. */
const held = (v: Values, dtype: DType): Values => values(v.shape, decode(encode(v.data, dtype), dtype));

export interface Setting {
  readonly scope: Scope;
  readonly x: readonly number[];
  readonly mask?: readonly [GeneratorKind, readonly number[]];
  readonly affine?: boolean;
  readonly eps?: number;
}

export function run(
  { scope, eps }: Setting,
  x: Tensor,
  mask: Tensor | null,
  weight: Tensor | null,
  bias: Tensor | null,
  more: BatchNormOptions = {},
): Tensor {
  const options = { mask, weight, bias, ...(eps === undefined ? {} : { eps }), ...more };
  return scope === 'batch' ? batchNorm(x, { training: true, ...options }) : instanceNorm(x, options);
}

/** [L] as [1, 1, L], [N, L] as [N, 1, L]. */
const fullForm = (mask: readonly number[], x: readonly number[]): readonly number[] =>
  mask.length === x.length ? mask : mask.length === x.length - 1 ? mask.toSpliced(1, 0, 1) : [1, 1, ...mask];

/** Forward and backward of a setting in a dtype, against the reference. */
export function compare(setting: Setting, dtype: DType, tolerance: Tolerance, maskDtype: DType = dtype, shift = 0): void {
  const { scope, affine = true, eps } = setting;
  const c = setting.x[1] as number;
  const x = held(
    changed(noise(1, setting.x), (v) => v + shift),
    dtype,
  );
  const mask = setting.mask ? generate(setting.mask[0], 2, setting.mask[1]) : null;
  const [gamma, beta] = affine ? [held(noise(3, [c]), dtype), held(noise(4, [c]), dtype)] : [null, null];
  const dy = held(noise(5, setting.x), dtype);
  const [tx, tw, tb] = [toTensor(x, dtype, true), gamma && toTensor(gamma, dtype, true), beta && toTensor(beta, dtype, true)];
  const y = run(setting, tx, mask && toTensor(mask, maskDtype), tw, tb);
  const options = { scope, ...(eps === undefined ? {} : { eps }) };
  const full = mask && { ...mask, shape: fullForm(mask.shape, setting.x) };
  expectClose(y, reference.norm(x, full, gamma, beta, options), tolerance);
  y.backward(toTensor(dy, dtype));
  const expected = reference.normBackward(x, full, gamma, dy, options);
  expectClose(tx.grad as Tensor, expected.dx, tolerance, 'dx');
  // The sums run over many elements: their error is relative to the sizes of these.
  const many = { rtol: tolerance.rtol, atol: tolerance.atol * Math.sqrt(x.data.length) };
  if (tw) expectClose(tw.grad as Tensor, expected.dgamma, many, 'dweight');
  if (tb) expectClose(tb.grad as Tensor, expected.dbeta, many, 'dbias');
}

export const DOUBLE: Tolerance = { rtol: 1e-10, atol: 1e-10 };
export const SINGLE: Tolerance = { rtol: 2e-5, atol: 2e-5 };
