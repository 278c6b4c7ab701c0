// PartialConv1d and PartialConv2d as layers: the documented examples (semantics 5 A, B) and the rules of api.md.
import { expect } from 'chai';
import { Conv1d, type DType, manualSeed, noGrad, PartialConv1d, PartialConv2d, rand, type Tensor, tensor } from '../../ts';
import type { PartialConvLayerOptions } from '../../ts/nn/partial_conv';
import { generate, load, unpack } from '../goldens/load';
import * as reference from '../reference';
import { changed, EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

type Options = PartialConvLayerOptions<boolean>;

/** A layer with every weight 1 and the given bias. */
function layerOfOnes(shape: readonly number[], bias: readonly number[] | undefined, options: Options) {
  const [o, c, ...kernel] = shape as [number, number, ...number[]];
  const layer = new (kernel.length === 1 ? PartialConv1d : PartialConv2d)(c, o, kernel, { ...options, bias: bias !== undefined });
  noGrad(() => {
    layer.weight.fill_(1);
    if (bias) layer.bias?.copy_(tensor(bias as number[]));
  });
  return layer;
}

describe('PartialConv as documented', () => {
  for (const golden of load('init_printed').partial) {
    it(golden.id, () => {
      const { bias: _, ...options } = golden.options;
      const layer = layerOfOnes(golden.weight, golden.bias, { ...(options as Options), dtype: golden.dtype, returnMask: true });
      const [y, updated] = layer.forward(toTensor(unpack(golden.x), golden.dtype), toTensor(unpack(golden.mask), golden.dtype)) as unknown as [Tensor, Tensor];
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
    expect(plain.forward(x, mask, { returnMask: true })).to.be.an('array').with.length(2);
    expect(plain.forward(x, null, { returnMask: true })).to.be.an('array').with.length(2);
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
    expect(String(new PartialConv2d(3, 6, 3, { padding: 1, multiChannel: true, returnMask: true, eps: 1e-6, countGroups: false }))).to.equal(
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
        const mask = toTensor(changed(generate('sparse', 2, [2, 4, 20]), (v, i) => (i % 20 < 10 ? 0 : v)), 'bool');
        const [y, updated] = layer.forward(x, mask, { returnMask: true });
        expect(updated.dtype).to.equal(dtype);
        const u = toValues(updated).data;
        toValues(y).data.forEach((v, i) => expect(u[i] === 0 ? Object.is(v, 0) : Number.isFinite(v), `y[${i}]`).to.equal(true));
        expect(u.some((v) => v === 0) && u.some((v) => v === 1)).to.equal(true);
        y.backward(toTensor(generate('exact', 3, y.shape), dtype));
        for (const t of [x, layer.weight, layer.bias as Tensor]) expect(toValues(t.grad as Tensor).data.every(Number.isFinite)).to.equal(true);
      });
    }

  it('a window of 70000 cells with a single valid one has a finite ratio', () => {
    const layer = layerOfOnes([1, 1, 70000], undefined, { dtype: 'float16' });
    const x = toTensor(changed(reference.values([1, 70000]), (_, i) => (i === 9 ? 2 ** -10 : 1000)), 'float16');
    const mask = tensor(Uint8Array.from({ length: 70000 }, (_, i) => Number(i === 9)), { dtype: 'bool' });
    expect(toValues(layer.forward(x, mask) as Tensor).data[0]).to.be.closeTo(70000 / 1024, 0.05);
  });
});

describe('PartialConv masks', () => {
  const [n, c, o, l] = [2, 4, 6, 9];
  const x = generate('exact', 1, [n, c, l]);
  const forms: [string, number[], boolean, boolean][] = [
    // name, shape, multiChannel, batched
    ['[N, 1, L]', [n, 1, l], false, true],
    ['[1, 1, L]', [1, 1, l], false, true],
    ['[N, L]', [n, l], false, true],
    ['[L]', [l], false, true],
    ['[N, C, L]', [n, c, l], true, true],
    ['[1, C, L]', [1, c, l], true, true],
    ['unbatched [L]', [l], false, false],
    ['unbatched [1, L]', [1, l], false, false],
    ['unbatched [1, 1, L]', [1, 1, l], false, false],
    ['unbatched [C, L]', [c, l], true, false],
    ['unbatched [1, C, L]', [1, c, l], true, false],
  ];
  for (const [name, shape, multiChannel, batched] of forms)
    for (const groups of [1, 2])
      for (const countGroups of [true, false]) {
        it(`${name}${multiChannel ? ' multiChannel' : ''}, groups ${groups}, countGroups ${countGroups}`, () => {
          const options = { padding: 1, stride: 2, groups, multiChannel, countGroups };
          const layer = new PartialConv1d(c, o, 3, { ...options, dtype: 'float64', returnMask: true });
          const data = batched ? x : reference.values([c, l], x.data.subarray(0, c * l));
          const mask = generate('sparse', 5, shape);
          const [y, updated] = layer.forward(toTensor(data), toTensor(mask));
          const expected = reference.partialConv(data, mask, toValues(layer.weight), toValues(layer.bias as Tensor), options);
          expectClose(y, expected.y, toleranceOf('float64'));
          expectClose(updated, expected.updatedMask, EXACT, 'updated');
        });
      }

  it('are accepted in every real dtype and refused in complex', () => {
    const layer = new PartialConv1d(c, o, 3, { padding: 1 });
    const mask = generate('mask', 5, [l]);
    const run = (dtype: DType) => layer.forward(toTensor(x, 'float32'), toTensor(mask, dtype), { returnMask: true });
    const [y, updated] = run('float32');
    for (const dtype of ['float64', 'float16', 'bfloat16', 'bool', 'uint8', 'int32'] as const) {
      const [other, otherUpdated] = run(dtype);
      expectSame(other, y, dtype);
      expectSame(otherUpdated, updated, dtype);
    }
    for (const dtype of ['complex64', 'complex128'] as const) {
      expect(() => layer.forward(toTensor(x, 'float32'), toTensor(generate('mask', 5, [l], true), dtype)))
        .to.throw(TypeError, /real or bool mask/)
        .with.property('code', 'ERR_DTYPE');
    }
  });

  it('that do not fit are refused with the forms that would', () => {
    const single = new PartialConv1d(c, o, 3);
    const multi = new PartialConv1d(c, o, 3, { multiChannel: true });
    const image = new PartialConv2d(c, o, 3);
    const [batch, one, picture] = [rand([n, c, l]), rand([c, l]), rand([n, c, 5, 5])];
    const cases: [() => unknown, RegExp][] = [
      [() => single.forward(batch, rand([l + 1])), /for x \[2, 4, 9\] expected a mask of shape \[2, 1, 9\], \[1, 1, 9\], \[2, 9\] or \[9\], but got mask \[10\]/],
      [() => single.forward(batch, rand([3, 1, l])), /but got mask \[3, 1, 9\]/],
      [() => single.forward(batch, rand([c, l])), /but got mask \[4, 9\]/],
      [() => single.forward(batch, rand([n, 3, l])), /but got mask \[2, 3, 9\]/],
      [() => single.forward(batch, rand([n, c, l])), /mask \[2, 4, 9\] has 4 channels.*multiChannel: true/],
      [() => single.forward(batch, rand([1, n, 1, l])), /but got mask \[1, 2, 1, 9\]/],
      [() => single.forward(batch, tensor(1)), /but got mask \[\]/],
      [() => single.forward(one, rand([2, l])), /for x \[4, 9\] expected a mask of shape \[1, 9\] or \[9\], but got mask \[2, 9\]/],
      [() => single.forward(one, rand([c, l])), /has 4 channels.*multiChannel: true/],
      [() => multi.forward(batch, rand([c, l])), /or with a value per channel \[2, 4, 9\] or \[1, 4, 9\], but got mask \[4, 9\]/],
      [() => multi.forward(batch, rand([n, 2, l])), /but got mask \[2, 2, 9\]/],
      [() => multi.forward(one, rand([2, c, l])), /but got mask \[2, 4, 9\]/],
      [() => image.forward(picture, rand([5])), /\[2, 1, 5, 5\], \[1, 1, 5, 5\], \[2, 5, 5\] or \[5, 5\], but got mask \[5\]/],
      [() => image.forward(picture, rand([5, 6])), /but got mask \[5, 6\]/],
      [() => single.forward(batch, rand([0])), /but got mask \[0\]/],
    ];
    for (const [run, message] of cases) expect(run, String(message)).to.throw(RangeError, message).with.property('code', 'ERR_SHAPE');
  });

  it('that are no masks are refused', () => {
    const layer = new PartialConv1d(c, o, 3) as unknown as { forward(...args: unknown[]): Tensor };
    const data = rand([n, c, l]);
    for (const mask of [1, 'mask', [1, 1, 1], {}, true, () => 1, new Float32Array(9)]) {
      expect(() => layer.forward(data, mask), String(mask)).to.throw(TypeError, /expected mask to be a tensor/).with.property('code', 'ERR_DTYPE');
    }
    const gone = rand([l]);
    gone.dispose();
    expect(() => layer.forward(data, gone)).to.throw(Error, /disposed/).with.property('code', 'ERR_DISPOSED');
    for (const options of [{ returnMask: 1 }, { returnMask: 'yes' }, { returnMask: null }, { mask: true }, [], 5, 'returnMask']) {
      expect(() => layer.forward(data, null, options), JSON.stringify(options)).to.throw(RangeError).with.property('code', 'ERR_SHAPE');
    }
    expect(() => layer.forward(data, null, { returnMsk: true })).to.throw(RangeError, /did you mean "returnMask"/);
  });

  it('are padded as x is', () => {
    for (const paddingMode of ['zeros', 'reflect', 'replicate', 'circular'] as const) {
      const options = { padding: 2, paddingMode, stride: 1, dilation: 2 };
      const layer = new PartialConv2d(2, 3, 3, { ...options, dtype: 'float64' });
      const image = generate('exact', 1, [1, 2, 6, 7]);
      const mask = generate('sparse', 2, [6, 7]);
      const expected = reference.partialConv(image, mask, toValues(layer.weight), toValues(layer.bias as Tensor), options);
      const [y, updated] = layer.forward(toTensor(image), toTensor(mask), { returnMask: true });
      expectClose(y, expected.y, toleranceOf('float64'), paddingMode);
      expectClose(updated, expected.updatedMask, EXACT, paddingMode);
    }
    // An edge that is full stays as it is where the padding repeats real values (NVIDIA's code gives 13.5 here).
    const layer = layerOfOnes([1, 1, 3], undefined, { padding: 1, paddingMode: 'circular' });
    expect((layer.forward(tensor([[1, 2, 6]])) as Tensor).toArray()).to.deep.equal([[9, 9, 9]]);
  });

  it('may be soft: x is weighted, the bias only as much as the window was seen', () => {
    const layer = layerOfOnes([1, 1, 2], [1], {});
    const [y, updated] = layer.forward(tensor([[4, 8, 2, 6]]), tensor([0.25, 0, 0.5, 1]), { returnMask: true }) as unknown as [Tensor, Tensor];
    // counts .25, .5, 1.5: ratio 8, 4, 4/3; sums 1, 1, 7
    expect(toValues(updated).data).to.deep.equal(Float64Array.of(0.25, 0.5, 1));
    expectClose(y, reference.values([1, 3], [(1 * 8 + 1) * 0.25, (1 * 4 + 1) * 0.5, (7 * 4) / 3 + 1]), toleranceOf('float32'));
  });

  it('left out means all valid: the zero padding is the only hole', () => {
    const layer = new PartialConv1d(c, o, 5, { padding: 2, dtype: 'float64', multiChannel: true, groups: 2, returnMask: true });
    const [y, updated] = layer.forward(toTensor(x));
    const expected = reference.partialConv(x, null, toValues(layer.weight), toValues(layer.bias as Tensor), { padding: 2, groups: 2, multiChannel: true });
    expectClose(y, expected.y, toleranceOf('float64'));
    expectClose(updated, expected.updatedMask, EXACT);
    const [full] = layer.forward(toTensor(x), toTensor(reference.filled([n, c, l], 1)));
    expectSame(full, y);
  });

  it('grow through a chain of layers until they are full', () => {
    const layers = [1, 2, 3].map(() => new PartialConv1d(1, 1, 3, { padding: 1, returnMask: true, bias: false }));
    let [y, mask] = [rand([1, 16]), tensor([[...Array(16).keys()].map((i) => Number(i === 5))])];
    const counts: number[] = [];
    for (const layer of layers) {
      [y, mask] = layer.forward(y, mask);
      counts.push(toValues(mask).data.reduce((a, b) => a + b, 0));
    }
    expect(counts).to.deep.equal([3, 5, 7]);
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
        run(changed(x, (v, i) => (mask.data[i] === 0 ? poison : v))).forEach((t, i) => expectSame(t, clean[i] as Tensor, `${poison} ${i}`));
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
        const fitting = mask && reference.values([...mask.shape.slice(0, -1), length], new Array((mask.data.length / 8) * length).fill(0).map((_, i) => mask.data[i % 8] as number));
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
    expect([[...y.shape], [...updated.shape]]).to.deep.equal([[4, 7], [1, 7]]);
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
    expect(() => layer.forward(rand([3, 7]), mask)).to.throw(Error, /disposed/).with.property('code', 'ERR_DISPOSED');
  });

  it('show their attributes only', () => {
    expect(Object.keys(new PartialConv1d(1, 1, 1)).sort()).to.deep.equal(
      ['bias', 'countGroups', 'dilation', 'eps', 'groups', 'inChannels', 'kernelSize', 'multiChannel', 'outChannels', 'padding', 'paddingMode'].concat(['returnMask', 'stride', 'training', 'weight']),
    );
  });
});
