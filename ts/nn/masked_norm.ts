// MaskedBatchNorm1d/2d and MaskedInstanceNorm1d/2d: statistics over the valid elements of a mask.
import { checkOptions } from '../options';
import type { Tensor } from '../tensor';
import {
  BATCH_OPTIONS,
  BatchNorm,
  type BatchNormLayerOptions,
  INSTANCE_OPTIONS,
  InstanceNorm,
  type InstanceNormLayerOptions,
} from './norm';

/**
 * Batch normalisation of [N, C] or [N, C, L] with statistics over the valid elements; see batchNorm for the rule. Parameters, buffers and
 * state names are those of BatchNorm1d. Source: masked_torch's MaskedBatchNorm1d, which gives NaN for a channel without valid elements;
 * here the result is the bias and the running statistics stay.
 */
export class MaskedBatchNorm1d extends BatchNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super([2, 3], numFeatures, checkOptions('MaskedBatchNorm1d', options, BATCH_OPTIONS));
  }

  /**
   * The normalised x, its gradient recorded. The mask stays as it is, and the result is not masked.
   * @param mask 1 = valid: [N|1, 1|C, L], [N, L] or [L]; null or left out: as BatchNorm1d
   * @throws ShapeError if x or the mask does not fit, DTypeError, DeviceError, DisposedError
   */
  forward(x: Tensor, mask?: Tensor | null): Tensor {
    return this.run(x, mask ?? null);
  }
}

/** Batch normalisation of [N, C, H, W] with statistics over the valid elements; see MaskedBatchNorm1d. */
export class MaskedBatchNorm2d extends BatchNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super([4], numFeatures, checkOptions('MaskedBatchNorm2d', options, BATCH_OPTIONS));
  }

  /** As MaskedBatchNorm1d's, with [H, W] in place of [L]. */
  forward(x: Tensor, mask?: Tensor | null): Tensor {
    return this.run(x, mask ?? null);
  }
}

/**
 * Instance normalisation of [N, C, L] or [C, L] with statistics over the valid elements of each channel of each sample; see batchNorm for
 * the rule. Source: NeMo's MaskedInstanceNorm1d, which gives NaN where nothing is valid; here the result is the bias.
 */
export class MaskedInstanceNorm1d extends InstanceNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: InstanceNormLayerOptions) {
    super(1, numFeatures, checkOptions('MaskedInstanceNorm1d', options, INSTANCE_OPTIONS));
  }

  /** As MaskedBatchNorm1d's; a single position is allowed with a mask. */
  forward(x: Tensor, mask?: Tensor | null): Tensor {
    return this.run(x, mask ?? null);
  }
}

/** Instance normalisation of [N, C, H, W] or [C, H, W] with statistics over the valid elements; see MaskedInstanceNorm1d. */
export class MaskedInstanceNorm2d extends InstanceNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: InstanceNormLayerOptions) {
    super(2, numFeatures, checkOptions('MaskedInstanceNorm2d', options, INSTANCE_OPTIONS));
  }

  /** As MaskedInstanceNorm1d's, with [H, W] in place of [L]. */
  forward(x: Tensor, mask?: Tensor | null): Tensor {
    return this.run(x, mask ?? null);
  }
}
