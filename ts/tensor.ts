// Tensor: a dense row-major array of one dtype on one device. Arithmetic is attached by ts/ops/methods.ts.
import { context } from './context';
import { DESCRIBE, describe, withArticle } from './describe';
import { backend, checkDevice, type Device, isDeviceBuffer, onHost } from './device';
import { DTYPES, type DType, type TypedArray } from './dtype';
import { DeviceError, DisposedError, DTypeError, ShapeError } from './errors';
import type { DeviceBuffer, Memory } from './native';
import { Storage } from './storage';

/** What autograd knows of a tensor that an op made (ts/autograd.ts). */
export interface GradientNode {
  readonly op: string;
  /** Says that the tensor was disposed: no backward() begins there any more. */
  release(): void;
}

export { describe };

export type NestedNumbers = number | Complex | NestedNumbers[];

export interface Complex {
  re: number;
  im: number;
}

export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const d of shape) size *= d;
  return size;
}

export const formatShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

/**
 * A validated copy of a shape.
 * @throws ShapeError unless it is an array of at most 8 non-negative integers whose product is a safe integer
 */
export function checkShape(shape: unknown, op: string): number[] {
  const valid = Array.isArray(shape) && shape.length <= 8 && shape.every((d) => Number.isSafeInteger(d) && d >= 0);
  if (!valid) throw new ShapeError(`${op}: expected a shape of at most 8 non-negative integers, but got ${describe(shape)}`);
  if (!Number.isSafeInteger(sizeOf((shape as number[]).filter((d) => d > 0)))) {
    throw new ShapeError(`${op}: a tensor of shape ${formatShape(shape as number[])} has too many elements`);
  }
  return [...(shape as number[])];
}

export class Tensor {
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  readonly dtype: DType;
  readonly device: Device;
  /** The gradient that backward() accumulated, of the same shape; only on leaves. */
  grad: Tensor | null = null;
  /** @internal */
  node: GradientNode | null = null;
  /** @internal */
  readonly storage: Storage;
  #requiresGrad = false;
  #disposed = false;

  /** @internal Use tensor(), zeros(), fromBuffer() and the like. */
  constructor(storage: Storage, shape: readonly number[], dtype: DType, device: Device = 'cpu') {
    if (!(storage instanceof Storage)) throw new DTypeError('Tensor: tensors are made by tensor(), zeros(), fromBuffer() and the like');
    this.storage = storage;
    this.shape = Object.freeze(shape);
    this.size = sizeOf(shape);
    this.dtype = dtype;
    this.device = device;
    storage.own();
    context().scope?.add(this);
  }

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** The shape under the name that onnxruntime and others use. */
  get dims(): readonly number[] {
    return this.shape;
  }

  /** The dtype under the name that onnxruntime and others use. */
  get type(): DType {
    return this.dtype;
  }

  /** True on a leaf that gradients accumulate into, and on whatever was computed from one. Only leaves can be set. */
  get requiresGrad(): boolean {
    return this.#requiresGrad || this.node !== null;
  }

  set requiresGrad(value: boolean) {
    if (typeof value !== 'boolean') throw new DTypeError(`requiresGrad: expected a boolean, but got ${describe(value)}`);
    if (value && !['float', 'complex'].includes(DTYPES[this.dtype].kind)) {
      throw new DTypeError(
        `requiresGrad: only tensors of floating point and complex dtype can require gradients, but this one is ${this.dtype}`,
      );
    }
    if (this.node !== null && !value) throw new DTypeError('requiresGrad: only a leaf can be changed; use detach()');
    this.#requiresGrad = value;
  }

  /** True for a tensor that no recorded op made. */
  get isLeaf(): boolean {
    return this.node === null;
  }

  get disposed(): boolean {
    return this.#disposed || this.storage.disposed;
  }

  /**
   * The live array: writing to it writes the tensor. 16-bit floats are bit patterns, complex numbers interleaved. From now on
   * nothing is cached by this tensor, since its contents may change at any time.
   * @throws DisposedError after dispose(), DeviceError for a tensor on a GPU
   */
  get data(): TypedArray {
    this.hostArray('data');
    return this.storage.share(this.size * DTYPES[this.dtype].lanes, 'data') as TypedArray;
  }

  /**
   * A copy of the contents as they are at the call, from any device; the event loop goes on meanwhile.
   * @throws DisposedError after dispose(), BackendError if a computation that leads to the contents failed
   */
  async read(): Promise<TypedArray> {
    const memory = this.raw('read');
    if (!isDeviceBuffer(memory)) return this.readSync();
    const array = arrayOf(this.size, this.dtype);
    await backend(this.device).downloadAsync(array, this.code, memory);
    return array;
  }

  /** A copy of the contents, from any device; waits for a computation under way. Errors as read(). */
  readSync(): TypedArray {
    const memory = this.raw('read');
    if (!isDeviceBuffer(memory)) return memory.slice(0, this.size * DTYPES[this.dtype].lanes);
    const array = arrayOf(this.size, this.dtype);
    backend(this.device).download(array, this.code, memory);
    return array;
  }

