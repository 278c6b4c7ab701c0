// Shapes: reshape, permute, slice, concat and the like: values, shared memory, gradients, messages.
import { expect } from 'chai';
import {
  arange,
  clone,
  concat,
  expand,
  flatten,
  permute,
  reshape,
  ShapeError,
  slice,
  squeeze,
  type Tensor,
  tensor,
  transpose,
  unsqueeze,
  zeros,
} from '../../ts';
import { generate } from '../goldens/load';
import { checkGradients } from '../support/finite_differences';
import { expectTyped } from '../support/typed_errors';

const counted = (shape: number[]) => arange(shape.reduce((a, b) => a * b, 1)).reshape(shape);

describe('reshape and its relatives', () => {
  it('keep order and memory', () => {
    const x = counted([2, 6]);
    for (const y of [x.reshape([3, 4]), x.flatten(), x.unsqueeze(0), x.squeeze(), x.reshape([-1, 2])]) {
      expect(y.storage).to.equal(x.storage);
      expect(y.readSync()).to.deep.equal(x.readSync());
    }
    expect(x.reshape([-1, 2]).shape).to.deep.equal([6, 2]);
    expect(zeros([0, 3]).reshape([-1, 3]).shape).to.deep.equal([0, 3]);
    expect(tensor(5).reshape([1, 1]).shape).to.deep.equal([1, 1]);
    expect(tensor([5]).reshape([]).toArray()).to.equal(5);
  });

  it('squeeze, unsqueeze and flatten as PyTorch', () => {
    const x = zeros([1, 3, 1, 2]);
    expect(squeeze(x).shape).to.deep.equal([3, 2]);
    expect(squeeze(x, 0).shape).to.deep.equal([3, 1, 2]);
    expect(squeeze(x, -2).shape).to.deep.equal([1, 3, 2]);
    expect(squeeze(x, 1).shape).to.deep.equal([1, 3, 1, 2]);
    expect(unsqueeze(zeros([2, 3]), -1).shape).to.deep.equal([2, 3, 1]);
    expect(unsqueeze(zeros([2, 3]), 2).shape).to.deep.equal([2, 3, 1]);
    expect(unsqueeze(tensor(1), 0).shape).to.deep.equal([1]);
    expect(flatten(x, 1, 2).shape).to.deep.equal([1, 3, 2]);
    expect(flatten(x, 1).shape).to.deep.equal([1, 6]);
    expect(flatten(tensor(1)).shape).to.deep.equal([1]);
  });

  it('say what does not fit', () => {
    const x = zeros([2, 3]);
    const messages: [() => unknown, string][] = [
      [() => reshape(x, [4, 2]), 'reshape: shape [4, 2] is invalid for x [2, 3] of 6 elements'],
      [() => reshape(x, [4, -1]), 'reshape: shape [4, -1] is invalid for x [2, 3] of 6 elements'],
      [() => reshape(x, [0, -1]), 'reshape: shape [0, -1] is invalid for x [2, 3] of 6 elements'],
      [() => reshape(x, [-1, -1]), 'reshape: only one dimension can be inferred, but got [-1, -1]'],
      [() => reshape(x, [1.5, -1]), 'reshape: expected a shape of at most 8 non-negative integers, but got [1.5, 1]'],
      [() => reshape(x, 6 as unknown as number[]), 'reshape: expected a shape of at most 8 non-negative integers, but got 6'],
      [() => squeeze(x, 2), 'squeeze: Dimension out of range (expected to be in range of [-2, 1], but got 2): the shape is [2, 3]'],
      [() => unsqueeze(x, 3), 'unsqueeze: Dimension out of range (expected to be in range of [-3, 2], but got 3): the shape is [2, 3]'],
      [() => unsqueeze(zeros([1, 1, 1, 1, 1, 1, 1, 1]), 0), 'unsqueeze: expected a shape of at most 8'],
      [() => flatten(x, 1, 0), 'flatten: start 1 comes after end 0 in the shape [2, 3]'],
    ];
    for (const [f, message] of messages) {
      const error = expectTyped(f, message);
      expect(error).to.be.instanceOf(ShapeError);
      expect(error.message).to.contain(message);
    }
  });
});

