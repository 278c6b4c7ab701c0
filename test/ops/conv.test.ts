// conv1d and conv2d against PyTorch's numbers, the reference, and finite differences.
import { expect } from 'chai';
import { Conv1d, Conv2d, conv1d, conv2d, type DType, noGrad, type Tensor } from '../../ts';
import type { ConvOptions } from '../../ts/ops/conv_geometry';
import { type ConvCase, generate, inputsOf, isComplex, load, numbers, unpack } from '../goldens/load';
import * as reference from '../reference';
import { checkGradients } from '../support/finite_differences';
import { EXACT, expectClose, expectSame, toleranceOf, toShared, toTensor } from '../support/tensors';

type Values = reference.Values;
const convolutions = { conv1d, conv2d };
const layers = { conv1d: Conv1d, conv2d: Conv2d };

/** The options of the function, of a layer's. */
function functional({ bias: _, dtype: __, ...options }: ConvCase['options']): ConvOptions {
  return options as ConvOptions;
}

describe('conv against PyTorch', () => {
  for (const golden of load('conv').cases) {
    const tolerance = golden.data === 'fine' ? toleranceOf(golden.dtype) : EXACT;
    const { x, weight, bias, gradOutput } = inputsOf(golden);

    it(golden.name, () => {
      const [tx, tw] = [toTensor(x, golden.dtype, true), toTensor(weight, golden.dtype, true)];
      const tb = bias && toTensor(bias, golden.dtype, true);
      const y = convolutions[golden.op](tx, tw, tb, functional(golden.options));
      expectClose(y, unpack(golden.y, golden.dtype), tolerance);
      y.backward(toTensor(gradOutput, golden.dtype));
      const expected = { dx: golden.dx, dw: golden.dw, db: golden.db };
      for (const [key, t] of Object.entries({ dx: tx, dw: tw, db: tb })) {
        const list = expected[key as keyof typeof expected];
        if (t === null || list === undefined) continue;
        const data = numbers(list, golden.dtype);
        expectClose(t.grad ?? expect.fail(`no ${key}`), reference.values(t.shape, data, isComplex(golden.dtype)), tolerance, key);
      }
    });

    it(`${golden.name}: the layer, shared memory and noGrad give the same bits`, () => {
      const [out, c] = golden.weight as [number, number];
      const groups = Number(golden.options.groups ?? 1);
      const layer = new layers[golden.op](c * groups, out, golden.weight.slice(2), { ...golden.options, dtype: golden.dtype });
      layer.loadStateDict({ weight: toTensor(weight, golden.dtype), ...(bias && { bias: toTensor(bias, golden.dtype) }) });
      const tx = toTensor(x, golden.dtype);
      const y = layer.forward(tx);
      const shared = [x, weight, ...(bias ? [bias] : [])].map((v) => toShared(v, golden.dtype));
      const [sx, sw, sb] = shared as [Tensor, Tensor, Tensor | undefined];
      expectSame(convolutions[golden.op](sx, sw, sb, functional(golden.options)), y);
      expectSame(
        noGrad(() => layer.forward(tx)),
        y,
      );
      expectSame(layer.forward(tx), y);
    });
  }
});

/** conv of one op and its three gradients against the reference. */
function compare(x: Values, weight: Values, bias: Values | null, options: ConvOptions, dtype: DType = 'float64'): void {
  const [tx, tw, tb] = [toTensor(x, dtype, true), toTensor(weight, dtype, true), bias && toTensor(bias, dtype, true)];
  const y = (weight.shape.length === 3 ? conv1d : conv2d)(tx, tw, tb, options);
  expectClose(y, reference.conv(x, weight, bias, options), EXACT);
  const dy = generate('exact', 9, y.shape, x.complex);
  y.backward(toTensor(dy, dtype));
  const { dx, dw, db } = reference.convBackward(x, weight, dy, options);
  expectClose(tx.grad as Tensor, dx, EXACT, 'dx');
  expectClose(tw.grad as Tensor, dw, EXACT, 'dw');
  if (tb) expectClose(tb.grad as Tensor, db, EXACT, 'db');
}

