// GradScaler: keeps small gradients out of float16's underflow by scaling the loss, and skips the steps in which it overflowed.
import { untracked } from '../context';
import { backend, type Device } from '../device';
import { DTYPES, type DType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { cast } from '../ops/cast';
import { mul } from '../ops/elementwise';
import { checkOptions } from '../options';
import { checkTensor, describe, empty, type Tensor, zeroed } from '../tensor';
import { type CommonOptions, Optimizer } from './optimizer';

export interface GradScalerOptions {
  /** The scale at first. Default 65536. */
  readonly initScale?: number;
  /** What the scale is multiplied by after growthInterval steps without an overflow, above 1. Default 2. */
  readonly growthFactor?: number;
  /** What the scale is multiplied by after a step with one, below 1. Default 0.5. */
  readonly backoffFactor?: number;
  /** Default 2000. */
  readonly growthInterval?: number;
  /** false: scale() gives back what it gets, and step() is the optimizer's. Default true. */
  readonly enabled?: boolean;
}

/** What stateDict() returns. */
export interface GradScalerState {
  readonly scale: number;
  readonly growthFactor: number;
  readonly backoffFactor: number;
  readonly growthInterval: number;
  /** Steps without an overflow since the scale last changed. */
  readonly growthTracker: number;
}

/** An optimizer since the last update(): a flag for each device with gradients, and whether step() was called. */
interface Unscaled {
  readonly flags: ReadonlyMap<Device, Tensor>;
  /** Whether a gradient was not finite, once a flag was read. */
  overflowed: boolean | null;
  stepped: boolean;
}

type AnyOptimizer = Pick<Optimizer<CommonOptions>, 'paramGroups' | 'step' | 'checkGradients'>;

const OP = 'GradScaler';
const ABOUT_NUMBERS = { initScale: 65536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000 };

function checkNumber(name: string, value: unknown, what: string, isRight: (v: number) => boolean): number {
  if (typeof value === 'number' && isRight(value)) return value;
  throw new ShapeError(`${OP}: expected ${name} to be ${what}, but got ${describe(value)}`);
}

const checkScale = (name: string, value: unknown) =>
  checkNumber(name, value, 'a finite number above 0', (v) => Math.fround(v) > 0 && Math.fround(v) < Infinity);

function checkFactors({ growthFactor, backoffFactor, growthInterval }: Omit<GradScalerState, 'scale' | 'growthTracker'>): void {
  checkNumber('growthFactor', growthFactor, 'a finite number above 1', (v) => v > 1 && v < Infinity);
  checkNumber('backoffFactor', backoffFactor, 'a number between 0 and 1', (v) => v > 0 && v < 1);
  checkNumber('growthInterval', growthInterval, 'a positive integer', (v) => Number.isSafeInteger(v) && v >= 1);
}

/**
 * Scales losses, so that gradients do not underflow in float16, and steps with unscaled gradients; a step whose gradients are not all
 * finite is left out and lowers the scale, which grows again after growthInterval good ones.
 * Source: PyTorch, torch.amp.GradScaler, which refuses float16 gradients: here 16-bit gradients are unscaled into float32 (param.grad is a
 * float32 tensor then), so that nothing is lost, and the optimizer takes them so.
 * @example
 * scaler.scale(loss).backward();
 * scaler.unscale(optimizer); // only where gradients are used before the step, as here
 * clipGradNorm(model.parameters(), 1);
 * scaler.step(optimizer);
 * scaler.update();
 */
export class GradScaler {
  private state: GradScalerState;
  private readonly enabled: boolean;
  private readonly unscaled = new Map<AnyOptimizer, Unscaled>();

  /** @throws ShapeError for options out of range or unknown ones */
  constructor(options?: GradScalerOptions) {
    const known = [...Object.keys(ABOUT_NUMBERS), 'enabled'];
    const checked = { ...ABOUT_NUMBERS, enabled: true, ...checkOptions(OP, options, known) } as Required<GradScalerOptions>;
    const { initScale, enabled, ...factors } = checked;
    if (typeof enabled !== 'boolean') throw new ShapeError(`${OP}: expected enabled to be a boolean, but got ${describe(enabled)}`);
    checkFactors(factors);
    this.enabled = enabled;
    this.state = { ...factors, scale: Math.fround(checkScale('initScale', initScale)), growthTracker: 0 };
  }

  /** The scale now; 1 where the scaler is not enabled. */
  getScale(): number {
    return this.enabled ? this.state.scale : 1;
  }

  /** What the option `enabled` says. */
  isEnabled(): boolean {
    return this.enabled;
  }

  /**
   * Losses times the scale, the gradient recorded. A 16-bit loss of shape [] gives float32, which the scale has room in.
   * @param loss of floating point dtype and any shape, or an array of those
   * @throws DTypeError for another dtype or something that is no tensor
   */
  scale<T extends Tensor | readonly Tensor[]>(loss: T): T {
    if (!this.enabled) return loss;
    if (Array.isArray(loss)) return loss.map((t) => this.scale(t as Tensor)) as unknown as T;
    const t = checkTensor(loss, `${OP}.scale`, 'the loss');
    if (DTYPES[t.dtype].kind !== 'float')
      throw new DTypeError(`${OP}.scale: expected a loss of floating point dtype, but got ${describe(t)}`);
    const wide = t.rank === 0 && DTYPES[t.dtype].bytes === 2 ? cast(t, 'float32') : t;
    return mul(wide, this.state.scale) as T;
  }

  /**
   * Divides the gradients of an optimizer's parameters by the scale, by one native pass per tensor that also looks for what is not finite;
   * nothing waits for a GPU. Where it is not called, step() does it. 16-bit gradients become float32 tensors.
   * @throws ShapeError if it was called already since the last update(), or step() was; DTypeError, DisposedError for a bad gradient
   */
  unscale(optimizer: AnyOptimizer): void {
    const known = this.known('unscale', optimizer);
    if (!this.enabled) return;
    if (known !== undefined) {
      const before = known.stepped ? 'unscale() is being called after step()' : 'unscale() has already been called on this optimizer';
      throw new ShapeError(`${OP}: ${before} since the last update(). Call update() first.`);
    }
    this.unscaleNow(optimizer);
  }

  private known(method: string, optimizer: AnyOptimizer): Unscaled | undefined {
    if (!(optimizer instanceof Optimizer)) throw new DTypeError(`${OP}.${method}: expected an optimizer, but got ${describe(optimizer)}`);
    return this.unscaled.get(optimizer);
  }

  private unscaleNow(optimizer: AnyOptimizer): Unscaled {
    optimizer.checkGradients();
    const flags = new Map<Device, Tensor>();
    untracked(() => {
      for (const param of new Set(optimizer.paramGroups.flatMap(({ params }) => [...params]))) {
        if (!param.grad) continue;
        const { device } = param.grad;
        const flag = flags.get(device) ?? zeroed([1], 'int32', device, OP);
        flags.set(device, flag);
        param.grad = unscaledGradient(param.grad, 1 / this.state.scale, flag);
      }
    });
    const unscaled: Unscaled = { flags, overflowed: null, stepped: false };
    this.unscaled.set(optimizer, unscaled);
    return unscaled;
  }

  /**
   * Steps, unless a gradient is not finite. Reads one flag for each GPU that has gradients, which waits for it.
   * @returns whether the optimizer stepped
   * @throws ShapeError if it was called already since the last update(), or if no parameter has a gradient; what unscale() throws
   */
  step(optimizer: AnyOptimizer): boolean {
    const known = this.known('step', optimizer);
    if (!this.enabled) {
      optimizer.step();
      return true;
    }
    if (known?.stepped) throw new ShapeError(`${OP}: step() has already been called since the last update(). Call update() first.`);
    const unscaled = known ?? this.unscaleNow(optimizer);
    if (unscaled.flags.size === 0) {
      this.unscaled.delete(optimizer);
      throw new ShapeError(`${OP}: No inf checks were recorded for this optimizer: none of its parameters has a gradient.`);
    }
    const overflowed = hasOverflowed(unscaled);
    if (!overflowed) optimizer.step();
    unscaled.stepped = true;
    return !overflowed;
  }

  /**
   * Sets the scale for the next iteration: lower if an optimizer's gradients overflowed in this one. Call it once, after all step().
   * @param newScale sets the scale to this instead
   * @throws ShapeError if no gradients were unscaled since the last update(), or newScale is out of range
   */
  update(newScale?: number): void {
    if (!this.enabled) return;
    const { scale, growthFactor, backoffFactor, growthInterval, growthTracker } = this.state;
    if (newScale !== undefined) {
      this.state = { ...this.state, scale: Math.fround(checkScale('newScale', newScale)) };
    } else {
      const all = [...this.unscaled.values()];
      if (!all.some(({ flags }) => flags.size > 0))
        throw new ShapeError(`${OP}: No inf checks were recorded prior to update(). Call step() or unscale() first.`);
      const good = growthTracker + 1;
      if (all.some(hasOverflowed)) this.state = { ...this.state, scale: Math.fround(scale * backoffFactor), growthTracker: 0 };
      else if (good < growthInterval) this.state = { ...this.state, growthTracker: good };
      else this.state = { ...this.state, scale: finiteOr(Math.fround(scale * growthFactor), scale), growthTracker: 0 };
    }
    for (const { flags } of this.unscaled.values()) for (const flag of flags.values()) flag.dispose();
    this.unscaled.clear();
  }

  /** The scale and what it follows from, to continue later. */
  stateDict(): GradScalerState {
    return { ...this.state };
  }

  /**
   * Takes over what stateDict() returned.
   * @throws ShapeError for something else
   */
  loadStateDict(dict: GradScalerState): void {
    const names = [...Object.keys(this.state)];
    const checked = checkOptions(OP, dict, names) as unknown as GradScalerState;
    for (const name of names) if (!Object.hasOwn(checked, name)) throw new ShapeError(`${OP}: the state has no ${name}: ${describe(dict)}`);
    checkFactors(checked);
    checkScale('scale', checked.scale);
    checkNumber('growthTracker', checked.growthTracker, 'an integer of at least 0', (v) => Number.isSafeInteger(v) && v >= 0);
    this.state = { ...checked };
  }
}

const finiteOr = (value: number, other: number): number => (value < Infinity ? value : other);

/** The gradient times a factor: itself, changed; of a 16-bit one, which is freed, in float32. Sets the flag if one of it is not finite. */
function unscaledGradient(grad: Tensor, factor: number, flag: Tensor): Tensor {
  const { real } = DTYPES[grad.dtype];
  const code = (dtype: DType) => DTYPES[dtype].code;
  const narrow = DTYPES[real].bytes === 2;
  const y = narrow ? empty(grad.shape, 'float32', grad.device, OP) : grad;
  const [from, to] = [grad.raw(OP), narrow ? y.raw(OP) : y.rawForWrite(OP)];
  backend(grad.device).unscale(Math.fround(factor), from, code(real), to, narrow ? y.code : code(real), flag.rawForWrite(OP), flag.code);
  if (narrow) grad.dispose();
  return y;
}

function hasOverflowed(unscaled: Unscaled): boolean {
  unscaled.overflowed ??= [...unscaled.flags.values()].some((flag) => flag.readSync()[0] !== 0);
  return unscaled.overflowed;
}