describe('permute and transpose', () => {
  it('copy, with the dimensions in their new order', () => {
    const x = counted([2, 3, 2]);
    expect(permute(x, [2, 0, 1]).toArray()).to.deep.equal([
      [
        [0, 2, 4],
        [6, 8, 10],
      ],
      [
        [1, 3, 5],
        [7, 9, 11],
      ],
    ]);
    expect(transpose(x, 0, -1).shape).to.deep.equal([2, 3, 2]);
    expect(transpose(counted([2, 2]), 0, 1).toArray()).to.deep.equal([
      [0, 2],
      [1, 3],
    ]);
    expect(transpose(x, 1, 1).toArray()).to.deep.equal(x.toArray());
    expect(transpose(x, 0, 1).storage).to.not.equal(x.storage);
    expect(permute(tensor(4), []).toArray()).to.equal(4);
  });

  it('say what does not fit', () => {
    const x = zeros([2, 3]);
    expect(expectTyped(() => permute(x, [0])).message).to.equal('permute: expected 2 dimensions for x [2, 3], but got [0]');
    expect(expectTyped(() => permute(x, [0, 0])).message).to.equal('permute: duplicate dims are not allowed, but got [0, 0]');
    expect(expectTyped(() => permute(x, [0, 2])).message).to.contain('permute: Dimension out of range');
    expect(expectTyped(() => transpose(x, 0, 2)).message).to.contain('transpose: Dimension out of range');
    expect(expectTyped(() => transpose(x, 0, undefined as unknown as number)).message).to.contain('but got undefined');
  });
});

describe('slice', () => {
  it('takes start, end and step along one dimension', () => {
    const x = counted([3, 4]);
    expect(slice(x, 0, 1).toArray()).to.deep.equal([
      [4, 5, 6, 7],
      [8, 9, 10, 11],
    ]);
    expect(slice(x, 1, 1, 3).toArray()).to.deep.equal([
      [1, 2],
      [5, 6],
      [9, 10],
    ]);
    expect(slice(x, 1, 0, undefined, 3).toArray()).to.deep.equal([
      [0, 3],
      [4, 7],
      [8, 11],
    ]);
    expect(slice(x, -1, -3, -1).toArray()).to.deep.equal([
      [1, 2],
      [5, 6],
      [9, 10],
    ]);
    expect(slice(x, 0, -100, 100).toArray()).to.deep.equal(x.toArray());
    expect(slice(x, 0, 2, 1).shape).to.deep.equal([0, 4]);
    expect(slice(x, 0, 5).shape).to.deep.equal([0, 4]);
    expect(slice(x, 0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY).shape).to.deep.equal([3, 4]);
    expect(slice(x, 0).storage).to.not.equal(x.storage);
  });

  it('says what does not fit', () => {
    const x = zeros([3]);
    expect(expectTyped(() => slice(x, 1)).message).to.contain('slice: Dimension out of range');
    expect(expectTyped(() => slice(x, 0, 0, 2, 0)).message).to.equal('slice: expected a step of at least 1, but got 0');
    expect(expectTyped(() => slice(x, 0, 0, 2, -1)).message).to.equal('slice: expected a step of at least 1, but got -1');
    expect(expectTyped(() => slice(x, 0, 0.5)).message).to.equal('slice: expected start to be an integer, but got 0.5');
    expect(expectTyped(() => slice(x, 0, 0, Number.NaN)).message).to.equal('slice: expected end to be an integer, but got NaN');
    expect(expectTyped(() => slice(tensor(1), 0)).message).to.equal('slice: a tensor without dimensions cannot be sliced');
  });
});

