// The methods of Tensor: each is the function of its name; toArray and item.
import { expect } from 'chai';
import * as partialconv from '../../ts';
import { type DType, ShapeError, Tensor, tensor, zeros } from '../../ts';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

describe('methods', () => {
  it('do what the functions of their names do', () => {
    const x = tensor([
      [0.5, 1.5],
      [2.5, 3.5],
    ]);
    const calls: [string, ...unknown[]][] = [
      ['add', 2],
      ['sub', x],
      ['mul', 3],
      ['div', x],
      ['pow', 2],
      ['neg'],
      ['abs'],
      ['sqrt'],
      ['exp'],
      ['log'],
      ['tanh'],
      ['sigmoid'],
      ['relu'],
      ['sum', 0, { keepDims: true }],
      ['mean', 1],
      ['reshape', [4]],
      ['transpose', 0, 1],
      ['permute', [1, 0]],
      ['slice', 0, 1, 2],
      ['expand', [2, 2, 2]],
      ['squeeze'],
      ['unsqueeze', 0],
      ['flatten'],
      ['clone'],
      ['to', 'float64'],
    ];
    for (const [name, ...args] of calls) {
      const method = (x as unknown as Record<string, (...args: unknown[]) => Tensor>)[name] as (...args: unknown[]) => Tensor;
      const f = (partialconv as unknown as Record<string, (...args: unknown[]) => Tensor>)[name] as (...args: unknown[]) => Tensor;
      expect(method.name).to.equal(name);
      expectSame(method.apply(x, args), f(x, ...args), name);
      expect(Object.keys(x)).to.not.include(name);
    }
  });

  it('called on something else than a tensor are a typed error', () => {
    expect(expectTyped(() => Tensor.prototype.add.call(3 as unknown as Tensor, 1)).message).to.equal(
      'add: expected x to be a tensor, but got 3',
    );
  });
});

describe('toArray', () => {
  it('gives nested arrays of the shape', () => {
    expect(
      tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]).toArray(),
    ).to.deep.equal([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(tensor([[[1]], [[2]]]).toArray()).to.deep.equal([[[1]], [[2]]]);
    expect(tensor(3).toArray()).to.equal(3);
    expect(zeros([2, 0]).toArray()).to.deep.equal([[], []]);
    expect(zeros([0, 2]).toArray()).to.deep.equal([]);
    expect(zeros([1, 1, 1, 1, 1, 1, 1, 1]).toArray()).to.deep.equal([[[[[[[[0]]]]]]]]);
  });

  it('gives numbers for every dtype', () => {
    const expected: Partial<Record<DType, unknown>> = {
      float32: [0, Math.fround(1.1), -3],
      float64: [0, 1.1, -3],
      float16: [0, 1.099609375, -3],
      bfloat16: [0, 1.1015625, -3],
      complex64: [
        { re: 0, im: 0 },
        { re: Math.fround(1.1), im: 0 },
        { re: -3, im: 0 },
      ],
      complex128: [
        { re: 0, im: 0 },
        { re: 1.1, im: 0 },
        { re: -3, im: 0 },
      ],
      int32: [0, 1, -3],
      bool: [0, 1, 1],
    };
    for (const [dtype, values] of Object.entries(expected)) {
      expect(tensor([0, 1.1, -3], { dtype: dtype as DType }).toArray(), dtype).to.deep.equal(values);
    }
    expect(tensor([0, 255], { dtype: 'uint8' }).toArray()).to.deep.equal([0, 255]);
  });

  it('reads a bool of a caller who wrote another byte as 1', () => {
    const bytes = Uint8Array.of(0, 1, 2, 255);
    const x = partialconv.fromBuffer(bytes, [4], 'bool');
    expect(x.toArray()).to.deep.equal([0, 1, 1, 1]);
    expect(x.sum().item()).to.equal(3);
    expect(x.mul(x).toArray()).to.deep.equal([0, 1, 1, 1]);
  });
});

describe('item', () => {
  it('is the one element', () => {
    expect(tensor([[2.5]]).item()).to.equal(2.5);
    expect(tensor([1.5], { dtype: 'bfloat16' }).item()).to.equal(1.5);
    expect(tensor({ re: 1, im: -1 }).item<partialconv.Complex>()).to.deep.equal({ re: 1, im: -1 });
    expect(tensor(true).item()).to.equal(1);
  });

  it('needs exactly one', () => {
    const error = expectTyped(() => tensor([1, 2]).item());
    expect(error).to.be.instanceOf(ShapeError);
    expect(error.message).to.equal('item: a tensor with 2 elements (shape [2]) is not a single number');
    expect(expectTyped(() => zeros([0]).item()).message).to.contain('0 elements');
  });
});
