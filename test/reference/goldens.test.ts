// The two judges against each other: the reference must give PyTorch's numbers.

import { expect } from 'chai';
import { generate, inputsOf, isComplex, load, numbers, stateOf, TOLERANCE, unpack } from '../goldens/load';
import type { FloatName, LayerCase, Numbers } from '../goldens/types';
import * as reference from '../reference';

interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

function close(actual: reference.Values, expected: Float64Array, { rtol, atol }: Tolerance, what: string): void {
  expect(actual.data.length, what).to.equal(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [reference.at(actual.data, i), reference.at(expected, i)];
    if (!(Math.abs(a - e) <= atol + rtol * Math.abs(e))) expect.fail(`${what}[${i}]: ${a}, PyTorch ${e}`);
  }
}

/** Half a unit in the last place for results that PyTorch rounds once. */
const ROUNDED: Readonly<Record<FloatName, Tolerance>> = {
  ...TOLERANCE,
  float16: { rtol: 2 ** -11, atol: 2 ** -25 },
  bfloat16: { rtol: 2 ** -8, atol: 0 },
};

const LAYER_TOLERANCE: Tolerance = { rtol: 1e-8, atol: 1e-8 };

function layerInputs(golden: LayerCase) {
  const x = generate('exact', golden.seed, golden.x);
  const mask = golden.mask ? generate(golden.mask.kind, golden.seed + 4, golden.mask.shape) : null;
  const dims = golden.x.length - 2;
  const shown = golden.masked && mask ? reference.select(mask, x, dims) : x;
  const dy = generate('exact', golden.seed + 3, golden.y.shape);
  /** dx through the product with the mask, where the case has one. */
  const back = (dx: reference.Values) => (golden.masked && mask ? reference.select(mask, dx, dims) : dx);
  return { x: shown, mask, dy, back, state: stateOf(golden) };
}

function compare(golden: LayerCase, y: reference.Values, dx: reference.Values, others: Record<string, reference.Values>) {
  expect(y.shape).to.deep.equal(golden.y.shape);
  close(y, unpack(golden.y).data, LAYER_TOLERANCE, 'y');
  if (golden.dx) close(dx, numbers(golden.dx), LAYER_TOLERANCE, 'dx');
  const expected: Record<string, Numbers> = { ...golden.gradients, ...golden.buffers };
  for (const [key, list] of Object.entries(expected)) close(others[key] ?? expect.fail(`no ${key}`), numbers(list), LAYER_TOLERANCE, key);
}

const JUDGES: readonly (readonly [RegExp, (golden: LayerCase) => void])[] = [
  [
    /^MaskedConv/,
    (golden) => {
      const { x, mask, dy, back, state } = layerInputs(golden);
      const weight = state.weight as reference.Values;
      const [y, updated] = reference.maskedConv(x, mask, weight, state.bias ?? null, golden.options);
      const { dx, dw, db } = reference.maskedConvBackward(x, mask, weight, dy, golden.options);
      compare(golden, y, back(dx), { weight: dw, bias: db });
      if (golden.updated) {
        expect(updated?.shape).to.deep.equal(golden.updated.shape);
        close(updated as reference.Values, unpack(golden.updated).data, LAYER_TOLERANCE, 'updated');
      }
    },
  ],
  [
    /Norm/,
    (golden) => {
      const { x, mask, dy, back, state } = layerInputs(golden);
      const scope = golden.layer.includes('Batch') ? ('batch' as const) : ('instance' as const);
      const running = state.running_mean && state.running_var ? { mean: state.running_mean, variance: state.running_var } : undefined;
      const options = { ...golden.options, scope, training: golden.training ?? true };
      const gradients = reference.normBackward(x, mask, state.weight ?? null, dy, options, running);
      const y = reference.norm(x, mask, state.weight ?? null, state.bias ?? null, options, running);
      compare(golden, y, back(gradients.dx), {
        weight: gradients.dgamma,
        bias: gradients.dbeta,
        ...(running ? { running_mean: running.mean, running_var: running.variance } : {}),
      });
    },
  ],
  [
    /^PReLU/,
    (golden) => {
      const { x, dy, state } = layerInputs(golden);
      const weight = state.weight as reference.Values;
      const { dx, da } = reference.preluBackward(x, weight, dy);
      compare(golden, reference.prelu(x, weight), dx, { weight: da });
    },
  ],
  [
    /^Upsample/,
    (golden) => {
      const { x, dy } = layerInputs(golden);
      const dims = golden.x.length - 2;
      const perAxis = (v: unknown): number[] => (Array.isArray(v) ? v : new Array<number>(dims).fill(v as number));
      const { size, scaleFactor } = golden.options;
      const target = size === undefined ? reference.scaledSize(golden.x.slice(2), perAxis(scaleFactor)) : perAxis(size);
      compare(golden, reference.resize(x, target), reference.resizeBackward(dy, golden.x, target), {});
    },
  ],
];

