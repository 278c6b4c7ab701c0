// batchNorm and instanceNorm, with and without masks, against the reference, finite differences and the original's numbers.
import { expect } from 'chai';
import { batchNorm, type DType, full, setNumThreads, type Tensor, tensor, zeros } from '../../ts';
import { type GeneratorKind, generate } from '../goldens/load';
import * as reference from '../reference';
import { values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { compare, DOUBLE, noise, run, type Scope, type Setting, SINGLE } from '../support/norms';
import { Seeded } from '../support/seeded';
import { changed, expectClose, expectSame, toTensor } from '../support/tensors';

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
      for (const setting of SHAPES.filter(({ mask }) => mask !== undefined && mask[0] !== 'soft'))
        compare(setting, 'float32', SINGLE, maskDtype);
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
      compare(
        { scope, x: [n, c, ...space], affine: seeded.chance(0.7), eps: 0.01, ...(kind ? { mask: [kind, shape] } : {}) },
        'float64',
        DOUBLE,
      );
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
    checkGradients(
      ([x, w, b]) => batchNorm(x as Tensor, { weight: w as Tensor, bias: b as Tensor, ...running }),
      [noise(1, [3, 2, 5]), noise(3, [2]), noise(4, [2])],
      1e-6,
    );
  });
});

describe('batchNorm', () => {
  const x = noise(1, [3, 2, 7]);
  const running = (dtype: DType = 'float64') => ({
    mean: toTensor(noise(6, [2]), dtype),
    variance: toTensor(
      changed(noise(7, [2]), (v) => v + 3),
      dtype,
    ),
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

  it('has the numbers of masked_torch', () => {
    const mask = tensor(
      [
        [
          [1, 1, 1, 0],
          [1, 1, 0, 0],
        ],
      ],
      { dtype: 'float64' },
    );
    const masked = tensor(
      [
        [
          [1, 2, 3, 9],
          [4, 6, 0, 9],
        ],
      ],
      { dtype: 'float64' },
    ).mul(mask);
    const [runningMean, runningVar] = [zeros([2], { dtype: 'float64' }), full([2], 1, { dtype: 'float64' })];
    const y = batchNorm(masked, { training: true, mask, runningMean, runningVar });
    const printed = [-1.2247356, 0, 1.2247356, -2.4494712, -0.999995, 0.999995, -4.999975, -4.999975];
    expectClose(y, values([1, 2, 4], printed), { rtol: 0, atol: 1e-6 }); // printed in float32
    expectClose(runningMean, values([2], [0.2, 0.5]), { rtol: 0, atol: 5e-8 });
    expectClose(runningVar, values([2], [0.9666667, 1.0]), { rtol: 0, atol: 5e-8 });
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
