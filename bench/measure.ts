// Contestants take turns; each turn is a batch of calls long enough for the clock; what counts is the median.
import { setTimeout } from 'node:timers/promises';
import type { Runner } from './peers/peer';

export interface Timing {
  /** Seconds a call. */
  readonly median: number;
  readonly best: number;
  readonly rounds: number;
}

const SHORTEST_BATCH = 10e-3;
const MOST_ROUNDS = 40;
const PAUSE_MS = 60; // the threads of the one before go to sleep: onnxruntime's stay awake for 32 ms

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2;
};

/** Calls in a batch, after a warm-up of about a sixth of `seconds`. */
async function batchSize(runner: Runner, seconds: number): Promise<number> {
  let spent = await runner.time(1);
  let calls = 1;
  let latest = spent;
  while (spent < seconds / 6) {
    calls = Math.max(1, Math.min(calls * 2, Math.ceil((SHORTEST_BATCH * calls) / latest)));
    latest = await runner.time(calls);
    spent += latest;
  }
  return Math.max(1, Math.ceil((SHORTEST_BATCH * calls) / latest));
}

/** Times every contestant for about `seconds`, in turn, at least 7 rounds. */
export async function race(runners: readonly Runner[], seconds: number): Promise<Timing[]> {
  const batches: number[] = [];
  for (const runner of runners) batches.push(await batchSize(runner, seconds));
  const samples: number[][] = runners.map(() => []);
  const spent = runners.map(() => 0);
  for (let round = 0; round < 7 || (round < MOST_ROUNDS && spent.some((s) => s < seconds)); round++) {
    for (const [i, runner] of runners.entries()) {
      if (round >= 7 && (spent[i] as number) >= seconds) continue;
      await setTimeout(PAUSE_MS);
      const batch = batches[i] as number;
      await runner.time(batch); // wakes its own threads and brings its operands back into the cache
      const time = await runner.time(batch);
      spent[i] = (spent[i] as number) + time;
      samples[i]?.push(time / batch);
    }
  }
  return samples.map((each) => ({ median: median(each), best: Math.min(...each), rounds: each.length }));
}
