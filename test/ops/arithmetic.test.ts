// Element-wise ops of two operands: PyTorch's numbers, gradients and dtypes, broadcasting against plain loops, messages.
import { expect } from 'chai';
import {
  add,
  type DType,
  DTypeError,
  div,
  exp,
  getNumThreads,
  mul,
  ones,
  pow,
  ShapeError,
  setNumThreads,
  sub,
  type Tensor,
  tensor,
  zeros,
} from '../../ts';
import { generate } from '../goldens/load';
import { at, sizeOf, type Values, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { Seeded } from '../support/seeded';
import { expectNumbers, toTensor as fromGolden, tensorGolden } from '../support/tensor_golden';
import { EXACT, expectClose, expectSame, toleranceOf, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const BINARY: Readonly<Record<string, (a: Tensor, b: Tensor | number | boolean | { re: number; im: number }) => Tensor>> = {
  add,
  sub,
  mul,
  div,
  pow,
};
const PLAIN: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  pow: (a, b) => a ** b,
};
const opOf = <T>(ops: Readonly<Record<string, T>>, name: string): T => ops[name] ?? expect.fail(`no op ${name}`);

describe('binary ops', () => {
  for (const golden of tensorGolden().binary) {
    const { op: name, dtype } = golden;
    it(`${name} of ${dtype} as PyTorch`, () => {
      const op = opOf(BINARY, name);
      const [a, b] = [fromGolden(golden.a, dtype), fromGolden(golden.b, dtype)];
      if (golden.error !== undefined) {
        expect(expectTyped(() => op(a, b))).to.be.instanceOf(DTypeError);
        return;
      }
      if (golden.dy) a.requiresGrad = b.requiresGrad = true;
      const y = op(a, b);
      expect(y.dtype).to.equal(golden.yDtype);
      expectNumbers(y, golden.y, toleranceOf(y.dtype), 'y');
      if (!golden.dy || !golden.da || !golden.db) return;
      y.backward(fromGolden(golden.dy, y.dtype));
      expectNumbers(a.grad as Tensor, golden.da, toleranceOf(dtype), 'da');
      expectNumbers(b.grad as Tensor, golden.db, toleranceOf(dtype), 'db');
    });
  }

  for (const golden of tensorGolden().mixed) {
    const [da, db] = golden.dtypes;
    it(`${golden.op} of ${da} [3, 1] and ${db} [2, 1, 4] as PyTorch, each gradient in its own dtype`, () => {
      const [a, b] = [fromGolden(golden.a, da, [3, 1]), fromGolden(golden.b, db, [2, 1, 4])];
      a.requiresGrad = b.requiresGrad = true;
      const y = opOf(BINARY, golden.op)(a, b);
      expect([y.dtype, [...y.shape]]).to.deep.equal([golden.yDtype, [2, 3, 4]]);
      expectNumbers(y, golden.y, toleranceOf(y.dtype), 'y');
      y.backward(fromGolden(golden.dy, y.dtype, [2, 3, 4]));
      expect([a.grad?.dtype, b.grad?.dtype]).to.deep.equal([da, db]);
      expectNumbers(a.grad as Tensor, golden.da, toleranceOf(da), 'da');
      expectNumbers(b.grad as Tensor, golden.db, toleranceOf(db), 'db');
    });
  }

  it('promote dtypes as PyTorch does; a number minus a bool is allowed too, as in NumPy', () => {
    for (const { op, shapes, columns, rows } of tensorGolden().promotion) {
      const [left, right] = shapes;
      for (const [row, results] of Object.entries(rows)) {
        columns.forEach((column, i) => {
          const calculate = () => opOf(BINARY, op)(ones(left, { dtype: row as DType }), ones(right, { dtype: column })).dtype;
          const oneBool = op === 'sub' && (row === 'bool') !== (column === 'bool');
          // PyTorch lacks division and powers of its complex32; ours is complex64.
          const complexHalf = left.length !== right.length && [row, column].includes('float16') && `${row}${column}`.includes('complex');
          if (results[i] === 'error' && complexHalf) expect(calculate()).to.equal('complex64');
          else if (results[i] === 'error' && !oneBool)
            expect(expectTyped(calculate, `${op} ${row} ${column}`)).to.be.instanceOf(DTypeError);
          else if (!oneBool) expect(calculate(), `${op} ${row} ${column}`).to.equal(results[i]);
          else expect(calculate()).to.equal(row === 'bool' ? column : row);
        });
      }
    }
  });

  it('take scalars on the right, which do not widen within their kind', () => {
    // PyTorch refuses to subtract a bool, computes bool ** bool for a scalar alone, and lacks division and powers of its complex32.
    const differs = (op: string, dtype: string, scalar: unknown) =>
      (op === 'sub' && (dtype === 'bool' || scalar === true)) ||
      (op === 'pow' && dtype === 'bool' && scalar === true) ||
      (typeof scalar === 'object' && dtype === 'float16');
    for (const { scalar, columns, rows } of tensorGolden().scalars) {
      for (const [dtype, results] of Object.entries(rows)) {
        columns.forEach((op, i) => {
          const result = results[i];
          if (differs(op, dtype, scalar) || result === undefined || result === 'error') return;
          const y = opOf(BINARY, op)(ones(1, { dtype: dtype as DType }), scalar);
          expect(y.dtype, `${op} ${dtype} ${JSON.stringify(scalar)}`).to.equal(result[0]);
          expectNumbers(y, result.slice(1) as number[], toleranceOf(y.dtype), `${op} ${dtype} ${JSON.stringify(scalar)}`);
        });
      }
    }
    expect(add(ones(1, { dtype: 'float16' }), { re: 0, im: 1 }).dtype).to.equal('complex64');
    expect(sub(ones(1), true).toArray()).to.deep.equal([0]);
    expect(sub(tensor([true]), 3).toArray()).to.deep.equal([-2]);
  });

  it('do not round a scalar to 16 bits', () => {
    const x = tensor([3], { dtype: 'float16' }); // 3 * 0.1 rounds to 0.30005, 3 * half(0.1) to 0.2998
    expect(mul(x, 0.1).item()).to.be.closeTo(0.300048828125, 1e-12);
    expect(mul(x, tensor(0.1, { dtype: 'float16' })).item()).to.be.closeTo(0.2998046875, 1e-12);
  });

  it('broadcast as plain loops do', () => {
    const random = new Seeded(20261121);
    for (let trial = 0; trial < 120; trial++) {
      const rank = random.integer(0, 6);
      const shape = Array.from({ length: rank }, () => random.pick([1, 2, 3, 5]));
      if (rank > 0 && random.chance(0.3)) shape[random.integer(0, rank - 1)] = random.pick([0, 4099]);
      const operand = (seed: number) => {
        const own = shape.map((d) => (random.chance(0.35) ? 1 : d)).slice(random.chance(0.3) ? random.integer(0, rank) : 0);
        return generate('exact', seed, own);
      };
      const [a, b] = [operand(2 * trial), operand(2 * trial + 1)];
      const name = random.pick(['add', 'sub', 'mul', 'div']);
      const what = `trial ${trial}: ${name} ${JSON.stringify(a.shape)} ${JSON.stringify(b.shape)}`;
      expectClose(opOf(BINARY, name)(toTensor(a), toTensor(b)), broadcast(a, b, opOf(PLAIN, name)), EXACT, what);
    }
  });

  it('give the same bits for any number of threads', () => {
    const before = getNumThreads();
    const [a, b] = [toTensor(generate('fine', 1, [70, 3001]), 'float32'), toTensor(generate('fine', 2, [70, 1]), 'float32')];
    const compute = (threads: number) => {
      setNumThreads(threads);
      return [mul(a, b), exp(a), div(a, a)];
    };
    try {
      const [one, many] = [compute(1), compute(4)];
      one.forEach((y, i) => {
        expectSame(y, many[i] as Tensor);
      });
    } finally {
      setNumThreads(before);
    }
  });

  it('wrap integers', () => {
    const int = (v: number[]) => tensor(v, { dtype: 'int32' });
    expect(add(int([2 ** 31 - 1]), 1).item()).to.equal(-(2 ** 31));
    expect(mul(int([65537]), int([65537])).item()).to.equal(131073);
    expect(add(tensor([200], { dtype: 'uint8' }), tensor([100], { dtype: 'uint8' })).item()).to.equal(44);
    expect(sub(tensor([0], { dtype: 'uint8' }), 1).item()).to.equal(255);
    expect(pow(int([3, -1, 1, 2, 0]), int([40, -3, -5, -1, -1])).toArray()).to.deep.equal([
      Number(BigInt.asIntN(32, 3n ** 40n)),
      -1,
      1,
      0,
      0,
    ]);
  });

  it('agree with finite differences, broadcast and complex', () => {
    const real = (seed: number, shape: number[]) => ({
      ...generate('fine', seed, shape),
      data: generate('fine', seed, shape).data.map((v) => Math.abs(v) + 0.75),
    });
    const complex = (seed: number, shape: number[]) => generate('fine', seed, shape, true);
    for (const op of Object.values(BINARY)) {
      checkGradients(([a, b]) => op(a as Tensor, b as Tensor), [real(1, [2, 1, 3]), real(2, [4, 1])], 1e-5);
      checkGradients(([a, b]) => op(a as Tensor, b as Tensor), [complex(3, [2, 1]), complex(4, [3])], 1e-4);
      checkGradients(([a, b]) => op(a as Tensor, b as Tensor), [real(5, [2]), complex(6, [2])], 1e-4);
      checkGradients(([a]) => op(a as Tensor, 1.75), [real(7, [3])], 1e-5);
      checkGradients(([a]) => op(a as Tensor, { re: 0.5, im: -0.75 }), [complex(8, [3])], 1e-4);
      checkGradients(([a]) => op(a as Tensor, { re: 0.5, im: -0.75 }), [real(9, [3])], 1e-4);
    }
  });

  it('have the gradient of both sides where a tensor meets itself', () => {
    const x = tensor([3, -2], { requiresGrad: true });
    mul(x, x).backward(tensor([1, 10]));
    expect(x.grad?.toArray()).to.deep.equal([6, -40]);
  });

  it('say what does not fit', () => {
    const [a, b] = [zeros([2, 3]), zeros([2, 4])];
    expect(expectTyped(() => add(a, b))).to.be.instanceOf(ShapeError);
    expect(expectTyped(() => add(a, b)).message).to.equal(
      'add: shapes [2, 3] and [2, 4] cannot be broadcast: the size of a (3) must match the size of b (4) at non-singleton dimension 1',
    );
    for (const wrong of ['2', null, undefined, [1], 2n, {}, { re: 1 }, () => 1, Symbol('s')]) {
      expect(expectTyped(() => mul(a, wrong as unknown as number))).to.be.instanceOf(DTypeError);
    }
    expect(expectTyped(() => mul(a, '2' as unknown as number)).message).to.equal(
      'mul: expected a tensor or a number on the right, but got "2"',
    );
    expect(expectTyped(() => pow(tensor([2], { dtype: 'int32' }), -1)).message).to.equal(
      'pow: integers to negative integer powers are not allowed, but got an int32 tensor of shape [1] and the exponent -1',
    );
    expect(expectTyped(() => sub(tensor([true]), tensor([true]))).message).to.contain('sub: bool is not supported');
    const gone = zeros([1]);
    gone.dispose();
    expect(expectTyped(() => add(a, gone)).message).to.equal('add: the tensor of shape [1] was disposed');
  });
});

/** The specification: an index walk in plain loops. */
function broadcast(a: Values, b: Values, f: (a: number, b: number) => number): Values {
  const rank = Math.max(a.shape.length, b.shape.length);
  const padded = (v: Values) => [...new Array<number>(rank - v.shape.length).fill(1), ...v.shape];
  const [sa, sb] = [padded(a), padded(b)];
  const shape = sa.map((d, i) => (d === 1 ? at(sb, i) : d));
  const offset = (sizes: readonly number[], index: readonly number[]) =>
    sizes.reduce((sum, d, i) => sum * d + (d === 1 ? 0 : at(index, i)), 0);
  const out = new Float64Array(sizeOf(shape));
  for (let n = 0; n < out.length; n++) {
    let rest = n;
    const index = new Array<number>(rank).fill(0);
    for (let d = rank - 1; d >= 0; d--) {
      index[d] = rest % at(shape, d);
      rest = Math.floor(rest / at(shape, d));
    }
    out[n] = f(at(a.data, offset(sa, index)), at(b.data, offset(sb, index)));
  }
  return values(shape, out);
}
