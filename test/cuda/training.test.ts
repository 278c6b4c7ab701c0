// Training on 'cuda': the same losses and parameters as on the CPU, step by step, in memory that does not grow.
import { expect } from 'chai';
import { Adam, type Device, type DType, manualSeed, maskedMseLoss, tidy } from '../../ts';
import { toValues } from '../support/tensors';
import { batch, UNet } from '../training/unet';
import { fake, needsFakeCuda } from './on_fake';

/** Losses of a few steps, and what the parameters are then. */
function train(device: Device, dtype: DType, steps: number, onStep?: (step: number) => void) {
  manualSeed(7);
  const net = new UNet().to(dtype).to(device);
  const optimizer = new Adam(net.parameters(), { lr: 0.01 });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    tidy(() => {
      const { x, observed, visible } = batch(i);
      const [input, target, mask] = [x.to(dtype).to(device), observed.to(device), visible.to(device)];
      optimizer.zeroGrad();
      const loss = maskedMseLoss(net.forward(input, mask), input, target);
      loss.backward();
      optimizer.step();
      losses.push(loss.item());
    });
    onStep?.(i);
  }
  return { losses, parameters: net.parameters().map((p) => [...toValues(p).data]) };
}

function expectAllClose(actual: readonly number[], expected: readonly number[] | undefined, tolerance: number, what: string): void {
  expect(actual.length, what).to.equal(expected?.length);
  for (const [i, value] of actual.entries()) expect(value, `${what}[${i}]`).to.be.closeTo(expected?.[i] as number, tolerance);
}

describe("training on 'cuda'", () => {
  needsFakeCuda();

  for (const [dtype, tolerance] of [
    ['float64', 1e-9],
    ['float32', 1e-4],
    ['bfloat16', 0.1],
  ] as const) {
    it(`gives the CPU's losses and parameters in ${dtype}`, () => {
      const [gpu, cpu] = [train('cuda', dtype, 6), train('cpu', dtype, 6)];
      expectAllClose(gpu.losses, cpu.losses, tolerance, 'losses');
      for (const [k, values] of gpu.parameters.entries()) expectAllClose(values, cpu.parameters[k], 10 * tolerance, `parameter ${k}`);
      expect(cpu.losses.at(-1)).to.be.below(cpu.losses[0] as number);
    });
  }

  it('takes no new memory and makes no new plans after the first step', () => {
    const after: (readonly [number, number])[] = [];
    train('cuda', 'float32', 5, () => after.push([fake.get('allocations'), fake.get('plans')]));
    expect(
      after.slice(2).every(([allocations, plans]) => allocations === after[1]?.[0] && plans === after[1]?.[1]),
      String(after),
    ).to.equal(true);
  });
});
