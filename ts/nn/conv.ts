// Conv1d and Conv2d, and what all convolution layers share: options, parameters, attributes, representation.
import { untracked } from '../context';
import { checkDevice, type Device } from '../device';
import { DTYPES, type DType, isDifferentiable, isDType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { plainConvSteps } from '../ops/conv';
import { type ConvOptions, type ConvSpec, checkGroups, convSpec, type PaddingMode, perDimension } from '../ops/conv_geometry';
import { asItIs, type Freeze, runAsync, runSync, type Steps } from '../ops/steps';
import { checkOptions } from '../options';
import { describe, empty, formatShape, sizeOf, type Tensor } from '../tensor';
import { initConvolution } from './init';
import { Module } from './module';
import { pythonTuple } from './python_repr';

/** Options of a convolution layer. */
export interface ConvLayerOptions extends ConvOptions {
  /** Add a learned constant to each output channel. Default true. */
  readonly bias?: boolean;
  /** Default 'cpu'. */
  readonly device?: Device;
  /** dtype of the parameters, and so of x. Default 'float32'. */
  readonly dtype?: DType;
}

export const CONV_OPTIONS = ['stride', 'padding', 'dilation', 'groups', 'bias', 'paddingMode', 'device', 'dtype'] as const;

function checkChannels(op: string, inChannels: unknown, outChannels: unknown, groups: number): void {
  for (const [name, value] of Object.entries({ inChannels, outChannels })) {
    if (!Number.isSafeInteger(value)) throw new ShapeError(`${op}: expected ${name} to be an integer, but got ${describe(value)}`);
  }
  for (const [torchName, name, value] of [
    ['in_channels', 'inChannels', inChannels as number],
    ['out_channels', 'outChannels', outChannels as number],
  ] as const) {
    if (value % groups !== 0)
      throw new ShapeError(`${op}: ${torchName} must be divisible by groups, but got ${name}=${value} and groups=${groups}`);
  }
}

/** @throws ShapeError for a size below 0 */
function checkWeightShape(op: string, shape: readonly number[]): void {
  const negative = shape.find((size) => size < 0);
  if (negative !== undefined)
    throw new ShapeError(`${op}: Trying to create tensor with negative dimension ${negative}: ${formatShape(shape)}`);
  if (!Number.isSafeInteger(sizeOf(shape))) throw new ShapeError(`${op}: a weight of shape ${formatShape(shape)} has too many elements`);
}

function checkLayerDtype(op: string, dtype: unknown): DType {
  if (!isDType(dtype))
    throw new DTypeError(`${op}: expected dtype to be one of ${Object.keys(DTYPES).join(', ')}, but got ${describe(dtype)}`);
  if (!isDifferentiable(dtype))
    throw new DTypeError(`${op}: Only Tensors of floating point and complex dtype can require gradients, but got dtype ${dtype}`);
  return dtype;
}

/** What the convolution layers share. */
export abstract class ConvNd extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[] | 'same' | 'valid';
  readonly dilation: readonly number[];
  readonly groups: number;
  readonly paddingMode: PaddingMode;
  /** [outChannels, inChannels / groups, ...kernelSize] */
  weight: Tensor;
  /** [outChannels], or null with bias: false */
  bias: Tensor | null;
  // Not enumerable: neither state nor part of what inspection shows.
  protected readonly spec!: ConvSpec;

  protected constructor(
    dims: 1 | 2,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: ConvLayerOptions,
  ) {
    super();
    const op = new.target.name;
    const { groups = 1, bias = true, dtype = 'float32' } = options;
    checkGroups(op, groups);
    checkChannels(op, inChannels, outChannels, groups);
    const shape = [outChannels, inChannels / groups, ...perDimension(op, 'kernelSize', kernelSize, dims)];
    checkWeightShape(op, shape);
    const spec = convSpec(op, dims, kernelSize, options);
    if (typeof bias !== 'boolean') throw new ShapeError(`${op}: expected bias to be a boolean, but got ${describe(bias)}`);
    const type = checkLayerDtype(op, dtype);
    const device = checkDevice(options.device);
    Object.defineProperty(this, 'spec', { value: spec, enumerable: false });
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = spec.kernelSize;
    this.stride = spec.stride;
    this.padding = spec.padding;
    this.dilation = spec.dilation;
    this.groups = spec.groups;
    this.paddingMode = spec.paddingMode;
    [this.weight, this.bias] = untracked(() => [empty(shape, type, device, op), bias ? empty([outChannels], type, device, op) : null]);
    for (const parameter of [this.weight, this.bias]) if (parameter !== null) parameter.requiresGrad = true;
    this.resetParameters();
  }

  /** Draws weight and bias anew from the seeded generator: uniform within 1 / sqrt(fan_in), as PyTorch does. */
  resetParameters(): void {
    initConvolution(this.constructor.name, this.weight, this.bias);
  }

  protected override extraRepr(): string {
    const differs = (values: readonly number[], usual: number) => values.some((v) => v !== usual);
    const parts = [
      `${this.inChannels}, ${this.outChannels}, kernel_size=${pythonTuple(this.kernelSize)}, stride=${pythonTuple(this.stride)}`,
    ];
    if (typeof this.padding === 'string') parts.push(`padding=${this.padding}`);
    else if (differs(this.padding, 0)) parts.push(`padding=${pythonTuple(this.padding)}`);
    if (differs(this.dilation, 1)) parts.push(`dilation=${pythonTuple(this.dilation)}`);
    if (this.groups !== 1) parts.push(`groups=${this.groups}`);
    if (this.bias === null) parts.push('bias=False');
    if (this.paddingMode !== 'zeros') parts.push(`padding_mode=${this.paddingMode}`);
    return parts.join(', ');
  }
}

