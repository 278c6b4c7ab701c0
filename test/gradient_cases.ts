// One long table of finite-difference cases: every public function, method and layer with a gradient has a line here.
import * as api from '../ts';
import { BatchNorm1d, ConvModern1d, type DType, type Module, type Tensor } from '../ts';
import { generate } from './goldens/load';
import type { Values } from './reference';
import { testDevice, toTensor } from './support/tensors';

export interface GradientCase {
  /** The exported function or class that it stands for. */
  readonly name: string;
  readonly what: string;
  readonly inputs: readonly Values[];
  readonly f: (inputs: Tensor[]) => Tensor;
  readonly tolerance: number;
}

const all = { ...api };

type F = (...inputs: Tensor[]) => Tensor;

export const CASES: GradientCase[] = [];

let seed = 100;

/** Numbers in [-2, 2); a shape with a trailing 'c' is complex. */
const input = (shape: readonly number[], complex = false): Values => generate('fine', seed++, shape, complex);
const scaled = (v: Values, factor: number, shift = 0): Values => ({ ...v, data: v.data.map((x) => x * factor + shift) });

function add(name: string, what: string, inputs: readonly (Values | number[])[], f: F, tolerance = 2e-6): void {
  const values = inputs.map((v) => (Array.isArray(v) ? input(v) : v));
  CASES.push({ name, what, inputs: values, f: (tensors) => f(...tensors), tolerance });
}

/** The same for real and complex inputs. */
function both(name: string, shapes: readonly number[][], f: F): void {
  add(name, 'real', shapes, f);
  add(
    name,
    'complex',
    shapes.map((shape) => input(shape, true)),
    f,
  );
}

/** A float64 tensor that wants no gradient. */
const constant = (kind: 'mask' | 'soft' | 'fine' | 'sparse', shape: number[], dtype: DType = 'float64', at = 5): Tensor =>
  toTensor(generate(kind, at, shape), dtype);

const mask = (...shape: number[]): Tensor => constant('mask', shape, 'bool');

// --- element-wise -------------------------------------------------------------------------------------------------------

const positive = scaled(input([2, 3]), 0.25, 1);
for (const op of ['neg', 'exp', 'tanh', 'sigmoid'] as const) both(op, [[2, 3]], (x) => all[op](scaledBy(x)));
for (const op of ['sqrt', 'log'] as const) {
  add(op, 'real', [positive], all[op]);
  add(op, 'complex', [scaled(input([2, 3], true), 0.25, 1)], all[op]);
}
both('abs', [[2, 3]], api.abs);
add('relu', '', [[4, 5]], api.relu);
for (const op of ['add', 'sub', 'mul'] as const) {
  both(
    op,
    [
      [2, 3],
      [2, 3],
    ],
    all[op],
  );
  both(
    op,
    [
      [2, 1, 3],
      [4, 1],
    ],
    all[op],
  );
  both(op, [[2, 3]], (x) => all[op](x, 1.5));
}
add('div', 'broadcast', [[2, 3], scaled(input([3]), 0.25, 1)], api.div, 1e-5);
add('div', 'complex', [input([2, 3], true), scaled(input([2, 1], true), 0.25, 1)], api.div, 1e-5);
both('div', [[2, 3]], (x) => api.div(x, 1.5));
add('pow', 'exponent 3', [[2, 3]], (x) => api.pow(x, 3));
add('pow', 'both', [positive, [3]], api.pow, 1e-5);
add('cast', 'to float64', [[2, 3]], (x) => api.cast(api.cast(x, 'complex128'), 'float64'));
add('to', 'dtype', [[2, 3]], (x) => api.to(api.to(x, 'complex128'), 'float64'));
add(
  'complex',
  '',
  [
    [2, 3],
    [2, 3],
  ],
  api.complex,
);
add('complex', 'one of both', [[2, 3]], (x) => api.complex(x, constant('fine', [2, 3])));

/** A quarter of x, where third derivatives are small enough for differences. */
function scaledBy(x: Tensor): Tensor {
  return api.mul(x, 0.25);
}

// --- shapes and reductions ----------------------------------------------------------------------------------------------

both('sum', [[2, 3, 4]], (x) => x.sum([0, 2]));
both('mean', [[2, 3, 4]], (x) => x.mean([1]));
add('sum', 'keepDims', [[2, 3]], (x) => x.sum([-1], { keepDims: true }));
both('reshape', [[2, 6]], (x) => api.reshape(x, [3, -1]));
both('permute', [[2, 3, 4]], (x) => api.permute(x, [2, 0, 1]));
both('transpose', [[2, 3, 4]], (x) => api.transpose(x, 0, 2));
both('slice', [[2, 7]], (x) => api.slice(x, 1, 1, 6, 2));
both('expand', [[2, 1, 3]], (x) => api.expand(x, [4, 2, 5, 3]));
both('squeeze', [[2, 1, 3]], (x) => api.squeeze(x));
both('unsqueeze', [[2, 3]], (x) => api.unsqueeze(x, 1));
both('flatten', [[2, 3, 4]], (x) => api.flatten(x, 1));
both('clone', [[2, 3]], api.clone);
both(
  'concat',
  [
    [2, 3],
    [2, 1],
    [2, 2],
  ],
  (...list) => api.concat(list, 1),
);

