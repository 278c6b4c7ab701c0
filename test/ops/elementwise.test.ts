// Element-wise ops of one operand: PyTorch's numbers and gradients, finite differences, special values, messages; maskFromNaN.
import { expect } from 'chai';
import { abs, DTypeError, exp, log, maskFromNaN, neg, relu, sigmoid, sqrt, type Tensor, tanh, tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { expectNumbers, toTensor as fromGolden, tensorGolden } from '../support/tensor_golden';
import { toleranceOf } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const UNARY: Readonly<Record<string, (x: Tensor) => Tensor>> = { neg, abs, sqrt, exp, log, tanh, sigmoid, relu };
const opOf = <T>(ops: Readonly<Record<string, T>>, name: string): T => ops[name] ?? expect.fail(`no op ${name}`);

describe('unary ops', () => {
  for (const golden of tensorGolden().unary) {
    const { op: name, dtype } = golden;
    it(`${name} of ${dtype} as PyTorch`, () => {
      const op = opOf(UNARY, name);
      const x = fromGolden(golden.x, dtype);
      if (golden.error !== undefined) {
        expect(expectTyped(() => op(x))).to.be.instanceOf(DTypeError);
        return;
      }
      if (golden.dx) x.requiresGrad = true;
      const y = op(x);
      expect(y.dtype).to.equal(golden.yDtype);
      expectNumbers(y, golden.y, toleranceOf(y.dtype), 'y');
      if (!golden.dy || !golden.dx) return;
      y.backward(fromGolden(golden.dy, y.dtype));
      expectNumbers(x.grad as Tensor, golden.dx, toleranceOf(dtype), 'dx');
    });
  }

  it('agree with finite differences', () => {
    const positive = values(
      [2, 3],
      generate('fine', 1, [6]).data.map((v) => Math.abs(v) + 0.5),
    );
    const signed = values(
      [2, 3],
      generate('fine', 2, [6]).data.map((v) => v + Math.sign(v) / 8),
    );
    for (const [name, op] of Object.entries(UNARY)) {
      checkGradients(([x]) => op(x as Tensor), [name === 'sqrt' || name === 'log' ? positive : signed], 1e-5);
      if (name !== 'relu') checkGradients(([x]) => op(x as Tensor), [generate('fine', 3, [5], true)], 1e-5);
    }
  });

  it('keep NaN, infinities and the smallest integer', () => {
    expect(relu(tensor([Number.NaN, -1, 2])).toArray()).to.deep.equal([Number.NaN, 0, 2]);
    expect(abs(tensor([-(2 ** 31)], { dtype: 'int32' })).item()).to.equal(-(2 ** 31));
    expect(neg(tensor([-(2 ** 31), 1], { dtype: 'int32' })).toArray()).to.deep.equal([-(2 ** 31), -1]);
    expect(neg(tensor([1], { dtype: 'uint8' })).item()).to.equal(255);
    expect(sigmoid(tensor([-1000, 1000])).toArray()).to.deep.equal([0, 1]);
    const far = tensor(
      [
        { re: 800, im: 2 },
        { re: -800, im: 2 },
      ],
      { dtype: 'complex128' },
    );
    expect(tanh(far).readSync()).to.deep.equal(Float64Array.of(1, -0, -1, -0));
    expect([...sigmoid(far).readSync()].map(Math.abs)).to.deep.equal([1, 0, 0, 0]);
  });

  it('compute tensors without elements and without dimensions', () => {
    expect(exp(zeros([0, 3])).shape).to.deep.equal([0, 3]);
    expect(exp(tensor(0)).toArray()).to.equal(1);
  });

  it('say what they do not support', () => {
    expect(expectTyped(() => neg(tensor([true]))).message).to.equal('neg: bool is not supported, but got a bool tensor of shape [1]');
    expect(expectTyped(() => relu(tensor([{ re: 1, im: 0 }]))).message).to.equal(
      'relu: complex numbers have no order, but got a complex64 tensor of shape [1]',
    );
    expect(expectTyped(() => exp([1] as unknown as Tensor)).message).to.equal('exp: expected x to be a tensor, but got [1]');
  });
});

describe('maskFromNaN', () => {
  it('is false where x is NaN, for every dtype', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
      const mask = maskFromNaN(tensor([1, Number.NaN, Number.POSITIVE_INFINITY, 0], { dtype }));
      expect(mask.dtype).to.equal('bool');
      expect(mask.toArray(), dtype).to.deep.equal([1, 0, 1, 1]);
    }
    for (const dtype of ['complex64', 'complex128'] as const) {
      const z = tensor(
        [
          { re: 1, im: Number.NaN },
          { re: Number.NaN, im: 1 },
          { re: 1, im: 1 },
        ],
        { dtype },
      );
      expect(maskFromNaN(z).toArray(), dtype).to.deep.equal([0, 0, 1]);
    }
    for (const dtype of ['int32', 'uint8', 'bool'] as const)
      expect(maskFromNaN(zeros([2], { dtype })).toArray(), dtype).to.deep.equal([1, 1]);
  });
});
