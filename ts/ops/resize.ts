// Resize of the spatial dimensions: linear with aligned corners, or nearest.
import { record } from '../autograd';
import { backend } from '../device';
import { DTYPES } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { checkOptions } from '../options';
import { checkTensor, describe, empty, formatShape, sizeOf, type Tensor } from '../tensor';
import { checkChannels, checkReal, operand } from './channels';

export type ResizeModeName = 'linear' | 'bilinear' | 'nearest';

export interface ResizeOptions {
  /** Spatial size of the result, per dimension; this or scaleFactor. */
  readonly size?: number | readonly number[] | null;
  /** The result has floor(size * scaleFactor) cells, per dimension. */
  readonly scaleFactor?: number | readonly number[] | null;
  /** 'linear' (1-D) or 'bilinear' (2-D), with aligned corners; or 'nearest'. Default linear. */
  readonly mode?: ResizeModeName;
  /** Only true is supported: the first and last cells of x and of the result lie on each other. */
  readonly alignCorners?: boolean;
}

/** Options after validation; arrays have one entry per dimension, and one of the two is null. */
export interface ResizeSpec {
  readonly op: string;
  readonly dims: 1 | 2;
  readonly size: readonly number[] | null;
  readonly scale: readonly number[] | null;
  readonly mode: ResizeModeName;
}

/** ResizeMode in native/ops.h. */
const MODES = { linear: 0, bilinear: 0, nearest: 1, least: 2 } as const;

const KNOWN = ['size', 'scaleFactor', 'mode', 'alignCorners'];

function perAxis(op: string, name: string, value: unknown, dims: number, valid: (v: number) => boolean, what: string): number[] {
  const list: unknown[] = Array.isArray(value) ? value : new Array(dims).fill(value);
  if (list.length !== dims || !list.every((v) => typeof v === 'number' && valid(v))) {
    throw new ShapeError(`${op}: expected ${name} to be ${what}, or a list of ${dims}, but got ${name}=${describe(value)}`);
  }
  return list as number[];
}

/**
 * @throws ShapeError for unknown options, values out of range, or not exactly one of size and scaleFactor
 */
export function resizeSpec(op: string, dims: 1 | 2, options: unknown): ResizeSpec {
  const linear = dims === 1 ? 'linear' : 'bilinear';
  const { size = null, scaleFactor = null, mode = linear, alignCorners = true } = checkOptions(op, options, KNOWN) as ResizeOptions;
  if ((size === null) === (scaleFactor === null)) {
    throw new ShapeError(
      `${op}: only one of size or scaleFactor should be defined, and one must be, but got size=${describe(size)}, scaleFactor=${describe(scaleFactor)}`,
    );
  }
  if (mode !== linear && mode !== 'nearest')
    throw new ShapeError(`${op}: expected mode to be '${linear}' or 'nearest', but got ${describe(mode)}`);
  if (alignCorners !== true) throw new ShapeError(`${op}: only alignCorners: true is supported, but got ${describe(alignCorners)}`);
  const isSize = (v: number) => Number.isSafeInteger(v) && v > 0;
  const isScale = (v: number) => Number.isFinite(v) && v > 0;
  return {
    op,
    dims,
    size: size === null ? null : perAxis(op, 'size', size, dims, isSize, 'an integer of at least 1'),
    scale: scaleFactor === null ? null : perAxis(op, 'scaleFactor', scaleFactor, dims, isScale, 'a number above 0'),
    mode,
  };
}

interface Plan {
  readonly fields: Float64Array;
  readonly scales: readonly [number, number];
  readonly shape: readonly number[];
}

/** The native call for x, in the given mode. */
function plan({ op, size, scale }: ResizeSpec, dims: 1 | 2, x: Tensor, mode: keyof typeof MODES): Plan {
  const { input } = checkChannels(op, x, dims);
  const lead = x.shape.slice(0, x.rank - dims);
  const output = size ?? input.map((length, i) => Math.floor(length * (scale?.[i] as number)));
  if (input.includes(0) || output.includes(0)) {
    throw new ShapeError(
      `${op}: Input and output sizes should be greater than 0, but got x ${formatShape(x.shape)} and output size ${formatShape(output)}`,
    );
  }
  // PyTorch's nearest: the scale factor where it is given, else the ratio of the sizes, as in 2-D for a length that stays or doubles.
  // 0 stands for the other modes.
  const cells = output.map((length, i) => {
    const size = input[i] as number;
    const bySize = scale === null || (dims === 2 && (length === size || length === 2 * size));
    return mode !== 'nearest' ? 0 : bySize ? size / length : 1 / (scale[i] as number);
  });
  const two = (values: readonly number[], filler: number): [number, number] =>
    dims === 2 ? [values[0] as number, values[1] as number] : [filler, values[0] as number];
  const fields = Float64Array.of(sizeOf(lead), ...two(input, 1), ...two(output, 1), MODES[mode]);
  return { fields, scales: two(cells, mode === 'nearest' ? 1 : 0), shape: [...lead, ...output] };
}

function run(op: string, { fields, scales, shape }: Plan, x: Tensor): Tensor {
  const y = empty(shape, x.dtype, x.device, op);
  backend(x.device).resize(fields, ...scales, ...operand(x, op), ...operand(y, op));
  return y;
}

/** The resized x, its gradient recorded. */
export function resize(spec: ResizeSpec, x: Tensor): Tensor {
  const { op, dims, mode } = spec;
  const made = plan(spec, dims, checkReal(op, x), mode);
  const { shape } = x;
  return record(op, run(op, made, x), [x], [], (dy) => {
    const dx = empty(shape, dy.dtype, dy.device, op);
    backend(dy.device).resizeBackward(made.fields, ...made.scales, ...operand(dy, op), ...operand(dx, op));
    return [dx];
  });
}

/** The mask of resize(spec, x), for x's mask [..., *input]: the least value of the cells that an output is made of. */
export function resizeMask(spec: ResizeSpec, mask: Tensor): Tensor {
  const { op, dims, mode } = spec;
  checkTensor(mask, op, 'mask');
  if (DTYPES[mask.dtype].kind === 'complex') throw new DTypeError(`${op}: expected a real or bool mask, but got ${describe(mask)}`);
  return run(op, plan(spec, dims, mask, mode === 'nearest' ? 'nearest' : 'least'), mask);
}

/**
 * x resized along its last dimension. Source: PyTorch, torch.nn.functional.interpolate with align_corners=True, or 'nearest'.
 * @param x [N, C, L] or [C, L], real floating point
 * @returns [N, C, L'] or [C, L'], L' = size or floor(L * scaleFactor)
 * @throws ShapeError for unknown options or values out of range, DTypeError
 */
export const resize1d = (x: Tensor, options: ResizeOptions): Tensor => resize(resizeSpec('resize1d', 1, options), x);

/**
 * x resized along its last two dimensions; see resize1d.
 * @param x [N, C, H, W] or [C, H, W], real floating point
 * @returns [N, C, H', W'] or [C, H', W']
 * @throws ShapeError for unknown options or values out of range, DTypeError
 */
export const resize2d = (x: Tensor, options: ResizeOptions): Tensor => resize(resizeSpec('resize2d', 2, options), x);
