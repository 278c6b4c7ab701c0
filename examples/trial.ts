// One trial: hide stretches of a record, fill all holes, score what was hidden.
import { fillRecord } from './fill';
import { type HoleOptions, hideStretches, withHoles } from './holes';
import type { DataRecord } from './records';
import { interpolate, pool, type Score, score } from './score';

export interface Scores {
  readonly linear: Score;
  readonly filled: Score;
}

export interface Trial {
  readonly record: DataRecord;
  /** For each channel: 1 where a measured value was hidden. */
  readonly hidden: readonly Uint8Array[];
  readonly filled: readonly Float64Array[];
  readonly linear: readonly Float64Array[];
  readonly scores: readonly Scores[];
}

export function attempt(record: DataRecord, options: HoleOptions): Trial {
  const rows = record.channels.map((channel) => channel.values);
  const hidden = hideStretches(rows, options);
  const holed = rows.map((values, c) => withHoles(values, hidden[c] as Uint8Array));
  const filled = fillRecord(record, holed);
  const linear = holed.map(interpolate);
  const scores = rows.map((values, c) => {
    const of = (estimates: Float64Array[]): Score => score(values, estimates[c] as Float64Array, hidden[c] as Uint8Array);
    return { linear: of(linear), filled: of(filled) };
  });
  return { record, hidden, filled, linear, scores };
}

/** The scores of all trials of a record together, one for each channel. */
export function together(trials: readonly Trial[]): Scores[] {
  const all = (c: number, of: (scores: Scores) => Score): Score => pool(trials.map((trial) => of(trial.scores[c] as Scores)));
  return (trials[0]?.scores ?? []).map((_, c) => ({ linear: all(c, (s) => s.linear), filled: all(c, (s) => s.filled) }));
}
