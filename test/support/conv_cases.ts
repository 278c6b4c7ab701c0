// Random convolutions that are allowed: for the fuzzer.
import type { DType } from '../../ts';
import type { PaddingMode } from '../../ts/ops/conv_geometry';
import type { PartialOptions } from '../reference';
import type { Seeded } from './seeded';

export interface ConvCase {
  readonly dims: 1 | 2;
  readonly dtype: DType;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly options: PartialOptions & { readonly bias: boolean };
  /** Two inputs that the same layer gets in turn. */
  readonly inputs: readonly (readonly number[])[];
  readonly partial: boolean;
  /** Shapes of the masks, one per input; null: no mask. */
  readonly masks: readonly (readonly number[] | null)[];
  readonly maskDtype: DType;
  readonly maskKind: 'mask' | 'sparse' | 'soft' | 'runs' | 'none' | 'all';
}

// Of one input: so that the reference takes some milliseconds; and, for a few cases, so many that the engine uses threads.
const FEW_PRODUCTS = [0, 60_000] as const;
const MANY_PRODUCTS = [600_000, 1_200_000] as const;

function pads(
  seeded: Seeded,
  kernelSize: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): number[] | 'same' | 'valid' {
  const kind = seeded.next();
  if (kind < 0.2 && stride.every((s) => s === 1)) return 'same';
  if (kind < 0.25) return 'valid';
  return kernelSize.map((k, i) => seeded.integer(0, seeded.chance(0.2) ? 9 : Math.min(k * (dilation[i] ?? 1), 6)));
}

const reach = (padding: number[] | 'same' | 'valid', i: number, span: number) =>
  padding === 'same' ? Math.ceil((span - 1) / 2) : padding === 'valid' ? 0 : (padding[i] ?? 0);

function length(seeded: Seeded, dims: 1 | 2): number {
  if (dims === 2) return seeded.integer(1, seeded.chance(0.2) ? 40 : 12);
  const kind = seeded.next();
  if (kind < 0.1) return 1;
  if (kind < 0.5) return seeded.integer(2, 40);
  if (kind < 0.8) return seeded.pick([16, 32, 48, 64, 96, 128]) + seeded.integer(-2, 2);
  return seeded.integer(100, 700);
}

const few = (seeded: Seeded): number => (seeded.chance(0.75) ? seeded.integer(1, 9) : seeded.pick([12, 16, 17, 24, 32, 33]));

function channels(seeded: Seeded): { groups: number; c: number; o: number } {
  if (seeded.chance(0.6)) return { groups: 1, c: few(seeded), o: few(seeded) };
  const groups = seeded.integer(2, 9);
  if (seeded.chance(0.5)) return { groups, c: groups, o: groups * seeded.integer(1, 2) };
  return { groups, c: groups * seeded.integer(1, 4), o: groups * seeded.integer(1, 4) };
}

function maskShape(seeded: Seeded, multiChannel: boolean, [n, c, ...space]: readonly number[]): number[] | null {
  if (seeded.chance(0.1)) return null;
  if (multiChannel) return [seeded.chance(0.3) ? 1 : (n as number), c as number, ...space];
  return seeded.pick([[n as number, 1, ...space], [1, 1, ...space], [n as number, ...space], space]);
}

function attempt(seeded: Seeded, [least, most]: readonly [number, number]): ConvCase | null {
  const dims = seeded.chance(0.7) ? 1 : 2;
  const axes = Array.from({ length: dims }, (_, i) => i);
  const kernelSize = axes.map(() => (seeded.chance(0.85) ? seeded.integer(1, 5) : seeded.integer(6, 13)));
  const stride = axes.map(() => (seeded.chance(0.6) ? 1 : seeded.integer(2, 5)));
  const dilation = axes.map(() => (seeded.chance(0.7) ? 1 : seeded.integer(2, 5)));
  const padding = pads(seeded, kernelSize, stride, dilation);
  const paddingMode: PaddingMode = seeded.chance(0.6) ? 'zeros' : seeded.pick(['reflect', 'replicate', 'circular']);
  const { groups, c, o } = channels(seeded);
  const shape = () => [seeded.chance(0.03) ? 0 : seeded.integer(1, 4), c, ...axes.map(() => length(seeded, dims))];
  const inputs = [shape(), shape()];
  const allowed = inputs.every((x) =>
    axes.every((i) => {
      const size = x[2 + i] as number;
      const span = (dilation[i] as number) * ((kernelSize[i] as number) - 1) + 1;
      const pad = reach(padding, i, span);
      if (paddingMode === 'reflect' && pad >= size) return false;
      if (paddingMode === 'circular' && pad > size) return false;
      const padded = size + (padding === 'same' ? span - 1 : 2 * pad);
      return padded >= span;
    }),
  );
  const products = Math.max(...inputs.map((x) => x.reduce((a, b) => a * b, 1))) * (o / groups) * kernelSize.reduce((a, b) => a * b, 1);
  if (!allowed || products < least || products > most) return null;
  const multiChannel = seeded.chance(0.5);
  const maskDtype = seeded.pick<DType>(['float32', 'float64', 'bool', 'uint8', 'int32', 'float16', 'bfloat16']);
  const partial = seeded.chance(0.6);
  return {
    dims,
    dtype: seeded.pick(
      partial
        ? ['float32', 'float32', 'float64', 'float16', 'bfloat16']
        : ['float32', 'float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128'],
    ),
    inChannels: c,
    outChannels: o,
    kernelSize,
    options: {
      stride,
      dilation,
      padding,
      paddingMode,
      groups,
      bias: seeded.chance(0.7),
      ...(partial ? { multiChannel, countGroups: seeded.chance(0.7), eps: seeded.chance(0.8) ? 0 : 1e-6 } : {}),
    },
    inputs,
    partial,
    masks: inputs.map((x) => (partial ? maskShape(seeded, multiChannel, x) : null)),
    maskDtype,
    maskKind: seeded.pick(['mask', 'sparse', 'runs', 'none', 'all', ...(maskDtype.includes('float') ? (['soft'] as const) : [])]),
  };
}

export function randomCase(seeded: Seeded): ConvCase {
  const products = seeded.chance(0.05) ? MANY_PRODUCTS : FEW_PRODUCTS;
  for (;;) {
    const made = attempt(seeded, products);
    if (made) return made;
  }
}
