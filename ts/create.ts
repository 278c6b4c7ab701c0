// New tensors: filled with one value, counted, random. Those from data are in ts/from_data.ts.
import { backend, checkDevice, type Device } from './device';
import { checkDType, DTYPES, type DType, isDifferentiable } from './dtype';
import { DTypeError, ShapeError } from './errors';
import { checkOptions } from './options';
import { normal, uniform } from './random';
import { checkScalar, type Scalar } from './scalar';
import { checkShape, checkTensor, describe, empty, type Tensor, transferred, zeroed } from './tensor';

export interface CreateOptions {
  readonly dtype?: DType;
  /** Another name of dtype. */
  readonly type?: DType;
  /** Default 'cpu'. */
  readonly device?: Device;
  /** Whether backward() accumulates a gradient (default false; floating point and complex only). */
  readonly requiresGrad?: boolean;
}

/** Sizes of the dimensions; a number stands for one dimension. */
export type Shape = number | readonly number[];

interface Checked {
  readonly dtype: DType | undefined;
  readonly device: Device;
  readonly requiresGrad: unknown;
}

export function checkCreateOptions(op: string, options: unknown, known: readonly string[] = []): Checked & Record<string, unknown> {
  const checked = checkOptions(op, options, ['dtype', 'device', 'requiresGrad', ...known], { type: 'dtype', dims: 'shape' });
  return {
    ...checked,
    dtype: checked.dtype === undefined ? undefined : checkDType(op, checked.dtype),
    device: checkDevice(checked.device),
    requiresGrad: checked.requiresGrad ?? false,
  };
}

export const toShape = (op: string, shape: unknown): number[] => checkShape(typeof shape === 'number' ? [shape] : shape, op);

/** A tensor as the options say, its contents written by `write`, or zeros. */
function create(op: string, shape: unknown, options: unknown, defaultDtype: DType, write?: (t: Tensor) => void): Tensor {
  const sizes = toShape(op, shape);
  const { dtype = defaultDtype, device, requiresGrad } = checkCreateOptions(op, options);
  const t = (write === undefined ? zeroed : empty)(sizes, dtype, device, op);
  try {
    write?.(t);
    t.requiresGrad = requiresGrad as boolean;
  } catch (error) {
    t.dispose();
    throw error;
  }
  return t;
}

function write(op: string, t: Tensor, value: Scalar): void {
  const { re, im } = checkScalar(op, value, t.dtype);
  backend(t.device).fill(re, im, t.raw(op), t.code);
}

/**
 * A tensor of zeros, float32 by default.
 * @throws ShapeError, DTypeError, DeviceError, and BackendError if the memory cannot be had
 */
export const zeros = (shape: Shape, options?: CreateOptions): Tensor => create('zeros', shape, options, 'float32');

/** A tensor of ones, float32 by default; errors as zeros(). */
export const ones = (shape: Shape, options?: CreateOptions): Tensor =>
  create('ones', shape, options, 'float32', (t) => write('ones', t, 1));

/**
 * A tensor with one value everywhere; of a number float32 by default, of a boolean bool, of {re, im} complex64.
 * @throws DTypeError if the dtype does not have the value; else as zeros()
 */
export function full(shape: Shape, value: Scalar, options?: CreateOptions): Tensor {
  const dtype = typeof value === 'boolean' ? 'bool' : typeof value === 'object' ? 'complex64' : 'float32';
  return create('full', shape, options, dtype, (t) => write('full', t, value));
}

function like(op: string, x: Tensor, options: CreateOptions | undefined, value: 0 | 1): Tensor {
  const { dtype, device } = checkTensor(x, op);
  const t = create(op, [...x.shape], { device, ...options }, dtype);
  if (value !== 0) write(op, t, value);
  return t;
}

/** Zeros of x's shape, dtype and device, unless the options say otherwise. */
export const zerosLike = (x: Tensor, options?: CreateOptions): Tensor => like('zerosLike', x, options, 0);

/** Ones of x's shape, dtype and device, unless the options say otherwise. */
export const onesLike = (x: Tensor, options?: CreateOptions): Tensor => like('onesLike', x, options, 1);

