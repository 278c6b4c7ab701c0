// What the other channels say about a channel at the same moment: two PartialConv1d layers across all channels.
import { maskFromNaN, noGrad, PartialConv1d, type Tensor, tensor } from 'partialconv';
import { correlation, map, row, type Signals, toTensor } from './signals';

/**
 * For signals of mean 0 and spread 1, the weighted mean of the other channels' guesses r x, r their correlation with this channel
 * and r^2 / (1 - r^2) the weight of a guess; NaN where no other channel is known.
 */
export function fromNeighbours(x: Signals): Signals {
  const guess = neighbours(x)(toTensor(x), maskFromNaN(toTensor(x)));
  return map(x, (_, i) => guess[i] ?? Number.NaN);
}

/** The same with the correlations of `known` for any x and mask, [C, L] or [N, C, L]. */
export function neighbours(known: Signals): (x: Tensor, mask: Tensor) => Float32Array {
  const pairs = Array.from({ length: known.channels ** 2 }, (_, i) => {
    const [to, from] = [Math.floor(i / known.channels), i % known.channels];
    const r = to === from ? 0 : correlation(row(known, from), row(known, to));
    return { r, weight: r ** 2 / (1.05 - r ** 2) };
  });
  const across = (weights: number[]): PartialConv1d => {
    const layer = new PartialConv1d(known.channels, known.channels, 1, { multiChannel: true, bias: false });
    layer.loadStateDict({ weight: tensor(Float32Array.from(weights), { shape: [known.channels, known.channels, 1] }) });
    return layer;
  };
  const guesses = across(pairs.map((pair) => pair.r * pair.weight));
  const weights = across(pairs.map((pair) => pair.weight));
  return (x, mask) =>
    noGrad(() => {
      const sums = guesses.forward(x, mask).readSync();
      // The same holes in a signal of ones give the weights that took part; both were scaled by the same ratio.
      const totals = weights.forward(tensor(new Float32Array(x.size).fill(1), { shape: x.shape }), mask).readSync();
      return Float32Array.from(sums, (sum, i) => Number(sum) / Number(totals[i]));
    });
}
