// partialConv1d and partialConv2d by rule: holes are never read, masks of every form and dtype, memory.
import { expect } from 'chai';
import { partialConv1d, partialConv2d, type Tensor, tensor } from '../../ts';
import { generate, isComplex } from '../goldens/load';
import * as reference from '../reference';
import { changed, EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

const SHAPES = { x: [2, 4, 11], weight: [6, 4, 3] } as const;

describe('partialConv', () => {
  const [x, weight, bias] = [generate('exact', 1, SHAPES.x), generate('exact', 2, SHAPES.weight), generate('exact', 3, [6])];
  const mask = generate('mask', 4, [2, 4, 11]);
  const options = { multiChannel: true, padding: 1 } as const;

  it('of complex data is that of its parts', () => {
    for (const dtype of ['complex64', 'complex128'] as const) {
      const [cx, cw, cb] = [x, weight, bias].map((v, i) => generate('exact', 10 + i, v.shape, true)) as [
        reference.Values,
        reference.Values,
        reference.Values,
      ];
      for (const kind of ['mask', 'sparse', 'soft'] as const) {
        const m = generate(kind, 4, [2, 4, 11]);
        const [y, updated] = partialConv1d(toTensor(cx, dtype), toTensor(m, 'float32'), toTensor(cw, dtype), toTensor(cb, dtype), {
          ...options,
          returnMask: true,
        });
        // Linear in x and w: (re, im) by four real ones; the bias enters once.
        const real = (a: reference.Values, b: reference.Values) => reference.partialConv(a, m, b, null, options).y;
        const [xr, xi, wr, wi] = [reference.part(cx, 0), reference.part(cx, 1), reference.part(cw, 0), reference.part(cw, 1)];
        const product = reference.joined(reference.minus(real(xr, wr), real(xi, wi)), reference.plus(real(xr, wi), real(xi, wr)));
        const zero = reference.values(weight.shape);
        const biases = reference.joined(
          reference.partialConv(x, m, zero, reference.part(cb, 0), options).y,
          reference.partialConv(x, m, zero, reference.part(cb, 1), options).y,
        );
        const sum = { ...product, data: product.data.map((v, i) => v + reference.at(biases.data, i)) };
        expectClose(y, sum, toleranceOf(dtype));
        expect(updated.dtype).to.equal(dtype === 'complex64' ? 'float32' : 'float64');
        expect(isComplex(y.dtype as 'complex64')).to.equal(true);
      }
    }
  });

  it('never reads what is under a hole: NaN and infinities there change no bit, forward or backward', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const)
      for (const poison of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 65504])
        for (const paddingMode of ['zeros', 'reflect', 'circular'] as const)
          for (const kind of ['mask', 'sparse', 'soft'] as const) {
            const m = generate(kind, 4, [2, 4, 11]);
            const run = (v: reference.Values) => {
              const inputs = [v, weight, bias].map((t) => toTensor(t, dtype, true)) as [Tensor, Tensor, Tensor];
              const y = partialConv1d(inputs[0], toTensor(m, 'float32'), inputs[1], inputs[2], { ...options, paddingMode });
              y.backward(toTensor(generate('exact', 7, y.shape), dtype));
              return [y, ...inputs.map((t) => t.grad as Tensor)];
            };
            const clean = run(x);
            const poisoned = run(changed(x, (v, i) => (m.data[i] === 0 ? poison : v)));
            poisoned.forEach((t, i) => {
              expectSame(t, clean[i] as Tensor, `${dtype} ${poison} ${paddingMode} ${kind} ${['y', 'dx', 'dw', 'db'][i]}`);
            });
            const dx = toValues(clean[1] as Tensor);
            expect(dx.data.every((v, i) => m.data[i] !== 0 || Object.is(v, 0))).to.equal(true);
          }
  });

  it('lets NaN through where the mask is 1', () => {
    const y = partialConv1d(tensor([[[1, Number.NaN, 3, 4, 5]]]), tensor([1, 1, 0, 1, 1]), tensor([[[1, 1]]]));
    expect(y.toArray()).to.deep.equal([[[Number.NaN, Number.NaN, 8, 9]]]);
  });

  it('keeps NaN in the weight out of empty windows, and gradients of empty windows at exactly 0', () => {
    const [tx, tw] = [
      toTensor(x, 'float32', true),
      toTensor(
        changed(weight, () => Number.NaN),
        'float32',
        true,
      ),
    ];
    const y = partialConv1d(tx, tensor(new Array(11).fill(0)), tw, toTensor(bias, 'float32'));
    expect(toValues(y).data.every((v) => Object.is(v, 0))).to.equal(true);
    y.backward(toTensor(generate('exact', 7, y.shape), 'float32'));
    for (const t of [tx, tw]) expect(toValues(t.grad as Tensor).data.every((v) => v === 0)).to.equal(true);
  });

  it('keeps infinite gradients of empty windows out', () => {
    const [tx, tw, tb] = [toTensor(x, 'float64', true), toTensor(weight, 'float64', true), toTensor(bias, 'float64', true)];
    const m = tensor([1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1]);
    const y = partialConv1d(tx, m, tw, tb);
    const empty = (i: number) => i % 9 >= 4 && i % 9 <= 6;
    const dy = generate('exact', 7, y.shape);
    y.backward(toTensor(changed(dy, (v, i) => (empty(i) ? Number.POSITIVE_INFINITY : v))));
    const expected = reference.partialConvBackward(
      x,
      toValues(m),
      weight,
      changed(dy, (v, i) => (empty(i) ? 0 : v)),
    );
    expectClose(tx.grad as Tensor, expected.dx, toleranceOf('float64'), 'dx');
    expectClose(tw.grad as Tensor, expected.dw, toleranceOf('float64'), 'dw');
    expectClose(tb.grad as Tensor, expected.db, toleranceOf('float64'), 'db');
  });

  it('of a full mask without padding is the plain convolution', () => {
    for (const m of [null, tensor(new Array(11).fill(1)), tensor(new Array(11).fill(true))]) {
      expectClose(
        partialConv1d(toTensor(x, 'float32'), m, toTensor(weight, 'float32'), toTensor(bias, 'float32')),
        reference.conv(x, weight, bias),
        EXACT,
      );
    }
  });

  it('without a mask has the zero padding as the only hole', () => {
    const y = partialConv1d(tensor([[1, 1, 1, 1, 1, 1]]), null, tensor([[[1, 1, 1]]]), null, { stride: 2, padding: 1 });
    expect(y.toArray()).to.deep.equal([[3, 3, 3]]);
    const y2 = partialConv2d(
      tensor([
        [
          [1, 1],
          [1, 1],
        ],
      ]),
      null,
      tensor([
        [
          [
            [1, 1, 1],
            [1, 1, 1],
            [1, 1, 1],
          ],
        ],
      ]),
      null,
      { padding: 1 },
    );
    expect(y2.toArray()).to.deep.equal([
      [
        [9, 9],
        [9, 9],
      ],
    ]);
  });

  it('has every mask form of a single channel', () => {
    const full = generate('mask', 4, [2, 1, 11]);
    const one = generate('mask', 5, [11]);
    const run = (m: reference.Values, shape: number[]) => partialConv1d(toTensor(x), toTensor({ ...m, shape }), toTensor(weight));
    expectSame(run(full, [2, 11]), run(full, [2, 1, 11]));
    for (const shape of [[11], [1, 11], [1, 1, 11]])
      expectClose(run(one, shape), reference.partialConv(x, one, weight, null).y, toleranceOf('float64'), `[${shape}]`);
  });

  it('takes a single-channel mask with multiChannel: it stands for every channel', () => {
    for (const groups of [1, 2])
      for (const kind of ['mask', 'soft'] as const) {
        const single = generate(kind, 4, [2, 1, 11]);
        const repeated = reference.values(
          [2, 4, 11],
          [0, 1].flatMap((n) => [1, 2, 3, 4].flatMap(() => [...single.data.subarray(n * 11, n * 11 + 11)])),
        );
        const w = toTensor(generate('exact', 2, [6, 4 / groups, 3]));
        const [a, b] = [single, repeated].map((m) =>
          partialConv1d(toTensor(x), toTensor(m), w, null, { ...options, groups, returnMask: true }),
        ) as unknown as [Tensor[], Tensor[]];
        expectClose(a[0] as Tensor, toValues(b[0] as Tensor), toleranceOf('float64'));
        expectSame(a[1] as Tensor, b[1] as Tensor);
      }
  });

  it('gives the same for every dtype of a 0/1 mask', () => {
    const run = (m: Tensor) => partialConv1d(toTensor(x, 'float32'), m, toTensor(weight, 'float32'), toTensor(bias, 'float32'), options);
    const expected = run(toTensor(mask, 'float32'));
    for (const dtype of ['float64', 'float16', 'bfloat16', 'bool', 'uint8', 'int32'] as const)
      expectSame(run(toTensor(mask, dtype)), expected, dtype);
    const wild = toTensor(
      changed(mask, (v) => v * 7),
      'uint8',
    );
    expectSame(run(wild), expected, 'uint8 of 7');
    expectSame(
      run(
        toTensor(
          changed(mask, (v) => -v),
          'int32',
        ),
      ),
      expected,
      'int32 of -1',
    );
  });

  it('returns an updated mask that belongs to the caller', () => {
    const [, updated] = partialConv1d(toTensor(x), toTensor(mask), toTensor(weight), null, { ...options, returnMask: true });
    expect([...updated.shape]).to.deep.equal([2, 6, 11]);
    expect(updated.requiresGrad).to.equal(false);
  });

  it('has the gradient of the mask that was used, or none, when the mask changes before backward()', () => {
    const soft = changed(mask, (v) => v / 2);
    for (const [of, dtype, converted] of [
      [mask, 'float64', true],
      [mask, 'int32', true],
      [mask, 'bool', false],
      [soft, 'float64', false],
    ] as const) {
      const [m, tx, tw] = [toTensor(of, dtype), toTensor(x, 'float64', true), toTensor(weight, 'float64', true)];
      const y = partialConv1d(tx, m, tw, null, options);
      const dy = generate('exact', 7, y.shape);
      m.fill_(0);
      // A mask that was converted is a copy; one that was used as it is must not have changed.
      if (!converted) expect(() => y.backward(toTensor(dy)), dtype).to.throw(RangeError, /changed in place/);
      else {
        y.backward(toTensor(dy));
        const { dx, dw } = reference.partialConvBackward(x, of, weight, dy, options);
        expectClose(tx.grad as Tensor, dx, toleranceOf('float64'), 'dx');
        expectClose(tw.grad as Tensor, dw, toleranceOf('float64'), 'dw');
      }
    }
  });

  it('leaves no handle on its operands: dispose() frees them at once', () => {
    for (const dtype of ['float32', 'bfloat16', 'complex64'] as const)
      for (const maskDtype of ['float32', 'bool', 'float16'] as const) {
        const c = isComplex(dtype as 'complex64');
        const operands = [generate('exact', 1, x.shape, c), generate('exact', 2, weight.shape, c)].map((v) => toTensor(v, dtype, true));
        const [tx, tw] = operands as [Tensor, Tensor];
        const m = toTensor(mask, maskDtype);
        const [y, updated] = partialConv1d(tx, m, tw, null, { ...options, paddingMode: 'circular', returnMask: true });
        y.backward(toTensor(generate('exact', 3, y.shape, c), dtype));
        for (const t of [...operands, m, y, updated]) expect(t.storage.exclusive, `${dtype} ${maskDtype} ${t.shape}`).to.equal(true);
      }
  });

  it('has no gradient for the mask', () => {
    const m = toTensor(mask, 'float64', true);
    const tx = toTensor(x, 'float64', true);
    partialConv1d(tx, m, toTensor(weight), null, options).sum().backward();
    expect(m.grad).to.equal(null);
    expect(tx.grad).not.to.equal(null);
  });

  it('without input channels gives the bias where the mask has seen something', () => {
    const empty = tensor([], { shape: [2, 0, 4], dtype: 'float32' });
    const w = tensor([], { shape: [2, 0, 2], dtype: 'float32' });
    const y = partialConv1d(empty, tensor([1, 0, 0, 1]), w, tensor([3, 5]));
    expect(y.toArray()).to.deep.equal(
      [1, 2].map(() => [
        [3, 0, 3],
        [5, 0, 5],
      ]),
    );
    const none = partialConv1d(empty, tensor([], { shape: [2, 0, 4] }), w, tensor([3, 5]), { multiChannel: true });
    expect(none.toArray()).to.deep.equal(
      [1, 2].map(() => [
        [0, 0, 0],
        [0, 0, 0],
      ]),
    );
  });

  it('accepts an empty batch', () => {
    const [y, updated] = partialConv1d(
      tensor([], { shape: [0, 4, 11] }),
      tensor(new Array(11).fill(1)),
      toTensor(weight, 'float32'),
      null,
      { returnMask: true },
    );
    expect([[...y.shape], [...updated.shape]]).to.deep.equal([
      [0, 6, 9],
      [1, 1, 9],
    ]);
    const z = partialConv1d(tensor([], { shape: [0, 4, 11] }), tensor([], { shape: [0, 1, 11] }), toTensor(weight, 'float32'));
    expect([...z.shape]).to.deep.equal([0, 6, 9]);
  });
});