/** Numbers and options as arange() takes them: (end), (start, end) or (start, end, step), each with options behind. */
function rangeArguments(args: readonly unknown[]): { start: number; end: number; step: number; options: unknown } {
  const numbers = args.filter((value) => typeof value === 'number');
  const rest = args.slice(numbers.length);
  const [first = Number.NaN, second, step = 1] = numbers;
  if (
    numbers.length === 0 ||
    numbers.length > 3 ||
    args.slice(0, numbers.length).some((value) => typeof value !== 'number') ||
    rest.length > 1
  ) {
    throw new DTypeError(
      `arange: expected (end), (start, end) or (start, end, step) and options, but got ${args.map((value) => describe(value)).join(', ') || 'nothing'}`,
    );
  }
  const [start, end] = second === undefined ? [0, first] : [first, second];
  if (![start, end, step].every(Number.isFinite)) throw new ShapeError(`arange: expected finite numbers, but got ${numbers.join(', ')}`);
  if (step === 0) throw new ShapeError('arange: step must be nonzero');
  if ((end - start) * step < 0) {
    throw new ShapeError(`arange: upper bound and lower bound inconsistent with step sign: start ${start}, end ${end}, step ${step}`);
  }
  return { start, end, step, options: rest[0] };
}

/**
 * start, start + step, ... before end, in one dimension; float32 by default. Each value is computed in float64 and rounded once.
 * @param args (end), (start, end) or (start, end, step), then options; start is 0 and step 1 by default
 * @throws ShapeError if the step is 0, leads away from end or a number is not finite; DTypeError if an integer dtype lacks a value or
 * gets a fraction; else as zeros()
 */
export function arange(...args: [end: number, options?: CreateOptions]): Tensor;
export function arange(...args: [start: number, end: number, options?: CreateOptions]): Tensor;
export function arange(...args: [start: number, end: number, step: number, options?: CreateOptions]): Tensor;
export function arange(...args: unknown[]): Tensor {
  const { start, end, step, options } = rangeArguments(args);
  const count = Math.ceil((end - start) / step);
  return create('arange', [count], options, 'float32', (t) => {
    if (DTYPES[t.dtype].kind === 'int') {
      if (![start, step].every(Number.isInteger))
        throw new DTypeError(`arange: ${t.dtype} has no fractions, but got start ${start} and step ${step}`);
      for (const value of count > 0 ? [start, start + step * (count - 1)] : []) checkScalar('arange', value, t.dtype);
    }
    const values = empty([count], 'float64', 'cpu', 'arange');
    const array = values.hostArray('arange');
    for (let i = 0; i < count; i++) array[i] = start + step * i;
    const there = transferred(values, t.device, 'arange');
    backend(t.device).cast(there.raw('arange'), there.code, t.raw('arange'), t.code);
    for (const made of [values, there]) made.dispose();
  });
}

function random(op: string, shape: Shape, options: CreateOptions | undefined, draw: (t: Tensor) => void): Tensor {
  return create(op, shape, options, 'float32', (t) => {
    if (!isDifferentiable(t.dtype)) throw new DTypeError(`${op}: expected a floating point or complex dtype, but got ${t.dtype}`);
    draw(t);
  });
}

/**
 * Uniform random numbers in [0, 1) from the seeded generator, bit for bit PyTorch's; float32 by default. A complex number's parts are
 * two of them.
 * @throws DTypeError if the dtype is not of floating point or complex; else as zeros()
 */
export const rand = (shape: Shape, options?: CreateOptions): Tensor => random('rand', shape, options, (t) => uniform(t, 0, 1, 'rand'));

/**
 * Normal random numbers (mean 0, variance 1) from the seeded generator: PyTorch's, bit for bit below 16 elements, else within 1e-6;
 * float32 by default. A complex number's parts have variance 1/2.
 * @throws DTypeError if the dtype is not of floating point or complex; else as zeros()
 */
export const randn = (shape: Shape, options?: CreateOptions): Tensor => random('randn', shape, options, (t) => normal(t, 0, 1, 'randn'));
