// Element types: their codes in native/ops.h, their JavaScript arrays, their sizes and kinds.
import { describe } from './describe';
import { DTypeError } from './errors';

export type DType = 'float32' | 'float64' | 'float16' | 'bfloat16' | 'complex64' | 'complex128' | 'int32' | 'uint8' | 'bool';

export type TypedArray = Float32Array | Float64Array | Uint16Array | Int32Array | Uint8Array;

type Kind = 'float' | 'complex' | 'int' | 'bool';

export interface DTypeInfo {
  /** DType in native/ops.h. */
  readonly code: number;
  readonly kind: Kind;
  /** Array elements for one number: 2 where complex (interleaved re, im). */
  readonly lanes: 1 | 2;
  readonly bytes: number;
  readonly array: { new (length: number): TypedArray; new (buffer: ArrayBuffer): TypedArray };
  /** The dtype that sums are kept in, and that ratios of a mask have. */
  readonly accumulator: 'float32' | 'float64';
  /** The real dtype of the same precision (itself where real). */
  readonly real: DType;
}

export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  float32: { code: 0, kind: 'float', lanes: 1, bytes: 4, array: Float32Array, accumulator: 'float32', real: 'float32' },
  float64: { code: 1, kind: 'float', lanes: 1, bytes: 8, array: Float64Array, accumulator: 'float64', real: 'float64' },
  float16: { code: 2, kind: 'float', lanes: 1, bytes: 2, array: Uint16Array, accumulator: 'float32', real: 'float16' },
  bfloat16: { code: 3, kind: 'float', lanes: 1, bytes: 2, array: Uint16Array, accumulator: 'float32', real: 'bfloat16' },
  complex64: { code: 4, kind: 'complex', lanes: 2, bytes: 8, array: Float32Array, accumulator: 'float32', real: 'float32' },
  complex128: { code: 5, kind: 'complex', lanes: 2, bytes: 16, array: Float64Array, accumulator: 'float64', real: 'float64' },
  int32: { code: 6, kind: 'int', lanes: 1, bytes: 4, array: Int32Array, accumulator: 'float64', real: 'int32' },
  uint8: { code: 7, kind: 'int', lanes: 1, bytes: 1, array: Uint8Array, accumulator: 'float64', real: 'uint8' },
  bool: { code: 8, kind: 'bool', lanes: 1, bytes: 1, array: Uint8Array, accumulator: 'float64', real: 'bool' },
};

export const isDType = (value: unknown): value is DType => typeof value === 'string' && Object.hasOwn(DTYPES, value);

/**
 * The argument itself, if it names a dtype.
 * @throws DTypeError otherwise
 */
export function checkDType(op: string, dtype: unknown): DType {
  if (isDType(dtype)) return dtype;
  throw new DTypeError(`${op}: expected a dtype (${Object.keys(DTYPES).join(', ')}), but got ${describe(dtype)}`);
}

const INTEGER_RANGES: Partial<Record<DType, readonly [number, number]>> = { int32: [-(2 ** 31), 2 ** 31 - 1], uint8: [0, 255] };

/**
 * Checks that a number has a value in an integer dtype (its fraction is dropped); any number has one in the others.
 * @throws DTypeError if it has not
 */
export function checkFits(op: string, value: number, dtype: DType): void {
  const range = INTEGER_RANGES[dtype];
  if (range === undefined) return;
  const whole = Math.trunc(value);
  if (!(whole >= range[0] && whole <= range[1])) {
    throw new DTypeError(`${op}: ${value} cannot be converted to ${dtype} without overflow (${range[0]} to ${range[1]})`);
  }
}

export const isComplex = (dtype: DType): boolean => DTYPES[dtype].kind === 'complex';

/** True where an element can carry a gradient (floating point or complex). */
export const isDifferentiable = (dtype: DType): boolean => DTYPES[dtype].kind === 'float' || DTYPES[dtype].kind === 'complex';

const RANK: Record<Kind, number> = { bool: 0, int: 1, float: 2, complex: 3 };

/**
 * The dtype of the result of an element-wise op on two tensors: the higher kind of bool < integer < float < complex, and within
 * a kind the wider one; float16 with bfloat16 gives float32; a float64 meeting complex64 gives complex128 (PyTorch's promotion).
 */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a;
  const [high, low] = RANK[DTYPES[a].kind] >= RANK[DTYPES[b].kind] ? [a, b] : [b, a];
  const [highInfo, lowInfo] = [DTYPES[high], DTYPES[low]];
  if (highInfo.kind === 'complex') return low === 'float64' || low === 'complex128' ? 'complex128' : high;
  if (highInfo.kind !== lowInfo.kind) return high;
  if (highInfo.bytes !== lowInfo.bytes) return highInfo.bytes > lowInfo.bytes ? high : low;
  return 'float32';
}

interface Ranked {
  readonly dtype: DType;
  readonly rank: number;
}

/**
 * The dtype of the result of an element-wise op on two tensors, as promote(); but a tensor without dimensions beside one that has some
 * counts as a scalar: it can raise the kind, not the width within it (PyTorch's promotion).
 */
export function promoteTensors(a: Ranked, b: Ranked): DType {
  if ((a.rank === 0) === (b.rank === 0)) return promote(a.dtype, b.dtype);
  const [full, scalar] = a.rank > 0 ? [a.dtype, b.dtype] : [b.dtype, a.dtype];
  const [{ kind }, { kind: scalarKind }] = [DTYPES[full], DTYPES[scalar]];
  if (RANK[scalarKind] <= RANK[kind]) return full;
  // A complex scalar takes the width of a float tensor.
  return kind === 'float' ? promote(full, 'complex64') : promote(full, scalar);
}
