// Training on 'cuda': the same losses and parameters as on the CPU, step by step, in memory that does not grow.
import { expect } from 'chai';
import {
  Adam,
  Conv1d,
  type Device,
  type DType,
  MaskedConv1d,
  manualSeed,
  maskedMseLoss,
  ones,
  PartialConv1d,
  Sequential,
  tidy,
  zeros,
} from '../../ts';
import { toValues } from '../support/tensors';
import { batch, UNet } from '../training/unet';
import { fake } from './on_fake';
import { expectNear, itOnFake, needsCuda, onGpu } from './on_gpu';

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

describe("training on 'cuda'", () => {
  needsCuda();

  for (const [dtype, tolerance] of [
    ['float64', 1e-9],
    ['float32', onGpu ? 1e-2 : 1e-4], // in TF32
    ['bfloat16', 0.1],
  ] as const) {
    it(`gives the CPU's losses and parameters in ${dtype}`, () => {
      const [gpu, cpu] = [train('cuda', dtype, 6), train('cpu', dtype, 6)];
      expectNear(gpu.losses, cpu.losses, tolerance, 'losses');
      // Adam divides by the gradient's size: on a GPU the sign of one that is 0 but for rounding moves its parameter.
      if (!onGpu)
        for (const [k, values] of gpu.parameters.entries()) expectNear(values, cpu.parameters[k] ?? [], 10 * tolerance, `parameter ${k}`);
      expect(cpu.losses.at(-1)).to.be.below(cpu.losses[0] as number);
    });
  }

  itOnFake('frees what caches of weights and masks no longer keep, without the garbage collector', () => {
    const net = new Sequential(new Conv1d(16, 16, 3, { padding: 1 }), new Conv1d(16, 16, 3)).to('cuda');
    const partial = new PartialConv1d(16, 16, 3, { device: 'cuda' });
    const masked = new MaskedConv1d(16, 16, 3, { device: 'cuda' });
    const optimizer = new Adam([net, partial, masked].flatMap((m) => m.parameters()));
    const allocations: number[] = [];
    for (let i = 0; i < 30; i++) {
      tidy(() => {
        const x = zeros([2, 16, 50], { device: 'cuda' });
        const mask = ones([2, 1, 50], { device: 'cuda' }); // another one each time
        const y = partial.forward(net.forward(x.add(partial.weight.sum())), mask.slice(2, 2));
        const [z] = masked.forward(x, mask);
        optimizer.zeroGrad();
        y.sum().add(z.sum()).backward();
        optimizer.step();
      });
      allocations.push(fake.get('allocations'));
    }
    expect(allocations.at(-1)).to.equal(allocations[20], String(allocations));
  });

  itOnFake('takes no new memory once the caches are full, and makes no new plans after the first steps', () => {
    const after: (readonly [number, number])[] = [];
    // As many steps as a layer keeps masks.
    train('cuda', 'float32', 24, () => after.push([fake.get('allocations'), fake.get('plans')]));
    expect(
      after.slice(20).every(([allocations, plans]) => allocations === after[19]?.[0] && plans === after[1]?.[1]),
      String(after),
    ).to.equal(true);
  });
});
