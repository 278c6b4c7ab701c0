// How far filled values are from the hidden truth, and the yardstick: linear interpolation.

export interface Score {
  readonly count: number;
  /** Mean absolute error. */
  readonly mae: number;
  /** Root of the mean squared error. */
  readonly rmse: number;
}

/** A copy with each NaN on the line between its nearest known neighbours; before the first and behind the last, their value. */
export function interpolate(row: Float64Array): Float64Array {
  const known = Array.from(row.keys()).filter((t) => !Number.isNaN(row[t]));
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined) throw new RangeError('interpolate: no known value to start from');
  const at = (t: number): number => row[t] ?? Number.NaN;
  const filled = row.slice();
  filled.fill(at(first), 0, first);
  filled.fill(at(last), last + 1);
  known.forEach((left, i) => {
    const right = known[i + 1] ?? left;
    for (let t = left + 1; t < right; t++) filled[t] = at(left) + ((at(right) - at(left)) * (t - left)) / (right - left);
  });
  return filled;
}

/** Scores an estimate where `hidden` is 1; NaN where nothing is hidden. */
export function score(truth: Float64Array, estimate: Float64Array, hidden: Uint8Array): Score {
  let [count, absolute, squared] = [0, 0, 0];
  hidden.forEach((isHidden, t) => {
    if (!isHidden) return;
    const error = (estimate[t] ?? Number.NaN) - (truth[t] ?? Number.NaN);
    count++;
    absolute += Math.abs(error);
    squared += error * error;
  });
  return { count, mae: absolute / count, rmse: Math.sqrt(squared / count) };
}

/** The score of all hidden values of several draws together. */
export function pool(scores: readonly Score[]): Score {
  const count = scores.reduce((sum, s) => sum + s.count, 0);
  const mean = (of: (s: Score) => number): number => scores.reduce((sum, s) => sum + (s.count > 0 ? s.count * of(s) : 0), 0) / count;
  return { count, mae: mean((s) => s.mae), rmse: Math.sqrt(mean((s) => s.rmse ** 2)) };
}
