// What backward() computes and what it frees: unneeded gradients, saved tensors, the graph itself; second passes; accumulation.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import {
  add,
  BatchNorm1d,
  Conv1d,
  conv1d,
  maskedMseLoss,
  mseLoss,
  mul,
  noGrad,
  ones,
  PartialConv1d,
  rand,
  randn,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from '../ts';
import { Storage } from '../ts/storage';
import { countStorages } from './support/count_storages';
import { countCalls } from './support/native_calls';
import { expectSame } from './support/tensors';
import { expectTyped } from './support/typed_errors';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const leaf = (...shape: number[]): Tensor => {
  const t = randn(shape);
  t.requiresGrad = true;
  return t;
};

describe('backward() computes only what is needed', () => {
  const input = () => ({ x: leaf(2, 3, 20), weight: leaf(4, 3, 5), bias: leaf(4) });

  it('no gradient of x for an input that wants none', () => {
    const layer = new Conv1d(3, 4, 5);
    const y = layer.forward(rand([2, 3, 20]));
    const calls = countCalls(() => y.backward(ones(y.shape)));
    expect(calls).to.include({ convBackwardWeight: 1 });
    expect(calls).to.not.have.any.keys('convBackwardInput', 'convPackWeight');
  });

  it('no gradient of a weight that wants none, not even to save x', () => {
    const { x, weight } = input();
    weight.requiresGrad = false;
    const y = conv1d(x, weight);
    const calls = countCalls(() => y.backward(ones(y.shape)));
    expect(calls).to.include({ convBackwardInput: 1 });
    expect(calls).to.not.have.any.keys('convBackwardWeight');
  });

  it('weight and bias in one call, and one call for each pass of a partial convolution', () => {
    const layer = new PartialConv1d(3, 4, 5, { padding: 2 });
    const x = leaf(2, 3, 20);
    const y = layer.forward(x, tensor(Array.from({ length: 20 }, (_, i) => Number(i % 5 > 1))));
    const calls = countCalls(() => y.backward(ones(y.shape)));
    expect(calls.convBackwardInput).to.equal(1);
    expect(calls.convBackwardWeight).to.equal(1);
    expect(calls).to.not.have.any.keys('maskRatio', 'binary', 'unary', 'convForward');
  });

  it('the bias alone without x', () => {
    const { x, weight, bias } = input();
    x.requiresGrad = false;
    weight.requiresGrad = false;
    const y = conv1d(x, weight, bias);
    y.backward(ones(y.shape));
    expect(bias.grad?.toArray()).to.deep.equal([32, 32, 32, 32]);
    expect([x.grad, weight.grad]).to.deep.equal([null, null]);
  });

  it('one call for a loss, for both of its gradients', () => {
    const [x, t] = [leaf(3), leaf(3)];
    const y = maskedMseLoss(x, t, ones([3]));
    expect(countCalls(() => y.backward())).to.deep.equal({ fill: 1, lossBackward: 1, release: 1 });
  });

  it('nothing where recording is off or no input wants a gradient', () => {
    const { x, weight } = input();
    expect(noGrad(() => conv1d(x, weight)).requiresGrad).to.equal(false);
    expect(conv1d(x.detach(), weight.detach()).requiresGrad).to.equal(false);
    expect(x.detach().requiresGrad).to.equal(false);
  });

  it('a frozen layer in the middle: its input’s gradient, not its weight’s', () => {
    const [first, frozen, last] = [new Conv1d(1, 2, 3), new Conv1d(2, 2, 3), new Conv1d(2, 1, 3)];
    for (const p of frozen.parameters()) p.requiresGrad = false;
    const y = last.forward(frozen.forward(first.forward(rand([1, 1, 12]))));
    const calls = countCalls(() => y.backward(ones(y.shape)));
    expect([calls.convBackwardInput, calls.convBackwardWeight]).to.deep.equal([2, 2]);
    expect(frozen.weight.grad).to.equal(null);
    expect(first.weight.grad).to.not.equal(null);
  });
});

describe('backward() frees', () => {
  it('what an op saved, as soon as its gradient is computed', () => {
    const a = leaf(4);
    const inner = mul(a, a);
    const hidden = inner.exp();
    const y = mul(hidden, hidden).sum();
    const { storage } = hidden;
    hidden.dispose();
    expect(storage.disposed, 'kept for backward').to.equal(false);
    y.backward();
    expect(storage.disposed, 'freed by backward').to.equal(true);
    expect(a.grad?.shape).to.deep.equal([4]);
  });

  it('before it goes on to the next op', () => {
    const a = leaf(4);
    const early = a.exp();
    const late = early.exp();
    const y = mul(late, 3).exp().sum();
    const storages = [early.storage, late.storage];
    early.dispose();
    late.dispose();
    const seen: boolean[][] = [];
    const { allocate } = Storage;
    Storage.allocate = (...args) => {
      seen.push(storages.map((s) => s.disposed));
      return allocate.apply(Storage, args);
    };
    try {
      y.backward();
    } finally {
      Storage.allocate = allocate;
    }
    expect(seen).to.deep.include([false, true]);
    expect(storages.map((s) => s.disposed)).to.deep.equal([true, true]);
  });

  it('everything made inside tidy(), the gradients aside', () => {
    const layers = [new PartialConv1d(1, 4, 3, { padding: 1 }), new PartialConv1d(4, 1, 3, { padding: 1 })] as const;
    const mask = tensor(Array.from({ length: 30 }, (_, i) => Number(i % 7 > 1)));
    const live = countStorages((warm) => {
      for (let step = 0; step < 5; step++) {
        tidy(() => {
          const x = rand([2, 1, 30]);
          const y = layers[1].forward(layers[0].forward(x, mask).relu(), mask);
          mseLoss(y, zeros([2, 1, 30])).backward();
        });
        if (step === 0) warm();
      }
    });
    expect(live).to.equal(0);
  });

  it('the graph: neither result nor tape leads to what was computed on the way', async () => {
    const a = leaf(4);
    let way: WeakRef<Tensor> | undefined;
    const make = () => {
      const hidden = mul(a, 2);
      way = new WeakRef(hidden);
      return hidden.exp().sum();
    };
    const y = make();
    y.backward();
    for (let i = 0; i < 5 && way?.deref(); i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      collectGarbage();
    }
    expect(way?.deref()).to.equal(undefined);
    expect(y.requiresGrad).to.equal(true);
  });

  it('also where a branch gets no gradient', () => {
    const [a, b] = [leaf(4), leaf(4)];
    const hidden = a.exp();
    const { storage } = hidden;
    const y = add(mul(hidden, 0), b).sum();
    hidden.dispose();
    y.backward();
    expect(storage.disposed).to.equal(true);
  });
});

