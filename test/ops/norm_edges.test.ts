// batchNorm and instanceNorm where nothing is valid, in holes, of nothing, and what they reject.
import { expect } from 'chai';
import { type BatchNormOptions, batchNorm, full, instanceNorm, type Tensor, tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { at } from '../reference';
import { noise, run } from '../support/norms';
import { changed, decode, expectSame, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

describe('norms of what is not valid', () => {
  for (const scope of ['batch', 'instance'] as const)
    for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const) {
      it(`${scope}, ${dtype}: where nothing is valid the result is the bias, and nothing is NaN`, () => {
        // Channel 0 of every sample has no valid element; in one more case nothing has.
        for (const all of [false, true]) {
          const mask = changed(generate('ones', 0, [2, 2, 5]), (_, i) => (all || Math.floor(i / 5) % 2 === 0 ? 0 : 1));
          const [x, w, b] = [
            toTensor(noise(1, [2, 2, 5]), dtype, true),
            toTensor(noise(2, [2]), dtype, true),
            toTensor(noise(3, [2]), dtype, true),
          ];
          const y = run({ scope, x: [] }, x, toTensor(mask, dtype), w, b);
          const bias = decode(b.readSync(), dtype);
          const got = decode(y.readSync(), dtype);
          for (const i of [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]) expect(got[i]).to.equal(bias[0]);
          y.backward(toTensor(noise(5, [2, 2, 5]), dtype));
          const dx = decode((x.grad as Tensor).readSync(), dtype);
          const dw = decode((w.grad as Tensor).readSync(), dtype);
          expect([...got, ...dx, ...dw].every(Number.isFinite)).to.equal(true);
          expect([0, 4, 10, 14].map((i) => dx[i])).to.deep.equal([0, 0, 0, 0]);
          expect(dw[0]).to.equal(0);
          expect(at(decode((b.grad as Tensor).readSync(), dtype), 0)).to.not.equal(0);
        }
      });
    }

  it('a channel without valid elements keeps its running statistics', () => {
    const mask = changed(generate('ones', 0, [1, 2, 5]), (_, i) => (i < 5 ? 0 : 1));
    const [runningMean, runningVar] = [toTensor(noise(6, [2])), toTensor(noise(7, [2]))];
    batchNorm(toTensor(noise(1, [3, 2, 5])), { training: true, mask: toTensor(mask), runningMean, runningVar });
    expect(runningMean.readSync()[0]).to.equal(at(noise(6, [2]).data, 0));
    expect(runningVar.readSync()[0]).to.equal(at(noise(7, [2]).data, 0));
    expect(runningMean.readSync()[1]).to.not.equal(at(noise(6, [2]).data, 1));
  });

  it('a variance of 0 with an eps of 0 gives the bias', () => {
    const y = instanceNorm(full([1, 1, 4], 3), { eps: 0, bias: tensor([2]) });
    expect(y.toArray()).to.deep.equal([[[2, 2, 2, 2]]]);
  });

  it('one valid element, also as the only position', () => {
    expect(instanceNorm(tensor([[[5]]]), { mask: tensor([1]) }).toArray()).to.deep.equal([[[0]]]);
    expect(batchNorm(tensor([[7, 9]]), { mask: tensor([[1, 0]]), bias: tensor([1, 2]) }).toArray()).to.deep.equal([[1, 2]]);
  });

  for (const scope of ['batch', 'instance'] as const) {
    it(`${scope}: NaN and infinity in a hole count as 0 and reach nothing else, forward or backward`, () => {
      const mask = generate('mask', 2, [3, 1, 7]);
      const hole = (i: number) => at(mask.data, Math.floor(i / 14) * 7 + (i % 7)) === 0;
      const clean = changed(noise(1, [3, 2, 7]), (v, i) => (hole(i) ? 0 : v));
      const dirty = changed(clean, (v, i) =>
        hole(i) ? ([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][i % 3] ?? 0) : v,
      );
      const results = [clean, dirty].map((v) => {
        const [x, w, b] = [
          toTensor(v, 'float32', true),
          toTensor(noise(2, [2]), 'float32', true),
          toTensor(noise(3, [2]), 'float32', true),
        ];
        const y = run({ scope, x: [] }, x, toTensor(mask, 'bool'), w, b);
        y.backward(toTensor(noise(5, [3, 2, 7]), 'float32'));
        return [y, x.grad, w.grad, b.grad] as Tensor[];
      });
      (results[0] as Tensor[]).forEach((t, i) => {
        expectSame(results[1]?.[i] as Tensor, t);
      });
    });
  }

  it('empty batches, channels and spaces', () => {
    const [runningMean, runningVar] = [full([3], 2), full([3], 4)];
    for (const shape of [
      [0, 3, 5],
      [2, 3, 0],
      [0, 3],
    ]) {
      const x = zeros(shape, { requiresGrad: true });
      const y = batchNorm(x, { training: true, runningMean, runningVar, weight: full([3], 1) });
      expect([...y.shape]).to.deep.equal(shape);
      y.backward(zeros(shape));
      expect([...(x.grad as Tensor).shape]).to.deep.equal(shape);
    }
    expect([runningMean.toArray(), runningVar.toArray()]).to.deep.equal([
      [2, 2, 2],
      [4, 4, 4],
    ]);
    expect([...batchNorm(zeros([2, 0, 4])).shape]).to.deep.equal([2, 0, 4]);
    expect([...instanceNorm(zeros([0, 2, 4])).shape]).to.deep.equal([0, 2, 4]);
  });
});
describe('norms: what is rejected', () => {
  const x = zeros([2, 3, 4]);
  const cases: [string, () => unknown, string, string][] = [
    ['no tensor', () => batchNorm([1] as unknown as Tensor), 'ERR_DTYPE', 'batchNorm: expected x to be a tensor, but got [1]'],
    [
      'an integer x',
      () => batchNorm(zeros([2, 3], { dtype: 'int32' })),
      'ERR_DTYPE',
      'batchNorm: expected x of real floating-point dtype, but got an int32 tensor of shape [2, 3]',
    ],
    [
      'a complex x',
      () => instanceNorm(zeros([2, 3, 4], { dtype: 'complex64' })),
      'ERR_DTYPE',
      'instanceNorm: expected x of real floating-point dtype',
    ],
    ['one dimension', () => batchNorm(zeros([3])), 'ERR_SHAPE', 'batchNorm: expected x [N, C, ...], but got x [3]'],
    [
      'a short weight',
      () => batchNorm(x, { weight: zeros([2]) }),
      'ERR_SHAPE',
      'batchNorm: weight should contain 3 elements for x [2, 3, 4], but got weight [2]',
    ],
    [
      'a bias of two dimensions',
      () => instanceNorm(x, { bias: zeros([3, 1]) }),
      'ERR_SHAPE',
      'instanceNorm: bias should contain 3 elements for x [2, 3, 4], but got bias [3, 1]',
    ],
    [
      'another dtype',
      () => batchNorm(x, { weight: zeros([3], { dtype: 'float64' }) }),
      'ERR_DTYPE',
      'batchNorm: expected x and weight of one dtype, but x is float32 and weight float64',
    ],
    [
      'a mask that does not fit',
      () => batchNorm(x, { mask: zeros([2, 2, 4]) }),
      'ERR_SHAPE',
      'batchNorm: for x [2, 3, 4] expected a mask of shape [2, 1, 4], [1, 1, 4], [2, 4] or [4]',
    ],
    [
      'a complex mask',
      () => batchNorm(x, { mask: zeros([4], { dtype: 'complex64' }) }),
      'ERR_DTYPE',
      'batchNorm: expected a real or bool mask, but got a complex64 mask of shape [4]',
    ],
    [
      'half the running statistics',
      () => batchNorm(x, { runningMean: zeros([3]) }),
      'ERR_SHAPE',
      'batchNorm: expected both runningMean and runningVar, or neither',
    ],
    [
      'short running statistics',
      () => batchNorm(x, { runningMean: zeros([4]), runningVar: zeros([4]) }),
      'ERR_SHAPE',
      'batchNorm: runningMean should contain 3 elements for x [2, 3, 4], but got runningMean [4]',
    ],
    [
      'a negative eps',
      () => instanceNorm(x, { eps: -1 }),
      'ERR_SHAPE',
      'instanceNorm: expected eps to be a finite number of at least 0, but got -1',
    ],
    [
      'a momentum that is no number',
      () => batchNorm(x, { training: true, runningMean: zeros([3]), runningVar: zeros([3]), momentum: '1' as unknown as number }),
      'ERR_SHAPE',
      'batchNorm: expected momentum to be a finite number, but got "1"',
    ],
    [
      'an unknown option',
      () => batchNorm(x, { momentun: 1 } as BatchNormOptions),
      'ERR_SHAPE',
      'batchNorm: unknown option "momentun"; did you mean "momentum"?',
    ],
    [
      'one position',
      () => instanceNorm(zeros([2, 4, 1])),
      'ERR_SHAPE',
      'instanceNorm: Expected more than 1 spatial element when training, got input size [2, 4, 1]',
    ],
    [
      'one value per channel',
      () => batchNorm(zeros([1, 3]), { training: true }),
      'ERR_SHAPE',
      'batchNorm: Expected more than 1 value per channel when training, got input size [1, 3]',
    ],
  ];
  for (const [name, call, code, message] of cases) {
    it(name, () => {
      const error = expectTyped(call);
      expect(error.code).to.equal(code);
      expect(error.message).to.include(message);
    });
  }
});
