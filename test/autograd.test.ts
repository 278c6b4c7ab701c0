// Reverse-mode differentiation: graphs of every form, accumulation, what is freed when, noGrad, messages.
import { expect } from 'chai';
import { concat, DTypeError, mul, noGrad, ShapeError, sum, type Tensor, tensor, tidy, zeros } from '../ts';
import { isRecording, needsNode, record } from '../ts/autograd';
import { expectTyped } from './support/typed_errors';

const leaf = (...v: number[]) => tensor(v, { requiresGrad: true });
const gradOf = (t: Tensor) => t.grad?.toArray() ?? null;

describe('backward', () => {
  it('follows the chain rule through a graph with branches', () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const h = x.mul(w);
    h.mul(h).add(h).sum().backward(); // d/dh = 2h + 1
    expect([gradOf(x), gradOf(w)]).to.deep.equal([
      [21, 68],
      [7, 34],
    ]);
  });

  it('adds up over several calls, in the same tensor', () => {
    const x = leaf(2);
    x.mul(3).backward();
    const { grad } = x;
    x.mul(4).backward();
    expect([gradOf(x), x.grad === grad]).to.deep.equal([[7], true]);
    x.grad = null;
    x.mul(5).backward();
    expect(gradOf(x)).to.deep.equal([5]);
  });

  it('gives every leaf a gradient of its own', () => {
    const [a, b, given] = [leaf(1, 2), leaf(3, 4), tensor([1, 1])];
    a.add(b).backward(given);
    a.grad?.fill_(9);
    expect([gradOf(b), given.toArray()]).to.deep.equal([
      [1, 1],
      [1, 1],
    ]);
    const c = leaf(1);
    c.backward();
    expect(gradOf(c)).to.deep.equal([1]);
    const [d, e] = [leaf(1), leaf(2)];
    d.reshape([1])
      .add(e.reshape([1]))
      .backward();
    d.grad?.fill_(5);
    expect(gradOf(e)).to.deep.equal([1]);
  });

  it('reaches the same leaf on many ways', () => {
    const x = leaf(3);
    let y: Tensor = x;
    for (let i = 0; i < 20; i++) y = y.add(y); // 2^20 paths, 20 nodes
    y.backward();
    expect(gradOf(x)).to.deep.equal([2 ** 20]);
    const z = leaf(1);
    concat([z, z, z]).sum().backward();
    expect(gradOf(z)).to.deep.equal([3]);
  });

  it('goes through deep graphs', () => {
    const x = leaf(1);
    let y: Tensor = x;
    for (let i = 0; i < 20_000; i++) y = y.add(1);
    y.backward();
    expect(gradOf(x)).to.deep.equal([1]);
  });

  it('computes only what is needed', () => {
    const asked: boolean[][] = [];
    const [a, b] = [leaf(1), tensor([2])];
    const y = record('probe', tensor([3]), [a, b, null], [], (g, needs) => {
      asked.push([...needs]);
      return [g, null, null];
    });
    y.backward();
    expect([asked, gradOf(a), b.grad]).to.deep.equal([[[true, false, false]], [1], null]);
    expect(record('probe', tensor([3]), [b], [], () => [null]).requiresGrad).to.equal(false);
    expect([needsNode([a, null]), needsNode([b, undefined]), isRecording()]).to.deep.equal([true, false, true]);
  });

  it('leaves tensors that require none, and inputs whose gradient is null', () => {
    const [x, y] = [leaf(1), tensor([2])];
    x.mul(y).backward();
    expect(y.grad).to.equal(null);
    const z = record('none', tensor([3]), [x], [], () => [null]);
    x.grad = null;
    z.mul(2).backward();
    expect(x.grad).to.equal(null);
  });

  it('takes a gradient for each output', () => {
    const x = leaf(1, 2, 3);
    x.mul(x).backward(tensor([1, 10, 100]));
    expect(gradOf(x)).to.deep.equal([2, 40, 600]);
    const z = tensor([{ re: 1, im: 2 }], { requiresGrad: true });
    z.mul(z).backward(tensor([{ re: 1, im: 0 }])); // conj(2z)
    expect(gradOf(z)).to.deep.equal([{ re: 2, im: -4 }]);
  });
});

