// The native steps of the optimizers against plain loops: sizes around a run, every dtype, master copies, AMSGrad, complex, threads.
import { expect } from 'chai';
import { Adam, AdamW, clipGradNorm, type DType, type GroupOptions, SGD, setNumThreads, type Tensor } from '../../ts';
import type { AdamOptions } from '../../ts/optim/adam';
import type { CommonOptions } from '../../ts/optim/optimizer';
import type { SgdOptions } from '../../ts/optim/sgd';
import { generate } from '../goldens/load';
import { expectClose, expectSame, rounded, type Tolerance, toTensor, toValues } from '../support/tensors';

const STEPS = 5;
const SIZES = [1, 7, 2048, 4099];

type Step = (p: number, g: number, i: number) => number;

const same = (v: number): number => v;

/**
 * The parameter after STEPS steps of a plain float64 loop; the gradient of step k is generate('fine', 30 + k). It and the first parameter
 * have `decimals`, what a step leaves is `kept`.
 */
function reference(step: Step, size: number, decimals = same, kept = decimals): Float64Array {
  const p = generate('fine', 1, [size]).data.map(decimals);
  for (let k = 0; k < STEPS; k++) {
    const g = generate('fine', 30 + k, [size]).data.map(decimals);
    for (let i = 0; i < size; i++) p[i] = kept(step(p[i] as number, g[i] as number, i));
  }
  return p;
}

type Make = (group: GroupOptions<CommonOptions>) => SGD | Adam | AdamW;

function run(make: Make, shape: number[], dtype: DType, masterWeights = true): Tensor {
  const complex = dtype.startsWith('complex');
  const p = toTensor(generate('fine', 1, shape, complex), dtype, true);
  const optimizer = make({ params: [p], masterWeights });
  for (let k = 0; k < STEPS; k++) {
    p.grad = toTensor(generate('fine', 30 + k, shape, complex), dtype);
    optimizer.step();
  }
  return p;
}

function sgd(o: Partial<SgdOptions>): () => Step {
  return () => {
    const velocity = new Map<number, number>();
    const { lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = o;
    return (p, grad, i) => {
      const g = grad + weightDecay * p;
      const before = velocity.get(i);
      const v = before === undefined ? g : momentum * before + (1 - dampening) * g;
      velocity.set(i, v);
      return p - lr * (momentum === 0 ? g : nesterov ? g + momentum * v : v);
    };
  };
}

function adam(o: Partial<AdamOptions>, decoupled: boolean): () => Step {
  return () => {
    const state = new Map<number, { t: number; m: number; v: number; most: number }>();
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = decoupled ? 0.01 : 0, amsgrad = false } = o;
    return (before, grad, i) => {
      const s = state.get(i) ?? { t: 0, m: 0, v: 0, most: 0 };
      state.set(i, s);
      const p = decoupled ? before * (1 - lr * weightDecay) : before;
      const g = decoupled ? grad : grad + weightDecay * before;
      s.t++;
      s.m = betas[0] * s.m + (1 - betas[0]) * g;
      s.v = betas[1] * s.v + (1 - betas[1]) * g * g;
      s.most = Math.max(s.most, s.v);
      const root = Math.sqrt((amsgrad ? s.most : s.v) / (1 - betas[1] ** s.t));
      return p - ((lr / (1 - betas[0] ** s.t)) * s.m) / (root + eps);
    };
  };
}

const CASES: [string, Make, () => Step][] = [
  ['SGD', (p) => new SGD([p], { lr: 0.1 }), sgd({ lr: 0.1 })],
  ...(
    [
      { lr: 0.1, momentum: 0.9 },
      { lr: 0.1, momentum: 0.9, dampening: 0.25, weightDecay: 0.05 },
      { lr: 0.1, momentum: 0.8, nesterov: true, weightDecay: 0.05 },
    ] as Partial<SgdOptions>[]
  ).map((o): (typeof CASES)[0] => [`SGD ${JSON.stringify(o)}`, (p) => new SGD([p], o), sgd(o)]),
  ...(
    [
      { lr: 0.05 },
      { lr: 0.05, betas: [0.3, 0.6], eps: 1e-3, weightDecay: 0.1 },
      { lr: 0.05, betas: [0.9, 0.2], amsgrad: true },
    ] as Partial<AdamOptions>[]
  ).flatMap((o): typeof CASES => [
    [`Adam ${JSON.stringify(o)}`, (p) => new Adam([p], o), adam(o, false)],
    [`AdamW ${JSON.stringify(o)}`, (p) => new AdamW([p], o), adam(o, true)],
  ]),
];

// Five steps of a rounding or two each, of numbers up to 5; without a master copy 16-bit parameters are rounded once a step.
const TOLERANCES: Partial<Record<DType, Tolerance>> = {
  float32: { rtol: 0, atol: 2e-6 },
  float64: { rtol: 0, atol: 4e-15 },
  float16: { rtol: 0, atol: 2 ** -10 },
  bfloat16: { rtol: 0, atol: 2 ** -7 },
};

