// prelu against the reference and finite differences.
import { expect } from 'chai';
import { prelu, type Tensor, tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import * as reference from '../reference';
import { checkGradients } from '../support/finite_differences';
import { expectClose, toleranceOf, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

describe('prelu', () => {
  const shapes: [readonly number[], number][] = [
    [[2, 3, 5], 3],
    [[2, 3, 5], 1],
    [[2, 3, 4, 5], 3],
    [[4, 3], 3],
    [[7], 1],
    [[], 1],
    [[2, 2, 9001], 2],
    [[600, 2, 11], 1],
    [[0, 3, 4], 3],
    [[2, 3, 0], 3],
  ];
  for (const [shape, slopes] of shapes)
    for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const) {
      it(`[${shape}], ${slopes} slopes, ${dtype}`, () => {
        const [x, a, dy] = [generate('exact', 1, shape), generate('exact', 2, [slopes]), generate('exact', 3, shape)];
        const [tx, ta] = [toTensor(x, dtype, true), toTensor(a, dtype, true)];
        const y = prelu(tx, ta);
        expectClose(y, reference.prelu(x, a), toleranceOf(dtype));
        y.backward(toTensor(dy, dtype));
        const { dx, da } = reference.preluBackward(x, a, dy);
        expectClose(tx.grad as Tensor, dx, toleranceOf(dtype), 'dx');
        expectClose(ta.grad as Tensor, da, toleranceOf(dtype), 'da');
      });
    }

  it('gradients by finite differences', () => {
    for (const slopes of [1, 3])
      checkGradients(([x, a]) => prelu(x as Tensor, a as Tensor), [generate('fine', 1, [2, 3, 5]), generate('fine', 2, [slopes])]);
  });

  it('at 0 takes the slope, keeps NaN, and computes what is needed alone', () => {
    const x = tensor([0, Number.NaN, -1, 2], { requiresGrad: true });
    const y = prelu(x, tensor([0.5]));
    expect(y.toArray()).to.deep.equal([0, Number.NaN, -0.5, 2]);
    y.backward(tensor([1, 1, 1, 1]));
    expect((x.grad as Tensor).toArray()).to.deep.equal([0.5, 0.5, 0.5, 1]);
    const a = tensor([0.5], { requiresGrad: true });
    prelu(tensor([-1, -2, 3]), a).backward(tensor([1, 10, 100]));
    expect((a.grad as Tensor).toArray()).to.deep.equal([-21]);
  });

  it('rejects other numbers of slopes, dtypes and what is no tensor', () => {
    const message = (call: () => unknown) => expectTyped(call).message;
    expect(message(() => prelu(zeros([2, 3, 4]), zeros([2])))).to.equal(
      'prelu: Mismatch of parameter numbers and input channel size. Found parameter numbers = 2 and channel size = 3: weight [2], x [2, 3, 4]',
    );
    expect(message(() => prelu(zeros([3]), zeros([3])))).to.include('Found parameter numbers = 3 and channel size = 1');
    expect(message(() => prelu(zeros([2, 3]), zeros([3, 1])))).to.equal(
      'prelu: weight should contain 3 elements for x [2, 3], but got weight [3, 1]',
    );
    expect(message(() => prelu(zeros([2, 3]), zeros([3], { dtype: 'float64' })))).to.include('expected x and weight of one dtype');
    expect(message(() => prelu(zeros([2, 3], { dtype: 'complex64' }), zeros([1])))).to.include('expected x of real floating-point dtype');
    expect(message(() => prelu(zeros([2]), 0.5 as unknown as Tensor))).to.equal('prelu: expected weight to be a tensor, but got 0.5');
  });
});
