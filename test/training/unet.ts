// A small partial-convolution U-net and its data: twin.py says the same in PyTorch.
import { concat, Module, noGrad, PartialConv1d, resize1d, type Tensor, tensor } from '../../ts';

export const STEPS = 200;
export const BATCH = 4;
export const LENGTH = 64;
export const SEED = 42;

const triangle = (k: number): number => Math.abs((k % 32) - 16) / 8 - 1;

export interface Batch {
  readonly x: Tensor;
  /** What the record has. */
  readonly observed: Tensor;
  /** The part of it that the network sees. */
  readonly visible: Tensor;
}

/** Triangle waves of changing period and phase, and two masks with runs of zeros; all [BATCH, 1, LENGTH]. */
export function batch(step: number): Batch {
  const rows = (value: (t: number, i: number) => number) =>
    tensor(
      Array.from({ length: BATCH }, (_, b) => [Array.from({ length: LENGTH }, (_, t) => value(t, step * BATCH + b))]),
      { dtype: 'float32' },
    );
  const isObserved = (t: number, i: number) => (t + 11 * i) % 29 >= 4;
  return {
    x: rows((t, i) => triangle(t * (1 + (i % 3)) + 5 * i) + t / 64),
    observed: rows((t, i) => Number(isObserved(t, i))),
    visible: rows((t, i) => Number(isObserved(t, i) && (3 * t + 7 * i) % 31 >= 9)),
  };
}

const upsampled = (x: Tensor): Tensor => resize1d(x, { scaleFactor: 2, mode: 'nearest' });

/** Features side by side, with a mask per channel. */
function joined(deep: Tensor, deepMask: Tensor, skip: Tensor, skipMask: Tensor): [Tensor, Tensor] {
  const perChannel = (mask: Tensor, x: Tensor) => mask.expand([-1, x.shape[1] as number, -1]);
  const masks = noGrad(() => concat([perChannel(upsampled(deepMask), deep), perChannel(skipMask, skip)], 1));
  return [concat([upsampled(deep), skip], 1), masks];
}

export class UNet extends Module {
  readonly down1 = new PartialConv1d(1, 8, 7, { stride: 2, padding: 3, returnMask: true });
  readonly down2 = new PartialConv1d(8, 16, 5, { stride: 2, padding: 2, returnMask: true });
  readonly up2 = new PartialConv1d(24, 8, 3, { padding: 1, multiChannel: true, returnMask: true });
  readonly up1 = new PartialConv1d(9, 1, 3, { padding: 1, multiChannel: true });

  forward(x: Tensor, mask: Tensor): Tensor {
    const [h1, m1] = this.down1.forward(x, mask);
    const [h2, m2] = this.down2.forward(h1.relu(), m1);
    const [h3, m3] = this.up2.forward(...joined(h2.relu(), m2, h1.relu(), m1));
    return this.up1.forward(...joined(h3.relu(), m3.slice(1, 0, 1), x, mask));
  }
}