/** A plain convolution layer. */
abstract class PlainConv extends ConvNd {
  private steps(input: Tensor, freeze: Freeze = asItIs): Steps<Tensor> {
    return plainConvSteps({ spec: this.spec, x: freeze(input), weight: freeze(this.weight), bias: freeze(this.bias) });
  }

  /**
   * The convolution of x, its gradient recorded.
   * @throws ShapeError if x does not fit the layer, DTypeError if its dtype is another than the weight's, DeviceError if its device is,
   * DisposedError
   */
  forward(x: Tensor): Tensor {
    return runSync(this.steps(x));
  }

  /** The same result, computed off the event loop. No gradient is recorded. */
  async forwardAsync(x: Tensor): Promise<Tensor> {
    return runAsync((freeze) => this.steps(x, freeze));
  }
}

/**
 * 1-D convolution layer, as PyTorch's nn.Conv1d: same options, initialisation, attributes, representation and state names.
 * x [N, C, L] or [C, L] -> [N, O, L'] or [O, L'].
 */
export class Conv1d extends PlainConv {
  /**
   * @param kernelSize taps, or [taps]
   * @throws ShapeError for options that PyTorch rejects (here always at construction), DTypeError, DeviceError
   */
  constructor(inChannels: number, outChannels: number, kernelSize: number | readonly number[], options?: ConvLayerOptions) {
    super(1, inChannels, outChannels, kernelSize, checkOptions('Conv1d', options, CONV_OPTIONS) as ConvLayerOptions);
  }
}

/** 2-D convolution layer, as PyTorch's nn.Conv2d. x [N, C, H, W] or [C, H, W] -> [N, O, H', W'] or [O, H', W']. */
export class Conv2d extends PlainConv {
  /**
   * @param kernelSize taps in both dimensions, or [rows, columns]
   * @throws ShapeError for options that PyTorch rejects (here always at construction), DTypeError, DeviceError
   */
  constructor(inChannels: number, outChannels: number, kernelSize: number | readonly number[], options?: ConvLayerOptions) {
    super(2, inChannels, outChannels, kernelSize, checkOptions('Conv2d', options, CONV_OPTIONS) as ConvLayerOptions);
  }
}
