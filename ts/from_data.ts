// Tensors from data: numbers, nested arrays, typed arrays, other libraries' tensors; and tensors on a caller's memory.
import { type CreateOptions, checkCreateOptions, type Shape, toShape } from './create';
import { withArticle } from './describe';
import { type Device, onHost } from './device';
import { checkDType, checkFits, DTYPES, type DType, isComplex, isDType, type TypedArray } from './dtype';
import { DisposedError, DTypeError, ShapeError } from './errors';
import { native } from './native';
import { type NestedData, parseNested } from './nested';
import { isScalar } from './scalar';
import { Storage } from './storage';
import { checkShape, describe, empty, formatShape, sizeOf, Tensor, transferred } from './tensor';

export interface TensorOptions extends CreateOptions {
  /** The shape, where the data's own is not meant; of as many elements. */
  readonly shape?: Shape;
  /** Another name of shape. */
  readonly dims?: Shape;
}

/** A tensor of another library: its flat data (dense, row-major), its shape, the name of its dtype. */
export interface TensorLike {
  readonly data: ArrayBufferView | readonly (number | boolean)[];
  readonly dims?: readonly number[];
  readonly shape?: readonly number[];
  readonly type?: string;
  readonly dtype?: string;
}

export type TensorData = NestedData | ArrayBufferView | TensorLike | Tensor;

/** Numbers in an array that native code reads; `dtype` is what a tensor of them has by default. */
interface Source {
  readonly array: TypedArray;
  readonly arrayDtype: DType;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

const classOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1);

/**
 * A typed array whose memory is there.
 * @throws DTypeError if it is none, DisposedError if its buffer was detached, or shrunk below it
 */
function checkTypedArray(op: string, array: unknown): Uint8Array {
  if (!ArrayBuffer.isView(array) || array instanceof DataView)
    throw new DTypeError(`${op}: expected a typed array, but got ${describe(array)}`);
  try {
    (array as Uint8Array).at(0); // throws where the memory is gone
  } catch {
    throw new DisposedError(`${op}: the buffer of the ${classOf(array)} was detached or shrunk`);
  }
  return array as Uint8Array;
}

/** 32- and 64-bit integers as int32. */
function narrow(op: string, array: ArrayLike<number | bigint>): Int32Array {
  const narrowed = new Int32Array(array.length);
  for (let i = 0; i < array.length; i++) {
    const value = Number(array[i]);
    checkFits(op, value, 'int32');
    narrowed[i] = value;
  }
  return narrowed;
}

/** The numbers of a typed array, in the dtype of ours that holds them. `wanted`: what they are meant to be, where it is known. */
function readTypedArray(op: string, value: ArrayBufferView, wanted: DType | undefined): { array: TypedArray; dtype: DType } {
  const array = checkTypedArray(op, value);
  const sixteenBits = () => new Uint16Array(array.buffer, array.byteOffset, array.length);
  const name = classOf(array);
  switch (name) {
    case 'Float32Array':
      return { array, dtype: wanted && isComplex(wanted) ? 'complex64' : 'float32' };
    case 'Float64Array':
      return { array, dtype: wanted && isComplex(wanted) ? 'complex128' : 'float64' };
    case 'Int32Array':
      return { array, dtype: 'int32' };
    case 'Int8Array':
    case 'Int16Array':
      return { array: Int32Array.from(array), dtype: 'int32' };
    case 'Uint8Array':
    case 'Uint8ClampedArray':
      return { array, dtype: 'uint8' };
    case 'Uint32Array':
    case 'BigInt64Array':
    case 'BigUint64Array':
      return { array: narrow(op, array), dtype: 'int32' };
    case 'Float16Array':
      return { array: sixteenBits(), dtype: 'float16' };
    case 'Uint16Array':
      if (wanted === 'float16' || wanted === 'bfloat16') return { array: sixteenBits(), dtype: wanted };
      throw new DTypeError(
        `${op}: a Uint16Array holds bit patterns of dtype 'float16' or 'bfloat16', but the dtype is ${describe(wanted)}`,
      );
    default:
      throw new DTypeError(`${op}: ${withArticle(name)} is not supported`);
  }
}

