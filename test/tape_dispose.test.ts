// What dispose() and tidy() free of a recorded graph that no backward() goes through.
import { expect } from 'chai';
import { mul, ones, PartialConv1d, rand, randn, type Tensor, tensor, tidy } from '../ts';
import { countStorages } from './support/count_storages';
import { expectSame } from './support/tensors';

const leaf = (...shape: number[]): Tensor => {
  const t = randn(shape);
  t.requiresGrad = true;
  return t;
};

describe('without backward(), dispose() frees', () => {
  it('what was kept for it, of the whole chain, with the tensor that it could have begun at', () => {
    const hidden = leaf(4).exp();
    const square = mul(hidden, hidden);
    const y = square.exp();
    const loss = y.sum();
    const storages = [hidden.storage, y.storage];
    for (const t of [hidden, square, y]) t.dispose();
    expect(storages.map((s) => s.disposed)).to.deep.equal([false, false]);
    loss.dispose();
    expect(storages.map((s) => s.disposed)).to.deep.equal([true, true]);
  });

  it('nothing that another tensor leads to', () => {
    const a = leaf(4);
    const shared = a.exp();
    const [one, two] = [mul(shared, 2).exp().sum(), mul(shared, 3).sum()];
    const { storage } = shared;
    shared.dispose();
    one.dispose();
    one.dispose(); // counts once
    expect(storage.disposed).to.equal(false);
    two.backward();
    expectSame(a.grad as Tensor, mul(a.detach().exp(), 3));
    expect(storage.disposed).to.equal(true);
    two.dispose();
  });

  it('nothing of a tensor on the way that is alive', () => {
    const a = leaf(4);
    const hidden = a.exp();
    hidden.sum().dispose();
    hidden.backward(ones([4]));
    expectSame(a.grad as Tensor, a.detach().exp());
  });

  it('all that tidy() ends with, but what its result needs', () => {
    const layer = new PartialConv1d(1, 4, 3, { padding: 1 });
    const mask = tensor(Array.from({ length: 30 }, (_, i) => Number(i % 7 > 1)));
    let kept: Tensor | undefined;
    const run = () =>
      layer
        .forward(rand([2, 1, 30]), mask)
        .relu()
        .exp()
        .sum();
    const live = countStorages((warm) => {
      for (let step = 0; step < 5; step++) {
        tidy(() => void run());
        if (step === 0) warm();
      }
      kept = tidy(run);
    });
    // Of the last one: x, the outputs of relu and exp, the sum; relu keeps its input or output, whichever.
    expect(live).to.be.within(3, 5);
    kept?.backward();
    expect(layer.weight.grad?.shape).to.deep.equal([4, 1, 3]);
    expect(countStorages(() => tidy(() => void run()))).to.equal(0);
  });

  it('a chain of any length', () => {
    let y = leaf(1);
    const first = y.exp();
    const { storage } = first;
    y = first;
    for (let i = 0; i < 20_000; i++) {
      const next = y.add(1);
      y.dispose();
      y = next;
    }
    expect(storage.disposed).to.equal(false);
    y.dispose();
    expect(storage.disposed).to.equal(true);
  });
});
