// Ops whose results and gradients are sums of thousands of 16-bit terms: in 16 bits such a sum stops growing long before its end.
import { expect } from 'chai';
import {
  batchNorm,
  conv1d,
  conv2d,
  expand,
  instanceNorm,
  l1Loss,
  maskedConv1d,
  maskedL1Loss,
  maskedMseLoss,
  mean,
  mseLoss,
  partialConv1d,
  prelu,
  resize1d,
  sum,
  type Tensor,
} from '../../ts';
import { generate } from '../goldens/load';
import { at, type Values, values } from '../reference';
import { onDevice, testDevice, toTensor, toValues } from './tensors';

interface LongSum {
  readonly shapes: readonly (readonly number[])[];
  f(inputs: readonly Tensor[]): Tensor;
}

const mask = (...shape: number[]) => toTensor(generate('mask', 5, shape), 'bool');

/** x [N, C, L] and a weight of 900 taps in all, over 1,200 positions. */
const CONVOLUTION = [[2, 100, 600], [2, 100, 9], [2]];

type Three = readonly [Tensor, Tensor, Tensor];

export const LONG_SUMS: Readonly<Record<string, LongSum>> = {
  conv1d: { shapes: CONVOLUTION, f: (t) => conv1d(...(t as Three)) },
  'conv1d, padded by reflection': { shapes: CONVOLUTION, f: (t) => conv1d(...(t as Three), { padding: 3, paddingMode: 'reflect' }) },
  conv2d: { shapes: [[2, 30, 20, 30], [4, 30, 5, 7], [4]], f: (t) => conv2d(...(t as Three)) },
  'conv1d, depthwise': { shapes: [[3, 16, 1600], [16, 1, 9], [16]], f: (t) => conv1d(...(t as Three), { groups: 16 }) },
  partialConv1d: { shapes: CONVOLUTION, f: ([x, ...t]) => partialConv1d(x as Tensor, mask(2, 1, 600), ...(t as [Tensor, Tensor])) },
  'partialConv1d, a mask per channel': {
    shapes: CONVOLUTION,
    f: ([x, ...t]) => partialConv1d(x as Tensor, mask(2, 100, 600), ...(t as [Tensor, Tensor]), { multiChannel: true }),
  },
  maskedConv1d: { shapes: CONVOLUTION, f: ([x, ...t]) => maskedConv1d(x as Tensor, mask(2, 1, 600), ...(t as [Tensor, Tensor]))[0] },
  batchNorm: {
    shapes: [[3, 2, 3000], [2], [2]],
    f: ([x, weight, bias]) => batchNorm(x as Tensor, { weight: weight as Tensor, bias: bias as Tensor }),
  },
  'batchNorm, masked': {
    shapes: [[3, 2, 3000], [2], [2]],
    f: ([x, weight, bias]) => batchNorm(x as Tensor, { mask: mask(3, 1, 3000), weight: weight as Tensor, bias: bias as Tensor }),
  },
  instanceNorm: { shapes: [[2, 2, 5000]], f: ([x]) => instanceNorm(x as Tensor) },
  sum: { shapes: [[2, 5000]], f: ([x]) => sum(x as Tensor, 1) },
  'sum of columns': { shapes: [[5000, 3]], f: ([x]) => sum(x as Tensor, 0) },
  mean: { shapes: [[5000, 3]], f: ([x]) => mean(x as Tensor) },
  mseLoss: { shapes: [[5000], [5000]], f: ([x, t]) => mseLoss(x as Tensor, t as Tensor) },
  l1Loss: { shapes: [[5000], [5000]], f: ([x, t]) => l1Loss(x as Tensor, t as Tensor) },
  maskedMseLoss: { shapes: [[5000], [5000]], f: ([x, t]) => maskedMseLoss(x as Tensor, t as Tensor, mask(5000)) },
  maskedL1Loss: { shapes: [[5000], [5000]], f: ([x, t]) => maskedL1Loss(x as Tensor, t as Tensor, mask(5000)) },
  prelu: { shapes: [[3, 2, 2000], [2]], f: ([x, w]) => prelu((x as Tensor).neg(), w as Tensor) },
  expand: { shapes: [[2, 1]], f: ([x]) => expand(x as Tensor, [2, 5000]) },
  'a product that broadcasts': {
    shapes: [
      [2, 5000],
      [2, 1],
    ],
    f: ([x, y]) => (x as Tensor).mul(y as Tensor),
  },
  resize1d: { shapes: [[1, 2, 3]], f: ([x]) => resize1d(x as Tensor, { size: 6000, mode: 'nearest' }) },
};

/** Half a unit in the last place, relative. */
const HALF = { float16: 2 ** -11, bfloat16: 2 ** -8 } as const;

/** Positive numbers: every sum grows to its end. Small enough for float16's range. */
const positive = (seed: number, shape: readonly number[]): Values => {
  const { data } = generate('exact', seed, shape);
  return values(
    shape,
    data.map((v) => (Math.abs(v) + 0.5) / 8),
  );
};

function run({ f }: LongSum, inputs: readonly Values[], dtype: 'float64' | keyof typeof HALF): Values[] {
  const tensors = inputs.map((v) => toTensor(v, dtype, true));
  const y = f(tensors);
  expect([y.dtype, y.device]).to.deep.equal([dtype, testDevice()]);
  y.backward(toTensor(positive(9, y.shape), dtype));
  return [y, ...tensors.map((t) => t.grad as Tensor)].map(toValues);
}

/** Every result and gradient is that of float64 on the same operands, rounded once (or as often as said). */
export function expectLongSums(op: LongSum, dtype: keyof typeof HALF, roundings = 1): void {
  const inputs = op.shapes.map((shape, i) => toValues(toTensor(positive(i + 1, shape), dtype)));
  const expected = onDevice('cpu', () => run(op, inputs, 'float64'));
  run(op, inputs, dtype).forEach((got, k) => {
    const want = expected[k] as Values;
    const largest = want.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    want.data.forEach((e, i) => {
      // float32's sums of some thousand terms, where they cancel too; and the rounding.
      const bound = roundings * HALF[dtype] * 1.01 * Math.abs(e) + 2 ** -17 * largest + (dtype === 'float16' ? 2 ** -25 : 0);
      if (!(Math.abs(at(got.data, i) - e) <= bound))
        expect.fail(`${k === 0 ? 'y' : `gradient ${k - 1}`}[${i}] is ${at(got.data, i)}, expected ${e}`);
    });
  });
}
