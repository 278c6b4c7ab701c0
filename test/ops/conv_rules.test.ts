// conv1d and conv2d by rule: what holds whatever the numbers are.
import { expect } from 'chai';
import { conv1d, conv2d, noGrad, pad, type Tensor, tensor } from '../../ts';
import type { ConvOptions } from '../../ts/ops/conv_geometry';
import { generate, isComplex, load } from '../goldens/load';
import * as reference from '../reference';
import { EXACT, expectClose, expectSame, toTensor, toValues } from '../support/tensors';

const exact = (seed: number, shape: readonly number[], complex = false) => generate('exact', seed, shape, complex);

describe('conv by rule', () => {
  const plain = (x: number[], w: number[], options?: ConvOptions) =>
    conv1d(tensor([[x]], { dtype: 'float64' }), tensor([[w]], { dtype: 'float64' }), null, options).toArray();

  for (const golden of load('init_printed').same) {
    it(`'same' and padding modes: ${JSON.stringify(golden.options)} ${golden.weight}`, () =>
      expect(plain(golden.x, golden.weight, golden.options as ConvOptions)).to.deep.equal([[golden.y]]));
  }

  it("'same' keeps the length, whatever the kernel and the dilation", () => {
    for (let length = 50; length < 55; length++)
      for (const k of [1, 2, 3, 8])
        for (const dilation of [1, 2, 3]) {
          const y = conv1d(toTensor(exact(1, [1, 1, length])), toTensor(exact(2, [1, 1, k])), null, { padding: 'same', dilation });
          expect([...y.shape]).to.deep.equal([1, 1, length]);
        }
  });

  it("'same' of an even kernel is a wider padding without its first cell, gradients too", () => {
    const [x, w] = [exact(1, [2, 3, 12]), exact(2, [2, 3, 4])];
    const [a, b] = [1, 2].map(() => [toTensor(x, 'float64', true), toTensor(w, 'float64', true)]) as [Tensor[], Tensor[]];
    const same = conv1d(a[0] as Tensor, a[1] as Tensor, null, { padding: 'same' });
    const wide = conv1d(b[0] as Tensor, b[1] as Tensor, null, { padding: 2 });
    const dy = exact(3, same.shape);
    expectClose(same, { shape: same.shape, data: toValues(wide).data.filter((_, i) => i % 13 > 0) }, EXACT);
    same.backward(toTensor(dy));
    const wideDy = reference.values(
      wide.shape,
      [...Array(4)].flatMap((_, row) => [0, ...dy.data.subarray(row * 12, row * 12 + 12)]),
    );
    wide.backward(toTensor(wideDy));
    expectSame(a[0]?.grad as Tensor, b[0]?.grad as Tensor);
    expectSame(a[1]?.grad as Tensor, b[1]?.grad as Tensor);
  });

  it("'same' with a padding mode is pad() and 'valid'", () => {
    const [x, w] = [toTensor(exact(1, [1, 2, 12])), toTensor(exact(2, [3, 2, 10]))];
    for (const paddingMode of ['reflect', 'replicate', 'circular'] as const) {
      expectSame(conv1d(x, w, null, { padding: 'same', paddingMode }), conv1d(pad(x, [4, 5], paddingMode), w, null, { padding: 'valid' }));
    }
    const [x2, w2] = [toTensor(exact(1, [1, 2, 5, 6])), toTensor(exact(2, [3, 2, 3, 4]))];
    expectSame(conv2d(x2, w2, null, { padding: 'same', paddingMode: 'reflect' }), conv2d(pad(x2, [1, 2, 1, 1], 'reflect'), w2));
  });

  it('with a flipped kernel is the convolution of textbooks', () => {
    expect(plain([1, 2, 3, 4], [1, 0, -1].reverse(), { padding: 2 })).to.deep.equal([[[1, 2, 2, 2, -3, -4]]]);
  });

  it('grouped is the concatenation of its groups', () => {
    const [x, w] = [exact(1, [2, 4, 9]), exact(2, [8, 2, 3])];
    const y = reference.values([2, 8, 7], toValues(conv1d(toTensor(x), toTensor(w), null, { groups: 2 })).data);
    for (const g of [0, 1]) {
      const part = conv1d(toTensor(x).slice(1, 2 * g, 2 * g + 2), toTensor(w).slice(0, 4 * g, 4 * g + 4));
      const expected = y.data.filter((_, i) => Math.floor(i / 28) % 2 === g);
      expect([...toValues(part).data]).to.deep.equal([...expected]);
    }
  });

  it('int32 is exact, and what does not fit becomes the nearest that does', () => {
    const int = (list: number[]) => tensor([[list]], { dtype: 'int32' });
    expect(conv1d(int([0, 1, 2, 3, 4]), int([1, 2])).toArray()).to.deep.equal([[[2, 5, 8, 11]]]);
    expect(conv1d(int([2 ** 30, 2 ** 30, -(2 ** 30), -(2 ** 30), -(2 ** 30)]), int([1, 1, 1])).toArray()).to.deep.equal([
      [[2 ** 30, -(2 ** 30), -(2 ** 31)]],
    ]);
    expect(conv1d(int([16777217, 1]), int([1])).toArray()).to.deep.equal([[[16777217, 1]]]);
  });

  it('of bool and uint8 is refused', () => {
    for (const dtype of ['bool', 'uint8'] as const) {
      const t = tensor([[[1, 0, 1]]], { dtype });
      expect(() => conv1d(t, t))
        .to.throw(TypeError, dtype)
        .with.property('code', 'ERR_DTYPE');
    }
  });

  it('without input channels gives the bias (PyTorch returns no channels there)', () => {
    const y = conv1d(tensor([], { shape: [2, 0, 5] }), tensor([], { shape: [3, 0, 2] }), tensor([1, 2, 3]));
    expect(y.toArray()).to.deep.equal([1, 2].map(() => [1, 2, 3].map((b) => [b, b, b, b])));
    expect(conv1d(tensor([], { shape: [0, 5] }), tensor([], { shape: [3, 0, 2] })).toArray()).to.deep.equal(
      [1, 2, 3].map(() => [0, 0, 0, 0]),
    );
  });

  it('without input channels, or without a batch, has gradients of the right shapes', () => {
    for (const [x, w] of [
      [
        [2, 0, 5],
        [3, 0, 2],
      ],
      [
        [0, 2, 5],
        [3, 2, 2],
      ],
      [
        [0, 0, 5],
        [3, 0, 2],
      ],
    ] as const) {
      const inputs = [exact(1, x), exact(2, w), exact(3, [3])].map((v) => toTensor(v, 'float64', true));
      const [tx, tw, tb] = inputs as [Tensor, Tensor, Tensor];
      const y = conv1d(tx, tw, tb);
      y.sum().backward();
      expect(inputs.map((t) => [...(t.grad?.shape ?? [])])).to.deep.equal([[...x], [...w], [3]]);
      expect(tb.grad?.toArray()).to.deep.equal([1, 1, 1].map((v) => v * x[0] * 4));
      expect(toValues(tw.grad as Tensor).data.every((v) => v === 0)).to.equal(true);
    }
  });

  it('records gradients for what asks for them only', () => {
    for (const needs of [1, 2, 3, 4, 5, 6, 7]) {
      const inputs = [exact(1, [2, 3, 8]), exact(2, [4, 3, 3]), exact(3, [4])].map((v, i) =>
        toTensor(v, 'float64', Boolean(needs & (1 << i))),
      );
      const [x, w, b] = inputs as [Tensor, Tensor, Tensor];
      conv1d(x, w, b, { padding: 1 }).sum().backward();
      expect(inputs.map((t) => t.grad !== null)).to.deep.equal([0, 1, 2].map((i) => Boolean(needs & (1 << i))));
    }
  });

  it('sees a weight that changes, in place or from outside', () => {
    const x = toTensor(exact(1, [1, 2, 9]), 'float32');
    const w = toTensor(exact(2, [3, 2, 3]), 'float32');
    const check = () => expectClose(conv1d(x, w), reference.conv(exact(1, [1, 2, 9]), toValues(w), null), EXACT);
    check();
    w.fill_(2);
    check();
    w.copy_(toTensor(exact(3, [3, 2, 3]), 'float32'));
    check();
    w.data.set([1, 2, 3, 4]);
    check();
    w.data.fill(0.5);
    check();
  });

  it('works on a view: a detached or reshaped weight and x', () => {
    const [x, w] = [exact(1, [1, 2, 9]), exact(2, [3, 2, 3])];
    const expected = reference.conv(x, w, null);
    expectClose(
      conv1d(toTensor(x).reshape([2, 9]).reshape([1, 2, 9]).detach(), toTensor(w).reshape([18]).reshape([3, 2, 3])),
      expected,
      EXACT,
    );
  });

  it('packs a weight anew for another padding under a stride: its taps meet other phases', () => {
    const [x, w] = [exact(1, [1, 2, 11]), toTensor(exact(2, [3, 2, 5]), 'float64')];
    for (const stride of [2, 3])
      for (const padding of [0, 1, 2, 0]) {
        const tx = toTensor(x, 'float64', true);
        const y = conv1d(tx, w, null, { stride, padding });
        const dy = exact(3, y.shape);
        y.backward(toTensor(dy));
        expectClose(tx.grad as Tensor, reference.convBackward(x, toValues(w), dy, { stride, padding }).dx, EXACT);
      }
  });

  it('takes steps and distances far beyond the length, and refuses those that 32 bits cannot hold', () => {
    const x = [1, 2, 3, 4, 5, 6, 7, 8];
    const most = 2 ** 31 - 1;
    expect(plain(x, [1, 1, 1], { stride: most })).to.deep.equal([[[6]]]);
    expect(plain(x, [2], { dilation: most })).to.deep.equal([[x.map((v) => 2 * v)]]);
    expect(plain(x, [1, 1], { dilation: 2 ** 30, padding: 2 ** 29 })).to.deep.equal([[x.map(() => 0)]]);
    expect(plain(x, [1, 10], { dilation: 2 ** 30, padding: 'same' })).to.deep.equal([[x.map(() => 0)]]);
    const [tx, tw] = [tensor([[x]], { requiresGrad: true }), tensor([[[1, 1, 1]]], { requiresGrad: true })];
    conv1d(tx, tw, null, { stride: most }).sum().backward();
    expect(tx.grad?.toArray()).to.deep.equal([[[1, 1, 1, 0, 0, 0, 0, 0]]]);
    expect(tw.grad?.toArray()).to.deep.equal([[[1, 2, 3]]]);
    for (const name of ['stride', 'padding', 'dilation'])
      expect(() => plain(x, [1], { [name]: 2 ** 31 })).to.throw(RangeError, `${name} to be below 2^31`);
  });

  it('leaves no handle on its operands: dispose() frees them at once', () => {
    for (const dtype of ['float32', 'float16', 'complex64', 'int32'] as const)
      for (const paddingMode of ['zeros', 'reflect'] as const) {
        const c = isComplex(dtype as 'float32');
        const differentiable = dtype !== 'int32';
        const operands = [exact(1, [1, 2, 6], c), exact(2, [3, 2, 3], c), exact(3, [3], c)].map((v) => toTensor(v, dtype, differentiable));
        const [x, w, b] = operands as [Tensor, Tensor, Tensor];
        const y = conv1d(x, w, b, { padding: 1, paddingMode });
        if (differentiable) y.backward(toTensor(exact(4, [1, 3, 6], c), dtype));
        noGrad(() => conv1d(x, w, b, { padding: 1, paddingMode }));
        for (const t of [...operands, y]) expect(t.storage.exclusive, `${dtype} ${t.shape}`).to.equal(true);
        for (const t of operands) if (differentiable) expect(t.grad?.storage.exclusive).to.equal(true);
      }
  });

  it('refuses a backward pass after an input changed in place', () => {
    const [x, w] = [toTensor(exact(1, [1, 2, 9]), 'float64', true), toTensor(exact(2, [3, 2, 3]), 'float64', true)];
    const y = conv1d(x, w).sum();
    noGrad(() => w.fill_(1));
    expect(() => y.backward()).to.throw(RangeError, /changed in place/);
  });
});