function fromTypedArray(op: string, value: ArrayBufferView, wanted: DType | undefined): Source {
  const { array, dtype } = readTypedArray(op, value, wanted);
  const { lanes } = DTYPES[dtype];
  if (array.length % lanes !== 0) {
    throw new ShapeError(`${op}: complex numbers take two elements each (re, im), but the ${classOf(array)} has ${array.length}`);
  }
  return { array, arrayDtype: dtype, dtype, shape: [array.length / lanes] };
}

function fromNested(op: string, data: unknown, wanted: DType | undefined): Source {
  const { shape, values, source, dtype } = parseNested(op, data);
  if (source === 'complex128' && wanted && !isComplex(wanted))
    throw new DTypeError(`${op}: complex numbers cannot be converted to ${wanted}`);
  if (wanted && DTYPES[wanted].kind === 'int') for (const value of values) checkFits(op, value, wanted);
  return { array: values, arrayDtype: source, dtype, shape };
}

/** Another library's tensor. Its own dtype name counts, where we have it; else what its array tells. */
function fromTensorLike(
  op: string,
  like: TensorLike & { stride?: unknown; strides?: unknown; offset?: unknown },
  wanted: DType | undefined,
): Source {
  const name = like.dtype ?? like.type;
  const own = isDType(name) ? name : wanted;
  const { data } = like;
  if (!ArrayBuffer.isView(data) && !Array.isArray(data)) {
    throw new DTypeError(`${op}: expected data to be a typed array or an array, but got ${describe(data)}`);
  }
  const shape = checkShape(Array.from((like.dims ?? like.shape) as ArrayLike<number>), op);
  const strides = like.strides ?? like.stride;
  const dense = shape.map((_, d) => sizeOf(shape.slice(d + 1)));
  const isDense =
    strides === undefined || (Array.isArray(strides) && strides.length === dense.length && dense.every((s, d) => s === strides[d]));
  if (like.offset || !isDense) {
    throw new ShapeError(
      `${op}: expected dense row-major data of shape ${formatShape(shape)}, but it has strides ${describe(strides)} and offset ${describe(like.offset ?? 0)}`,
    );
  }
  const source = ArrayBuffer.isView(data) ? fromTypedArray(op, data, own) : fromNested(op, data, own);
  return { ...source, dtype: own ?? source.dtype, shape: fitting(op, shape, source) };
}

function read(op: string, data: unknown, wanted: DType | undefined): Source {
  if (data instanceof Tensor) {
    data.raw(op);
    const array = onHost(data.device) ? data.hostArray(op) : data.readSync();
    return { array, arrayDtype: data.dtype, dtype: data.dtype, shape: data.shape };
  }
  if (Array.isArray(data) || isScalar(data)) return fromNested(op, data, wanted);
  if (ArrayBuffer.isView(data)) return fromTypedArray(op, data, wanted);
  if (typeof data === 'object' && data !== null && 'data' in data && ('dims' in data || 'shape' in data)) {
    return fromTensorLike(op, data as TensorLike, wanted);
  }
  throw new DTypeError(`${op}: expected numbers, nested arrays, a typed array, {data, dims} or a tensor, but got ${describe(data)}`);
}

/** The shape, if the source has as many elements. */
function fitting(op: string, shape: readonly number[], source: Source): readonly number[] {
  const count = sizeOf(source.shape);
  if (sizeOf(shape) === count) return shape;
  const what = isComplex(source.arrayDtype) ? ' complex numbers' : '';
  throw new ShapeError(
    `${op}: shape ${formatShape(shape)} has ${sizeOf(shape)} elements, but the data ${formatShape(source.shape)} has ${count}${what}`,
  );
}

/**
 * A tensor with a copy of data.
 * - number, boolean, {re, im}, or nested arrays of them (rows may be typed arrays): float32, bool, complex64 by default
 * - typed array: Float32Array float32, Float64Array float64, Float16Array float16, Int8Array, Int16Array and Int32Array int32, Uint8Array
 *   and Uint8ClampedArray uint8; Uint32Array and the BigInt ones int32, if all values fit; Uint16Array only with dtype 'float16' or
 *   'bfloat16', as bit patterns. With a complex dtype a float array holds re, im, re, im ...
 * - {data, dims | shape, type | dtype}: a dense tensor of onnxruntime or another library
 * - a tensor: copied, without its history
 * @param options.shape the shape, where the data's own is not meant
 * @param options.dtype converts as cast() does; numbers in arrays must fit into an integer dtype
 * @throws ShapeError if rows differ in length or the shape does not fit, DTypeError if something is no number or does not fit,
 * DisposedError if a buffer was detached, BackendError if the memory cannot be had
 */
