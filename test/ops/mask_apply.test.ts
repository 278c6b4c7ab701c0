// applyMask, unMask and the select under them.
import { expect } from 'chai';
import { applyMask, type DType, type Tensor, tensor, unMask, zeros } from '../../ts';
import { selectValid } from '../../ts/ops/mask_apply';
import { generate } from '../goldens/load';
import { at, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { changed, decode, expectClose, toleranceOf, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const SHAPE = [2, 3, 5];
const x = generate('exact', 1, SHAPE);

/** Index in a mask [n, c, 5] of element i of x. */
const under = (mask: readonly number[], i: number) => {
  const [n, c] = [Math.floor(i / 15), Math.floor(i / 5) % 3];
  return ((mask[0] === 1 ? 0 : n) * (mask[1] as number) + (mask[1] === 1 ? 0 : c)) * 5 + (i % 5);
};

describe('applyMask, unMask', () => {
  for (const shape of [SHAPE, [2, 1, 5], [1, 3, 5], [1, 1, 5]])
    for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const) {
      it(`soft mask [${shape}], ${dtype}`, () => {
        const mask = generate('soft', 2, shape);
        const m = (i: number) => at(mask.data, under(shape, i));
        const [tx, tm] = [toTensor(x, dtype, true), toTensor(mask, dtype)];
        const applied = changed(x, (v, i) => v * m(i));
        expectClose(applyMask(tx, tm), applied, toleranceOf(dtype));
        expectClose(
          unMask(tx, tm, 0.25),
          changed(x, (v, i) => v / (m(i) + 0.25)),
          { rtol: 2 ** -8, atol: 1e-6 },
        );
        expectClose(
          selectValid('test', tx, tm),
          changed(x, (v, i) => (m(i) === 0 ? 0 : v)),
          toleranceOf(dtype),
        );
        const dy = generate('exact', 3, SHAPE);
        applyMask(tx, tm).backward(toTensor(dy, dtype));
        expectClose(
          tx.grad as Tensor,
          changed(dy, (v, i) => v * m(i)),
          toleranceOf(dtype),
          'dx',
        );
      });
    }

  it('masks of every dtype, short forms, spaces of two dimensions', () => {
    const mask = generate('mask', 2, [2, 1, 5]);
    const expected = changed(x, (v, i) => v * at(mask.data, under([2, 1, 5], i)));
    for (const dtype of ['bool', 'uint8', 'int32', 'float16', 'bfloat16', 'float32', 'float64'] as DType[]) {
      for (const shape of [
        [2, 1, 5],
        [2, 5],
      ])
        expectClose(applyMask(toTensor(x), toTensor({ ...mask, shape }, dtype)), expected, toleranceOf('float64'));
    }
    expect(
      applyMask(
        tensor([
          [
            [
              [1, 2],
              [3, 4],
            ],
          ],
        ]),
        tensor([
          [0, 1],
          [1, 0],
        ]),
      ).toArray(),
    ).to.deep.equal([
      [
        [
          [0, 2],
          [3, 0],
        ],
      ],
    ]);
  });

  it('gradients by finite differences', () => {
    const mask = toTensor(generate('soft', 2, [2, 1, 5]));
    checkGradients(([t]) => applyMask(t as Tensor, mask), [x]);
    checkGradients(([t]) => unMask(t as Tensor, mask, 0.5), [x]);
    checkGradients(([t]) => selectValid('test', t as Tensor, mask), [x]);
  });

  it('NaN and infinity in holes are gone, forward and backward', () => {
    const dirty = tensor([[[1, Number.NaN, Number.POSITIVE_INFINITY, 4]]], { requiresGrad: true });
    const mask = tensor([1, 0, 0, 0.5]);
    const y = applyMask(dirty, mask);
    expect(y.toArray()).to.deep.equal([[[1, 0, 0, 2]]]);
    y.backward(tensor([[[1, Number.NaN, 3, 4]]]));
    expect((dirty.grad as Tensor).toArray()).to.deep.equal([[[1, 0, 0, 2]]]);
    expect(selectValid('test', dirty, mask).toArray()).to.deep.equal([[[1, 0, 0, 4]]]);
  });

  it('unMask is 0 where nothing is left to divide by, and finite in float16', () => {
    expect(unMask(tensor([[3, 4]]), tensor([[0, 2]]), 0).toArray()).to.deep.equal([[0, 2]]);
    const y = unMask(toTensor(values([1, 3], [0, 0, 2]), 'float16'), toTensor(values([1, 3], [0, 1, 1]), 'float16'));
    expect([...decode(y.readSync(), 'float16')]).to.deep.equal([0, 0, 2]);
    expect(unMask(tensor([[2]]), tensor([[0]])).item()).to.be.closeTo(2e8, 100);
  });

  it('rejects what does not fit', () => {
    const message = (call: () => unknown) => expectTyped(call).message;
    expect(message(() => applyMask(zeros([3]), zeros([3])))).to.equal('applyMask: expected x [N, C, ...], but got x [3]');
    expect(message(() => applyMask(zeros([2, 3, 4]), zeros([2, 2, 4])))).to.include('applyMask: for x [2, 3, 4] expected a mask of shape');
    expect(message(() => applyMask(zeros([2, 3], { dtype: 'bool' }), zeros([2, 3])))).to.include('expected x of real floating-point dtype');
    expect(message(() => unMask(zeros([2, 3]), zeros([2, 3]), -1))).to.equal(
      'unMask: expected eps to be a finite number of at least 0, but got -1',
    );
    expect(message(() => unMask(zeros([2, 3]), [1] as unknown as Tensor))).to.equal('unMask: expected mask to be a tensor, but got [1]');
  });
});
