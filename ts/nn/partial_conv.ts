// PartialConv1d and PartialConv2d: convolution of data with holes, with the updated mask.

import { ShapeError } from '../errors';
import { MaskCache, type MaskCacheStatistics } from '../ops/mask_cache';
import { type CountOptions, type CountSpec, countSpec } from '../ops/mask_ratio';
import { type PartialOutput, partialConvSteps } from '../ops/partial_conv';
import { asItIs, type Freeze, runAsync, runSync, type Steps } from '../ops/steps';
import { checkOptions } from '../options';
import { describe, type Tensor } from '../tensor';
import { CONV_OPTIONS, type ConvLayerOptions, ConvNd } from './conv';
import { pythonFloat } from './python_repr';

/** Options of a partial convolution layer; R is the type of returnMask. */
export interface PartialConvLayerOptions<R extends boolean = boolean> extends ConvLayerOptions, CountOptions {
  /** forward() returns [output, updatedMask] instead of the output alone. Default false. */
  readonly returnMask?: R;
}

export interface PartialForwardOptions<R extends boolean = boolean> {
  /** Overrides the constructor's returnMask for this call. */
  readonly returnMask?: R;
}

/** What forward() returns: the output, or the output with the updated mask. */
export type PartialResult<R extends boolean> = R extends true ? [output: Tensor, updatedMask: Tensor] : Tensor;

const OPTIONS = [...CONV_OPTIONS, 'multiChannel', 'returnMask', 'eps', 'countGroups'] as const;

/** What both layers share. */
abstract class PartialConv<R extends boolean> extends ConvNd {
  readonly multiChannel: boolean;
  readonly returnMask: R;
  readonly eps: number;
  readonly countGroups: boolean;
  private readonly count!: CountSpec;
  private readonly cache!: MaskCache;

  protected constructor(
    dims: 1 | 2,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: PartialConvLayerOptions<R>,
  ) {
    // Before anything is drawn for the parameters.
    const count = countSpec(new.target.name, options);
    const returnMask = (checkFlag(new.target.name, options.returnMask) ?? false) as R;
    super(dims, inChannels, outChannels, kernelSize, options);
    this.multiChannel = count.multiChannel;
    this.returnMask = returnMask;
    this.eps = count.eps;
    this.countGroups = count.countGroups;
    Object.defineProperty(this, 'count', { value: count, enumerable: false });
    Object.defineProperty(this, 'cache', { value: new MaskCache(this.spec, count), enumerable: false });
  }

  /** How often a prepared mask was found again, and what is kept. Masks whose data was handed out are never kept. */
  get maskCache(): MaskCacheStatistics {
    return this.cache.statistics;
  }

  private steps(
    x: Tensor,
    mask: Tensor | null | undefined,
    options: PartialForwardOptions | undefined,
    freeze: Freeze = asItIs,
  ): Steps<PartialOutput> {
    const { spec, count, cache } = this;
    const checked = options && (checkOptions(spec.op, options, ['returnMask']) as PartialForwardOptions);
    const returnMask = checkFlag(spec.op, checked?.returnMask) ?? this.returnMask;
    const operands = { x: freeze(x), mask: freeze(mask ?? null), weight: freeze(this.weight), bias: freeze(this.bias) };
    return partialConvSteps({ spec, count, ...operands, returnMask }, cache.find);
  }

  /**
   * The partial convolution of x, its gradient recorded; see partialConv1d for the rule.
   * @param mask 1 = valid, see partialConv1d for the shapes; left out: all valid, with the zero padding as the only hole
   * @returns the output, or [output, updatedMask] where returnMask (here, else in the constructor) is true
   * @throws ShapeError, DTypeError, DeviceError, DisposedError
   */
  forward<Q extends boolean = R>(x: Tensor, mask?: Tensor | null, options?: PartialForwardOptions<Q>): PartialResult<Q> {
    return resultOf<Q>(runSync(this.steps(x, mask, options)));
  }

  /** The same result, computed off the event loop. No gradient is recorded. */
  async forwardAsync<Q extends boolean = R>(
    x: Tensor,
    mask?: Tensor | null,
    options?: PartialForwardOptions<Q>,
  ): Promise<PartialResult<Q>> {
    return resultOf<Q>(await runAsync((freeze) => this.steps(x, mask, options, freeze)));
  }

  /** @internal The rule in a MaskedSequential: the updated mask goes on. */
  forwardWithMask(x: Tensor, mask: Tensor): [Tensor, Tensor] {
    return this.forward(x, mask, { returnMask: true });
  }

  /** @internal */
  async forwardWithMaskAsync(x: Tensor, mask: Tensor): Promise<[Tensor, Tensor]> {
    return this.forwardAsync(x, mask, { returnMask: true });
  }

  override dispose(): void {
    this.cache.clear();
    super.dispose();
  }

  protected override extraRepr(): string {
    const parts = [super.extraRepr()];
    if (this.multiChannel) parts.push('multi_channel=True');
    if (this.returnMask) parts.push('return_mask=True');
    if (this.eps !== 0) parts.push(`eps=${pythonFloat(this.eps)}`);
    if (!this.countGroups) parts.push('count_groups=False');
    return parts.join(', ');
  }
}

function resultOf<Q extends boolean>({ y, mask }: PartialOutput): PartialResult<Q> {
  return (mask === null ? y : [y, mask]) as PartialResult<Q>;
}

function checkFlag(op: string, value: unknown): boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean')
    throw new ShapeError(`${op}: expected returnMask to be a boolean, but got ${describe(value)}`);
  return value;
}

/**
 * 1-D partial convolution layer: `y = (conv(select(mask, x)) * ratio + bias) * updated`. Parameters, initialisation and state names
 * are those of Conv1d. Source: Liu et al., Image Inpainting for Irregular Holes Using Partial Convolutions, 2018.
 */
export class PartialConv1d<R extends boolean = false> extends PartialConv<R> {
  /** @throws ShapeError for options out of range, DTypeError, DeviceError */
  constructor(inChannels: number, outChannels: number, kernelSize: number | readonly number[], options?: PartialConvLayerOptions<R>) {
    super(1, inChannels, outChannels, kernelSize, checkOptions('PartialConv1d', options, OPTIONS) as PartialConvLayerOptions<R>);
  }
}

/** 2-D partial convolution layer; see PartialConv1d. */
export class PartialConv2d<R extends boolean = false> extends PartialConv<R> {
  /** @throws ShapeError for options out of range, DTypeError, DeviceError */
  constructor(inChannels: number, outChannels: number, kernelSize: number | readonly number[], options?: PartialConvLayerOptions<R>) {
    super(2, inChannels, outChannels, kernelSize, checkOptions('PartialConv2d', options, OPTIONS) as PartialConvLayerOptions<R>);
  }
}