// --- convolution --------------------------------------------------------------------------------------------------------

const OPTIONS = [
  {},
  { padding: 2 },
  { stride: 2, padding: 1 },
  { dilation: 2, padding: 'same' },
  { groups: 2, padding: 1 },
  { stride: 3, dilation: 2, padding: 3, groups: 2 },
] as const;
const MODES = ['reflect', 'replicate', 'circular'] as const;
const ALL_OPTIONS: api.ConvOptions[] = [...OPTIONS, ...MODES.map((paddingMode) => ({ padding: 2, paddingMode }))];

for (const options of ALL_OPTIONS) {
  const c = 4 / (options.groups ?? 1);
  const text = JSON.stringify(options);
  add('conv1d', text, [[2, 4, 9], [4, c, 3], [4]], (x, w, b) => api.conv1d(x, w, b, options));
  add('conv2d', text, [[1, 4, 5, 6], [2, c, 3, 2], [2]], (x, w, b) => api.conv2d(x, w, b, options));
  for (const multiChannel of [false, true]) {
    const m1 = () => (multiChannel ? mask(2, 4, 9) : mask(2, 1, 9));
    const m2 = () => (multiChannel ? mask(1, 4, 5, 6) : mask(5, 6));
    const what = `${text}, ${multiChannel ? 'a mask per channel' : 'one mask'}`;
    add('partialConv1d', what, [[2, 4, 9], [4, c, 3], [4]], (x, w, b) => api.partialConv1d(x, m1(), w, b, { ...options, multiChannel }));
    add('partialConv2d', what, [[1, 4, 5, 6], [2, c, 3, 2], [2]], (x, w, b) =>
      api.partialConv2d(x, m2(), w, b, { ...options, multiChannel }),
    );
  }
}
add('conv1d', 'complex', [input([2, 2, 7], true), input([3, 2, 3], true), input([3], true)], (x, w, b) =>
  api.conv1d(x, w, b, { padding: 1 }),
);
add(
  'conv1d',
  'unbatched, no bias',
  [
    [2, 7],
    [3, 2, 3],
  ],
  (x, w) => api.conv1d(x, w),
);
add('partialConv1d', 'no mask', [[2, 2, 7], [3, 2, 3], [3]], (x, w, b) => api.partialConv1d(x, null, w, b, { padding: 2 }));
add('partialConv1d', 'a soft mask', [[2, 2, 7], [3, 2, 3], [3]], (x, w, b) =>
  api.partialConv1d(x, constant('soft', [7]), w, b, { padding: 1 }),
);
add('partialConv1d', 'eps, all channels counted', [[2, 4, 7], [4, 2, 3], [4]], (x, w, b) =>
  api.partialConv1d(x, mask(2, 4, 7), w, b, { groups: 2, multiChannel: true, countGroups: false, eps: 0.25 }),
);
add('partialConv1d', 'complex', [input([2, 2, 7], true), input([3, 2, 3], true), input([3], true)], (x, w, b) =>
  api.partialConv1d(x, mask(2, 1, 7), w, b, { padding: 1 }),
);
add('partialConv1d', 'empty windows', [[1, 2, 24], [2, 2, 3], [2]], (x, w, b) =>
  api.partialConv1d(x, constant('sparse', [24], 'bool'), w, b),
);
// No gradient flows through the scale, which depends on the weight: that is checked without a mask.
for (const [name, conv, x, w, m] of [
  ['maskedConv1d', api.maskedConv1d, [2, 4, 9], [4, 2, 3], [2, 4, 9]],
  ['maskedConv2d', api.maskedConv2d, [1, 4, 5, 6], [4, 2, 2, 3], [5, 6]],
] as const) {
  add(
    name,
    'with a mask',
    [[...x], [4]],
    (x, b) => conv(x, mask(...m), constant('fine', [...w]), b, { padding: 2, groups: 2, dilation: 2 })[0],
  );
  add(name, 'without', [[...x], [...w], [4]], (x, w, b) => conv(x, null, w, b, { padding: 2, groups: 2, stride: 2 })[0]);
}

for (const mode of ['constant', ...MODES] as const) {
  both('pad', [[2, 3, 6]], (x) => api.pad(x, [2, 3], mode));
  add('pad', `${mode}, 2-D, cropping`, [[1, 2, 4, 5]], (x) => api.pad(x, [-1, 2, 1, 0], mode));
}

