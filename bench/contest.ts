// One row of a benchmark: its contestants, first seen to compute the same, then timed in turn.
import { race } from './measure';
import { type Runner, Unsupported } from './peers/peer';
import type { Entry } from './report';

export interface Runnable {
  readonly who: string;
  /** What it runs, as the table names it. */
  readonly what: string;
  /** Contestants with the same text compute the same numbers. */
  readonly computes: string;
  /** Ours must be this many times as fast. */
  readonly atLeast?: number | undefined;
  /** How it is run, or why it cannot be. */
  readonly runner: Runner | string;
}

/** What prepare() gives; undefined: the peer is missing. That, and an operation that a peer lacks, is told, not thrown. */
export async function runnerOf(prepare: (() => Runner | Promise<Runner>) | undefined): Promise<Runner | string> {
  if (prepare === undefined) return 'missing';
  try {
    return await prepare();
  } catch (error) {
    if (error instanceof Unsupported) return error.message;
    throw error;
  }
}

/** @throws Error if two contestants that compute the same disagree by more than tolerance, relative to the largest value */
async function checkAgreement(title: string, contestants: readonly Runnable[], tolerance: number): Promise<void> {
  const samples = new Map<string, Float32Array>();
  for (const { who, computes, runner } of contestants) {
    if (typeof runner === 'string') continue;
    const values = await runner.sample();
    const expected = samples.get(computes) ?? values;
    samples.set(computes, expected);
    const largest = Math.max(...expected.map(Math.abs));
    const worst = Math.max(...values.map((v, j) => Math.abs(v - (expected[j] as number))));
    if (values.length !== expected.length || !(worst <= tolerance * largest))
      throw new Error(`${title}: ${who} computes something else (largest difference ${worst}, largest value ${largest})`);
  }
}

/** Checks, times for about so many seconds each, and closes the contestants; ours is the first. */
export async function contest(title: string, contestants: readonly Runnable[], seconds: number, tolerance = 1e-3): Promise<Entry[]> {
  await checkAgreement(title, contestants, tolerance);
  const running = contestants.flatMap(({ runner }) => (typeof runner === 'string' ? [] : [runner]));
  const timings = await race(running, seconds);
  for (const runner of running) await runner.close();
  const own = timings[0]?.median as number;
  return contestants.map(({ who, what, atLeast, runner }): Entry => {
    if (typeof runner === 'string') return { who, what, atLeast, absent: runner };
    const { median, best, rounds } = timings[running.indexOf(runner)] as (typeof timings)[number];
    return { who, what, atLeast, ms: 1e3 * median, bestMs: 1e3 * best, rounds, ratio: median / own };
  });
}
