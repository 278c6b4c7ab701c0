// Channels last: the form in which a GPU's convolutions keep tensors between them (native/conv.h). Any other op gets the dense form.
import { backend, onHost } from '../device';
import { DTYPES, type DType } from '../dtype';
import type { DeviceBuffer, Fields } from '../native';
import { type ChannelsLast, Storage } from '../storage';
import { Tensor } from '../tensor';

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

/** Which operands of a convolution lie with channels last. */
export interface Formats {
  readonly g: Fields;
  readonly x: boolean;
  /** Where the result does: [n, o, ho, wo]. */
  readonly y: Fields | null;
}

const sameImage = (image: ChannelsLast, g: Fields): boolean => [0, 1, 2, 3].every((i) => image.shape[i] === g[i]);

/** The formats for a pass of geometry g; on the CPU all is dense. */
export function formatsOf(g: Fields, pass: number, x: Tensor): Formats {
  if (onHost(x.device)) return { g, x: false, y: null };
  const taken = backend(x.device).convFormats(g, pass, x.code);
  const image = x.storage.channelsLast;
  const asItIs = (taken & TAKES_X) !== 0 && image !== null && sameImage(image, g);
  const y = (taken & TAKES_Y) !== 0 ? Float64Array.of(g[0] as number, g[4] as number, g[7] as number, g[8] as number) : null;
  if (!asItIs && y === null) return { g, x: false, y };
  const formatted = g.slice();
  formatted[X_CHANNELS_LAST] = Number(asItIs);
  formatted[Y_CHANNELS_LAST] = Number(y !== null);
  return { g: formatted, x: asItIs, y };
}

/** A tensor for the result of a convolution of x, with channels last. */
export const emptyResult = (shape: readonly number[], image: Fields, x: Tensor): Tensor =>
  emptyChannelsLast(shape, image, backend(x.device).channelsLastSize(image, x.code), x);

/** For an element-wise op that leaves zero as it is: a tensor of x's form where that is channels last, else null. */
export function emptyInFormat(x: Tensor, dtype: DType): Tensor | null {
  const image = x.storage.channelsLast;
  if (image === null || dtype !== x.dtype) return null;
  const y = emptyChannelsLast(x.shape, image.shape, image.buffer.length / DTYPES[dtype].lanes, x);
  y.storage.zeroUnder = x.storage.zeroUnder;
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
