// The demo's network: a small U-net of partial convolutions that corrects a first guess of a signal with holes.
import { Conv1d, concat, Module, noGrad, onesLike, PartialConv1d, resize1d, type Tensor, zerosLike } from 'partialconv';

/** Features with their mask: a channel for all, or one for each. */
type Masked = readonly [x: Tensor, mask: Tensor];

const OPTIONS = { multiChannel: true, returnMask: true } as const;

export class UNet extends Module {
  /** What lengths must be a multiple of. */
  static readonly multiple = 8;
  readonly down: PartialConv1d<true>[];
  readonly up: PartialConv1d<true>[];
  readonly last: Conv1d;

  /** @param hints channels that are known everywhere; the first of them are the first guess of x */
  constructor(
    private readonly channels: number,
    hints: number,
    width = 16,
  ) {
    super();
    const sizes = [7, 5, 5];
    this.down = sizes.map(
      (k, i) => new PartialConv1d(i === 0 ? channels : width, width, k, { stride: 2, padding: (k - 1) / 2, ...OPTIONS }),
    );
    this.up = [
      new PartialConv1d(2 * width, width, 3, { padding: 1, ...OPTIONS }),
      new PartialConv1d(2 * width, width, 3, { padding: 1, ...OPTIONS }),
      new PartialConv1d(width + channels + hints, width, 7, { padding: 3, ...OPTIONS }),
    ];
    // Begins at 0: the untrained network answers with the first guess.
    this.last = new Conv1d(width + hints, channels, 3, { padding: 1 });
    this.last.loadStateDict({ weight: zerosLike(this.last.weight), bias: zerosLike(this.last.bias as Tensor) });
  }

  /** x and mask [N, channels, L], hints [N, hints, L]; the result has no holes. */
  forward(x: Tensor, mask: Tensor, hints: Tensor): Tensor {
    let features: Masked = [x, mask];
    const skipped: Masked[][] = [[features, [hints, noGrad(() => onesLike(hints))]]];
    for (const layer of this.down) {
      features = activated(layer.forward(...features));
      skipped.push([features]);
    }
    skipped.pop();
    for (const layer of this.up) {
      features = activated(layer.forward(...joined([doubled(features), ...(skipped.pop() ?? [])])));
    }
    const correction = this.last.forward(concat([features[0], hints], 1));
    return hints.slice(1, 0, this.channels).add(correction);
  }
}

/** The updated mask is the same for all channels: one of them is enough. */
const activated = ([x, mask]: Masked): Masked => [x.relu(), mask.slice(1, 0, 1)];

function doubled([x, mask]: Masked): Masked {
  const twice = (t: Tensor): Tensor => resize1d(t, { scaleFactor: 2, mode: 'nearest' });
  return [twice(x), twice(mask)];
}

function joined(parts: readonly Masked[]): Masked {
  const masks = noGrad(() => parts.map(([x, mask]) => mask.expand([-1, x.shape[1] as number, -1])));
  return [
    concat(
      parts.map(([x]) => x),
      1,
    ),
    concat(masks, 1),
  ];
}
