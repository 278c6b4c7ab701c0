// npm run demo: hides stretches of three real records, fills all holes with partial convolutions, scores, draws.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { co2Panels, seattlePanels, wagesPanels } from './charts';
import { draw, type Panel } from './plot';
import { progress } from './progress';
import { type DataRecord, loadCo2, loadSeattle, loadWages } from './records';
import { formatTable, tableRows } from './table';
import { attempt, type Trial, together } from './trial';

const HELP = `Usage: npm run demo -- [options]

Fills the holes of three real records with partial convolutions and compares hidden values with linear interpolation.

  --out DIR    folder for co2.svg, wages.svg and seattle.svg (default: demo)
  --seed N     first of the seeds that choose which stretches are hidden (default: 1)
  --draws N    how often stretches are hidden, filled and scored; the pictures show the first (default: 10)
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
  const [out, seed, draws] = [args.out ?? 'demo', whole('seed', args.seed ?? '1'), whole('draws', args.draws ?? '10')];
  mkdirSync(out, { recursive: true });
  const bar = progress(JOBS.length * (draws + 1));
  const rows: string[][] = [];
  const pictures: string[] = [];
  for (const { load, panels, subtitle, ...holes } of JOBS) {
    const record = load();
    const trials = Array.from({ length: draws }, (_, i) => {
      bar.step(`${record.name}: filling, draw ${i + 1} of ${draws}`);
      return attempt(record, { ...holes, seed: seed + i });
    });
    rows.push(...tableRows(record, together(trials)));
    bar.step(`${record.name}: drawing`);
    const path = join(out, `${record.name}.svg`);
    writeFileSync(path, await draw(record.title, subtitle, panels(trials[0] as Trial)));
    pictures.push(path);
  }
  bar.end();
  process.stdout.write(`${formatTable(rows)}\n\nHidden values of ${draws} draws. Pictures of the first: ${pictures.join(' ')}\n`);
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
