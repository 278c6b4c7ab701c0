// The error taxonomy, as tests check it.
import { expect } from 'chai';
import { BackendError, DeviceError, DisposedError, DTypeError, ShapeError } from '../../ts';

export type TypedError = Error & { readonly code: string };

const CLASSES = {
  ERR_SHAPE: ShapeError,
  ERR_DTYPE: DTypeError,
  ERR_DEVICE: DeviceError,
  ERR_DISPOSED: DisposedError,
  ERR_BACKEND: BackendError,
};

/** True for one of the five errors, with its own code. */
export function isTyped(error: unknown): error is TypedError {
  return Object.entries(CLASSES).some(([code, type]) => error instanceof type && error.code === code && error.message.length > 0);
}

/** Runs f, which has to throw one of the five errors; returns it. */
export function expectTyped(f: () => unknown, what = 'error'): TypedError {
  try {
    f();
  } catch (error) {
    if (isTyped(error)) return error;
    expect.fail(`${what}: expected a typed error, but got ${error instanceof Error ? error.stack : String(error)}`);
  }
  return expect.fail(`${what}: nothing was thrown`);
}