const exact = (seed: number, shape: readonly number[], complex = false) => generate('exact', seed, shape, complex);

describe('conv against the reference', () => {
  for (const dtype of ['float32', 'float64', 'complex64', 'complex128'] as const) {
    for (const options of [
      { stride: 2, padding: 3, dilation: 2 },
      { groups: 2, padding: 'same' },
      { padding: 2, paddingMode: 'circular' },
    ] as const) {
      it(`1-D, ${dtype}, ${JSON.stringify(options)}`, () => {
        const c = isComplex(dtype);
        compare(exact(1, [2, 4, 19], c), exact(2, [6, 'groups' in options ? 2 : 4, 4], c), exact(3, [6], c), options, dtype);
      });
    }
    it(`2-D, ${dtype}`, () => {
      const c = isComplex(dtype);
      compare(
        exact(1, [2, 4, 9, 7], c),
        exact(2, [6, 2, 3, 2], c),
        null,
        { groups: 2, padding: [2, 1], stride: [1, 2], dilation: [2, 1] },
        dtype,
      );
    });
  }

  it('odd lengths round the vector widths', () => {
    for (const length of [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129]) {
      compare(exact(length, [1, 3, length]), exact(2, [5, 3, 3]), exact(3, [5]), { padding: 1 }, 'float32');
      compare(exact(length, [1, 3, length]), exact(2, [5, 3, 2]), exact(3, [5]), { padding: 1, stride: 2 }, 'float32');
    }
  });

  it('odd channel counts round the block sizes', () => {
    for (const channels of [1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 33]) {
      compare(exact(channels, [2, channels, 20]), exact(2, [4, channels, 3]), null, { padding: 1 }, 'float32');
      compare(exact(channels, [2, 4, 20]), exact(2, [channels, 4, 3]), null, { padding: 1 }, 'float32');
      compare(exact(channels, [2, channels, 20]), exact(2, [channels, 1, 3]), null, { padding: 1, groups: channels }, 'float32');
    }
  });
});

describe('conv gradients by finite differences', () => {
  const fine = (seed: number, shape: readonly number[], complex = false) => generate('fine', seed, shape, complex);
  const options: ConvOptions[] = [
    {},
    { stride: 2 },
    { stride: 3, padding: 2 },
    { dilation: 2, padding: 1 },
    { padding: 'same' },
    { padding: 'same', dilation: 3 },
    { groups: 2, padding: 1 },
    ...(['reflect', 'replicate', 'circular'] as const).flatMap((paddingMode): ConvOptions[] => [
      { padding: 2, paddingMode },
      { padding: 'same', paddingMode },
      { padding: 3, stride: 2, dilation: 2, groups: 2, paddingMode },
    ]),
  ];
  for (const option of options)
    for (const complex of [false, true]) {
      it(`1-D ${complex ? 'complex ' : ''}${JSON.stringify(option)}`, () => {
        const c = 4 / (option.groups ?? 1);
        const inputs = [fine(1, [2, 4, 7], complex), fine(2, [2, c, 4].map(Number), complex), fine(3, [2], complex)];
        if (option.dilation === 3) inputs[1] = fine(2, [2, c, 2], complex);
        checkGradients(([x, w, b]) => conv1d(x as Tensor, w as Tensor, b, option), inputs);
      });
    }
  for (const option of [
    {},
    { stride: [2, 1], padding: [1, 2], dilation: [1, 2] },
    { padding: 'same', paddingMode: 'reflect', groups: 2 },
  ] as const) {
    it(`2-D ${JSON.stringify(option)}`, () => {
      const inputs = [fine(1, [1, 2, 5, 6]), fine(2, [2, 'groups' in option ? 1 : 2, 3, 2]), fine(3, [2])];
      checkGradients(([x, w, b]) => conv2d(x as Tensor, w as Tensor, b, option), inputs);
    });
  }
  it('unbatched, without bias, depthwise', () => {
    checkGradients(([x, w]) => conv1d(x as Tensor, w as Tensor, null, { groups: 3, padding: 1 }), [fine(1, [3, 6]), fine(2, [6, 1, 3])]);
  });
});
