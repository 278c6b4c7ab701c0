// In-place ops: values in every dtype, versions, views, overlapping memory, what is refused while gradients are recorded.
import { expect } from 'chai';
import { type DType, DTypeError, fromBuffer, noGrad, ones, ShapeError, type Tensor, tensor, zeros } from '../../ts';
import { expectTyped } from '../support/typed_errors';

describe('in-place ops', () => {
  it('change the tensor and return it', () => {
    const x = tensor([1, 2, 3]);
    expect(
      x
        .add_(1)
        .sub_(tensor([0, 1, 2]))
        .mul_(tensor(3))
        .div_(2),
    ).to.equal(x);
    expect(x.toArray()).to.deep.equal([3, 3, 3]);
    expect(x.copy_(tensor([7], { dtype: 'int32' })).toArray()).to.deep.equal([7, 7, 7]);
    expect(x.zero_().toArray()).to.deep.equal([0, 0, 0]);
    expect(x.fill_(-0.5).toArray()).to.deep.equal([-0.5, -0.5, -0.5]);
  });

  it('keep the dtype, for every dtype', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128', 'int32', 'uint8', 'bool'] as DType[]) {
      const x = ones([2], { dtype });
      x.add_(x).mul_(ones([2], { dtype }));
      expect(x.dtype).to.equal(dtype);
      const two = dtype === 'bool' ? 1 : 2;
      expect(x.toArray(), dtype).to.deep.equal(
        dtype.startsWith('complex')
          ? [
              { re: 2, im: 0 },
              { re: 2, im: 0 },
            ]
          : [two, two],
      );
      expect(x.fill_(1).toArray(), dtype).to.deep.equal(
        dtype.startsWith('complex')
          ? [
              { re: 1, im: 0 },
              { re: 1, im: 0 },
            ]
          : [1, 1],
      );
    }
    const x = tensor([1, 2]);
    x.add_(tensor([1e-9, 1], { dtype: 'float64' }));
    expect(x.toArray(), 'computed in float64, rounded to float32').to.deep.equal([1, 3]);
    expect(tensor([5], { dtype: 'int32' }).add_(true).item()).to.equal(6);
    expect(
      tensor([{ re: 1, im: 1 }])
        .mul_({ re: 0, im: 1 })
        .toArray(),
    ).to.deep.equal([{ re: -1, im: 1 }]);
  });

  it('raise the version once each, seen by views', () => {
    const x = zeros([4]);
    const view = x.reshape([2, 2]);
    for (const change of [
      () => x.fill_(1),
      () => view.zero_(),
      () => x.add_(1),
      () => x.sub_(1),
      () => x.mul_(2),
      () => x.div_(2),
      () => x.copy_(x),
    ]) {
      const { version } = x.storage;
      change();
      expect(x.storage.version).to.equal(version + 1);
      expect(view.storage.version).to.equal(version + 1);
    }
    expect(view.toArray()).to.deep.equal([
      [0, 0],
      [0, 0],
    ]);
  });

  it('read what overlaps before they write', () => {
    const memory = Float32Array.from({ length: 5000 }, (_, i) => i);
    const [x, y] = [fromBuffer(memory.subarray(1)), fromBuffer(memory.subarray(0, 4999))];
    x.add_(y);
    expect(memory.every((v, i) => v === (i === 0 ? 0 : 2 * i - 1))).to.equal(true);
    const numbers = Float32Array.from({ length: 5000 }, (_, i) => i);
    fromBuffer(numbers.subarray(1)).copy_(fromBuffer(numbers.subarray(0, 4999)));
    expect(numbers.every((v, i) => v === Math.max(0, i - 1))).to.equal(true);
  });

  it('are refused where a gradient would be lost', () => {
    const leaf = zeros([2], { requiresGrad: true });
    const message = 'a leaf tensor that requires grad is being used in an in-place operation (shape [2]); wrap it in noGrad()';
    const changes: [string, (x: Tensor) => unknown][] = [
      ['add_', (x) => x.add_(1)],
      ['sub_', (x) => x.sub_(1)],
      ['mul_', (x) => x.mul_(1)],
      ['div_', (x) => x.div_(1)],
      ['fill_', (x) => x.fill_(1)],
      ['fill_', (x) => x.zero_()],
      ['copy_', (x) => x.copy_(zeros([2]))],
    ];
    for (const [op, change] of changes) {
      const error = expectTyped(() => change(leaf), op);
      expect(error).to.be.instanceOf(DTypeError);
      expect(error.message).to.equal(`${op}: ${message}`);
      expect(expectTyped(() => change(leaf.mul(2))).message).to.contain(
        `${op}: the result of a recorded op is being used in an in-place operation`,
      );
      expect(leaf.storage.version).to.equal(0);
    }
    expect(expectTyped(() => zeros([2]).add_(leaf)).message).to.contain('add_: the right operand requires grad (shape [2])');
    expect(expectTyped(() => zeros([2]).copy_(leaf)).message).to.contain('copy_: the right operand requires grad');
    noGrad(() => leaf.add_(3));
    expect(leaf.toArray()).to.deep.equal([3, 3]);
    expect(leaf.requiresGrad).to.equal(true);
  });

  it('say what does not fit, and then change nothing', () => {
    const x = zeros([2]);
    const int = zeros([2], { dtype: 'int32' });
    const wrong: [() => unknown, typeof ShapeError | typeof DTypeError, string][] = [
      [() => x.add_(zeros([3, 1])), ShapeError, "add_: output with shape [2] doesn't match the broadcast shape [3, 2]"],
      [() => x.copy_(zeros([3, 2])), ShapeError, "copy_: output with shape [2] doesn't match the broadcast shape [3, 2]"],
      [() => x.add_(zeros([3])), ShapeError, 'add_: shapes [2] and [3] cannot be broadcast'],
      [() => x.add_({ re: 0, im: 1 }), DTypeError, "add_: result type complex64 can't be cast to the desired output type float32"],
      [() => int.add_(1.5), DTypeError, "add_: result type float32 can't be cast to the desired output type int32"],
      [() => int.div_(2), DTypeError, "div_: result type float32 can't be cast to the desired output type int32"],
      [() => int.fill_(2 ** 31), DTypeError, 'fill_: 2147483648 cannot be converted to int32 without overflow (-2147483648 to 2147483647)'],
      [() => int.fill_(Number.NaN), DTypeError, 'fill_: NaN cannot be converted to int32 without overflow'],
      [() => x.fill_({ re: 1, im: 2 }), DTypeError, 'fill_: the complex number 1 + 2i cannot be converted to float32'],
      [() => x.fill_('1' as unknown as number), DTypeError, 'fill_: expected a number, a boolean or {re, im}, but got "1"'],
      [() => x.copy_(1 as unknown as Tensor), DTypeError, 'copy_: expected the source to be a tensor, but got 1'],
      [() => x.add_(undefined as unknown as number), DTypeError, 'add_: expected a tensor or a number on the right, but got undefined'],
    ];
    for (const [f, type, message] of wrong) {
      const error = expectTyped(f, message);
      expect(error).to.be.instanceOf(type);
      expect(error.message).to.contain(message);
    }
    expect([x.toArray(), x.storage.version, int.toArray(), int.storage.version]).to.deep.equal([[0, 0], 0, [0, 0], 0]);
  });
});
