// tensor(): every kind of data, dtypes, shapes, memory that is gone, messages.
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { DisposedError, type DType, DTypeError, ShapeError, tensor, zeros } from '../ts';
import { expectTyped } from './support/typed_errors';
import { detached, expectAll } from './support/wrong_calls';

describe('tensor of numbers and nested arrays', () => {
  it('has the shape of the arrays', () => {
    expect(tensor(2.5).shape).to.deep.equal([]);
    expect(tensor([]).shape).to.deep.equal([0]);
    expect(tensor([[], []]).shape).to.deep.equal([2, 0]);
    expect(tensor([[[1], [2]]]).shape).to.deep.equal([1, 2, 1]);
    expect(tensor([[[[[[[[1, 2]]]]]]]]).shape).to.deep.equal([1, 1, 1, 1, 1, 1, 1, 2]);
    expect(tensor([1, 2, 3, 4], { shape: [2, 2] }).toArray()).to.deep.equal([
      [1, 2],
      [3, 4],
    ]);
    expect(
      tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { dims: [4] },
      ).toArray(),
    ).to.deep.equal([1, 2, 3, 4]);
    expect(tensor([7], { shape: [] }).toArray()).to.equal(7);
    expect(tensor([1, 2], { shape: 2 }).shape).to.deep.equal([2]);
    expect(tensor([Float32Array.of(1, 2), [3, 4]]).toArray(), 'typed rows').to.deep.equal([
      [1, 2],
      [3, 4],
    ]);
  });

  it('has the dtype of the values', () => {
    expect(tensor([1, 2.5]).dtype).to.equal('float32');
    expect(tensor([true, false]).dtype).to.equal('bool');
    expect(tensor(false).dtype).to.equal('bool');
    expect(tensor([true, 2]).toArray()).to.deep.equal([1, 2]);
    expect(tensor([true, 2]).dtype).to.equal('float32');
    expect(tensor([]).dtype).to.equal('float32');
    const z = tensor([1, { re: 2, im: 3 }, true]);
    expect([z.dtype, z.toArray()]).to.deep.equal([
      'complex64',
      [
        { re: 1, im: 0 },
        { re: 2, im: 3 },
        { re: 1, im: 0 },
      ],
    ]);
    expect(tensor([[1, -1.9]], { dtype: 'int32' }).toArray()).to.deep.equal([[1, -1]]);
    expect(tensor([0, 0.5, Number.NaN], { dtype: 'bool' }).toArray()).to.deep.equal([0, 1, 1]);
    expect(tensor([1, 2], { type: 'complex128' }).toArray()).to.deep.equal([
      { re: 1, im: 0 },
      { re: 2, im: 0 },
    ]);
    expect(tensor([Number.NaN, Number.NEGATIVE_INFINITY, -0]).toArray()).to.deep.equal([Number.NaN, Number.NEGATIVE_INFINITY, -0]);
    expect(tensor([1], { requiresGrad: true }).requiresGrad).to.equal(true);
  });

  it('says where rows differ and what is no number', () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    expectAll([
      [() => tensor([[1, 2], [3]]), ShapeError, 'tensor: ragged array: expected an array of length 2 at data[1], but got one of length 1'],
      [() => tensor([[1, 2], 3]), ShapeError, 'tensor: ragged array: expected an array of length 2 at data[1], but got 3'],
      [() => tensor([1, [2]]), ShapeError, 'tensor: ragged array: expected a number at data[1], but got an array of length 1'],
      [
        () =>
          tensor([
            [[1], [2]],
            [[3], [4, 5]],
          ]),
        ShapeError,
        'at data[1][1], but got one of length 2',
      ],
      [() => tensor([[], [1]]), ShapeError, 'expected an array of length 0 at data[1]'],
      [() => tensor(cyclic as number[]), ShapeError, 'tensor: expected at most 8 nested levels of arrays'],
      [() => tensor([1, null] as never), DTypeError, 'but got null at data[1]; write a missing value as NaN'],
      [() => tensor(new Array(2).fill(1, 0, 1)), DTypeError, 'but got undefined at data[1]; write a missing value as NaN'],
      [() => tensor([['a']] as never), DTypeError, 'tensor: expected numbers, booleans or {re, im}, but got "a" at data[0][0]'],
      [() => tensor([1n] as never), DTypeError, 'but got 1n at data[0]'],
      [() => tensor([{ re: 1 }] as never), DTypeError, 'but got an object (Object) at data[0]'],
      [() => tensor([zeros([1])] as never), DTypeError, 'but got a float32 tensor of shape [1] at data[0]'],
      [() => tensor([1, 2, 3], { shape: [2, 2] }), ShapeError, 'tensor: shape [2, 2] has 4 elements, but the data [3] has 3'],
      [() => tensor([1], { shape: [-1] }), ShapeError, 'tensor: expected a shape of at most 8 non-negative integers, but got [-1]'],
      [() => tensor([300], { dtype: 'uint8' }), DTypeError, 'tensor: 300 cannot be converted to uint8 without overflow (0 to 255)'],
      [() => tensor([Number.NaN], { dtype: 'int32' }), DTypeError, 'tensor: NaN cannot be converted to int32 without overflow'],
      [() => tensor([{ re: 1, im: 0 }], { dtype: 'float32' }), DTypeError, 'tensor: complex numbers cannot be converted to float32'],
      [() => tensor([1], { dtype: 'int32', requiresGrad: true }), DTypeError, 'can require gradients'],
      [() => tensor([1], { shpe: [1] } as object), ShapeError, 'tensor: unknown option "shpe"; did you mean "shape"?'],
      [() => tensor([1], [1] as never), ShapeError, 'tensor: expected an options object, but got [1]'],
      [() => tensor([1], { shape: [1], dims: [1] }), ShapeError, 'tensor: option "shape" is given twice'],
    ]);
    for (const wrong of [undefined, null, 'a', 1n, {}, () => 1, Symbol('s'), new Map(), new ArrayBuffer(4), new Date()]) {
      expect(
        expectTyped(() => tensor(wrong as never)),
        String(wrong),
      ).to.be.instanceOf(DTypeError);
    }
  });
});

