// The five errors that the package throws. A message reads: op, what was expected, what came, with whole shapes.

/** Shapes or options disagree. */
export class ShapeError extends RangeError {
  readonly code = 'ERR_SHAPE';
  override readonly name = 'ShapeError';
}

/** dtypes disagree or are not supported by the op; or an argument is not a tensor at all. */
export class DTypeError extends TypeError {
  readonly code = 'ERR_DTYPE';
  override readonly name = 'DTypeError';
}

/** A device is not available, or tensors are on different devices. */
export class DeviceError extends Error {
  readonly code = 'ERR_DEVICE';
  override readonly name = 'DeviceError';
}

/** A tensor was used after dispose(), or the caller's memory under it was detached or shrunk. */
export class DisposedError extends Error {
  readonly code = 'ERR_DISPOSED';
  override readonly name = 'DisposedError';
}

/** The backend failed (memory, CUDA, cuDNN); the process lives on. */
export class BackendError extends Error {
  readonly code = 'ERR_BACKEND';
  override readonly name = 'BackendError';

  constructor(
    message: string,
    /** The failing library call, where there is one. */
    readonly call?: string,
    /** Its status code. */
    readonly status?: number,
  ) {
    super(message);
  }
}
