// Hidden stretches: deterministic, only where something was measured.

import { expect } from 'chai';
import { hideStretches, runs, withHoles } from '../../examples/holes';

const row = Float64Array.from({ length: 300 }, (_, t) => (t >= 100 && t < 120 ? Number.NaN : t));
const options = { lengths: [3, 6, 12], share: 0.2, seed: 7 };

describe('examples: holes', () => {
  it('gives the same holes for the same seed, others for another seed or channel', () => {
    const [a, b] = hideStretches([row, row], options);
    expect(hideStretches([row, row], options)).to.deep.equal([a, b]);
    expect(a).not.to.deep.equal(b);
    expect(hideStretches([row], { ...options, seed: 8 })[0]).not.to.deep.equal(a);
  });

  it('hides the lengths in turn, up to the share, with measured values round them', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const [hidden = new Uint8Array()] = hideStretches([row], { ...options, seed });
      const stretches = runs(300, (t) => hidden[t] === 1);
      const lengths = stretches.map(([start, end]) => end - start);
      expect(lengths.sort((a, b) => a - b)).to.deep.equal([3, 3, 3, 6, 6, 6, 12, 12]); // 51 of 56: the next would be 12
      const holed = withHoles(row, hidden);
      for (const [start, end] of stretches) {
        const margin = Math.ceil((end - start) / 2);
        const around = [...holed.subarray(start - margin, start), ...holed.subarray(end, end + margin)];
        expect(around.filter((v) => !Number.isNaN(v))).to.have.length(2 * margin);
      }
    }
  });

  it('hides nothing where there is no room', () => {
    const nothing = new Uint8Array(5);
    expect(hideStretches([new Float64Array(5)], { lengths: [4], share: 0.9, seed: 1 })).to.deep.equal([nothing]);
    expect(hideStretches([new Float64Array(5).fill(Number.NaN)], { lengths: [1], share: 0.9, seed: 1 })).to.deep.equal([nothing]);
    expect(hideStretches([new Float64Array(0)], { lengths: [1], share: 0.9, seed: 1 })).to.deep.equal([new Uint8Array(0)]);
  });

  it('rejects lengths and shares that mean nothing', () => {
    expect(() => hideStretches([row], { ...options, lengths: [3, 0] })).to.throw(RangeError, 'but got [3, 0]');
    expect(() => hideStretches([row], { ...options, lengths: [] })).to.throw(RangeError);
    expect(() => hideStretches([row], { ...options, share: 1 })).to.throw(RangeError, 'but got 1');
    expect(() => hideStretches([row], { ...options, share: Number.NaN })).to.throw(RangeError);
  });

  it('finds runs at both ends', () => {
    expect(runs(6, (t) => t !== 2)).to.deep.equal([
      [0, 2],
      [3, 6],
    ]);
    expect(runs(3, () => false)).to.deep.equal([]);
  });
});
