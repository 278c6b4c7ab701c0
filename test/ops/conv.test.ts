// conv1d and conv2d against PyTorch's numbers, the reference, and finite differences.
import { expect } from 'chai';
import { Conv1d, Conv2d, conv1d, conv2d, type DType, noGrad, pad, type Tensor, tensor } from '../../ts';
import type { ConvOptions } from '../../ts/ops/conv_geometry';
import { type ConvCase, generate, inputsOf, isComplex, load, numbers, unpack } from '../goldens/load';
import * as reference from '../reference';
import { checkGradients } from '../support/finite_differences';
import { EXACT, expectClose, expectSame, toleranceOf, toShared, toTensor, toValues } from '../support/tensors';

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
    for (const options of [{ stride: 2, padding: 3, dilation: 2 }, { groups: 2, padding: 'same' }, { padding: 2, paddingMode: 'circular' }] as const) {
      it(`1-D, ${dtype}, ${JSON.stringify(options)}`, () => {
        const c = isComplex(dtype);
        compare(exact(1, [2, 4, 19], c), exact(2, [6, 'groups' in options ? 2 : 4, 4], c), exact(3, [6], c), options, dtype);
      });
    }
    it(`2-D, ${dtype}`, () => {
      const c = isComplex(dtype);
      compare(exact(1, [2, 4, 9, 7], c), exact(2, [6, 2, 3, 2], c), null, { groups: 2, padding: [2, 1], stride: [1, 2], dilation: [2, 1] }, dtype);
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
  for (const option of [{}, { stride: [2, 1], padding: [1, 2], dilation: [1, 2] }, { padding: 'same', paddingMode: 'reflect', groups: 2 }] as const) {
    it(`2-D ${JSON.stringify(option)}`, () => {
      const inputs = [fine(1, [1, 2, 5, 6]), fine(2, [2, 'groups' in option ? 1 : 2, 3, 2]), fine(3, [2])];
      checkGradients(([x, w, b]) => conv2d(x as Tensor, w as Tensor, b, option), inputs);
    });
  }
  it('unbatched, without bias, depthwise', () => {
    checkGradients(([x, w]) => conv1d(x as Tensor, w as Tensor, null, { groups: 3, padding: 1 }), [fine(1, [3, 6]), fine(2, [6, 1, 3])]);
  });
});

