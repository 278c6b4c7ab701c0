// Batch and instance normalisation, with and without a mask: one native call forward, one backward.
import { record } from '../autograd';
import { backend } from '../device';
import { ShapeError } from '../errors';
import { checkOptions } from '../options';
import { describe, empty, formatShape, type Tensor } from '../tensor';
import { mixesInAutocast } from './autocast';
import { cast } from './cast';
import { type ChannelMask, type Channels, channelsOf, checkMask, checkPerChannel, checkReal, operand } from './channels';

/** Options of both. */
export interface NormOptions {
  /** 1 = valid: only valid elements enter the statistics. [N|1, 1|C, ...], [N, ...] or [...]; bool, integer or float. Default none. */
  readonly mask?: Tensor | null;
  /** Factor of each channel, [C]. Default none. */
  readonly weight?: Tensor | null;
  /** Summand of each channel, [C]. Default none. */
  readonly bias?: Tensor | null;
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
}

export interface BatchNormOptions extends NormOptions {
  /** Statistics of the batch normalise, and go into the running ones; else the running ones normalise. Default false. */
  readonly training?: boolean;
  /** [C] each, changed in place when training. Default none: then the batch's normalise in any case. */
  readonly runningMean?: Tensor | null;
  readonly runningVar?: Tensor | null;
  /** Share of the batch's statistics in the new running ones. Default 0.1. */
  readonly momentum?: number;
}

/** Running statistics; with `update`, the share that those of this batch get, else they normalise. */
export interface Running {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly update: number | null;
}

/** One normalisation. */
export interface NormCall {
  readonly op: string;
  readonly x: Tensor;
  readonly channels: Channels;
  readonly mask: Tensor | null;
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  readonly eps: number;
  /** Statistics of each sample by itself. */
  readonly perSample: boolean;
  readonly running: Running | null;
}

function checkCall({ op, x, channels, mask, weight, bias, perSample, running }: NormCall): ChannelMask | null {
  const { n, c, s } = channels;
  if (weight !== null) checkPerChannel(op, 'weight', weight, x, c);
  if (bias !== null) checkPerChannel(op, 'bias', bias, x, c);
  if (running !== null) {
    checkPerChannel(op, 'runningMean', running.mean, x, c);
    checkPerChannel(op, 'runningVar', running.variance, x, c);
  }
  if (mask !== null) return checkMask(op, x, channels, mask);
  if (perSample && s === 1)
    throw new ShapeError(`${op}: Expected more than 1 spatial element when training, got input size ${formatShape(x.shape)}`);
  if (!perSample && n * s === 1 && (running === null || running.update !== null)) {
    throw new ShapeError(`${op}: Expected more than 1 value per channel when training, got input size ${formatShape(x.shape)}`);
  }
  return null;
}

/**
 * The normalised x, its gradient recorded: `(x - mean) / sqrt(variance + eps) * weight + bias`, over the valid elements mean = sum x /
 * sum m and variance = sum m^2 (x - mean)^2 / sum m. Elements that are not valid are normalised like the others; where no element is
 * valid the result is the bias, and the running statistics stay. In autocast() a 16-bit x beside float32 parameters is normalised in
 * float32 and rounded once, as in PyTorch.
 * @throws ShapeError, DTypeError, DeviceError
 */
export function normalize(call: NormCall): Tensor {
  const { x, weight, bias, running } = call;
  if (!mixesInAutocast(x, [weight, bias, running?.mean, running?.variance])) return run(call);
  const wide = cast(x, 'float32');
  const y = run({ ...call, x: wide });
  const rounded = cast(y, x.dtype);
  for (const t of [wide, y]) t.dispose();
  return rounded;
}

