// What the three pictures of records show, as panels for plot.ts.
import { runs } from './holes';
import type { Panel } from './plot';
import type { Trial } from './trial';

const YEAR = 365.2425 * 86_400_000;

/** The whole record, the years with the months that are really missing, and the longest hidden stretch with its surroundings. */
export function co2Panels(trial: Trial): Panel[][] {
  const { record, hidden } = trial;
  const stretches = runs(record.dates.length, (t) => hidden[0]?.[t] === 1);
  const [start, end] = stretches.reduce((a, b) => (b[1] - b[0] > a[1] - a[0] ? b : a), [0, 0]);
  const middle = ((record.dates[start]?.getTime() ?? 0) + (record.dates[end]?.getTime() ?? 0)) / 2;
  const around: [number, number] = [middle - 3.4 * YEAR, middle + 3.4 * YEAR];
  return [
    [panel(trial, 0, 'All years', { width: 820, height: 170, detailed: false })],
    [
      panel(trial, 0, 'Months that were never measured', { span: [Date.UTC(1958, 0), Date.UTC(1964, 11)], width: 380, height: 190 }),
      panel(trial, 0, 'The longest hidden stretch', { span: around, width: 380, height: 190 }),
    ],
  ];
}

/** Ten small panels, two in a row. */
export function wagesPanels(trial: Trial): Panel[][] {
  const panels = trial.record.channels.map((_, c) => panel(trial, c, undefined, { width: 385, height: 105, detailed: false }));
  return panels.flatMap((left, c) => (c % 2 === 0 ? [[left, ...panels.slice(c + 1, c + 2)]] : []));
}

/** The year of which most is hidden, one panel for each channel. */
export function seattlePanels(trial: Trial): Panel[][] {
  const { record, hidden } = trial;
  const counts = new Map<number, number>();
  record.dates.forEach((date, t) => {
    const year = date.getUTCFullYear();
    counts.set(year, (counts.get(year) ?? 0) + hidden.reduce((sum, row) => sum + (row[t] ?? 0), 0));
  });
  const [year] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  const span: [number, number] = [Date.UTC(year, 0), Date.UTC(year + 1, 0)];
  return record.channels.map((_, c) => [panel(trial, c, undefined, { span, width: 820, height: 115 })]);
}

type Frame = Pick<Panel, 'width' | 'height'> & { readonly span?: [number, number]; readonly detailed?: boolean };

function panel(trial: Trial, c: number, title: string | undefined, { span, detailed = true, ...size }: Frame): Panel {
  const { record, hidden, filled } = trial;
  const channel = record.channels[c];
  const [from, to] = span ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const points = record.dates.flatMap((date, t) => {
    if (date.getTime() < from || date.getTime() >= to) return [];
    const at = (row: Float64Array | undefined): number => row?.[t] ?? Number.NaN;
    const [value, isHidden] = [at(channel?.values), hidden[c]?.[t] === 1];
    return [{ time: date.getTime(), value, filled: at(filled.learned[c]), linear: at(filled.linear[c]), hidden: isHidden }];
  });
  return { title: title ?? channel?.name ?? '', unit: channel?.unit ?? '', points, detailed, ...size };
}