/** norm, act, [resize], conv ('new'), [resize], conv, norm, act ('old'), [resize], conv with bias, act (no normalizer). */
function convModern(golden: LayerCase): void {
  const dims = golden.x.length - 2;
  const state = stateOf(golden);
  const {
    normalizer = 'pinst',
    activator = 'prelu',
    layerOrder = 'new',
    scaler = 'down',
    stride = 1,
    outputSize,
    padding = 1,
  } = golden.options;
  const strides = typeof stride === 'number' ? new Array<number>(dims).fill(stride) : (stride as number[]);
  const up = scaler === 'up' && (outputSize !== undefined || strides.some((s) => s > 1));
  const around = [...(normalizer === 'null' ? [] : ['norm']), ...(activator === 'null' ? [] : ['act'])];
  const inner = [...(up ? ['resize'] : []), 'conv'];
  const order = layerOrder === 'new' && normalizer !== 'null' ? [...around, ...inner] : [...inner, ...around];
  const steps: Record<string, (x: reference.Values, name: string) => reference.Values> = {
    norm: (x, name) => {
      const own = (key: string) => state[`${name}.${key}`] ?? null;
      const [mean, variance] = [own('running_mean'), own('running_var')];
      const options = { scope: normalizer === 'batch' ? ('batch' as const) : ('instance' as const), training: golden.training ?? true };
      return reference.norm(x, null, own('weight'), own('bias'), options, mean && variance ? { mean, variance } : undefined);
    },
    act: (x, name) => reference.prelu(x, activator === 'relu' ? reference.filled([1], 0) : (state[`${name}.weight`] as reference.Values)),
    resize: (x) => {
      const size = typeof outputSize === 'number' ? [outputSize] : (outputSize as number[] | undefined);
      return reference.resize(x, size ?? reference.scaledSize(x.shape.slice(2), strides));
    },
    conv: (x, name) => {
      const options = { stride: up ? 1 : strides, padding: padding as number | number[] | 'same' };
      return reference.conv(x, state[`${name}.weight`] as reference.Values, state[`${name}.bias`] ?? null, options);
    },
  };
  let y: reference.Values = generate('exact', golden.seed, golden.x);
  for (const [i, step] of order.entries()) y = steps[step]?.(y, `mconv.${i}`) ?? expect.fail(step);
  expect(y.shape).to.deep.equal(golden.y.shape);
  close(y, unpack(golden.y).data, LAYER_TOLERANCE, 'y');
}

describe('reference against PyTorch', () => {
  describe('conv.json', () => {
    for (const golden of load('conv').cases)
      it(golden.name, () => {
        const { x, weight, bias, gradOutput } = inputsOf(golden);
        const exact = golden.data !== 'fine' && !['float16', 'bfloat16'].includes(golden.dtype);
        const tolerance = exact ? { rtol: 0, atol: 0 } : ROUNDED[golden.dtype];
        const y = reference.conv(x, weight, bias, golden.options);
        expect(y.shape).to.deep.equal(golden.y.shape);
        close(y, unpack(golden.y, golden.dtype).data, tolerance, 'y');
        const gradients = reference.convBackward(x, weight, gradOutput, golden.options);
        for (const key of ['dx', 'dw', 'db'] as const) {
          const expected = golden[key];
          if (expected) close(gradients[key], numbers(expected, golden.dtype), tolerance, key);
        }
        expect(y.complex ?? false).to.equal(isComplex(golden.dtype));
      });
  });

  describe('partial.json', () => {
    for (const golden of load('partial').cases)
      it(golden.name, () => {
        const { x, weight, bias, gradOutput, mask } = inputsOf(golden);
        const tolerance = TOLERANCE[golden.dtype];
        const result = reference.partialConv(x, mask, weight, bias, golden.options);
        expect(result.y.shape).to.deep.equal(golden.y.shape);
        expect(result.updatedMask.shape).to.deep.equal(golden.updated.shape);
        expect(result.ratio.shape).to.deep.equal(golden.ratio.shape);
        close(result.y, unpack(golden.y).data, tolerance, 'y');
        close(result.ratio, unpack(golden.ratio).data, tolerance, 'ratio');
        close(result.updatedMask, unpack(golden.updated).data, { rtol: 0, atol: 0 }, 'updated');
        const gradients = reference.partialConvBackward(x, mask, weight, gradOutput, golden.options);
        for (const key of ['dx', 'dw', 'db'] as const) {
          const expected = golden[key];
          if (expected) close(gradients[key], numbers(expected, golden.dtype), tolerance, key);
        }
      });
  });

  describe('init_printed.json', () => {
    const file = load('init_printed');
    for (const golden of file.partial)
      it(golden.id, () => {
        const taps = reference.filled(golden.weight, 1);
        const bias = golden.bias ? reference.values([golden.bias.length], golden.bias) : null;
        const result = reference.partialConv(unpack(golden.x), unpack(golden.mask), taps, bias, golden.options);
        close(result.y, unpack(golden.y).data, TOLERANCE[golden.dtype], 'y');
        close(result.updatedMask, unpack(golden.updated).data, { rtol: 0, atol: 0 }, 'updated');
      });
    for (const golden of file.pad)
      it(`pad ${golden.mode} ${golden.pads} of [${golden.x.shape}]`, () => {
        const run = () => reference.pad(unpack(golden.x), golden.pads, golden.mode, golden.value);
        if (!golden.y) {
          expect(run).to.throw();
          return;
        }
        expect(run().shape).to.deep.equal(golden.y.shape);
        close(run(), unpack(golden.y).data, { rtol: 0, atol: 0 }, 'y');
      });
    for (const golden of file.same)
      it(`same ${golden.weight} ${JSON.stringify(golden.options)} of ${golden.x}`, () => {
        const weight = reference.values([1, 1, golden.weight.length], golden.weight);
        const y = reference.conv(reference.values([1, golden.x.length], golden.x), weight, null, golden.options);
        expect([...y.data]).to.deep.equal(golden.y);
      });
  });

  describe('masked_layers.json', () => {
    for (const golden of load('masked_layers').cases) {
      const judge = JUDGES.find(([layer]) => layer.test(golden.layer))?.[1];
      if (judge) it(golden.name, () => judge(golden));
    }
  });

  describe("conv_modern.json, forward from the reference's pieces", () => {
    for (const golden of load('conv_modern').cases) it(golden.name, () => convModern(golden));
  });
});
