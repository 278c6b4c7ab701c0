// Losses: mean squared and mean absolute error, plain or over the valid elements of a mask.
import { record } from '../autograd';
import { backend } from '../device';
import { DTYPES, type DType } from '../dtype';
import { DeviceError, DTypeError, ShapeError } from '../errors';
import type { Fields } from '../native';
import { checkOptions } from '../options';
import { checkTensor, describe, empty, formatShape, sizeOf, type Tensor } from '../tensor';
import { autocastWide } from './autocast';
import { broadcastStrides, castTo, sameShape } from './kernels';

/** LossOp in native/ops.h. */
const LOSS = { squared: 0, absolute: 1 } as const;

/** LossReduction in native/ops.h. */
const REDUCTIONS = { none: 0, mean: 1, sum: 2 } as const;

export type Reduction = keyof typeof REDUCTIONS;

export interface LossOptions {
  /** 'mean' over all elements (with a mask: the valid ones), their 'sum', or 'none': an error per element. Default 'mean'. */
  readonly reduction?: Reduction;
}

const MOST_DIMENSIONS = 8; // kMaxRank in native/ops.h

/** MaskLayout in native/ops.h. */
function layoutFields(x: readonly number[], mask: readonly number[] | null): Fields {
  const fields = new Float64Array(1 + 2 * MOST_DIMENSIONS);
  if (mask === null || sameShape(x, mask)) {
    fields.set([1, sizeOf(x)]);
    fields[1 + MOST_DIMENSIONS] = 1;
  } else {
    fields.set([x.length, ...x]);
    fields.set(broadcastStrides(mask, x), 1 + MOST_DIMENSIONS);
  }
  return fields;
}

function checkPair(op: string, x: Tensor, target: Tensor): void {
  checkTensor(x, op);
  checkTensor(target, op, 'target');
  if (DTYPES[x.dtype].kind !== 'float') throw new DTypeError(`${op}: expected x of floating point dtype, but got ${describe(x)}`);
  if (target.dtype !== x.dtype)
    throw new DTypeError(`${op}: expected x and target of one dtype, but x is ${x.dtype} and target ${target.dtype}`);
  if (target.device !== x.device) {
    throw new DeviceError(`${op}: expected x and target on one device, but x is on ${x.device} and target on ${target.device}`);
  }
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(`${op}: expected a target of x's shape ${formatShape(x.shape)}, but got target ${formatShape(target.shape)}`);
  }
}

/** The mask as native code takes it: bools, bytes, or the dtype that x is computed in. */
function checkMask(op: string, x: Tensor, mask: Tensor): Tensor {
  const { kind } = DTYPES[mask.dtype];
  if (kind === 'complex') throw new DTypeError(`${op}: expected a real or bool mask, but got ${describe(mask)}`);
  if (mask.device !== x.device)
    throw new DeviceError(`${op}: expected x and mask on one device, but x is on ${x.device} and the mask on ${mask.device}`);
  const lead = x.rank - mask.rank;
  if (lead < 0 || mask.shape.some((size, d) => size !== 1 && size !== x.shape[d + lead])) {
    throw new ShapeError(`${op}: expected a mask that broadcasts to x ${formatShape(x.shape)}, but got mask ${formatShape(mask.shape)}`);
  }
  const dtype: DType = kind === 'float' ? DTYPES[x.dtype].accumulator : mask.dtype === 'int32' ? 'bool' : mask.dtype;
  return castTo(mask, dtype, op);
}

const operand = (t: Tensor | null, op: string) => [t?.raw(op) ?? null, t?.code ?? 0] as const;

