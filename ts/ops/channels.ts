// How ops by channel see their operands: x as [n, c, s], and the mask beside it.
import { DTYPES } from '../dtype';
import { DeviceError, DTypeError, ShapeError } from '../errors';
import { checkTensor, describe, formatShape, sizeOf, type Tensor } from '../tensor';
import { castTo } from './kernels';
import { maskDtype, maskForm } from './mask_ratio';

export interface Channels {
  /** False where x has no dimension for the samples. */
  readonly batched: boolean;
  readonly n: number;
  readonly c: number;
  /** Spatial sizes, and their product. */
  readonly input: readonly number[];
  readonly s: number;
}

/** x [N, C, ...] or, unbatched, [C, ...]; batched is right unless said otherwise. */
export function channelsOf(x: Tensor, batched = true): Channels {
  const [n, c, ...input] = (batched ? x.shape : [1, ...x.shape]) as [number, number, ...number[]];
  return { batched, n, c, input, s: sizeOf(input) };
}

/**
 * Channels of x with `dims` spatial dimensions, batched or not.
 * @throws ShapeError if x has another number of dimensions
 */
export function checkChannels(op: string, x: Tensor, dims: number): Channels {
  if (x.rank !== dims + 1 && x.rank !== dims + 2) {
    throw new ShapeError(`${op}: expected ${dims + 1}D (unbatched) or ${dims + 2}D (batched) input, but got x ${formatShape(x.shape)}`);
  }
  return channelsOf(x, x.rank === dims + 2);
}

/** A mask as native ops take it beside x, [n, c, s] with n and c 1 or those of x. */
export interface ChannelMask {
  readonly mask: Tensor;
  readonly n: number;
  readonly c: number;
}

/**
 * @param mask [N|1, 1|C, ...], [N, ...] or [...], 1 = valid: bool, integer (non-zero is valid) or float
 * @throws ShapeError if it does not fit x, DTypeError if it is complex, DeviceError
 */
export function checkMask(op: string, x: Tensor, channels: Channels, mask: Tensor): ChannelMask {
  checkTensor(mask, op, 'mask');
  if (mask.device !== x.device)
    throw new DeviceError(`${op}: expected x and mask on one device, but x is on ${x.device} and the mask on ${mask.device}`);
  const form = maskForm({ op, dims: channels.input.length }, channels, mask.shape, true);
  return { ...form, mask: castTo(mask, maskDtype(op, mask, DTYPES[x.dtype].accumulator), op) };
}

/**
 * x itself, a tensor of real floating-point dtype.
 * @throws DTypeError
 */
export function checkReal(op: string, x: unknown): Tensor {
  const tensor = checkTensor(x, op);
  if (DTYPES[tensor.dtype].kind !== 'float')
    throw new DTypeError(`${op}: expected x of real floating-point dtype, but got ${describe(tensor)}`);
  return tensor;
}

/**
 * Checks a tensor with one value for each channel.
 * @throws ShapeError, DTypeError, DeviceError
 */
export function checkPerChannel(op: string, name: string, value: Tensor, x: Tensor, size: number): void {
  checkTensor(value, op, name);
  if (value.rank !== 1 || value.size !== size) {
    throw new ShapeError(
      `${op}: ${name} should contain ${size} elements for x ${formatShape(x.shape)}, but got ${name} ${formatShape(value.shape)}`,
    );
  }
  if (value.dtype !== x.dtype)
    throw new DTypeError(`${op}: expected x and ${name} of one dtype, but x is ${x.dtype} and ${name} ${value.dtype}`);
  if (value.device !== x.device)
    throw new DeviceError(`${op}: expected x and ${name} on one device, but x is on ${x.device} and ${name} on ${value.device}`);
}

/** An optional operand of a native op: its memory and dtype code. */
export const operand = (t: Tensor | null | undefined, op: string) => [t?.raw(op) ?? null, t?.code ?? 0] as const;
