// Hides stretches of measured values, so that what fills them can be scored against the truth.

export interface HoleOptions {
  /** Lengths of the hidden stretches, used in turn. */
  readonly lengths: readonly number[];
  /** Share of each channel's measured values to hide, at most. */
  readonly share: number;
  readonly seed: number;
}

/**
 * For each channel 1 where a measured value is to be hidden. A stretch covers measured values only, and as many values as it is
 * long (half before it, half behind it) stay visible round it. Each channel draws its own places; the same seed gives the same ones.
 */
export function hideStretches(rows: readonly Float64Array[], { lengths, share, seed }: HoleOptions): Uint8Array[] {
  if (lengths.length === 0 || lengths.some((length) => !Number.isInteger(length) || length < 1)) {
    throw new RangeError(`holes: expected lengths of at least 1, but got [${lengths.join(', ')}]`);
  }
  if (!(share >= 0 && share < 1)) throw new RangeError(`holes: expected a share in [0, 1), but got ${share}`);
  return rows.map((row, channel) => hideInRow(row, lengths, share, generator(seed * 1009 + channel)));
}

/** A copy with NaN where `hidden` is 1. */
export function withHoles(row: Float64Array, hidden: Uint8Array): Float64Array {
  return row.map((value, t) => (hidden[t] ? Number.NaN : value));
}

/** Runs of NaN or of hidden values as [start, end) pairs. */
export function runs(length: number, inside: (t: number) => boolean): [start: number, end: number][] {
  const found: [number, number][] = [];
  for (let t = 0; t < length; t++) {
    if (!inside(t)) continue;
    const start = t;
    while (t < length && inside(t)) t++;
    found.push([start, t]);
  }
  return found;
}

function hideInRow(row: Float64Array, lengths: readonly number[], share: number, random: () => number): Uint8Array {
  const hidden = new Uint8Array(row.length);
  const kept = new Uint8Array(row.length);
  let budget = Math.floor(share * row.filter((value) => !Number.isNaN(value)).length);
  let made = 0;
  for (let tries = 0; tries < 100 * row.length; tries++) {
    const length = lengths[made % lengths.length] ?? 1;
    if (length > budget) break;
    const margin = Math.ceil(length / 2);
    const start = margin + Math.floor(random() * (row.length - length - 2 * margin + 1));
    if (start < margin) break;
    const visible = (t: number): boolean => !Number.isNaN(row[t]) && !hidden[t];
    const end = start + length;
    if (!everyBetween(start - margin, end + margin, visible) || !everyBetween(start, end, (t) => !kept[t])) continue;
    hidden.fill(1, start, end);
    kept.fill(1, start - margin, end + margin);
    budget -= length;
    made++;
  }
  return hidden;
}

function everyBetween(start: number, end: number, holds: (t: number) => boolean): boolean {
  for (let t = start; t < end; t++) if (!holds(t)) return false;
  return true;
}

/** Mulberry32: uniform in [0, 1), good enough to choose places. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z = (z + Math.imul(z ^ (z >>> 7), z | 61)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
