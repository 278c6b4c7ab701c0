// Sum and mean: PyTorch's numbers, plain loops, precision, the same bits for any number of threads, gradients, messages.
import { expect } from 'chai';
import { type DType, DTypeError, getNumThreads, mean, ShapeError, setNumThreads, sum, type Tensor, tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { at, sizeOf, type Values, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { Seeded } from '../support/seeded';
import { expectNumbers, tensorGolden } from '../support/tensor_golden';
import { EXACT, expectClose, expectSame, toleranceOf, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const OPS = { sum, mean };

/** The input of the golden file: generated, as integers for integer dtypes. */
function input(dtype: DType): Tensor {
  const complex = dtype.startsWith('complex');
  const x = generate('exact', 8, [3, 4, 5], complex);
  if (dtype === 'bool') return toTensor({ ...x, data: x.data.map((v) => Number(v !== 0)) }, dtype);
  const integer = dtype === 'int32' || dtype === 'uint8';
  return toTensor({ ...x, data: integer ? x.data.map((v) => Math.trunc(Math.abs(v * 16))) : x.data }, dtype);
}

describe('reductions', () => {
  for (const op of ['sum', 'mean'] as const) {
    it(`${op} as PyTorch, every dtype and choice of dimensions`, () => {
      for (const golden of tensorGolden().reductions.filter((g) => g.op === op)) {
        const { dtype, dims, keepDims } = golden;
        const what = `${op} ${dtype} dims ${JSON.stringify(dims)} keepDims ${keepDims}`;
        const compute = () => OPS[op](input(dtype), dims, { keepDims });
        if (golden.error !== undefined) {
          expect(expectTyped(compute, what)).to.be.instanceOf(DTypeError);
          continue;
        }
        const y = compute();
        expect([y.dtype, [...y.shape]], what).to.deep.equal([golden.yDtype, golden.shape]);
        expectNumbers(y, golden.y, toleranceOf(y.dtype), what);
      }
    });
  }

  it('add as plain loops do, whatever the shape', () => {
    const random = new Seeded(77);
    for (let trial = 0; trial < 80; trial++) {
      const rank = random.integer(1, 4);
      const shape = Array.from({ length: rank }, () => random.pick([0, 1, 2, 5, 9, 130]));
      if (random.chance(0.2)) shape[random.integer(0, rank - 1)] = 9001;
      if (sizeOf(shape) > 400_000) continue;
      const dims = shape.map((_, d) => d).filter(() => random.chance(0.5));
      const x = generate('exact', trial, shape);
      const kept = shape.filter((_, d) => dims.length > 0 && !dims.includes(d));
      // Multiples of 1/64 below 2^53: the sums are exact, so their order does not matter.
      expectClose(
        sum(toTensor(x), dims),
        summed(x, dims, kept),
        EXACT,
        `trial ${trial}: ${JSON.stringify(shape)} dims ${JSON.stringify(dims)}`,
      );
    }
  });

  it('keep 16- and 32-bit sums in float64 and round once', () => {
    const n = 100_000;
    for (const [dtype, expected] of [
      ['float32', Math.fround(n * Math.fround(0.1))],
      ['bfloat16', 9984],
      ['float16', 10_000],
    ] as const) {
      const x = tensor(new Float64Array(n).fill(0.1), { dtype });
      expect(sum(x).item(), dtype).to.equal(expected);
      expect(sum(x.reshape([100, 1000]), [0, 1]).item(), dtype).to.equal(expected);
      expect(mean(x).item(), dtype).to.be.closeTo(0.1, 1e-4);
    }
    const big = tensor([65504, 65504, -65504], { dtype: 'float16' }); // the sum of the first two overflows float16
    expect(sum(big).item()).to.equal(65504);
    expect(sum(big.reshape([1, 3, 1]), [0, 2]).toArray()).to.deep.equal([65504, 65504, -65504]);
    expect(
      sum(
        tensor(
          [
            [[65504], [65504]],
            [[-65504], [-65504]],
          ],
          { dtype: 'float16' },
        ),
        [0, 2],
      ).toArray(),
    ).to.deep.equal([0, 0]);
  });

  it('give the same bits for any number of threads', () => {
    const before = getNumThreads();
    const x = toTensor(generate('fine', 1, [37, 3, 2500]), 'float64');
    const compute = (threads: number) => {
      setNumThreads(threads);
      return [sum(x), sum(x, 0), sum(x, 2), mean(x, [0, 2]), sum(x.reshape([37 * 3 * 2500]))];
    };
    try {
      const [one, many] = [compute(1), compute(3)];
      one.forEach((y, i) => {
        expectSame(y, many[i] as Tensor);
      });
    } finally {
      setNumThreads(before);
    }
  });

  it('count bools and wrap integers', () => {
    expect(sum(tensor(new Uint8Array(300).fill(255))).item()).to.equal(76500);
    expect(sum(tensor([true, false, true])).item()).to.equal(2);
    expect(sum(tensor([2 ** 31 - 1, 1], { dtype: 'int32' })).item()).to.equal(-(2 ** 31));
    expect(sum(tensor([2 ** 31 - 1, 1], { dtype: 'int32' })).dtype).to.equal('int32');
  });

  it('of nothing are 0 and NaN', () => {
    expect(sum(zeros([0])).item()).to.equal(0);
    expect(sum(zeros([2, 0]), 1).toArray()).to.deep.equal([0, 0]);
    expect(sum(zeros([2, 0]), 0).shape).to.deep.equal([0]);
    expect(mean(zeros([2, 0]), 1).toArray()).to.deep.equal([Number.NaN, Number.NaN]);
    expect(mean(zeros([0])).item()).to.be.NaN;
    expect(sum(tensor(3)).item()).to.equal(3);
    expect(sum(tensor(3), -1).shape).to.deep.equal([]);
  });

  it('agree with finite differences', () => {
    for (const op of [sum, mean]) {
      for (const dims of [undefined, 0, [0, 2], [1]]) {
        for (const keepDims of [false, true]) {
          checkGradients(([x]) => op(x as Tensor, dims, { keepDims }), [generate('fine', 1, [2, 3, 2])]);
          checkGradients(([x]) => op(x as Tensor, dims, { keepDims }), [generate('fine', 2, [2, 3, 2], true)]);
        }
      }
    }
  });

  it('say what does not fit', () => {
    const x = zeros([2, 3]);
    expect(expectTyped(() => sum(x, 2)).message).to.equal(
      'sum: Dimension out of range (expected to be in range of [-2, 1], but got 2): the shape is [2, 3]',
    );
    expect(expectTyped(() => sum(x, [0, -2]))).to.be.instanceOf(ShapeError);
    expect(expectTyped(() => sum(x, [0, -2])).message).to.equal('sum: dim 0 appears multiple times in the list of dims [0, -2]');
    expect(expectTyped(() => mean(x, 0.5)).message).to.contain('Dimension out of range');
    expect(expectTyped(() => mean(x, '0' as unknown as number)).message).to.contain('but got "0"');
    expect(expectTyped(() => mean(tensor([1], { dtype: 'int32' }))).message).to.equal(
      "mean: Input dtype must be either a floating point or complex dtype, but got an int32 tensor of shape [1]; convert it with to('float32')",
    );
    expect(expectTyped(() => sum(x, 0, { keepdims: 1 } as object)).message).to.equal('sum: expected keepDims to be a boolean, but got 1');
    expect(expectTyped(() => sum(x, 0, { keep: true } as object)).message).to.contain('unknown option "keep"');
    expect(sum(x, 0, { keepdim: true } as object).shape, "PyTorch's spelling").to.deep.equal([1, 3]);
  });
});

function summed(x: Values, dims: readonly number[], kept: readonly number[]): Values {
  const all = dims.length === 0;
  const out = new Float64Array(sizeOf(kept));
  const size = sizeOf(x.shape);
  for (let n = 0; n < size; n++) {
    let [rest, target, step] = [n, 0, 1];
    for (let d = x.shape.length - 1; d >= 0; d--) {
      const i = rest % at(x.shape, d);
      rest = Math.floor(rest / at(x.shape, d));
      if (all || dims.includes(d)) continue;
      target += i * step;
      step *= at(x.shape, d);
    }
    out[target] = at(out, target) + at(x.data, n);
  }
  return values(kept, out);
}
