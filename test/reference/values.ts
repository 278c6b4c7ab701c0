// What the reference calculates with: row-major float64 values with a shape; complex ones interleaved re, im.

export interface Values {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly complex?: boolean;
}

/** a[i], and an error instead of undefined: a reference that reads outside is no reference. */
export function at(a: ArrayLike<number>, i: number): number {
  const value = a[i];
  if (value === undefined) throw new RangeError(`reference: index ${i} of ${a.length}`);
  return value;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, n) => size * n, 1);
}

export function values(shape: readonly number[], data?: ArrayLike<number>, complex = false): Values {
  const size = sizeOf(shape) * (complex ? 2 : 1);
  if (data && data.length !== size) throw new Error(`reference: ${data.length} values for shape [${shape}]`);
  const copy = data ? Float64Array.from(data) : new Float64Array(size);
  return complex ? { shape, data: copy, complex } : { shape, data: copy };
}

export function filled(shape: readonly number[], value: number): Values {
  const out = values(shape);
  out.data.fill(value);
  return out;
}

/** The real (part = 0) or imaginary (part = 1) parts; a real array has zero imaginary parts. */
export function part(v: Values, which: 0 | 1): Values {
  if (!v.complex) return which === 0 ? v : values(v.shape);
  return values(
    v.shape,
    v.data.filter((_, i) => i % 2 === which),
  );
}

export function joined(re: Values, im: Values): Values {
  const out = values(re.shape, undefined, true);
  for (let i = 0; i < re.data.length; i++) {
    out.data[2 * i] = at(re.data, i);
    out.data[2 * i + 1] = at(im.data, i);
  }
  return out;
}

/** f over corresponding elements of arrays of one length; the shape is the first one's. */
export function zipWith(a: Values, b: Values, f: (a: number, b: number) => number): Values {
  if (a.data.length !== b.data.length) throw new Error(`reference: [${a.shape}] against [${b.shape}]`);
  const out = values(a.shape);
  for (let i = 0; i < a.data.length; i++) out.data[i] = f(at(a.data, i), at(b.data, i));
  return out;
}

export const plus = (a: Values, b: Values): Values => zipWith(a, b, (p, q) => p + q);
export const minus = (a: Values, b: Values): Values => zipWith(a, b, (p, q) => p - q);
export const times = (a: Values, b: Values): Values => zipWith(a, b, (p, q) => p * q);
