// The demo's table: for each channel the errors at hidden values of linear interpolation, of fixed and of learned weights.
import type { DataRecord } from './records';
import type { Score } from './score';
import type { PerMethod } from './trial';

const HEAD = ['record', 'channel', 'hidden', 'MAE linear', 'MAE fixed', 'MAE learned', 'ratio', 'to fixed'];

/** A row for each channel, and for several channels one with the means of their ratios: they have different units. */
export function tableRows(record: DataRecord, scores: readonly PerMethod<Score>[]): string[][] {
  const ratios = scores.map(({ linear, fixed, learned }) => [learned.mae / linear.mae, learned.mae / fixed.mae]);
  const rows = scores.map(({ linear, fixed, learned }, c) => {
    const { name, unit } = record.channels[c] ?? { name: '', unit: '' };
    const errors = [linear, fixed, learned].map(({ mae }) => mae.toFixed(3));
    return [record.name, `${name}, ${unit}`, String(linear.count), ...errors, ...(ratios[c] ?? []).map(twoDigits)];
  });
  if (scores.length < 2) return rows;
  const hidden = scores.reduce((sum, { linear }) => sum + linear.count, 0);
  const means = [0, 1].map((i) => geometricMean(ratios.map((ratio) => ratio[i] ?? Number.NaN)));
  return [...rows, [record.name, 'all (mean ratio)', String(hidden), '', '', '', ...means.map(twoDigits)]];
}

/** A record's name stands in its first row only. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  return alignColumns(
    HEAD,
    rows.map((cells, i) => [cells[0] === rows[i - 1]?.[0] ? '' : (cells[0] ?? ''), ...cells.slice(1)]),
  );
}

/** Two columns of text, the rest flush right. */
export function alignColumns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((cells) => cells[i]?.length ?? 0)));
  const format = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return [format(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(format)].join('\n');
}

const twoDigits = (ratio: number): string => ratio.toFixed(2);

const geometricMean = (values: readonly number[]): number => Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);
