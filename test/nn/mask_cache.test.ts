// The cache of prepared masks: what it finds again, and that it is never stale.
import { expect } from 'chai';
import { fromBuffer, noGrad, PartialConv1d, PartialConv2d, rand, type Tensor, tensor, tidy } from '../../ts';
import { generate } from '../goldens/load';
import * as reference from '../reference';
import { EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

const [N, C, O, L] = [2, 3, 4, 10];
const x = generate('exact', 1, [N, C, L]);
const make = () => new PartialConv1d(C, O, 3, { padding: 1, returnMask: true, dtype: 'float64' });

/** The layer's result for this mask as it is now, checked. */
function check(layer: PartialConv1d<true>, mask: Tensor | null, data = x, dtype: 'float64' | 'float32' = 'float64'): void {
  const [y, updated] = layer.forward(toTensor(data, dtype), mask);
  const expected = reference.partialConv(data, mask && toValues(mask), toValues(layer.weight), toValues(layer.bias as Tensor), {
    padding: 1,
  });
  expectClose(y, expected.y, toleranceOf(dtype));
  expectClose(updated, expected.updatedMask, EXACT, 'updated');
}

const maskOf = (seed: number, shape: number[] = [L], dtype: 'float64' | 'bool' | 'int32' | 'float32' = 'float64') =>
  toTensor(generate('mask', seed, shape), dtype);

const hitsAndMisses = ({ maskCache: { hits, misses } }: PartialConv1d<boolean>) => ({ hits, misses });

describe('mask cache', () => {
  it('finds a mask again', () => {
    const layer = make();
    const mask = maskOf(1);
    for (const _ of [1, 2, 3]) check(layer, mask);
    expect(layer.maskCache).to.deep.equal({ hits: 2, misses: 1, entries: 1, bytes: 2 * L * 8 });
  });

  it('counts the memory of a converted mask too', () => {
    const layer = make();
    const mask = maskOf(1, [L], 'int32');
    check(layer, mask);
    check(layer, mask);
    expect(layer.maskCache).to.deep.equal({ hits: 1, misses: 1, entries: 1, bytes: 2 * L * 8 + L });
  });

  it('finds "no mask" again', () => {
    const layer = make();
    for (const _ of [1, 2]) check(layer, null);
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 1, misses: 1 });
  });

  it('keeps calls with and without a mask of the same shape apart', () => {
    const layer = make();
    const mask = maskOf(1);
    for (const m of [null, mask, null, mask, maskOf(2), mask, null]) check(layer, m);
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 4, misses: 3 });
  });

  it('sees in-place changes of the mask', () => {
    const layer = make();
    const mask = maskOf(1);
    check(layer, mask);
    mask.fill_(1);
    check(layer, mask);
    mask.copy_(maskOf(3));
    check(layer, mask);
    noGrad(() => mask.fill_(0));
    check(layer, mask);
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 0, misses: 4 });
  });

  it('sees in-place changes through a view of the mask', () => {
    const layer = make();
    const mask = maskOf(1);
    const view = mask.reshape([1, 1, L]);
    check(layer, mask);
    view.fill_(1);
    check(layer, mask);
    mask.detach().copy_(maskOf(5));
    check(layer, mask);
  });

  it('keeps two views of one memory with different meanings apart', () => {
    const square = toTensor(generate('mask', 3, [16]), 'float64');
    const layer = new PartialConv1d(4, 2, 1, { multiChannel: true, dtype: 'float64' });
    const data = generate('exact', 2, [4, 4]);
    const image = new PartialConv2d(2, 2, 1, { dtype: 'float64' });
    const picture = generate('exact', 2, [2, 4, 4]);
    for (const shape of [
      [4, 4],
      [1, 4, 4],
    ]) {
      const view = square.reshape(shape);
      expectClose(
        layer.forward(toTensor(data), view),
        reference.partialConv(data, toValues(view), toValues(layer.weight), toValues(layer.bias as Tensor), { multiChannel: true }).y,
        toleranceOf('float64'),
      );
      expectClose(
        image.forward(toTensor(picture), view),
        reference.partialConv(picture, toValues(view), toValues(image.weight), toValues(image.bias as Tensor)).y,
        toleranceOf('float64'),
      );
    }
    // [N, L] for a batch, [C, L] for one: the same memory, another count.
    const both = new PartialConv1d(2, 2, 1, { multiChannel: true, dtype: 'float64' });
    const mask = toTensor(generate('mask', 8, [2, 6]), 'float64');
    for (const shape of [
      [2, 2, 6],
      [2, 6],
      [2, 2, 6],
      [2, 6],
    ]) {
      const v = generate('exact', 2, shape);
      const m =
        shape.length === 3
          ? reference.values(
              [2, 2, 6],
              [0, 0, 1, 1].flatMap((n) => [...toValues(mask).data.subarray(6 * n, 6 * n + 6)]),
            )
          : toValues(mask);
      const expected = reference.partialConv(v, m, toValues(both.weight), toValues(both.bias as Tensor), { multiChannel: true });
      expectClose(both.forward(toTensor(v), mask), expected.y, toleranceOf('float64'));
    }
  });

  it('never remembers a mask whose memory was handed out', () => {
    const layer = make();
    const mask = maskOf(1);
    check(layer, mask);
    const { data } = mask;
    check(layer, mask);
    for (let i = 0; i < L; i++) {
      data[i] = i % 2;
      check(layer, mask);
    }
    const kept = layer.maskCache.entries;
    check(layer, mask);
    expect(layer.maskCache.entries).to.equal(kept);
    expect(layer.maskCache.hits).to.equal(0);
  });

  it("never remembers a mask on the caller's memory", () => {
    const layer = make();
    for (const dtype of ['float64', 'bool'] as const) {
      const array = dtype === 'bool' ? new Uint8Array(L).fill(1) : new Float64Array(L).fill(1);
      const mask = fromBuffer(array, [L], dtype);
      for (let i = 0; i < L; i++) {
        array[i] = 0;
        check(layer, mask);
        check(layer, mask.reshape([1, 1, L]));
      }
    }
    expect(layer.maskCache).to.deep.equal({ hits: 0, misses: 4 * L, entries: 0, bytes: 0 });
  });

  it('is right after the batch size, the length or the dtype changes', () => {
    const layer = new PartialConv1d(C, O, 3, { padding: 1, returnMask: true, dtype: 'float64' });
    const mask = maskOf(1);
    for (const n of [1, 3, 2, 1]) check(layer, mask, generate('exact', n, [n, C, L]));
    check(layer, mask, generate('exact', 4, [C, L]));
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 4, misses: 1 });
    for (const l of [12, 5, L]) check(layer, maskOf(2, [l]), generate('exact', l, [N, C, l]));
    for (const l of [12, 5, L]) check(layer, null, generate('exact', l, [N, C, l]));
    layer.to('float32');
    check(layer, mask, x, 'float32');
    layer.to('float64');
    check(layer, mask);
  });

  it('refuses a mask that it knows for an x that it does not fit', () => {
    const layer = make();
    const mask = maskOf(1, [2, L]);
    check(layer, mask);
    expect(() => layer.forward(toTensor(generate('exact', 1, [3, C, L])), mask)).to.throw(RangeError, /expected a mask of shape/);
    expect(() => layer.forward(toTensor(generate('exact', 1, [2, C, L + 1])), mask)).to.throw(RangeError, /expected a mask of shape/);
    check(layer, mask);
  });

  it("hands out updated masks that are the caller's to change", () => {
    const layer = make();
    const mask = maskOf(1);
    for (const m of [mask, null]) {
      check(layer, m);
      const [, updated] = layer.forward(toTensor(x), m);
      updated.fill_(0);
      check(layer, m);
      layer.forward(toTensor(x), m)[1].data.fill(7);
      check(layer, m);
      layer.forward(toTensor(x), m)[1].dispose();
      check(layer, m);
    }
  });

  it('forgets nothing that a graph still needs, and survives tidy()', () => {
    const layer = make();
    const mask = maskOf(1);
    tidy(() => void layer.forward(toTensor(x), mask));
    check(layer, mask);
    expect(layer.maskCache.hits).to.equal(1);
    const y = layer.forward(toTensor(x, 'float64', true), mask)[0];
    for (let i = 0; i < 40; i++) layer.forward(toTensor(x), maskOf(i + 2));
    y.sum().backward();
    const { dw } = reference.partialConvBackward(x, toValues(mask), toValues(layer.weight), reference.filled(y.shape, 1), { padding: 1 });
    expectClose(layer.weight.grad as Tensor, dw, toleranceOf('float64'));
  });

  it('is bounded in entries, the least recently used leave first', () => {
    const layer = make();
    const masks = Array.from({ length: 20 }, (_, i) => maskOf(i));
    for (const mask of masks) {
      check(layer, mask);
      check(layer, masks[0] as Tensor);
    }
    expect(layer.maskCache.entries).to.equal(16);
    expect(layer.maskCache.bytes).to.equal(16 * 2 * L * 8);
    const { misses } = layer.maskCache;
    check(layer, masks[0] as Tensor);
    check(layer, masks[19] as Tensor);
    expect(layer.maskCache.misses).to.equal(misses);
    check(layer, masks[1] as Tensor);
    expect(layer.maskCache.misses).to.equal(misses + 1);
  });

  it('is bounded in bytes', () => {
    const layer = new PartialConv1d(1, 1, 1, { bias: false });
    const big = 3 * 2 ** 20;
    const data = tensor(new Float32Array(big), { shape: [1, big] });
    for (let i = 0; i < 4; i++) {
      layer.forward(data, tensor(new Uint8Array(big).fill(1), { dtype: 'bool' })).dispose();
      expect(layer.maskCache.bytes).to.be.at.most(64 * 2 ** 20);
    }
    expect(layer.maskCache.entries).to.equal(2);
    const huge = 9 * 2 ** 20;
    layer.forward(tensor(new Float32Array(huge), { shape: [1, huge] }), tensor(new Uint8Array(huge), { dtype: 'bool' })).dispose();
    expect(layer.maskCache.entries).to.equal(2);
  });

  it('does not mistake a new mask for one that was freed', () => {
    const layer = make();
    for (let i = 0; i < 30; i++) {
      const mask = maskOf(i);
      check(layer, mask);
      check(layer, mask);
      mask.dispose();
    }
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 30, misses: 30 });
    const gone = maskOf(99);
    check(layer, gone);
    gone.dispose();
    expect(() => layer.forward(toTensor(x), gone))
      .to.throw(Error, /disposed/)
      .with.property('code', 'ERR_DISPOSED');
  });

  it('does not keep a freed mask alive by its own', () => {
    const layer = make();
    const mask = maskOf(1, [L], 'int32');
    const view = mask.detach();
    check(layer, mask);
    mask.dispose();
    check(layer, view);
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 1, misses: 1 });
  });

  it('finds a mask without samples or without channels again', () => {
    const layer = make();
    const multi = new PartialConv1d(0, O, 3, { multiChannel: true, dtype: 'float64', bias: false });
    const [none, empty] = [maskOf(1, [0, 1, L]), maskOf(1, [N, 0, L])];
    for (const _ of [1, 2]) {
      check(layer, none, generate('exact', 1, [0, C, L]));
      expect([...multi.forward(toTensor(generate('exact', 1, [N, 0, L])), empty).shape]).to.deep.equal([N, O, L - 2]);
    }
    expect([layer.maskCache.hits, multi.maskCache.hits]).to.deep.equal([1, 1]);
  });

  it('belongs to one layer', () => {
    const [a, b] = [make(), make()];
    const mask = maskOf(1);
    check(a, mask);
    check(b, mask);
    expect([a.maskCache.misses, b.maskCache.misses]).to.deep.equal([1, 1]);
    a.dispose();
    check(b, mask);
  });

  it('is counted the same for async calls, and not filled by failed ones', async () => {
    const layer = make();
    const mask = maskOf(1);
    const [y] = await layer.forwardAsync(toTensor(x), mask);
    expectSame(y, layer.forward(toTensor(x), mask)[0]);
    expect(hitsAndMisses(layer)).to.deep.equal({ hits: 1, misses: 1 });
    const other = maskOf(2);
    await Promise.all([1, 2, 3].map(() => layer.forwardAsync(toTensor(x), other)));
    const { entries, bytes } = layer.maskCache;
    expect({ entries, bytes }).to.deep.equal({ entries: 2, bytes: 2 * 2 * L * 8 });
    expect(() => layer.forward(rand([N, C + 1, L], { dtype: 'float64' }), maskOf(7))).to.throw(RangeError);
    expect(layer.maskCache.entries).to.equal(entries);
  });
});