// --- layers' functions --------------------------------------------------------------------------------------------------

const NORM = 2e-5; // higher derivatives of a quotient
add('batchNorm', '', [[3, 2, 5], [2], [2]], (x, weight, bias) => api.batchNorm(x, { weight, bias }), NORM);
add('batchNorm', 'a mask', [[3, 2, 5], [2], [2]], (x, weight, bias) => api.batchNorm(x, { weight, bias, mask: mask(3, 1, 5) }), NORM);
add('batchNorm', 'running statistics', [[3, 2, 5], [2], [2]], (x, weight, bias) => {
  const [runningMean, runningVar] = [constant('fine', [2]), constant('fine', [2]).abs().add(1)];
  return api.batchNorm(x, { weight, bias, runningMean, runningVar });
});
add('instanceNorm', '', [[3, 2, 5], [2], [2]], (x, weight, bias) => api.instanceNorm(x, { weight, bias }), NORM);
add('instanceNorm', 'a mask per channel', [[2, 2, 3, 4]], (x) => api.instanceNorm(x, { mask: mask(2, 2, 3, 4) }), NORM);
add('prelu', 'a slope per channel', [[3, 2, 5], [2]], api.prelu);
add('prelu', 'one slope', [[7], [1]], api.prelu);
add('applyMask', '', [[2, 3, 5]], (x) => api.applyMask(x, mask(2, 1, 5)));
add('applyMask', 'a soft mask', [[2, 3, 5]], (x) => api.applyMask(x, constant('soft', [5])));
add('unMask', '', [[2, 3, 5]], (x) => api.unMask(x, constant('soft', [2, 1, 5]).add(0.5)));
for (const [name, resize, shape] of [
  ['resize1d', api.resize1d, [2, 3, 5]],
  ['resize2d', api.resize2d, [1, 2, 3, 4]],
] as const) {
  add(name, 'linear', [[...shape]], (x) => resize(x, { scaleFactor: 2 }));
  add(name, 'nearest', [[...shape]], (x) => resize(x, { size: 7, mode: 'nearest' }));
  add(name, 'down', [[...shape]], (x) => resize(x, { size: 2 }));
}

for (const op of ['mseLoss', 'l1Loss'] as const) {
  for (const reduction of ['mean', 'sum', 'none'] as const)
    add(
      op,
      reduction,
      [
        [2, 5],
        [2, 5],
      ],
      (x, t) => all[op](x, t, { reduction }),
    );
}
for (const op of ['maskedMseLoss', 'maskedL1Loss'] as const) {
  for (const reduction of ['mean', 'sum', 'none'] as const) {
    add(
      op,
      reduction,
      [
        [2, 3, 5],
        [2, 3, 5],
      ],
      (x, t) => all[op](x, t, mask(2, 1, 5), { reduction }),
    );
  }
  add(
    op,
    'a soft mask',
    [
      [2, 3, 5],
      [2, 3, 5],
    ],
    (x, t) => all[op](x, t, constant('soft', [5])),
  );
}

add(
  'defineOp',
  '',
  [
    [2, 3],
    [2, 3],
  ],
  (a, b) => ownProduct(a, b),
);
const ownProduct = api.defineOp({
  name: 'ownProduct',
  forward(call, a: Tensor, b: Tensor) {
    call.save(a, b);
    return a.mul(b);
  },
  backward: ({ saved: [a, b] }, g) => [g.mul(b as Tensor), g.mul(a as Tensor)],
});

// --- layers -------------------------------------------------------------------------------------------------------------

/** The layer with other parameters, in the order of namedParameters(). */
function withParameters<M extends Module>(layer: M, parameters: readonly Tensor[]): M {
  const rest = [...parameters];
  for (const module of layer.modules()) {
    const properties = module as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(properties)) {
      if (value instanceof api.Tensor && value.requiresGrad) properties[name] = rest.shift();
    }
  }
  return layer;
}

/** A layer as a function of x and all of its parameters. */
function layer<M extends Module>(
  name: string,
  make: () => M,
  x: number[],
  forward: (layer: M, x: Tensor) => Tensor,
  tolerance?: number,
): void {
  const inDouble = () => make().to('float64').to(testDevice());
  const parameters = inDouble()
    .parameters()
    .map((p) => scaled(input(p.shape), 0.5));
  const what = String(make()).replaceAll(/\s+/g, ' ');
  add(name, what, [x, ...parameters], (x, ...rest) => forward(withParameters(inDouble(), rest), x), tolerance);
}

type Forward = Module & { forward(x: Tensor): Tensor };
const simple = (make: () => Forward, x: number[], tolerance?: number) =>
  layer(make().constructor.name, make, x, (l, x) => l.forward(x), tolerance);

