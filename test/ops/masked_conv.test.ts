// maskedConv1d and maskedConv2d against the reference, in all dtypes, with every form of mask.
import { expect } from 'chai';
import { conv1d, type DType, full, maskedConv1d, maskedConv2d, type Tensor, tensor, zeros } from '../../ts';
import type { MaskedConvOptions } from '../../ts/ops/masked_conv';
import { type GeneratorKind, generate } from '../goldens/load';
import * as reference from '../reference';
import { type Values, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import {
  changed,
  decode,
  encode,
  expectClose,
  expectSame,
  isComplex,
  type Tolerance,
  toleranceOf,
  toTensor,
  toValues,
} from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

interface Setting {
  readonly x: readonly number[];
  readonly weight: readonly number[];
  readonly mask: readonly number[];
  readonly kind?: GeneratorKind;
  readonly options?: MaskedConvOptions;
}

const op = (weight: readonly number[]) => (weight.length === 3 ? maskedConv1d : maskedConv2d);

/** The mask of a setting with a value for each channel, as the reference takes it. */
function spread(mask: Values, x: readonly number[], dims: number): Values {
  const space = reference.sizeOf(x.slice(-dims));
  const c = x[x.length - dims - 1] as number;
  const channels = reference.sizeOf(mask.shape.slice(-dims - 1, -dims));
  const form =
    mask.shape.length === dims
      ? [1, 1]
      : mask.shape.length === dims + 1
        ? x.length === dims + 1
          ? [1, channels]
          : [mask.shape[0] as number, 1]
        : mask.shape.slice(0, 2);
  const [n, m] = form as [number, number];
  return values(
    [n, c, ...x.slice(-dims)],
    Float64Array.from({ length: n * c * space }, (_, i) => {
      const [row, cell] = [Math.floor(i / space), i % space];
      return mask.data[(Math.floor(row / c) * m + (m === 1 ? 0 : row % c)) * space + cell] as number;
    }),
  );
}

function compare(
  { x: shape, weight: weightShape, mask: maskShape, kind = 'mask', options = {} }: Setting,
  dtype: DType,
  tolerance: Tolerance,
  maskDtype: DType = 'float32',
): void {
  const [x, w, b] = [generate('exact', 1, shape), generate('exact', 2, weightShape), generate('exact', 3, weightShape.slice(0, 1))];
  const mask = generate(kind, 4, maskShape);
  const dims = weightShape.length - 2;
  const [tx, tw, tb] = [toTensor(x, dtype, true), toTensor(w, dtype, true), toTensor(b, dtype, true)];
  const [y, updated] = op(weightShape)(tx, toTensor(mask, maskDtype), tw, tb, options);
  const [expected, scale] = reference.maskedConv(x, spread(mask, shape, dims), w, b, options);
  expectClose(y, expected, tolerance);
  const batched = shape.length === dims + 2;
  expectClose(
    updated as Tensor,
    { ...(scale as Values), shape: batched ? (scale as Values).shape : (scale as Values).shape.slice(1) },
    tolerance,
    'updated',
  );
  const dy = generate('exact', 5, y.shape);
  y.backward(toTensor(dy, dtype));
  const gradients = reference.maskedConvBackward(x, spread(mask, shape, dims), w, dy, options);
  const many = { rtol: tolerance.rtol * 4, atol: tolerance.atol * 8 };
  expectClose(tx.grad as Tensor, gradients.dx, many, 'dx');
  expectClose(tw.grad as Tensor, gradients.dw, many, 'dw');
  expectClose(tb.grad as Tensor, gradients.db, many, 'db');
}

const SETTINGS: Setting[] = [
  { x: [2, 3, 9], weight: [4, 3, 3], mask: [2, 3, 9] },
  { x: [2, 3, 9], weight: [4, 3, 3], mask: [2, 3, 9], kind: 'soft', options: { padding: 1 } },
  { x: [2, 3, 9], weight: [4, 3, 3], mask: [2, 1, 9], options: { padding: 1 } },
  { x: [2, 3, 9], weight: [4, 3, 3], mask: [1, 3, 9], options: { padding: 1 } },
  { x: [2, 3, 9], weight: [4, 3, 3], mask: [2, 9], options: { padding: 1 } },
  { x: [2, 3, 9], weight: [4, 3, 3], mask: [9], options: { padding: 1 } },
  { x: [3, 9], weight: [4, 3, 3], mask: [3, 9], options: { padding: 1 } },
  { x: [3, 9], weight: [4, 3, 3], mask: [9] },
  { x: [2, 4, 9], weight: [6, 2, 3], mask: [2, 4, 9], options: { groups: 2, stride: 2, padding: 2 } },
  { x: [2, 4, 9], weight: [4, 1, 3], mask: [2, 1, 9], options: { groups: 4 } },
  { x: [2, 3, 11], weight: [2, 3, 4], mask: [2, 3, 11], options: { dilation: 3, padding: 2, eps: 0.5 } },
  { x: [2, 3, 9], weight: [2, 3, 2], mask: [2, 3, 9], options: { padding: 'same' } },
  { x: [2, 3, 9], weight: [2, 3, 1], mask: [2, 3, 9], options: { padding: 3 } },
  ...(['reflect', 'replicate', 'circular'] as const).map(
    (paddingMode): Setting => ({ x: [2, 3, 9], weight: [2, 3, 4], mask: [2, 3, 9], options: { paddingMode, padding: 3 } }),
  ),
  { x: [2, 2, 5, 6], weight: [3, 2, 3, 3], mask: [2, 2, 5, 6] },
  { x: [2, 2, 5, 6], weight: [3, 2, 2, 4], mask: [2, 1, 5, 6], options: { dilation: [2, 1], padding: [0, 1], stride: [1, 2] } },
  { x: [2, 5, 6], weight: [3, 2, 3, 3], mask: [5, 6], options: { padding: 1, paddingMode: 'reflect' } },
  { x: [0, 3, 9], weight: [4, 3, 3], mask: [1, 3, 9] },
];

describe('maskedConv against the reference', () => {
  for (const setting of SETTINGS) {
    it(`x [${setting.x}], weight [${setting.weight}], ${setting.kind ?? 'mask'} [${setting.mask}], ${JSON.stringify(setting.options ?? {})}`, () => {
      compare(setting, 'float64', { rtol: 1e-12, atol: 1e-12 }, 'float64');
      compare(setting, 'float32', { rtol: 1e-5, atol: 1e-5 });
      compare(setting, 'float16', { rtol: 4e-3, atol: 4e-3 });
      compare(setting, 'bfloat16', { rtol: 3e-2, atol: 3e-2 });
    });
  }

  it('masks of every dtype', () => {
    for (const dtype of ['bool', 'uint8', 'int32', 'float16', 'bfloat16', 'float32', 'float64'] as const)
      compare({ x: [2, 3, 9], weight: [4, 3, 3], mask: [2, 3, 9], options: { padding: 1 } }, 'float32', { rtol: 1e-5, atol: 1e-5 }, dtype);
  });
});

describe('maskedConv', () => {
  const shape = [2, 3, 9];
  const [x, w, b] = [generate('exact', 1, shape), generate('exact', 2, [4, 3, 3]), generate('exact', 3, [4])];
  const mask = toTensor(generate('mask', 4, shape), 'float32');

  it('without a mask is the plain convolution, and the mask stays null', () => {
    const operands = [w, b].map((v) => toTensor(v, 'float32')) as [Tensor, Tensor];
    const [y, updated] = maskedConv1d(toTensor(x, 'float32'), null, ...operands, { padding: 1 });
    expectSame(y, conv1d(toTensor(x, 'float32'), ...operands, { padding: 1 }));
    expect(updated).to.equal(null);
  });

  it('with all-zero weights gives 0, in every dtype', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128'] as const) {
      for (const eps of [0, 1e-8]) {
        const [y, updated] = maskedConv1d(
          full([1, 2, 4], 1, { dtype }),
          full([4], 1),
          zeros([3, 2, 2], { dtype }),
          full([3], 5, { dtype }),
          { eps },
        );
        expect(Array.from(decode(y.readSync(), dtype)).every((v) => v === 0)).to.equal(true);
        expect(Array.from(toValues(updated as Tensor).data).every((v) => v === 0)).to.equal(true);
      }
    }
  });

  it('of complex data scales both parts, by the moduli of the weights', () => {
    const complexOf = (seed: number, of: readonly number[]) => generate('exact', seed, of, true);
    const [cx, cw, cb] = [complexOf(1, shape), complexOf(2, [4, 3, 3]), complexOf(3, [4])];
    const moduli = values(
      [4, 3, 3],
      Float64Array.from({ length: 36 }, (_, i) => Math.hypot(cw.data[2 * i] as number, cw.data[2 * i + 1] as number)),
    );
    const scale = reference.maskedConvScale(shape, toValues(mask), moduli, { padding: 1 });
    const plain = reference.conv(cx, cw, cb, { padding: 1 });
    const expected = changed(plain, (v, i) => v * (scale.data[Math.floor(i / 2)] as number));
    for (const dtype of ['complex64', 'complex128'] as const) {
      expect(isComplex(dtype)).to.equal(true);
      const [y, updated] = maskedConv1d(toTensor(cx, dtype), mask, toTensor(cw, dtype), toTensor(cb, dtype), { padding: 1 });
      expectClose(y, expected, dtype === 'complex64' ? { rtol: 1e-5, atol: 1e-5 } : toleranceOf(dtype));
      expectClose(updated as Tensor, scale, toleranceOf('float32'));
    }
  });

  it('gradients of x and bias by finite differences; that of the weight treats the scale as a constant', () => {
    const soft = toTensor(generate('soft', 4, shape));
    const weight = toTensor(w);
    checkGradients(([t, bias]) => maskedConv1d(t as Tensor, soft, weight, bias as Tensor, { padding: 2, dilation: 2 })[0], [x, b]);
  });

  it('computes the scale anew when the weight changes', () => {
    const weight = toTensor(w, 'float32');
    const first = maskedConv1d(toTensor(x, 'float32'), mask, weight)[1] as Tensor;
    const again = maskedConv1d(toTensor(x, 'float32'), mask, weight)[1] as Tensor;
    expectSame(first, again);
    weight.mul_(
      toTensor(
        changed(w, (_, i) => 1 + (i % 3)),
        'float32',
      ),
    );
    const after = maskedConv1d(toTensor(x, 'float32'), mask, weight)[1] as Tensor;
    const fresh = maskedConv1d(
      toTensor(x, 'float32'),
      mask,
      tensor(encode(decode(weight.readSync(), 'float32'), 'float32'), { shape: [4, 3, 3] }),
    )[1] as Tensor;
    expectSame(after, fresh);
    expect(after.toArray()).to.not.deep.equal(first.toArray());
    const scaled = maskedConv1d(toTensor(x, 'float32'), mask, weight, null, { eps: 5 })[1] as Tensor;
    expect(scaled.toArray()).to.not.deep.equal(after.toArray());
  });

  it('the returned mask may be changed before backward()', () => {
    const grads = [false, true].map((change) => {
      const tx = toTensor(x, 'float32', true);
      const [y, updated] = maskedConv1d(tx, mask, toTensor(w, 'float32'));
      if (change) (updated as Tensor).zero_();
      y.backward(full(y.shape, 1));
      return tx.grad as Tensor;
    });
    expectSame(grads[0] as Tensor, grads[1] as Tensor);
  });

  it('is 0 where the scale is 0, whatever x holds in the window', () => {
    const [y] = maskedConv1d(tensor([[[1, Number.NaN, 3]]]), tensor([1, 0, 1]), tensor([[[1]]]), tensor([2]));
    expect(y.toArray()).to.deep.equal([[[3, 0, 5]]]);
  });

  it('rejects what does not fit', () => {
    const message = (call: () => unknown) => expectTyped(call).message;
    const weight = zeros([4, 3, 3]);
    expect(message(() => maskedConv1d(zeros(shape), zeros([2, 2, 9]), weight))).to.equal(
      'maskedConv1d: for x [2, 3, 9] expected a mask of shape [2, 1, 9], [1, 1, 9], [2, 9] or [9], or with a value per channel [2, 3, 9] or [1, 3, 9], but got mask [2, 2, 9]',
    );
    expect(message(() => maskedConv1d(zeros(shape), zeros([9], { dtype: 'complex64' }), weight))).to.include(
      'expected a real or bool mask',
    );
    expect(message(() => maskedConv1d(zeros(shape), 1 as unknown as Tensor, weight))).to.equal(
      'maskedConv1d: expected mask to be a tensor, but got 1',
    );
    expect(message(() => maskedConv1d(zeros(shape, { dtype: 'int32' }), null, zeros([4, 3, 3], { dtype: 'int32' })))).to.include(
      'expected x of floating point or complex dtype',
    );
    expect(message(() => maskedConv1d(zeros(shape), null, weight, null, { eps: -1 }))).to.include(
      'expected eps to be a finite number of at least 0',
    );
    expect(message(() => maskedConv1d(zeros(shape), null, weight, null, { esp: 1 } as MaskedConvOptions))).to.equal(
      'maskedConv1d: unknown option "esp"; did you mean "eps"?',
    );
  });
});
