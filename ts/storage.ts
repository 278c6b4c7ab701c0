// The memory of tensors: one typed array or one buffer of a GPU, shared by the views on it, with the version that makes caching by identity
// safe.
import { backend, type Device, isDeviceBuffer, onHost } from './device';
import { DTYPES, type DType } from './dtype';
import { BackendError, DisposedError } from './errors';
import { memoryPool } from './memory_pool';
import type { DeviceBuffer, Fields, Memory } from './native';

/** Contents of a GPU's memory as convolutions there keep them: channels last, with zeros round the tensor (native/conv.h). */
export interface ChannelsLast {
  readonly buffer: DeviceBuffer;
  /** [n, c, h, w], as ImageShape in native/ops.h. */
  readonly shape: Fields;
  readonly dtype: DType;
  readonly device: Device;
}

/** A mask in whose zeros a tensor is zero: its memory, and the version of that. */
export interface ZeroUnder {
  readonly mask: Storage;
  readonly version: number;
}

/** The memory that ops have read since a watch began, with its version then; null: nobody watches. */
let watched: Map<Storage, number> | null = null;

/** Runs fn and tells which memory its ops read, with its version at the first time. Not for async functions. */
export function watchReads<T>(fn: () => T): { readonly result: T; readonly reads: ReadonlyMap<Storage, number> } {
  const outer = watched;
  const reads = new Map<Storage, number>();
  watched = reads;
  try {
    return { result: fn(), reads };
  } finally {
    watched = outer;
  }
}

export class Storage {
  /** Raised by every in-place operation. */
  version = 0;
  /** Set when someone outside may write the memory (data was handed out, or fromBuffer): nothing is cached by it from then on. */
  shared = false;
  /** On a GPU: what caches keep of the memory (packed weights), which goes with it. */
  private dependents: Set<Disposable> | null = null;
  /** Async ops that are reading the memory now. */
  readers = 0;
  /** Tensors on this memory; at 0 it is released. */
  private owners = 0;
  private array: Memory | null;
  /** In place of the array: the contents with channels last, until an op asks for the array. */
  private image: ChannelsLast | null = null;
  /** Where the contents are known to be zero; and whether all of them are 0 or 1. Both until the memory is written. */
  zeroUnder: ZeroUnder | null = null;
  zerosAndOnes = false;
  /** What caches know the memory by: itself, or the memory that freeze() was called on. */
  readonly origin: Storage;

  constructor(array: Memory | null, origin?: Storage) {
    this.array = array;
    this.origin = origin ?? this;
  }

  /**
   * New memory, its contents not set unless `zeroed`: an op writes all of its result, and clearing it first would be a pass of its own.
   * @throws BackendError if it cannot be had
   */
  static allocate(size: number, dtype: DType, op: string, zeroed = false, device: Device = 'cpu'): Storage {
    return onHost(device) ? Storage.inArray(size, dtype, op, zeroed) : Storage.inBuffer(size, dtype, zeroed, device);
  }

  /** Memory whose contents are channels last. */
  static channelsLast(image: ChannelsLast): Storage {
    const storage = new Storage(null);
    storage.image = image;
    return storage;
  }

  private static inBuffer(size: number, dtype: DType, zeroed: boolean, device: Device): Storage {
    const { lanes, bytes, code } = DTYPES[dtype];
    const addon = backend(device);
    const buffer = addon.allocate(size * bytes, size * lanes);
    if (zeroed) addon.fill(0, 0, buffer, code);
    return new Storage(buffer);
  }

  private static inArray(size: number, dtype: DType, op: string, zeroed: boolean): Storage {
    const { array: ArrayType, bytes } = DTYPES[dtype];
    try {
      return new Storage(new ArrayType(memoryPool.take(size * bytes, zeroed)));
    } catch {
      throw new BackendError(`${op}: out of memory: ${size} elements of ${dtype} (${size * bytes} bytes) cannot be allocated`);
    }
  }

