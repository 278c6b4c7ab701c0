// The README's table of a report: a line a case, for every number of threads our time, then the others' and how many times as fast ours is.
import { type Entry, fixed, type Report, type Result, time } from './report';

const other = ({ who, what, ms, ratio }: Entry): string =>
  `${who === 'ours' ? `own ${what}` : who} ${time(ms as number)} (${fixed(ratio as number)})`;

function cells(result: Result | undefined): string[] {
  const [own, ...others] = (result?.entries ?? []).filter(({ ms }) => ms !== undefined);
  if (own === undefined) return ['-', '-'];
  return [`**${time(own.ms as number)}**`, others.map(other).join(', ')];
}

export function formatMarkdown({ results, roofs }: Report): string {
  const threads = Object.keys(roofs).map(Number);
  const head = ['case', ...threads.flatMap((n) => [`ours, ${n} thread${n > 1 ? 's' : ''}`, 'others'])];
  const names = [...new Set(results.map(({ shape, title }) => `${shape}, ${title}`))];
  const lines = names.map((name) => [
    name,
    ...threads.flatMap((n) => cells(results.find((r) => r.threads === n && `${r.shape}, ${r.title}` === name))),
  ]);
  return [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}
