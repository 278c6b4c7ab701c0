// What the golden files hold.

import type { GeneratorKind } from './generate';

export type FloatName = 'float32' | 'float64' | 'float16' | 'bfloat16' | 'complex64' | 'complex128';

export type GoldenName = 'conv' | 'partial' | 'rng' | 'init_printed' | 'errors' | 'masked_layers' | 'conv_modern' | 'optim' | 'mixed';

/** Flat row-major numbers (complex interleaved) with a shape; NaN and infinities are spelled as strings. */
export interface Packed {
  readonly shape: number[];
  readonly data: Numbers;
}
export type Numbers = readonly (number | 'NaN' | 'Infinity' | '-Infinity')[];

/** Hex bit patterns, a fixed width per element: 4 for 16-bit floats, 8 float32, 16 float64; complex as re, im. */
export interface PackedBits {
  readonly shape: number[];
  readonly bits: string;
}

export type Options = Readonly<Record<string, number | number[] | string | boolean>>;

export interface ConvCase {
  readonly name: string;
  readonly op: 'conv1d' | 'conv2d';
  readonly dtype: FloatName;
  readonly data: 'exact' | 'fine' | 'spec';
  readonly seed: number;
  readonly x: number[];
  readonly weight: number[];
  readonly options: Options;
  readonly y: Packed;
  readonly dx: Numbers;
  readonly dw: Numbers;
  readonly db?: Numbers;
}

export interface PartialCase extends Omit<ConvCase, 'op' | 'data'> {
  readonly op: 'partialConv1d' | 'partialConv2d';
  readonly data: 'exact' | 'fine';
  readonly mask?: { readonly kind: GeneratorKind; readonly shape: number[] };
  readonly ratio: Packed;
  readonly updated: Packed;
}

export interface DrawStep {
  readonly op: 'rand' | 'randn';
  readonly shape: number[];
  readonly dtype: FloatName;
  readonly bits?: string;
  readonly data?: Numbers;
}
export interface MadeLayer {
  readonly op: 'conv1d' | 'conv2d';
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number | number[];
  readonly options: Options;
  readonly dtype: FloatName;
  readonly weight: PackedBits;
  readonly bias?: PackedBits;
}
export interface RngFile {
  readonly draws: (DrawStep & { readonly seed: string; readonly next: string })[];
  readonly sequences: { readonly name: string; readonly seed: string; readonly steps: DrawStep[] }[];
  readonly layers: { readonly seed: string; readonly layers: MadeLayer[]; readonly next: string }[];
}

export interface InitPrintedFile {
  readonly conv: {
    readonly id: string;
    readonly seed: string;
    readonly dtype: FloatName;
    /** manualSeed(seed) again before every layer. */
    readonly reseed: boolean;
    readonly x: unknown;
    readonly layers: {
      readonly inChannels: number;
      readonly outChannels: number;
      readonly kernelSize: number;
      readonly weight: Numbers;
      readonly bias: Numbers;
    }[];
    readonly repr: string;
    readonly decimals: number;
    readonly printed: number[];
    readonly y: Packed;
  }[];
  readonly partial: {
    readonly id: string;
    readonly dtype: FloatName;
    readonly x: Packed;
    readonly weight: number[];
    readonly bias?: number[];
    readonly mask: Packed;
    readonly options: Options;
    readonly decimals?: number;
    readonly printed: number[];
    readonly y: Packed;
    readonly ratio: Packed;
    readonly updated: Packed;
  }[];
  readonly pad: {
    readonly mode: string;
    readonly x: Packed;
    readonly pads: number[];
    readonly value?: number;
    readonly y?: Packed;
    readonly error?: string;
  }[];
  readonly same: { readonly x: number[]; readonly weight: number[]; readonly options: Options; readonly y: number[] }[];
}

