// What the network sees of a record in one step, and what it is asked: stretches of known values are punched out, and guessed.
import { type Tensor, tensor } from 'partialconv';
import { neighbours } from './neighbours';
import type { Signals } from './signals';

/** All [N, C, L], but the hints [N, H, L]. */
export interface Lesson {
  readonly x: Tensor;
  /** 1 where the network sees x. */
  readonly shown: Tensor;
  /** 1 where its answer counts. */
  readonly asked: Tensor;
  /** Known everywhere: straight lines over the holes, `shown`, and what the other channels did meanwhile. */
  readonly hints: Tensor;
}

/** One row of a lesson: for each value of the signals 1 if it is shown, 1 if it is asked; its sign. */
export interface Sample {
  readonly shown: Float32Array;
  readonly asked: Float32Array;
  readonly sign: number;
}

/** How many hints there are for so many channels: a channel alone has no neighbours. */
export const hintCount = (channels: number): number => (channels > 1 ? 3 : 2) * channels;

/** Makes lessons from samples. Every hint is computed from what its sample shows. */
export function teacher(x: Signals): (samples: readonly Sample[]) => Lesson {
  const { channels, length } = x;
  const fromOthers = neighbours(x);
  return (samples) => {
    const [n, size] = [samples.length, channels * length];
    const stacked = (of: (sample: Sample) => Float32Array, rows = channels): Tensor => {
      const all = new Float32Array(n * rows * length);
      samples.forEach((sample, i) => void all.set(of(sample), i * rows * length));
      return tensor(all, { shape: [n, rows, length] });
    };
    const values = samples.map(({ sign }) => x.data.map((v) => v * sign));
    const [signals, shown] = [stacked((s) => values[samples.indexOf(s)] as Float32Array), stacked((s) => s.shown)];
    const others = channels > 1 ? fromOthers(signals, shown) : new Float32Array(0);
    const hints = (sample: Sample): Float32Array => {
      const i = samples.indexOf(sample);
      const all = new Float32Array(hintCount(channels) * length);
      all.set(sample.shown, size);
      for (let c = 0; c < channels; c++) {
        const [from, to] = [c * length, (c + 1) * length];
        const see = sample.shown.subarray(from, to);
        all.set(drawLines((values[i] as Float32Array).subarray(from, to), see), from);
        if (channels > 1) all.set(departures(others.subarray(i * size + from, i * size + to), see), 2 * size + from);
      }
      return all;
    };
    return { x: signals, shown, asked: stacked((s) => s.asked), hints: stacked(hints, hintCount(channels)) };
  };
}

/** Straight lines from each value with a 1 to the next; its nearest one's value at the ends; 0 without any. */
export function drawLines(values: Float32Array, known: Float32Array): Float32Array {
  const lines = new Float32Array(values.length);
  let last = -1;
  for (let t = 0; t < values.length; t++) {
    if (!known[t]) continue;
    const to = values[t] ?? 0;
    const from = last < 0 ? to : (values[last] ?? 0);
    for (let i = last + 1; i <= t; i++) lines[i] = from + ((to - from) * (i - last)) / (t - last);
    last = t;
  }
  return last < 0 ? lines : lines.fill(values[last] ?? 0, last + 1);
}

/** How far the neighbours' guess leaves its own straight lines over this channel's holes. */
function departures(guess: Float32Array, shown: Float32Array): Float32Array {
  const whole = drawLines(
    guess,
    guess.map((v) => (Number.isNaN(v) ? 0 : 1)),
  );
  const lines = drawLines(whole, shown);
  return whole.map((v, t) => v - (lines[t] ?? 0));
}

/** Hides stretches of 1 to `longest` values, short ones more often, from each channel: about `share` of it. */
export function punch(known: Float32Array, length: number, longest: number, share: number, random: () => number): Sample {
  const shown = known.slice();
  for (let from = 0; from < known.length; from += length) {
    const channel = shown.subarray(from, from + length);
    for (let budget = share * length; budget > 0; ) {
      const size = Math.min(Math.ceil((longest + 1) ** random()), longest);
      const start = Math.floor(random() * (length + size)) - size;
      channel.fill(0, Math.max(start, 0), Math.max(start + size, 0));
      budget -= size;
    }
  }
  return { shown, asked: known.map((k, i) => k - (shown[i] ?? 0)), sign: random() < 0.5 ? -1 : 1 };
}
