// The three records as loaded: grids, units, months that are really missing.

import { expect } from 'chai';
import { type DataRecord, loadCo2, loadSeattle, loadWages } from '../../examples/records';

/** The dates without a value, as yyyy-mm-dd. */
function missing(record: DataRecord, channel: number): string[] {
  const values = record.channels[channel]?.values ?? [];
  return record.dates.map((date) => date.toISOString().slice(0, 10)).filter((_, t) => Number.isNaN(values[t]));
}

describe('examples: records', () => {
  it('puts the CO2 record on a monthly grid with its five missing months', () => {
    const record = loadCo2();
    expect(record.dates[0]?.toISOString()).to.equal('1958-03-01T00:00:00.000Z');
    expect(record.dates.at(-1)?.toISOString()).to.equal('2020-04-01T00:00:00.000Z');
    expect(record.dates).to.have.length(746);
    expect(missing(record, 0)).to.deep.equal(['1958-06-01', '1958-10-01', '1964-02-01', '1964-03-01', '1964-04-01']);
    expect(record.channels[0]?.values[0]).to.equal(315.7);
    expect(record.channels[0]?.values[745]).to.equal(416.18);
  });

  it('reads ten wage series with their blocks of missing months', () => {
    const record = loadWages();
    expect(record.channels.map(({ name }) => name)).to.include.members(['all workers', 'less than high school', 'manufacturing']);
    expect(record.channels.map((_, c) => missing(record, c).length)).to.deep.equal([80, 80, 80, 80, 80, 80, 80, 116, 116, 116]);
    expect(record.dates).to.have.length(447);
    expect([missing(record, 0)[0], missing(record, 0)[11], missing(record, 0).at(-1)]).to.deep.equal([
      '1980-01-01',
      '1985-07-01',
      '1997-07-01',
    ]);
  });

  it('reads four complete years of weather', () => {
    const record = loadSeattle();
    expect(record.dates).to.have.length(1461);
    expect(record.channels.map((_, c) => missing(record, c))).to.deep.equal([[], [], [], []]);
    expect(record.channels.map(({ values }) => values[0])).to.deep.equal([0, 12.8, 5, 4.7]);
  });

  it('keeps regular dates', () => {
    const days = loadSeattle().dates.map((date) => date.getTime() / 86_400_000);
    expect(days.every((day, t) => t === 0 || day === (days[t - 1] ?? 0) + 1)).to.equal(true);
    for (const { dates } of [loadCo2(), loadWages()]) {
      const months = dates.map((date) => date.getUTCFullYear() * 12 + date.getUTCMonth());
      expect(months.every((month, t) => t === 0 || month === (months[t - 1] ?? 0) + 1)).to.equal(true);
    }
  });
});