describe('conv by rule', () => {
  const plain = (x: number[], w: number[], options?: ConvOptions) =>
    conv1d(tensor([[x]], { dtype: 'float64' }), tensor([[w]], { dtype: 'float64' }), null, options).toArray();

  for (const golden of load('init_printed').same) {
    it(`'same' and padding modes: ${JSON.stringify(golden.options)} ${golden.weight}`, () =>
      expect(plain(golden.x, golden.weight, golden.options as ConvOptions)).to.deep.equal([[golden.y]]));
  }

  it("'same' keeps the length, whatever the kernel and the dilation", () => {
    for (let length = 50; length < 55; length++)
      for (const k of [1, 2, 3, 8])
        for (const dilation of [1, 2, 3]) {
          const y = conv1d(toTensor(exact(1, [1, 1, length])), toTensor(exact(2, [1, 1, k])), null, { padding: 'same', dilation });
          expect([...y.shape]).to.deep.equal([1, 1, length]);
        }
  });

  it("'same' of an even kernel is a wider padding without its first cell, gradients too", () => {
    const [x, w] = [exact(1, [2, 3, 12]), exact(2, [2, 3, 4])];
    const [a, b] = [1, 2].map(() => [toTensor(x, 'float64', true), toTensor(w, 'float64', true)]) as [Tensor[], Tensor[]];
    const same = conv1d(a[0] as Tensor, a[1] as Tensor, null, { padding: 'same' });
    const wide = conv1d(b[0] as Tensor, b[1] as Tensor, null, { padding: 2 });
    const dy = exact(3, same.shape);
    expectClose(same, { shape: same.shape, data: toValues(wide).data.filter((_, i) => i % 13 > 0) }, EXACT);
    same.backward(toTensor(dy));
    const wideDy = reference.values(wide.shape, [...Array(4)].flatMap((_, row) => [0, ...dy.data.subarray(row * 12, row * 12 + 12)]));
    wide.backward(toTensor(wideDy));
    expectSame(a[0]?.grad as Tensor, b[0]?.grad as Tensor);
    expectSame(a[1]?.grad as Tensor, b[1]?.grad as Tensor);
  });

  it("'same' with a padding mode is pad() and 'valid'", () => {
    const [x, w] = [toTensor(exact(1, [1, 2, 12])), toTensor(exact(2, [3, 2, 10]))];
    for (const paddingMode of ['reflect', 'replicate', 'circular'] as const) {
      expectSame(conv1d(x, w, null, { padding: 'same', paddingMode }), conv1d(pad(x, [4, 5], paddingMode), w, null, { padding: 'valid' }));
    }
    const [x2, w2] = [toTensor(exact(1, [1, 2, 5, 6])), toTensor(exact(2, [3, 2, 3, 4]))];
    expectSame(conv2d(x2, w2, null, { padding: 'same', paddingMode: 'reflect' }), conv2d(pad(x2, [1, 2, 1, 1], 'reflect'), w2));
  });

  it('with a flipped kernel is the convolution of textbooks', () => {
    expect(plain([1, 2, 3, 4], [1, 0, -1].reverse(), { padding: 2 })).to.deep.equal([[[1, 2, 2, 2, -3, -4]]]);
  });

  it('grouped is the concatenation of its groups', () => {
    const [x, w] = [exact(1, [2, 4, 9]), exact(2, [8, 2, 3])];
    const y = reference.values([2, 8, 7], toValues(conv1d(toTensor(x), toTensor(w), null, { groups: 2 })).data);
    for (const g of [0, 1]) {
      const part = conv1d(toTensor(x).slice(1, 2 * g, 2 * g + 2), toTensor(w).slice(0, 4 * g, 4 * g + 4));
      const expected = y.data.filter((_, i) => Math.floor(i / 28) % 2 === g);
      expect([...toValues(part).data]).to.deep.equal([...expected]);
    }
  });

  it('int32 is exact, and what does not fit becomes the nearest that does', () => {
    const int = (list: number[]) => tensor([[list]], { dtype: 'int32' });
    expect(conv1d(int([0, 1, 2, 3, 4]), int([1, 2])).toArray()).to.deep.equal([[[2, 5, 8, 11]]]);
    expect(conv1d(int([2 ** 30, 2 ** 30, -(2 ** 30), -(2 ** 30), -(2 ** 30)]), int([1, 1, 1])).toArray()).to.deep.equal([[[2 ** 30, -(2 ** 30), -(2 ** 31)]]]);
    expect(conv1d(int([16777217, 1]), int([1])).toArray()).to.deep.equal([[[16777217, 1]]]);
  });

  it('of bool and uint8 is refused', () => {
    for (const dtype of ['bool', 'uint8'] as const) {
      const t = tensor([[[1, 0, 1]]], { dtype });
      expect(() => conv1d(t, t)).to.throw(TypeError, dtype).with.property('code', 'ERR_DTYPE');
    }
  });

  it('without input channels gives the bias (PyTorch returns no channels there)', () => {
    const y = conv1d(tensor([], { shape: [2, 0, 5] }), tensor([], { shape: [3, 0, 2] }), tensor([1, 2, 3]));
    expect(y.toArray()).to.deep.equal([1, 2].map(() => [1, 2, 3].map((b) => [b, b, b, b])));
    expect(conv1d(tensor([], { shape: [0, 5] }), tensor([], { shape: [3, 0, 2] })).toArray()).to.deep.equal([1, 2, 3].map(() => [0, 0, 0, 0]));
  });

  it('without input channels, or without a batch, has gradients of the right shapes', () => {
    for (const [x, w] of [
      [[2, 0, 5], [3, 0, 2]],
      [[0, 2, 5], [3, 2, 2]],
      [[0, 0, 5], [3, 0, 2]],
    ] as const) {
      const inputs = [exact(1, x), exact(2, w), exact(3, [3])].map((v) => toTensor(v, 'float64', true));
      const [tx, tw, tb] = inputs as [Tensor, Tensor, Tensor];
      const y = conv1d(tx, tw, tb);
      y.sum().backward();
      expect(inputs.map((t) => [...(t.grad?.shape ?? [])])).to.deep.equal([[...x], [...w], [3]]);
      expect(tb.grad?.toArray()).to.deep.equal([1, 1, 1].map((v) => v * x[0] * 4));
      expect(toValues(tw.grad as Tensor).data.every((v) => v === 0)).to.equal(true);
    }
  });

  it('records gradients for what asks for them only', () => {
    for (const needs of [1, 2, 3, 4, 5, 6, 7]) {
      const inputs = [exact(1, [2, 3, 8]), exact(2, [4, 3, 3]), exact(3, [4])].map((v, i) => toTensor(v, 'float64', Boolean(needs & (1 << i))));
      const [x, w, b] = inputs as [Tensor, Tensor, Tensor];
      conv1d(x, w, b, { padding: 1 }).sum().backward();
      expect(inputs.map((t) => t.grad !== null)).to.deep.equal([0, 1, 2].map((i) => Boolean(needs & (1 << i))));
    }
  });

  it('sees a weight that changes, in place or from outside', () => {
    const x = toTensor(exact(1, [1, 2, 9]), 'float32');
    const w = toTensor(exact(2, [3, 2, 3]), 'float32');
    const check = () => expectClose(conv1d(x, w), reference.conv(exact(1, [1, 2, 9]), toValues(w), null), EXACT);
    check();
    w.fill_(2);
    check();
    w.copy_(toTensor(exact(3, [3, 2, 3]), 'float32'));
    check();
    w.data.set([1, 2, 3, 4]);
    check();
    w.data.fill(0.5);
    check();
  });

  it('works on a view: a detached or reshaped weight and x', () => {
    const [x, w] = [exact(1, [1, 2, 9]), exact(2, [3, 2, 3])];
    const expected = reference.conv(x, w, null);
    expectClose(conv1d(toTensor(x).reshape([2, 9]).reshape([1, 2, 9]).detach(), toTensor(w).reshape([18]).reshape([3, 2, 3])), expected, EXACT);
  });

  it('packs a weight anew for another padding under a stride: its taps meet other phases', () => {
    const [x, w] = [exact(1, [1, 2, 11]), toTensor(exact(2, [3, 2, 5]), 'float64')];
    for (const stride of [2, 3])
      for (const padding of [0, 1, 2, 0]) {
        const tx = toTensor(x, 'float64', true);
        const y = conv1d(tx, w, null, { stride, padding });
        const dy = exact(3, y.shape);
        y.backward(toTensor(dy));
        expectClose(tx.grad as Tensor, reference.convBackward(x, toValues(w), dy, { stride, padding }).dx, EXACT);
      }
  });

  it('refuses a backward pass after an input changed in place', () => {
    const [x, w] = [toTensor(exact(1, [1, 2, 9]), 'float64', true), toTensor(exact(2, [3, 2, 3]), 'float64', true)];
    const y = conv1d(x, w).sum();
    noGrad(() => w.fill_(1));
    expect(() => y.backward()).to.throw(RangeError, /changed in place/);
  });
});
