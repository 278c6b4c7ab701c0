// The fillers of the demo: known values stay, holes are filled.

import { expect } from 'chai';
import { baseline, median, robustLine } from '../../examples/baseline';
import { fillFixed, fillRecord } from '../../examples/fill';
import type { DataRecord } from '../../examples/records';
import { fromRows, row } from '../../examples/signals';
import { fillHoles } from '../../examples/stack';

const HOLE = Number.NaN;

/** Months from 2000-01 on, with the given rows as channels. */
function monthly(rows: Float64Array[], kind: Pick<DataRecord, 'trend' | 'season'>): DataRecord {
  const dates = Array.from(rows[0] ?? [], (_, t) => new Date(Date.UTC(2000, t)));
  return { name: 'test', title: 'test', dates, channels: rows.map((values, c) => ({ name: `${c}`, unit: 'm', values })), ...kind };
}

describe('examples: fill', () => {
  it('keeps known values and fills every hole between and beside them', () => {
    const ramp = Float64Array.from({ length: 40 }, (_, t) => 10 + t);
    ramp.fill(HOLE, 18, 22);
    const filled = row(fillHoles(fromRows([ramp, ramp.slice().fill(HOLE, 0, 15)])), 1);
    expect(filled.every(Number.isFinite)).to.equal(true);
    expect(Array.from(filled.subarray(22))).to.deep.equal(Array.from(ramp.subarray(22)));
    for (let t = 18; t < 22; t++) expect(filled[t]).to.be.closeTo(10 + t, 1);
  });

  it('falls back to what is usual where a signal has no memory', () => {
    const noise = Float64Array.from({ length: 60 }, (_, t) => (t % 2 === 0 ? 1 : -1));
    noise.fill(HOLE, 20, 30);
    const filled = row(fillHoles(fromRows([noise])), 0);
    expect(Array.from(filled.subarray(20, 30))).to.deep.equal(Array<number>(10).fill(0));
  });

  it('refuses a channel without any value', () => {
    expect(() => fillHoles(fromRows([Float64Array.of(1, HOLE), Float64Array.of(HOLE, HOLE)]))).to.throw(RangeError, 'no known value');
  });

  it('finds a line and a season through outliers and holes', () => {
    const season = [3, 1, -2, 0, 4, -1, -5, 2, 0, 1, -1, -2];
    const truth = Float64Array.from({ length: 120 }, (_, t) => 5 + 0.1 * t + (season[t % 12] ?? 0));
    const values = truth.slice().fill(HOLE, 30, 40);
    const record = monthly([values], { trend: true, season: 'months' });
    const [usual = new Float64Array()] = baseline(record, [values]);
    for (let t = 0; t < 120; t++) expect(usual[t]).to.be.closeTo(truth[t] ?? HOLE, 0.3);
    const line = Float64Array.from({ length: 101 }, (_, t) => (t % 10 === 3 ? 1000 : 2 * t));
    expect(robustLine(line)[100]).to.be.closeTo(200, 2);
    expect([median(Float64Array.of(3, HOLE, 1, 2)), median(Float64Array.of(4, 1))]).to.deep.equal([2, 2.5]);
  });

  it('fills a channel from a neighbour that moves alike', () => {
    const wave = Float64Array.from({ length: 200 }, (_, t) => Math.sin(t / 3) + Math.sin(t * t));
    const holed = wave.slice().fill(HOLE, 90, 110);
    const alike = wave.map((v) => 7 - 3 * v);
    const rows = [holed, alike];
    const [filled = new Float64Array()] = fillRecord(monthly(rows, { trend: false, season: 'none' }), rows, fillFixed);
    for (let t = 90; t < 110; t++) expect(filled[t]).to.be.closeTo(wave[t] ?? HOLE, 0.3);
    expect(Array.from(filled.subarray(0, 90))).to.deep.equal(Array.from(wave.subarray(0, 90)));
  });
});
