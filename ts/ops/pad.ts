// Padding of tensors: constant, reflect, replicate, circular; and its gradient.
import { record } from '../autograd';
import { full } from '../create';
import { backend } from '../device';
import { ShapeError } from '../errors';
import { checkTensor, describe, empty, formatShape, sizeOf, type Tensor } from '../tensor';
import { PADDING_MODES, type PaddingMode } from './conv_geometry';
import { copyOf } from './kernels';

export type PadMode = 'constant' | 'reflect' | 'replicate' | 'circular';

type Pads = readonly (readonly [number, number])[];

const clamp = (pads: Pads, f: (v: number) => number): Pads => pads.map(([before, after]) => [f(before), f(after)]);

/** PadAxis in native/ops.h. */
const axisFields = (shape: readonly number[], axis: number, before: number, outSize: number, mode: PaddingMode) =>
  Float64Array.of(
    sizeOf(shape.slice(0, axis)),
    shape[axis] as number,
    sizeOf(shape.slice(axis + 1)),
    before,
    outSize,
    PADDING_MODES.indexOf(mode),
  );

/** x with its last pads.length dimensions padded; no checks, no gradient. */
export function padAll(x: Tensor, pads: Pads, mode: PaddingMode, value: number | null = null): Tensor {
  const fill = value === null || Object.is(value, 0) ? null : full([1], value, { dtype: x.dtype, device: x.device });
  let y = x;
  pads.forEach(([before, after], i) => {
    if (before === 0 && after === 0) return;
    const axis = x.rank - pads.length + i;
    const size = (y.shape[axis] as number) + before + after;
    const shape = y.shape.with(axis, size);
    const padded = empty(shape, x.dtype, x.device, 'pad');
    backend(x.device).padAxis(
      axisFields(y.shape, axis, before, size, mode),
      fill?.raw('pad') ?? null,
      x.code,
      y.raw('pad'),
      x.code,
      padded.raw('pad'),
      x.code,
    );
    if (y !== x) y.dispose();
    y = padded;
  });
  fill?.dispose();
  return y;
}

/** The gradient of padAll: each padded cell's gradient is added to the cell that it repeats. sizes: the last dimensions before padding. */
export function foldPads(dy: Tensor, sizes: readonly number[], pads: Pads, mode: PaddingMode): Tensor {
  let dx = dy;
  for (let i = pads.length - 1; i >= 0; i--) {
    const [before, after] = pads[i] as readonly [number, number];
    if (before === 0 && after === 0) continue;
    const axis = dy.rank - pads.length + i;
    const shape = dx.shape.with(axis, sizes[i] as number);
    const folded = empty(shape, dy.dtype, dy.device, 'pad');
    backend(dy.device).padAxisBackward(
      axisFields(shape, axis, before, dx.shape[axis] as number, mode),
      dx.raw('pad'),
      dx.code,
      folded.raw('pad'),
      dx.code,
    );
    if (dx !== dy) dx.dispose();
    dx = folded;
  }
  return dx;
}

const MODES: readonly PadMode[] = ['constant', 'reflect', 'replicate', 'circular'];

function checkPads(x: Tensor, pads: readonly number[], mode: PadMode): Pads {
  const op = 'pad';
  if (!Array.isArray(pads) || !pads.every((p) => Number.isSafeInteger(p)))
    throw new ShapeError(`${op}: expected pads to be a list of integers, but got ${describe(pads)}`);
  if (pads.length % 2 !== 0) throw new ShapeError(`${op}: Padding length must be divisible by 2, but got pads ${formatShape(pads)}`);
  const count = pads.length / 2;
  if (count > x.rank)
    throw new ShapeError(
      `${op}: Padding length should be at most twice the number of dimensions, but got pads ${formatShape(pads)} for x ${formatShape(x.shape)}`,
    );
  if (mode !== 'constant' && x.rank !== count + 1 && x.rank !== count + 2) {
    throw new ShapeError(
      `${op}: mode '${mode}' with ${pads.length} pads expects a ${count + 1}-D or ${count + 2}-D x, but got x ${formatShape(x.shape)}`,
    );
  }
  const pairs = Array.from(
    { length: count },
    (_, i) => [pads[pads.length - 2 * i - 2] as number, pads[pads.length - 2 * i - 1] as number] as const,
  );
  pairs.forEach(([before, after], i) => {
    checkAxis(x, x.rank - count + i, before, after, mode);
  });
  return pairs;
}

