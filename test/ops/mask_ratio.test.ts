// maskRatio against the reference and PyTorch's numbers.
import { expect } from 'chai';
import { type DType, maskRatio, type Tensor, tensor } from '../../ts';
import type { MaskRatioOptions } from '../../ts/ops/mask_ratio';
import { generate, inputsOf, load, unpack } from '../goldens/load';
import * as reference from '../reference';
import { Seeded } from '../support/seeded';
import { EXACT, expectClose, toleranceOf, toShared, toTensor } from '../support/tensors';

/** Ratio and updated mask of a mask [N|1, 1|C, ...] for C channels, by the reference. */
function expected(mask: reference.Values, c: number, options: MaskRatioOptions): reference.MaskStatistics {
  const { kernelSize, ...rest } = options;
  const kernel = Array.isArray(kernelSize) ? kernelSize : new Array(mask.shape.length - 2).fill(kernelSize);
  return reference.maskRatio(mask, [1, c, ...kernel], rest as reference.PartialOptions);
}

function check(mask: reference.Values, options: MaskRatioOptions, dtype: DType = 'float64'): void {
  const [ratio, updated] = maskRatio(toTensor(mask, dtype), options);
  const result = expected(mask, mask.shape[1] as number, options);
  const accumulator = dtype === 'float64' ? 'float64' : 'float32';
  expect([ratio.dtype, updated.dtype]).to.deep.equal([accumulator, accumulator]);
  expectClose(ratio, result.ratio, toleranceOf(accumulator), `ratio ${JSON.stringify(options)}`);
  expectClose(updated, result.updated, toleranceOf(accumulator), `updated ${JSON.stringify(options)}`);
}

