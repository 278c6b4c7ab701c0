// batchNorm and instanceNorm, with and without masks, against the reference, finite differences and PyTorch's running statistics.
import { expect } from 'chai';
import { batchNorm, type BatchNormOptions, type DType, full, instanceNorm, setNumThreads, type Tensor, tensor, zeros } from '../../ts';
import { generate, type GeneratorKind } from '../goldens/load';
import * as reference from '../reference';
import { at, type Values, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { Seeded } from '../support/seeded';
import { changed, decode, encode, expectClose, expectSame, type Tolerance, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

type Scope = 'batch' | 'instance';

const noise = (seed: number, shape: readonly number[]): Values => generate('fine', seed, shape);

/** Values as a dtype holds them, so that reference and op see the same. */
const held = (v: Values, dtype: DType): Values => values(v.shape, decode(encode(v.data, dtype), dtype));

interface Setting {
  readonly scope: Scope;
  readonly x: readonly number[];
  readonly mask?: readonly [GeneratorKind, readonly number[]];
  readonly affine?: boolean;
  readonly eps?: number;
}

function run({ scope, eps }: Setting, x: Tensor, mask: Tensor | null, weight: Tensor | null, bias: Tensor | null, more: BatchNormOptions = {}): Tensor {
  const options = { mask, weight, bias, ...(eps === undefined ? {} : { eps }), ...more };
  return scope === 'batch' ? batchNorm(x, { training: true, ...options }) : instanceNorm(x, options);
}

/** [L] as [1, 1, L], [N, L] as [N, 1, L]. */
const fullForm = (mask: readonly number[], x: readonly number[]): readonly number[] =>
  mask.length === x.length ? mask : mask.length === x.length - 1 ? mask.toSpliced(1, 0, 1) : [1, 1, ...mask];

/** Forward and backward of a setting in a dtype, against the reference. */
function compare(setting: Setting, dtype: DType, tolerance: Tolerance, maskDtype: DType = dtype, shift = 0): void {
  const { scope, affine = true, eps } = setting;
  const c = setting.x[1] as number;
  const x = held(changed(noise(1, setting.x), (v) => v + shift), dtype);
  const mask = setting.mask ? generate(setting.mask[0], 2, setting.mask[1]) : null;
  const [gamma, beta] = affine ? [held(noise(3, [c]), dtype), held(noise(4, [c]), dtype)] : [null, null];
  const dy = held(noise(5, setting.x), dtype);
  const [tx, tw, tb] = [toTensor(x, dtype, true), gamma && toTensor(gamma, dtype, true), beta && toTensor(beta, dtype, true)];
  const y = run(setting, tx, mask && toTensor(mask, maskDtype), tw, tb);
  const options = { scope, ...(eps === undefined ? {} : { eps }) };
  const full = mask && { ...mask, shape: fullForm(mask.shape, setting.x) };
  expectClose(y, reference.norm(x, full, gamma, beta, options), tolerance);
  y.backward(toTensor(dy, dtype));
  const expected = reference.normBackward(x, full, gamma, dy, options);
  expectClose(tx.grad as Tensor, expected.dx, tolerance, 'dx');
  // The sums run over many elements: their error is relative to the sizes of these.
  const many = { rtol: tolerance.rtol, atol: tolerance.atol * Math.sqrt(x.data.length) };
  if (tw) expectClose(tw.grad as Tensor, expected.dgamma, many, 'dweight');
  if (tb) expectClose(tb.grad as Tensor, expected.dbeta, many, 'dbias');
}

const DOUBLE: Tolerance = { rtol: 1e-10, atol: 1e-10 };
const SINGLE: Tolerance = { rtol: 2e-5, atol: 2e-5 };

const SHAPES: Setting[] = [
  { scope: 'batch', x: [3, 2, 7] },
  { scope: 'batch', x: [5, 3] },
  { scope: 'batch', x: [2, 3, 4, 5], affine: false },
  { scope: 'batch', x: [2, 2, 9001] }, // rows of several chunks
  { scope: 'batch', x: [700, 2, 13] }, // chunks of several rows
  { scope: 'batch', x: [1, 3, 4097], eps: 0.5 },
  { scope: 'instance', x: [3, 2, 7] },
  { scope: 'instance', x: [2, 3, 4, 5], affine: false },
  { scope: 'instance', x: [2, 2, 9001] },
  { scope: 'batch', x: [3, 2, 7], mask: ['mask', [3, 2, 7]] },
  { scope: 'batch', x: [3, 2, 7], mask: ['mask', [3, 1, 7]] },
  { scope: 'batch', x: [3, 2, 7], mask: ['mask', [1, 2, 7]] },
  { scope: 'batch', x: [3, 2, 7], mask: ['mask', [7]] },
  { scope: 'batch', x: [3, 2, 7], mask: ['mask', [3, 7]] },
  { scope: 'batch', x: [6, 3], mask: ['mask', [6, 3]] },
  { scope: 'batch', x: [2, 3, 4, 5], mask: ['sparse', [2, 1, 4, 5]], affine: false },
  { scope: 'batch', x: [2, 2, 9001], mask: ['mask', [2, 2, 9001]] },
  { scope: 'batch', x: [700, 2, 13], mask: ['mask', [700, 1, 13]] },
  { scope: 'instance', x: [3, 2, 7], mask: ['mask', [3, 1, 7]] },
  { scope: 'instance', x: [2, 3, 4, 5], mask: ['mask', [2, 3, 4, 5]], eps: 0.1 },
  { scope: 'instance', x: [2, 2, 9001], mask: ['sparse', [1, 1, 9001]] },
  { scope: 'batch', x: [3, 2, 7], mask: ['soft', [3, 2, 7]] },
  { scope: 'batch', x: [2, 2, 9001], mask: ['soft', [2, 1, 9001]] },
  { scope: 'instance', x: [3, 2, 8], mask: ['soft', [3, 2, 8]] },
];

const title = ({ scope, x, mask, affine = true, eps }: Setting): string =>
  `${scope} [${x}]${mask ? `, ${mask[0]} mask [${mask[1]}]` : ''}${affine ? '' : ', not affine'}${eps ? `, eps ${eps}` : ''}`;

describe('norms against the reference', () => {
  for (const setting of SHAPES) {
    it(`${title(setting)}: float64`, () => compare(setting, 'float64', DOUBLE));
    it(`${title(setting)}: float32`, () => compare(setting, 'float32', SINGLE));
  }

  it('float16 and bfloat16: statistics in double, rounded once', () => {
    for (const setting of SHAPES.filter(({ x }) => x.length < 3 || (x[2] as number) < 100)) {
      compare(setting, 'float16', { rtol: 2 ** -10, atol: 2 ** -9 });
      compare(setting, 'bfloat16', { rtol: 2 ** -7, atol: 2 ** -6 });
    }
  });

  it('masks of every dtype', () => {
    for (const maskDtype of ['bool', 'uint8', 'int32', 'float16', 'bfloat16', 'float32', 'float64'] as const) {
      for (const setting of SHAPES.filter(({ mask }) => mask !== undefined && mask[0] !== 'soft')) compare(setting, 'float32', SINGLE, maskDtype);
    }
    compare({ scope: 'batch', x: [3, 2, 8], mask: ['soft', [3, 2, 8]] }, 'float32', SINGLE, 'float16');
  });

  it('values far from 0 cancel nothing', () => {
    compare({ scope: 'batch', x: [4, 2, 5000] }, 'float64', { rtol: 1e-7, atol: 1e-7 }, 'float64', 1e6);
    compare({ scope: 'instance', x: [2, 2, 50], mask: ['mask', [2, 1, 50]] }, 'float32', { rtol: 2e-3, atol: 2e-3 }, 'float32', 1000);
  });

  it('random settings', () => {
    const seeded = new Seeded(20251121);
    for (let i = 0; i < 60; i++) {
      const space = seeded.chance(0.5) ? [seeded.integer(2, 40)] : [seeded.integer(1, 8), seeded.integer(2, 9)];
      const [n, c] = [seeded.integer(1, 5), seeded.integer(1, 6)];
      const kind = seeded.pick<GeneratorKind | null>([null, 'mask', 'sparse', 'soft', 'ones']);
      const shape = [seeded.chance(0.5) ? n : 1, seeded.chance(0.5) ? c : 1, ...space];
      const scope = seeded.pick<Scope>(['batch', 'instance']);
      // float64 as the reference; a variance near 0 makes a bad measure, so eps is not small
      compare({ scope, x: [n, c, ...space], affine: seeded.chance(0.7), eps: 0.01, ...(kind ? { mask: [kind, shape] } : {}) }, 'float64', DOUBLE);
    }
  });
});

describe('norms: gradients by finite differences', () => {
  for (const setting of SHAPES.filter(({ x }) => reference.sizeOf(x) < 200)) {
    it(title(setting), () => {
      const c = setting.x[1] as number;
      const mask = setting.mask ? toTensor(generate(setting.mask[0], 2, setting.mask[1])) : null;
      const inputs = setting.affine === false ? [noise(1, setting.x)] : [noise(1, setting.x), noise(3, [c]), noise(4, [c])];
      // A large eps keeps the third derivative small.
      checkGradients(([x, w = null, b = null]) => run({ ...setting, eps: 1 }, x as Tensor, mask, w, b), inputs, 1e-6);
    });
  }

  it('batch, with running statistics, not training', () => {
    const running = { runningMean: toTensor(noise(7, [2])), runningVar: toTensor(changed(noise(8, [2]), (v) => 3 + v)) };
    checkGradients(([x, w, b]) => batchNorm(x as Tensor, { weight: w as Tensor, bias: b as Tensor, ...running }), [noise(1, [3, 2, 5]), noise(3, [2]), noise(4, [2])], 1e-6);
  });
});

describe('batchNorm', () => {
  const x = noise(1, [3, 2, 7]);
  const running = (dtype: DType = 'float64') => ({
    mean: toTensor(noise(6, [2]), dtype),
    variance: toTensor(changed(noise(7, [2]), (v) => v + 3), dtype),
  });

  for (const masked of [false, true]) {
    it(`updates the running statistics, ${masked ? 'biased with a mask' : 'unbiased'}`, () => {
      const mask = masked ? generate('mask', 2, [3, 1, 7]) : null;
      const [{ mean, variance }, expected] = [running(), { mean: noise(6, [2]), variance: changed(noise(7, [2]), (v) => v + 3) }];
      batchNorm(toTensor(x), { training: true, mask: mask && toTensor(mask), runningMean: mean, runningVar: variance, momentum: 0.3 });
      reference.norm(x, mask, null, null, { scope: 'batch', momentum: 0.3 }, expected);
      expectClose(mean, expected.mean, DOUBLE, 'runningMean');
      expectClose(variance, expected.variance, DOUBLE, 'runningVar');
    });
  }

  it('normalises by the running statistics where it does not train', () => {
    const { mean, variance } = running();
    const before = [mean.readSync(), variance.readSync()];
    const [expectedMean, expectedVariance] = [noise(6, [2]), changed(noise(7, [2]), (v) => v + 3)];
    const options = { scope: 'batch', training: false } as const;
    for (const mask of [null, generate('mask', 2, [3, 1, 7])]) {
      const y = batchNorm(toTensor(x), { mask: mask && toTensor(mask), runningMean: mean, runningVar: variance });
      expectClose(y, reference.norm(x, mask, null, null, options, { mean: expectedMean, variance: expectedVariance }), DOUBLE);
    }
    expect([mean.readSync(), variance.readSync()]).to.deep.equal(before);
  });

  it('without running statistics the batch normalises, training or not', () => {
    expectSame(batchNorm(toTensor(x)), batchNorm(toTensor(x), { training: true }));
  });

  it('allows a backward() after the running statistics have changed', () => {
    const { mean, variance } = running();
    const tx = toTensor(x, 'float64', true);
    const y = batchNorm(tx, { runningMean: mean, runningVar: variance });
    mean.zero_();
    y.backward(toTensor(noise(5, x.shape)));
    expect(tx.grad).to.not.equal(null);
  });

  it('has the numbers of masked_torch (semantics 1.8)', () => {
    const mask = tensor([[[1, 1, 1, 0], [1, 1, 0, 0]]], { dtype: 'float64' });
    const masked = tensor([[[1, 2, 3, 9], [4, 6, 0, 9]]], { dtype: 'float64' }).mul(mask);
    const [runningMean, runningVar] = [zeros([2], { dtype: 'float64' }), full([2], 1, { dtype: 'float64' })];
    const y = batchNorm(masked, { training: true, mask, runningMean, runningVar });
    const printed = [-1.2247356, 0, 1.2247356, -2.4494712, -0.999995, 0.999995, -4.999975, -4.999975];
    expectClose(y, values([1, 2, 4], printed), { rtol: 0, atol: 1e-6 }); // printed in float32
    expectClose(runningMean, values([2], [0.2, 0.5]), { rtol: 0, atol: 5e-8 });
    expectClose(runningVar, values([2], [0.9666667, 1.0]), { rtol: 0, atol: 5e-8 });
  });
});

describe('norms of what is not valid', () => {
  for (const scope of ['batch', 'instance'] as const)
    for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const) {
      it(`${scope}, ${dtype}: where nothing is valid the result is the bias, and nothing is NaN`, () => {
        // Channel 0 of every sample has no valid element; in one more case nothing has.
        for (const all of [false, true]) {
          const mask = changed(generate('ones', 0, [2, 2, 5]), (_, i) => (all || Math.floor(i / 5) % 2 === 0 ? 0 : 1));
          const [x, w, b] = [toTensor(noise(1, [2, 2, 5]), dtype, true), toTensor(noise(2, [2]), dtype, true), toTensor(noise(3, [2]), dtype, true)];
          const y = run({ scope, x: [] }, x, toTensor(mask, dtype), w, b);
          const bias = decode(b.readSync(), dtype);
          const got = decode(y.readSync(), dtype);
          for (const i of [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]) expect(got[i]).to.equal(bias[0]);
          y.backward(toTensor(noise(5, [2, 2, 5]), dtype));
          const dx = decode((x.grad as Tensor).readSync(), dtype);
          const dw = decode((w.grad as Tensor).readSync(), dtype);
          expect([...got, ...dx, ...dw].every(Number.isFinite)).to.equal(true);
          expect([0, 4, 10, 14].map((i) => dx[i])).to.deep.equal([0, 0, 0, 0]);
          expect(dw[0]).to.equal(0);
          expect(at(decode((b.grad as Tensor).readSync(), dtype), 0)).to.not.equal(0);
        }
      });
    }

  it('a channel without valid elements keeps its running statistics', () => {
    const mask = changed(generate('ones', 0, [1, 2, 5]), (_, i) => (i < 5 ? 0 : 1));
    const [runningMean, runningVar] = [toTensor(noise(6, [2])), toTensor(noise(7, [2]))];
    batchNorm(toTensor(noise(1, [3, 2, 5])), { training: true, mask: toTensor(mask), runningMean, runningVar });
    expect(runningMean.readSync()[0]).to.equal(at(noise(6, [2]).data, 0));
    expect(runningVar.readSync()[0]).to.equal(at(noise(7, [2]).data, 0));
    expect(runningMean.readSync()[1]).to.not.equal(at(noise(6, [2]).data, 1));
  });

  it('a variance of 0 with an eps of 0 gives the bias', () => {
    const y = instanceNorm(full([1, 1, 4], 3), { eps: 0, bias: tensor([2]) });
    expect(y.toArray()).to.deep.equal([[[2, 2, 2, 2]]]);
  });

  it('one valid element, also as the only position', () => {
    expect(instanceNorm(tensor([[[5]]]), { mask: tensor([1]) }).toArray()).to.deep.equal([[[0]]]);
    expect(batchNorm(tensor([[7, 9]]), { mask: tensor([[1, 0]]), bias: tensor([1, 2]) }).toArray()).to.deep.equal([[1, 2]]);
  });

  for (const scope of ['batch', 'instance'] as const) {
    it(`${scope}: NaN and infinity in a hole count as 0 and reach nothing else, forward or backward`, () => {
      const mask = generate('mask', 2, [3, 1, 7]);
      const hole = (i: number) => at(mask.data, Math.floor(i / 14) * 7 + (i % 7)) === 0;
      const clean = changed(noise(1, [3, 2, 7]), (v, i) => (hole(i) ? 0 : v));
      const dirty = changed(clean, (v, i) => (hole(i) ? [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][i % 3] ?? 0 : v));
      const results = [clean, dirty].map((v) => {
        const [x, w, b] = [toTensor(v, 'float32', true), toTensor(noise(2, [2]), 'float32', true), toTensor(noise(3, [2]), 'float32', true)];
        const y = run({ scope, x: [] }, x, toTensor(mask, 'bool'), w, b);
        y.backward(toTensor(noise(5, [3, 2, 7]), 'float32'));
        return [y, x.grad, w.grad, b.grad] as Tensor[];
      });
      (results[0] as Tensor[]).forEach((t, i) => {
        expectSame(results[1]?.[i] as Tensor, t);
      });
    });
  }

  it('empty batches, channels and spaces', () => {
    const [runningMean, runningVar] = [full([3], 2), full([3], 4)];
    for (const shape of [[0, 3, 5], [2, 3, 0], [0, 3]]) {
      const x = zeros(shape, { requiresGrad: true });
      const y = batchNorm(x, { training: true, runningMean, runningVar, weight: full([3], 1) });
      expect([...y.shape]).to.deep.equal(shape);
      y.backward(zeros(shape));
      expect([...(x.grad as Tensor).shape]).to.deep.equal(shape);
    }
    expect([runningMean.toArray(), runningVar.toArray()]).to.deep.equal([[2, 2, 2], [4, 4, 4]]);
    expect([...batchNorm(zeros([2, 0, 4])).shape]).to.deep.equal([2, 0, 4]);
    expect([...instanceNorm(zeros([0, 2, 4])).shape]).to.deep.equal([0, 2, 4]);
  });
});

describe('norms: threads', () => {
  it('the same bits for any number of threads', () => {
    const results = [1, 2, 5].map((threads) => {
      setNumThreads(threads);
      const [x, w] = [toTensor(noise(1, [4, 5, 9001]), 'float32', true), toTensor(noise(2, [5]), 'float32', true)];
      const y = batchNorm(x, { mask: toTensor(generate('soft', 3, [4, 1, 9001]), 'float32'), weight: w });
      y.backward(y.detach());
      return [y, x.grad, w.grad] as Tensor[];
    });
    setNumThreads(2);
    for (const other of results.slice(1)) other.forEach((t, i) => void expectSame(t, results[0]?.[i] as Tensor));
  });
});

describe('norms: what is rejected', () => {
  const x = zeros([2, 3, 4]);
  const cases: [string, () => unknown, string, string][] = [
    ['no tensor', () => batchNorm([1] as unknown as Tensor), 'ERR_DTYPE', 'batchNorm: expected x to be a tensor, but got [1]'],
    ['an integer x', () => batchNorm(zeros([2, 3], { dtype: 'int32' })), 'ERR_DTYPE', 'batchNorm: expected x of real floating-point dtype, but got a int32 tensor of shape [2, 3]'],
    ['a complex x', () => instanceNorm(zeros([2, 3, 4], { dtype: 'complex64' })), 'ERR_DTYPE', 'instanceNorm: expected x of real floating-point dtype'],
    ['one dimension', () => batchNorm(zeros([3])), 'ERR_SHAPE', 'batchNorm: expected x [N, C, ...], but got x [3]'],
    ['a short weight', () => batchNorm(x, { weight: zeros([2]) }), 'ERR_SHAPE', 'batchNorm: weight should contain 3 elements for x [2, 3, 4], but got weight [2]'],
    ['a bias of two dimensions', () => instanceNorm(x, { bias: zeros([3, 1]) }), 'ERR_SHAPE', 'instanceNorm: bias should contain 3 elements for x [2, 3, 4], but got bias [3, 1]'],
    ['another dtype', () => batchNorm(x, { weight: zeros([3], { dtype: 'float64' }) }), 'ERR_DTYPE', 'batchNorm: expected x and weight of one dtype, but x is float32 and weight float64'],
    ['a mask that does not fit', () => batchNorm(x, { mask: zeros([2, 2, 4]) }), 'ERR_SHAPE', 'batchNorm: for x [2, 3, 4] expected a mask of shape [2, 1, 4], [1, 1, 4], [2, 4] or [4]'],
    ['a complex mask', () => batchNorm(x, { mask: zeros([4], { dtype: 'complex64' }) }), 'ERR_DTYPE', 'batchNorm: expected a real or bool mask, but got a complex64 mask of shape [4]'],
    ['half the running statistics', () => batchNorm(x, { runningMean: zeros([3]) }), 'ERR_SHAPE', 'batchNorm: expected both runningMean and runningVar, or neither'],
    ['short running statistics', () => batchNorm(x, { runningMean: zeros([4]), runningVar: zeros([4]) }), 'ERR_SHAPE', 'batchNorm: runningMean should contain 3 elements for x [2, 3, 4], but got runningMean [4]'],
    ['a negative eps', () => instanceNorm(x, { eps: -1 }), 'ERR_SHAPE', 'instanceNorm: expected eps to be a finite number of at least 0, but got -1'],
    ['a momentum that is no number', () => batchNorm(x, { training: true, runningMean: zeros([3]), runningVar: zeros([3]), momentum: '1' as unknown as number }), 'ERR_SHAPE', 'batchNorm: expected momentum to be a finite number, but got "1"'],
    ['an unknown option', () => batchNorm(x, { momentun: 1 } as BatchNormOptions), 'ERR_SHAPE', 'batchNorm: unknown option "momentun"; did you mean "momentum"?'],
    ['one position', () => instanceNorm(zeros([2, 4, 1])), 'ERR_SHAPE', 'instanceNorm: Expected more than 1 spatial element when training, got input size [2, 4, 1]'],
    ['one value per channel', () => batchNorm(zeros([1, 3]), { training: true }), 'ERR_SHAPE', 'batchNorm: Expected more than 1 value per channel when training, got input size [1, 3]'],
  ];
  for (const [name, call, code, message] of cases) {
    it(name, () => {
      const error = expectTyped(call);
      expect(error.code).to.equal(code);
      expect(error.message).to.include(message);
    });
  }
});
