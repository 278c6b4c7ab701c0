// Where each window of a convolution looks: options to index tables, once for every pass. 1-D is 2-D with H = 1.

import { at } from './values';

export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';

export interface ConvOptions {
  readonly stride?: number | readonly number[];
  readonly padding?: number | readonly number[] | 'same' | 'valid';
  readonly dilation?: number | readonly number[];
  readonly groups?: number;
  readonly paddingMode?: PaddingMode;
}

/** source[out * kernel + tap]: the index in x that this tap reads, or -1 for a zero of the padding. */
export interface Axis {
  readonly input: number;
  readonly kernel: number;
  readonly output: number;
  readonly source: Int32Array;
}

export interface Geometry {
  readonly batch: number;
  readonly groups: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly rows: Axis;
  readonly cols: Axis;
  readonly outShape: readonly number[];
}

/**
 * The source index of every cell of a padded axis, -1 where the value is the constant (PyTorch's F.pad).
 * constant (zeros): the cell itself where it is inside. replicate: the nearest. reflect: mirrored without repeating the
 * edge, before < length. circular: modulo, at most once round. Negative numbers crop; circular crops before it wraps,
 * reflect and replicate still see what was cropped.
 */
export function padSource(length: number, before: number, after: number, mode: PaddingMode): Int32Array {
  const size = length + before + after;
  const cropped = length + Math.min(before, 0) + Math.min(after, 0);
  const fail = (why: string): never => {
    throw new Error(`reference: ${mode} padding (${before}, ${after}) of length ${length}: ${why}`);
  };
  if (size < 0) fail('crops more than there is');
  if (mode === 'zeros' && (-before > length || -after > length)) fail('crops more than there is');
  if (mode === 'reflect' && (before >= length || after >= length)) fail('must be less than the length');
  if (mode === 'circular' && (before > cropped || after > cropped)) fail('wraps around more than once');
  if ((mode === 'reflect' || mode === 'replicate') && (size < 1 || length < 1)) fail('nothing left');
  return Int32Array.from({ length: size }, (_, cell) => {
    const i = cell - before;
    if (mode === 'replicate') return Math.min(Math.max(i, 0), length - 1);
    if (mode === 'reflect') return i < 0 ? -i : i >= length ? 2 * (length - 1) - i : i;
    if (mode === 'circular') {
      const first = Math.max(-before, 0);
      return first + ((((i - first) % cropped) + cropped) % cropped);
    }
    return i >= 0 && i < length ? i : -1;
  });
}

function perAxis(option: number | readonly number[] | undefined, axis: number, preset: number): number {
  return typeof option === 'number' ? option : at(option ?? [preset, preset], option?.length === 1 ? 0 : axis);
}

/** [before, after]: 'same' adds d(K - 1) cells, the odd one at the end. */
export function paddingOf(options: ConvOptions, axis: number, kernel: number): [number, number] {
  const { padding } = options;
  if (padding === 'valid') return [0, 0];
  if (padding === 'same') {
    if (perAxis(options.stride, axis, 1) !== 1) throw new Error("reference: 'same' needs stride 1");
    const total = perAxis(options.dilation, axis, 1) * (kernel - 1);
    return [Math.floor(total / 2), total - Math.floor(total / 2)];
  }
  const p = perAxis(padding, axis, 0);
  return [p, p];
}

/** L' = floor((L + before + after - d(K - 1) - 1) / s) + 1; tap k of window l reads padded cell l*s + k*d. */
function axisOf(options: ConvOptions, axis: number, input: number, kernel: number): Axis {
  const stride = perAxis(options.stride, axis, 1);
  const dilation = perAxis(options.dilation, axis, 1);
  const padded = padSource(input, ...paddingOf(options, axis, kernel), options.paddingMode ?? 'zeros');
  const span = dilation * (kernel - 1) + 1;
  if (kernel < 1 || stride < 1 || dilation < 1) throw new Error('reference: kernel, stride and dilation start at 1');
  if (span > padded.length) throw new Error(`reference: kernel spans ${span}, padded input has ${padded.length}`);
  const output = Math.floor((padded.length - span) / stride) + 1;
  const source = new Int32Array(output * kernel);
  for (let l = 0; l < output; l++) for (let k = 0; k < kernel; k++) source[l * kernel + k] = at(padded, l * stride + k * dilation);
  return { input, kernel, output, source };
}

const SINGLE: Axis = { input: 1, kernel: 1, output: 1, source: Int32Array.of(0) };

/** x [N, C, (H,) W] or without N; weight [O, C/groups, (kH,) kW]. */
export function geometry(x: readonly number[], weight: readonly number[], options: ConvOptions = {}): Geometry {
  const dims = weight.length - 2;
  const unbatched = x.length === dims + 1;
  if ((dims !== 1 && dims !== 2) || (!unbatched && x.length !== dims + 2))
    throw new Error(`reference: x [${x}] against weight [${weight}]`);
  const groups = options.groups ?? 1;
  const [inChannels, outChannels] = [at(x, unbatched ? 0 : 1), at(weight, 0)];
  if (at(weight, 1) * groups !== inChannels || outChannels % groups)
    throw new Error(`reference: weight [${weight}] in ${groups} groups against x [${x}]`);
  const axes = Array.from({ length: dims }, (_, a) => axisOf(options, a, at(x, x.length - dims + a), at(weight, 2 + a)));
  const [rows, cols] = dims === 1 ? [SINGLE, axes[0] as Axis] : [axes[0] as Axis, axes[1] as Axis];
  const outShape = [...(unbatched ? [] : [at(x, 0)]), outChannels, ...axes.map((a) => a.output)];
  return { batch: unbatched ? 1 : at(x, 0), groups, inChannels, outChannels, rows, cols, outShape };
}

/**
 * f(y, w, x) for every product w[o,c,p,q] * x[n,c,I(i,p),J(j,q)] that is part of y[n,o,i,j], as flat indices.
 * All three passes of a convolution are this one enumeration.
 */
export function products(g: Geometry, f: (y: number, w: number, x: number) => void): void {
  const { rows, cols } = g;
  const perGroup = { in: g.inChannels / g.groups, out: g.outChannels / g.groups };
  for (let n = 0; n < g.batch; n++)
    for (let o = 0; o < g.outChannels; o++)
      for (let i = 0; i < rows.output; i++)
        for (let j = 0; j < cols.output; j++) {
          const y = ((n * g.outChannels + o) * rows.output + i) * cols.output + j;
          for (let c = 0; c < perGroup.in; c++) {
            const channel = Math.floor(o / perGroup.out) * perGroup.in + c;
            for (let p = 0; p < rows.kernel; p++)
              for (let q = 0; q < cols.kernel; q++) {
                const row = at(rows.source, i * rows.kernel + p);
                const col = at(cols.source, j * cols.kernel + q);
                if (row < 0 || col < 0) continue;
                const w = ((o * perGroup.in + c) * rows.kernel + p) * cols.kernel + q;
                f(y, w, ((n * g.inChannels + channel) * rows.input + row) * cols.input + col);
              }
          }
        }
}
