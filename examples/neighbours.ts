// What the other channels say about a channel at the same moment: two PartialConv1d layers across all channels.
import { maskFromNaN, PartialConv1d, tensor } from 'partialconv';
import { correlation, map, row, type Signals, toTensor } from './signals';

/**
 * For signals of mean 0 and spread 1, the weighted mean of the other channels' guesses r x, r their correlation with this channel
 * and r^2 / (1 - r^2) the weight of a guess; NaN where no other channel is known.
 */
export function fromNeighbours(x: Signals): Signals {
  const pairs = Array.from({ length: x.channels ** 2 }, (_, i) => {
    const [to, from] = [Math.floor(i / x.channels), i % x.channels];
    const r = to === from ? 0 : correlation(row(x, from), row(x, to));
    return { r, weight: r ** 2 / (1.05 - r ** 2) };
  });
  const mask = maskFromNaN(toTensor(x));
  const across = (of: Signals, weights: number[]): ArrayLike<number | bigint> => {
    const layer = new PartialConv1d(x.channels, x.channels, 1, { multiChannel: true, bias: false });
    layer.loadStateDict({ weight: tensor(Float32Array.from(weights), { shape: [x.channels, x.channels, 1] }) });
    return layer.forward(toTensor(of), mask).readSync();
  };
  const [guess, weight] = [pairs.map((pair) => pair.r * pair.weight), pairs.map((pair) => pair.weight)];
  const sums = across(x, guess);
  // The same holes in a signal of ones give the weights that took part; both were scaled by the same ratio.
  const ones = map(x, () => 1);
  const totals = across(ones, weight);
  return map(x, (_, i) => Number(sums[i]) / Number(totals[i]));
}