describe('native optimizer steps', () => {
  for (const [name, make, step] of CASES) {
    it(`${name} is the formula, in every dtype and for sizes around a run`, () => {
      for (const [dtype, tolerance] of Object.entries(TOLERANCES) as [DType, Tolerance][]) {
        for (const size of SIZES) {
          const decimals = dtype.endsWith('16') ? (v: number) => rounded(v, dtype) : undefined;
          const expected = reference(step(), size, decimals);
          expectClose(run(make, [size], dtype, false), { shape: [size], data: expected }, tolerance, `${dtype} [${size}]`);
        }
      }
    });

    it(`${name} goes on from the master copy of a 16-bit parameter, and rounds that once`, () => {
      for (const [dtype, rtol] of [
        ['float16', 2 ** -11],
        ['bfloat16', 2 ** -8],
      ] as const) {
        for (const size of SIZES) {
          const expected = reference(step(), size, (v) => rounded(v, dtype), same);
          expectClose(run(make, [size], dtype), { shape: [size], data: expected }, { rtol, atol: 3e-6 }, `${dtype} [${size}]`);
        }
      }
    });

    it(`${name} optimizes a complex parameter as its real view`, () => {
      for (const [dtype, real] of [
        ['complex64', 'float32'],
        ['complex128', 'float64'],
      ] as const) {
        const [z, r] = [run(make, [3, 5], dtype), run(make, [3, 5, 2], real)];
        expect([...toValues(z).data]).to.deep.equal([...toValues(r).data]);
      }
    });

    it(`${name} gives the same bits for any number of threads`, () => {
      const results = [1, 3].map((threads) => {
        setNumThreads(threads);
        return run(make, [100_003], 'float32');
      });
      setNumThreads(2);
      expectSame(results[1] as Tensor, results[0] as Tensor);
    });
  }

  it('take empty and scalar parameters', () => {
    for (const [, make] of CASES) {
      expect(run(make, [0, 3], 'float32').size).to.equal(0);
      expect(run(make, [], 'float32').shape).to.deep.equal([]);
    }
  });

  it('keep the state of 16-bit parameters in float32', () => {
    const p = toTensor(generate('fine', 1, [4]), 'bfloat16', true);
    p.grad = toTensor(generate('fine', 2, [4]), 'bfloat16');
    const optimizer = new Adam([p]);
    optimizer.step();
    const { expAvg } = optimizer.stateDict().state['0'] as { expAvg: Tensor };
    expect(expAvg.dtype).to.equal('float32');
  });
});

describe('clipGradNorm', () => {
  const withGradient = (shape: number[], seed: number, dtype: DType): Tensor => {
    const complex = dtype.startsWith('complex');
    const p = toTensor(generate('fine', seed, shape, complex), dtype, true);
    p.grad = toTensor(generate('fine', seed + 1, shape, complex), dtype);
    return p;
  };

  it('is the norm over all gradients, and scales them together, in every dtype', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128'] as const) {
      const unit = {
        float32: 2 ** -22,
        float64: 2 ** -47,
        float16: 2 ** -10,
        bfloat16: 2 ** -7,
        complex64: 2 ** -22,
        complex128: 2 ** -47,
      }[dtype];
      const list = [withGradient([70, 123], 1, dtype), withGradient([5], 3, dtype), withGradient([0], 5, dtype)];
      const before = list.map((p) => toValues(p.grad as Tensor));
      const norm = Math.hypot(...before.flatMap(({ data }) => [...data]));
      const got = clipGradNorm(list, 2);
      expect(Math.abs(got - norm)).to.be.at.most(2 ** -20 * norm * (dtype.endsWith('64') && dtype !== 'complex64' ? 1e-8 : 1));
      before.forEach((v, i) => {
        const expected = { ...v, data: v.data.map((x) => (x * 2) / (norm + 1e-6)) };
        expectClose(list[i]?.grad as Tensor, expected, { rtol: 4 * unit, atol: dtype === 'float16' ? 2 ** -24 : 0 }, dtype);
      });
    }
  });

  it('leaves gradients within the bound, and tensors without one', () => {
    const p = withGradient([10], 1, 'float32');
    const q = toTensor(generate('fine', 1, [3]), 'float32', true);
    const before = toTensor(toValues(p.grad as Tensor), 'float32');
    const norm = clipGradNorm([p, q], 1e6);
    expect(norm).to.be.above(1);
    expectSame(p.grad as Tensor, before);
    expect(clipGradNorm([q], 1)).to.equal(0);
    expect(clipGradNorm([], 1)).to.equal(0);
    expect(clipGradNorm(p, 1e6)).to.equal(norm);
  });

  it('raises the version of what it writes', () => {
    const p = withGradient([10], 1, 'float32');
    const { version } = (p.grad as Tensor).storage;
    clipGradNorm([p], 0.5);
    expect((p.grad as Tensor).storage.version).to.be.above(version);
  });

  it('passes on a norm that is not finite, as PyTorch does, or refuses it', () => {
    const p = withGradient([3], 1, 'float32');
    (p.grad as Tensor).data[0] = Number.NaN;
    expect(() => clipGradNorm([p], 1, { errorIfNonfinite: true })).to.throw(/total norm of the gradients is non-finite \(NaN\)/);
    expect(clipGradNorm([p], 1)).to.be.NaN;
    expect([...toValues(p.grad as Tensor).data].every(Number.isNaN)).to.equal(true);
  });

  it('checks its arguments', () => {
    const p = withGradient([3], 1, 'float32');
    expect(() => clipGradNorm([p], -1)).to.throw('clipGradNorm: expected maxNorm to be a number of at least 0, but got -1');
    expect(() => clipGradNorm([3 as never], 1)).to.throw('clipGradNorm: expected parameter 0 to be a tensor, but got 3');
    expect(() => clipGradNorm([p], 1, { norm: 2 } as never)).to.throw(/clipGradNorm: unknown option "norm"/);
  });
});
