// Draws panels of measured, hidden and filled values as one SVG with Vega-Lite, without a browser.
import { panelTitle, render, STYLE, type Vertical } from './drawing';
import { runs } from './holes';

export interface Point {
  /** Milliseconds since 1970, UTC. */
  readonly time: number;
  /** What was measured; NaN = nothing was. */
  readonly value: number;
  readonly filled: number;
  /** Linear interpolation, the yardstick. */
  readonly linear: number;
  /** The filler did not see `value`. */
  readonly hidden: boolean;
}

export interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly points: readonly Point[];
  /** Wide enough to show single values: hidden ones as dots and linear interpolation; otherwise hidden ones as a line. */
  readonly detailed: boolean;
  readonly width: number;
  readonly height: number;
}

const KINDS = {
  measured: { label: 'measured', color: '#8a939c' },
  truth: { label: 'hidden truth', color: '#e8590c' },
  filled: { label: 'filled', color: '#1864ab' },
  linear: { label: 'linear interpolation', color: '#40c057' },
  missing: { label: 'never measured', color: '#d0e4f5' },
};

/** Rows of panels under one title and one legend. */
export function draw(title: string, subtitle: string, rows: readonly (readonly Panel[])[]): Promise<string> {
  const kinds = kindsIn(rows.flat());
  return render({
    ...STYLE,
    title: { ...STYLE.title, text: title, subtitle },
    config: { ...STYLE.config, axisY: { minExtent: 34, maxExtent: 34, labelFlush: true } },
    vconcat: rows.map((panels) => ({ hconcat: panels.map((panel) => drawPanel(panel, kinds)) })),
  });
}

type Kind = keyof typeof KINDS;

function drawPanel({ title, unit, points, detailed, width, height }: Panel, kinds: readonly Kind[]): Vertical {
  const color = (kind: Kind) => ({
    datum: KINDS[kind].label,
    type: 'nominal' as const,
    scale: { domain: kinds.map((k) => KINDS[k].label), range: kinds.map((k) => KINDS[k].color) },
    legend: { title: null },
  });
  const x = { field: 'x', type: 'temporal' as const, scale: { type: 'utc' as const }, title: null };
  const y = { field: 'y', type: 'quantitative' as const, scale: { zero: false }, title: unit };
  const line = { type: 'line' as const, invalid: 'break-paths-show-path-domains' as const };
  const linear = {
    data: { values: trace(points, (p, i) => (nearHole(points, i) ? p.linear : Number.NaN)) },
    mark: { ...line, strokeWidth: 1.2, strokeDash: [4, 3] },
    encoding: { x, y, color: color('linear') },
  };
  return {
    title: panelTitle(title),
    width,
    height,
    layer: [
      {
        data: { values: bands(points, (p) => Number.isNaN(p.value)) },
        mark: { type: 'rect', opacity: 1 },
        encoding: { x, x2: { field: 'end' }, color: color('missing') },
      },
      {
        data: { values: bands(points, (p) => p.hidden) },
        mark: { type: 'rect', opacity: 1, color: '#fff0e6' },
        encoding: { x, x2: { field: 'end' } },
      },
      {
        data: { values: trace(points, (p) => (p.hidden ? Number.NaN : p.value)) },
        mark: { ...line, strokeWidth: 1.2 },
        encoding: { x, y, color: color('measured') },
      },
      ...(detailed ? [linear] : []),
      {
        data: { values: trace(points, (p) => (p.hidden ? p.value : Number.NaN)) },
        mark: detailed ? { type: 'point', filled: true, size: 16, opacity: 1 } : { ...line, strokeWidth: 1.6 },
        encoding: { x, y, color: color('truth') },
      },
      {
        data: { values: trace(points, (p, i) => (nearHole(points, i) ? p.filled : Number.NaN)) },
        mark: { ...line, strokeWidth: 2 },
        encoding: { x, y, color: color('filled') },
      },
    ],
  };
}

/** The legend names only what is there. */
function kindsIn(panels: readonly Panel[]): Kind[] {
  const absent = new Set<Kind>();
  if (!panels.some((panel) => panel.detailed)) absent.add('linear');
  if (!panels.some((panel) => panel.points.some((p) => Number.isNaN(p.value)))) absent.add('missing');
  return (Object.keys(KINDS) as Kind[]).filter((kind) => !absent.has(kind));
}

/** In a hole or next to one, so that the filled line meets the measured one. */
function nearHole(points: readonly Point[], i: number): boolean {
  return [points[i - 1], points[i], points[i + 1]].some((p) => p !== undefined && (p.hidden || Number.isNaN(p.value)));
}

/** Points of one line; null breaks it, and one null is enough. */
function trace(points: readonly Point[], value: (p: Point, i: number) => number): { x: number; y: number | null }[] {
  const all = points.map((p, i) => ({ x: p.time, y: Number.isNaN(value(p, i)) ? null : Number(value(p, i).toPrecision(6)) }));
  return all.filter(({ y }, i) => y !== null || (i > 0 && all[i - 1]?.y !== null));
}

/** From the last point before each run of such points to the first behind it. */
function bands(points: readonly Point[], inside: (p: Point) => boolean): { x: number; end: number }[] {
  const time = (t: number): number => points[Math.min(Math.max(t, 0), points.length - 1)]?.time ?? Number.NaN;
  return runs(points.length, (t) => inside(points[t] as Point)).map(([start, end]) => ({ x: time(start - 1), end: time(end) }));
}