  /** @internal The memory for an op that reads it. */
  raw(op: string): Memory {
    if (this.#disposed) throw new DisposedError(`${op}: the tensor of shape ${formatShape(this.shape)} was disposed`);
    return this.storage.read(this.size * DTYPES[this.dtype].lanes, op);
  }

  /** @internal Checks that the memory is there still, in whichever form. */
  check(op: string): void {
    if (this.#disposed) throw new DisposedError(`${op}: the tensor of shape ${formatShape(this.shape)} was disposed`);
    this.storage.check(this.size * DTYPES[this.dtype].lanes, op);
  }

  /**
   * @internal The array of a tensor on the host.
   * @throws DeviceError for one on a GPU
   */
  hostArray(op: string): TypedArray {
    const memory = this.raw(op);
    if (!isDeviceBuffer(memory)) return memory;
    throw new DeviceError(
      `${op}: the tensor of shape ${formatShape(this.shape)} is on ${this.device}, where JavaScript has no array of it; use await read(), or to('cpu')`,
    );
  }

  /** @internal The memory for an op that writes it in place. */
  rawForWrite(op: string): Memory {
    this.raw(op);
    return this.storage.write(this.size * DTYPES[this.dtype].lanes, op);
  }

  /** @internal Code of the dtype in native/ops.h. */
  get code(): number {
    return DTYPES[this.dtype].code;
  }

  /** @internal Another tensor on the same memory. */
  view(shape: readonly number[] = this.shape): Tensor {
    this.check('view');
    return new Tensor(this.storage, shape, this.dtype, this.device);
  }

  /** The same memory without its history: gradients do not flow through it. */
  detach(): Tensor {
    return this.view();
  }

  /**
   * Gives up the memory, if no other tensor shares it, and what was kept for a backward() that can no longer begin anywhere; any later
   * use is a DisposedError. Calling it twice is allowed.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.node?.release();
    this.node = null;
    context().scope?.delete(this);
    this.storage.disown();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  [DESCRIBE](): string {
    return `${withArticle(this.dtype)} tensor of shape ${formatShape(this.shape)}`;
  }

  toString(): string {
    return `Tensor(shape=${formatShape(this.shape)}, dtype=${this.dtype}, device=${this.device})`;
  }

  /** @internal */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** A new array for as many elements. */
function arrayOf(size: number, dtype: DType): TypedArray {
  const { array: ArrayType, lanes } = DTYPES[dtype];
  return new ArrayType(size * lanes);
}

function allocated(shape: readonly number[], dtype: DType, device: Device, op: string, zeroed: boolean): Tensor {
  const place = onHost(device) ? device : checkDevice(device);
  return new Tensor(Storage.allocate(sizeOf(shape), dtype, op, zeroed, place), shape, dtype, place);
}

/** A new tensor for an op that writes all of it: until then its contents are whatever the memory held. */
export const empty = (shape: readonly number[], dtype: DType, device: Device = 'cpu', op = 'empty'): Tensor =>
  allocated(shape, dtype, device, op, false);

/** A new tensor of zeros. */
export const zeroed = (shape: readonly number[], dtype: DType, device: Device = 'cpu', op = 'zeros'): Tensor =>
  allocated(shape, dtype, device, op, true);

/**
 * x on another device, without its history: a copy, or another handle on the same memory where the device is x's own. From GPU to GPU it
 * does not pass the host, which does not wait.
 * @throws DisposedError, and BackendError if the memory cannot be had or a computation that leads to x failed
 */
export function transferred(x: Tensor, device: Device, op = 'to'): Tensor {
  if (x.device === device) return x.view();
  if (onHost(device)) return new Tensor(new Storage(x.readSync()), x.shape, x.dtype, device);
  const from = x.raw(op);
  const y = empty(x.shape, x.dtype, device, op);
  const to = y.raw(op) as DeviceBuffer;
  if (isDeviceBuffer(from)) backend(device).copyBuffer(from, to);
  else backend(device).upload(from.subarray(0, x.size * DTYPES[x.dtype].lanes), y.code, to);
  return y;
}

/**
 * @internal Frees tensors that a cache keeps no longer, where they are on a GPU, which does this after the work that it has. On the host
 * they are left to garbage collection: an op under way may read them still.
 */
export function forget(...tensors: readonly (Tensor | null)[]): void {
  for (const t of tensors) if (t !== null && !onHost(t.device)) t.dispose();
}

/**
 * The argument itself, if it is a live tensor.
 * @throws DTypeError if it is something else, DisposedError if it was disposed
 */
export function checkTensor(value: unknown, op: string, name = 'x'): Tensor {
  if (!(value instanceof Tensor)) throw new DTypeError(`${op}: expected ${name} to be a tensor, but got ${describe(value)}`);
  value.check(op);
  return value;
}
