// Convolution options and shapes -> a validated geometry and output shape. Rules and wording of the facts: PyTorch 2.13, nn.Conv1d.
import { ShapeError } from '../errors';
import type { Fields } from '../native';
import { describe, formatShape } from '../tensor';

export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';
export const PADDING_MODES: readonly PaddingMode[] = ['zeros', 'reflect', 'replicate', 'circular'];

export interface ConvOptions {
  /** Step of the window, per dimension. Default 1. */
  readonly stride?: number | readonly number[];
  /** Cells added on both sides, per dimension; 'same' keeps the length (the odd extra cell at the end), 'valid' adds none. Default 0. */
  readonly padding?: number | readonly number[] | 'same' | 'valid';
  /** Distance between the kernel's taps, per dimension. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Groups of channels that are convolved apart. Default 1. */
  readonly groups?: number;
  /** What the added cells hold. Default 'zeros'. */
  readonly paddingMode?: PaddingMode;
}

/** Options after validation; arrays have one entry per dimension. */
export interface ConvSpec {
  /** Name of the op in messages. */
  readonly op: string;
  readonly dims: 1 | 2;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[] | 'same' | 'valid';
  readonly dilation: readonly number[];
  readonly groups: number;
  readonly paddingMode: PaddingMode;
  /** Cells added before and after, per dimension. */
  readonly pads: readonly (readonly [number, number])[];
}

export interface ConvShapes {
  readonly batched: boolean;
  readonly n: number;
  readonly c: number;
  readonly o: number;
  /** Input and output sizes per dimension. */
  readonly input: readonly number[];
  readonly output: readonly number[];
  readonly outputShape: readonly number[];
}

/** One integer per dimension from a number or an array. */
export function perDimension(op: string, option: string, value: unknown, dims: number): number[] {
  const list = Array.isArray(value) ? [...value] : new Array(dims).fill(value);
  if (list.length !== dims) {
    throw new ShapeError(
      `${op}: expected ${option} to be a single integer value or a list of ${dims} values to match the convolution dimensions, but got ${option}=${describe(value)}`,
    );
  }
  if (!list.every((v) => Number.isSafeInteger(v))) {
    throw new ShapeError(`${op}: expected ${option} to be an integer or a list of ${dims} integers, but got ${option}=${describe(value)}`);
  }
  if (list.some((v) => Math.abs(v) >= 2 ** 31))
    throw new ShapeError(`${op}: expected ${option} to be below 2^31, but got ${option}=${describe(value)}`);
  return list as number[];
}

/** 'same', 'valid' or integers, checked against stride and paddingMode. */
function resolvePadding(op: string, value: unknown, dims: number, stride: readonly number[], mode: PaddingMode): ConvSpec['padding'] {
  if (typeof value === 'string') {
    if (value !== 'same' && value !== 'valid') {
      throw new ShapeError(`${op}: Invalid padding string '${value}', should be one of {'same', 'valid'}`);
    }
    if (value === 'same' && stride.some((s) => s !== 1)) {
      throw new ShapeError(`${op}: padding='same' is not supported for strided convolutions, but got stride ${formatShape(stride)}`);
    }
    return value;
  }
  const padding = perDimension(op, 'padding', value, dims);
  if (mode === 'zeros' && padding.some((p) => p < 0)) {
    throw new ShapeError(`${op}: negative padding is not supported, but got padding ${formatShape(padding)}`);
  }
  return padding;
}

function padsOf(padding: ConvSpec['padding'], kernelSize: readonly number[], dilation: readonly number[]): [number, number][] {
  return kernelSize.map((k, i) => {
    if (padding === 'valid') return [0, 0];
    if (padding !== 'same') return [padding[i] as number, padding[i] as number];
    const total = (dilation[i] as number) * (k - 1);
    const before = Math.floor(total / 2);
    return [before, total - before];
  });
}

/** @throws ShapeError unless groups is a positive integer */
export function checkGroups(op: string, groups: unknown): void {
  if (!Number.isSafeInteger(groups) || (groups as number) < 1) {
    throw new ShapeError(
      `${op}: groups must be a positive integer (non-positive groups is not supported), but got groups=${describe(groups)}`,
    );
  }
}

/**
 * Validates the options of a convolution.
 * @throws ShapeError for every value that PyTorch rejects, at construction or at the first call
 */