export function tensor(data: TensorData, options?: TensorOptions): Tensor {
  const { shape, dtype, device, requiresGrad } = checkCreateOptions('tensor', options, ['shape']);
  const source = read('tensor', data, dtype);
  const sizes = shape === undefined ? source.shape : fitting('tensor', toShape('tensor', shape), source);
  const t = converted(source, sizes, dtype ?? source.dtype, device);
  try {
    t.requiresGrad = requiresGrad as boolean;
  } catch (error) {
    t.dispose();
    throw error;
  }
  return t;
}

/** A source in a dtype, on a device: converted on the host. */
function converted(source: Source, shape: readonly number[], dtype: DType, device: Device): Tensor {
  const t = empty([...shape], dtype, 'cpu', 'tensor');
  native.cast(source.array, DTYPES[source.arrayDtype].code, t.raw('tensor'), t.code);
  if (onHost(device)) return t;
  try {
    return transferred(t, device, 'tensor');
  } finally {
    t.dispose();
  }
}

const SHARED_DTYPES: Readonly<Record<string, DType>> = {
  Float32Array: 'float32',
  Float64Array: 'float64',
  Float16Array: 'float16',
  Int32Array: 'int32',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
};

/** The array that native code and `data` will see: of the dtype's own class, exactly as long as the tensor. */
function memoryOf(array: Uint8Array, dtype: DType, length: number): TypedArray {
  const ArrayType = DTYPES[dtype].array as unknown as new (buffer: ArrayBufferLike, offset: number, length: number) => TypedArray;
  const { buffer } = array;
  const resizable = (buffer as { resizable?: boolean }).resizable ?? false;
  if (array.constructor === ArrayType && array.length === length && !resizable) return array;
  return new ArrayType(buffer, array.byteOffset, length);
}

/**
 * A tensor on the caller's memory (CPU): who writes the array writes the tensor, and the other way round. Nothing is cached by it.
 * @param array Float32Array for float32 and complex64, Float64Array for float64 and complex128, Uint16Array (bit patterns) for float16
 * and bfloat16, Int32Array, Uint8Array for uint8 and bool; on an ArrayBuffer
 * @param shape by default all elements in one dimension; the array may be longer
 * @param dtype by default the array's; a Uint16Array has none
 * @throws DTypeError if the array has another class or shares memory between threads, ShapeError if it is too short, DisposedError if
 * its buffer was detached
 */
export function fromBuffer(array: ArrayBufferView, shape?: Shape, dtype?: DType): Tensor {
  const op = 'fromBuffer';
  const checked = checkTypedArray(op, array);
  const name = classOf(checked);
  if (classOf(checked.buffer) === 'SharedArrayBuffer') {
    throw new DTypeError(
      `${op}: expected a typed array on an ArrayBuffer, but it is on a SharedArrayBuffer, which other threads may write; copy it with tensor()`,
    );
  }
  const type = dtype === undefined || dtype === null ? SHARED_DTYPES[name] : checkDType(op, dtype);
  if (type === undefined)
    throw new DTypeError(
      `${op}: ${withArticle(name)} does not tell the dtype; give it as the third argument, or copy the array with tensor()`,
    );
  const { array: ArrayType, lanes } = DTYPES[type];
  const fits =
    ArrayType.name === name ||
    (name === 'Uint8ClampedArray' && ArrayType === Uint8Array) ||
    (name === 'Float16Array' && type === 'float16');
  if (!fits) throw new DTypeError(`${op}: dtype ${type} lies in ${withArticle(ArrayType.name)}, but got ${withArticle(name)}`);
  const sizes = shape === undefined || shape === null ? [Math.floor(checked.length / lanes)] : toShape(op, shape);
  const length = sizeOf(sizes) * lanes;
  if (checked.length < length) {
    throw new ShapeError(`${op}: shape ${formatShape(sizes)} of ${type} needs ${length} elements, but the ${name} has ${checked.length}`);
  }
  const storage = new Storage(memoryOf(checked, type, length));
  storage.shared = true;
  return new Tensor(storage, sizes, type);
}
