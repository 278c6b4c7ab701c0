// partialConv1d and partialConv2d against PyTorch's numbers, the reference, and finite differences.
import { expect } from 'chai';
import { partialConv1d, partialConv2d, type Tensor } from '../../ts';
import type { PartialConvOptions } from '../../ts/ops/partial_conv';
import { type GeneratorKind, generate, inputsOf, load, numbers, unpack } from '../goldens/load';
import * as reference from '../reference';
import { checkGradients } from '../support/finite_differences';
import { expectClose, toleranceOf, toTensor } from '../support/tensors';

const convolutions = { partialConv1d, partialConv2d };

describe('partialConv against PyTorch', () => {
  for (const golden of load('partial').cases) {
    it(golden.name, () => {
      const { x, weight, bias, gradOutput, mask } = inputsOf(golden);
      const { bias: _, ...options } = golden.options;
      const [tx, tw, tb] = [
        toTensor(x, golden.dtype, true),
        toTensor(weight, golden.dtype, true),
        bias && toTensor(bias, golden.dtype, true),
      ];
      const tm = mask && toTensor(mask, golden.dtype);
      const [y, updated] = convolutions[golden.op](tx, tm, tw, tb, { ...(options as PartialConvOptions), returnMask: true });
      const tolerance = toleranceOf(golden.dtype);
      expectClose(y, unpack(golden.y, golden.dtype), tolerance);
      expectClose(updated, unpack(golden.updated, golden.dtype), tolerance, 'updated');
      y.backward(toTensor(gradOutput, golden.dtype));
      const expected = { dx: golden.dx, dw: golden.dw, db: golden.db };
      for (const [key, t] of Object.entries({ dx: tx, dw: tw, db: tb })) {
        const list = expected[key as keyof typeof expected];
        if (t && list)
          expectClose(t.grad ?? expect.fail(`no ${key}`), reference.values(t.shape, numbers(list, golden.dtype)), tolerance, key);
      }
    });
  }
});

interface Shapes {
  readonly x: readonly number[];
  readonly weight: readonly number[];
  readonly mask: readonly number[] | null;
}

const SMALL: Shapes = { x: [2, 2, 8], weight: [4, 2, 3], mask: [2, 1, 8] };

describe('partialConv gradients by finite differences', () => {
  const cases: [PartialConvOptions, Partial<Shapes>, GeneratorKind?][] = [
    [{}, {}],
    [{ padding: 1 }, {}, 'sparse'],
    [{ padding: 2, stride: 2, dilation: 2 }, {}],
    [{ padding: 'same' }, { weight: [3, 2, 4], mask: [8] }],
    [{ multiChannel: true, padding: 1 }, { mask: [2, 2, 8] }, 'sparse'],
    [{ multiChannel: true, groups: 2, padding: 1 }, { weight: [4, 1, 3], mask: [1, 2, 8] }, 'sparse'],
    [{ multiChannel: true, groups: 2, countGroups: false }, { weight: [4, 1, 3], mask: [2, 2, 8] }, 'sparse'],
    [{ eps: 0.25, padding: 1 }, {}],
    [{ padding: 1 }, {}, 'soft'],
    [{ multiChannel: true, padding: 1 }, { mask: [2, 2, 8] }, 'soft'],
    [{ padding: 2 }, { mask: null }],
    [{ padding: 1 }, { x: [2, 8], mask: [8] }],
    ...(['reflect', 'replicate', 'circular'] as const).flatMap((paddingMode): [PartialConvOptions, Partial<Shapes>, GeneratorKind?][] => [
      [{ padding: 2, paddingMode }, {}, 'sparse'],
      [{ padding: 3, paddingMode, stride: 2, multiChannel: true }, { mask: [2, 2, 8] }, 'soft'],
      [
        { padding: 'same', paddingMode, dilation: 2 },
        { weight: [2, 2, 2], mask: null },
      ],
    ]),
    [
      { padding: [1, 2], stride: [2, 1] },
      { x: [1, 2, 5, 4], weight: [3, 2, 3, 2], mask: [1, 5, 4] },
    ],
    [
      { padding: 1, paddingMode: 'reflect', multiChannel: true },
      { x: [1, 2, 4, 4], weight: [2, 2, 3, 3], mask: [1, 2, 4, 4] },
    ],
  ];
  for (const [options, changes, kind = 'mask'] of cases)
    for (const complex of [false, true]) {
      const shapes = { ...SMALL, ...changes };
      it(`${complex ? 'complex ' : ''}x [${shapes.x}], ${shapes.mask ? `${kind} [${shapes.mask}]` : 'no mask'}, ${JSON.stringify(options)}`, () => {
        const inputs = [shapes.x, shapes.weight, [shapes.weight[0] as number]].map((shape, i) => generate('fine', i + 1, shape, complex));
        const mask = shapes.mask && toTensor(generate(kind, 4, shapes.mask), 'float64');
        const op = shapes.weight.length === 3 ? partialConv1d : partialConv2d;
        checkGradients(([x, w, b]) => op(x as Tensor, mask, w as Tensor, b, options) as Tensor, inputs);
      });
    }
});
