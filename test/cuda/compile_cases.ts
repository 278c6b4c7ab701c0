// The layers that Module.compile() is tested with, and how results are compared.
import { expect } from 'chai';
import type { CompiledLayer, CompileOptions, Device, DType, Module, Tensor } from '../../ts';
import * as api from '../../ts';
import { generate } from '../goldens/load';
import { expectSame, toTensor } from '../support/tensors';

export const fine = (shape: readonly number[], dtype: DType = 'float32', seed = 3, device: Device = 'cuda'): Tensor =>
  toTensor(generate('fine', seed, shape, dtype.startsWith('complex')), dtype).to(device);
export const holes = (shape: readonly number[], seed = 5, device: Device = 'cuda'): Tensor =>
  toTensor(generate('mask', seed, shape), 'bool').to(device);

export type Result = Tensor | readonly (Tensor | null)[];
export type AnyLayer = Module & { forward(x: Tensor, mask?: Tensor | null): Result };

export const listOf = (result: Result): (Tensor | null)[] => (Array.isArray(result) ? result : [result as Tensor]);

export function expectEqual(actual: Result, expected: Result, what: string): void {
  expect(Array.isArray(actual), what).to.equal(Array.isArray(expected));
  const [a, e] = [listOf(actual), listOf(expected)];
  expect(a.length, what).to.equal(e.length);
  for (const [i, t] of e.entries()) {
    if (t === null) expect(a[i], what).to.equal(null);
    else expectSame(a[i] as Tensor, t);
  }
}

export interface Case {
  readonly make: (dtype: DType) => AnyLayer;
  readonly x: readonly number[];
  readonly mask?: readonly number[];
}

export const FLOATS: readonly DType[] = ['float32', 'float64', 'float16', 'bfloat16'];
const on = (dtype: DType) => ({ dtype, device: 'cuda' as const });
export const wide = (dtype: DType) => [16, 16, 3, { padding: 1, ...on(dtype) }] as const;

