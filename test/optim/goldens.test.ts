// SGD, Adam and AdamW with clipping and schedules: trajectories of 100 steps against PyTorch (goldens_optim.py).
import { expect } from 'chai';
import { Adam, AdamW, CosineAnnealingLR, clipGradNorm, SGD, StepLR, type Tensor, tidy } from '../../ts';
import { generate, load, numbers, type OptimCase } from '../goldens/load';
import { toTensor, toValues } from '../support/tensors';

const SHAPES = [[2, 3], [4]];
const OPTIMIZERS = { SGD, Adam, AdamW };

// Relative to the largest number, 1. In float32 about 3 units in the last place after 100 steps of one rounding each.
const TOLERANCE = { float64: 1e-12, float32: 4e-7 };
// Near the optimum a gradient is the difference of larger numbers.
const CANCELLATION = 10;

function run(
  golden: OptimCase,
  check: (step: number, now: { loss: number; norm: number; lr: number; parameters: Tensor[] }) => void,
): void {
  const { dtype } = golden;
  const made = (offset: number) => SHAPES.map((shape, i) => toTensor(generate('exact', offset + i, shape), dtype));
  const parameters = made(1);
  const stiffness = made(11).map((h) => h.abs().add(0.25));
  const centres = made(21);
  for (const p of parameters) p.requiresGrad = true;
  const optimizer = new OPTIMIZERS[golden.optimizer](parameters, golden.options);
  const kinds = { step: StepLR, cosine: CosineAnnealingLR };
  const schedule = golden.schedule && new kinds[golden.schedule.kind](optimizer, golden.schedule.options as never);
  for (let step = 1; step <= 100; step++) {
    tidy(() => {
      optimizer.zeroGrad();
      const terms = parameters.map((p, i) => {
        const [h, c] = [stiffness[i] as Tensor, centres[i] as Tensor];
        const square = h.mul(0.5).mul(p.sub(c).pow(2));
        return square.add(p.pow(4).mul(0.05)).sum();
      });
      const loss = terms.reduce((a, b) => a.add(b));
      loss.backward();
      const norm = golden.clip === undefined ? 0 : clipGradNorm(parameters, golden.clip);
      const lr = optimizer.paramGroups[0]?.lr ?? 0;
      optimizer.step();
      schedule?.step();
      check(step, { loss: loss.item() as number, norm, lr, parameters });
    });
  }
}

describe('optimizers over 100 steps, against PyTorch', () => {
  for (const golden of load('optim').cases) {
    it(golden.name, () => {
      const tolerance = TOLERANCE[golden.dtype];
      const near = (actual: number, expected: number, what: string, factor = 1) =>
        expect(Math.abs(actual - expected), what).to.be.at.most(factor * tolerance * Math.max(1, Math.abs(expected)));
      let compared = 0;
      run(golden, (step, now) => {
        if (golden.rates) expect(Math.abs(now.lr - (golden.rates[step - 1] as number)), `lr of step ${step}`).to.be.at.most(1e-15);
        const expected = golden.steps.find((entry) => entry.step === step);
        if (expected === undefined) return;
        compared++;
        near(now.loss, expected.loss, `loss of step ${step}`);
        if (expected.norm !== undefined) near(now.norm, expected.norm, `norm of step ${step}`, CANCELLATION);
        now.parameters.forEach((p, i) => {
          const want = numbers(expected.parameters[i] ?? [], golden.dtype);
          toValues(p).data.forEach((value, j) => void near(value, want[j] as number, `parameter ${i}[${j}] after step ${step}`));
        });
      });
      expect(compared).to.equal(golden.steps.length);
    });
  }
});
