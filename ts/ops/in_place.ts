// In-place ops: they raise the version of the memory, and are not recorded for backward().
import { isRecording } from '../autograd';
import { backend, isDeviceBuffer } from '../device';
import { DTYPES, type DType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { checkScalar, type Scalar } from '../scalar';
import { checkTensor, formatShape, Tensor, transferred } from '../tensor';
import { type BinaryName, binaryForward, binaryInto, checkRight, resultDtype } from './elementwise';
import { broadcastShapes, copyOf, expandTo, sameShape } from './kernels';

/** Refuses what would need a gradient. */
function checkUnrecorded(op: string, x: Tensor, other?: Tensor): void {
  checkTensor(x, op);
  if (!isRecording()) return;
  if (x.requiresGrad) {
    const kind = x.isLeaf ? 'a leaf tensor that requires grad' : 'the result of a recorded op';
    throw new DTypeError(`${op}: ${kind} is being used in an in-place operation (shape ${formatShape(x.shape)}); wrap it in noGrad()`);
  }
  if (other?.requiresGrad) {
    throw new DTypeError(
      `${op}: the right operand requires grad (shape ${formatShape(other.shape)}), which an in-place operation does not record; wrap it in noGrad()`,
    );
  }
}

/** A copy of other where its memory overlaps x's otherwise than element by element. */
function apart(op: string, x: Tensor, other: Tensor): Tensor {
  const [a, b] = [x.raw(op), other.raw(op)];
  if (a === b || isDeviceBuffer(a) || isDeviceBuffer(b)) return other; // two buffers of a GPU have no memory in common
  return a.buffer === b.buffer ? copyOf(other, op) : other;
}

const ORDER: Record<string, number> = { bool: 0, int: 1, float: 2, complex: 3 };

const isWider = (dtype: DType, than: DType) => (ORDER[DTYPES[dtype].kind] as number) > (ORDER[DTYPES[than].kind] as number);

function arithmetic(name: BinaryName, x: Tensor, right: Tensor | Scalar): Tensor {
  const op = `${name}_`;
  checkTensor(x, op);
  const value = checkRight(op, x, right);
  checkUnrecorded(op, x, value instanceof Tensor ? value : undefined);
  const dtype = resultDtype(name, x, value);
  if (isWider(dtype, x.dtype)) throw new DTypeError(`${op}: result type ${dtype} can't be cast to the desired output type ${x.dtype}`);
  if (value instanceof Tensor) {
    const shape = broadcastShapes(op, x.shape, value.shape);
    if (!sameShape(shape, x.shape)) {
      throw new ShapeError(`${op}: output with shape ${formatShape(x.shape)} doesn't match the broadcast shape ${formatShape(shape)}`);
    }
  }
  const other = value instanceof Tensor ? apart(op, x, value) : value;
  if (dtype === x.dtype) {
    binaryInto(name, x, other, x.rawForWrite(op));
  } else {
    const { y } = binaryForward(name, x, other);
    backend(x.device).cast(y.raw(op), y.code, x.rawForWrite(op), x.code);
    y.dispose();
  }
  return x;
}

/**
 * x += b, broadcasting b; computed in the promoted dtype and converted to x's.
 * @throws ShapeError if b does not broadcast to x's shape; DTypeError if the result's kind is higher than x's (float into an integer
 * tensor), or while gradients are recorded and one of the two requires them
 */
export const add_ = (x: Tensor, b: Tensor | Scalar): Tensor => arithmetic('add', x, b);

/** x -= b; as add_. */
export const sub_ = (x: Tensor, b: Tensor | Scalar): Tensor => arithmetic('sub', x, b);

/** x *= b; as add_. */
export const mul_ = (x: Tensor, b: Tensor | Scalar): Tensor => arithmetic('mul', x, b);

/** x /= b; as add_. */
export const div_ = (x: Tensor, b: Tensor | Scalar): Tensor => arithmetic('div', x, b);

/**
 * Sets every element.
 * @throws DTypeError if value is not a number that the dtype has, or while gradients are recorded and x requires them
 */
export function fill_(x: Tensor, value: Scalar): Tensor {
  checkUnrecorded('fill_', x);
  const { re, im } = checkScalar('fill_', value, x.dtype);
  backend(x.device).fill(re, im, x.rawForWrite('fill_'), x.code);
  return x;
}

/** Sets every element to 0; as fill_. */
export const zero_ = (x: Tensor): Tensor => fill_(x, 0);

/**
 * Copies other's elements into x, broadcast and converted to x's dtype (as cast() converts). other may be on another device.
 * @throws ShapeError if other does not broadcast to x's shape, DTypeError while gradients are recorded and one of the two requires them
 */
export function copy_(x: Tensor, other: Tensor): Tensor {
  checkTensor(x, 'copy_');
  checkTensor(other, 'copy_', 'the source');
  checkUnrecorded('copy_', x, other);
  const shape = broadcastShapes('copy_', x.shape, other.shape);
  if (!sameShape(shape, x.shape)) {
    throw new ShapeError(`copy_: output with shape ${formatShape(x.shape)} doesn't match the broadcast shape ${formatShape(shape)}`);
  }
  const here = x.device === other.device ? other : transferred(other, x.device, 'copy_');
  const source = expandTo(apart('copy_', x, here), x.shape, 'copy_');
  const memory = x.rawForWrite('copy_');
  backend(x.device).cast(source.raw('copy_'), source.code, memory, x.code);
  if (here !== other) here.dispose();
  return x;
}
