// Masks handed from layer to layer: each call makes them anew, and the caches of the layers behind find them again all the same.
import { expect } from 'chai';
import { type DType, MaskedSequential, noGrad, PartialConv1d, ReLU, type Tensor, tidy } from '../../ts';
import { generate } from '../goldens/load';
import * as reference from '../reference';
import { EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

const [N, C, L] = [2, 3, 24];
const x = generate('exact', 1, [N, C, L]);

type Chain = readonly PartialConv1d<true>[];

function makeChain(options: { multiChannel?: boolean; groups?: number; dtype?: DType } = {}): Chain {
  const all = { padding: 1, returnMask: true as const, dtype: 'float64' as DType, ...options };
  return [1, 2, 1].map((dilation) => new PartialConv1d(C, C, 3, { ...all, dilation, padding: dilation }));
}

const maskOf = (seed: number, shape: number[] = [N, 1, L], dtype: DType = 'float64') => toTensor(generate('mask', seed, shape), dtype);

const run = (chain: Chain, mask: Tensor | null, value = toTensor(x, 'float64')): [Tensor, Tensor] =>
  chain.reduce<[Tensor, Tensor | null]>(([y, m], layer) => layer.forward(y, m), [value, mask]) as [Tensor, Tensor];

/** The chain's result for this mask as it is now, checked layer by layer against the reference. */
function check(chain: Chain, mask: Tensor, multiChannel = false): void {
  const [y, updated] = run(chain, mask);
  let expected = { y: x, updatedMask: toValues(mask) };
  for (const layer of chain) {
    const options = { padding: layer.padding[0] as number, dilation: layer.dilation[0] as number, groups: layer.groups, multiChannel };
    expected = reference.partialConv(expected.y, expected.updatedMask, toValues(layer.weight), toValues(layer.bias as Tensor), options);
  }
  expectClose(y, expected.y, toleranceOf('float64'));
  expectClose(updated, expected.updatedMask, EXACT, 'updated');
}

const counts = (chain: Chain) => chain.map(({ maskCache: { hits, misses, entries } }) => [hits, misses, entries]);
const all = <T>(value: T) => [value, value, value];

describe('mask cache of a chain', () => {
  it('finds the masks that the layers hand on again', () => {
    for (const multiChannel of [false, true]) {
      const chain = makeChain({ multiChannel });
      const mask = maskOf(1, multiChannel ? [N, C, L] : [N, 1, L]);
      for (const _ of [1, 2, 3, 4, 5]) check(chain, mask, multiChannel);
      expect(counts(chain)).to.deep.equal(all([4, 1, 1]));
    }
  });

  it('with groups, without a mask, and in one [C, L] too', () => {
    const grouped = makeChain({ multiChannel: true, groups: C });
    const mask = maskOf(1, [1, C, L]);
    for (const _ of [1, 2, 3]) check(grouped, mask, true);
    expect(counts(grouped)).to.deep.equal(all([2, 1, 1]));
    const chain = makeChain();
    for (const _ of [1, 2, 3]) run(chain, null);
    const one = toTensor(generate('exact', 1, [C, L]), 'float64');
    const single = maskOf(2, [L]);
    for (const _ of [1, 2, 3]) run(chain, single, one);
    expect(counts(chain)).to.deep.equal(all([4, 2, 2]));
  });

  it('in a MaskedSequential, asynchronously, and under tidy()', async () => {
    const chain = makeChain();
    const model = new MaskedSequential(...chain.flatMap((layer) => [layer, new ReLU()]));
    const mask = maskOf(1);
    const value = toTensor(x, 'float64');
    const [y, updated] = model.forward(value, mask);
    for (const _ of [1, 2]) tidy(() => void model.forward(value, mask));
    const [later, laterMask] = await model.forwardAsync(value, mask);
    expectSame(later, y);
    expectSame(laterMask as Tensor, updated as Tensor);
    expect(counts(chain)).to.deep.equal(all([3, 1, 1]));
  });

  it('keeps several masks apart', () => {
    const chain = makeChain();
    const masks = [1, 2, 3].map((seed) => maskOf(seed));
    for (const i of [0, 1, 2, 1, 0, 0, 2, 2]) check(chain, masks[i] as Tensor);
    expect(counts(chain)).to.deep.equal(all([5, 3, 3]));
  });

  it('sees every change of the first mask', () => {
    const chain = makeChain();
    const mask = maskOf(1);
    check(chain, mask);
    mask.copy_(maskOf(2));
    check(chain, mask);
    mask.data[3] = 1;
    for (const _ of [1, 2]) check(chain, mask);
    expect(chain.map((layer) => layer.maskCache.hits)).to.deep.equal(all(0));
  });

  it('sees every change of a mask handed on, whoever made it', () => {
    const [first, second] = makeChain() as [PartialConv1d<true>, PartialConv1d<true>];
    const mask = maskOf(1);
    const value = toTensor(x, 'float64');
    const checked = (y: Tensor, m: Tensor) => {
      const expected = reference.partialConv(toValues(y), toValues(m), toValues(second.weight), toValues(second.bias as Tensor), {
        padding: 2,
        dilation: 2,
      });
      expectClose(second.forward(y, m)[0], expected.y, toleranceOf('float64'));
    };
    const changes: ((m: Tensor) => unknown)[] = [
      () => {},
      (m) => m.fill_(0),
      (m) => noGrad(() => m.mul_(0)),
      (m) => m.reshape([N, L]).copy_(maskOf(7, [N, L])),
      (m) => m.detach().data.fill(0, 0, 30),
      (m) => m.data.fill(1),
      () => {},
    ];
    for (const change of changes) {
      const [y, updated] = first.forward(value, mask);
      checked(y, updated);
      change(updated);
      checked(y, updated);
    }
    expect(first.maskCache.misses).to.equal(1);
  });

  it('does not take the rounded copy of a soft mask for the exact one', () => {
    const first = new PartialConv1d(1, 1, 1, { returnMask: true });
    const second = new PartialConv1d(1, 1, 1, { bias: false, returnMask: true });
    const soft = toTensor(reference.values([4], [0.1, 0.3, 0.7, 0.9]), 'float32');
    const one = toTensor(reference.values([1, 4], [1, 1, 1, 1]), 'float32');
    const exact = first.forward(one, soft)[1];
    first.to('float16');
    const rounded = first.forward(one.to('float16'), soft)[1];
    expect(rounded.dtype).to.equal('float16');
    for (const mask of [exact, exact, rounded, rounded, exact])
      expectSame(second.forward(one, mask)[1], mask.to('float32').reshape([1, 4]));
  });

  it('stays bounded with a new mask in each call, and finds one that comes again after them', () => {
    const chain = makeChain();
    const mask = maskOf(1);
    for (let i = 0; i < 100; i++) tidy(() => void run(chain, maskOf(i + 2)));
    const full = chain.map((layer) => layer.maskCache.bytes);
    expect(counts(chain)).to.deep.equal(all([0, 100, 16]));
    for (let i = 0; i < 100; i++) tidy(() => void run(chain, maskOf(i + 200)));
    expect(chain.map((layer) => layer.maskCache.bytes)).to.deep.equal(full);
    for (const _ of [1, 2]) check(chain, mask);
    expect(counts(chain)).to.deep.equal(all([1, 201, 16]));
  });
});
