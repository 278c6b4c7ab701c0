// Between the reference's float64 values and tensors, without the library's own conversions; and the comparison of the two.
import { expect } from 'chai';
import { type Device, type DType, fromBuffer, type Tensor, tensor } from '../../ts';
import { type FloatName, TOLERANCE } from '../goldens/load';
import { at, sizeOf, type Values, values } from '../reference';

const scratch = new DataView(new ArrayBuffer(8));

/** float64 -> float32 -> binary16 bits, ties to even. */
function toHalf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const size = Math.abs(Math.fround(value));
  if (Number.isNaN(size)) return sign | 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(size || 1e-30)), -14);
  const unit = 2 ** (exponent - 10);
  const lower = Math.floor(size / unit);
  const rest = size / unit - lower;
  const steps = rest > 0.5 || (rest === 0.5 && lower % 2 === 1) ? lower + 1 : lower;
  return sign | (steps + (exponent + 14) * 1024);
}

function fromHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

function toBfloat16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 65536) & 0xffff;
}

function fromBfloat16(bits: number): number {
  scratch.setUint32(0, bits * 65536);
  return scratch.getFloat32(0);
}

/** The array that a tensor of this dtype has, with these numbers (complex interleaved). */
export function encode(data: ArrayLike<number>, dtype: DType): Float32Array | Float64Array | Uint16Array | Int32Array | Uint8Array {
  const list = Array.from(data);
  if (dtype === 'float16') return Uint16Array.from(list, toHalf);
  if (dtype === 'bfloat16') return Uint16Array.from(list, toBfloat16);
  if (dtype === 'float32' || dtype === 'complex64') return Float32Array.from(list);
  if (dtype === 'float64' || dtype === 'complex128') return Float64Array.from(list);
  return dtype === 'int32' ? Int32Array.from(list) : Uint8Array.from(list);
}

/** The nearest number of the dtype. */
export const rounded = (value: number, dtype: DType): number => at(decode(encode([value], dtype), dtype), 0);

export function decode(data: ArrayLike<number>, dtype: DType): Float64Array {
  const list = Array.from(data);
  if (dtype === 'float16') return Float64Array.from(list, fromHalf);
  if (dtype === 'bfloat16') return Float64Array.from(list, fromBfloat16);
  return Float64Array.from(list);
}

export const isComplex = (dtype: DType): boolean => dtype.startsWith('complex');

let device: Device = 'cpu';

/** Runs fn with toTensor() making tensors on another device. */
export function onDevice<T>(other: Device, fn: () => T): T {
  const before = device;
  device = other;
  try {
    return fn();
  } finally {
    device = before;
  }
}

/** The device on which toTensor() makes tensors. */
export const testDevice = (): Device => device;

/** A tensor whose memory nobody else has. */
export function toTensor(v: Values, dtype: DType = 'float64', requiresGrad = false): Tensor {
  // A typed array is copied; those of 16-bit and complex dtypes hold bits and interleaved numbers.
  const t = tensor(encode(v.data, dtype), { shape: [...v.shape], dtype, device });
  if (requiresGrad) t.requiresGrad = true;
  return t;
}

/** A tensor on its own array, which anyone may write. */
export const toShared = (v: Values, dtype: DType = 'float64'): Tensor => fromBuffer(encode(v.data, dtype), [...v.shape], dtype);

export function toValues(t: Tensor): Values {
  return values(t.shape, decode(t.readSync(), t.dtype), isComplex(t.dtype));
}

export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

export const EXACT: Tolerance = { rtol: 0, atol: 0 };

/** The one table of tolerances, by dtype: torch.testing's. */
export const toleranceOf = (dtype: DType): Tolerance => TOLERANCE[dtype as FloatName] ?? EXACT;

/** Shape, and every element: |actual - expected| <= atol + rtol * |expected|; NaN equals NaN. */
export function expectClose(actual: Tensor | Values, expected: Values, tolerance: Tolerance, what = 'y'): void {
  const got = 'dtype' in actual ? toValues(actual) : actual;
  expect([...got.shape], `${what}: shape`).to.deep.equal([...expected.shape]);
  expectAll(
    got.data,
    expected.data,
    ({ rtol, atol }) =>
      (_, e) =>
        atol + rtol * Math.abs(e),
    tolerance,
    what,
  );
}

function expectAll(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: (t: Tolerance) => (i: number, e: number) => number,
  tolerance: Tolerance,
  what: string,
): void {
  expect(actual.length, `${what}: length`).to.equal(expected.length);
  const allowed = bound(tolerance);
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [at(actual, i), at(expected, i)];
    if (Object.is(a, e) || a === e) continue;
    if (!(Math.abs(a - e) <= allowed(i, e))) expect.fail(`${what}[${i}] is ${a}, expected ${e}`);
  }
}

/** Each element within units * epsilon of the sum of the absolute values of its terms, plus the rounding of the result itself. */
export function expectWithin(actual: Tensor, expected: Values, magnitude: Values, units: number, what: string): void {
  const { accumulator, result, least } = PRECISION[actual.dtype as keyof typeof PRECISION];
  const bound = () => (i: number, e: number) => units * accumulator * at(magnitude.data, i) + result * Math.abs(e) + least;
  expect([...actual.shape], `${what}: shape`).to.deep.equal([...expected.shape]);
  expectAll(toValues(actual).data, expected.data, bound, EXACT, what);
}

/** Unit roundoff of the sums and of the result, and the least difference of results. */
const PRECISION = {
  float32: { accumulator: 2 ** -24, result: 0, least: 1e-40 },
  float64: { accumulator: 2 ** -53, result: 0, least: 0 },
  float16: { accumulator: 2 ** -24, result: 2 ** -10.99, least: 2 ** -25 },
  bfloat16: { accumulator: 2 ** -24, result: 2 ** -7.99, least: 1e-40 },
  complex64: { accumulator: 2 ** -24, result: 0, least: 1e-40 },
  complex128: { accumulator: 2 ** -53, result: 0, least: 0 },
} as const;

export const absolute = (v: Values): Values => ({ ...v, data: v.data.map(Math.abs) });

/** Bit for bit, shape and dtype included. */
export function expectSame(actual: Tensor, expected: Tensor, what = 'tensors'): void {
  expect(actual.dtype, what).to.equal(expected.dtype);
  expect([...actual.shape], what).to.deep.equal([...expected.shape]);
  const bytes = (t: Tensor) => {
    const array = t.readSync();
    return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  };
  expect(bytes(actual).equals(bytes(expected)), `${what}: the same bits`).to.equal(true);
}

/** v with some values replaced: f gets each value and its flat index. */
export const changed = (v: Values, f: (value: number, i: number) => number): Values => ({ ...v, data: v.data.map((x, i) => f(x, i)) });

export const ones = (shape: readonly number[]): Values => values(shape, new Float64Array(sizeOf(shape)).fill(1));
