// What the gradient cases do not have: the functions on 'cuda' that compute no gradient, and dtypes without one.

import { expect } from 'chai';
import type { Device, DType, Tensor } from '../../ts';
import * as api from '../../ts';
import { DTYPES } from '../../ts/dtype';
import { generate } from '../goldens/load';
import { WITHOUT_TENSOR } from '../support/exports';
import { toTensor } from '../support/tensors';

type Make = (device: Device) => Tensor | readonly (Tensor | null)[];

const ALL = Object.keys(DTYPES) as DType[];
const INTEGERS: readonly DType[] = ['int32', 'uint8', 'bool'];

const fine = (shape: readonly number[], dtype: DType = 'float32', seed = 3): Tensor =>
  toTensor(generate('fine', seed, shape, DTYPES[dtype].kind === 'complex'), dtype);

/** Numbers of 8 bits, which every dtype and TF32 hold: what differs is what an op rounds. */
const exact = (shape: readonly number[], dtype: DType, seed: number): Tensor => toTensor(generate('exact', seed, shape), dtype);

/** 0, 1, 2 ... modulo 11, in any dtype. */
const counting = (shape: readonly number[], dtype: DType): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float64Array.from({ length: size }, (_, i) => i % 11);
  const real = toTensor({ shape: [...shape], data, complex: false }, 'float64');
  return api.cast(real, dtype);
};

const mask = (...shape: number[]): Tensor => toTensor(generate('mask', 5, shape), 'bool');

const WIDE_SHIFTS = [1, -3, 300, 1.5];

/** Ten steps of an optimizer on two parameters, one of them 16-bit. */
const steps =
  (make: (parameters: Tensor[]) => { step(): void; zeroGrad(): void }): Make =>
  () => {
    const parameters = (['float32', 'float16', 'float64', 'complex64'] as const).map((dtype) => fine([3, 5], dtype));
    for (const p of parameters) p.requiresGrad = true;
    const optimizer = make(parameters);
    for (let i = 0; i < 10; i++) {
      optimizer.zeroGrad();
      for (const p of parameters) (DTYPES[p.dtype].kind === 'complex' ? p.abs() : p.mul(p)).sum().backward();
      optimizer.step();
    }
    return parameters.map((p) => p.detach());
  };

