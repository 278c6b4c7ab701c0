// MaskedConv1d and MaskedConv2d: convolution whose output fades with the mask under the kernel's centre.
import { maskedConvSteps } from '../ops/masked_conv';
import { checkEps } from '../ops/norm';
import { asItIs, type Freeze, runAsync, runSync, type Steps } from '../ops/steps';
import { checkOptions } from '../options';
import type { Tensor } from '../tensor';
import { CONV_OPTIONS, type ConvLayerOptions, ConvNd } from './conv';
import { pythonFloat } from './python_repr';

export interface MaskedConvLayerOptions extends ConvLayerOptions {
  /** Added to the sum of the weights' sizes that the output's scale is divided by. Default 1e-8. */
  readonly eps?: number;
}

const OPTIONS = [...CONV_OPTIONS, 'eps'];

/** What both share. */
abstract class MaskedConv extends ConvNd {
  readonly eps: number;

  protected constructor(
    dims: 1 | 2,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: MaskedConvLayerOptions,
  ) {
    super(dims, inChannels, outChannels, kernelSize, options);
    this.eps = checkEps(this.spec.op, options.eps ?? 1e-8);
  }

  private steps(x: Tensor, mask: Tensor | null | undefined, freeze: Freeze): Steps<[Tensor, Tensor | null]> {
    const { spec, weight, bias, eps } = this;
    return maskedConvSteps({ spec, x: freeze(x), mask: freeze(mask ?? null), weight: freeze(weight), bias: freeze(bias), eps });
  }

  /**
   * The masked convolution of x, its gradient recorded; see maskedConv1d for the rule. x is not masked: see ApplyMask.
   * @param mask [N|1, 1|C, ...], [N, ...] or [...]; null or left out: as Conv1d
   * @returns the output and its scale M' [N|1, O, ...], the mask for the next layer; null without a mask
   * @throws ShapeError, DTypeError, DeviceError, DisposedError
   */
  forward(x: Tensor, mask?: Tensor | null): [output: Tensor, mask: Tensor | null] {
    return runSync(this.steps(x, mask, asItIs));
  }

  /** The same result, computed off the event loop. No gradient is recorded. */
  async forwardAsync(x: Tensor, mask?: Tensor | null): Promise<[output: Tensor, mask: Tensor | null]> {
    return runAsync((freeze) => this.steps(x, mask, freeze));
  }

  protected override extraRepr(): string {
    return `${super.extraRepr()}, eps=${pythonFloat(this.eps)}`;
  }
}

/**
 * 1-D masked convolution layer: `y = (conv(x) + bias) * M'`. Parameters, initialisation and state names are those of Conv1d. Source:
 * masked_torch's MaskedConv1d; even kernels, dilation, any padding and padding modes, and masks with one channel work here too.
 */
export class MaskedConv1d extends MaskedConv {
  /** @throws ShapeError for options out of range, DTypeError, DeviceError */
  constructor(inChannels: number, outChannels: number, kernelSize: number | readonly number[], options?: MaskedConvLayerOptions) {
    super(1, inChannels, outChannels, kernelSize, checkOptions('MaskedConv1d', options, OPTIONS));
  }
}

/** 2-D masked convolution layer; see MaskedConv1d. */
export class MaskedConv2d extends MaskedConv {
  /** @throws ShapeError for options out of range, DTypeError, DeviceError */
  constructor(inChannels: number, outChannels: number, kernelSize: number | readonly number[], options?: MaskedConvLayerOptions) {
    super(2, inChannels, outChannels, kernelSize, checkOptions('MaskedConv2d', options, OPTIONS));
  }
}