describe('what backward frees', () => {
  it('the saved tensors, so that a second one is an error', () => {
    const x = leaf(2);
    const y = x.mul(x);
    y.backward();
    const error = expectTyped(() => y.backward());
    expect(error).to.be.instanceOf(ShapeError);
    expect(error.message).to.equal(
      'backward: the graph of mul was freed by an earlier backward(). Call the first one with { retainGraph: true } to go through it twice.',
    );
    expect(gradOf(x)).to.deep.equal([4]);
  });

  it('nothing with retainGraph', () => {
    const x = leaf(2);
    const y = x.mul(x).exp();
    y.backward(undefined, { retainGraph: true });
    const once = gradOf(x) as number[];
    y.backward(undefined, { retain_graph: false } as object);
    expect(gradOf(x)).to.deep.equal([2 * (once[0] as number)]);
    expect(expectTyped(() => y.backward()).message).to.contain('was freed by an earlier backward()');
  });

  it('the memory of intermediate results that were disposed, but not before', () => {
    const x = leaf(1, 2);
    const h = x.exp();
    const { storage } = h;
    const y = h.sum();
    h.dispose();
    expect(storage.disposed, 'exp saved its result').to.equal(false);
    y.backward();
    expect(storage.disposed).to.equal(true);
    expect((gradOf(x) as number[])[1]).to.be.closeTo(Math.exp(2), 1e-5);
  });

  it('works inside tidy, around the forward pass or all of it; gradients live on', () => {
    const x = leaf(1, 2);
    const loss = tidy(() => x.mul(3).mul(x).sum());
    loss.backward();
    expect(gradOf(x)).to.deep.equal([6, 12]);
    tidy(() => {
      x.mul(x).sum().backward();
    });
    expect(gradOf(x)).to.deep.equal([8, 16]);
    expect(x.grad?.disposed).to.equal(false);
  });

  it('async tidy keeps the graph too', async () => {
    const x = leaf(5);
    const loss = await tidy(async () => {
      const h = x.mul(x);
      await Promise.resolve();
      return h.mul(2);
    });
    loss.backward();
    expect(gradOf(x)).to.deep.equal([20]);
  });

  it('no gradient for a leaf that was disposed meanwhile', () => {
    const [x, w] = [leaf(1), leaf(2)];
    const y = x.add(w);
    x.dispose();
    y.backward();
    expect([x.grad, gradOf(w)]).to.deep.equal([null, [1]]);
  });
});

describe('a change in place', () => {
  it('of what a gradient needs is an error', () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const y = x.mul(w);
    noGrad(() => w.add_(1));
    const error = expectTyped(() => y.sum().backward());
    expect(error.message).to.equal('backward: a tensor that mul needs (shape [2]) was changed in place after it was used');
    expect(x.grad, 'nothing was added').to.equal(null);
  });

  it('of what no gradient needs is none', () => {
    const x = leaf(1, 2);
    const y = x.add(5);
    noGrad(() => x.add_(1));
    y.sum().backward();
    expect(gradOf(x)).to.deep.equal([1, 1]);
  });
});

describe('noGrad and detach', () => {
  it('noGrad and tidy refuse what is no function', () => {
    for (const fn of [undefined, null, 3, {}, Promise.resolve()] as unknown[]) {
      for (const [op, run] of Object.entries({ noGrad, tidy })) {
        expect(() => run(fn as () => number), op).to.throw(DTypeError, `${op}: expected a function, but got `);
      }
    }
  });

  it('record nothing', async () => {
    const x = leaf(1);
    expect(noGrad(() => x.mul(2)).requiresGrad).to.equal(false);
    expect(x.detach().mul(2).requiresGrad).to.equal(false);
    const inside = await noGrad(async () => {
      await Promise.resolve();
      return [x.mul(2).requiresGrad, isRecording()];
    });
    expect([inside, isRecording()]).to.deep.equal([[false, false], true]);
    expect(() =>
      noGrad(() => {
        throw new Error('stop');
      }),
    ).to.throw('stop');
    expect(isRecording()).to.equal(true);
  });

  it('do not reach what runs beside an async function', async () => {
    const x = leaf(1);
    const running = noGrad(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return x.mul(2).requiresGrad;
    });
    expect(x.mul(2).requiresGrad).to.equal(true);
    expect(await running).to.equal(false);
  });

  it('detach shares memory and stops gradients', () => {
    const x = leaf(3);
    x.mul(x.detach()).backward();
    expect(gradOf(x)).to.deep.equal([3]);
    expect(x.detach().storage).to.equal(x.storage);
  });

  it('backward itself records nothing', () => {
    const x = leaf(1, 2);
    mul(x, x).sum().backward();
    expect(x.grad?.requiresGrad).to.equal(false);
  });
});

describe('backward says', () => {
  it('what does not fit', () => {
    const x = leaf(1, 2);
    const y = x.mul(2);
    const messages: [() => unknown, typeof ShapeError | typeof DTypeError, string][] = [
      [() => tensor([1]).backward(), ShapeError, 'backward: a float32 tensor of shape [1] does not require gradients and has no graph'],
      [() => y.backward(), ShapeError, 'backward: a gradient can be left out for one element only, but the tensor has shape [2]'],
      [() => y.backward(zeros([3])), ShapeError, 'backward: expected a gradient of shape [2], but got a float32 tensor of shape [3]'],
      [
        () => y.backward(zeros([2], { dtype: 'float64' })),
        DTypeError,
        'backward: expected a gradient of dtype float32, but got a float64 tensor of shape [2]',
      ],
      [() => y.backward([1, 2] as never), DTypeError, 'backward: expected the gradient to be a tensor, but got [1, 2]'],
      [() => y.backward(zeros([2]), { retain: true } as object), ShapeError, 'backward: unknown option "retain"'],
      [() => y.backward(zeros([2]), { retainGraph: 1 as never }), ShapeError, 'backward: expected retainGraph to be a boolean, but got 1'],
      [
        () => sum(x.to('complex64')).backward(),
        DTypeError,
        'backward: a gradient can be left out for real numbers only, but the tensor is complex64',
      ],
    ];
    for (const [f, type, message] of messages) {
      const error = expectTyped(f, message);
      expect(error, message).to.be.instanceOf(type);
      expect(error.message).to.contain(message);
    }
    expect(x.grad).to.equal(null);
    y.dispose();
    expect(expectTyped(() => y.backward(zeros([2]))).code).to.equal('ERR_DISPOSED');
  });
});