describe('maskRatio', () => {
  for (const golden of load('partial').cases) {
    const { mask } = inputsOf(golden);
    if (!mask || mask.shape.length !== golden.weight.length) continue;
    it(golden.name, () => {
      const { bias: _, ...options } = golden.options;
      const [ratio, updated] = maskRatio(toTensor(mask, golden.dtype), {
        ...options,
        kernelSize: golden.weight.slice(2),
      } as MaskRatioOptions);
      expectClose(ratio, unpack(golden.ratio, golden.dtype), toleranceOf(golden.dtype), 'ratio');
      expect([...updated.shape]).to.deep.equal([...ratio.shape]);
    });
  }

  it('counts as the documented example', () => {
    const mask = reference.values(
      [1, 3, 10],
      [1, 2, 3].flatMap(() => [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
    );
    const [ratio, updated] = maskRatio(toTensor(mask, 'float32'), { kernelSize: 3, multiChannel: true });
    expect(ratio.toArray()).to.deep.equal([[[1, 1, 1, 1.5, 3, 0, 0, 0]]]);
    expect(updated.toArray()).to.deep.equal([[[1, 1, 1, 1, 1, 0, 0, 0]]]);
  });

  it('gives the exact quotient for every count', () => {
    for (const dtype of ['bool', 'uint8', 'int32', 'float32'] as const) {
      for (let count = 1; count <= 31; count++) {
        const mask = tensor(
          Array.from({ length: 31 }, (_, i) => Number(i < count)),
          { shape: [1, 1, 31], dtype },
        );
        expect(maskRatio(mask, { kernelSize: 31 })[0].item(), `${count}`).to.equal(Math.fround(31 / count));
      }
    }
  });

  it('takes every dtype but complex', () => {
    const values = reference.values([2, 1, 6], [0, 3, 0, 0, 0, 1, 1, 1, 0, 2, 1, 0]);
    const flags = { ...values, data: values.data.map((v) => Number(v !== 0)) };
    for (const dtype of ['bool', 'uint8', 'int32'] as const) {
      const [ratio, updated] = maskRatio(toTensor(values, dtype), { kernelSize: 2 });
      const result = expected(flags, 1, { kernelSize: 2 });
      expectClose(ratio, result.ratio, EXACT, dtype);
      expectClose(updated, result.updated, EXACT, dtype);
    }
    for (const dtype of ['float16', 'bfloat16', 'float32', 'float64'] as const) check(values, { kernelSize: 2 }, dtype);
    const negative = tensor([-1, 0, 5], { shape: [1, 1, 3], dtype: 'int32' });
    expect(maskRatio(negative, { kernelSize: 1 })[0].toArray()).to.deep.equal([[[1, 0, 1]]]);
    expect(() => maskRatio(toTensor(generate('mask', 1, [1, 1, 4], true), 'complex64'), { kernelSize: 2 }))
      .to.throw(TypeError, /expected a real or bool mask, but got a complex64/)
      .with.property('code', 'ERR_DTYPE');
  });

  it('pads the mask as it pads x', () => {
    for (const paddingMode of ['zeros', 'reflect', 'replicate', 'circular'] as const)
      for (const padding of [0, 1, 3, 'same'] as const)
        for (const [stride, dilation] of [
          [1, 1],
          [1, 2],
          [2, 1],
          [3, 2],
        ] as const) {
          if (padding === 'same' && stride > 1) continue;
          check(generate('sparse', 5, [2, 1, 9]), { kernelSize: 4, padding, paddingMode, stride, dilation });
          check(generate('sparse', 6, [1, 3, 6, 7]), { kernelSize: [2, 3], padding, paddingMode, stride, dilation, multiChannel: true });
        }
  });

  it('counts groups of channels apart, or all together', () => {
    for (const countGroups of [true, false])
      for (const groups of [1, 2, 3, 6])
        for (const kind of ['sparse', 'soft'] as const) {
          const options = { kernelSize: 3, padding: 1, groups, multiChannel: true, countGroups };
          check(generate(kind, groups, [2, 6, 40]), options);
          check(generate(kind, groups, [2, 6, 40]), options, 'float32');
          check(generate('sparse', groups, [2, 6, 40]), options, 'bool');
        }
  });

  it('agrees with the reference at lengths round the vector width, and with many channels', () => {
    const seeded = new Seeded(3);
    for (const length of [1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100]) {
      for (const dtype of ['float32', 'float64', 'bool'] as const) {
        const stride = seeded.integer(1, 3);
        check(generate('mask', length, [2, 1, length]), { kernelSize: 3, padding: 2, stride }, dtype);
        check(generate('mask', length, [1, 5, length]), { kernelSize: 1, stride, multiChannel: true }, dtype);
      }
    }
  });

  it('adds eps to the count, and leaves empty windows at 0', () => {
    for (const eps of [0, 1e-8, 1e-6, 0.5]) check(generate('sparse', 2, [2, 1, 30]), { kernelSize: 2, eps });
    const [ratio] = maskRatio(tensor([[[1, 0, 0]]], { dtype: 'float64' }), { kernelSize: 2, eps: 1e-6 });
    expect(ratio.toArray()).to.deep.equal([[[2 / (1 + 1e-6), 0]]]);
  });

  it('takes soft masks: the count is their sum, the updated mask at most 1', () => {
    check(generate('soft', 4, [2, 1, 30]), { kernelSize: 2 });
    const [ratio, updated] = maskRatio(tensor([[[0.25, 0, 0.25, 0.5, 1]]]), { kernelSize: 2 });
    expect(ratio.toArray()).to.deep.equal([[[8, 8, 2 / 0.75, 2 / 1.5].map(Math.fround)]]);
    expect(updated.toArray()).to.deep.equal([[[0.25, 0.25, 0.75, 1]]]);
  });

  it('reads a shared mask as it is now', () => {
    const mask = toShared(reference.values([1, 1, 3], [1, 1, 0]), 'float32');
    const ratio = () => maskRatio(mask, { kernelSize: 3 })[0].item();
    expect(ratio()).to.equal(1.5);
    mask.data[0] = 0;
    expect(ratio()).to.equal(3);
  });

  it('accepts empty batches', () => {
    expect(maskRatio(tensor([], { shape: [0, 1, 5] }), { kernelSize: 3 }).map((t) => [...t.shape])).to.deep.equal([
      [0, 1, 3],
      [0, 1, 3],
    ]);
  });

  it('refuses what does not fit', () => {
    const mask = tensor([[[1, 1, 1, 1]]]);
    const cases: [unknown, unknown, RegExp][] = [
      [tensor([1, 1]), { kernelSize: 2 }, /expected a mask \[N, C, L\] or \[N, C, H, W\], but got mask \[2\]/],
      [mask, { kernelSize: 5 }, /Calculated padded input size per channel: \(4\). Kernel size: \(5\)/],
      [mask, {}, /kernelSize/],
      [mask, undefined, /kernelSize/],
      [mask, { kernelSize: 2, kernalSize: 2 }, /unknown option "kernalSize"; did you mean "kernelSize"/],
      [mask, { kernelSize: 2, eps: -1 }, /eps/],
      [mask, { kernelSize: 2, eps: Number.NaN }, /eps/],
      [mask, { kernelSize: 2, multiChannel: 1 }, /multiChannel to be a boolean/],
      [
        tensor([
          [
            [1, 1],
            [1, 1],
          ],
        ]),
        { kernelSize: 2 },
        /single channel|multiChannel/,
      ],
      [
        tensor([
          [
            [1, 1],
            [1, 1],
            [1, 1],
          ],
        ]),
        { kernelSize: 2, multiChannel: true, groups: 2 },
        /groups/,
      ],
    ];
    for (const [m, options, message] of cases) {
      expect(() => maskRatio(m as Tensor, options as MaskRatioOptions), String(message))
        .to.throw(RangeError, message)
        .with.property('code', 'ERR_SHAPE');
    }
    expect(() => maskRatio(null as unknown as Tensor, { kernelSize: 2 })).to.throw(TypeError, /expected mask to be a tensor, but got null/);
  });
});
