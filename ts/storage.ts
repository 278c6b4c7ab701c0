// The memory of tensors: one typed array or one buffer of a GPU, shared by the views on it, with the version that makes caching by identity
// safe.
import { backend, type Device, isDeviceBuffer, onHost } from './device';
import { DTYPES, type DType } from './dtype';
import { BackendError, DisposedError } from './errors';
import { type Memory, native } from './native';

export class Storage {
  /** Raised by every in-place operation. */
  version = 0;
  /** Set when someone outside may write the memory (data was handed out, or fromBuffer): nothing is cached by it from then on. */
  shared = false;
  /** Async ops that are reading the memory now. */
  readers = 0;
  /** Tensors on this memory; at 0 it is released. */
  private owners = 0;
  private array: Memory | null;
  /** What caches know the memory by: itself, or the memory that freeze() was called on. */
  readonly origin: Storage;

  constructor(array: Memory, origin?: Storage) {
    this.array = array;
    this.origin = origin ?? this;
  }

  /** Memory for `size` elements; on the host zeros, elsewhere undefined contents. */
  static allocate(size: number, dtype: DType, op: string, device: Device = 'cpu'): Storage {
    const { array: ArrayType, lanes, bytes } = DTYPES[dtype];
    if (!onHost(device)) return new Storage(backend(device).allocate(size * bytes, size * lanes));
    try {
      return new Storage(new ArrayType(size * lanes));
    } catch {
      throw new BackendError(`${op}: out of memory: ${size} elements of ${dtype} (${size * bytes} bytes) cannot be allocated`);
    }
  }

  /** The memory, checked to have `length` array elements still. */
  read(length: number, op: string): Memory {
    if (this.array === null) throw new DisposedError(`${op}: the tensor was disposed`);
    if (this.array.length < length) {
      throw new DisposedError(
        `${op}: expected ${length} elements in the tensor's memory, but its buffer was detached or shrunk to ${this.array.length}`,
      );
    }
    return this.array;
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
   * The contents as they are now, for an async op of several steps: later in-place changes and dispose() of this memory leave them, as
   * does whoever else can write it (then they are a copy, which nothing is cached by).
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

  get disposed(): boolean {
    return this.array === null;
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
    if (--this.owners > 0 || array === null) return;
    this.array = null;
    if (isDeviceBuffer(array)) {
      if (this.origin === this) array.dispose();
    } else if (!this.shared && this.readers === 0 && array.buffer instanceof ArrayBuffer) native.release(array.buffer);
  }
}