function run(call: NormCall): Tensor {
  const { op, x, channels, weight, bias, eps, perSample, running } = call;
  const masked = checkCall(call);
  const { n, c, s } = channels;
  const frozen = running !== null && running.update === null;
  const fields = Float64Array.of(n, c, s, masked?.n ?? 0, masked?.c ?? 0, Number(perSample), Number(frozen));
  const statistics = empty([perSample ? n * c : c, 4], 'float64', x.device, op);
  const y = empty(x.shape, x.dtype, x.device, op);
  const buffers = [running?.mean ?? null, running?.variance ?? null].flatMap((t) => [
    t && (frozen ? t.raw(op) : t.rawForWrite(op)),
    t?.code ?? 0,
  ]);
  const [mean, meanCode, variance, varianceCode] = buffers as [...ReturnType<typeof operand>, ...ReturnType<typeof operand>];
  const operands = [...operand(x, op), ...operand(masked?.mask, op), ...operand(weight, op), ...operand(bias, op)] as const;
  const results = [...operand(statistics, op), ...operand(y, op)] as const;
  backend(x.device).normForward(fields, eps, running?.update ?? 0, ...operands, mean, meanCode, variance, varianceCode, ...results);
  const saved = [x, masked?.mask ?? null, weight, statistics];
  record(op, y, [x, weight, bias], saved, (dy, needs, [x, mask, weight, statistics]) => {
    const [dx, dweight, dbias] = [dy.shape, [c], [c]].map((shape, i) => (needs[i] ? empty(shape, dy.dtype, dy.device, op) : null));
    const operands = [
      ...operand(x, op),
      ...operand(mask, op),
      ...operand(weight, op),
      ...operand(statistics, op),
      ...operand(dy, op),
    ] as const;
    backend(dy.device).normBackward(fields, ...operands, ...operand(dx, op), ...operand(dweight, op), ...operand(dbias, op));
    return [dx ?? null, dweight ?? null, dbias ?? null];
  });
  // Where a node was recorded, it has handles of its own.
  statistics.dispose();
  if (masked !== null && masked.mask !== call.mask) masked.mask.dispose();
  return y;
}

/**
 * @throws ShapeError unless eps is a finite number of at least 0
 */
export function checkEps(op: string, eps: unknown): number {
  if (typeof eps !== 'number' || !(eps >= 0) || eps === Infinity) {
    throw new ShapeError(`${op}: expected eps to be a finite number of at least 0, but got ${describe(eps)}`);
  }
  return eps;
}

const KNOWN = ['mask', 'weight', 'bias', 'eps'] as const;

function common(op: string, x: Tensor, options: NormOptions) {
  const { mask = null, weight = null, bias = null, eps = 1e-5 } = options;
  if (checkReal(op, x).rank < 2) throw new ShapeError(`${op}: expected x [N, C, ...], but got x ${formatShape(x.shape)}`);
  return { op, x, channels: channelsOf(x), mask, weight, bias, eps: checkEps(op, eps) };
}

/**
 * Batch normalisation: each channel normalised over all samples and positions, `(x - mean) / sqrt(variance + eps) * weight + bias`.
 * Without a mask as PyTorch's batch_norm: the running variance gets the unbiased one. With a mask as masked_torch's MaskedBatchNorm: the
 * statistics are over the valid elements, the running variance gets the biased one, elements that are not valid are normalised like the
 * others; where no element of a channel is valid (NaN there) the result is the bias and the running statistics stay. A NaN or an
 * infinity under a 0 of the mask counts as 0.
 * @param x [N, C, ...], real floating point; weight, bias and running statistics of the same dtype
 * @throws ShapeError for more or fewer values than channels, or one value per channel without a mask; DTypeError, DeviceError
 */
export function batchNorm(x: Tensor, options?: BatchNormOptions): Tensor {
  const op = 'batchNorm';
  const checked = checkOptions(op, options, [...KNOWN, 'training', 'runningMean', 'runningVar', 'momentum']) as BatchNormOptions;
  const { training = false, runningMean: mean = null, runningVar: variance = null, momentum = 0.1 } = checked;
  if ((mean === null) !== (variance === null)) throw new ShapeError(`${op}: expected both runningMean and runningVar, or neither`);
  const running = mean && variance && { mean, variance, update: training ? checkMomentum(op, momentum) : null };
  return normalize({ ...common(op, x, checked), perSample: false, running });
}

/**
 * @throws ShapeError unless momentum is a number
 */
export function checkMomentum(op: string, momentum: unknown): number {
  if (typeof momentum !== 'number' || !Number.isFinite(momentum)) {
    throw new ShapeError(`${op}: expected momentum to be a finite number, but got ${describe(momentum)}`);
  }
  return momentum;
}

/**
 * Instance normalisation: each channel of each sample normalised over its positions; else as batchNorm, without running statistics. With
 * a mask as NeMo's MaskedInstanceNorm1d.
 * @param x [N, C, L] or [N, C, H, W], real floating point
 * @throws ShapeError for a single position without a mask, or another number of values than channels; DTypeError, DeviceError
 */
export function instanceNorm(x: Tensor, options?: NormOptions): Tensor {
  const op = 'instanceNorm';
  return normalize({ ...common(op, x, checkOptions(op, options, KNOWN) as NormOptions), perSample: true, running: null });
}