describe('tensor of typed arrays', () => {
  it('copies, in the dtype of the array', () => {
    const cases: [ArrayBufferView, DType, number[]][] = [
      [Float32Array.of(1.5, -2), 'float32', [1.5, -2]],
      [Float64Array.of(1.1), 'float64', [1.1]],
      [Int32Array.of(-7), 'int32', [-7]],
      [Int8Array.of(-128, 127), 'int32', [-128, 127]],
      [Int16Array.of(-32768), 'int32', [-32768]],
      [Uint8Array.of(255), 'uint8', [255]],
      [Uint8ClampedArray.of(255, 3), 'uint8', [255, 3]],
      [Buffer.from([1, 2]), 'uint8', [1, 2]],
      [Uint32Array.of(2 ** 31 - 1), 'int32', [2 ** 31 - 1]],
      [BigInt64Array.of(-(2n ** 31n), 5n), 'int32', [-(2 ** 31), 5]],
      [BigUint64Array.of(5n), 'int32', [5]],
      [new Float32Array(0), 'float32', []],
      [new Float32Array(Float32Array.of(1, 2, 3, 4).buffer, 4, 2), 'float32', [2, 3]],
    ];
    for (const [array, dtype, expected] of cases) {
      const t = tensor(array);
      expect([t.dtype, t.toArray()]).to.deep.equal([dtype, expected]);
    }
    const array = Float32Array.of(1, 2);
    const t = tensor(array);
    array[0] = 9;
    expect(t.toArray()).to.deep.equal([1, 2]);
    expect(t.storage.shared).to.equal(false);
  });

  it('converts where a dtype is given; 16-bit floats come as bits, complex numbers interleaved', () => {
    expect(tensor(Float64Array.of(1.9, -300), { dtype: 'uint8' }).toArray()).to.deep.equal([1, 0]);
    expect(tensor(Uint8Array.of(0, 2), { dtype: 'bool' }).toArray()).to.deep.equal([0, 1]);
    expect(tensor(Uint16Array.of(0x3c00, 0xc000), { dtype: 'float16' }).toArray()).to.deep.equal([1, -2]);
    expect(tensor(Uint16Array.of(0x3f80), { dtype: 'bfloat16' }).toArray()).to.deep.equal([1]);
    expect(tensor(Float32Array.of(1, 2), { dtype: 'float16' }).toArray()).to.deep.equal([1, 2]);
    expect(tensor(Float32Array.of(1, 2, 3, 4), { dtype: 'complex64' }).toArray()).to.deep.equal([
      { re: 1, im: 2 },
      { re: 3, im: 4 },
    ]);
    expect(tensor(Float32Array.of(1, 2), { dtype: 'complex128' }).toArray()).to.deep.equal([{ re: 1, im: 2 }]);
    expect(tensor(Int32Array.of(1, 2), { dtype: 'complex64' }).toArray()).to.deep.equal([
      { re: 1, im: 0 },
      { re: 2, im: 0 },
    ]);
    expect(tensor(new Float32Array(new SharedArrayBuffer(8))).toArray(), 'shared memory is copied').to.deep.equal([0, 0]);
    expect(tensor(runInNewContext('Float32Array.of(5, 6)') as Float32Array).toArray(), "another realm's").to.deep.equal([5, 6]);
  });

  it('says what does not fit', () => {
    expectAll([
      [
        () => tensor(Uint16Array.of(1)),
        DTypeError,
        "tensor: a Uint16Array holds bit patterns of dtype 'float16' or 'bfloat16', but the dtype is undefined",
      ],
      [() => tensor(Uint16Array.of(1), { dtype: 'int32' }), DTypeError, 'but the dtype is "int32"'],
      [() => tensor(BigInt64Array.of(2n ** 31n)), DTypeError, 'tensor: 2147483648 cannot be converted to int32 without overflow'],
      [() => tensor(Uint32Array.of(2 ** 31)), DTypeError, 'cannot be converted to int32'],
      [() => tensor(new DataView(new ArrayBuffer(4))), DTypeError, 'tensor: expected a typed array, but got an object (DataView)'],
      [
        () => tensor(new Float32Array(3), { dtype: 'complex64' }),
        ShapeError,
        'tensor: complex numbers take two elements each (re, im), but the Float32Array has 3',
      ],
      [
        () => tensor(new Float32Array(6), { dtype: 'complex64', shape: [6] }),
        ShapeError,
        'shape [6] has 6 elements, but the data [3] has 3 complex numbers',
      ],
      [() => tensor(detached()), DisposedError, 'tensor: the buffer of the Float32Array was detached or shrunk'],
    ]);
  });
});