simple(() => new api.Conv1d(2, 3, 3, { padding: 1 }), [2, 2, 7]);
simple(() => new api.Conv2d(2, 3, 3), [1, 2, 4, 5]);
simple(() => new api.PReLU(2), [3, 2, 5]);
simple(() => new api.ReLU(), [3, 2, 5]);
simple(() => new api.BatchNorm1d(2), [3, 2, 5], NORM);
simple(() => new api.BatchNorm1d(2).eval(), [3, 2, 5], NORM);
simple(() => new api.BatchNorm2d(2), [2, 2, 3, 3], NORM);
simple(() => new api.InstanceNorm1d(2, { affine: true }), [2, 2, 5], NORM);
simple(() => new api.InstanceNorm2d(2), [2, 2, 3, 3], NORM);
simple(() => new api.Upsample1d({ scaleFactor: 2 }), [1, 2, 4]);
simple(() => new api.Upsample2d({ size: [5, 7], mode: 'nearest' }), [1, 2, 3, 4]);
simple(() => new api.Unshuffle1d(2), [1, 2, 6]);
simple(() => new api.Unshuffle2d(2), [1, 2, 4, 6]);
simple(() => new api.SpatialMean(), [2, 3, 4]);
simple(() => new ConvModern1d(2, 3, { stride: 2 }), [2, 2, 8], NORM);
simple(() => new ConvModern1d(2, 3, { stride: 2, scaler: 'up', normalizer: 'batch', layerOrder: 'old' }), [2, 2, 5], NORM);
simple(() => new api.ConvModern2d(2, 2, { normalizer: 'null' }), [1, 2, 4, 4]);
simple(() => new api.Sequential(new api.Conv1d(1, 2, 3), new BatchNorm1d(2), new api.ReLU()), [2, 1, 6], NORM);

layer(
  'PartialConv1d',
  () => new api.PartialConv1d(2, 3, 3, { padding: 1 }),
  [2, 2, 7],
  (l, x) => l.forward(x, mask(2, 1, 7)),
);
layer(
  'PartialConv2d',
  () => new api.PartialConv2d(2, 3, 3, { multiChannel: true }),
  [1, 2, 4, 5],
  (l, x) => l.forward(x, mask(1, 2, 4, 5)),
);
layer(
  'MaskedConv1d',
  () => new api.MaskedConv1d(2, 3, 3, { padding: 1 }),
  [2, 2, 7],
  (l, x) => l.forward(x)[0],
);
layer(
  'MaskedConv2d',
  () => new api.MaskedConv2d(2, 3, 3, { padding: 1 }),
  [1, 2, 4, 5],
  (l, x) => l.forward(x)[0],
);
layer(
  'MaskedBatchNorm1d',
  () => new api.MaskedBatchNorm1d(2),
  [3, 2, 5],
  (l, x) => l.forward(x, mask(3, 1, 5)),
  NORM,
);
layer(
  'MaskedBatchNorm2d',
  () => new api.MaskedBatchNorm2d(2),
  [2, 2, 3, 3],
  (l, x) => l.forward(x, mask(2, 2, 3, 3)),
  NORM,
);
layer(
  'MaskedInstanceNorm1d',
  () => new api.MaskedInstanceNorm1d(2, { affine: true }),
  [3, 2, 5],
  (l, x) => l.forward(x, mask(3, 1, 5)),
  NORM,
);
layer(
  'MaskedInstanceNorm2d',
  () => new api.MaskedInstanceNorm2d(2),
  [2, 2, 3, 3],
  (l, x) => l.forward(x, mask(2, 1, 3, 3)),
  NORM,
);
layer(
  'ApplyMask',
  () => new api.ApplyMask(),
  [2, 2, 5],
  (l, x) => l.forward(x, mask(2, 1, 5)),
);
layer(
  'UnMask',
  () => new api.UnMask({ eps: 0.5 }),
  [2, 2, 5],
  (l, x) => l.forward(x, constant('soft', [5])),
);
layer(
  'MaskedSpatialMean',
  () => new api.MaskedSpatialMean(),
  [2, 2, 5],
  (l, x) => l.forward(x, mask(2, 1, 5))[0],
);
layer(
  'MaskedUnshuffle1d',
  () => new api.MaskedUnshuffle1d(2),
  [2, 2, 6],
  (l, x) => l.forward(x, mask(2, 1, 6))[0],
);
layer(
  'MaskedUnshuffle2d',
  () => new api.MaskedUnshuffle2d(2),
  [1, 2, 4, 4],
  (l, x) => l.forward(x, mask(1, 1, 4, 4))[0],
);
layer(
  'MaskedSequential',
  () => new api.MaskedSequential(new api.PartialConv1d(1, 2, 3, { padding: 1 }), new api.MaskedBatchNorm1d(2)),
  [2, 1, 7],
  (l, x) => l.forward(x, mask(2, 1, 7))[0],
  NORM,
);