export interface TensorSpec {
  readonly shape: number[];
  readonly dtype?: string;
}
export interface Call {
  readonly id: string;
  readonly kind: 'construct' | 'forward' | 'functional' | 'pad' | 'loadState' | 'backward';
  readonly op: 'conv1d' | 'conv2d' | 'pad';
  readonly args?: (number | number[])[];
  readonly options?: Options;
  readonly x?: TensorSpec | null;
  readonly weight?: TensorSpec;
  readonly bias?: TensorSpec;
  readonly pads?: number[];
  readonly mode?: string;
  readonly value?: number;
  readonly state?: Readonly<Record<string, number[]>>;
  readonly what?: string;
}
export interface ErrorsFile {
  readonly rejected: (Call & { readonly torchError: string; readonly fact: string; readonly message: string })[];
  readonly accepted: (Call & { readonly y?: number[]; readonly warning?: string })[];
  readonly reprs: (Omit<Call, 'id'> & { readonly repr: string })[];
}

/** One layer or function of the training files: generated inputs, expected results by name. */
export interface LayerCase {
  readonly name: string;
  readonly layer: string;
  readonly seed: number;
  readonly x: number[];
  readonly options: Options;
  readonly outPlanes?: number;
  readonly training?: boolean;
  readonly mask?: { readonly kind: GeneratorKind; readonly shape: number[] };
  /** x (and target) are multiplied by the mask before use. */
  readonly masked?: boolean;
  /** The original system gives these numbers; false where its code fails and ours is the stated extension. */
  readonly original?: boolean;
  /** Parameters and buffers in registration order; entry i is generate('exact', seed + 10 + i, shape) * scale + shift. */
  readonly state?: readonly StateEntry[];
  readonly y: Packed;
  readonly updated?: Packed;
  readonly dx?: Numbers;
  /** Gradients by parameter name, and buffers after the call. */
  readonly gradients?: Readonly<Record<string, Numbers>>;
  readonly buffers?: Readonly<Record<string, Numbers>>;
}
export interface StateEntry {
  readonly name: string;
  readonly shape: number[];
  readonly scale: number;
  readonly shift: number;
}

export interface OptimCase {
  readonly name: string;
  readonly optimizer: 'SGD' | 'Adam' | 'AdamW';
  readonly dtype: 'float32' | 'float64';
  readonly options: Options;
  readonly clip?: number;
  readonly schedule?: { readonly kind: 'step' | 'cosine'; readonly options: Options };
  readonly steps: readonly {
    readonly step: number;
    readonly loss: number;
    readonly lr: number;
    readonly norm?: number;
    readonly parameters: Numbers[];
  }[];
  readonly rates?: number[];
}

/** A network under autocast. */
export interface MixedNet {
  readonly net: 'plain' | 'shared' | 'partial';
  readonly dtype: 'float16' | 'bfloat16';
  readonly x: number[];
  readonly shapes: number[][];
  readonly scales: number[];
  readonly dtypes: string[];
  readonly loss: number;
  readonly y: Packed;
  readonly dx: Numbers;
  readonly gradients: Numbers[];
  readonly training: number[];
}
export interface MixedFile {
  readonly nets: readonly MixedNet[];
  readonly scaler: {
    readonly options: Readonly<Record<string, number>>;
    readonly infinite: readonly number[];
    readonly steps: readonly {
      readonly step: number;
      readonly norm: number | 'NaN' | 'Infinity';
      readonly scale: number;
      readonly growthTracker: number;
      readonly parameters: Numbers[];
    }[];
  };
  readonly master: readonly {
    readonly optimizer: 'SGD' | 'Adam' | 'AdamW';
    readonly options: Options;
    readonly steps: number;
    readonly parameters: Numbers;
  }[];
}

export type Cases<T> = { readonly cases: T[] };
export interface Files {
  conv: Cases<ConvCase>;
  partial: Cases<PartialCase>;
  rng: RngFile;
  init_printed: InitPrintedFile;
  errors: ErrorsFile;
  masked_layers: Cases<LayerCase>;
  conv_modern: Cases<LayerCase>;
  optim: Cases<OptimCase>;
  mixed: MixedFile;
}