describe('tensor of other tensors', () => {
  it('reads {data, dims} by its own type', () => {
    expect(tensor({ data: Float32Array.of(1, 2), dims: [1, 2], type: 'float32' }).toArray()).to.deep.equal([[1, 2]]);
    expect(tensor({ data: BigInt64Array.of(3n), dims: [1], type: 'int64' }).dtype).to.equal('int32');
    expect(tensor({ data: Uint8Array.of(0, 1), dims: [2], type: 'bool' }).dtype).to.equal('bool');
    expect(tensor({ data: Uint16Array.of(0x3c00), dims: [], type: 'float16' }).toArray()).to.equal(1);
    expect(tensor({ data: Uint16Array.of(0x3c00), dims: [1], type: 'float16' }, { dtype: 'float64' }).toArray()).to.deep.equal([1]);
    expect(tensor({ data: [1, 2, 3], shape: [3], dtype: 'int32' }).dtype).to.equal('int32');
    expect(tensor({ data: Float32Array.of(1, 2), shape: [1], dtype: 'complex64' }).toArray()).to.deep.equal([{ re: 1, im: 2 }]);
    expect(tensor({ data: Float32Array.of(1, 2), shape: [2], strides: [1], offset: 0 } as never).toArray()).to.deep.equal([1, 2]);
    const own = zeros([2], { dtype: 'float16' });
    expect(tensor({ data: own.data, dims: own.dims, type: own.type }).dtype, 'ours looks like theirs').to.equal('float16');
  });

  it('copies a tensor without its history', () => {
    const x = tensor([1, 2], { requiresGrad: true }).mul(2);
    const copy = tensor(x);
    expect([copy.toArray(), copy.requiresGrad, copy.storage === x.storage]).to.deep.equal([[2, 4], false, false]);
    expect(tensor(x, { dtype: 'int32', shape: [2, 1] }).toArray()).to.deep.equal([[2], [4]]);
  });

  it('says what does not fit', () => {
    const gone = zeros([2]);
    gone.dispose();
    expectAll([
      [() => tensor({ data: [1, 2], dims: [3] }), ShapeError, 'tensor: shape [3] has 3 elements, but the data [2] has 2'],
      [
        () => tensor({ data: () => [1], shape: [1] } as never),
        DTypeError,
        'tensor: expected data to be a typed array or an array, but got a function',
      ],
      [
        () => tensor({ data: Float32Array.of(1, 2, 3, 4), shape: [2, 2], stride: [1, 2] } as never),
        ShapeError,
        'expected dense row-major data of shape [2, 2], but it has strides [1, 2] and offset 0',
      ],
      [() => tensor({ data: ['a'], dims: [1], type: 'string' } as never), DTypeError, 'but got "a" at data[0]'],
      [() => tensor({ data: Uint16Array.of(1), dims: [1], type: 'uint16' }), DTypeError, 'a Uint16Array holds bit patterns'],
      [() => tensor(gone), DisposedError, 'tensor: the tensor of shape [2] was disposed'],
    ]);
  });
});
