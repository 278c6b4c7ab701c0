// What a record usually does, learned from its known values alone: a robust line and what repeats every year.
import { maskFromNaN, PartialConv1d, tensor } from 'partialconv';
import type { DataRecord } from './records';

/** For each channel the usual value at each date. */
export function baseline(record: DataRecord, rows: readonly Float64Array[]): Float64Array[] {
  return rows.map((values) => {
    const line = record.trend ? robustLine(values) : values.map(() => 0);
    if (record.season === 'none') return line;
    const year = usualYear(
      values.map((v, t) => v - (line[t] ?? 0)),
      record.dates,
      record.season,
    );
    return line.map((v, t) => v + (year[t] ?? 0));
  });
}

/** Theil and Sen's line in its short form: the median slope between values half the length apart, through the median. */
export function robustLine(values: Float64Array): Float64Array {
  const half = Math.floor(values.length / 2);
  const slope = median(values.subarray(half).map((v, t) => (v - (values[t] ?? Number.NaN)) / half)) || 0;
  const start = median(values.map((v, t) => v - slope * t));
  return values.map((_, t) => start + slope * t);
}

/** The median of the values that are not NaN; NaN without any. */
export function median(values: Float64Array): number {
  const sorted = values.filter((v) => !Number.isNaN(v)).sort();
  const at = (i: number): number => sorted[Math.floor(i)] ?? Number.NaN;
  return (at((sorted.length - 1) / 2) + at(sorted.length / 2)) / 2;
}

/**
 * The mean over all years for each part of the year, at each date. The years are the channels of one PartialConv1d with circular
 * padding: its ratio makes the mean one of the known values only, and neighbouring days (10 on each side) count as well.
 */
function usualYear(values: Float64Array, dates: readonly Date[], season: 'months' | 'days'): Float64Array {
  const [parts, width] = season === 'months' ? [12, 1] : [366, 21];
  const firstYear = dates[0]?.getUTCFullYear() ?? 0;
  const years = (dates.at(-1)?.getUTCFullYear() ?? 0) - firstYear + 1;
  const part = (date: Date): number => (season === 'months' ? date.getUTCMonth() : dayOfYear(date));
  const calendar = new Float32Array(years * parts).fill(Number.NaN);
  values.forEach((v, t) => {
    const date = dates[t] as Date;
    calendar[(date.getUTCFullYear() - firstYear) * parts + part(date)] = v;
  });
  const x = tensor(calendar, { shape: [years, parts] });
  const [overYears, mask] = mean(years, width).forward(x, maskFromNaN(x), { returnMask: true });
  const usual = mean(1, width).forward(overYears, mask).readSync();
  return values.map((_, t) => Number(usual[part(dates[t] as Date)]));
}

function mean(channels: number, width: number): PartialConv1d {
  const layer = new PartialConv1d(channels, 1, width, { padding: 'same', paddingMode: 'circular', multiChannel: true, bias: false });
  const weight = new Float32Array(channels * width).fill(1 / (channels * width));
  layer.loadStateDict({ weight: tensor(weight, { shape: [1, channels, width] }) });
  return layer;
}

/** The day's place in a leap year, from 0: other years have a hole on the 29th of February. */
function dayOfYear(date: Date): number {
  return Math.round((Date.UTC(2000, date.getUTCMonth(), date.getUTCDate()) - Date.UTC(2000, 0)) / 86_400_000);
}
