// Losses against plain double loops, finite differences and PyTorch's conventions; holes; errors.
import { expect } from 'chai';
import { type DType, fromBuffer, l1Loss, maskedL1Loss, maskedMseLoss, mseLoss, setNumThreads, type Tensor, tensor, zeros } from '../../ts';
import type { LossOptions } from '../../ts/ops/loss';
import { generate } from '../goldens/load';
import { at, type Values, values } from '../reference';
import { checkGradients } from '../support/finite_differences';
import { expectClose, expectSame, type Tolerance, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

type Kind = 'mse' | 'l1';

const LOSSES = {
  mse: (x: Tensor, t: Tensor, mask: Tensor | null, options?: LossOptions) =>
    mask === null ? mseLoss(x, t, options) : maskedMseLoss(x, t, mask, options),
  l1: (x: Tensor, t: Tensor, mask: Tensor | null, options?: LossOptions) =>
    mask === null ? l1Loss(x, t, options) : maskedL1Loss(x, t, mask, options),
};

/** The mask's value at each element of x, by NumPy's rule. */
function weightsOf(mask: Values | null, shape: readonly number[]): number[] {
  const size = shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: size }, (_, flat) => {
    if (mask === null) return 1;
    let [rest, index, step] = [flat, 0, 1];
    for (let d = shape.length - 1, m = mask.shape.length - 1; d >= 0; d--, m--) {
      const i = rest % (shape[d] as number);
      rest = Math.floor(rest / (shape[d] as number));
      if (m < 0) continue;
      if (mask.shape[m] !== 1) index += i * step;
      step *= mask.shape[m] as number;
    }
    return at(mask.data, index);
  });
}

interface Result {
  readonly y: number;
  readonly each: Values;
  readonly dx: Values;
}

/** The mean loss, its terms, and the gradient of x. */
function reference(kind: Kind, x: Values, t: Values, mask: Values | null): Result {
  const w = weightsOf(mask, x.shape);
  const total = w.reduce((a, b) => a + b, 0);
  const d = Array.from(x.data, (v, i) => (w[i] === 0 ? 0 : v - at(t.data, i)));
  const terms = d.map((v, i) => (w[i] as number) * (kind === 'mse' ? v * v : Math.abs(v)));
  const slopes = d.map((v, i) => (w[i] as number) * (kind === 'mse' ? 2 * v : Math.sign(v)));
  const divided = (v: number) => (total === 0 ? 0 : v / total);
  const sum = terms.reduce((a, b) => a + b, 0);
  return {
    y: divided(sum),
    each: values(x.shape, Float64Array.from(terms)),
    dx: values(x.shape, Float64Array.from(slopes, divided)),
  };
}

const scalar = (v: number): Values => values([], Float64Array.of(v));

const SHAPE = [3, 5, 17];
const FORMS: [string, number[] | null][] = [
  ['no mask', null],
  ['[N, C, L]', [3, 5, 17]],
  ['[N, 1, L]', [3, 1, 17]],
  ['[1, 1, L]', [1, 1, 17]],
  ['[L]', [17]],
  ['[C, 1]', [5, 1]],
  ['[N, 1, 1]', [3, 1, 1]],
  ['[]', []],
];
const TOLERANCES: Partial<Record<DType, Tolerance>> = {
  float32: { rtol: 2 ** -23, atol: 1e-9 },
  float64: { rtol: 1e-14, atol: 1e-16 },
  float16: { rtol: 2 ** -10, atol: 2 ** -24 },
  bfloat16: { rtol: 2 ** -7, atol: 1e-9 },
};

