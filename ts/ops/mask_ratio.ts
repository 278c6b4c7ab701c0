// From a mask to what a partial convolution needs of it: the mask in the engine's form, the ratio, and the updated mask.
import { backend, type Device, onHost } from '../device';
import { DTYPES, type DType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { checkOptions } from '../options';
import { checkTensor, describe, empty, formatShape, sizeOf, type Tensor } from '../tensor';
import { type ConvOptions, type ConvShapes, type ConvSpec, convShapes, convSpec, geometryFields, type HoleSizes } from './conv_geometry';
import { expandTo } from './kernels';
import { markCopy } from './mask_identity';
import { runSync, type Steps } from './steps';

/** How the valid cells of a window are counted. */
export interface CountOptions {
  /** The mask has one channel for each channel of x, and the count runs over channels too. Default false. */
  readonly multiChannel?: boolean;
  /** With multiChannel and groups: count each group's channels by themselves (true), or all input channels (false). Default true. */
  readonly countGroups?: boolean;
  /** Added to the count before dividing; 0 divides exactly. Default 0. */
  readonly eps?: number;
}

export interface CountSpec {
  readonly multiChannel: boolean;
  readonly countGroups: boolean;
  readonly eps: number;
}

/** A mask made ready for one geometry. All three are constants: no gradient flows into a mask. */
export interface Holes {
  /** bool, uint8 or the accumulator's dtype, [maskN, maskC, ...input]; null where everything is valid. */
  readonly mask: Tensor | null;
  /** [ratioN, ratioC, ...output] in the accumulator's dtype; null where it is 1 throughout. */
  readonly ratio: Tensor | null;
  readonly updated: Tensor;
  readonly sizes: HoleSizes;
}

/** The holes of a partial convolution. */
export interface CountedHoles extends Holes {
  readonly ratio: Tensor;
  /** A cache has them too: they are not to be disposed of after use. */
  readonly kept?: boolean;
}

/** Frees what was made of a mask for one use; a tape that needs it has handles of its own. */
export function releaseHoles({ mask, ratio, updated, kept = false }: CountedHoles, given: Tensor | null): void {
  if (kept) return;
  for (const t of [mask === given ? null : mask, ratio, updated]) t?.dispose();
}

/**
 * @throws ShapeError for a value that is out of range
 */
export function countSpec(op: string, { multiChannel = false, countGroups = true, eps = 0 }: CountOptions): CountSpec {
  for (const [option, value] of Object.entries({ multiChannel, countGroups })) {
    if (typeof value !== 'boolean') throw new ShapeError(`${op}: expected ${option} to be a boolean, but got ${describe(value)}`);
  }
  if (typeof eps !== 'number' || !(eps >= 0 && eps < Number.POSITIVE_INFINITY)) {
    throw new ShapeError(`${op}: expected eps to be a finite number of at least 0, but got ${describe(eps)}`);
  }
  return { multiChannel, countGroups, eps };
}

/**
 * The batch size and channels of a mask for x, by its rank: [...input], [N|1, ...input] (of an unbatched x: [1|C, ...input]),
 * [N|1, 1|C, ...input].
 * @throws ShapeError if the mask does not fit x
 */
export function maskForm(
  spec: { readonly op: string; readonly dims: number },
  shapes: Pick<ConvShapes, 'batched' | 'n' | 'c' | 'input'>,
  mask: readonly number[],
  multiChannel: boolean,
): { n: number; c: number } {
  const { n, c, input, batched } = shapes;
  const rank = mask.length - spec.dims; // of what stands before the spatial dimensions
  const [maskN = 1, maskC = 1] = rank === 2 || rank === 0 ? mask.slice(0, rank) : batched ? [mask[0]] : [1, mask[0]];
  const fits =
    rank >= 0 &&
    rank <= 2 &&
    input.every((size, i) => mask[rank + i] === size) &&
    (maskN === 1 || maskN === n) &&
    (maskC === 1 || maskC === c);
  if (!fits || (maskC !== 1 && !multiChannel)) throw unfitMask(spec.op, shapes, mask, multiChannel, fits ? maskC : null);
  return { n: maskN, c: maskC };
}

function unfitMask(
  op: string,
  { n, c, input, batched }: Pick<ConvShapes, 'batched' | 'n' | 'c' | 'input'>,
  mask: readonly number[],
  multiChannel: boolean,
  channels: number | null,
): ShapeError {
  const x = formatShape(batched ? [n, c, ...input] : [c, ...input]);
  if (channels !== null) {
    return new ShapeError(
      `${op}: mask ${formatShape(mask)} has ${channels} channels for x ${x}, but the convolution expects a mask with a single channel. Use multiChannel: true for a value per channel.`,
    );
  }
  const s = input.join(', ');
  const single = batched ? `[${n}, 1, ${s}], [1, 1, ${s}], [${n}, ${s}] or [${s}]` : `[1, ${s}] or [${s}]`;
  const multi = batched ? `[${n}, ${c}, ${s}] or [1, ${c}, ${s}]` : `[${c}, ${s}]`;
  return new ShapeError(
    `${op}: for x ${x} expected a mask of shape ${single}${multiChannel ? `, or with a value per channel ${multi}` : ''}, but got mask ${formatShape(mask)}`,
  );
}

/**
 * The dtype in which native ops take a mask.
 * @throws DTypeError for a complex mask
 */
export function maskDtype(op: string, mask: Tensor, accumulator: DType): DType {
  if (DTYPES[mask.dtype].kind === 'complex')
    throw new DTypeError(`${op}: expected a real or bool mask, but got a ${mask.dtype} mask of shape ${formatShape(mask.shape)}`);
  if (mask.dtype === 'bool' || mask.dtype === 'uint8') return mask.dtype;
  return mask.dtype === 'int32' ? 'bool' : accumulator;
}

/** Of an x, what its prepared mask depends on besides shapes. */
export interface HolesOf {
  readonly dtype: DType;
  readonly device: Device;
}

/** A float mask of zeros and ones as a bool one, which takes a quarter of the time to read; any other as it is. */
function* inBytes(op: string, mask: Tensor): Steps<Tensor> {
  if (DTYPES[mask.dtype].bytes === 1) return mask;
  const bits = empty(mask.shape, 'bool', mask.device, op);
  const binary = empty([1], 'bool', mask.device, op);
  yield { name: 'maskBits', op, args: [mask, bits, binary] };
  const [isBinary] = binary.raw(op) as Uint8Array;
  binary.dispose();
  if (isBinary) return bits;
  bits.dispose();
  return mask;
}

/** Prepares a mask (null: all valid) for x of the given shapes, dtype and device. */
export function* holesSteps(spec: ConvSpec, count: CountSpec, shapes: ConvShapes, of: HolesOf, mask: Tensor | null): Steps<CountedHoles> {
  const { accumulator } = DTYPES[of.dtype];
  const form = mask === null ? { n: 1, c: 1 } : maskForm(spec, shapes, mask.shape, count.multiChannel);
  const channels = !count.multiChannel ? 1 : count.countGroups ? shapes.c / spec.groups : shapes.c;
  const ratioC = form.c > 1 && count.countGroups ? spec.groups : 1;
  // Without samples or channels there is nothing to select.
  const masked = mask === null || mask.size === 0 ? { maskN: 0, maskC: 0 } : { maskN: form.n, maskC: form.c };
  const sizes = { ...masked, ratioN: form.n, ratioC };
  const taps = spec.kernelSize.reduce((a, b) => a * b, 1);
  // How many of the counted channels each channel of the mask stands for.
  const weight = form.c > 1 ? 1 : channels;
  const { device } = of;
  const target = mask && maskDtype(spec.op, mask, accumulator);
  let ready = mask !== null && mask.size > 0 ? mask : null;
  if (ready !== null && target !== null && target !== ready.dtype) {
    ready = empty(ready.shape, target, device, spec.op);
    yield { name: 'cast', op: spec.op, args: [mask, ready] };
  }
  if (ready !== null && form.c > 1 && onHost(device)) ready = yield* inBytes(spec.op, ready);
  const ratio = empty([form.n, ratioC, ...shapes.output], accumulator, device, spec.op);
  const updated = empty(ratio.shape, accumulator, device, spec.op);
  const fields = Float64Array.of(channels * taps, weight);
  yield { name: 'maskRatio', op: spec.op, args: [geometryFields(spec, shapes, sizes), fields, count.eps, ready, ratio, updated] };
  return { mask: ready, ratio, updated, sizes };
}

/** A fresh updated mask for the caller: [ratioN, 1 or O, ...output] (without the batch where x has none), in the real dtype of x. */
export function updatedMask(holes: CountedHoles, shapes: ConvShapes, count: CountSpec, dtype: DType): Tensor {
  const { updated, sizes } = holes;
  const { ratioN, ratioC } = sizes;
  const channels = count.multiChannel ? shapes.o : 1;
  const shape = shapes.batched ? [ratioN, channels, ...shapes.output] : [channels, ...shapes.output];
  // Always memory of its own: what lies in a cache or a graph must not be changed through it.
  const y = empty(shape, DTYPES[dtype].real, updated.device, 'updatedMask');
  const copy = (from: Tensor) => backend(y.device).cast(from.raw('updatedMask'), from.code, y.raw('updatedMask'), y.code);
  markCopy(y, updated);
  if (channels === ratioC) {
    copy(updated);
    return y;
  }
  const grouped = updated.view([ratioN, ratioC, 1, sizeOf(shapes.output)]);
  const repeated = expandTo(grouped, [ratioN, ratioC, channels / ratioC, sizeOf(shapes.output)]);
  copy(repeated);
  for (const t of [grouped, repeated]) t.dispose();
  return y;
}

/** Options of maskRatio. */
export interface MaskRatioOptions extends ConvOptions, CountOptions {
  /** Size of the window, per dimension. */
  readonly kernelSize: number | readonly number[];
}

const KNOWN = ['kernelSize', 'stride', 'padding', 'dilation', 'groups', 'paddingMode', 'multiChannel', 'countGroups', 'eps'];

/**
 * The ratio and the updated mask of a partial convolution: `ratio = window / (count + eps)` where a window has valid cells, else 0;
 * `updated = min(count, 1)`. Counts run over the window, and with multiChannel over the channels (of each group).
 * @param mask [N, C, L] for 1-D or [N, C, H, W] for 2-D, 1 = valid; C is 1 unless multiChannel. bool, integer (non-zero is valid) or float
 * @returns [ratio, updated], each [N, 1 or groups, ...output]; float64 for a float64 mask, else float32
 * @throws ShapeError if options and mask disagree; DTypeError for a complex mask
 */
export function maskRatio(mask: Tensor, options: MaskRatioOptions): [Tensor, Tensor] {
  const op = 'maskRatio';
  checkTensor(mask, op, 'mask');
  const { kernelSize, ...rest } = checkOptions(op, options, KNOWN) as unknown as MaskRatioOptions;
  const dims = mask.rank - 2;
  if (dims !== 1 && dims !== 2)
    throw new ShapeError(`${op}: expected a mask [N, C, L] or [N, C, H, W], but got mask ${formatShape(mask.shape)}`);
  const spec = convSpec(op, dims, kernelSize, rest);
  const count = countSpec(op, rest);
  const c = mask.shape[1] as number;
  if (c !== 1 && !count.multiChannel) {
    throw new ShapeError(
      `${op}: expected a mask with a single channel, but got mask ${formatShape(mask.shape)}. Use multiChannel: true for a value per channel.`,
    );
  }
  const groups = count.multiChannel ? spec.groups : 1;
  if (c % groups !== 0)
    throw new ShapeError(`${op}: the mask's channels must be divisible by groups=${groups}, but got mask ${formatShape(mask.shape)}`);
  const counted = { ...spec, groups };
  const shapes = convShapes(counted, mask.shape, [groups, c / groups, ...spec.kernelSize]);
  const holes = runSync(
    holesSteps(counted, count, shapes, { dtype: mask.dtype === 'float64' ? 'float64' : 'float32', device: mask.device }, mask),
  );
  if (holes.mask !== mask) holes.mask?.dispose();
  return [holes.ratio, holes.updated];
}
