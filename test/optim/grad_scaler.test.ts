// GradScaler against torch.amp.GradScaler (goldens_mixed.py), and its rules: order of calls, 16-bit gradients, state, errors.
import { expect } from 'chai';
import { Adam, clipGradNorm, type DType, GradScaler, mseLoss, SGD, type Tensor, tensor } from '../../ts';
import { native } from '../../ts/native';
import { generate, load, numbers } from '../goldens/load';
import { expectClose, expectSame, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const text = (f: () => unknown): string => {
  const { code, message } = expectTyped(f);
  return `${code} ${message}`;
};

const leaf = (data: number[], dtype: DType = 'float32'): Tensor => tensor(data, { dtype, requiresGrad: true });

/** A parameter with a gradient. */
function withGrad(data: number[], grad: number[], dtype: DType = 'float32'): Tensor {
  const p = leaf(data, dtype);
  p.grad = tensor(grad, { dtype });
  return p;
}

describe('GradScaler', () => {
  it('has the scales, norms and parameters of PyTorch, through overflows and growth', () => {
    const { options, infinite, steps } = load('mixed').scaler;
    const parameters = [[2, 3], [4]].map((shape, i) => toTensor(generate('exact', 1 + i, shape), 'float32', true));
    const optimizer = new SGD(parameters, { lr: 0.1, momentum: 0.9 });
    const scaler = new GradScaler(options);
    for (const golden of steps) {
      const { step } = golden;
      optimizer.zeroGrad();
      const terms = parameters.map((p, i) => {
        const g = toTensor(generate('exact', 50 + 2 * step + i, p.shape), 'float32');
        if (i === 0 && infinite.includes(step)) g.data[0] = Number.POSITIVE_INFINITY;
        return p.mul(g).sum();
      });
      scaler.scale(terms[0]?.add(terms[1] as Tensor) as Tensor).backward();
      scaler.unscale(optimizer);
      const norm = clipGradNorm(parameters, 1);
      expect(scaler.step(optimizer)).to.equal(!infinite.includes(step));
      scaler.update();
      if (Number.isFinite(Number(golden.norm))) expect(norm).to.be.closeTo(Number(golden.norm), 1e-6);
      else expect(norm).to.equal(Number(golden.norm));
      expect([scaler.getScale(), scaler.stateDict().growthTracker], `step ${step}`).to.deep.equal([golden.scale, golden.growthTracker]);
      parameters.forEach((p, i) => {
        expectClose(
          p,
          { shape: [...p.shape], data: numbers(golden.parameters[i] ?? [], 'float32'), complex: false },
          { rtol: 0, atol: 5e-7 },
        );
      });
    }
  });

  it('starts as PyTorch’s does', () => {
    const state = { scale: 65536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000, growthTracker: 0 };
    expect(new GradScaler().stateDict()).to.deep.equal(state);
  });

  it('unscales every dtype in one pass a tensor, 16-bit gradients into float32 without losing any', () => {
    const dtypes = ['float32', 'float64', 'float16', 'bfloat16', 'complex64'] as const;
    for (const dtype of dtypes) {
      for (const size of [1, 2047, 5000]) {
        const values = generate('fine', 3, [size], dtype === 'complex64');
        const p = toTensor(values, dtype, true);
        p.grad = toTensor(values, dtype);
        const before = toValues(p.grad);
        const scaler = new GradScaler({ initScale: 2 ** 24 });
        const { unscale } = native;
        let passes = 0;
        Object.assign(native, {
          unscale: (...args: Parameters<typeof unscale>) => {
            passes++;
            unscale(...args);
          },
        });
        try {
          scaler.unscale(new SGD([p]));
        } finally {
          Object.assign(native, { unscale });
        }
        expect(passes).to.equal(1);
        const { grad } = p;
        expect(grad.dtype).to.equal(dtype.endsWith('16') ? 'float32' : dtype);
        expectClose(grad, { ...before, data: before.data.map((v) => v / 2 ** 24) }, { rtol: 0, atol: 0 });
      }
    }
  });

  it('finds one number that is not finite, wherever it is, and leaves the parameters', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        for (const at of [0, 2047, 2048, 4999]) {
          const data = Array.from({ length: 5000 }, (_, i) => (i === at ? bad : 1));
          const [p, q] = [withGrad([1, 2], [1, 1]), leaf(new Array(5000).fill(3), dtype)];
          q.grad = tensor(data, { dtype });
          const scaler = new GradScaler();
          expect(scaler.step(new SGD([p, q])), `${bad} at ${at} in ${dtype}`).to.equal(false);
          expect([p.toArray(), q.toArray<number[]>()[0]]).to.deep.equal([[1, 2], 3]);
          scaler.update();
          expect(scaler.getScale()).to.equal(32768);
        }
      }
    }
  });

  it('scales losses: 16-bit ones into float32, several at once', () => {
    const scaler = new GradScaler();
    const [p, h] = [leaf([3]), leaf([1], 'float16')];
    const [a, b] = scaler.scale([mseLoss(p, tensor([1])), mseLoss(h, tensor([0.5], { dtype: 'float16' }))] as const) as readonly [
      Tensor,
      Tensor,
    ];
    expect([a.item(), b.item(), b.dtype]).to.deep.equal([4 * 65536, 0.25 * 65536, 'float32']);
    a.backward();
    expect(p.grad?.item()).to.equal(4 * 65536);
  });

  it('keeps gradients that float16 would lose', () => {
    const p = leaf([1], 'float16');
    const run = (scaler: GradScaler) => {
      p.grad = null;
      const loss = p.mul(tensor([2 ** -20], { dtype: 'float16' })).mul(tensor([2 ** -10], { dtype: 'float16' }));
      scaler.scale(loss.sum()).backward();
      scaler.unscale(new SGD([p]));
      return (p.grad as Tensor | null)?.item();
    };
    expect(run(new GradScaler({ initScale: 1 }))).to.equal(0);
    expect(run(new GradScaler({ initScale: 2 ** 15 }))).to.equal(2 ** -30);
  });

  it('serves several optimizers: one overflow lowers the scale for all, the others step', () => {
    const [p, q] = [withGrad([1], [65536]), withGrad([1], [Number.NaN])];
    const [a, b] = [new SGD([p], { lr: 1 }), new Adam([q])];
    const scaler = new GradScaler();
    expect([scaler.step(a), scaler.step(b)]).to.deep.equal([true, false]);
    scaler.update();
    expect([p.item(), q.item(), scaler.getScale()]).to.deep.equal([0, 1, 32768]);
  });

  it('switched off is the optimizer alone', () => {
    const p = withGrad([1], [Number.POSITIVE_INFINITY]);
    const scaler = new GradScaler({ enabled: false });
    const loss = tensor(2);
    expect(scaler.scale(loss)).to.equal(loss);
    const optimizer = new SGD([p], { lr: 1 });
    scaler.unscale(optimizer);
    expect(scaler.step(optimizer)).to.equal(true);
    scaler.update();
    expect([p.item(), scaler.getScale(), scaler.isEnabled()]).to.deep.equal([Number.NEGATIVE_INFINITY, 1, false]);
  });

  it('goes on from a saved state, and takes a new scale', () => {
    const scaler = new GradScaler({ growthInterval: 2 });
    const cycle = (s: GradScaler) => {
      s.step(new SGD([withGrad([1], [1])]));
      s.update();
    };
    cycle(scaler);
    const other = new GradScaler();
    other.loadStateDict(JSON.parse(JSON.stringify(scaler.stateDict())));
    cycle(other);
    expect(other.stateDict()).to.deep.equal({ ...scaler.stateDict(), scale: 131072, growthTracker: 0 });
    other.update(3);
    expect(other.getScale()).to.equal(3);
  });

  it('does not grow beyond float32', () => {
    const scaler = new GradScaler({ initScale: 2 ** 127, growthInterval: 1 });
    scaler.step(new SGD([withGrad([1], [1])]));
    scaler.update();
    expect(scaler.getScale()).to.equal(2 ** 127);
  });

  it('leaves float32 gradients of 16-bit parameters to the optimizer, which steps as with the same ones in float32', () => {
    for (const make of [(p: Tensor) => new SGD([p], { lr: 0.1, momentum: 0.9 }), (p: Tensor) => new Adam([p], { lr: 0.1 })]) {
      const [h, f] = [leaf([1, -0.5], 'bfloat16'), leaf([1, -0.5])];
      const [forH, forF] = [make(h), make(f)];
      for (let i = 0; i < 3; i++) {
        h.grad = tensor([0.1, 0.3]);
        f.grad = tensor([0.1, 0.3]);
        forH.step();
        forF.step();
      }
      expectSame(h, f.detach().to('bfloat16'));
    }
  });
});

