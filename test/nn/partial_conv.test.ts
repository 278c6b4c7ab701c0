// PartialConv1d and PartialConv2d as layers: the documented examples, and the rules for shapes, masks, options and returned masks.
import { expect } from 'chai';
import { Conv1d, manualSeed, PartialConv1d, PartialConv2d, rand, type Tensor, tensor } from '../../ts';
import type { PartialConvLayerOptions } from '../../ts/nn/partial_conv';
import { generate, load, unpack } from '../goldens/load';
import * as reference from '../reference';
import { layerOfOnes } from '../support/layers';
import { changed, EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

type Options = PartialConvLayerOptions<boolean>;

describe('PartialConv as documented', () => {
  for (const golden of load('init_printed').partial) {
    it(golden.id, () => {
      const { bias: _, ...options } = golden.options;
      const layer = layerOfOnes(golden.weight, golden.bias, { ...(options as Options), dtype: golden.dtype, returnMask: true });
      const [y, updated] = layer.forward(
        toTensor(unpack(golden.x), golden.dtype),
        toTensor(unpack(golden.mask), golden.dtype),
      ) as unknown as [Tensor, Tensor];
      expectClose(y, unpack(golden.y, golden.dtype), toleranceOf(golden.dtype));
      expectClose(updated, unpack(golden.updated), EXACT, 'updated');
      const decimals = golden.decimals;
      golden.printed.forEach((v, i) => {
        const got = toValues(y).data[i] as number;
        if (decimals === undefined) expect(got).to.be.closeTo(v, 1e-9);
        else expect(Math.abs(got - v)).to.be.at.most(0.5 * 10 ** -decimals * 1.01 + (golden.dtype === 'float32' ? 2e-6 : 0));
      });
    });
  }

  it('A3: the output alone unless the mask is asked for, here or in the constructor', () => {
    const [x, mask] = [rand([2, 3, 8]), tensor(new Array(8).fill(1))];
    const plain = new PartialConv1d(3, 6, 3);
    expect([plain.multiChannel, plain.returnMask, plain.eps, plain.countGroups]).to.deep.equal([false, false, 0, true]);
    expect(plain.forward(x, mask)).not.to.be.an('array');
    expect(plain.forward(x)).not.to.be.an('array');
    expect(plain.forward(x, mask, { returnMask: true }))
      .to.be.an('array')
      .with.length(2);
    expect(plain.forward(x, null, { returnMask: true }))
      .to.be.an('array')
      .with.length(2);
    const pair = new PartialConv1d(3, 6, 3, { returnMask: true });
    expect(pair.forward(x, mask)).to.be.an('array').with.length(2);
    expect(pair.forward(x, mask, {})).to.be.an('array');
    expect(pair.forward(x, mask, { returnMask: false })).not.to.be.an('array');
    expect(pair.forward(x, mask, { return_mask: false } as object)).not.to.be.an('array');
  });

  it('A5: in every precision the exact quotients', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
      const layer = layerOfOnes([1, 1, 3], [0.5], { padding: 1, dtype });
      const x = toTensor(reference.values([1, 1, 10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), dtype);
      const y = layer.forward(x, tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])) as Tensor;
      expect([...toValues(y).data], dtype).to.deep.equal([5, 6.5, 9.5, 12.5, 14, 15.5, 0, 0, 0, 0]);
    }
  });

  it('prints its own options after those of Conv1d', () => {
    expect(String(new PartialConv1d(3, 6, 3))).to.equal('PartialConv1d(3, 6, kernel_size=(3,), stride=(1,))');
    expect(
      String(new PartialConv2d(3, 6, 3, { padding: 1, multiChannel: true, returnMask: true, eps: 1e-6, countGroups: false })),
    ).to.equal(
      'PartialConv2d(3, 6, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), multi_channel=True, return_mask=True, eps=1e-06, count_groups=False)',
    );
  });

  it('draws the same parameters as Conv1d', () => {
    manualSeed(7);
    const plain = new Conv1d(3, 6, 3, { groups: 3 });
    manualSeed(7);
    const partial = new PartialConv1d(3, 6, 3, { groups: 3, multi_channel: true, return_mask: true } as Options);
    expectSame(partial.weight, plain.weight);
    expectSame(partial.bias as Tensor, plain.bias as Tensor);
    expect([partial.multiChannel, partial.returnMask]).to.deep.equal([true, true]);
  });
});

