// Single numbers as callers write them: a number, a boolean, or {re, im}.
import { checkFits, type DType, isComplex } from './dtype';
import { DTypeError } from './errors';
import { type Complex, describe } from './tensor';

/** What can stand on the right of an operator besides a tensor, or fill a tensor. */
export type Scalar = number | boolean | Complex;

export const isScalar = (value: unknown): value is Scalar =>
  typeof value === 'number' ||
  typeof value === 'boolean' ||
  (typeof value === 'object' && value !== null && typeof (value as Complex).re === 'number' && typeof (value as Complex).im === 'number');

/** A scalar by its real and imaginary part; a copy. */
export const partsOf = (value: Scalar): Complex =>
  typeof value === 'object' ? { re: value.re, im: value.im } : { re: Number(value), im: 0 };

/**
 * A scalar by its parts, checked to have a value in a dtype.
 * @throws DTypeError if it is not a scalar or has none
 */
export function checkScalar(op: string, value: unknown, dtype: DType): Complex {
  if (!isScalar(value)) throw new DTypeError(`${op}: expected a number, a boolean or {re, im}, but got ${describe(value)}`);
  const { re, im } = partsOf(value);
  if (typeof value === 'object' && !isComplex(dtype))
    throw new DTypeError(`${op}: the complex number ${re} + ${im}i cannot be converted to ${dtype}`);
  checkFits(op, re, dtype);
  return { re, im };
}
