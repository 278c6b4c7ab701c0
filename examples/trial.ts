// One trial: hide stretches of a record, fill all holes in three ways, score what was hidden.
import { fillFixed, fillRecord } from './fill';
import { type HoleOptions, hideStretches, withHoles } from './holes';
import { type Check, type LearnOptions, learnToFill } from './learn';
import type { DataRecord } from './records';
import { interpolate, pool, type Score, score } from './score';

/** Linear interpolation, layers with fixed weights, and the network that learns. */
export type PerMethod<T> = Readonly<Record<'linear' | 'fixed' | 'learned', T>>;

export interface Trial {
  readonly record: DataRecord;
  /** For each channel: 1 where a measured value was hidden. */
  readonly hidden: readonly Uint8Array[];
  /** For each channel all values, without holes. */
  readonly filled: PerMethod<readonly Float64Array[]>;
  /** One for each channel. */
  readonly scores: readonly PerMethod<Score>[];
  readonly checks: readonly Check[];
}

/** Nothing but the rows with holes reaches what fills them. */
export function attempt(record: DataRecord, holes: HoleOptions, learning: Omit<LearnOptions, 'seed' | 'lengths'> = {}): Trial {
  const rows = record.channels.map((channel) => channel.values);
  const hidden = hideStretches(rows, holes);
  const holed = rows.map((values, c) => withHoles(values, hidden[c] as Uint8Array));
  let checks: readonly Check[] = [];
  const learned = fillRecord(record, holed, (x) => {
    const result = learnToFill(x, { seed: holes.seed, lengths: holes.lengths, ...learning });
    checks = result.checks;
    return result.filled;
  });
  const filled = { linear: holed.map(interpolate), fixed: fillRecord(record, holed, fillFixed), learned };
  const scores = rows.map((values, c) => perMethod((method) => score(values, filled[method][c] as Float64Array, hidden[c] as Uint8Array)));
  return { record, hidden, filled, scores, checks };
}

/** The scores of all trials of a record together, one for each channel. */
export function together(trials: readonly Trial[]): PerMethod<Score>[] {
  const all = (c: number) => perMethod((method) => pool(trials.map(({ scores }) => (scores[c] as PerMethod<Score>)[method])));
  return (trials[0]?.scores ?? []).map((_, c) => all(c));
}

function perMethod<T>(of: (method: keyof PerMethod<T>) => T): PerMethod<T> {
  return { linear: of('linear'), fixed: of('fixed'), learned: of('learned') };
}