function checkAxis(x: Tensor, axis: number, before: number, after: number, mode: PadMode): void {
  const size = x.shape[axis] as number;
  const at = `padding (${before}, ${after}) at dimension ${axis} of input ${formatShape(x.shape)}`;
  const padded = size + before + after;
  const cropped = size + Math.min(before, 0) + Math.min(after, 0);
  const most = Math.max(before, after);
  if (mode === 'reflect' && most >= Math.max(size, 1)) {
    throw new ShapeError(`pad: Padding size should be less than the corresponding input dimension, but got: ${at}`);
  }
  if (mode === 'circular' && most > 0 && most > cropped)
    throw new ShapeError(`pad: Padding value causes wrapping around more than once: ${at}`);
  if ((mode === 'reflect' || mode === 'replicate') && (padded < 1 || size === 0)) {
    throw new ShapeError(`pad: input is too small, the calculated output size is ${padded}: ${at}`);
  }
  if (
    padded < 0 ||
    ((mode === 'constant' || mode === 'circular') && cropped < 0) ||
    (mode === 'constant' && Math.min(before, after) < -size)
  ) {
    throw new ShapeError(`pad: narrow(): length must be non-negative, but got ${at}`);
  }
}

/**
 * x with cells added round its last dimensions. Source: PyTorch, torch.nn.functional.pad.
 * @param x any dtype; constant: any rank, else one or two dimensions more than are padded
 * @param pads [before, after] of the last dimension, then of the one before it, and so on; negative values crop
 * @param mode 'constant' (default), 'reflect', 'replicate' or 'circular'
 * @param value what constant cells hold, default 0
 * @throws ShapeError if pads do not fit x, or value comes with another mode
 */
export function pad(x: Tensor, pads: readonly number[], mode: PadMode = 'constant', value?: number): Tensor {
  checkTensor(x, 'pad');
  if (!MODES.includes(mode))
    throw new ShapeError(`pad: expected mode to be one of ${MODES.map((m) => `'${m}'`).join(', ')}, but got ${describe(mode)}`);
  if (mode !== 'constant' && value !== undefined && value !== 0)
    throw new ShapeError(`pad: Padding mode "${mode}" doesn't take in value argument, but got value ${describe(value)}`);
  if (value !== undefined && typeof value !== 'number')
    throw new ShapeError(`pad: expected value to be a number, but got ${describe(value)}`);
  const pairs = checkPads(x, pads, mode);
  const native = mode === 'constant' ? 'zeros' : mode;
  const sizes = x.shape.slice(x.rank - pairs.length);
  // Circular crops before it wraps; reflect and replicate still see what is cropped.
  const [crops, grown] = mode === 'circular' ? [clamp(pairs, (v) => Math.min(v, 0)), clamp(pairs, (v) => Math.max(v, 0))] : [[], pairs];
  const cropped = padAll(x, crops, 'zeros');
  const y = padAll(cropped, grown, native, value ?? null);
  const left = cropped.shape.slice(x.rank - pairs.length);
  if (cropped !== x && cropped !== y) cropped.dispose();
  return record('pad', y === x ? copyOf(x, 'pad') : y, [x], [], (dy) => {
    const inner = foldPads(dy, left, grown, native);
    const dx = foldPads(inner, sizes, crops, 'zeros');
    if (inner !== dy && inner !== dx) inner.dispose();
    return [dx];
  });
}
