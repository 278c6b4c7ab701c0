// BatchNorm1d/2d and InstanceNorm1d/2d, and what their masked forms share with them.
import { untracked } from '../context';
import { full, ones, zeros } from '../create';
import { checkDevice, type Device } from '../device';
import { DTYPES, type DType, isDType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { channelsOf, checkReal } from '../ops/channels';
import { add_ } from '../ops/in_place';
import { checkEps, checkMomentum, normalize, type Running } from '../ops/norm';
import { checkOptions } from '../options';
import { describe, formatShape, type Tensor } from '../tensor';
import { Module } from './module';
import { pythonBool, pythonFloat } from './python_repr';

/** Options of the instance normalisations. */
export interface InstanceNormLayerOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** A learned factor and summand for each channel. Default false (BatchNorm: true). */
  readonly affine?: boolean;
  /** With affine: false leaves the summand out. Default true. */
  readonly bias?: boolean;
  /** Default 'cpu'. */
  readonly device?: Device;
  /** dtype of the parameters and buffers, and so of x. Default 'float32'. */
  readonly dtype?: DType;
}

/** Options of the batch normalisations. */
export interface BatchNormLayerOptions extends InstanceNormLayerOptions {
  /** Share of a batch's statistics in the running ones; null: their plain average over all batches. Default 0.1. */
  readonly momentum?: number | null;
  /** Keep running statistics, which normalise after eval(). Default true. */
  readonly trackRunningStats?: boolean;
}

export const INSTANCE_OPTIONS = ['eps', 'affine', 'bias', 'device', 'dtype'];
export const BATCH_OPTIONS = [...INSTANCE_OPTIONS, 'momentum', 'trackRunningStats'];

function checkFlag(op: string, name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new ShapeError(`${op}: expected ${name} to be a boolean, but got ${describe(value)}`);
  return value;
}

function checkDtype(op: string, dtype: unknown): DType {
  if (!isDType(dtype) || DTYPES[dtype].kind !== 'float') {
    throw new DTypeError(`${op}: expected dtype to be float32, float64, float16 or bfloat16, but got ${describe(dtype)}`);
  }
  return dtype;
}

/** What all normalisations share. */
abstract class Norm extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly affine: boolean;
  /** [numFeatures], or null without affine. */
  weight: Tensor | null;
  /** [numFeatures], or null without affine or bias. */
  bias: Tensor | null;
  /** Numbers of dimensions that x may have. */
  protected readonly ranks!: readonly number[];

  protected constructor(ranks: readonly number[], numFeatures: number, affine: boolean, options: InstanceNormLayerOptions) {
    super();
    const op = new.target.name;
    if (!Number.isSafeInteger(numFeatures) || numFeatures < 0) {
      throw new ShapeError(`${op}: expected numFeatures to be an integer of at least 0, but got ${describe(numFeatures)}`);
    }
    Object.defineProperty(this, 'ranks', { value: ranks, enumerable: false });
    this.numFeatures = numFeatures;
    this.eps = checkEps(op, options.eps ?? 1e-5);
    this.affine = checkFlag(op, 'affine', options.affine ?? affine);
    const hasBias = checkFlag(op, 'bias', options.bias ?? true) && this.affine;
    const create = { dtype: checkDtype(op, options.dtype ?? 'float32'), device: checkDevice(options.device), requiresGrad: true };
    [this.weight, this.bias] = untracked(() => [
      this.affine ? ones([numFeatures], create) : null,
      hasBias ? zeros([numFeatures], create) : null,
    ]);
  }

  /** @throws ShapeError if x has another number of dimensions or channels */
  protected check(x: Tensor): { batched: boolean } {
    const op = this.constructor.name;
    checkReal(op, x);
    if (!this.ranks.includes(x.rank)) {
      throw new ShapeError(
        `${op}: expected ${this.ranks.map((r) => `${r}D`).join(' or ')} input (got ${x.rank}D input): x ${formatShape(x.shape)}`,
      );
    }
    const batched = this.isBatched(x);
    const c = x.shape[batched ? 1 : 0];
    if (c !== this.numFeatures) {
      throw new ShapeError(
        `${op}: expected the channels of x to match numFeatures (${this.numFeatures}), but x ${formatShape(x.shape)} has ${c}`,
      );
    }
    return { batched };
  }

  protected isBatched(_x: Tensor): boolean {
    return true;
  }

  protected repr(momentum: string, trackRunningStats: boolean): string {
    const flags = `affine=${pythonBool(this.affine)}, bias=${pythonBool(this.bias !== null)}, track_running_stats=${pythonBool(trackRunningStats)}`;
    return `${this.numFeatures}, eps=${pythonFloat(this.eps)}, momentum=${momentum}, ${flags}`;
  }

  /** The normalised x, over the valid elements of a mask where there is one. */
  protected abstract run(x: Tensor, mask: Tensor | null): Tensor;
}

const STATE_NAMES: Readonly<Record<string, string>> = {
  runningMean: 'running_mean',
  runningVar: 'running_var',
  numBatchesTracked: 'num_batches_tracked',
};

