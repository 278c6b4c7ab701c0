// Channels last: the form in which a GPU's convolutions keep tensors between them (native/conv.h). Any other op gets the dense form.
import { backend, onHost } from '../device';
import { DTYPES, type DType } from '../dtype';
import type { DeviceBuffer, Fields } from '../native';
import { Storage } from '../storage';
import { Tensor } from '../tensor';
import { broadcastFields } from './kernels';

/** Of a ConvGeometry in native/ops.h. */
const X_CHANNELS_LAST = 21;
const Y_CHANNELS_LAST = 22;

const TAKES_X = 1;
const TAKES_Y = 2;

/** The memory of a tensor that lies with channels last. */
export function channelsLastBuffer(t: Tensor): DeviceBuffer {
  const image = t.storage.channelsLast;
  if (image === null) throw new TypeError('the tensor does not lie with channels last');
  return image.buffer;
}

/** A new tensor of `shape` whose memory lies with channels last, as [n, c, h, w]; contents undefined. */
function emptyChannelsLast(shape: readonly number[], image: Fields, size: number, like: Tensor): Tensor {
  const { dtype, device } = like;
  const { lanes, bytes } = DTYPES[dtype];
  const buffer = backend(device).allocate(size * bytes, size * lanes);
  return new Tensor(Storage.channelsLast({ buffer, shape: image, dtype, device }), [...shape], dtype, device);
}

/** [n, c, h, w] of x, and [n, o, ho, wo] of y. */
export const xImage = (g: Fields): Fields => g.slice(0, 4);
export const yImage = (g: Fields): Fields => Float64Array.of(g[0] as number, g[4] as number, g[7] as number, g[8] as number);

/** True where t lies with channels last, as that image. */
export const liesAs = (t: Tensor, shape: Fields): boolean => t.storage.channelsLast?.shape.every((size, i) => size === shape[i]) ?? false;

/** The operands of a convolution's pass that lie with channels last (of the backward passes: dx or x, and dy), and g with that noted. */
export interface Formats {
  readonly g: Fields;
  readonly x: boolean;
  readonly y: boolean;
}

/** The formats for a pass of geometry g on tensors like t; x, y: whether they may lie with channels last. On the CPU all is dense. */
export function formatsOf(g: Fields, pass: number, t: Tensor, x: boolean, y: boolean): Formats {
  const taken = onHost(t.device) || !(x || y) ? 0 : backend(t.device).convFormats(g, pass, t.code);
  const formats = { g, x: x && (taken & TAKES_X) !== 0, y: y && (taken & TAKES_Y) !== 0 };
  return formats.x || formats.y ? { ...formats, g: withFormats(g, formats.x, formats.y) } : formats;
}

/** g with the notes that x and y lie with channels last. */
export function withFormats(g: Fields, x: boolean, y: boolean): Fields {
  const formatted = g.slice();
  formatted[X_CHANNELS_LAST] = Number(x);
  formatted[Y_CHANNELS_LAST] = Number(y);
  return formatted;
}

/** A tensor for the result of a convolution of tensors like x, with channels last. */
export const emptyResult = (shape: readonly number[], image: Fields, x: Tensor): Tensor =>
  emptyChannelsLast(shape, image, backend(x.device).channelsLastSize(image, x.code), x);

/** A tensor of x's form where that is channels last, else null. */
function emptyInFormat(x: Tensor, dtype: DType): Tensor | null {
  const image = x.storage.channelsLast;
  if (image === null || dtype !== x.dtype) return null;
  return emptyChannelsLast(x.shape, image.shape, image.buffer.length / DTYPES[dtype].lanes, x);
}

/** op(x) for an element-wise op of native/ops.h that leaves zero as it is, where x is channels last; else null. */
export function unaryInFormat(op: number, x: Tensor): Tensor | null {
  const y = emptyInFormat(x, x.dtype);
  if (y === null) return null;
  backend(x.device).unary(op, channelsLastBuffer(x), x.code, channelsLastBuffer(y), y.code);
  y.storage.zeroUnder = x.storage.zeroUnder;
  return y;
}

/** op(a, b) for an element-wise op of native/ops.h that is 0 where both are, where a and b are channels last; else null. */
export function binaryInFormat(op: number, a: Tensor, b: Tensor): Tensor | null {
  const [image, other] = [a.storage.channelsLast, b.storage.channelsLast];
  if (image === null || other === null || !liesAs(b, image.shape)) return null;
  const y = emptyInFormat(a, b.dtype);
  if (y === null) return null;
  const shape = [image.buffer.length];
  backend(a.device).binary(
    op,
    broadcastFields(shape, shape, shape),
    image.buffer,
    a.code,
    other.buffer,
    b.code,
    channelsLastBuffer(y),
    y.code,
  );
  return y;
}

/** Notes that y is zero where its updated mask is. `given` is the mask that it was computed with. */
export function noteZeros(y: Tensor, given: Tensor | null, updated: Tensor): void {
  if (onHost(y.device)) return;
  const hard = given === null || given.storage.zerosAndOnes || DTYPES[given.dtype].kind === 'int' || DTYPES[given.dtype].kind === 'bool';
  if (!hard) return;
  updated.storage.zerosAndOnes = true;
  y.storage.zeroUnder = { mask: updated.storage, version: updated.storage.version };
}

/** True where x is known to be zero in all zeros of the mask, whose other values are 1: selecting changes nothing. */
export function isZeroUnder(x: Tensor, mask: Tensor): boolean {
  const known = x.storage.zeroUnder;
  return known !== null && mask.storage.zerosAndOnes && known.mask === mask.storage && known.version === mask.storage.version;
}
