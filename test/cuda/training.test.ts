// Training on 'cuda': the same losses and parameters as on the CPU, step by step, in memory that does not grow.
import { expect } from 'chai';
import {
  Adam,
  autocast,
  Conv1d,
  clipGradNorm,
  type Device,
  type DType,
  GradScaler,
  MaskedConv1d,
  manualSeed,
  maskedMseLoss,
  ones,
  PartialConv1d,
  Sequential,
  SGD,
  Tensor,
  tidy,
  zeros,
} from '../../ts';
import { load } from '../goldens/load';
import { forward, mixedRun, train as trainNet } from '../support/mixed_nets';
import { onDevice, toValues } from '../support/tensors';
import { batch, UNet } from '../training/unet';
import { counted, fake } from './on_fake';
import { expectNear, itOnFake, needsCuda, onGpu } from './on_gpu';

/** The same in mixed precision: autocast, a GradScaler, and (of a 16-bit network) master copies of its parameters. */
function trainMixed(device: Device, low: 'float16' | 'bfloat16', parameters: DType, steps: number, onStep?: (step: number) => void) {
  manualSeed(7);
  const net = new UNet().to(parameters).to(device);
  const optimizer = new SGD(net.parameters(), { lr: 0.02, momentum: 0.9 });
  const scaler = new GradScaler({ growthInterval: 3 });
  const losses: number[] = [];
  const scales: number[] = [];
  for (let i = 0; i < steps; i++) {
    tidy(() => {
      const { x, observed, visible } = batch(i);
      const [input, target, mask] = [x.to(device), observed.to(device), visible.to(device)];
      optimizer.zeroGrad();
      const loss = autocast(low, () => maskedMseLoss(net.forward(input, mask), input, target));
      scaler.scale(loss).backward();
      scaler.unscale(optimizer);
      clipGradNorm(net.parameters(), 5);
      scaler.step(optimizer);
      scaler.update();
      losses.push(loss.item());
      scales.push(scaler.getScale());
    });
    onStep?.(i);
  }
  const masters = Object.values(optimizer.stateDict().state).map(({ master }) => (master instanceof Tensor ? master.dtype : null));
  return { losses, scales, masters, parameters: net.parameters().map((p) => [...toValues(p).data]) };
}

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

  for (const [low, parameters, tolerance] of [
    ['bfloat16', 'float32', 0.02],
    ['float16', 'float32', 0.005],
    ['bfloat16', 'bfloat16', 0.02],
    ['float16', 'float16', 0.005],
  ] as const) {
    it(`gives the CPU's losses, scales and parameters under autocast in ${low}, with parameters in ${parameters}`, () => {
      const [gpu, cpu] = [trainMixed('cuda', low, parameters, 8), trainMixed('cpu', low, parameters, 8)];
      expectNear(gpu.losses, cpu.losses, tolerance, 'losses');
      expect(gpu.scales).to.deep.equal(cpu.scales);
      if (!onGpu)
        for (const [k, values] of gpu.parameters.entries()) expectNear(values, cpu.parameters[k] ?? [], 2 * tolerance, `parameter ${k}`);
      expect(gpu.masters).to.deep.equal(gpu.masters.map(() => (parameters === 'float32' ? null : 'float32')));
      expect(cpu.losses.at(-1)).to.be.below((cpu.losses[0] as number) / 2);
      // Not what float32 gives, but near it.
      const exact = train('cpu', 'float32', 1).losses[0] as number;
      expect(gpu.losses[0]).to.not.equal(exact);
      expect(gpu.losses[0]).to.be.closeTo(exact, 0.02 * exact);
    });
  }

  it('gives PyTorch’s numbers under autocast', () => {
    for (const golden of load('mixed').nets) {
      const { net, dtype } = golden;
      const losses = onDevice('cuda', () => trainNet(golden, dtype));
      expectNear(losses, golden.training, { float16: 2 ** -9, bfloat16: 2 ** -6 }[dtype], `${net} in ${dtype}`);
      const dtypes = onDevice('cuda', () => {
        const { results, loss } = forward(golden, dtype, mixedRun(golden));
        return [...results, loss].map((t) => t.dtype);
      });
      expect(dtypes).to.deep.equal(golden.dtypes);
    }
  });

  itOnFake('waits for a step’s flag alone, and takes no new memory in a run of mixed precision', () => {
    const p = ones([50], { device: 'cuda', requiresGrad: true });
    const q = ones([70], { device: 'cuda', dtype: 'float16', requiresGrad: true });
    const optimizer = new Adam([p, q]);
    for (const t of [p, q]) t.grad = ones(t.shape, { device: 'cuda', dtype: t.dtype });
    const scaler = new GradScaler();
    expect(counted('waits', () => scaler.unscale(optimizer))).to.equal(0);
    expect(counted('waits', () => scaler.step(optimizer))).to.equal(1);
    expect(counted('waits', () => scaler.update())).to.equal(0);
    const allocations: number[] = [];
    trainMixed('cuda', 'float16', 'float32', 60, () => allocations.push(fake.get('allocations')));
    expect(allocations.at(-1), String(allocations)).to.equal(allocations[20]);
  });

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