export function convSpec(op: string, dims: 1 | 2, kernel: unknown, options: ConvOptions): ConvSpec {
  const { stride: step = 1, padding: added = 0, dilation: distance = 1, groups = 1, paddingMode = 'zeros' } = options;
  checkGroups(op, groups);
  if (!PADDING_MODES.includes(paddingMode)) {
    const list = PADDING_MODES.map((m) => `'${m}'`).join(', ');
    throw new ShapeError(
      `${op}: padding_mode must be one of {${list}}, but got padding_mode=${typeof paddingMode === 'string' ? `'${paddingMode}'` : describe(paddingMode)}`,
    );
  }
  const stride = perDimension(op, 'stride', step, dims);
  if (stride.some((s) => s <= 0))
    throw new ShapeError(`${op}: non-positive stride is not supported, but got stride ${formatShape(stride)}`);
  const padding = resolvePadding(op, added, dims, stride, paddingMode);
  const dilation = perDimension(op, 'dilation', distance, dims);
  if (dilation.some((d) => d <= 0)) throw new ShapeError(`${op}: dilation should be greater than zero, but got ${formatShape(dilation)}`);
  const kernelSize = perDimension(op, 'kernelSize', kernel, dims);
  if (kernelSize.some((k) => k <= 0)) {
    throw new ShapeError(`${op}: kernel size should be greater than zero, but got kernelSize ${formatShape(kernelSize)}`);
  }
  const pads = padsOf(padding, kernelSize, dilation);
  return { op, dims, kernelSize, stride, padding, dilation, groups, paddingMode, pads };
}

/** The output's length along dimension i for an input of length size. */
export function outputSize(spec: ConvSpec, size: number, i: number): number {
  const [before, after] = spec.pads[i] as readonly [number, number];
  const span = (spec.dilation[i] as number) * ((spec.kernelSize[i] as number) - 1) + 1;
  return Math.floor((size + before + after - span) / (spec.stride[i] as number)) + 1;
}

function checkWeight(spec: ConvSpec, weight: readonly number[]): void {
  const { groups } = spec;
  if (weight.length < 3)
    throw new ShapeError(`${spec.op}: weight should have at least three dimensions, but got weight of size ${formatShape(weight)}`);
  if (weight.length !== spec.dims + 2) {
    throw new ShapeError(`${spec.op}: expected weight to have ${spec.dims + 2} dimensions, but got weight of size ${formatShape(weight)}`);
  }
  if (!spec.kernelSize.every((k, i) => k === weight[2 + i])) {
    throw new ShapeError(
      `${spec.op}: expected weight to have kernel size ${formatShape(spec.kernelSize)}, but got weight of size ${formatShape(weight)}`,
    );
  }
  const o = weight[0] as number;
  if (o < groups) {
    throw new ShapeError(
      `${spec.op}: Given groups=${groups}, expected weight to be at least ${groups} at dimension 0, but got weight of size ${formatShape(weight)} instead`,
    );
  }
  if (o % groups !== 0) {
    throw new ShapeError(
      `${spec.op}: Given groups=${groups}, expected weight to be divisible by ${groups} at dimension 0, but got weight of size ${formatShape(weight)} instead`,
    );
  }
}

function checkInputSizes(spec: ConvSpec, x: readonly number[], input: readonly number[]): void {
  const padded = input.map((size, i) => size + (spec.pads[i]?.[0] ?? 0) + (spec.pads[i]?.[1] ?? 0));
  const spans = spec.kernelSize.map((k, i) => (spec.dilation[i] as number) * (k - 1) + 1);
  input.forEach((size, i) => {
    const [before, after] = spec.pads[i] as readonly [number, number];
    if (spec.paddingMode === 'reflect' && Math.max(before, after) >= Math.max(size, 1)) {
      throw new ShapeError(
        `${spec.op}: Padding size should be less than the corresponding input dimension, but got: padding (${before}, ${after}) at dimension ${i + 2} of input ${formatShape(x)}`,
      );
    }
    if (spec.paddingMode === 'circular' && Math.max(before, after) > size) {
      throw new ShapeError(
        `${spec.op}: Padding value causes wrapping around more than once: padding (${before}, ${after}) at dimension ${i + 2} of input ${formatShape(x)}`,
      );
    }
  });
  if (padded.some((size, i) => size < (spans[i] as number))) {
    throw new ShapeError(
      `${spec.op}: Calculated padded input size per channel: (${padded.join(' x ')}). Kernel size: (${spans.join(' x ')}). ` +
        `Kernel size can't be greater than actual input size; x ${formatShape(x)}`,
    );
  }
  if (input.includes(0)) {
    throw new ShapeError(`${spec.op}: Only zero batch or zero channel inputs are supported, but got input shape: ${formatShape(x)}`);
  }
}

