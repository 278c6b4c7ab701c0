// Moments of activations, on numbers made by hand.

import { expect } from 'chai';
import { momentsOf } from '../../examples/moments';
import { measure } from '../../examples/statistics';
import { tensor } from '../../ts';

describe('examples: statistics', () => {
  it('computes the four moments', () => {
    const { mean, std, skewness, kurtosis } = momentsOf(tensor([0, 0, 0, 4]));
    expect([mean, std]).to.deep.equal([1, Math.sqrt(3)]);
    expect(skewness).to.be.closeTo((27 - 3) / 4 / 3 ** 1.5, 1e-12);
    expect(kurtosis).to.be.closeTo((81 + 3) / 4 / 9, 1e-12);
  });

  it('shows that partial convolutions keep the spread, and masked ones fade', () => {
    const rows = measure();
    expect(rows).to.have.length(27);
    const std = (kind: string) => rows.filter((r) => r.kind === kind).map((r) => r.std);
    const [plain, partial, masked] = [std('plain'), std('partial'), std('masked')];
    for (let layer = 1; layer <= 8; layer++) {
      expect(partial[layer]).to.be.within(0.5, 2);
      expect(plain[layer]).to.be.lessThan(plain[layer - 1] ?? 0);
      expect(masked[layer]).to.be.lessThan(plain[layer] ?? 0);
    }
  });
});