function loss(
  op: string,
  kind: keyof typeof LOSS,
  givenX: Tensor,
  givenTarget: Tensor,
  given: Tensor | null,
  options: LossOptions | undefined,
): Tensor {
  const { reduction = 'mean' } = checkOptions(op, options, ['reduction']) as LossOptions;
  if (!Object.hasOwn(REDUCTIONS, reduction)) {
    throw new ShapeError(`${op}: expected reduction to be 'mean', 'sum' or 'none', but got ${describe(reduction)}`);
  }
  const [x, target] = [autocastWide(givenX), autocastWide(givenTarget)];
  checkPair(op, x, target);
  const mask = given && checkMask(op, x, given);
  const numbers = [LOSS[kind], REDUCTIONS[reduction], layoutFields(x.shape, mask?.shape ?? null)] as const;
  const y = empty(reduction === 'none' ? x.shape : [], x.dtype, x.device, op);
  const weight = reduction === 'none' ? null : empty([1], 'float64', x.device, op);
  backend(x.device).loss(
    ...numbers,
    ...operand(x, op),
    ...operand(target, op),
    ...operand(mask, op),
    ...operand(y, op),
    ...operand(weight, op),
  );
  return record(op, y, [x, target], [x, target, mask, weight], (dy, needs, [x, target, mask = null, weight = null]) => {
    const [dx = null, dtarget = null] = needs.map((needed) => (needed && x ? empty(x.shape, x.dtype, x.device, op) : null));
    const inputs = [x, target, mask, weight, dy].flatMap((t) => operand(t ?? null, op)) as Inputs;
    backend(dy.device).lossBackward(...numbers, ...inputs, ...operand(dx, op), ...operand(dtarget, op));
    return [dx, dtarget];
  });
}

type One = ReturnType<typeof operand>;
type Inputs = [...One, ...One, ...One, ...One, ...One];

/**
 * Mean squared error: the mean over all elements of (x - target)^2. Sums are kept in float64. Without elements NaN, as in PyTorch.
 * Source: PyTorch, torch.nn.functional.mse_loss, without its silent broadcasting.
 * @param x of any shape and floating point dtype
 * @param target of x's shape and dtype
 * @returns one element of shape [], or with reduction 'none' x's shape; gradients reach x and target
 * @throws ShapeError if the shapes differ or an option is unknown, DTypeError if the dtypes differ or are not of floating point,
 * DeviceError if the devices differ
 */
export const mseLoss = (x: Tensor, target: Tensor, options?: LossOptions): Tensor => loss('mseLoss', 'squared', x, target, null, options);

/**
 * Mean absolute error: the mean over all elements of |x - target|; its gradient is 0 where both agree. Otherwise as mseLoss.
 * Source: PyTorch, torch.nn.functional.l1_loss.
 * @throws ShapeError if the shapes differ or an option is unknown, DTypeError if the dtypes differ or are not of floating point,
 * DeviceError if the devices differ
 */
export const l1Loss = (x: Tensor, target: Tensor, options?: LossOptions): Tensor => loss('l1Loss', 'absolute', x, target, null, options);

/**
 * Mean squared error over the valid elements: sum(mask * (x - target)^2) / sum(mask), the mask broadcast to x. What lies under a 0 of
 * the mask is never used: NaN there, in x or target, changes neither the loss nor a gradient, and its gradient is 0. Without a valid
 * element the loss is 0, and so are all gradients. No gradient flows into the mask.
 * @param x of any shape and floating point dtype
 * @param target of x's shape and dtype
 * @param mask broadcasts to x as in NumPy ([N, 1, L], [L], ...); bool or integer (not 0 is valid), or a weight of floating point dtype
 * @returns one element of shape [], or with reduction 'none' x's shape (0 under a 0 of the mask)
 * @throws ShapeError if the shapes disagree or an option is unknown, DTypeError if the dtypes do, DeviceError if the devices do
 */
export const maskedMseLoss = (x: Tensor, target: Tensor, mask: Tensor, options?: LossOptions): Tensor =>
  loss('maskedMseLoss', 'squared', x, target, checkTensor(mask, 'maskedMseLoss', 'mask'), options);

/**
 * Mean absolute error over the valid elements: sum(mask * |x - target|) / sum(mask); otherwise as maskedMseLoss.
 * @throws ShapeError if the shapes disagree or an option is unknown, DTypeError if the dtypes do, DeviceError if the devices do
 */
export const maskedL1Loss = (x: Tensor, target: Tensor, mask: Tensor, options?: LossOptions): Tensor =>
  loss('maskedL1Loss', 'absolute', x, target, checkTensor(mask, 'maskedL1Loss', 'mask'), options);