  /** The memory, checked to have `length` array elements still. */
  read(length: number, op: string): Memory {
    if (watched !== null && !watched.has(this)) watched.set(this, this.version);
    if (this.array === null) return this.toDense(op);
    if (this.array.length < length) {
      throw new DisposedError(
        `${op}: expected ${length} elements in the tensor's memory, but its buffer was detached or shrunk to ${this.array.length}`,
      );
    }
    return this.array;
  }

  /** The contents with channels last, for an op that takes them so; null where they are an array. */
  get channelsLast(): ChannelsLast | null {
    return this.image;
  }

  /** Checks that there is memory for `length` array elements still, in whichever form. */
  check(length: number, op: string): void {
    if (watched !== null && !watched.has(this)) watched.set(this, this.version);
    if (this.image === null) this.read(length, op);
  }

  private toDense(op: string): Memory {
    const { image } = this;
    if (image === null) throw new DisposedError(`${op}: the tensor was disposed`);
    const { lanes, bytes, code } = DTYPES[image.dtype];
    const size = image.shape.reduce((a, b) => a * b, 1);
    const addon = backend(image.device);
    const array = addon.allocate(size * bytes, size * lanes);
    addon.convToDense(image.shape, image.buffer, code, array, code);
    this.array = array;
    this.image = null;
    image.buffer.dispose();
    return array;
  }

  /** Marks the memory as being read by an async op, until the returned function is called. */
  acquire(): () => void {
    const { array } = this;
    this.readers++;
    return () => {
      if (this.array === array) this.readers--;
    };
  }

  /**
   * The contents of an array as they are now, for an async op of several steps: later in-place changes and dispose() of this memory
   * leave them, as does whoever else can write it (then they are a copy, which nothing is cached by).
   * @returns the memory, and the function that ends its use
   */
  freeze(op: string): { storage: Storage; release: () => void } {
    const array = this.read(0, op);
    const frozen = this.shared && !isDeviceBuffer(array) ? new Storage(array.slice()) : new Storage(array, this);
    frozen.shared = this.shared;
    frozen.version = this.version;
    frozen.readers = 1; // it is never the one to free the array
    return { storage: frozen, release: this.shared ? () => {} : this.acquire() };
  }

  /** The memory, to be written in place: the version rises; a running async op keeps the old contents. */
  write(length: number, op: string): Memory {
    const array = this.apartFromReaders(length, op);
    this.version++;
    this.zeroUnder = null;
    this.zerosAndOnes = false;
    return array;
  }

  /** The memory for someone outside, who may write it at any time from now on; a running async op keeps the old contents. */
  share(length: number, op: string): Memory {
    const array = this.apartFromReaders(length, op);
    this.shared = true;
    return array;
  }

  private apartFromReaders(length: number, op: string): Memory {
    let array = this.read(length, op);
    // A GPU runs what is given to it in order: who reads now reads before a later write.
    if (this.readers > 0 && !this.shared && !isDeviceBuffer(array)) {
      array = array.slice();
      this.array = array;
      this.readers = 0;
    }
    return array;
  }

  /** On a GPU: t, which a cache keeps of this memory, goes when the memory goes; or, with false, has gone. */
  keep(t: Disposable, kept = true): void {
    this.dependents ??= new Set();
    if (kept) this.dependents.add(t);
    else this.dependents.delete(t);
  }

  get disposed(): boolean {
    return this.array === null && this.image === null;
  }

  /** True where one tensor alone has the memory. */
  get exclusive(): boolean {
    return this.owners === 1 && !this.shared;
  }

  own(): void {
    this.owners++;
  }

  /** One owner less; the last one releases the memory at once, unless someone outside or a running op still has the array. */
  disown(): void {
    const { array } = this;
    if (--this.owners > 0) return;
    this.image?.buffer.dispose();
    this.image = null;
    if (array === null) return;
    this.array = null;
    if (isDeviceBuffer(array)) {
      array.dispose();
      for (const t of this.dependents ?? []) t[Symbol.dispose]();
      this.dependents = null;
    } else if (!this.shared && this.readers === 0 && array.buffer instanceof ArrayBuffer) memoryPool.give(array.buffer);
  }
}
