// zeros, ones, full, arange, their relatives and options: values, dtypes, messages. rand and randn: test/ops/random.test.ts.
import { expect } from 'chai';
import { arange, BackendError, type DType, DTypeError, full, ones, onesLike, rand, ShapeError, tensor, zeros, zerosLike } from '../ts';
import { expectTyped } from './support/typed_errors';

const DTYPES: readonly DType[] = ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128', 'int32', 'uint8', 'bool'];
const number = (dtype: DType, value: number) => (dtype.startsWith('complex') ? { re: value, im: 0 } : value);

describe('zeros, ones and full', () => {
  it('have the value in every dtype, float32 by default', () => {
    for (const dtype of DTYPES) {
      expect(zeros([2], { dtype }).toArray(), dtype).to.deep.equal([number(dtype, 0), number(dtype, 0)]);
      expect(ones([2], { dtype }).toArray(), dtype).to.deep.equal([number(dtype, 1), number(dtype, 1)]);
      expect(full([1], true, { dtype }).toArray(), dtype).to.deep.equal([number(dtype, 1)]);
    }
    expect(zeros([]).toArray()).to.equal(0);
    expect(zeros(3).shape).to.deep.equal([3]);
    expect(ones([2, 0, 3]).size).to.equal(0);
    expect([full(2, 0.5).dtype, full(2, true).dtype, full(2, { re: 1, im: 1 }).dtype]).to.deep.equal(['float32', 'bool', 'complex64']);
    expect(full([2], 7.9, { dtype: 'uint8' }).toArray(), 'fractions are dropped').to.deep.equal([7, 7]);
  });

  it('take the options of all creators', () => {
    const x = zeros([2], { type: 'float64', device: 'cpu', requires_grad: true } as object);
    expect([x.dtype, x.device, x.requiresGrad, x.isLeaf]).to.deep.equal(['float64', 'cpu', true, true]);
    expect(zeros([1], { dtype: undefined, requiresGrad: undefined }).requiresGrad).to.equal(false);
  });

  it('zerosLike and onesLike copy shape and dtype', () => {
    const x = tensor([[1, 2]], { dtype: 'int32' });
    expect([zerosLike(x).toArray(), zerosLike(x).dtype]).to.deep.equal([[[0, 0]], 'int32']);
    expect([onesLike(x, { dtype: 'bool' }).toArray(), onesLike(x, { dtype: 'bool' }).dtype]).to.deep.equal([[[1, 1]], 'bool']);
    expect(expectTyped(() => onesLike([1] as never)).message).to.equal('onesLike: expected x to be a tensor, but got [1]');
  });

  it('say what does not fit', () => {
    const messages: [() => unknown, typeof ShapeError | typeof DTypeError, string][] = [
      [() => zeros([-1]), ShapeError, 'zeros: expected a shape of at most 8 non-negative integers, but got [-1]'],
      [() => zeros([1.5]), ShapeError, 'but got [1.5]'],
      [() => zeros([Number.NaN]), ShapeError, 'but got [NaN]'],
      [() => zeros(['2'] as never), ShapeError, 'but got ["2"]'],
      [() => zeros('2' as never), ShapeError, 'but got "2"'],
      [() => zeros(undefined as never), ShapeError, 'but got undefined'],
      [() => zeros([1, 1, 1, 1, 1, 1, 1, 1, 1]), ShapeError, 'at most 8'],
      [() => zeros([2 ** 27, 2 ** 27]), ShapeError, 'zeros: a tensor of shape [134217728, 134217728] has too many elements'],
      [() => zeros([2 ** 40, 2 ** 40, 0]), ShapeError, 'has too many elements'],
      [() => zeros([2 ** 53]), ShapeError, 'zeros: expected a shape'],
      [() => ones([2], { dtype: 'float' as DType }), DTypeError, 'ones: expected a dtype (float32, '],
      [() => ones([2], { dtpe: 'float32' } as object), ShapeError, 'ones: unknown option "dtpe"; did you mean "dtype"?'],
      [() => ones([2], { dims: [3] } as object), ShapeError, 'ones: unknown option "dims"'],
      [() => ones([2], { dtype: 'float32', type: 'float64' }), ShapeError, 'ones: option "dtype" is given twice'],
      [
        () => zeros([2], { dtype: 'int32', requiresGrad: true }),
        DTypeError,
        'only tensors of floating point and complex dtype can require gradients',
      ],
      [() => zeros([2], { requiresGrad: 1 as never }), DTypeError, 'requiresGrad: expected a boolean, but got 1'],
      [() => full([2], 300, { dtype: 'uint8' }), DTypeError, 'full: 300 cannot be converted to uint8 without overflow (0 to 255)'],
      [
        () => full([2], { re: 0, im: 1 }, { dtype: 'float32' }),
        DTypeError,
        'full: the complex number 0 + 1i cannot be converted to float32',
      ],
      [() => full([2], 'a' as never), DTypeError, 'full: expected a number, a boolean or {re, im}, but got "a"'],
      [() => full([2], null as never), DTypeError, 'but got null'],
      [() => full([2], 1n as never), DTypeError, 'but got 1n'],
    ];
    for (const [f, type, message] of messages) {
      const error = expectTyped(f, message);
      expect(error, message).to.be.instanceOf(type);
      expect(error.message).to.contain(message);
    }
    expect(expectTyped(() => zeros([2], { device: 'cuda:99' })).code).to.equal('ERR_DEVICE');
    expect(expectTyped(() => zeros([2], { device: 'gpu' as never })).message).to.contain('device: expected');
  });

  it('report memory that cannot be had, and go on', () => {
    for (const f of [() => zeros([2 ** 50]), () => rand([2 ** 49], { dtype: 'float64' }), () => full(2 ** 51, 1, { dtype: 'uint8' })]) {
      const error = expectTyped(f);
      expect(error).to.be.instanceOf(BackendError);
      expect(error.message).to.match(/: out of memory: \d+ elements of \w+ \(\d+ bytes\) cannot be allocated/);
    }
    expect(zeros([2]).toArray()).to.deep.equal([0, 0]);
  });
});

