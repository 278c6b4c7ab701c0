// Partial convolution: y = (conv(select(mask, x)) * ratio + bias) * updated, and the mask that comes out of it.
import { DTYPES } from '../dtype';
import { DeviceError, DTypeError } from '../errors';
import { checkOptions } from '../options';
import { checkTensor, describe, type Tensor } from '../tensor';
import { autocastSteps } from './autocast';
import { checkOperands, convolveSteps } from './conv';
import { type ConvOptions, type ConvShapes, type ConvSpec, convSpec } from './conv_geometry';
import { markUnknown, maskIdentity } from './mask_identity';
import {
  type CountedHoles,
  type CountOptions,
  type CountSpec,
  countSpec,
  type HolesOf,
  holesSteps,
  releaseHoles,
  updatedMask,
} from './mask_ratio';
import { isZeroUnder, noteZeros } from './memory_format';
import { runSync, type Steps } from './steps';

export interface PartialConvOptions extends ConvOptions, CountOptions {
  /** Return [output, updatedMask] instead of the output alone. Default false. */
  readonly returnMask?: boolean;
}

/** One partial convolution, options validated. */
export interface PartialCall {
  readonly spec: ConvSpec;
  readonly count: CountSpec;
  readonly x: Tensor;
  readonly mask: Tensor | null;
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  readonly returnMask: boolean;
}

/** Gives the prepared mask: from a cache, or the steps that compute it. */
export type FindHoles = (shapes: ConvShapes, of: HolesOf, mask: Tensor | null) => CountedHoles | Steps<CountedHoles>;

function checkMask(op: string, mask: unknown, x: Tensor): void {
  if (mask === null) return;
  const tensor = checkTensor(mask, op, 'mask');
  if (tensor.device !== x.device)
    throw new DeviceError(`${op}: expected x and mask on one device, but x is on ${x.device} and the mask on ${tensor.device}`);
}

/** The output, and the updated mask where it is asked for. */
export interface PartialOutput {
  readonly y: Tensor;
  readonly mask: Tensor | null;
}

/** The partial convolution. */
export const partialConvSteps = (given: PartialCall, find: FindHoles): Steps<PartialOutput> =>
  autocastSteps(given.spec.op, given, (call) => steps(call, find, call !== given));

/** In autocast() the mask that comes out is not of the 16 bits of x. */
function* steps(call: PartialCall, find: FindHoles, autocast: boolean): Steps<PartialOutput> {
  const { spec, count, x, mask, weight, bias, returnMask } = call;
  const shapes = checkOperands(spec, x, weight, bias);
  checkMask(spec.op, mask, x);
  if (x.dtype === 'int32') throw new DTypeError(`${spec.op}: expected x of floating point or complex dtype, but got ${describe(x)}`);
  const found = find(shapes, x, mask);
  const holes = 'ratio' in found ? found : yield* found;
  const zeroInHoles = mask !== null && isZeroUnder(x, mask);
  const y = yield* convolveSteps({ spec, shapes, x, weight, bias, holes, zeroInHoles });
  const updated = returnMask ? updatedMask(holes, shapes, count, autocast ? DTYPES[x.dtype].accumulator : x.dtype) : null;
  releaseHoles(holes, mask);
  if (updated === null) return { y, mask: null };
  if (mask !== null && maskIdentity(mask) === null) markUnknown(updated);
  noteZeros(y, mask, updated);
  return { y, mask: updated };
}

/** Holes computed anew each time. */
export const computeHoles =
  (spec: ConvSpec, count: CountSpec): FindHoles =>
  (shapes, of, mask) =>
    holesSteps(spec, count, shapes, of, mask);

const KNOWN = ['stride', 'padding', 'dilation', 'groups', 'paddingMode', 'multiChannel', 'countGroups', 'eps', 'returnMask'];

type Result<R> = R extends true ? [Tensor, Tensor] : Tensor;

function partialConvolution<R extends boolean>(
  dims: 1 | 2,
  x: Tensor,
  mask: Tensor | null,
  weight: Tensor,
  bias: Tensor | null,
  options: PartialConvOptions | undefined,
): Result<R> {
  const op = `partialConv${dims}d`;
  const checked = checkOptions(op, options, KNOWN) as PartialConvOptions;
  checkTensor(weight, op, 'weight');
  const spec = convSpec(op, dims, weight.rank === dims + 2 ? weight.shape.slice(2) : new Array(dims).fill(1), checked);
  const count = countSpec(op, checked);
  const call = { spec, count, x, mask, weight, bias, returnMask: checked.returnMask ?? false };
  const result = runSync(partialConvSteps(call, computeHoles(spec, count)));
  return (result.mask === null ? result.y : [result.y, result.mask]) as Result<R>;
}

/**
 * 1-D partial convolution: `y = (conv(select(mask, x)) * ratio + bias) * updated` with `ratio = window / count` where a window has
 * valid cells, else 0, and `updated = min(count, 1)`. A value of x under a 0 of the mask is never read: NaN there changes nothing.
 * Source: Liu et al., Image Inpainting for Irregular Holes Using Partial Convolutions, 2018.
 * @param x [N, C, L] or [C, L], floating point or complex
 * @param mask 1 = valid; [N, 1, L], [1, 1, L], [N, L] or [L]; with multiChannel also [N, C, L], [1, C, L] or, for an unbatched x, [C, L].
 * null: all valid, the zero padding is the only hole
 * @param weight [O, C / groups, K]
 * @param bias [O] or null
 * @returns y [N, O, L'], with returnMask [y, updated mask [N or 1, 1, L']] ([N or 1, O, L'] with multiChannel); unbatched without N
 * @throws ShapeError if shapes or options disagree, DTypeError if dtypes do, DeviceError if devices do
 */
export function partialConv1d<R extends boolean = false>(
  x: Tensor,
  mask: Tensor | null,
  weight: Tensor,
  bias: Tensor | null = null,
  options?: PartialConvOptions & { readonly returnMask?: R },
): Result<R> {
  return partialConvolution<R>(1, x, mask, weight, bias, options);
}

/**
 * 2-D partial convolution; as partialConv1d, with [H, W] in place of [L].
 * @param x [N, C, H, W] or [C, H, W]
 * @param mask [N, 1, H, W], [1, 1, H, W], [N, H, W] or [H, W]; with multiChannel [N, C, H, W], [1, C, H, W] or (unbatched) [C, H, W] too
 * @param weight [O, C / groups, kH, kW]
 * @returns y [N, O, H', W'], with returnMask [y, updated mask [N or 1, 1, H', W']] ([N or 1, O, H', W'] with multiChannel); unbatched
 * without N
 * @throws ShapeError if shapes or options disagree, DTypeError if dtypes do, DeviceError if devices do
 */
export function partialConv2d<R extends boolean = false>(
  x: Tensor,
  mask: Tensor | null,
  weight: Tensor,
  bias: Tensor | null = null,
  options?: PartialConvOptions & { readonly returnMask?: R },
): Result<R> {
  return partialConvolution<R>(2, x, mask, weight, bias, options);
}