describe('concat', () => {
  it('puts tensors one after the other, in the promoted dtype', () => {
    const [a, b] = [counted([2, 2]), counted([2, 1])];
    expect(concat([a, b], 1).toArray()).to.deep.equal([
      [0, 1, 0],
      [2, 3, 1],
    ]);
    expect(concat([a, a], -2).shape).to.deep.equal([4, 2]);
    expect(a.concat(b, 1).toArray()).to.deep.equal(concat([a, b], 1).toArray());
    expect(a.concat([a, a]).shape).to.deep.equal([6, 2]);
    expect(concat([zeros([0, 2]), a]).toArray()).to.deep.equal(a.toArray());
    const mixed = concat([tensor([1], { dtype: 'int32' }), tensor([true]), tensor([0.5], { dtype: 'float16' })]);
    expect([mixed.dtype, mixed.toArray()]).to.deep.equal(['float16', [1, 1, 0.5]]);
  });

  it('says what does not fit', () => {
    const x = zeros([2, 3]);
    expect(expectTyped(() => concat([])).message).to.equal('concat: expected a non-empty array of tensors, but got []');
    expect(expectTyped(() => concat(x as unknown as Tensor[])).message).to.contain('expected a non-empty array of tensors');
    expect(expectTyped(() => concat([x, 1 as unknown as Tensor])).message).to.equal('concat: expected tensor 1 to be a tensor, but got 1');
    expect(expectTyped(() => concat([x, zeros([2, 2])])).message).to.equal(
      'concat: Sizes of tensors must match except in dimension 0, but tensor 0 is [2, 3] and tensor 1 is [2, 2]',
    );
    expect(expectTyped(() => concat([x, zeros([2])])).message).to.contain('tensor 1 is [2]');
    expect(expectTyped(() => concat([x], 2)).message).to.contain('concat: Dimension out of range');
    expect(expectTyped(() => concat([tensor(1)])).message).to.contain('tensors without dimensions cannot be concatenated');
  });
});

describe('expand and clone', () => {
  it('repeat and copy', () => {
    expect(expand(counted([2, 1]), [3, 2, 2]).toArray()).to.deep.equal([
      [
        [0, 0],
        [1, 1],
      ],
      [
        [0, 0],
        [1, 1],
      ],
      [
        [0, 0],
        [1, 1],
      ],
    ]);
    expect(expand(counted([2, 1]), [-1, 3]).shape).to.deep.equal([2, 3]);
    expect(expand(tensor(7), [2]).toArray()).to.deep.equal([7, 7]);
    expect(expand(zeros([1]), [0]).shape).to.deep.equal([0]);
    const x = counted([2]);
    expect(expand(x, [2])).to.equal(x);
    const copy = clone(x);
    copy.fill_(9);
    expect(x.toArray()).to.deep.equal([0, 1]);
  });

  it('say what does not fit', () => {
    expect(expectTyped(() => expand(zeros([2]), [3])).message).to.equal(
      'expand: The expanded size (3) must match the existing size (2) at non-singleton dimension 0: x [2], shape [3]',
    );
    expect(expectTyped(() => expand(zeros([2, 1]), [2])).message).to.equal('expand: x [2, 1] has more dimensions than the shape [2]');
    expect(expectTyped(() => expand(zeros([2]), [-1, 2])).message).to.contain('expand: expected a shape');
    expect(expectTyped(() => expand(zeros([1]), [2 ** 40, 2 ** 40])).message).to.contain('has too many elements');
  });
});

describe('gradients through shapes', () => {
  const cases: Readonly<Record<string, (x: Tensor) => Tensor>> = {
    reshape: (x) => reshape(x, [3, -1]),
    flatten: (x) => flatten(x, 0, 1),
    squeeze: (x) => squeeze(unsqueeze(x, 1)),
    permute: (x) => permute(x, [1, 2, 0]),
    transpose: (x) => transpose(x, 0, 2),
    slice: (x) => slice(x, 1, 1, undefined, 2),
    'slice of nothing': (x) => slice(x, 1, 2, 2),
    expand: (x) => expand(unsqueeze(x, 0), [2, -1, -1, -1]),
    clone: (x) => clone(x),
    'concat with itself': (x) => concat([x, x.mul(2), x], 1),
    detour: (x) => transpose(reshape(transpose(x, 0, 1), [2, 6]), 0, 1),
  };
  for (const [name, f] of Object.entries(cases)) {
    it(name, () => {
      checkGradients(([x]) => f(x as Tensor), [generate('fine', 1, [2, 3, 2])]);
      checkGradients(([x]) => f(x as Tensor), [generate('fine', 2, [2, 3, 2], true)]);
    });
  }

  it('concat gives each input its part, in its dtype', () => {
    const [a, b] = [tensor([1, 2], { requiresGrad: true }), tensor([3], { dtype: 'float64', requiresGrad: true })];
    concat([a, b, tensor([4])]).backward(tensor([1, 2, 3, 4], { dtype: 'float64' }));
    expect([a.grad?.dtype, a.grad?.toArray()]).to.deep.equal(['float32', [1, 2]]);
    expect([b.grad?.dtype, b.grad?.toArray()]).to.deep.equal(['float64', [3]]);
  });
});