describe('GradScaler errors', () => {
  const p = () => withGrad([1], [1]);
  it('calls in another order', () => {
    const scaler = new GradScaler();
    const optimizer = new SGD([p()]);
    expect(text(() => scaler.update())).to.match(/^ERR_SHAPE GradScaler: No inf checks were recorded prior to update\(\)/);
    scaler.unscale(optimizer);
    expect(text(() => scaler.unscale(optimizer))).to.match(
      /unscale\(\) has already been called on this optimizer since the last update\(\)/,
    );
    scaler.step(optimizer);
    expect(text(() => scaler.step(optimizer))).to.match(/step\(\) has already been called since the last update\(\)/);
    expect(text(() => scaler.unscale(optimizer))).to.match(/unscale\(\) is being called after step\(\)/);
    scaler.update();
    scaler.unscale(optimizer);
    expect(text(() => new GradScaler().step(new SGD([leaf([1])])))).to.match(
      /^ERR_SHAPE GradScaler: No inf checks were recorded for this optimizer: none of its parameters has a gradient/,
    );
  });

  const refused: [string, () => unknown, string][] = [
    [
      'a scale',
      () => new GradScaler({ initScale: 0 }),
      'ERR_SHAPE GradScaler: expected initScale to be a finite number above 0, but got 0',
    ],
    [
      'growth',
      () => new GradScaler({ growthFactor: 1 }),
      'ERR_SHAPE GradScaler: expected growthFactor to be a finite number above 1, but got 1',
    ],
    [
      'backoff',
      () => new GradScaler({ backoffFactor: 1 }),
      'ERR_SHAPE GradScaler: expected backoffFactor to be a number between 0 and 1, but got 1',
    ],
    [
      'interval',
      () => new GradScaler({ growthInterval: 0.5 }),
      'ERR_SHAPE GradScaler: expected growthInterval to be a positive integer, but got 0.5',
    ],
    ['enabled', () => new GradScaler({ enabled: 1 as never }), 'ERR_SHAPE GradScaler: expected enabled to be a boolean, but got 1'],
    [
      'a name',
      () => new GradScaler({ initScal: 1 } as never),
      'ERR_SHAPE GradScaler: unknown option "initScal"; did you mean "initScale"?',
    ],
    [
      'a new scale',
      () => new GradScaler().update(Infinity),
      'ERR_SHAPE GradScaler: expected newScale to be a finite number above 0, but got Infinity',
    ],
    ['no tensor', () => new GradScaler().scale(3 as never), 'ERR_DTYPE GradScaler.scale: expected the loss to be a tensor, but got 3'],
    [
      'integers',
      () => new GradScaler().scale(tensor([1], { dtype: 'int32' })),
      'ERR_DTYPE GradScaler.scale: expected a loss of floating point dtype, but got an int32 tensor of shape [1]',
    ],
    ['no optimizer', () => new GradScaler().step([] as never), 'ERR_DTYPE GradScaler.step: expected an optimizer, but got []'],
    [
      'half a state',
      () => new GradScaler().loadStateDict({ scale: 1 } as never),
      'ERR_SHAPE GradScaler: the state has no growthFactor: an object (Object)',
    ],
  ];
  for (const [name, f, message] of refused) it(name, () => expect(text(f)).to.equal(message));

  it('a gradient that the optimizer refuses: none has changed', () => {
    const [a, b] = [p(), p()];
    b.grad = tensor([1, 2]);
    expect(text(() => new GradScaler().unscale(new SGD([a, b])))).to.equal(
      'ERR_SHAPE SGD: expected the gradient of parameter 1 to have shape [1], but got a float32 tensor of shape [2]',
    );
    expect(a.grad?.item()).to.equal(1);
  });
});