/** What BatchNorm1d, BatchNorm2d and the masked ones share. */
export abstract class BatchNorm extends Norm {
  readonly momentum: number | null;
  readonly trackRunningStats: boolean;
  /** [numFeatures], or null without trackRunningStats; running_mean in the state. */
  runningMean: Tensor | null;
  /** [numFeatures], or null without trackRunningStats; running_var in the state. */
  runningVar: Tensor | null;
  /** int32 without dimensions, or null without trackRunningStats; num_batches_tracked in the state. */
  numBatchesTracked: Tensor | null;

  protected constructor(ranks: readonly number[], numFeatures: number, options: BatchNormLayerOptions) {
    super(ranks, numFeatures, true, options);
    const op = new.target.name;
    const { momentum = 0.1, trackRunningStats = true, dtype = 'float32', device } = options;
    this.momentum = momentum === null ? null : checkMomentum(op, momentum);
    this.trackRunningStats = checkFlag(op, 'trackRunningStats', trackRunningStats);
    const create = { dtype, device: checkDevice(device) };
    [this.runningMean, this.runningVar, this.numBatchesTracked] = untracked(() =>
      this.trackRunningStats
        ? [zeros([numFeatures], create), ones([numFeatures], create), full([], 0, { ...create, dtype: 'int32' })]
        : [null, null, null],
    );
  }

  protected override bufferNames(): readonly string[] {
    return Object.keys(STATE_NAMES);
  }

  protected override stateName(property: string): string {
    return STATE_NAMES[property] ?? property;
  }

  private running(): Running | null {
    const { runningMean: mean, runningVar: variance, numBatchesTracked: count } = this;
    if (mean === null || variance === null || count === null) return null;
    if (!this.training) return { mean, variance, update: null };
    return { mean, variance, update: this.momentum ?? 1 / ((count.readSync()[0] as number) + 1) };
  }

  protected override run(x: Tensor, mask: Tensor | null): Tensor {
    this.check(x);
    const { weight, bias, eps } = this;
    const running = this.running();
    const y = normalize({ op: this.constructor.name, x, channels: channelsOf(x), mask, weight, bias, eps, perSample: false, running });
    const { numBatchesTracked: count } = this;
    if (running !== null && running.update !== null && count !== null) untracked(() => add_(count, 1));
    return y;
  }

  protected override extraRepr(): string {
    return this.repr(this.momentum === null ? 'None' : pythonFloat(this.momentum), this.trackRunningStats);
  }
}

/** What InstanceNorm1d, InstanceNorm2d and the masked ones share. */
export abstract class InstanceNorm extends Norm {
  protected constructor(dims: 1 | 2, numFeatures: number, options: InstanceNormLayerOptions) {
    super([dims + 1, dims + 2], numFeatures, false, options);
  }

  protected override isBatched(x: Tensor): boolean {
    return x.rank === this.ranks[1];
  }

  protected override run(x: Tensor, mask: Tensor | null): Tensor {
    const channels = channelsOf(x, this.check(x).batched);
    const { weight, bias, eps } = this;
    return normalize({ op: this.constructor.name, x, channels, mask, weight, bias, eps, perSample: true, running: null });
  }

  protected override extraRepr(): string {
    return this.repr('0.1', false);
  }
}

/**
 * Batch normalisation of [N, C] or [N, C, L], as PyTorch's nn.BatchNorm1d: same parameters, buffers, state names and representation.
 */
export class BatchNorm1d extends BatchNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super([2, 3], numFeatures, checkOptions('BatchNorm1d', options, BATCH_OPTIONS));
  }

  /**
   * The normalised x, its gradient recorded: by the batch's statistics while training (or without running ones), else by the running ones.
   * @throws ShapeError if x does not fit the layer, or has one value per channel while training; DTypeError, DeviceError,
   * DisposedError
   */
  forward(x: Tensor): Tensor {
    return this.run(x, null);
  }
}

/** Batch normalisation of [N, C, H, W], as PyTorch's nn.BatchNorm2d; see BatchNorm1d. */
export class BatchNorm2d extends BatchNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super([4], numFeatures, checkOptions('BatchNorm2d', options, BATCH_OPTIONS));
  }

  /** As BatchNorm1d's. */
  forward(x: Tensor): Tensor {
    return this.run(x, null);
  }
}

/**
 * Instance normalisation of [N, C, L] or [C, L], as PyTorch's nn.InstanceNorm1d without running statistics. Other than there, a number of
 * channels that is not numFeatures is an error also without affine.
 */
export class InstanceNorm1d extends InstanceNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: InstanceNormLayerOptions) {
    super(1, numFeatures, checkOptions('InstanceNorm1d', options, INSTANCE_OPTIONS));
  }

  /**
   * The normalised x, its gradient recorded.
   * @throws ShapeError if x does not fit the layer or has a single position; DTypeError, DeviceError, DisposedError
   */
  forward(x: Tensor): Tensor {
    return this.run(x, null);
  }
}

/** Instance normalisation of [N, C, H, W] or [C, H, W]; see InstanceNorm1d. */
export class InstanceNorm2d extends InstanceNorm {
  /** @throws ShapeError for unknown options or values out of range, DTypeError, DeviceError */
  constructor(numFeatures: number, options?: InstanceNormLayerOptions) {
    super(2, numFeatures, checkOptions('InstanceNorm2d', options, INSTANCE_OPTIONS));
  }

  /** As InstanceNorm1d's. */
  forward(x: Tensor): Tensor {
    return this.run(x, null);
  }
}
