// A float mask of zeros and ones is read as bytes: with the numbers of the mask itself, soft ones included.
import { expect } from 'chai';
import { maskRatio, noGrad, PartialConv1d, partialConv1d, randn, type Tensor, tensor } from '../../ts';
import { backend } from '../../ts/device';
import * as reference from '../reference';
import { countStorages } from '../support/count_storages';
import { Seeded } from '../support/seeded';
import { expectClose, toleranceOf, toTensor, toValues } from '../support/tensors';

const native = backend('cpu');

function bitsOf(mask: Float32Array | Float64Array): { bits: Uint8Array; binary: number | undefined } {
  const bits = new Uint8Array(mask.length).fill(9);
  const binary = new Uint8Array([9]);
  native.maskBits(mask, Number(mask instanceof Float64Array), bits, 8, binary, 8);
  return { bits, binary: binary[0] };
}

/** Zeros of either sign, and ones. */
const holes = (random: Seeded, size: number) => random.list(size, () => random.pick([0, -0, 1, 1, 1]));

describe('the bytes of a mask', () => {
  for (const ArrayType of [Float32Array, Float64Array]) {
    it(`tell zeros from ones, and whether there is anything else: ${ArrayType.name}`, () => {
      const random = new Seeded(1);
      for (const size of [1, 15, 1023, 1024, 1025, 200_003]) {
        const mask = ArrayType.from(holes(random, size));
        const expected = Array.from(mask, (v) => Number(v !== 0));
        const { bits, binary } = bitsOf(mask);
        expect(Array.from(bits)).to.deep.equal(expected);
        expect(binary, `${size}`).to.equal(1);
        for (const soft of [0.5, 2, -1, Number.NaN, Number.POSITIVE_INFINITY, 1 + 2 ** -23, 2 ** -149]) {
          const at = random.pick([0, size - 1, size >> 1]);
          const changed = ArrayType.from(mask);
          changed[at] = soft;
          expect(bitsOf(changed).binary, `${soft} at ${at} of ${size}`).to.equal(0);
        }
      }
    });
  }

  it('give a convolution and its gradients the bits that a bool mask gives', () => {
    const random = new Seeded(2);
    for (const dtype of ['float32', 'float64'] as const) {
      const data = holes(random, 2 * 20 * 70);
      const [x, weight, bias] = ([[2, 20, 70], [12, 20, 5], [12]] as const).map((of) => randn(of, { dtype, requiresGrad: true })) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const dy = randn([2, 12, 70], { dtype });
      const run = (mask: Tensor) => {
        for (const t of [x, weight, bias]) t.grad = null;
        const [y, updated] = partialConv1d(x, mask, weight, bias, { padding: 2, multiChannel: true, returnMask: true });
        y.backward(dy);
        return [y, updated, x.grad, weight.grad, bias.grad].map((t) => (t as Tensor).toArray());
      };
      const shape = [2, 20, 70];
      expect(run(tensor(data, { shape, dtype }))).to.deep.equal(run(tensor(data, { shape, dtype: 'bool' })));
    }
  });

  it('do not stand for a mask with one soft value', () => {
    const random = new Seeded(3);
    const mask = { shape: [1, 6, 40], data: holes(random, 240) };
    mask.data[131] = 0.25;
    const x = { shape: [1, 6, 40], data: random.list(240, () => random.next() - 0.5) };
    const weight = { shape: [4, 6, 3], data: random.list(72, () => random.next() - 0.5) };
    const expected = reference.partialConv(x, mask, weight, null, { multiChannel: true });
    const [y, updated] = partialConv1d(toTensor(x, 'float64'), toTensor(mask, 'float64'), toTensor(weight, 'float64'), null, {
      multiChannel: true,
      returnMask: true,
    });
    expectClose(y, expected.y, toleranceOf('float64'));
    expect(toValues(updated).data[0]).to.equal(expected.updatedMask.data[0]);
  });

  it('count more than 255 channels', () => {
    const random = new Seeded(4);
    const mask = { shape: [1, 700, 33], data: holes(random, 700 * 33) };
    const options = { kernelSize: 3, padding: 1, multiChannel: true };
    const [expected] = maskRatio(toTensor(mask, 'float64'), options);
    for (const dtype of ['bool', 'float32'] as const) {
      const [ratio] = maskRatio(toTensor(mask, dtype), options);
      expectClose(ratio, toValues(expected), toleranceOf('float32'), dtype);
    }
    const full = maskRatio(tensor(new Uint8Array(600 * 4).fill(255), { shape: [1, 600, 4] }), { kernelSize: 1, multiChannel: true });
    for (const t of full) expect(t.toArray()).to.deep.equal([[[1, 1, 1, 1]]]);
  });

  it('are what a cache keeps of a mask of zeros and ones; it keeps nothing of a soft one', () => {
    for (const [soft, kept] of [
      [1, 2 * 3 * 20],
      [0.5, 0],
    ] as const) {
      const layer = new PartialConv1d(3, 4, 3, { padding: 1, multiChannel: true });
      const data = Float32Array.from({ length: 120 }, (_, i) => (i === 7 ? soft : Number(i % 3 > 0)));
      const mask = tensor(data, { shape: [2, 3, 20] });
      for (const _ of [1, 2]) layer.forward(randn([2, 3, 20]), mask);
      expect(layer.maskCache).to.deep.equal({ hits: 1, misses: 1, entries: 1, bytes: 2 * (2 * 20 * 4) + kept });
    }
  });

  it('are freed after use where no cache has them, as the counts are', () => {
    const layer = new PartialConv1d(3, 4, 3, { multiChannel: true });
    const x = randn([2, 3, 20]);
    for (const value of [1, 0.5]) {
      const mask = tensor(new Float32Array(120).fill(value), { shape: [2, 3, 20] });
      void mask.data; // shared: nothing is cached by it
      const live = countStorages((warm) => {
        noGrad(() => layer.forward(x, mask)).dispose();
        warm();
        noGrad(() => layer.forward(x, mask)).dispose();
        for (const t of maskRatio(mask, { kernelSize: 3, multiChannel: true })) t.dispose();
        const y = layer.forward(x, mask);
        const loss = y.sum();
        loss.backward();
        for (const t of [y, loss]) t.dispose();
      });
      expect(live, `${value}`).to.equal(2); // the gradients of weight and bias
      for (const parameter of layer.parameters()) parameter.grad = null;
    }
  });
});
