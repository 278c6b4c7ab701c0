// PReLU and ReLU as layers.
import { untracked } from '../context';
import { full } from '../create';
import { checkDevice, type Device } from '../device';
import { DTYPES, type DType, isDType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { relu } from '../ops/elementwise';
import { prelu } from '../ops/prelu';
import { checkOptions } from '../options';
import { describe, type Tensor } from '../tensor';
import { Module } from './module';

export interface PReLUOptions {
  /** Slope at first. Default 0.25. */
  readonly init?: number;
  /** Default 'cpu'. */
  readonly device?: Device;
  /** dtype of the slopes, and so of x. Default 'float32'. */
  readonly dtype?: DType;
}

/** `x > 0 ? x : weight * x` with learned slopes, as PyTorch's nn.PReLU. */
export class PReLU extends Module {
  readonly numParameters: number;
  /** [numParameters] */
  weight: Tensor;

  /**
   * @param numParameters 1 (default), or the number of channels
   * @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError
   */
  constructor(numParameters = 1, options?: PReLUOptions) {
    super();
    const { init = 0.25, device, dtype = 'float32' } = checkOptions('PReLU', options, ['init', 'device', 'dtype']) as PReLUOptions;
    if (!Number.isSafeInteger(numParameters) || numParameters < 1) {
      throw new ShapeError(`PReLU: expected numParameters to be an integer of at least 1, but got ${describe(numParameters)}`);
    }
    if (typeof init !== 'number') throw new ShapeError(`PReLU: expected init to be a number, but got ${describe(init)}`);
    if (!isDType(dtype) || DTYPES[dtype].kind !== 'float') {
      throw new DTypeError(`PReLU: expected dtype to be float32, float64, float16 or bfloat16, but got ${describe(dtype)}`);
    }
    this.numParameters = numParameters;
    this.weight = untracked(() => full([numParameters], init, { dtype, device: checkDevice(device), requiresGrad: true }));
  }

  /**
   * @param x [N, C, ...] with C = numParameters, or any shape with a single slope
   * @throws ShapeError, DTypeError, DeviceError, DisposedError
   */
  forward(x: Tensor): Tensor {
    return prelu(x, this.weight);
  }

  protected override extraRepr(): string {
    return `num_parameters=${this.numParameters}`;
  }
}

/** max(x, 0), as PyTorch's nn.ReLU. */
export class ReLU extends Module {
  /** @throws DTypeError for a complex or bool x, DisposedError */
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}