/** By the name of the exported function or class. The same on every device, up to rounding. */
export const CUDA_CASES: Readonly<Record<string, readonly Make[]>> = {
  arange: ALL.filter((dtype) => dtype !== 'bool').map((dtype) => (device) => api.arange(2, 9, { dtype, device })),
  full: ALL.map((dtype) => (device) => api.full([2, 3], 1, { dtype, device })),
  ones: [(device) => api.ones([3, 2], { device }), (device) => api.ones(0, { device })],
  onesLike: [() => api.onesLike(fine([2, 3], 'float64'))],
  zeros: ALL.map((dtype) => (device) => api.zeros([5], { dtype, device })),
  zerosLike: [() => api.zerosLike(fine([2, 3]))],
  tensor: [
    (device) =>
      api.tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { device },
      ),
    (device) => api.tensor([1.5, -2], { dtype: 'bfloat16', device }),
    (device) => api.tensor(fine([2, 3], 'float64'), { device }),
  ],
  rand: [seeded((device) => api.rand([3, 7], { device })), seeded((device) => api.rand([5], { dtype: 'complex64', device }))],
  randn: [seeded((device) => api.randn([3, 7], { device })), seeded((device) => api.randn([40], { dtype: 'float16', device }))],
  maskFromNaN: [() => api.maskFromNaN(fine([2, 3]).sqrt())],
  maskRatio: [
    () => api.maskRatio(mask(2, 1, 30), { kernelSize: 5, padding: 2 }),
    () => api.maskRatio(mask(2, 6, 5, 7), { kernelSize: 3, groups: 2, multiChannel: true, stride: 2, padding: 1, eps: 0.5 }),
    () => api.maskRatio(fine([2, 3, 9], 'float64').abs(), { kernelSize: 3, multiChannel: true, dilation: 2 }),
  ],
  noGrad: [() => api.noGrad(() => fine([4]).mul(fine([4])))],
  tidy: [() => api.tidy(() => fine([4]).add(1).mul(2))],
  valueAndGrad: [
    () => {
      const { value, grads } = api.valueAndGrad((a, b) => a.mul(b).sum(), [fine([3]), fine([3], 'float32', 9)]);
      return [value, ...grads];
    },
  ],
  clipGradNorm: (['float32', 'float16', 'float64', 'complex64'] as const).map((dtype) => () => {
    const p = fine([40], dtype);
    p.requiresGrad = true;
    (DTYPES[dtype].kind === 'complex' ? p.abs() : p.mul(p)).sum().backward();
    api.clipGradNorm(p, 0.5);
    return p.grad;
  }) as readonly Make[],
  autocast: (['float16', 'bfloat16'] as const).flatMap((dtype) => [
    ...autocastConvolutions(dtype, (x, w, b) => api.conv1d(x, w, b, { padding: 1 })),
    ...autocastConvolutions(dtype, (x, w, b) => api.partialConv1d(x, mask(2, 1, 40), w, b, { padding: 1, returnMask: true })),
    ...autocastConvolutions(dtype, (x, w, b) => api.maskedConv1d(x, mask(2, 1, 40), w, b, { padding: 1 })),
    () => api.autocast(dtype, () => [fine([5], dtype).abs().log(), fine([5], dtype).sum(), fine([5], dtype).pow(2)]),
    () => api.autocast(dtype, () => api.batchNorm(fine([3, 4, 5], dtype), { weight: fine([4]), bias: fine([4]) })),
    () => api.autocast(dtype, () => api.prelu(fine([3, 4, 5]), fine([4]))),
  ]),
  GradScaler: [false, true].map((overflow) => () => {
    const parameters = (['float32', 'float16', 'bfloat16', 'float64', 'complex64'] as const).map((dtype) => fine([3, 5], dtype));
    const scaler = new api.GradScaler({ initScale: 1024 });
    const optimizer = new api.SGD(parameters, { lr: 0.1 });
    for (const p of parameters) {
      p.grad = fine([3, 5], p.dtype, 8);
      if (overflow) p.grad.div_(0);
    }
    expect(scaler.step(optimizer)).to.equal(!overflow);
    scaler.update();
    expect(scaler.getScale()).to.equal(overflow ? 512 : 1024);
    return [...parameters, ...parameters.map((p) => p.grad)];
  }),
  SGD: [
    steps((p) => new api.SGD(p, { lr: 0.05 })),
    steps((p) => new api.SGD(p, { lr: 0.05, momentum: 0.9, nesterov: true, weightDecay: 0.1 })),
  ],
  Adam: [steps((p) => new api.Adam(p, { lr: 0.05 })), steps((p) => new api.Adam(p, { lr: 0.05, amsgrad: true, weightDecay: 0.1 }))],
  AdamW: [steps((p) => new api.AdamW(p, { lr: 0.05, weightDecay: 0.1 }))],

  cast: ALL.flatMap((from) =>
    ALL.map(
      (to): Make =>
        () =>
          api.cast(counting([13], from), to),
    ),
  ),
  add: INTEGERS.flatMap((dtype) =>
    WIDE_SHIFTS.map(
      (value): Make =>
        () =>
          counting([3, 4], dtype).add(value),
    ),
  ),
  sub: [() => counting([5], 'int32').sub(counting([5], 'uint8')), () => fine([5], 'float16').sub(0.1)],
  mul: [() => mask(7).mul(mask(7)), () => fine([2, 3], 'complex64').mul({ re: 1, im: -2 })],
  div: [() => counting([6], 'int32').div(4), () => counting([6], 'bool').div(counting([6], 'int32').add(1))],
  pow: [() => counting([6], 'int32').pow(3), () => fine([6]).abs().pow(0.5)],
  neg: [() => counting([6], 'int32').neg()],
  abs: [() => counting([6], 'int32').neg().abs()],
  relu: [() => counting([6], 'int32').sub(4).relu()],
  sum: ALL.map((dtype) => () => counting([3, 70, 5], dtype).sum([1])),
  mean: (['float32', 'float16', 'complex64'] as const).map((dtype) => () => counting([300, 40], dtype).mean()),
  slice: ALL.map((dtype) => () => counting([4, 9], dtype).slice(1, 1, 8, 3)),
  concat: [() => api.concat([counting([2, 3], 'int32'), fine([2, 2])], 1)],
  conv1d: [
    () => api.conv1d(counting([2, 3, 9], 'int32'), counting([4, 3, 3], 'int32'), counting([4], 'int32')),
    ...wideConvolutions((x, w, b, options) => api.conv1d(x, w, b, options)),
    () => api.conv1d(fine([2, 0, 9]), fine([3, 0, 3]), fine([3]), { padding: 1 }),
    () => api.conv1d(fine([0, 3, 9]), fine([4, 3, 3]), fine([4])),
  ],
  partialConv1d: wideConvolutions((x, w, b, options) => api.partialConv1d(x, mask(2, 1, x.shape[2] as number), w, b, options)),
};

/** The same numbers whatever was drawn before. */
function seeded(make: Make): Make {
  return (device) => {
    api.manualSeed(11);
    return make(device);
  };
}

/** Channels enough for cuDNN's plans, with their gradients; every dtype. */
function wideConvolutions(f: (x: Tensor, w: Tensor, b: Tensor, options: api.ConvOptions) => Tensor): Make[] {
  const all: api.ConvOptions[] = [
    { padding: 1 },
    { padding: 4, dilation: 4 },
    { stride: 2 },
    { groups: 2, padding: 2, paddingMode: 'circular' },
  ];
  const dtypes = ['float32', 'float64', 'float16', 'bfloat16'] as const;
  return dtypes.flatMap((dtype) =>
    all.map(
      (options): Make =>
        () => {
          const weight = exact([12, 16 / (options.groups ?? 1), 3], dtype, 4);
          const inputs = [exact([2, 16, 40], dtype, 3), weight, exact([12], dtype, 5)] as const;
          for (const t of inputs) t.requiresGrad = true;
          const y = f(...inputs, options);
          y.backward(exact(y.shape, dtype, 6));
          return [y.detach(), ...inputs.map((t) => t.grad)];
        },
    ),
  );
}

/** In autocast(), with their gradients: those of float32 operands, in the 16 bits that they were computed in. */
function autocastConvolutions(
  dtype: api.AutocastDType,
  f: (x: Tensor, w: Tensor, b: Tensor) => Tensor | readonly (Tensor | null)[],
): Make[] {
  return [
    () => {
      const inputs = [fine([2, 16, 40]), fine([12, 16, 3], 'float32', 4), fine([12], 'float32', 5)] as const;
      for (const t of inputs) t.requiresGrad = true;
      const results = [api.autocast(dtype, () => f(...inputs))].flat();
      const [y] = results as [Tensor];
      y.backward(fine(y.shape, dtype, 6));
      return [y.detach(), ...results.slice(1), ...inputs.map((t) => t.grad && api.cast(t.grad, dtype))];
    },
  ];
}

/** Exported functions and classes that have nothing to compute on a device. */
export const ON_THE_HOST: readonly string[] = [...Object.values(WITHOUT_TENSOR).flat(), 'fromBuffer'];
