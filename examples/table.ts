// The demo's table: for each channel the errors at hidden values, of linear interpolation and of the layers.
import type { DataRecord } from './records';
import type { Scores } from './trial';

const HEAD = ['record', 'channel', 'hidden', 'MAE linear', 'MAE filled', 'ratio', 'RMSE ratio'];

export function tableRows(record: DataRecord, scores: readonly Scores[]): string[][] {
  return scores.map(({ linear, filled }, c) => {
    const { name, unit } = record.channels[c] ?? { name: '', unit: '' };
    const ratios = [filled.mae / linear.mae, filled.rmse / linear.rmse].map((ratio) => ratio.toFixed(2));
    return [record.name, `${name}, ${unit}`, String(linear.count), linear.mae.toFixed(3), filled.mae.toFixed(3), ...ratios];
  });
}

/** Two columns of text, the rest flush right; a record's name stands in its first row only. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = HEAD.map((title, i) => Math.max(title.length, ...rows.map((cells) => cells[i]?.length ?? 0)));
  const format = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  const body = rows.map((cells, i) => format([cells[0] === rows[i - 1]?.[0] ? '' : (cells[0] ?? ''), ...cells.slice(1)]));
  return [format(HEAD), widths.map((width) => '-'.repeat(width)).join('  '), ...body].join('\n');
}
