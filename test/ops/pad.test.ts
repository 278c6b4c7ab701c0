// pad against PyTorch's values, the reference, and finite differences.
import { expect } from 'chai';
import { type DType, pad, type Tensor, tensor } from '../../ts';
import type { PadMode } from '../../ts/ops/pad';
import { generate, load, unpack } from '../goldens/load';
import * as reference from '../reference';
import { checkGradients } from '../support/finite_differences';
import { EXACT, expectClose, expectSame, toTensor } from '../support/tensors';

const MODES = ['constant', 'reflect', 'replicate', 'circular'] as const;
const DTYPES: readonly DType[] = ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128', 'int32', 'uint8', 'bool'];

describe('pad', () => {
  for (const { mode, x, pads, value, y, error } of load('init_printed').pad) {
    it(`${mode} ${JSON.stringify(pads)}${value === undefined ? '' : ` with ${value}`} as PyTorch`, () => {
      const run = () => pad(toTensor(unpack(x)), pads, mode as PadMode, value);
      if (y) expectClose(run(), unpack(y), EXACT);
      else expect(run, error).to.throw(RangeError).with.property('code', 'ERR_SHAPE');
    });
  }

  it('agrees with the reference for every pair of pads that is allowed, and refuses the others', () => {
    const x = generate('exact', 1, [2, 3, 4]);
    for (const mode of MODES)
      for (let before = -5; before <= 6; before++)
        for (let after = -5; after <= 6; after++) {
          let expected: reference.Values | undefined;
          try {
            expected = reference.pad(x, [before, after], mode);
          } catch {
            expect(() => pad(toTensor(x), [before, after], mode), `${mode} ${before} ${after}`).to.throw(RangeError);
          }
          if (expected) expectClose(pad(toTensor(x), [before, after], mode), expected, EXACT, `${mode} ${before} ${after}`);
        }
  });

  for (const mode of MODES) {
    it(`${mode}: two dimensions, values and gradients`, () => {
      const x = generate('fine', 1, [1, 2, 4, 5]);
      for (const pads of [
        [1, 2, 2, 0],
        [-1, 2, 0, 1],
        [3, 3, 2, 3],
        [-2, -1, -1, 0],
      ]) {
        expectClose(pad(toTensor(x), pads, mode), reference.pad(x, pads, mode), EXACT, String(pads));
        checkGradients(([t]) => pad(t as Tensor, pads, mode), [x]);
      }
    });

    it(`${mode}: every dtype`, () => {
      for (const dtype of DTYPES) {
        const x = reference.values([2, 3], [0, 1, 1, 1, 0, 1]);
        const t = dtype.startsWith('complex') ? toTensor(reference.joined(x, reference.filled([2, 3], 2)), dtype) : toTensor(x, dtype);
        const y = pad(t, [2, 1], mode);
        expect(y.dtype).to.equal(dtype);
        const re = reference.pad(x, [2, 1], mode);
        const im = reference.pad(reference.filled([2, 3], 2), [2, 1], mode);
        expectClose(y, dtype.startsWith('complex') ? reference.joined(re, im) : re, EXACT, dtype);
      }
    });
  }

  it('has complex gradients', () => {
    const x = generate('fine', 1, [2, 5], true);
    for (const mode of MODES) checkGradients(([t]) => pad(t as Tensor, [2, -1], mode), [x]);
  });

  it('puts a constant of any dtype', () => {
    expect(pad(tensor([1, 2]), [1, 1], 'constant', -3.5).toArray()).to.deep.equal([-3.5, 1, 2, -3.5]);
    expect(pad(tensor([1, 2], { dtype: 'int32' }), [1, 0], 'constant', 7).toArray()).to.deep.equal([7, 1, 2]);
    expect([...pad(tensor([true, false]), [0, 1], 'constant', 1).readSync()]).to.deep.equal([1, 0, 1]);
    expect(pad(tensor([1, 2], { dtype: 'float16' }), [0, 1], 'constant', Number.NaN).toArray()).to.deep.equal([1, 2, Number.NaN]);
    expect(pad(tensor([1]), [0, 1], 'constant', -0).toArray()).to.deep.equal([1, -0]);
  });

  it('grows nothing out of nothing, but for a constant', () => {
    expect(pad(tensor([], { shape: [1, 0] }), [1, 2], 'constant', 4).toArray()).to.deep.equal([[4, 4, 4]]);
    for (const mode of ['reflect', 'replicate', 'circular'] as const) {
      expect(() => pad(tensor([], { shape: [1, 0] }), [1, 0], mode), mode).to.throw(RangeError);
      expect([...pad(tensor([], { shape: [0, 3] }), [1, 0], mode).shape]).to.deep.equal([0, 4]);
    }
  });

  it('of nothing is a new tensor with the same values, not x itself', () => {
    const x = toTensor(generate('exact', 1, [2, 3]), 'float64', true);
    for (const pads of [[], [0, 0], [0, 0, 0, 0]]) {
      const y = pad(x, pads);
      expect(y).not.to.equal(x);
      expectSame(y, x);
      y.dispose();
      expect(x.disposed).to.equal(false);
    }
    pad(x, [0, 0]).sum().backward();
    expect(x.grad?.toArray()).to.deep.equal([
      [1, 1, 1],
      [1, 1, 1],
    ]);
  });

  it('leaves x alone after the result is written or freed', () => {
    const x = tensor([1, 2, 3]);
    const y = pad(x, [0, 0]);
    y.fill_(9);
    expect(x.toArray()).to.deep.equal([1, 2, 3]);
    pad(tensor([[1, 2, 3]]), [-1, 1], 'circular').dispose();
  });

  it('refuses what does not fit, with the facts', () => {
    const x = tensor([[[1, 2, 3, 4]]]);
    const cases: [unknown[], RegExp][] = [
      [[[1]], /Padding length must be divisible by 2.*\[1\]/],
      [[[1, 1, 1, 1, 1, 1, 1, 1]], /at most twice the number of dimensions.*\[1, 1, 4\]/],
      [[[4, 0], 'reflect'], /Padding size should be less than.*padding \(4, 0\) at dimension 2 of input \[1, 1, 4\]/],
      [[[5, 0], 'circular'], /wrapping around more than once.*\(5, 0\)/],
      [[[-3, -3]], /narrow\(\): length must be non-negative/],
      [[[-5, 3]], /narrow\(\)/],
      [[[1, 1], 'reflect', 2], /doesn't take in value argument/],
      [[[1, 1], 'mirror'], /expected mode to be one of 'constant'.*"mirror"/],
      [[[1, 1, 1, 1, 1, 1], 'reflect'], /4-D or 5-D x.*\[1, 1, 4\]/],
      [[[1.5, 1]], /list of integers/],
      [[[Number.NaN, 1]], /list of integers/],
      [['11'], /list of integers/],
      [[null], /list of integers/],
      [[[1, 1], 'constant', '3'], /expected value to be a number/],
      [[[1, 1], 'constant', null], /expected value to be a number/],
      [[[1, 1], null], /expected mode to be one of/],
    ];
    for (const [args, message] of cases) {
      expect(() => (pad as (...a: unknown[]) => Tensor)(x, ...args), String(message))
        .to.throw(RangeError, message)
        .with.property('code', 'ERR_SHAPE');
    }
    expect(() => pad([1, 2] as unknown as Tensor, [1, 1])).to.throw(TypeError, /expected x to be a tensor, but got \[1, 2\]/);
  });

  it('refuses pads that no memory can hold', () => {
    expect(() => pad(tensor([1]), [2 ** 52, 0])).to.throw(Error, /out of memory|too many/);
    expect(() => pad(tensor([[1]]), [2 ** 40, 0, 2 ** 40, 0])).to.throw(Error, /out of memory|too many/);
  });
});
