// npm run demo: hides stretches of three real records, learns to fill all holes from what is left, scores, draws.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { co2Panels, seattlePanels, wagesPanels } from './charts';
import type { Step } from './learn';
import { type Curves, drawLoss } from './loss_chart';
import { draw, type Panel } from './plot';
import { progress } from './progress';
import { type DataRecord, loadCo2, loadSeattle, loadWages } from './records';
import { formatTable, tableRows } from './table';
import { attempt, type Trial, together } from './trial';

const HELP = `Usage: npm run demo -- [options]

Trains a small U-net of partial convolutions on what is known of three real records, fills their holes, and compares hidden values
with linear interpolation and with partial convolutions of fixed weights.

  --out DIR    folder for co2.svg, wages.svg, seattle.svg and loss.svg (default: demo)
  --seed N     first of the seeds that choose which stretches are hidden and how the networks begin (default: 1)
  --draws N    how often stretches are hidden, learnt, filled and scored; the pictures show the first (default: 1)
  --help       this text
`;

interface Job {
  readonly load: () => DataRecord;
  /** Of the hidden stretches, in months or days. */
  readonly lengths: readonly number[];
  readonly share: number;
  readonly panels: (trial: Trial) => Panel[][];
  readonly subtitle: string;
}

const JOBS: readonly Job[] = [
  {
    load: loadCo2,
    lengths: [3, 6, 12, 24],
    share: 0.12,
    panels: co2Panels,
    subtitle: 'Monthly means; stretches of 3 to 24 months hidden',
  },
  {
    load: loadWages,
    lengths: [3, 6, 12, 18],
    share: 0.2,
    panels: wagesPanels,
    subtitle: 'United States, monthly; stretches of 3 to 18 months hidden in each series',
  },
  {
    load: loadSeattle,
    lengths: [3, 7, 14, 28],
    share: 0.12,
    panels: seattlePanels,
    subtitle: 'Daily, one of four years; stretches of 3 to 28 days hidden in each series',
  },
];

async function main(): Promise<void> {
  const options = { out: { type: 'string' }, seed: { type: 'string' }, draws: { type: 'string' }, help: { type: 'boolean' } } as const;
  const { values: args } = parseArgs({ options });
  if (args.help) {
    process.stdout.write(HELP);
    return;
  }
  const [out, seed, draws] = [args.out ?? 'demo', whole('seed', args.seed ?? '1'), whole('draws', args.draws ?? '1')];
  mkdirSync(out, { recursive: true });
  const bar = progress();
  const began = performance.now();
  const rows: string[][] = [];
  const pictures: string[] = [];
  const curves: Curves[] = [];
  for (const [job, { load, panels, subtitle, ...holes }] of JOBS.entries()) {
    const record = load();
    const trials = Array.from({ length: draws }, (_, draw) => {
      const [start, started] = [(job + draw / draws) / JOBS.length, performance.now()];
      let steps = 0;
      const onStep = ({ share, loss }: Step): void => {
        const speed = ++steps / ((performance.now() - started) / 1000);
        const label = `${record.name}: loss ${loss.toFixed(3)}, ${speed.toFixed(0)} steps/s`;
        bar.show(start + share / draws / JOBS.length, label);
      };
      return attempt(record, { ...holes, seed: seed + draw }, { onStep });
    });
    const first = trials[0] as Trial;
    rows.push(...tableRows(record, together(trials)));
    pictures.push(write(out, `${record.name}.svg`, await draw(record.title, subtitle, panels(first))));
    curves.push({ title: record.name, checks: first.checks });
  }
  pictures.push(write(out, 'loss.svg', await drawLoss(curves)));
  bar.end();
  const took = `${((performance.now() - began) / 1000).toFixed(0)} s`;
  const drawn = draws === 1 ? '' : ` of ${draws} draws`;
  process.stdout.write(
    `${formatTable(rows)}\n\nErrors at hidden values${drawn}; ratio: learned to linear. ${took}. ${pictures.join(' ')}\n`,
  );
}

function write(folder: string, name: string, svg: string): string {
  const path = join(folder, name);
  writeFileSync(path, svg);
  return path;
}

/** A whole number of at least 1 from the command line. */
function whole(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new RangeError(`--${name}: expected a number from 1 on, but got ${JSON.stringify(text)}`);
  return Number(text);
}

main().catch((error: unknown) => {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