describe('PartialConv in 16-bit floats', () => {
  for (const dtype of ['float16', 'bfloat16'] as const)
    for (const eps of [0, 1e-8, 1e-6]) {
      it(`${dtype}, eps ${eps}: empty windows are 0, forward and backward`, () => {
        const layer = new PartialConv1d(4, 5, 3, { dtype, eps, multiChannel: true, padding: 1 });
        const x = toTensor(generate('exact', 1, [2, 4, 20]), dtype, true);
        const mask = toTensor(
          changed(generate('sparse', 2, [2, 4, 20]), (v, i) => (i % 20 < 10 ? 0 : v)),
          'bool',
        );
        const [y, updated] = layer.forward(x, mask, { returnMask: true });
        expect(updated.dtype).to.equal(dtype);
        const u = toValues(updated).data;
        for (const [i, v] of toValues(y).data.entries())
          expect(u[i] === 0 ? Object.is(v, 0) : Number.isFinite(v), `y[${i}]`).to.equal(true);
        expect(u.some((v) => v === 0) && u.some((v) => v === 1)).to.equal(true);
        y.backward(toTensor(generate('exact', 3, y.shape), dtype));
        for (const t of [x, layer.weight, layer.bias as Tensor])
          expect(toValues(t.grad as Tensor).data.every(Number.isFinite)).to.equal(true);
      });
    }

  it('a window of 70000 cells with a single valid one has a finite ratio', () => {
    const layer = layerOfOnes([1, 1, 70000], undefined, { dtype: 'float16' });
    const x = toTensor(
      changed(reference.values([1, 70000]), (_, i) => (i === 9 ? 2 ** -10 : 1000)),
      'float16',
    );
    const mask = tensor(
      Uint8Array.from({ length: 70000 }, (_, i) => Number(i === 9)),
      { dtype: 'bool' },
    );
    expect(toValues(layer.forward(x, mask) as Tensor).data[0]).to.be.closeTo(70000 / 1024, 0.05);
  });
});

describe('PartialConv layers', () => {
  it('A6: values in holes change no bit of the output or of any gradient', () => {
    for (const [Layer, shape, maskShape] of [
      [PartialConv1d, [2, 3, 12], [2, 3, 12]],
      [PartialConv2d, [2, 3, 6, 5], [2, 3, 6, 5]],
    ] as const) {
      const layer = new Layer(3, 4, 3, { padding: 1, multiChannel: true });
      const x = generate('fine', 1, shape);
      const mask = generate('mask', 2, maskShape);
      const run = (v: reference.Values) => {
        layer.zeroGrad();
        const tx = toTensor(v, 'float32', true);
        const y = layer.forward(tx, toTensor(mask, 'bool'));
        y.backward(toTensor(generate('exact', 3, y.shape), 'float32'));
        return [y, tx.grad, layer.weight.grad, layer.bias?.grad].map((t) => (t as Tensor).clone());
      };
      const clean = run(x);
      for (const poison of [Number.NaN, Number.POSITIVE_INFINITY, -1e30]) {
        const poisoned = run(changed(x, (v, i) => (mask.data[i] === 0 ? poison : v)));
        for (const [i, t] of poisoned.entries()) expectSame(t, clean[i] as Tensor, `${poison} ${i}`);
      }
    }
  });

  it('are not misled by a call with another mask, another shape, or none (the stale cache of the originals)', () => {
    const layer = new PartialConv1d(2, 3, 3, { padding: 1, dtype: 'float64', returnMask: true });
    const [w, b] = [toValues(layer.weight), toValues(layer.bias as Tensor)];
    const masks = [null, generate('mask', 1, [8]), null, generate('sparse', 2, [8]), generate('mask', 3, [2, 8]), null];
    for (const length of [8, 9, 8])
      for (const mask of masks) {
        const x = generate('exact', length, [2, 2, length]);
        const fitting =
          mask &&
          reference.values(
            [...mask.shape.slice(0, -1), length],
            new Array((mask.data.length / 8) * length).fill(0).map((_, i) => mask.data[i % 8] as number),
          );
        const [y, updated] = layer.forward(toTensor(x), fitting && toTensor(fitting));
        const expected = reference.partialConv(x, fitting, w, b, { padding: 1 });
        expectClose(y, expected.y, toleranceOf('float64'));
        expectClose(updated, expected.updatedMask, EXACT);
      }
  });

  it('give the same for an unbatched x as for a batch of one', () => {
    const layer = new PartialConv1d(3, 4, 3, { padding: 1, returnMask: true });
    const [x, mask] = [rand([3, 7]), toTensor(generate('mask', 1, [7]), 'float32')];
    const [y, updated] = layer.forward(x, mask);
    const [batch, batchUpdated] = layer.forward(x.reshape([1, 3, 7]), mask);
    expect([[...y.shape], [...updated.shape]]).to.deep.equal([
      [4, 7],
      [1, 7],
    ]);
    expectSame(batch.reshape([4, 7]), y);
    expectSame(batchUpdated.reshape([1, 7]), updated);
  });

  it('free their cache and parameters by dispose', () => {
    const layer = new PartialConv1d(3, 4, 3);
    const mask = tensor(new Array(7).fill(1));
    layer.forward(rand([3, 7]), mask);
    expect(layer.maskCache.entries).to.equal(1);
    layer.dispose();
    expect(layer.maskCache.entries).to.equal(0);
    expect(mask.disposed).to.equal(false);
    expect(() => layer.forward(rand([3, 7]), mask))
      .to.throw(Error, /disposed/)
      .with.property('code', 'ERR_DISPOSED');
  });

  it('show their attributes only', () => {
    expect(Object.keys(new PartialConv1d(1, 1, 1)).sort()).to.deep.equal(
      [
        'bias',
        'countGroups',
        'dilation',
        'eps',
        'groups',
        'inChannels',
        'kernelSize',
        'multiChannel',
        'outChannels',
        'padding',
        'paddingMode',
      ].concat(['returnMask', 'stride', 'training', 'weight']),
    );
  });
});