/** By the class that each is about. */
export const LAYERS: Readonly<Record<string, readonly Case[]>> = {
  Conv1d: [
    { make: (dtype) => new api.Conv1d(...wide(dtype)), x: [2, 16, 30] },
    { make: (dtype) => new api.Conv1d(3, 4, 5, on(dtype)), x: [3, 20] },
    { make: (dtype) => new api.Conv1d(16, 16, 3, { ...on(dtype), padding: 2, paddingMode: 'circular' }), x: [2, 16, 30] },
  ],
  Conv2d: [{ make: (dtype) => new api.Conv2d(...wide(dtype)), x: [2, 16, 6, 7] }],
  PartialConv1d: [
    { make: (dtype) => new api.PartialConv1d(...wide(dtype)), x: [2, 16, 30], mask: [2, 1, 30] },
    { make: (dtype) => new api.PartialConv1d(...wide(dtype)), x: [2, 16, 30] },
    {
      make: (dtype) => new api.PartialConv1d(4, 4, 3, { ...on(dtype), groups: 2, multiChannel: true, returnMask: true }),
      x: [2, 4, 9],
      mask: [2, 4, 9],
    },
  ],
  PartialConv2d: [{ make: (dtype) => new api.PartialConv2d(...wide(dtype)), x: [2, 16, 6, 7], mask: [6, 7] }],
  MaskedConv1d: [
    { make: (dtype) => new api.MaskedConv1d(...wide(dtype)), x: [2, 16, 30], mask: [2, 1, 30] },
    { make: (dtype) => new api.MaskedConv1d(...wide(dtype)), x: [2, 16, 30] },
  ],
  MaskedConv2d: [{ make: (dtype) => new api.MaskedConv2d(...wide(dtype)), x: [2, 16, 6, 7], mask: [2, 16, 6, 7] }],
  Sequential: [
    { make: (dtype) => new api.Sequential(new api.Conv1d(...wide(dtype)), new api.ReLU(), new api.Conv1d(...wide(dtype))), x: [2, 16, 30] },
    { make: () => new api.Sequential(), x: [3] },
  ],
  MaskedSequential: [
    {
      make: (dtype) =>
        new api.MaskedSequential(
          new api.PartialConv1d(...wide(dtype)),
          new api.ReLU(),
          new api.PartialConv1d(...wide(dtype)),
          new api.Upsample1d({ scaleFactor: 2 }),
          new api.MaskedConv1d(...wide(dtype)),
        ),
      x: [2, 16, 30],
      mask: [2, 1, 30],
    },
  ],
  ConvModern1d: [
    { make: (dtype) => new api.ConvModern1d(16, 8, { ...on(dtype), normalizer: 'batch', scaler: 'up', stride: 2 }).eval(), x: [2, 16, 15] },
  ],
  ConvModern2d: [{ make: (dtype) => new api.ConvModern2d(16, 8, { ...on(dtype), stride: 2 }), x: [2, 16, 6, 8] }],
  BatchNorm1d: [{ make: (dtype) => new api.BatchNorm1d(4, on(dtype)).eval(), x: [3, 4, 7] }],
  BatchNorm2d: [{ make: (dtype) => new api.BatchNorm2d(4, { ...on(dtype), trackRunningStats: false }), x: [3, 4, 2, 3] }],
  InstanceNorm1d: [{ make: (dtype) => new api.InstanceNorm1d(4, on(dtype)), x: [3, 4, 7] }],
  InstanceNorm2d: [{ make: (dtype) => new api.InstanceNorm2d(4, { ...on(dtype), affine: true }), x: [3, 4, 2, 3] }],
  MaskedBatchNorm1d: [
    { make: (dtype) => new api.MaskedBatchNorm1d(4, { ...on(dtype), trackRunningStats: false }), x: [3, 4, 7], mask: [3, 1, 7] },
  ],
  MaskedBatchNorm2d: [{ make: (dtype) => new api.MaskedBatchNorm2d(4, on(dtype)).eval(), x: [3, 4, 2, 3], mask: [2, 3] }],
  MaskedInstanceNorm1d: [{ make: (dtype) => new api.MaskedInstanceNorm1d(4, on(dtype)), x: [3, 4, 7], mask: [3, 4, 7] }],
  MaskedInstanceNorm2d: [{ make: (dtype) => new api.MaskedInstanceNorm2d(4, on(dtype)), x: [3, 4, 2, 3] }],
  PReLU: [{ make: (dtype) => new api.PReLU(4, on(dtype)), x: [3, 4, 7] }],
  ReLU: [{ make: () => new api.ReLU(), x: [3, 4] }],
  Upsample1d: [{ make: () => new api.Upsample1d({ size: 9 }), x: [3, 4, 7] }],
  Upsample2d: [{ make: () => new api.Upsample2d({ scaleFactor: 2, mode: 'nearest' }), x: [3, 4, 2, 3] }],
  ApplyMask: [
    { make: () => new api.ApplyMask(), x: [3, 4, 7], mask: [3, 1, 7] },
    { make: () => new api.ApplyMask(), x: [3, 4, 7] },
  ],
  UnMask: [{ make: () => new api.UnMask(), x: [3, 4, 7], mask: [3, 1, 7] }],
  SpatialMean: [{ make: () => new api.SpatialMean(), x: [3, 4, 7] }],
  MaskedSpatialMean: [{ make: () => new api.MaskedSpatialMean(), x: [3, 4, 7], mask: [3, 1, 7] }],
  Unshuffle1d: [{ make: () => new api.Unshuffle1d(2), x: [3, 4, 8] }],
  Unshuffle2d: [{ make: () => new api.Unshuffle2d(2), x: [3, 4, 2, 4] }],
  MaskedUnshuffle1d: [{ make: () => new api.MaskedUnshuffle1d(2), x: [3, 4, 8], mask: [1, 1, 8] }],
  MaskedUnshuffle2d: [{ make: () => new api.MaskedUnshuffle2d(2), x: [3, 4, 2, 4], mask: [3, 1, 2, 4] }],
};

export const compile = (layer: AnyLayer, shape: readonly number[], options?: CompileOptions) =>
  layer.compile(shape, options) as unknown as CompiledLayer<Result>;
