// The picture of npm run statistics: four moments over the layers, a line for each kind of convolution.
import { panelTitle, render, STYLE, type Vertical } from './drawing';
import { KINDS, type Moments, type Row } from './moments';

const PANELS: readonly { field: keyof Moments; title: string; scale?: 'log'; normal?: number }[] = [
  { field: 'mean', title: 'Mean', normal: 0 },
  { field: 'std', title: 'Standard deviation (logarithmic)', scale: 'log' },
  { field: 'skewness', title: 'Skewness (normal: 0)', normal: 0 },
  { field: 'kurtosis', title: 'Kurtosis (normal: 3)', normal: 3 },
];

/** A logarithmic axis without the lines between the powers of ten. */
const POWERS = { scale: { type: 'log' as const }, axis: { values: Array.from({ length: 9 }, (_, i) => 10 ** (i - 7)), format: '~g' } };

export function drawStatistics(rows: readonly Row[]): Promise<string> {
  const panels = PANELS.map((panel) => drawPanel(rows, panel));
  return render({
    ...STYLE,
    title: {
      ...STYLE.title,
      text: 'Activations behind an image with holes',
      subtitle: [
        'Eight layers of equal weights, each: pixel-unshuffle by 2, then a convolution 3 x 3.',
        'Layer 0 is the image, its holes 0.',
      ],
    },
    config: { ...STYLE.config, axisY: { minExtent: 56, maxExtent: 56, labelFlush: true } },
    vconcat: [{ hconcat: panels.slice(0, 2) }, { hconcat: panels.slice(2) }],
  });
}

function drawPanel(rows: readonly Row[], { field, title, scale, normal }: (typeof PANELS)[number]): Vertical {
  const line = {
    data: { values: rows.map((row) => ({ layer: row.layer, kind: row.kind, value: row[field] })) },
    mark: { type: 'line' as const, strokeWidth: 2, point: { size: 36 } },
    encoding: {
      x: { field: 'layer', type: 'quantitative' as const, title: 'layer', axis: { tickCount: 8, format: 'd' } },
      y: { field: 'value', type: 'quantitative' as const, title: null, ...(scale ? POWERS : { scale: { zero: false } }) },
      color: {
        field: 'kind',
        type: 'nominal' as const,
        scale: { domain: KINDS.map(({ kind }) => kind), range: KINDS.map(({ color }) => color) },
        legend: { title: null },
      },
    },
  };
  const rule = {
    data: { values: [{ value: normal }] },
    mark: { type: 'rule' as const, strokeDash: [4, 3], color: '#adb5bd' },
    encoding: { y: { field: 'value', type: 'quantitative' as const } },
  };
  return { title: panelTitle(title), width: 380, height: 190, layer: normal === undefined ? [line] : [rule, line] };
}
