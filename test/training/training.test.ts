// A training run that coincides with PyTorch's: same seed, same data, same network; golden.json is written by twin.py.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Adam, CosineAnnealingLR, clipGradNorm, manualSeed, maskedMseLoss, tidy } from '../../ts';
import { batch, SEED, STEPS, UNet } from './unet';

interface Golden {
  readonly torch: string;
  readonly losses: readonly number[];
  readonly norms: readonly number[];
}

// float32 and float64 runs of the twin differ by 4e-7 at most; that is what another order of summation changes.
const TOLERANCE = 1e-5;

describe('a training run of 200 steps', () => {
  it('has the losses and gradient norms of PyTorch at every step', () => {
    const golden: Golden = JSON.parse(readFileSync(join(__dirname, 'golden.json'), 'utf8'));
    expect(golden.losses).to.have.length(STEPS);
    manualSeed(SEED);
    const model = new UNet();
    const optimizer = new Adam(model.parameters(), { lr: 0.005 });
    const schedule = new CosineAnnealingLR(optimizer, { tMax: STEPS });
    const relative = (actual: number, expected: number) => Math.abs(actual - expected) / expected;
    for (let step = 0; step < STEPS; step++) {
      tidy(() => {
        const { x, observed, visible } = batch(step);
        optimizer.zeroGrad();
        const loss = maskedMseLoss(model.forward(x, visible), x, observed);
        loss.backward();
        const norm = clipGradNorm(model.parameters(), 1);
        optimizer.step();
        schedule.step();
        const value = loss.item() as number;
        expect(relative(value, golden.losses[step] as number), `loss of step ${step}`).to.be.at.most(TOLERANCE);
        expect(relative(norm, golden.norms[step] as number), `norm of step ${step}`).to.be.at.most(10 * TOLERANCE);
      });
    }
    expect(golden.losses.at(-1)).to.be.below((golden.losses[0] as number) / 20);
  });
});
