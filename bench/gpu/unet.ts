// A training step of the demo's U-net, as built in build/examples: forward, loss, backward, clipping, AdamW; peers/torch_ops.py has its twin.
import { join } from 'node:path';
import type * as Library from '../../ts/index';
import { pc } from '../peers/ours';
import { type Runner, uniform } from '../peers/peer';
import { product } from '../shapes';
import { dtypeOf, timed, valuesOf } from './ours';
import type { Precision } from './rows';

type UNet = Library.Module & { forward(x: Library.Tensor, mask: Library.Tensor, hints: Library.Tensor): Library.Tensor };

export interface UNetShape {
  /** [N, channels, L] */
  readonly x: readonly number[];
  readonly hints: number;
}

function makeModel({ x: [, channels = 1], hints }: UNetShape): UNet {
  const { UNet: Model } = require(join(__dirname, '..', '..', 'build', 'examples', 'unet.js')) as {
    UNet: new (channels: number, hints: number) => UNet;
  };
  return new Model(channels, hints);
}

/** Operands and parameters, by name, the same for everyone. */
export function unetArrays(shape: UNetShape): Record<string, Float32Array> {
  const [n = 1, , l = 1] = shape.x;
  const valid = (seed: number) => uniform(product(shape.x), seed).map((v) => Number(v > -0.25));
  const operands = { x: uniform(product(shape.x), 1), mask: valid(2), asked: valid(3), hints: uniform(n * shape.hints * l, 4) };
  const parameters = makeModel(shape)
    .namedParameters()
    .map(([name, { size }], i) => [name, uniform(size, 10 + i).map((v) => v / 4)]);
  return { ...operands, ...Object.fromEntries(parameters) };
}

export function prepareUNet(shape: UNetShape, precision: Precision, arrays: Record<string, Float32Array>): Runner {
  const [n = 1, , l = 1] = shape.x;
  const onGpu = (name: string, size: readonly number[]) =>
    pc
      .tensor(arrays[name] as Float32Array, { shape: [...size] })
      .to(dtypeOf(precision))
      .to('cuda');
  const [x, mask, asked, hints] = [
    onGpu('x', shape.x),
    onGpu('mask', shape.x),
    onGpu('asked', shape.x),
    onGpu('hints', [n, shape.hints, l]),
  ];
  const model = makeModel(shape);
  const state = model.namedParameters().map(([name, p]) => [name, pc.tensor(arrays[name] as Float32Array, { shape: [...p.shape] })]);
  model.loadStateDict(Object.fromEntries(state));
  model.to(dtypeOf(precision)).to('cuda');
  const parameters = [...model.parameters()];
  const optimizer = new pc.AdamW(parameters, { lr: 0.005 });
  const loss = () => pc.maskedL1Loss(model.forward(x, mask, hints), x, asked);
  const step = () => {
    optimizer.zeroGrad();
    loss().backward();
    pc.clipGradNorm(parameters, 1);
    optimizer.step();
  };
  return {
    time: (iterations) => timed(() => pc.tidy(step), iterations),
    sample: () => pc.tidy(() => valuesOf(pc.noGrad(loss))),
    close() {
      for (const t of [x, mask, asked, hints, ...parameters]) t.dispose();
    },
  };
}