describe('arange', () => {
  it('counts', () => {
    expect(arange(3).toArray()).to.deep.equal([0, 1, 2]);
    expect(arange(1, 4).toArray()).to.deep.equal([1, 2, 3]);
    expect(arange(5, 0, -2).toArray()).to.deep.equal([5, 3, 1]);
    expect(arange(0, 1, 0.25, { dtype: 'float64' }).toArray()).to.deep.equal([0, 0.25, 0.5, 0.75]);
    expect(arange(3, { dtype: 'int32' }).toArray()).to.deep.equal([0, 1, 2]);
    expect(arange(0, 2, { dtype: 'complex64' }).toArray()).to.deep.equal([
      { re: 0, im: 0 },
      { re: 1, im: 0 },
    ]);
    expect(arange(0).shape).to.deep.equal([0]);
    expect(arange(2, 2).dtype).to.equal('float32');
    expect(arange(0, 1, 2 ** -10).size).to.equal(1024);
  });

  it('says what does not fit', () => {
    const messages: [() => unknown, string][] = [
      [() => arange(0, 5, 0), 'arange: step must be nonzero'],
      [() => arange(0, 5, -1), 'arange: upper bound and lower bound inconsistent with step sign: start 0, end 5, step -1'],
      [() => arange(-1), 'inconsistent with step sign'],
      [() => arange(Number.NaN), 'arange: expected finite numbers, but got NaN'],
      [() => arange(0, Number.POSITIVE_INFINITY), 'arange: expected finite numbers'],
      [() => (arange as () => unknown)(), 'arange: expected (end), (start, end) or (start, end, step) and options, but got nothing'],
      [() => arange('3' as never), 'but got "3"'],
      [() => (arange as (...args: unknown[]) => unknown)(0, '3', 1), 'but got 0, "3", 1'],
      [() => (arange as (...args: unknown[]) => unknown)(0, 1, 2, 3), 'but got 0, 1, 2, 3'],
      [() => arange(0, 2, 0.5, { dtype: 'int32' }), 'arange: int32 has no fractions, but got start 0 and step 0.5'],
      [() => arange(0, 300, { dtype: 'uint8' }), 'arange: 299 cannot be converted to uint8 without overflow'],
      [() => arange(0, 1e300, 1e-300), 'arange: expected a shape'],
    ];
    for (const [f, message] of messages) expect(expectTyped(f, message).message).to.contain(message);
  });
});
