// The filler: a stack of depthwise PartialConv1d layers that carries the mask from layer to layer until it is full.
import { maskFromNaN, PartialConv1d, tensor } from 'partialconv';
import { correlation, map, row, type Signals, toTensor } from './signals';

/** Layers behind the one that filled the mask: they settle what the wide ones left, from coarse to fine. */
const SETTLING = [...Array<number>(8).fill(4), ...Array<number>(16).fill(2), ...Array<number>(64).fill(1)];

/**
 * Fills every hole; known values stay as they are. While holes are left, each layer reaches twice as far as the one before.
 *
 * @throws RangeError if a channel has no known value
 */
export function fillHoles(x: Signals): Signals {
  const memory = Array.from({ length: x.channels }, (_, c) => Math.min(Math.max(correlation(row(x, c), row(x, c), 1), 0), 0.999));
  const layers = new Map<number, PartialConv1d>();
  let filled = x;
  let mask = maskFromNaN(toTensor(x));
  const apply = (dilation: number): void => {
    const layer = layers.get(dilation) ?? smoothing(memory, dilation);
    layers.set(dilation, layer);
    const [y, updatedMask] = layer.forward(toTensor(filled), mask, { returnMask: true });
    const [values, reached] = [y.readSync(), updatedMask.readSync()];
    filled = map(x, (known, i) => (Number.isNaN(known) && reached[i] ? Number(values[i]) : known));
    mask = updatedMask;
  };
  for (let dilation = 1; filled.data.some(Number.isNaN); dilation *= 2) {
    if (dilation > x.length) throw new RangeError('fillHoles: a channel has no known value');
    apply(dilation);
  }
  SETTLING.forEach(apply);
  return filled;
}

/**
 * One layer with fixed weights [g, 1, g] / 3 for each channel, g = 2 r^d / (1 + r^2d).
 *
 * A signal that remembers the share r of its last value is best guessed, where both values at distance d are known, as g times
 * their mean: near the mean of the two for a long memory, near 0 (what is usual) for a short one. Where only one of the three is
 * known, the layer's own ratio makes it g times that one. The 1 in the middle only damps the settling: in a hole it is unknown.
 */
function smoothing(memory: readonly number[], dilation: number): PartialConv1d {
  const channels = memory.length;
  const options = { dilation, groups: channels, padding: 'same', multiChannel: true, bias: false } as const;
  const layer = new PartialConv1d(channels, channels, 3, options);
  const weight = memory.flatMap((r) => {
    const g = (2 * r ** dilation) / (1 + r ** (2 * dilation));
    return [g / 3, 1 / 3, g / 3];
  });
  layer.loadStateDict({ weight: tensor(Float32Array.from(weight), { shape: [channels, 1, 3] }) });
  return layer;
}
