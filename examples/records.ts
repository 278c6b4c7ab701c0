// The three real records of the demo, each on a regular grid of dates, NaN where nothing was measured.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { numbers, parseCsv } from './csv';

export interface Channel {
  readonly name: string;
  readonly unit: string;
  /** One value for each date of the record; NaN = nobody knows it. */
  readonly values: Float64Array;
  /** Never negative and mostly near 0 (rain): to be smoothed in square roots. */
  readonly skewed?: boolean;
}

export interface DataRecord {
  readonly name: string;
  readonly title: string;
  /** Regularly spaced, at 00:00 UTC. */
  readonly dates: readonly Date[];
  readonly channels: readonly Channel[];
  /** Drifts along a line over its whole length. */
  readonly trend: boolean;
  /** What repeats every year: nothing, the months, or the days. */
  readonly season: 'none' | 'months' | 'days';
}

/** Carbon dioxide at Mauna Loa, monthly since 1958-03. The file leaves out the months without a measurement; the grid has them. */
export function loadCo2(): DataRecord {
  const table = parseCsv(readVega('co2-concentration.csv'));
  const months = table.rows.map(([date = '']) => monthIndex(Number(date.slice(0, 4)), Number(date.slice(5, 7))));
  const [first = 0, last = -1] = [months[0], months.at(-1)];
  const measured = numbers(table, 'CO2');
  const values = new Float64Array(last - first + 1).fill(Number.NaN);
  months.forEach((month, i) => {
    values[month - first] = measured[i] ?? Number.NaN;
  });
  return {
    name: 'co2',
    title: 'Carbon dioxide at Mauna Loa',
    dates: Array.from(values, (_, i) => new Date(Date.UTC(0, first + i))),
    channels: [{ name: 'CO₂', unit: 'ppm', values }],
    trend: true,
    season: 'months',
  };
}

/** Ten wage-rigidity series of the San Francisco Fed, monthly since 1980; blocks of months are missing in all or in some of them. */
export function loadWages(): DataRecord {
  const table = parseCsv(readFileSync(findUp(join('examples', 'data', 'wage-rigidity.csv')), 'utf8'));
  return {
    name: 'wages',
    title: 'Workers whose wage did not change over a year',
    dates: table.rows.map(([date = '']) => {
      const [month, day, year] = date.split('/').map(Number);
      return new Date(Date.UTC(year ?? 0, (month ?? 1) - 1, day));
    }),
    channels: table.header.slice(1).map((name) => ({ name: name.replaceAll('_', ' '), unit: '%', values: numbers(table, name) })),
    trend: true,
    season: 'none',
  };
}

/** Four years of daily weather in Seattle, complete. */
export function loadSeattle(): DataRecord {
  const table = parseCsv(readVega('seattle-weather.csv'));
  return {
    name: 'seattle',
    title: 'Weather in Seattle',
    dates: table.rows.map(([date = '']) => new Date(`${date}T00:00:00Z`)),
    channels: [
      { name: 'precipitation', unit: 'mm', values: numbers(table, 'precipitation'), skewed: true },
      { name: 'highest temperature', unit: '°C', values: numbers(table, 'temp_max') },
      { name: 'lowest temperature', unit: '°C', values: numbers(table, 'temp_min') },
      { name: 'wind', unit: 'm/s', values: numbers(table, 'wind') },
    ],
    trend: false,
    season: 'days',
  };
}

/** Months since 1900, the year that Date.UTC takes 0 for. */
const monthIndex = (year: number, month: number): number => (year - 1900) * 12 + month - 1;

/** A file of the vega-datasets package, whose exports name only its entry, build/index.js. */
function readVega(file: string): string {
  return readFileSync(join(dirname(require.resolve('vega-datasets')), '..', 'data', file), 'utf8');
}

/** The nearest folder upwards that holds `path`: the same from examples/ and from build/examples/. */
function findUp(path: string): string {
  for (let folder = __dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, path))) return join(folder, path);
    if (folder === dirname(folder)) throw new Error(`records: no ${path} in any folder above ${__dirname}`);
  }
}
