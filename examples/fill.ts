// Fills the holes of a record: removes what is usual, lets a filler fill the rest, and puts what is usual back.
import { baseline } from './baseline';
import { fromNeighbours } from './neighbours';
import type { DataRecord } from './records';
import { fromRows, map, row, type Signals } from './signals';
import { fillHoles } from './stack';

/** Fills the holes of signals of mean about 0 and spread 1. */
export type Filler = (x: Signals) => Signals;

/** The rows (NaN = hole) without holes; every known value as it was. */
export function fillRecord(record: DataRecord, rows: readonly Float64Array[], fill: Filler): Float64Array[] {
  const skewed = (c: number): boolean => record.channels[c]?.skewed ?? false;
  const eased = rows.map((values, c) => (skewed(c) ? values.map(Math.sqrt) : values));
  const usual = baseline(record, eased);
  const rest = eased.map((values, c) => values.map((v, t) => v - (usual[c]?.[t] ?? 0)));
  const spread = rest.map(rootMeanSquare);
  const filled = fill(fromRows(rest.map((values, c) => values.map((v) => v / (spread[c] ?? 1)))));
  return rows.map((values, c) =>
    values.map((known, t) => {
      if (!Number.isNaN(known)) return known;
      const value = (usual[c]?.[t] ?? 0) + (spread[c] ?? 1) * (row(filled, c)[t] ?? 0);
      return skewed(c) ? Math.max(value, 0) ** 2 : value;
    }),
  );
}

/** Layers with fixed weights. What the channels share and what is a channel's own are filled one after the other: they forget at different speeds. */
export function fillFixed(x: Signals): Signals {
  if (x.channels === 1) return fillHoles(x);
  const guessed = fillHoles(fromNeighbours(x));
  const share = Array.from({ length: x.channels }, (_, c) => following(row(x, c), row(guessed, c)));
  const shared = map(guessed, (v, i) => v * (share[Math.floor(i / x.length)] ?? 0));
  const own = fillHoles(map(x, (v, i) => v - (shared.data[i] ?? 0)));
  return map(own, (v, i) => v + (shared.data[i] ?? 0));
}

/** How far a channel goes with what its neighbours guess, from one known value to the next but two. */
function following(known: Float32Array, guessed: Float32Array): number {
  let [product, square] = [0, 0];
  for (let t = 3; t < known.length; t++) {
    const change = (known[t] ?? 0) - (known[t - 3] ?? 0);
    const guess = (guessed[t] ?? 0) - (guessed[t - 3] ?? 0);
    if (Number.isNaN(change)) continue;
    product += change * guess;
    square += guess * guess;
  }
  return square > 0 ? Math.max(product / square, 0) : 0;
}

/** 1 for a row that is 0 wherever it is known, so that one can divide by it. */
function rootMeanSquare(values: Float64Array): number {
  const known = values.filter((v) => !Number.isNaN(v));
  return Math.sqrt(known.reduce((sum, v) => sum + v * v, 0) / known.length) || 1;
}
