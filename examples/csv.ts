// A reader for plain CSV: a header, then rows of as many cells; no quoting.

export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** @throws Error with the line number for quotes, or for a row of another length than the header's */
export function parseCsv(text: string): Table {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  while (lines.length > 1 && lines.at(-1) === '') lines.pop();
  const [header = [], ...rows] = lines.map((line) => line.split(','));
  rows.forEach((row, i) => {
    if (row.some((cell) => cell.includes('"'))) throw new Error(`csv: line ${i + 2}: quoted cells are not supported`);
    if (row.length !== header.length) throw new Error(`csv: line ${i + 2}: expected ${header.length} cells, but got ${row.length}`);
  });
  return { header, rows };
}

/** One column as numbers, NaN where a cell is empty. */
export function numbers(table: Table, name: string): Float64Array {
  const column = table.header.indexOf(name);
  if (column < 0) throw new Error(`csv: no column ${JSON.stringify(name)} among ${table.header.join(', ')}`);
  return Float64Array.from(table.rows, (row, i) => {
    const cell = (row[column] ?? '').trim();
    const value = Number(cell);
    if (cell !== '' && !Number.isFinite(value)) throw new Error(`csv: line ${i + 2}: ${JSON.stringify(cell)} is not a number`);
    return cell === '' ? Number.NaN : value;
  });
}
