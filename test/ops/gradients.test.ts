// valueAndGrad against backward(): values, pruning, what it leaves alone, errors.
import { expect } from 'chai';
import { Conv1d, conv1d, mseLoss, mul, noGrad, PartialConv1d, rand, type Tensor, tensor, tidy, valueAndGrad, zeros } from '../../ts';
import { countCalls } from '../support/native_calls';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

describe('valueAndGrad', () => {
  it('gives the value and the gradients of the given tensors, which need not require any', () => {
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    const { value, grads } = valueAndGrad((a, b) => mul(a, mul(a, b)).sum(), [a, b]);
    const [da, db]: [Tensor, Tensor] = grads;
    expect(value.item()).to.equal(19);
    expect(da.toArray()).to.deep.equal([6, 16]);
    expect(db.toArray()).to.deep.equal([1, 4]);
    expect([a.grad, b.grad, a.requiresGrad, b.requiresGrad, value.requiresGrad]).to.deep.equal([null, null, false, false, false]);
  });

  it('gives those of all parameters where no tensors are given, equal to those of backward()', () => {
    const model = new PartialConv1d(2, 3, 3, { padding: 1 });
    const [x, mask, target] = [rand([2, 2, 8]), tensor([1, 1, 0, 0, 1, 1, 0, 1]), rand([2, 3, 8])];
    const loss = () => mseLoss(model.forward(x, mask), target);
    const { value, grads } = valueAndGrad(loss);
    expect(model.parameters().map((p) => p.grad)).to.deep.equal([null, null]);
    const again = loss();
    again.backward();
    expectSame(value, again.detach());
    expect([...grads.keys()].sort()).to.have.members(model.parameters());
    for (const p of model.parameters()) expectSame(grads.get(p) as Tensor, p.grad as Tensor);
  });

  it('computes no gradient that leads to none of them', () => {
    const [first, second] = [new Conv1d(1, 2, 3), new Conv1d(2, 1, 3)];
    const x = rand([1, 1, 12]);
    const run = () => second.forward(first.forward(x)).sum();
    const calls = (tensors: Tensor[]) => {
      const { convBackwardInput = 0, convBackwardWeight = 0 } = countCalls(() => void valueAndGrad(run, tensors));
      return [convBackwardInput, convBackwardWeight];
    };
    expect(calls([second.weight])).to.deep.equal([0, 1]);
    expect(calls([first.weight])).to.deep.equal([1, 1]);
    expect(calls([x])).to.deep.equal([2, 0]);
    expect(second.weight.grad).to.equal(null);
  });

  it('is 0 for a tensor that the value does not depend on', () => {
    const [a, b] = [tensor([1, 2]), tensor([[3]], { dtype: 'float64' })];
    const { grads } = valueAndGrad((a) => a.sum(), [a, b]);
    expectSame(grads[1], zeros([1, 1], { dtype: 'float64' }));
    expect(valueAndGrad(() => tensor([5])).grads.size).to.equal(0);
    expectSame(valueAndGrad(() => tensor([5]), [a]).grads[0], zeros([2]));
  });

  it('adds up where a tensor is given twice or used from outside, and takes intermediate tensors', () => {
    const a = tensor([2], { requiresGrad: true });
    const hidden = mul(a, 3);
    const { grads } = valueAndGrad(() => mul(hidden, hidden), [hidden, a]);
    expect(grads.map((g) => g.item())).to.deep.equal([12, 36]);
    const twice = valueAndGrad((x, y) => mul(x, y), [a, a]);
    expect(twice.grads.map((g) => g.item())).to.deep.equal([4, 4]);
    expect(a.grad).to.equal(null);
  });

  it('works inside noGrad() and tidy(), which frees gradients that are not returned', () => {
    const a = tensor([2]);
    const { grads } = noGrad(() => valueAndGrad((x) => mul(x, x), [a]));
    expect(grads[0].item()).to.equal(4);
    let inside: Tensor | undefined;
    const kept = tidy(() => {
      const result = valueAndGrad((x) => mul(x, x), [a]);
      inside = result.value;
      return result.grads;
    });
    expect(kept[0].item()).to.equal(4);
    expect(inside?.disposed).to.equal(true);
  });

  it('restores requiresGrad when the function throws', () => {
    const a = tensor([2]);
    expect(() =>
      valueAndGrad(() => {
        throw new RangeError('stop');
      }, [a]),
    ).to.throw(RangeError, 'stop');
    expect(a.requiresGrad).to.equal(false);
  });

  it('refuses what has no gradient', () => {
    const a = tensor([1, 2]);
    const text = (f: () => unknown) => expectTyped(f).message;
    expect(text(() => valueAndGrad((x) => mul(x, x), [a]))).to.equal(
      'valueAndGrad: expected the function to return one element, but got shape [2]',
    );
    expect(text(() => valueAndGrad(() => 3 as never))).to.equal('valueAndGrad: expected the function to return a tensor, but got 3');
    expect(text(() => valueAndGrad((async () => a) as never))).to.match(/an async function cannot be differentiated/);
    expect(text(() => valueAndGrad(() => zeros([1], { dtype: 'complex64' })))).to.match(/expected the function to return a real tensor/);
    expect(text(() => valueAndGrad(undefined as never))).to.equal('valueAndGrad: expected a function, but got undefined');
    expect(text(() => valueAndGrad((x) => x, [3 as never]))).to.equal('valueAndGrad: expected tensor 0 to be a tensor, but got 3');
    expect(text(() => valueAndGrad((x: Tensor) => x, a as never))).to.match(/expected an array of tensors, but got a float32 tensor/);
    expect(text(() => valueAndGrad((x) => x.sum(), [zeros([1], { dtype: 'int32' })]))).to.match(
      /only tensors of floating point and complex dtype/,
    );
  });

  it('has the gradients of a convolution by hand', () => {
    const [x, w] = [tensor([[1, 2, 3]]), tensor([[[1, 0]]])];
    const { grads } = valueAndGrad((x, w) => conv1d(x, w).sum(), [x, w]);
    expect(grads.map((g) => g.toArray())).to.deep.equal([[[1, 1, 0]], [[[3, 5]]]]);
  });
});
