// Moving elements: conversions between dtypes (PyTorch's numbers, every 16-bit float), filling, strided copies against plain loops.
import { expect } from 'chai';
import { cast, type DType, DTypeError, full, type Tensor, tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { at, sizeOf, type Values, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { Seeded } from '../support/seeded';
import { expectNumbers, toTensor as fromGolden, tensorGolden } from '../support/tensor_golden';
import { decode, EXACT, expectClose, expectSame, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const DTYPES: readonly DType[] = ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128', 'int32', 'uint8', 'bool'];

describe('conversions', () => {
  for (const { dtype, x, to } of tensorGolden().casts) {
    it(`${dtype} to every dtype as PyTorch`, () => {
      for (const [name, expected] of Object.entries(to)) {
        const y = fromGolden(x, dtype).to(name as DType);
        expect(y.dtype).to.equal(name);
        const wanted = name === 'float32' || name === 'complex64' ? expected.map((v) => Math.fround(Number(v))) : expected;
        expectNumbers(y, wanted, EXACT, `${dtype} to ${name}`);
      }
    });
  }

  for (const dtype of ['float16', 'bfloat16'] as const) {
    it(`every ${dtype} becomes its float32 and comes back`, () => {
      const bits = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
      const x = tensor(bits, { dtype });
      const wide = x.to('float32');
      expect(wide.readSync()).to.deep.equal(Float32Array.from(decode(bits, dtype)));
      const back = wide.to(dtype).readSync();
      const wrong = bits.filter((b, i) => at(back, i) !== b && !Number.isNaN(at(wide.hostArray('test'), i)));
      expect([...wrong]).to.deep.equal([]);
    });

    it(`float32 is rounded to the nearest ${dtype}, ties to even`, () => {
      const positive = Uint16Array.from({ length: dtype === 'float16' ? 0x7c00 : 0x7f80 }, (_, i) => i);
      const value = decode(positive, dtype);
      const next = (i: number) => at(value, i + 1);
      const middle = Float32Array.from(value.subarray(0, -1), (v, i) => (v + next(i)) / 2); // exact in float32
      const bits = new Uint32Array(middle.buffer);
      const shifted = (by: number) =>
        tensor(new Float32Array(bits.map((b) => b + by).buffer))
          .to(dtype)
          .readSync();
      const even = Uint16Array.from(middle, (_, i) => (i % 2 === 0 ? i : i + 1));
      expect(shifted(0)).to.deep.equal(even);
      expect(shifted(-1).subarray(1)).to.deep.equal(positive.subarray(1, -1));
      expect(shifted(1)).to.deep.equal(Uint16Array.from(middle, (_, i) => i + 1));
    });
  }

  it('overflow to infinity and keep NaN', () => {
    const x = tensor([65519, 65520, -65520, 1e30, Number.NaN, Number.NEGATIVE_INFINITY]);
    const infinity = Number.POSITIVE_INFINITY;
    expect(x.to('float16').toArray()).to.deep.equal([65504, infinity, -infinity, infinity, Number.NaN, -infinity]);
    expect(tensor([3.39e38, 3.4e38, Number.NaN]).to('bfloat16').toArray()).to.deep.equal([3.3895313892515355e38, infinity, Number.NaN]);
  });

  it('float to integer truncates, saturates, and makes NaN 0', () => {
    const x = tensor([1.9, -1.9, 3e9, -3e9, Number.NaN, Number.POSITIVE_INFINITY], { dtype: 'float64' });
    const [high, low] = [2 ** 31 - 1, -(2 ** 31)];
    for (const dtype of ['float64', 'float32', 'bfloat16'] as const) {
      expect(x.to(dtype).to('int32').toArray(), dtype).to.deep.equal([1, -1, high, low, 0, high]);
      expect(x.to(dtype).to('uint8').toArray(), dtype).to.deep.equal([1, 0, 255, 0, 0, 255]);
    }
    expect(
      tensor([2 ** 31 - 1.5, -(2 ** 31) - 0.5], { dtype: 'float64' })
        .to('int32')
        .toArray(),
    ).to.deep.equal([high - 1, low]);
    expect(tensor([257, -1], { dtype: 'int32' }).to('uint8').toArray(), 'integers wrap').to.deep.equal([1, 255]);
  });

  it('anything but 0 is true', () => {
    expect(tensor([0, -0, 0.1, Number.NaN]).to('bool').toArray()).to.deep.equal([0, 0, 1, 1]);
    expect(
      tensor([
        { re: 0, im: 0 },
        { re: 0, im: 2 },
      ])
        .to('bool')
        .toArray(),
    ).to.deep.equal([0, 1]);
    expect(tensor(Uint8Array.of(0, 7), { dtype: 'bool' }).readSync()).to.deep.equal(Uint8Array.of(0, 1));
    expect(tensor([2], { dtype: 'int32' }).to('bool').to('float32').toArray()).to.deep.equal([1]);
  });

  it('have the gradient in the dtype before', () => {
    checkGradients(([x]) => cast(cast(x as Tensor, 'complex128'), 'float64'), [generate('fine', 1, [3])]);
    checkGradients(([x]) => cast(x as Tensor, 'float64'), [generate('fine', 1, [3], true)]);
    const x = tensor([1.5], { requiresGrad: true });
    const y = x.to('float16');
    y.backward(tensor([3], { dtype: 'float16' }));
    expect([x.grad?.dtype, x.grad?.item()]).to.deep.equal(['float32', 3]);
    expect(x.to('int32').requiresGrad).to.equal(false);
  });

  it('to() gives the tensor itself where nothing changes, and says what it does not know', () => {
    const x = zeros([2]);
    expect(x.to('float32')).to.equal(x);
    expect(x.to('cpu')).to.equal(x);
    expect(x.contiguous()).to.equal(x);
    expect(expectTyped(() => x.to('flot32' as DType)).message).to.equal('to: expected a device or a dtype, but got "flot32"');
    expect(expectTyped(() => x.to('cuda:7')).message).to.contain("'cuda:7' is not available");
    expect(expectTyped(() => x.to(undefined as unknown as DType))).to.be.instanceOf(DTypeError);
  });
});

describe('fill', () => {
  it('sets every element of every dtype', () => {
    for (const dtype of DTYPES) {
      const y = full([5, 7], 1, { dtype });
      const complex = dtype.startsWith('complex');
      const data = Float64Array.from({ length: complex ? 70 : 35 }, (_, i) => (complex ? 1 - (i % 2) : 1));
      expectClose(y, values([5, 7], data, complex), EXACT, dtype);
    }
    expect(full([2], { re: 1, im: -2 }).toArray()).to.deep.equal([
      { re: 1, im: -2 },
      { re: 1, im: -2 },
    ]);
    expect(
      full(70000, 0.1)
        .readSync()
        .every((v) => v === Math.fround(0.1)),
    ).to.equal(true);
  });
});

describe('strided copies', () => {
  it('move elements of every size as plain loops do', () => {
    const random = new Seeded(5);
    for (let trial = 0; trial < 150; trial++) {
      const dtype = random.pick(DTYPES);
      const rank = random.integer(1, 5);
      const shape = Array.from({ length: rank }, () => random.pick([1, 2, 3, 17, 33]));
      if (sizeOf(shape) > 60000) continue;
      const order = shape
        .map((_, d) => ({ d, key: random.next() }))
        .sort((a, b) => a.key - b.key)
        .map(({ d }) => d);
      const x = dtype === 'bool' ? bits(shape, trial) : generate('exact', trial, shape, dtype.startsWith('complex'));
      const [start, step] = [random.integer(0, 2), random.integer(1, 3)];
      const axis = random.integer(0, rank - 1);
      const what = `trial ${trial}: ${dtype} ${JSON.stringify(shape)} permute ${JSON.stringify(order)}, slice ${axis} from ${start} by ${step}`;
      const plain = dtype === 'int32' || dtype === 'uint8' ? { ...x, data: x.data.map((v) => Math.trunc(Math.abs(v) * 64)) } : x;
      const y = toTensor(plain, dtype).permute(order).slice(axis, start, undefined, step);
      expectClose(y, sliced(permuted(plain, order), axis, start, step), EXACT, what);
    }
  });

  it('transpose large matrices', () => {
    for (const dtype of ['float32', 'uint8', 'complex128'] as const) {
      const x = dtype === 'uint8' ? bits([515, 301], 1) : generate('exact', 1, [515, 301], dtype === 'complex128');
      const t = toTensor(x, dtype);
      expectClose(t.transpose(0, 1), permuted(x, [1, 0]), EXACT, dtype);
      expectSame(t.transpose(0, 1).transpose(0, 1), t);
    }
  });
});

const bits = (shape: readonly number[], seed: number): Values => generate('mask', seed, shape);

/** Element by element: f tells the flat index in x of every index of the result. */
function gather(x: Values, shape: readonly number[], f: (index: readonly number[]) => number): Values {
  const lanes = x.complex ? 2 : 1;
  const out = new Float64Array(sizeOf(shape) * lanes);
  for (let n = 0; n < out.length / lanes; n++) {
    let rest = n;
    const index = [...shape];
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d] = rest % at(shape, d);
      rest = Math.floor(rest / at(shape, d));
    }
    for (let lane = 0; lane < lanes; lane++) out[n * lanes + lane] = at(x.data, f(index) * lanes + lane);
  }
  return values(shape, out, x.complex);
}

const flat = (index: readonly number[], shape: readonly number[]) => index.reduce((sum, i, d) => sum * at(shape, d) + i, 0);

function permuted(x: Values, order: readonly number[]): Values {
  const shape = order.map((d) => at(x.shape, d));
  return gather(x, shape, (index) =>
    flat(
      x.shape.map((_, d) => at(index, order.indexOf(d))),
      x.shape,
    ),
  );
}

function sliced(x: Values, axis: number, start: number, step: number): Values {
  const size = Math.max(0, Math.ceil((at(x.shape, axis) - start) / step));
  const shape = x.shape.map((d, i) => (i === axis ? size : d));
  return gather(x, shape, (index) =>
    flat(
      index.map((i, d) => (d === axis ? start + i * step : i)),
      x.shape,
    ),
  );
}
