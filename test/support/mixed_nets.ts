// The networks of goldens_mixed.py: parameters and data as it makes them, and a training loop with autocast and GradScaler.
import {
  type AutocastDType,
  autocast,
  batchNorm,
  conv1d,
  conv2d,
  GradScaler,
  instanceNorm,
  mseLoss,
  ones,
  partialConv1d,
  prelu,
  SGD,
  type Tensor,
  tidy,
  zeros,
} from '../../ts';
import { generate, type MixedNet } from '../goldens/load';
import { testDevice, toTensor } from './tensors';

export interface MixedRun {
  readonly x: Tensor;
  readonly mask: Tensor;
  readonly parameters: Tensor[];
}

/** The results of the layers, the last one the network's. */
type Net = (run: MixedRun) => Tensor[];

const NETS: Record<MixedNet['net'], Net> = {
  plain: ({ x, parameters: [w1, b1, weight, bias, slopes, w2, b2] }) => {
    const h = conv1d(x, w1 as Tensor, b1, { padding: 1 });
    const device = testDevice();
    const running = { runningMean: zeros([8], { device }), runningVar: ones([8], { device }) };
    const n = batchNorm(h, { training: true, weight: weight as Tensor, bias: bias as Tensor, ...running });
    const a = prelu(n, slopes as Tensor);
    return [h, n, a, conv1d(a, w2 as Tensor, b2, { stride: 2 })];
  },
  shared: ({ x, parameters: [weight, bias] }) => {
    const options = { padding: 1, groups: 2 };
    const h = conv2d(x, weight as Tensor, bias, options);
    const n = instanceNorm(h);
    return [h, n, conv2d(n.relu(), weight as Tensor, bias, options)];
  },
  partial: ({ x, mask, parameters: [w1, b1, w2, b2] }) => {
    const [h, updated] = partialConv1d(x, mask, w1 as Tensor, b1, { padding: 2, returnMask: true });
    return [h, partialConv1d(h.relu(), updated, w2 as Tensor, b2, { padding: 1 })];
  },
};

export function mixedRun(golden: MixedNet): MixedRun {
  const [n = 1, , ...space] = golden.x;
  return {
    x: toTensor(generate('fine', 1, golden.x), 'float32', true),
    mask: toTensor(generate('mask', 3, [n, 1, ...space]), 'float32'),
    parameters: golden.shapes.map((shape, i) => {
      const { data } = generate('fine', 10 + i, shape);
      return toTensor({ shape, data: data.map((v) => v * Math.fround(golden.scales[i] as number)), complex: false }, 'float32', true);
    }),
  };
}

/** The layers' results and the loss, in autocast(). */
export function forward({ net }: MixedNet, dtype: AutocastDType | null, run: MixedRun): { results: Tensor[]; loss: Tensor } {
  return autocast(dtype, () => {
    const results = NETS[net](run);
    const y = results.at(-1) as Tensor;
    return { results, loss: mseLoss(y, toTensor(generate('fine', 2, y.shape), y.dtype === 'float64' ? 'float64' : 'float32')) };
  });
}

/** The losses of some steps with a GradScaler. */
export function train(golden: MixedNet, dtype: AutocastDType | null, steps = 20): number[] {
  const run = mixedRun(golden);
  run.x.requiresGrad = false;
  const optimizer = new SGD(run.parameters, { lr: 0.05, momentum: 0.9 });
  const scaler = new GradScaler();
  return Array.from({ length: steps }, () =>
    tidy(() => {
      optimizer.zeroGrad();
      const { loss } = forward(golden, dtype, run);
      scaler.scale(loss).backward();
      scaler.step(optimizer);
      scaler.update();
      return loss.item();
    }),
  );
}
