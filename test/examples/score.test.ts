// Linear interpolation and errors on numbers made by hand.

import { expect } from 'chai';
import { interpolate, pool, score } from '../../examples/score';

const HOLE = Number.NaN;

describe('examples: score', () => {
  it('interpolates between known neighbours and holds the ends', () => {
    const row = Float64Array.of(HOLE, HOLE, 1, HOLE, HOLE, HOLE, 5, 4, HOLE, 2, HOLE);
    expect(Array.from(interpolate(row))).to.deep.equal([1, 1, 1, 2, 3, 4, 5, 4, 3, 2, 2]);
    expect(row[0]).to.be.NaN;
    expect(Array.from(interpolate(Float64Array.of(HOLE, 7)))).to.deep.equal([7, 7]);
    expect(() => interpolate(Float64Array.of(HOLE))).to.throw(RangeError, 'no known value');
  });

  it('scores hidden values only', () => {
    const truth = Float64Array.of(1, 2, 3, HOLE, 5);
    const estimate = Float64Array.of(9, 5, 3, 9, 1);
    expect(score(truth, estimate, Uint8Array.of(0, 1, 1, 0, 1))).to.deep.equal({ count: 3, mae: 7 / 3, rmse: Math.sqrt(25 / 3) });
    expect(score(truth, estimate, new Uint8Array(5)).mae).to.be.NaN;
  });

  it('pools draws by their hidden values', () => {
    const none = { count: 0, mae: HOLE, rmse: HOLE };
    const pooled = pool([{ count: 1, mae: 4, rmse: 4 }, none, { count: 3, mae: 2, rmse: 4 }]);
    expect(pooled).to.deep.equal({ count: 4, mae: 2.5, rmse: 4 });
  });
});