/** What the last call with a spec came to: a layer mostly sees one shape. */
const last = new WeakMap<ConvSpec, { readonly x: readonly number[]; readonly weight: readonly number[]; readonly shapes: ConvShapes }>();

function sameSizes(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Checks x and weight against each other.
 * @throws ShapeError if their shapes disagree with each other or with the options
 */
export function convShapes(spec: ConvSpec, x: readonly number[], weight: readonly number[]): ConvShapes {
  const known = last.get(spec);
  if (known !== undefined && sameSizes(known.x, x) && sameSizes(known.weight, weight)) return known.shapes;
  const shapes = checkedShapes(spec, x, weight);
  last.set(spec, { x: [...x], weight: [...weight], shapes });
  return shapes;
}

function checkedShapes(spec: ConvSpec, x: readonly number[], weight: readonly number[]): ConvShapes {
  const { dims, groups } = spec;
  checkWeight(spec, weight);
  if (x.length !== dims + 1 && x.length !== dims + 2) {
    throw new ShapeError(
      `${spec.op}: Expected ${dims + 1}D (unbatched) or ${dims + 2}D (batched) input to conv${dims}d, but got input of size: ${formatShape(x)}`,
    );
  }
  const batched = x.length === dims + 2;
  const full = batched ? x : [1, ...x];
  const [n, c, ...input] = full as [number, number, ...number[]];
  const expected = (weight[1] as number) * groups;
  if (c !== expected) {
    throw new ShapeError(
      `${spec.op}: Given groups=${groups}, weight of size ${formatShape(weight)}, expected input${formatShape(full)} to have ${expected} channels, ` +
        `but got ${c} channels instead: weight ${formatShape(weight)} expects ${expected} input channels, but x ${formatShape(x)} has ${c}`,
    );
  }
  checkInputSizes(spec, full, input);
  const output = input.map((size, i) => outputSize(spec, size, i));
  const o = weight[0] as number;
  return { batched, n, c, o, input, output, outputShape: batched ? [n, o, ...output] : [o, ...output] };
}

/** How the mask and the ratio of a partial convolution lie; all zero for a plain one. */
export interface HoleSizes {
  readonly maskN: number;
  readonly maskC: number;
  readonly ratioN: number;
  readonly ratioC: number;
}

const NO_HOLES: HoleSizes = { maskN: 0, maskC: 0, ratioN: 0, ratioC: 0 };

/** The fields of ConvGeometry in native/ops.h. 1-D is 2-D with a height of 1. */
function plainFields(spec: ConvSpec, shapes: ConvShapes): Fields {
  const two = (values: readonly number[], filler: number): [number, number] =>
    spec.dims === 2 ? [values[0] as number, values[1] as number] : [filler, values[0] as number];
  const pads = spec.pads.map(([before]) => before);
  // A single output takes no step: a stride that is far too long costs nothing.
  const stride = spec.stride.map((s, i) => (shapes.output[i] === 1 ? 1 : s));
  // biome-ignore format: one line a row of the struct
  return Float64Array.of(
    shapes.n, shapes.c, ...two(shapes.input, 1),
    shapes.o, ...two(spec.kernelSize, 1),
    ...two(shapes.output, 1),
    ...two(stride, 1), ...two(pads, 0),
    ...two(spec.dilation, 1), spec.groups,
    PADDING_MODES.indexOf(spec.paddingMode),
    0, 0, 0, 0,
    0, 0,
  );
}

const HOLES = 17; // the first of mask_n, mask_c, ratio_n, ratio_c

const made = new WeakMap<ConvShapes, { readonly spec: ConvSpec; readonly plain: Fields; withHoles: Fields | null }>();

/** The geometry as native ops take it. The array is kept for the next call: it must not be changed. */
export function geometryFields(spec: ConvSpec, shapes: ConvShapes, holes: HoleSizes = NO_HOLES): Fields {
  let known = made.get(shapes);
  if (known?.spec !== spec) {
    known = { spec, plain: plainFields(spec, shapes), withHoles: null };
    made.set(shapes, known);
  }
  if (holes === NO_HOLES) return known.plain;
  const { maskN, maskC, ratioN, ratioC } = holes;
  const g = known.withHoles;
  if (g?.[HOLES] === maskN && g[HOLES + 1] === maskC && g[HOLES + 2] === ratioN && g[HOLES + 3] === ratioC) return g;
  known.withHoles = known.plain.slice();
  known.withHoles.set([maskN, maskC, ratioN, ratioC], HOLES);
  return known.withHoles;
}
