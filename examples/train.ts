// npm run train: the training loop to start from. A small U-net learns to fill the holes of a signal from its known values alone.
import {
  Adam,
  CosineAnnealingLR,
  clipGradNorm,
  concat,
  Module,
  manualSeed,
  maskedMseLoss,
  maskFromNaN,
  noGrad,
  PartialConv1d,
  rand,
  resize1d,
  type Tensor,
  tensor,
  tidy,
} from 'partialconv';

const [BATCH, LENGTH, STEPS] = [8, 512, 400];

/** Down to half the length, a wide convolution, and up again beside the input. The masks go along with the features. */
class UNet extends Module {
  readonly down = new PartialConv1d(1, 16, 9, { stride: 2, padding: 4, returnMask: true });
  readonly wide = new PartialConv1d(16, 16, 9, { dilation: 2, padding: 8, returnMask: true });
  readonly up = new PartialConv1d(17, 1, 9, { padding: 4, multiChannel: true });

  forward(x: Tensor, mask: Tensor): Tensor {
    const [fine, fineMask] = this.down.forward(x, mask);
    const [deep, deepMask] = this.wide.forward(fine.relu(), fineMask);
    const doubled = (t: Tensor) => resize1d(t, { scaleFactor: 2, mode: 'nearest' });
    const masks = concat([doubled(deepMask).expand([-1, 16, -1]), mask], 1);
    return this.up.forward(concat([doubled(deep.relu()), x], 1), masks);
  }
}

manualSeed(1);
const truth = Array.from({ length: LENGTH }, (_, t) => Math.sin(t / 8) + 0.5 * Math.sin(t / 2.7));
const isHole = (t: number) => t % 61 < 12;
const x = tensor([[truth.map((value, t) => (isHole(t) ? Number.NaN : value))]]).expand([BATCH, 1, LENGTH]);
const known = maskFromNaN(x).to('float32');

/** What a step shows of the known values: 0 on eight random stretches of up to 16. */
function visible(): Tensor {
  const rows = rand([BATCH, 8, 2]).toArray() as [number, number][][];
  const mask = rows.map((stretches) => {
    const row = new Array<number>(LENGTH).fill(1);
    for (const [where, size] of stretches) row.fill(0, where * LENGTH, where * LENGTH + 1 + size * 16);
    return [row];
  });
  return known.mul(tensor(mask));
}

const model = new UNet();
const optimizer = new Adam(model.parameters(), { lr: 0.01 });
const schedule = new CosineAnnealingLR(optimizer, { tMax: STEPS });
for (let step = 1; step <= STEPS; step++) {
  // tidy() frees what is made inside at once; without it the garbage collector does so later.
  tidy(() => {
    const shown = visible();
    optimizer.zeroGrad();
    // The loss is over known values that were not shown. A NaN under a 0 of a mask changes nothing, here or in the gradients.
    const loss = maskedMseLoss(model.forward(x, shown), x, known.sub(shown));
    loss.backward();
    clipGradNorm(model.parameters(), 1);
    optimizer.step();
    schedule.step();
    if (step % 50 === 0) console.log(`step ${step}: loss ${(loss.item() as number).toFixed(4)}`);
  });
}

const filled = noGrad(() => model.forward(x, known)).readSync();

/** The straight line over t's hole. */
function line(t: number): number {
  const [before, after] = [t - (t % 61) - 1, t - (t % 61) + 12].map((i) => truth[i] ?? 0) as [number, number];
  return before + ((after - before) * ((t % 61) + 1)) / 13;
}

const holes = truth.map((_, t) => t).filter(isHole);
const error = (f: (t: number) => number) =>
  Math.sqrt(holes.reduce((sum, t) => sum + (f(t) - (truth[t] ?? 0)) ** 2, 0) / holes.length).toFixed(3);
console.log(`error in the holes: ${error((t) => filled[t] ?? 0)}, of straight lines: ${error(line)}`);
