// The loss curves: one panel for each record, the punched values' loss of all networks and their held-back values' error.
import { panelTitle, render, STYLE, type Vertical } from './drawing';
import type { Check } from './learn';

const KINDS = [
  { field: 'loss', label: 'punched values, new ones in each step', color: '#1864ab' },
  { field: 'heldBack', label: 'held-back values, never learnt from', color: '#e8590c' },
] as const;

export interface Curves {
  readonly title: string;
  readonly checks: readonly Check[];
}

export function drawLoss(records: readonly Curves[]): Promise<string> {
  return render({
    ...STYLE,
    title: {
      ...STYLE.title,
      text: 'Learning to fill',
      subtitle: [
        'Mean absolute error in units of the spread; at step 0 it is that of straight lines.',
        'A line for each network, a dot where its weights were best.',
      ],
    },
    vconcat: [{ hconcat: records.map(panel) }],
  });
}

function panel({ title, checks }: Curves): Vertical {
  const values = checks.flatMap((check) => KINDS.map(({ field, label }) => ({ ...check, error: check[field], label })));
  const networks = new Set(checks.map((check) => check.network));
  const best = [...networks].map((network) => {
    const own = checks.filter((check) => check.network === network);
    const lowest = own.reduce((a, b) => (b.heldBack < a.heldBack ? b : a));
    return { ...lowest, error: lowest.heldBack, label: KINDS[1].label };
  });
  const encoding = {
    x: { field: 'step', type: 'quantitative' as const, title: 'step' },
    y: { field: 'error', type: 'quantitative' as const, title: null, scale: { zero: false } },
    color: {
      field: 'label',
      type: 'nominal' as const,
      scale: { domain: KINDS.map((kind) => kind.label), range: KINDS.map((kind) => kind.color) },
      legend: { title: null },
    },
  };
  return {
    title: panelTitle(title),
    width: 240,
    height: 190,
    layer: [
      { data: { values }, mark: { type: 'line', strokeWidth: 1.6 }, encoding: { ...encoding, detail: { field: 'network' } } },
      { data: { values: best }, mark: { type: 'point', filled: true, size: 60, opacity: 1 }, encoding },
    ],
  };
}