describe('a second backward()', () => {
  it('is an error that says what to do', () => {
    const a = leaf(3);
    const y = a.exp().sum();
    y.backward();
    const { code, message } = expectTyped(() => y.backward());
    expect(code).to.equal('ERR_SHAPE');
    expect(message).to.equal(
      'backward: the graph of sum was freed by an earlier backward(). Call the first one with { retainGraph: true } to go through it twice.',
    );
  });

  it('through a shared part that was freed is one too, and no gradient of a leaf has changed', () => {
    const a = leaf(3);
    const shared = a.exp();
    shared.sum().backward();
    const before = a.grad?.clone() as Tensor;
    expect(() => mul(shared, 2).sum().backward()).to.throw(/the graph of exp was freed/);
    expectSame(a.grad as Tensor, before);
  });

  it('with retainGraph adds the same gradients again', () => {
    const layer = new PartialConv1d(2, 3, 3);
    const x = leaf(1, 2, 9);
    const y = layer
      .forward(x, tensor([1, 1, 0, 0, 0, 1, 1, 1, 0]))
      .pow(2)
      .sum();
    y.backward(undefined, { retainGraph: true });
    const once = [x, layer.weight, layer.bias as Tensor].map((t) => t.grad?.clone() as Tensor);
    y.backward();
    [x, layer.weight, layer.bias as Tensor].forEach((t, i) => void expectSame(t.grad as Tensor, mul(once[i] as Tensor, 2)));
    expect(() => y.backward()).to.throw(/was freed/);
  });

  it('after an in-place change of what it needs is an error', () => {
    const a = leaf(3);
    const b = rand([3]);
    const y = mul(a, b).sum();
    b.add_(1);
    expect(() => y.backward()).to.throw(/a tensor that mul needs \(shape \[3\]\) was changed in place/);
  });
});

describe('gradients accumulate', () => {
  it('over several backward() calls, as over the sum', () => {
    const layer = new Conv1d(2, 2, 3);
    const xs = [rand([1, 2, 8], { dtype: 'float32' }), rand([1, 2, 8]), rand([1, 2, 8])];
    for (const x of xs) layer.forward(x).sum().backward();
    const parts = layer.weight.grad?.clone() as Tensor;
    layer.zeroGrad();
    xs.map((x) => layer.forward(x).sum())
      .reduce((a, b) => add(a, b))
      .backward();
    const difference = parts
      .sub(layer.weight.grad as Tensor)
      .abs()
      .toArray() as number[][][];
    expect(Math.max(...difference.flat(2))).to.be.below(1e-5);
  });

  it('into a tensor that nobody shares: neither gradOutput nor another leaf’s grad', () => {
    const [a, b] = [leaf(3), leaf(3)];
    const g = ones([3]);
    add(a, b).backward(g);
    add(a, b).backward(g);
    expect(g.toArray()).to.deep.equal([1, 1, 1]);
    (a.grad as Tensor).data[0] = 7;
    expect(b.grad?.toArray()).to.deep.equal([2, 2, 2]);
    expect(g.toArray()).to.deep.equal([1, 1, 1]);
  });

  it('of a tensor used several times', () => {
    const a = tensor([3], { requiresGrad: true });
    const b = mul(a, a);
    add(mul(b, b), add(b, a)).sum().backward();
    expect(a.grad?.item()).to.equal(4 * 27 + 2 * 3 + 1);
  });

  it('through results that were disposed or returned by tidy()', () => {
    const layer = new Conv1d(1, 1, 3, { bias: false });
    const x = rand([1, 1, 9]);
    const loss = tidy(() => layer.forward(x).exp().mul(2).sum());
    loss.backward();
    const tidied = layer.weight.grad?.clone() as Tensor;
    layer.zeroGrad();
    layer.forward(x).exp().mul(2).sum().backward();
    expectSame(tidied, layer.weight.grad as Tensor);
  });

  it('in training mode of a normalisation, whose statistics are no part of the graph', () => {
    const norm = new BatchNorm1d(2);
    norm
      .forward(leaf(4, 2, 5))
      .sum()
      .backward();
    expect(norm.parameters().every((p) => p.grad !== null)).to.equal(true);
  });
});
