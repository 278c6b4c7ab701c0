// Every rejection of PyTorch's list, with our class, its code, and PyTorch's facts in the message.
import { expect } from 'chai';
import { Conv1d, Conv2d, conv1d, conv2d, type DType, PartialConv1d, PartialConv2d, pad, type Tensor, zeros } from '../../ts';
import type { ConvLayerOptions } from '../../ts/nn/conv';
import { load } from '../goldens/load';
import type { Call, TensorSpec } from '../goldens/types';
import { expectTyped } from '../support/typed_errors';

const layers = { conv1d: Conv1d, conv2d: Conv2d };
const partialLayers = { conv1d: PartialConv1d, conv2d: PartialConv2d };
const functions = { conv1d, conv2d };
type Op = keyof typeof layers;

/** PyTorch's dtypes that we lack, by the nearest that we have. */
const dtypeOf = (name: string | undefined) => (name === 'int64' ? 'int32' : (name ?? 'float32')) as DType;

const make = (spec: TensorSpec | null | undefined): Tensor =>
  spec ? zeros(spec.shape, { dtype: dtypeOf(spec.dtype) }) : (null as unknown as Tensor);

function options(call: Call): ConvLayerOptions {
  const { dtype, ...rest } = call.options ?? {};
  return { ...rest, ...(dtype === undefined ? {} : { dtype: dtypeOf(String(dtype)) }) } as ConvLayerOptions;
}

function construct(call: Call, classes: typeof layers | typeof partialLayers = layers): Conv1d | Conv2d {
  const [c, o, k] = call.args as [number, number, number | number[]];
  return new classes[call.op as Op](c, o, k, options(call)) as Conv1d;
}

const RUN: Record<Call['kind'], (call: Call) => unknown> = {
  construct: (call) => construct(call),
  forward: (call) => construct(call).forward(make(call.x)),
  functional: (call) => functions[call.op as Op](make(call.x), make(call.weight), call.bias ? make(call.bias) : null, options(call)),
  pad: (call) => pad(make(call.x), call.pads ?? [], call.mode as 'constant', call.value),
  loadState: (call) =>
    construct(call).loadStateDict(Object.fromEntries(Object.entries(call.state ?? {}).map(([name, shape]) => [name, zeros(shape)]))),
  backward: () => {
    const y = new Conv1d(1, 1, 2).forward(zeros([1, 3])).sum();
    y.backward();
    y.backward();
  },
};

/** Where our messages have another word. */
const SPELLING: Record<string, string> = { NoneType: 'null', 'second time': 'freed by an earlier backward\\(\\)' };

describe('rejected as by PyTorch', () => {
  for (const call of load('errors').rejected) {
    it(call.id, () => {
      const fact = new RegExp(SPELLING[call.fact] ?? call.fact);
      const error = expectTyped(() => RUN[call.kind](call));
      expect(error.message).to.match(fact);
    });

    if (call.kind === 'construct' || call.kind === 'forward') {
      it(`${call.id}: the partial layer, and in the promise`, async () => {
        const run = () => construct(call, partialLayers).forward(make(call.x));
        const fact = new RegExp((SPELLING[call.fact] ?? call.fact).replace('input to conv', 'input to conv'));
        const { message } = expectTyped(run);
        expect(message).to.match(fact);
        if (call.kind === 'construct' || isConstructionError(call)) return;
        const settled = await construct(call, partialLayers)
          .forwardAsync(make(call.x))
          .then(() => null)
          .catch((error: Error) => error);
        expect(expectTyped(() => raise(settled)).message).to.equal(message);
      });
    }
  }
});

function isConstructionError(call: Call): boolean {
  try {
    construct(call);
    return false;
  } catch {
    return true;
  }
}

function raise(error: unknown): void {
  if (error) throw error;
}

// PyTorch returns no channels where there are none to come in; here the result is the bias.
const OURS: Record<string, number[]> = { 'no input channels forward': [2, 3, 4], 'zero channels, zero batch': [0, 12, 5] };

describe('accepted as by PyTorch', () => {
  for (const call of load('errors').accepted) {
    it(call.id, () => {
      for (const classes of [layers, partialLayers]) {
        const layer = construct(call, classes);
        if (call.kind === 'forward') expect([...layer.forward(make(call.x)).shape]).to.deep.equal(OURS[call.id] ?? call.y);
      }
    });
  }
});

describe('forward', () => {
  const layer = new Conv1d(2, 3, 3) as unknown as { forward(x: unknown): Tensor; forwardAsync(x: unknown): Promise<Tensor> };

  it('refuses what is no tensor', async () => {
    const things = [
      undefined,
      null,
      1,
      'x',
      true,
      [1, 2],
      {},
      () => 1,
      new Float32Array(6),
      new ArrayBuffer(8),
      Symbol('x'),
      1n,
      new Date(),
      { shape: [2, 5], dtype: 'float32' },
    ];
    for (const x of things) {
      expect(() => layer.forward(x), String(x))
        .to.throw(TypeError, /expected x to be a tensor/)
        .with.property('code', 'ERR_DTYPE');
      const error = await layer.forwardAsync(x).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(TypeError).with.property('code', 'ERR_DTYPE');
    }
  });

  it('refuses every other dtype, with both names and shapes', () => {
    for (const dtype of ['float64', 'float16', 'bfloat16', 'complex64', 'complex128', 'int32', 'uint8', 'bool'] as const) {
      const run = () => layer.forward(zeros([1, 2, 8], { dtype }));
      expect(run, dtype)
        .to.throw(TypeError, new RegExp(`x \\[1, 2, 8\\] is ${dtype}, weight \\[3, 2, 3\\] is float32`))
        .with.property('code', 'ERR_DTYPE');
    }
  });

  it('says whole shapes', () => {
    expect(() => layer.forward(zeros([1, 4, 8]))).to.throw(
      RangeError,
      /weight \[3, 2, 3\] expects 2 input channels, but x \[1, 4, 8\] has 4/,
    );
    expect(() => layer.forward(zeros([4, 8]))).to.throw(RangeError, /x \[4, 8\] has 4/);
    expect(() => layer.forward(zeros([2, 2]))).to.throw(RangeError, /x \[2, 2\]|x \[1, 2, 2\]/);
  });
});
