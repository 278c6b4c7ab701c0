// What the demo learns: the loss falls, hidden values never enter, the seed decides.

import { expect } from 'chai';
import { type Check, learnToFill } from '../../examples/learn';
import { drawLines, hintCount, punch, teacher } from '../../examples/lesson';
import type { DataRecord } from '../../examples/records';
import { fromRows, row, type Signals } from '../../examples/signals';
import { attempt } from '../../examples/trial';
import { UNet } from '../../examples/unet';
import { manualSeed, rand } from '../../ts';

const HOLE = Number.NaN;
const OPTIONS = { seed: 3, lengths: [4, 8], networks: 1 };

/** A wave of period 25: straight lines over its holes are far off. The second channel is the first one, upside down. */
const wave = (length: number, channels = 2): Float64Array[] =>
  Array.from({ length: channels }, (_, c) => Float64Array.from({ length }, (_, t) => (c === 0 ? 1 : -1) * 1.4 * Math.sin(t / 4)));

function monthly(rows: readonly Float64Array[]): DataRecord {
  const dates = Array.from(rows[0] ?? [], (_, t) => new Date(Date.UTC(2000, t)));
  const channels = rows.map((values, c) => ({ name: `${c}`, unit: 'm', values }));
  return { name: 'test', title: 'test', dates, channels, trend: false, season: 'none' };
}

function learn(x: Signals, options: Partial<Parameters<typeof learnToFill>[1]>): { filled: Signals; checks: Check[]; losses: number[] } {
  const losses: number[] = [];
  const result = learnToFill(x, { ...OPTIONS, ...options, onStep: ({ loss }) => void losses.push(loss) });
  return { ...result, losses };
}

describe('examples: learn', () => {
  it('lowers the loss, fills better than straight lines, and keeps what is known', () => {
    const truth = wave(203);
    const rows = truth.map((values, c) => values.slice().fill(HOLE, 60 + 70 * c, 72 + 70 * c));
    const { filled, losses, checks } = learn(fromRows(rows), { steps: 75 });
    const mean = (from: number, to: number) => losses.slice(from, to).reduce((sum, v) => sum + v, 0) / (to - from);
    expect(losses).to.have.length(75);
    expect(mean(50, 75)).to.be.lessThan(0.6 * mean(0, 10));
    expect(checks.map((check) => check.step)).to.deep.equal([0, 25, 50, 75]);
    expect(checks.at(-1)?.heldBack).to.be.lessThan(checks[0]?.heldBack ?? 0);
    const error = (of: (c: number, t: number) => number) =>
      [0, 1].reduce(
        (sum, c) =>
          sum + [...Array(12).keys()].reduce((s, i) => s + Math.abs(of(c, 60 + 70 * c + i) - (truth[c]?.[60 + 70 * c + i] ?? 0)), 0),
        0,
      );
    const lines = rows.map((values) =>
      drawLines(
        Float32Array.from(values),
        Float32Array.from(values, (v) => (Number.isNaN(v) ? 0 : 1)),
      ),
    );
    expect(error((c, t) => row(filled, c)[t] ?? HOLE)).to.be.lessThan(0.5 * error((c, t) => lines[c]?.[t] ?? HOLE));
    rows.forEach((values, c) => {
      values.forEach((v, t) => void (Number.isNaN(v) || expect(row(filled, c)[t]).to.equal(Math.fround(v))));
    });
  });

  it('is the same for the same seed, another one for another seed', () => {
    const x = fromRows([(wave(90, 1)[0] as Float64Array).fill(HOLE, 40, 50)]);
    const once = learn(x, { steps: 6, networks: 2 });
    expect(learn(x, { steps: 6, networks: 2 })).to.deep.equal(once);
    expect(learn(x, { steps: 6, networks: 2, seed: 4 }).losses).not.to.deep.equal(once.losses);
  });

  it('is not influenced by hidden values', () => {
    const record = monthly(wave(160));
    const holes = { lengths: [4, 8], share: 0.15, seed: 5 };
    const learning = { steps: 8, networks: 1 };
    const trial = attempt(record, holes, learning);
    const changed = record.channels.map(({ values }, c) => values.map((v, t) => (trial.hidden[c]?.[t] ? 1e6 + t : v)));
    const other = attempt(monthly(changed), holes, learning);
    expect(trial.hidden.some((row) => row.includes(1))).to.equal(true);
    expect(other.hidden).to.deep.equal(trial.hidden);
    expect(other.filled).to.deep.equal(trial.filled);
    expect(other.checks).to.deep.equal(trial.checks);
    expect(other.scores).not.to.deep.equal(trial.scores);
  });

  it('stops when the held-back values stop getting better', () => {
    const random = Float64Array.from(noise(120));
    const { checks } = learn(fromRows([random.fill(HOLE, 10, 14)]), { steps: 1000 });
    const best = checks.reduce((a, b) => (b.heldBack < a.heldBack ? b : a));
    expect(checks.at(-1)?.step).to.be.lessThan(1000);
    expect((checks.at(-1)?.step ?? 0) - best.step).to.be.at.most(150);
  });

  it('computes what the network sees from shown values only', () => {
    const rows = wave(64);
    const known = new Float32Array(128).fill(1);
    const sample = punch(known, 64, 8, 0.3, generatorOf(noise(1000)));
    expect([...sample.shown]).to.include(0);
    expect(sample.asked).to.deep.equal(sample.shown.map((v) => 1 - v));
    const x = fromRows(rows);
    const lesson = teacher(x)([sample]);
    // The same correlations, but other values where nothing is shown.
    const inner = teacher(x);
    const data = x.data.slice();
    x.data.forEach((_, i) => {
      if (!sample.shown[i]) x.data[i] = 1e6;
    });
    const changed = inner([sample]);
    x.data.set(data);
    expect(changed.x.toArray()).not.to.deep.equal(lesson.x.toArray());
    expect(changed.hints.toArray()).to.deep.equal(lesson.hints.toArray());
    manualSeed(1);
    const model = new UNet(2, hintCount(2));
    model.last.loadStateDict({ weight: rand(model.last.weight.shape), bias: rand([2]) });
    const answer = ({ x: values, shown, hints }: typeof lesson) => model.forward(values, shown, hints).toArray();
    expect(answer(changed)).to.deep.equal(answer(lesson));
  });

  it('draws straight lines over holes', () => {
    expect(Array.from(drawLines(Float32Array.of(9, 2, 9, 9, 8, 9), Float32Array.of(0, 1, 0, 0, 1, 0)))).to.deep.equal([2, 2, 4, 6, 8, 8]);
    expect(Array.from(drawLines(Float32Array.of(HOLE, HOLE), new Float32Array(2)))).to.deep.equal([0, 0]);
  });
});

function noise(length: number): number[] {
  manualSeed(9);
  return Array.from(rand([length]).readSync(), Number);
}

function generatorOf(values: number[]): () => number {
  let i = 0;
  return () => values[i++ % values.length] ?? 0;
}
