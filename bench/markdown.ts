// A README's table of results: a line a case; for every column (number of threads, precision) our time, then the others' and how many times
// as fast ours is.
import { type Entry, fixed, type Timed, time } from './report';

const other = ({ who, what, ms, ratio }: Entry): string =>
  `${who === 'ours' ? `own ${what}` : who} ${time(ms as number)} (${fixed(ratio as number)})`;

function cells(result: Timed | undefined): string[] {
  const [own, ...others] = (result?.entries ?? []).filter(({ ms }) => ms !== undefined);
  if (own === undefined) return ['-', '-'];
  return [`**${time(own.ms as number)}**`, others.map(other).join(', ')];
}

export function formatMarkdown<R extends Timed>(results: readonly R[], column: (result: R) => string): string {
  const columns = [...new Set(results.map(column))];
  const head = ['case', ...columns.flatMap((name) => [`ours, ${name}`, 'others'])];
  const nameOf = (r: R) => `${r.shape}, ${r.title}`;
  const lines = [...new Set(results.map(nameOf))].map((name) => [
    name,
    ...columns.flatMap((each) => cells(results.find((r) => column(r) === each && nameOf(r) === name))),
  ]);
  return [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}
