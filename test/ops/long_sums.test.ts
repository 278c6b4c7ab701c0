// 16-bit floats are summed in float32 or better and rounded once, forward and backward.
import { expect } from 'chai';
import { tensor } from '../../ts';
import { expectLongSums, LONG_SUMS } from '../support/long_sums';

describe('sums of 16-bit floats', () => {
  for (const [name, op] of Object.entries(LONG_SUMS)) {
    for (const dtype of ['float16', 'bfloat16'] as const) it(`${name} in ${dtype}`, () => expectLongSums(op, dtype));
  }

  it('are long enough that 16 bits would not do', () => {
    const add = (dtype: 'float16' | 'bfloat16') => {
      const [total, one] = [tensor([0], { dtype }), tensor([0.125], { dtype })];
      for (let i = 0; i < 2100; i++) total.add_(one);
      return total.item();
    };
    expect(add('bfloat16')).to.equal(32); // of 262.5
    const halves = tensor([256], { dtype: 'float16' }).add(0.125);
    expect(halves.item()).to.equal(256);
  });
});