describe('losses', () => {
  for (const kind of ['mse', 'l1'] as const) {
    for (const [dtype, tolerance] of Object.entries(TOLERANCES) as [DType, Tolerance][]) {
      it(`${kind} of ${dtype}: values and gradients with a mask of every form`, () => {
        for (const [form, shape] of FORMS) {
          const [x, t] = [generate('exact', 1, SHAPE), generate('exact', 2, SHAPE)];
          const mask = shape && generate('mask', 5, shape);
          const expected = reference(kind, x, t, mask);
          const [tx, tt] = [toTensor(x, dtype, true), toTensor(t, dtype, true)];
          const y = LOSSES[kind](tx, tt, mask && toTensor(mask, 'bool'));
          expectClose(y, scalar(expected.y), tolerance, form);
          y.backward();
          expectClose(tx.grad as Tensor, expected.dx, tolerance, `dx, ${form}`);
          expectClose(tt.grad as Tensor, { ...expected.dx, data: expected.dx.data.map((v) => -v) }, tolerance, `dtarget, ${form}`);
        }
      });
    }

    it(`${kind}: reductions 'none' and 'sum', with their gradients`, () => {
      const [x, t, mask] = [generate('fine', 1, SHAPE), generate('fine', 2, SHAPE), generate('mask', 5, [3, 1, 17])];
      const { each } = reference(kind, x, t, mask);
      const [tx, tt, tm] = [toTensor(x), toTensor(t), toTensor(mask, 'bool')];
      expectClose(LOSSES[kind](tx, tt, tm, { reduction: 'none' }), each, { rtol: 1e-15, atol: 0 });
      const sum = each.data.reduce((a, b) => a + b, 0);
      expectClose(LOSSES[kind](tx, tt, tm, { reduction: 'sum' }), scalar(sum), { rtol: 1e-14, atol: 0 });
      for (const reduction of ['none', 'sum', 'mean'] as const) {
        checkGradients(([a, b]) => LOSSES[kind](a as Tensor, b as Tensor, tm, { reduction }), [x, t]);
        checkGradients(([a, b]) => LOSSES[kind](a as Tensor, b as Tensor, null, { reduction }), [x, t]);
      }
    });

    it(`${kind}: a mask may be of any real dtype; a soft one weighs`, () => {
      const [x, t, mask] = [generate('exact', 1, SHAPE), generate('exact', 2, SHAPE), generate('mask', 5, [17])];
      const y = LOSSES[kind](toTensor(x), toTensor(t), toTensor(mask, 'bool'));
      for (const dtype of ['uint8', 'int32', 'float16', 'bfloat16', 'float32', 'float64'] as const) {
        expectSame(LOSSES[kind](toTensor(x), toTensor(t), toTensor(mask, dtype)), y, dtype);
      }
      const threes = { ...mask, data: mask.data.map((v) => 3 * v) };
      expectSame(LOSSES[kind](toTensor(x), toTensor(t), toTensor(threes, 'int32')), y, 'not 0 is valid');
      const soft = generate('soft', 5, [17]);
      const expected = reference(kind, x, t, soft);
      expectClose(LOSSES[kind](toTensor(x), toTensor(t), toTensor(soft, 'float16')), scalar(expected.y), { rtol: 1e-14, atol: 0 });
      checkGradients(([a, b]) => LOSSES[kind](a as Tensor, b as Tensor, toTensor(soft)), [x, generate('fine', 2, SHAPE)]);
    });

    it(`${kind}: what lies under a 0 of the mask changes nothing, forward or backward`, () => {
      const [x, t, mask] = [generate('fine', 1, SHAPE), generate('fine', 2, SHAPE), generate('mask', 5, [3, 1, 17])];
      const w = weightsOf(mask, SHAPE);
      const run = (garbage: number, options?: LossOptions) => {
        const spoiled = [x, t].map((v) => ({ ...v, data: v.data.map((value, i) => (w[i] === 0 ? garbage : value)) }));
        const [tx, tt] = spoiled.map((v) => toTensor(v, 'float32', true)) as [Tensor, Tensor];
        const y = LOSSES[kind](tx, tt, toTensor(mask, 'bool'), options);
        y.sum().backward();
        return [y, tx.grad as Tensor, tt.grad as Tensor] as const;
      };
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        const clean = run(0, { reduction });
        for (const garbage of [Number.NaN, Number.POSITIVE_INFINITY, 3e38]) {
          run(garbage, { reduction }).forEach((result, i) => void expectSame(result, clean[i] as Tensor, `${garbage}, ${reduction}`));
        }
        const [, dx] = clean;
        toValues(dx).data.forEach((v, i) => void (w[i] === 0 && expect(Object.is(v, 0), 'a gradient in a hole is +0').to.equal(true)));
      }
    });

    it(`${kind}: without a valid element the loss and all gradients are 0`, () => {
      for (const shape of [SHAPE, [0, 3]]) {
        const [x, t] = [toTensor(generate('fine', 1, shape), 'float32', true), toTensor(generate('fine', 2, shape), 'float32', true)];
        const y = LOSSES[kind](x, t, zeros([1], { dtype: 'bool' }));
        expect(y.item()).to.equal(0);
        y.backward();
        expectSame(x.grad as Tensor, zeros(shape));
        expectSame(t.grad as Tensor, zeros(shape));
      }
      expect(LOSSES[kind](zeros([0]), zeros([0]), null).item()).to.be.NaN; // as PyTorch's mean of nothing
      expect(LOSSES[kind](zeros([0]), zeros([0]), null, { reduction: 'sum' }).item()).to.equal(0);
    });

    it(`${kind}: large tensors give the same bits for any number of threads, and on a mask that cuts rows everywhere`, () => {
      for (const maskShape of [null, [1, 700, 1], [3, 1, 301]]) {
        const [x, t] = [generate('fine', 1, [3, 700, 301]), generate('fine', 2, [3, 700, 301])];
        const mask = maskShape && generate('mask', 5, maskShape);
        const runs = [1, 2, 3].map((threads) => {
          setNumThreads(threads);
          const tx = toTensor(x, 'float32', true);
          const y = LOSSES[kind](tx, toTensor(t, 'float32'), mask && toTensor(mask, 'bool'));
          y.backward();
          return [y, tx.grad as Tensor] as const;
        });
        setNumThreads(2);
        const expected = reference(kind, x, t, mask);
        expectClose((runs[0] as (typeof runs)[0])[0], scalar(expected.y), { rtol: 1e-6, atol: 0 });
        for (const [y, dx] of runs) {
          expectSame(y, runs[0]?.[0] as Tensor);
          expectSame(dx, runs[0]?.[1] as Tensor);
        }
        expectClose((runs[0] as (typeof runs)[0])[1], expected.dx, { rtol: 1e-6, atol: 1e-12 });
      }
    });
  }

  it('follow PyTorch where |x - target| has no slope: 0', () => {
    const x = tensor([1, 2], { requiresGrad: true });
    l1Loss(x, tensor([1, 3])).backward();
    expect(x.grad?.toArray()).to.deep.equal([0, -0.5]);
  });

  it('compute only the gradients that are needed', () => {
    const [x, t] = [tensor([1, 2]), tensor([3, 5], { requiresGrad: true })];
    mseLoss(x, t).backward();
    expect(x.grad).to.equal(null);
    expect(t.grad?.toArray()).to.deep.equal([2, 3]);
  });

  it('refuse what does not fit, by name', () => {
    const [x, t] = [zeros([2, 3]), zeros([2, 3])];
    const message = (f: () => unknown) => {
      const { code, message } = expectTyped(f);
      return `${code} ${message}`;
    };
    expect(message(() => mseLoss(x, zeros([3])))).to.equal("ERR_SHAPE mseLoss: expected a target of x's shape [2, 3], but got target [3]");
    expect(message(() => l1Loss(x, zeros([2, 3], { dtype: 'float64' })))).to.equal(
      'ERR_DTYPE l1Loss: expected x and target of one dtype, but x is float32 and target float64',
    );
    expect(message(() => mseLoss(zeros([2], { dtype: 'complex64' }), zeros([2], { dtype: 'complex64' })))).to.match(
      /^ERR_DTYPE mseLoss: expected x of floating point dtype, but got a complex64 tensor/,
    );
    expect(message(() => maskedMseLoss(x, t, zeros([2])))).to.equal(
      'ERR_SHAPE maskedMseLoss: expected a mask that broadcasts to x [2, 3], but got mask [2]',
    );
    expect(message(() => maskedMseLoss(x, t, zeros([1, 2, 3])))).to.match(/^ERR_SHAPE maskedMseLoss: expected a mask that broadcasts/);
    expect(message(() => maskedL1Loss(x, t, undefined as never))).to.equal(
      'ERR_DTYPE maskedL1Loss: expected mask to be a tensor, but got undefined',
    );
    expect(message(() => maskedL1Loss(x, t, zeros([3], { dtype: 'complex64' })))).to.match(
      /^ERR_DTYPE maskedL1Loss: expected a real or bool mask/,
    );
    expect(message(() => mseLoss(x, t, { reduction: 'average' as never }))).to.equal(
      "ERR_SHAPE mseLoss: expected reduction to be 'mean', 'sum' or 'none', but got \"average\"",
    );
    expect(message(() => mseLoss(x, t, { reductoin: 'sum' } as never))).to.equal(
      'ERR_SHAPE mseLoss: unknown option "reductoin"; did you mean "reduction"?',
    );
    expect(message(() => mseLoss(x, null as never))).to.equal('ERR_DTYPE mseLoss: expected target to be a tensor, but got null');
    const gone = zeros([2, 3]);
    gone.dispose();
    expect(message(() => mseLoss(x, gone))).to.match(/^ERR_DISPOSED mseLoss/);
  });

  it('read a live view of the caller’s memory', () => {
    const memory = Float32Array.of(1, 2);
    const x = fromBuffer(memory, [2]);
    memory[0] = 3;
    expect(mseLoss(x, zeros([2])).item()).to.equal(6.5);
  });
});
