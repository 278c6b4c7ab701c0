// Guard elements round every buffer that an op reads or writes, so that a kernel that leaves its buffer is caught.
import { type DType, fromBuffer, type Tensor } from '../../ts';
import { DTYPES, type TypedArray } from '../../ts/dtype';
import { native } from '../../ts/native';
import { Storage } from '../../ts/storage';
import type { Values } from '../reference';
import { encode } from './tensors';

const WIDTH = 37; // odd, so that what lies between is aligned to nothing
const PATTERN = 0xa5;

interface Guarded {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** While installed: every buffer that the library allocates has guards, and none is freed before it was checked. */
export class Guards {
  private readonly known: Guarded[] = [];
  private readonly allocate = Storage.allocate;
  private readonly release = native.release;

  install(): void {
    Storage.allocate = (size, dtype) => new Storage(this.guard(size, dtype));
    native.release = () => {};
  }

  remove(): void {
    Storage.allocate = this.allocate;
    native.release = this.release;
    this.known.length = 0;
  }

  private guard(size: number, dtype: DType): TypedArray {
    const { array: ArrayType, lanes } = DTYPES[dtype];
    const whole = new ArrayType(size * lanes + 2 * WIDTH);
    const array = whole.subarray(WIDTH, WIDTH + size * lanes);
    const bytes = new Uint8Array(whole.buffer);
    bytes.fill(PATTERN);
    array.fill(0);
    this.known.push({ bytes, start: array.byteOffset, end: array.byteOffset + array.byteLength });
    return array;
  }

  /** A tensor on the caller's memory, in the middle of a larger buffer. Reading the guards gives odd numbers. */
  shared(v: Values, dtype: DType): Tensor {
    const array = this.guard(v.data.length / (v.complex ? 2 : 1), dtype);
    array.set(encode(v.data, dtype) as Float32Array);
    return fromBuffer(array, [...v.shape], dtype);
  }

  /** @throws Error if a guard was written since */
  check(): void {
    for (const { bytes, start, end } of this.known) {
      for (let i = 0; i < start; i++)
        if (bytes[i] !== PATTERN) throw new Error(`guard: byte ${i - start} before a buffer of ${end - start} bytes was written`);
      for (let i = end; i < bytes.length; i++)
        if (bytes[i] !== PATTERN) throw new Error(`guard: byte ${i - end} behind a buffer of ${end - start} bytes was written`);
    }
    this.known.length = 0;
  }
}
