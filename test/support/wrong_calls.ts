// Tables of calls that have to throw, and memory that is gone.
import { expect } from 'chai';
import type { BackendError, DeviceError, DisposedError, DTypeError, ShapeError } from '../../ts';
import { expectTyped } from './typed_errors';

/** [what throws, class, part of the message] */
export type Wrong = [
  () => unknown,
  typeof ShapeError | typeof DTypeError | typeof DeviceError | typeof DisposedError | typeof BackendError,
  string,
];

export function expectAll(wrong: readonly Wrong[]): void {
  for (const [f, type, message] of wrong) {
    const error = expectTyped(f, message);
    expect(error, message).to.be.instanceOf(type);
    expect(error.message).to.contain(message);
  }
}

/** A typed array whose buffer was transferred away. */
export function detached(): Float32Array {
  const array = new Float32Array(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}
