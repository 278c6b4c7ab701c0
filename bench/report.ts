// The result of a benchmark: its JSON, and the table that a person reads.
export interface Entry {
  readonly who: string;
  readonly what: string;
  readonly ms?: number;
  readonly bestMs?: number;
  readonly rounds?: number;
  /** How many times as fast ours is. */
  readonly ratio?: number;
  readonly atLeast?: number;
  /** Why there is no time. */
  readonly absent?: string;
}

/** A row: what was run, and everyone's times. */
export interface Timed {
  readonly title: string;
  readonly shape: string;
  readonly entries: readonly Entry[];
}

export interface Result extends Timed {
  readonly geometry: string;
  readonly threads: number;
  readonly gflops: number;
  readonly roofShare: number;
  readonly gbs: number;
}

/** The column of a result in tables. */
export const threadsOf = ({ threads }: Result): string => `${threads} thread${threads > 1 ? 's' : ''}`;

export interface Report {
  readonly machine: Record<string, unknown>;
  readonly versions: Record<string, string>;
  readonly missing: readonly string[];
  readonly roofs: Record<number, { gflops: number; copyGBs: number }>;
  readonly results: Result[];
  readonly tinyCall: Record<string, number>;
  readonly memory: { shape: string; threads: number; bytes: number; bound: number }[];
}

const number = (value: number): string =>
  value
    .toPrecision(3)
    .replace(/\.?0+$/, '')
    .replace(/e\+?(\d+)/, (_, power: string) => '0'.repeat(Number(power) - 2));
export const time = (ms: number): string => (ms < 0.1 ? `${fixed(1e3 * ms)} us` : `${fixed(ms)} ms`);
export const fixed = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

export function entryText({ who, what, ms, ratio, atLeast, absent }: Entry): string {
  const label = who === 'ours' ? `own ${what}` : who;
  if (absent !== undefined || ms === undefined || ratio === undefined) return `${label}: -`;
  const verdict = atLeast === undefined ? '' : ratio >= atLeast ? ` (>= ${fixed(atLeast)}: ok)` : ` (>= ${fixed(atLeast)}: MISSED)`;
  return `${label} ${time(ms)} = ${fixed(ratio)}x${verdict}`;
}

/** One line a row: our time and speed, then every other contestant's time and how many times as fast we are. */
export function formatResult(result: Result): string {
  const [own, ...others] = result.entries;
  const name = `${result.shape}, ${result.title}`.padEnd(46);
  const speed = `${time(own?.ms ?? Number.NaN).padStart(8)} ${result.gflops.toFixed(0).padStart(4)} GFLOP/s`;
  const share = `${(100 * result.roofShare).toFixed(0).padStart(3)} % ${fixed(result.gbs).padStart(5)} GB/s`;
  return `${name} ${result.threads}T ${speed} ${share} | ${others.map(entryText).join(' | ')}`;
}

export function formatFooter({ tinyCall, memory, missing }: Report): string {
  const calls = Object.entries(tinyCall).map(([what, us]) => `${what} ${fixed(us)} us`);
  const bytes = memory.map((m) => `${m.shape} ${m.threads}T ${number(m.bytes / 1e6)} MB (rule: below ${number(m.bound / 1e6)} MB)`);
  const lines = [
    `a call on the tiny shape: ${calls.join(', ')}`,
    ...bytes.map((line) => `forward scratch, packed weights included: ${line}`),
  ];
  return [...lines, ...missing.map((line) => `missing: ${line}`)].join('\n');
}

/** What changed against earlier results, for rows that both have; column tells results of one row apart. */
export function formatComparison<R extends Timed>(now: readonly R[], before: readonly R[], column: (result: R) => string): string {
  const key = (r: R) => `${r.shape}, ${r.title}, ${column(r)}`;
  const earlier = new Map(before.map((r) => [key(r), r]));
  const lines = now.flatMap((result) => {
    const [a, b] = [earlier.get(key(result))?.entries[0]?.ms, result.entries[0]?.ms];
    return a === undefined || b === undefined ? [] : [`${key(result).padEnd(50)} ${time(a)} -> ${time(b)}: ${fixed(a / b)}x as fast`];
  });
  return lines.join('\n');
}
