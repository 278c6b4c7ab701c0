// Layers that put a mask onto x or take it off, and means over space. Source: masked_torch.
import { DTYPES } from '../dtype';
import { ShapeError } from '../errors';
import { autocastMaskDtype } from '../ops/autocast';
import { cast } from '../ops/cast';
import { castTo } from '../ops/kernels';
import { applyMask, selectValid, unMask } from '../ops/mask_apply';
import { checkEps } from '../ops/norm';
import { mean, sum } from '../ops/reduce';
import { checkOptions } from '../options';
import { checkTensor, describe, formatShape, type Tensor } from '../tensor';
import { Module } from './module';
import { pythonFloat } from './python_repr';

/** x times the mask, 0 where the mask is 0 whatever x holds there; see applyMask. Without a mask x itself. */
export class ApplyMask extends Module {
  /** @throws ShapeError, DTypeError, DeviceError */
  forward(x: Tensor, mask?: Tensor | null): Tensor {
    return mask ? applyMask(x, mask) : checkTensor(x, 'ApplyMask');
  }
}

export interface EpsOptions {
  /** Added to the divisor. Default 1e-8. */
  readonly eps?: number;
}

/** x divided by (mask + eps), 0 where that is 0; see unMask. Without a mask x itself. */
export class UnMask extends Module {
  readonly eps: number;

  /** @throws ShapeError for unknown options or a negative eps */
  constructor(options?: EpsOptions) {
    super();
    this.eps = checkEps('UnMask', (checkOptions('UnMask', options, ['eps']) as EpsOptions).eps ?? 1e-8);
  }

  /** @throws ShapeError, DTypeError, DeviceError */
  forward(x: Tensor, mask?: Tensor | null): Tensor {
    return mask ? unMask(x, mask, this.eps) : checkTensor(x, 'UnMask');
  }

  protected override extraRepr(): string {
    return `eps=${pythonFloat(this.eps)}`;
  }
}

export interface SpatialMeanOptions {
  /** Leaves the spatial dimensions with size 1. Default false. */
  readonly keepDims?: boolean;
}

function checkKeepDims(op: string, { keepDims = false }: SpatialMeanOptions): boolean {
  if (typeof keepDims !== 'boolean') throw new ShapeError(`${op}: expected keepDims to be a boolean, but got ${describe(keepDims)}`);
  return keepDims;
}

const ALIASES = { keepdim: 'keepDims' };

/** The spatial dimensions of x [N, C, ...]. */
function spatial(op: string, x: Tensor): number[] {
  if (checkTensor(x, op).rank < 3)
    throw new ShapeError(`${op}: expected x [N, C, ...] with at least one spatial dimension, but got x ${formatShape(x.shape)}`);
  return x.shape.map((_, d) => d).slice(2);
}

/** Mean over the spatial dimensions: [N, C, ...] -> [N, C]. */
export class SpatialMean extends Module {
  readonly keepDims: boolean;

  /** @throws ShapeError for unknown options */
  constructor(options?: SpatialMeanOptions) {
    super();
    this.keepDims = checkKeepDims('SpatialMean', checkOptions('SpatialMean', options, ['keepDims'], ALIASES));
  }

  /** @throws ShapeError if x has no spatial dimension, DTypeError for integers and bools */
  forward(x: Tensor): Tensor {
    return mean(x, spatial('SpatialMean', x), { keepDims: this.keepDims });
  }
}

/**
 * Mean over the valid elements of the spatial dimensions, and the mean of the mask: `sum of x where mask is not 0 / (sum of mask + eps)`.
 * 0 where nothing is valid. x is taken as masked already: a soft mask does not multiply it again.
 */
export class MaskedSpatialMean extends Module {
  readonly eps: number;
  readonly keepDims: boolean;

  /** @throws ShapeError for unknown options or a negative eps */
  constructor(options?: EpsOptions & SpatialMeanOptions) {
    super();
    const checked = checkOptions('MaskedSpatialMean', options, ['eps', 'keepDims'], ALIASES) as EpsOptions & SpatialMeanOptions;
    this.eps = checkEps('MaskedSpatialMean', checked.eps ?? 1e-8);
    this.keepDims = checkKeepDims('MaskedSpatialMean', checked);
  }

  /**
   * @param x [N, C, ...], real floating point
   * @param mask [N|1, 1|C, ...]; without one the plain mean and null
   * @returns [mean [N, C], mask [N|1, 1|C] in x's dtype (in autocast() float32)], with keepDims each with spatial dimensions of size 1
   * @throws ShapeError, DTypeError, DeviceError
   */
  forward(x: Tensor, mask?: Tensor | null): [output: Tensor, mask: Tensor | null] {
    const op = 'MaskedSpatialMean';
    const dims = spatial(op, x);
    const { keepDims } = this;
    if (!mask) return [mean(x, dims, { keepDims }), null];
    if (checkTensor(mask, op, 'mask').rank !== x.rank) {
      throw new ShapeError(
        `${op}: expected a mask with the dimensions of x ${formatShape(x.shape)}, but got mask ${formatShape(mask.shape)}`,
      );
    }
    const valid = selectValid(op, x, mask);
    // Counts and sums in float32 at least: those of float16 end at 65,504.
    const { accumulator } = DTYPES[x.dtype];
    const weights = castTo(DTYPES[mask.dtype].kind === 'float' ? mask : castTo(mask, 'bool'), accumulator);
    const total = sum(cast(valid, accumulator), dims, { keepDims });
    return [
      cast(unMask(total, sum(weights, dims, { keepDims }), this.eps), x.dtype),
      castTo(mean(weights, dims, { keepDims }), autocastMaskDtype(x)),
    ];
  }

  protected override extraRepr(): string {
    return `eps=${pythonFloat(this.eps)}`;
  }
}
