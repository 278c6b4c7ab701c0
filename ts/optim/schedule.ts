// Schedules: learning rates that follow the number of steps.
import { DTypeError, ShapeError } from '../errors';
import { checkOptions } from '../options';
import { describe } from '../tensor';
import { checkRange } from './optimizer';

/** What a schedule changes: any optimizer. */
export interface Scheduled {
  readonly paramGroups: readonly { lr: number }[];
}

export interface ScheduleState {
  readonly lastEpoch: number;
  readonly baseLrs: readonly number[];
}

/** A base of schedules: step() sets each group's lr, after the optimizer's step. */
export abstract class Schedule {
  /** How often step() was called. */
  lastEpoch = 0;
  /** The learning rate of each group when the schedule was made. */
  baseLrs: readonly number[];

  /** @internal */
  protected constructor(private readonly optimizer: Scheduled) {
    if (!Array.isArray(optimizer?.paramGroups))
      throw new DTypeError(`${this.constructor.name}: expected an optimizer, but got ${describe(optimizer)}`);
    this.baseLrs = this.lastLr;
  }

  /** The next learning rate of a group, from its present and its first one. */
  protected abstract next(lr: number, base: number): number;

  /** Goes on to the next epoch, or whatever is counted. */
  step(): void {
    this.lastEpoch++;
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.next(group.lr, this.baseLrs[i] ?? group.lr);
    });
  }

  /** The learning rate of each group now. */
  get lastLr(): number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr);
  }

  /** What loadStateDict() takes, to continue later. */
  stateDict(): ScheduleState {
    return { lastEpoch: this.lastEpoch, baseLrs: [...this.baseLrs] };
  }

  /**
   * Takes over a state; the learning rates themselves are in the optimizer's.
   * @throws ShapeError for something else than the state of a schedule with as many groups
   */
  loadStateDict(state: ScheduleState): void {
    const { lastEpoch, baseLrs } = (state ?? {}) as Partial<ScheduleState>;
    const fits = Array.isArray(baseLrs) && baseLrs.length === this.baseLrs.length && baseLrs.every((lr) => typeof lr === 'number');
    if (typeof lastEpoch !== 'number' || !Number.isInteger(lastEpoch) || lastEpoch < 0 || !fits) {
      const groups = this.baseLrs.length;
      throw new ShapeError(`${this.constructor.name}: expected the state of a schedule of ${groups} groups, but got ${describe(state)}`);
    }
    this.lastEpoch = lastEpoch;
    this.baseLrs = [...baseLrs];
  }
}

function checkCount(op: string, name: string, value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 1)
    throw new ShapeError(`${op}: expected ${name} to be a positive integer, but got ${describe(value)}`);
}

/** Multiplies the learning rate by gamma every stepSize steps. Source: PyTorch, torch.optim.lr_scheduler.StepLR. */
export class StepLR extends Schedule {
  private readonly stepSize: number;
  private readonly gamma: number;

  /**
   * @param options stepSize: steps between two changes; gamma: the factor, default 0.1
   * @throws ShapeError for options out of range, DTypeError for something that is no optimizer
   */
  constructor(optimizer: Scheduled, options: { readonly stepSize: number; readonly gamma?: number }) {
    super(optimizer);
    const { stepSize, gamma = 0.1 } = checkOptions('StepLR', options, ['stepSize', 'gamma']) as typeof options;
    checkCount('StepLR', 'stepSize', stepSize);
    checkRange('StepLR', 'gamma', gamma);
    this.stepSize = stepSize;
    this.gamma = gamma;
  }

  protected next(lr: number): number {
    return this.lastEpoch % this.stepSize === 0 ? lr * this.gamma : lr;
  }
}

/**
 * Half a cosine from the first learning rate down to etaMin in tMax steps, and up again in the next tMax. Computed from the present
 * learning rate, so that it can be combined with others. Source: PyTorch, torch.optim.lr_scheduler.CosineAnnealingLR.
 */
export class CosineAnnealingLR extends Schedule {
  private readonly tMax: number;
  private readonly etaMin: number;

  /**
   * @param options tMax: steps of half a period; etaMin: the lowest learning rate, default 0
   * @throws ShapeError for options out of range, DTypeError for something that is no optimizer
   */
  constructor(optimizer: Scheduled, options: { readonly tMax: number; readonly etaMin?: number }) {
    super(optimizer);
    const { tMax, etaMin = 0 } = checkOptions('CosineAnnealingLR', options, ['tMax', 'etaMin'], { T_max: 'tMax' }) as typeof options;
    checkCount('CosineAnnealingLR', 'tMax', tMax);
    checkRange('CosineAnnealingLR', 'etaMin', etaMin);
    this.tMax = tMax;
    this.etaMin = etaMin;
  }

  protected next(lr: number, base: number): number {
    const { lastEpoch: t, tMax, etaMin } = this;
    // At the bottom the quotient below would be 0 / 0.
    if ((t - 1 - tMax) % (2 * tMax) === 0) return lr + ((base - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2;
    return ((1 + Math.cos((Math.PI * t) / tMax)) / (1 + Math.cos((Math.PI * (t - 1)) / tMax))) * (lr - etaMin) + etaMin;
  }
}
