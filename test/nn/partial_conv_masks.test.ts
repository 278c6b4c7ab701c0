// The masks of PartialConv layers: forms, dtypes, padding, what is refused.
import { expect } from 'chai';
import { type DType, PartialConv1d, PartialConv2d, rand, type Tensor, tensor } from '../../ts';
import { generate } from '../goldens/load';
import * as reference from '../reference';
import { layerOfOnes } from '../support/layers';
import { EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

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
      [
        () => single.forward(batch, rand([l + 1])),
        /for x \[2, 4, 9\] expected a mask of shape \[2, 1, 9\], \[1, 1, 9\], \[2, 9\] or \[9\], but got mask \[10\]/,
      ],
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
      expect(() => layer.forward(data, mask), String(mask))
        .to.throw(TypeError, /expected mask to be a tensor/)
        .with.property('code', 'ERR_DTYPE');
    }
    const gone = rand([l]);
    gone.dispose();
    expect(() => layer.forward(data, gone))
      .to.throw(Error, /disposed/)
      .with.property('code', 'ERR_DISPOSED');
    for (const options of [{ returnMask: 1 }, { returnMask: 'yes' }, { returnMask: null }, { mask: true }, [], 5, 'returnMask']) {
      expect(() => layer.forward(data, null, options), JSON.stringify(options))
        .to.throw(RangeError)
        .with.property('code', 'ERR_SHAPE');
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
    const [y, updated] = layer.forward(tensor([[4, 8, 2, 6]]), tensor([0.25, 0, 0.5, 1]), { returnMask: true }) as unknown as [
      Tensor,
      Tensor,
    ];
    // counts .25, .5, 1.5: ratio 8, 4, 4/3; sums 1, 1, 7
    expect(toValues(updated).data).to.deep.equal(Float64Array.of(0.25, 0.5, 1));
    expectClose(y, reference.values([1, 3], [(1 * 8 + 1) * 0.25, (1 * 4 + 1) * 0.5, (7 * 4) / 3 + 1]), toleranceOf('float32'));
  });

  it('left out means all valid: the zero padding is the only hole', () => {
    const layer = new PartialConv1d(c, o, 5, { padding: 2, dtype: 'float64', multiChannel: true, groups: 2, returnMask: true });
    const [y, updated] = layer.forward(toTensor(x));
    const expected = reference.partialConv(x, null, toValues(layer.weight), toValues(layer.bias as Tensor), {
      padding: 2,
      groups: 2,
      multiChannel: true,
    });
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
