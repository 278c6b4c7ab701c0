// What all pictures share: one style, and Vega-Lite to SVG without a browser.
import type { TopLevelSpec } from 'vega-lite' with { 'resolution-mode': 'import' };

/** One row of a picture. */
export type Vertical = Extract<TopLevelSpec, { vconcat: unknown }>['vconcat'][number];

export const STYLE = {
  background: 'white',
  padding: 14,
  title: { text: '', anchor: 'start', fontSize: 16, subtitleFontSize: 12, subtitleColor: '#495057', offset: 12 },
  config: {
    font: 'Helvetica, Arial, sans-serif',
    axis: { labelColor: '#495057', titleColor: '#495057', titleFontWeight: 'normal', gridColor: '#eceff1', domainColor: '#adb5bd' },
    legend: { orient: 'top', labelFontSize: 12, labelLimit: 0, symbolType: 'square', symbolSize: 130, gridAlign: 'none', offset: 6 },
    view: { stroke: null },
    concat: { spacing: 14 },
  },
} as const;

/** The title of one panel. */
export const panelTitle = (text: string) =>
  ({ text, anchor: 'start', frame: 'group', fontSize: 12, fontWeight: 'bold', color: '#343a40', offset: 4 }) as const;

export async function render(spec: TopLevelSpec): Promise<string> {
  const [{ compile }, { parse, View }] = await Promise.all([import('vega-lite'), import('vega')]);
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
