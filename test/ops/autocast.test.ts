// autocast against torch.autocast, and which op computes in which dtype.
import { expect } from 'chai';
import {
  type AutocastDType,
  applyMask,
  autocast,
  BatchNorm1d,
  concat,
  conv1d,
  type DType,
  InstanceNorm1d,
  l1Loss,
  MaskedSpatialMean,
  maskedConv1d,
  maskedMseLoss,
  mseLoss,
  ones,
  partialConv1d,
  prelu,
  resize1d,
  type Tensor,
} from '../../ts';
import { generate, load, numbers } from '../goldens/load';
import { forward, mixedRun, train } from '../support/mixed_nets';
import { expectSame, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const LOW = ['float16', 'bfloat16'] as const;

/** Units of the 16-bit dtype at the largest number of a result: a unit is what one rounding that goes the other way changes. */
const UNIT = { float16: 2 ** -10, bfloat16: 2 ** -7 };

const fine = (shape: readonly number[], dtype: DType = 'float32', seed = 3, requiresGrad = false): Tensor =>
  toTensor(generate('fine', seed, shape), dtype, requiresGrad);

const largestOf = (list: ArrayLike<number>): number => Math.max(...Array.from(list, Math.abs));

/** How far a is from e, in units at the largest e (or `least`). */
function units(a: ArrayLike<number>, e: ArrayLike<number>, dtype: AutocastDType, least = 0): number {
  const largest = Math.max(largestOf(e), least);
  return Math.max(...Array.from(e, (v, i) => Math.abs(v - (a[i] as number)))) / largest / UNIT[dtype];
}

describe('autocast, against torch.autocast', () => {
  for (const golden of load('mixed').nets) {
    const { net, dtype } = golden;
    it(`${net} in ${dtype}: results, dtypes and gradients`, () => {
      const run = mixedRun(golden);
      const { results, loss } = forward(golden, dtype, run);
      expect([...results, loss].map((t) => t.dtype)).to.deep.equal(golden.dtypes);
      expect(units(toValues(results.at(-1) as Tensor).data, numbers(golden.y.data), dtype), 'y').to.be.at.most(1);
      expect(Math.abs(loss.item() - golden.loss)).to.be.at.most(UNIT[dtype] * golden.loss);
      loss.backward();
      const expected = [golden.dx, ...golden.gradients].map((list) => numbers(list));
      // That of a bias before a norm is 0, but for what rounding leaves of larger numbers.
      const least = Math.max(...expected.map(largestOf)) / 8;
      for (const [i, t] of [run.x, ...run.parameters].entries()) {
        const grad = t.grad as Tensor;
        expect(grad.dtype).to.equal('float32');
        // A rounding of the forward pass goes through every later product.
        expect(units(toValues(grad).data, expected[i] ?? [], dtype, least), `gradient ${i}`).to.be.at.most(2);
      }
    });

    it(`${net} in ${dtype}: the losses of a training run with a GradScaler`, () => {
      const losses = train(golden, dtype);
      golden.training.forEach((expected, i) => {
        expect(Math.abs((losses[i] as number) - expected), `loss ${i}`).to.be.at.most(2 * UNIT[dtype] * (golden.training[0] as number));
      });
      expect(losses.at(-1)).to.be.below((losses[0] as number) / 1.2);
    });
  }
});

describe('the dtypes of autocast', () => {
  for (const dtype of LOW) {
    it(`${dtype}: what computes in it`, () => {
      const [x, w, b, m] = [fine([2, 4, 12]), fine([4, 4, 3]), fine([4]), toTensor(generate('mask', 1, [2, 1, 12]), 'float32')];
      const other = x.to(dtype === 'float16' ? 'bfloat16' : 'float16');
      autocast(dtype, () => {
        expect([conv1d(x, w, b), conv1d(other, w, b), prelu(x, b)].map((t) => t.dtype)).to.deep.equal([dtype, dtype, dtype]);
        const [y, updated] = partialConv1d(x, m, w, b, { returnMask: true });
        const [z, scale] = maskedConv1d(x, m, w, b) as [Tensor, Tensor];
        expect([y, updated, z, scale].map((t) => t.dtype)).to.deep.equal([dtype, 'float32', dtype, 'float32']);
        expect(new MaskedSpatialMean().forward(y, updated).map((t) => t?.dtype)).to.deep.equal([dtype, 'float32']);
        // The mask of a masked convolution comes from the weight before it is rounded.
        expectSame(
          scale,
          autocast(null, () => maskedConv1d(x, m, w, b)[1] as Tensor),
        );
      });
    });

    it(`${dtype}: what computes in float32, what follows its operands, and what is left as it is`, () => {
      const [h, wide] = [fine([3, 4], dtype), fine([3, 4])];
      const big = toTensor({ shape: [2], data: Float64Array.of(60000, 60000), complex: false }, 'float16');
      autocast(dtype, () => {
        const float32 = [h.abs().log(), h.exp(), h.pow(2), wide.pow(h), h.sum(), h.sum([0])];
        float32.push(mseLoss(h, h), mseLoss(h, wide), l1Loss(wide, h), maskedMseLoss(h, wide, h.abs()));
        for (const [i, t] of float32.entries()) expect(t.dtype, `op ${i}`).to.equal('float32');
        expect(big.sum().item()).to.equal(120_000); // beyond float16
        const same = [h.add(h), h.mul(2), h.relu(), h.mean(), h.sqrt(), h.tanh(), h.reshape([12]), applyMask(h, h.abs())];
        same.push(resize1d(h.reshape([1, 3, 4]), { scaleFactor: 2 }));
        for (const [i, t] of same.entries()) expect(t.dtype, `op ${i}`).to.equal(dtype);
        for (const t of [h.add(wide), wide.mul(h), concat([h, wide])]) expect(t.dtype).to.equal('float32');
        for (const kept of ['float64', 'complex64', 'int32'] as const) {
          expect(conv1d(ones([1, 1, 5], { dtype: kept }), ones([1, 1, 2], { dtype: kept })).dtype).to.equal(kept);
        }
        expect([fine([3], 'float64').exp().dtype, fine([3], 'float64').sum().dtype]).to.deep.equal(['float64', 'float64']);
      });
      expect([h.exp(), h.sum(), mseLoss(h, h)].map((t) => t.dtype)).to.deep.equal([dtype, dtype, dtype]);
    });
  }

  it('norms with float32 parameters normalise 16 bits in float32, and their running statistics stay in it', () => {
    const x = fine([4, 3, 50], 'bfloat16');
    for (const make of [() => new BatchNorm1d(3), () => new InstanceNorm1d(3, { affine: true })]) {
      const [norm, same] = [make(), make()];
      const y = autocast('bfloat16', () => norm.forward(x));
      expectSame(y, same.forward(x.to('float32')).to('bfloat16'));
      expect(norm.stateDict()).to.deep.equal(same.stateDict());
      const plain = make();
      expect(expectTyped(() => plain.forward(x)).code).to.equal('ERR_DTYPE');
    }
  });

  it('a float64 weight beside a float32 x is refused as ever', () => {
    const { code, message } = expectTyped(() => autocast('bfloat16', () => conv1d(fine([1, 1, 5]), fine([1, 1, 2], 'float64'))));
    expect(code).to.equal('ERR_DTYPE');
    expect(message).to.match(/^conv1d: Input type \(c10::BFloat16\) and weight type \(double\) should be the same/);
  });
});
