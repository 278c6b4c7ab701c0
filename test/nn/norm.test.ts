// Norm and activation layers: attributes, representations, state, running statistics, modes and messages, as PyTorch 2.13 has them.
import { expect } from 'chai';
import {
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormLayerOptions,
  InstanceNorm1d,
  InstanceNorm2d,
  MaskedBatchNorm1d,
  MaskedBatchNorm2d,
  MaskedInstanceNorm1d,
  MaskedInstanceNorm2d,
  noGrad,
  PReLU,
  ReLU,
  rand,
  type Tensor,
  tensor,
  zeros,
} from '../../ts';
import { values } from '../reference';
import { expectClose, expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const list = (t: Tensor | null) => t?.toArray();
const ramp = (scale: number) =>
  tensor([
    [
      [0, 1, 2],
      [3, 4, 5],
    ],
    [
      [6, 7, 8],
      [9, 10, 11],
    ],
  ]).mul(scale);

describe('BatchNorm', () => {
  it('has the attributes, state and representation of PyTorch', () => {
    const layer = new BatchNorm1d(2);
    expect([layer.numFeatures, layer.eps, layer.momentum, layer.affine, layer.trackRunningStats]).to.deep.equal([2, 1e-5, 0.1, true, true]);
    expect([list(layer.weight), list(layer.bias), list(layer.runningMean), list(layer.runningVar)]).to.deep.equal([
      [1, 1],
      [0, 0],
      [0, 0],
      [1, 1],
    ]);
    expect(layer.numBatchesTracked?.item()).to.equal(0);
    expect(Object.keys(layer.stateDict())).to.deep.equal(['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']);
    expect(layer.namedParameters().map(([name]) => name)).to.deep.equal(['weight', 'bias']);
    expect(layer.namedBuffers().map(([name]) => name)).to.deep.equal(['running_mean', 'running_var', 'num_batches_tracked']);
    expect(layer.parameters().every((t) => t.requiresGrad)).to.equal(true);
    expect(String(layer)).to.equal('BatchNorm1d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)');
    const other = new BatchNorm2d(4, { eps: 2, momentum: null, affine: false, trackRunningStats: false });
    expect(String(other)).to.equal('BatchNorm2d(4, eps=2.0, momentum=None, affine=False, bias=False, track_running_stats=False)');
    expect(Object.keys(other.stateDict())).to.deep.equal([]);
    expect(String(new BatchNorm1d(2, { bias: false, eps: 0.001 }))).to.equal(
      'BatchNorm1d(2, eps=0.001, momentum=0.1, affine=True, bias=False, track_running_stats=True)',
    );
    expect(String(new MaskedBatchNorm2d(3))).to.include('MaskedBatchNorm2d(3, eps=1e-05');
  });

  it('counts batches and averages them all with momentum null, as PyTorch', () => {
    const layer = new BatchNorm1d(2, { momentum: null });
    for (const scale of [1, 2, 3]) layer.forward(ramp(scale));
    // Printed by PyTorch 2.13 for the same three batches.
    expectClose(layer.runningMean as Tensor, values([2], [8, 14]), { rtol: 1e-6, atol: 0 });
    expectClose(layer.runningVar as Tensor, values([2], [54.1333, 54.1333]), { rtol: 1e-5, atol: 0 });
    expect(layer.numBatchesTracked?.item()).to.equal(3);
  });

  it('changes its statistics in training mode only, also inside noGrad, and not where the call fails', () => {
    const layer = new MaskedBatchNorm1d(2);
    layer.eval().forward(ramp(1));
    expect([list(layer.runningMean), layer.numBatchesTracked?.item()]).to.deep.equal([[0, 0], 0]);
    layer.train();
    noGrad(() => layer.forward(ramp(1)));
    expect(layer.numBatchesTracked?.item()).to.equal(1);
    const before = list(layer.runningMean);
    expectTyped(() => layer.forward(ramp(1), zeros([7])));
    expectTyped(() => layer.forward(zeros([1, 2, 1])));
    expect([list(layer.runningMean), layer.numBatchesTracked?.item()]).to.deep.equal([before, 1]);
  });

  it('loads and keeps state through dtypes', () => {
    const layer = new BatchNorm1d(2);
    layer.forward(ramp(1));
    const copy = new MaskedBatchNorm1d(2, { dtype: 'float64' });
    copy.loadStateDict(layer.stateDict());
    expect(list(copy.runningMean)).to.deep.equal(list(layer.runningMean));
    expect(copy.numBatchesTracked?.dtype).to.equal('int32');
    copy.to('float32').eval();
    layer.eval();
    expectSame(copy.forward(ramp(2)), layer.forward(ramp(2)));
    copy.to('bfloat16');
    expect([copy.runningVar?.dtype, copy.numBatchesTracked?.dtype]).to.deep.equal(['bfloat16', 'int32']);
    copy.train().forward(ramp(1).to('bfloat16'));
    expect(copy.numBatchesTracked?.item()).to.equal(2);
  });

  it('without running statistics normalises by the batch in both modes', () => {
    const layer = new BatchNorm1d(2, { trackRunningStats: false });
    expectSame(layer.forward(ramp(1)), layer.eval().forward(ramp(1)));
    expect(expectTyped(() => layer.forward(zeros([1, 2]))).message).to.include('Expected more than 1 value per channel when training');
  });

  it('a mask of ones gives what no mask gives, except for the biased running variance', () => {
    const [masked, plain] = [new MaskedBatchNorm1d(2), new BatchNorm1d(2)];
    const y = masked.forward(ramp(1), tensor([1, 1, 1]));
    expectSame(y, plain.forward(ramp(1)));
    expectSame(masked.runningMean as Tensor, plain.runningMean as Tensor);
    const [biased, unbiased] = [masked.runningVar, plain.runningVar].map((t) => ((list(t) as number[])[0] as number) - 0.9);
    expect((biased as number) / (unbiased as number)).to.be.closeTo(5 / 6, 1e-5);
    expectSame(masked.forward(ramp(1), null), plain.forward(ramp(1)));
  });
});

describe('InstanceNorm', () => {
  it('has the attributes, state and representation of PyTorch', () => {
    expect(String(new InstanceNorm1d(3))).to.equal(
      'InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)',
    );
    const layer = new InstanceNorm2d(3, { affine: true });
    expect(String(layer)).to.equal('InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=False)');
    expect(Object.keys(layer.stateDict())).to.deep.equal(['weight', 'bias']);
    expect(Object.keys(new MaskedInstanceNorm1d(3).stateDict())).to.deep.equal([]);
  });

  it('takes x without a batch, alike with a mask', () => {
    const x = rand([2, 3, 7]);
    const mask = tensor([1, 1, 0, 1, 0, 1, 1]);
    for (const layer of [new MaskedInstanceNorm1d(3), new MaskedInstanceNorm1d(3, { affine: true })]) {
      expectSame(layer.forward(x.slice(0, 1).reshape([3, 7])).reshape([1, 3, 7]), layer.forward(x.slice(0, 1)));
      expectSame(layer.forward(x.slice(0, 1).reshape([3, 7]), mask).reshape([1, 3, 7]), layer.forward(x.slice(0, 1), mask));
      expectSame(layer.forward(x, mask.reshape([1, 7]).expand([2, 7])), layer.forward(x, mask));
    }
    const x2 = rand([3, 4, 5]);
    expectSame(new MaskedInstanceNorm2d(3).forward(x2).reshape([1, 3, 4, 5]), new InstanceNorm2d(3).forward(x2.reshape([1, 3, 4, 5])));
  });
});

describe('activations', () => {
  it('have the state and representation of PyTorch', () => {
    const layer = new PReLU(3, { init: 0.5, dtype: 'float64' });
    expect([String(layer), list(layer.weight), layer.weight.dtype, layer.weight.requiresGrad]).to.deep.equal([
      'PReLU(num_parameters=3)',
      [0.5, 0.5, 0.5],
      'float64',
      true,
    ]);
    expect([list(new PReLU().weight), Object.keys(layer.stateDict()), String(new ReLU())]).to.deep.equal([[0.25], ['weight'], 'ReLU()']);
    expect(new ReLU().forward(tensor([-1, 2])).toArray()).to.deep.equal([0, 2]);
  });
});

describe('norm layers: what is rejected', () => {
  const cases: [() => unknown, string, string][] = [
    [
      () => new BatchNorm1d(3).forward(zeros([2, 4, 5])),
      'ERR_SHAPE',
      'BatchNorm1d: expected the channels of x to match numFeatures (3), but x [2, 4, 5] has 4',
    ],
    [() => new BatchNorm1d(3).forward(zeros([3])), 'ERR_SHAPE', 'BatchNorm1d: expected 2D or 3D input (got 1D input): x [3]'],
    [() => new BatchNorm2d(3).forward(zeros([2, 3, 4])), 'ERR_SHAPE', 'BatchNorm2d: expected 4D input (got 3D input): x [2, 3, 4]'],
    [
      () => new InstanceNorm1d(3).forward(zeros([2, 4, 5])),
      'ERR_SHAPE',
      'InstanceNorm1d: expected the channels of x to match numFeatures (3), but x [2, 4, 5] has 4',
    ],
    [() => new InstanceNorm2d(3).forward(zeros([4, 5])), 'ERR_SHAPE', 'InstanceNorm2d: expected 3D or 4D input (got 2D input): x [4, 5]'],
    [
      () => new InstanceNorm1d(2).forward(zeros([2, 1])),
      'ERR_SHAPE',
      'InstanceNorm1d: Expected more than 1 spatial element when training, got input size [2, 1]',
    ],
    [
      () => new BatchNorm1d(3).forward(zeros([2, 3], { dtype: 'float64' })),
      'ERR_DTYPE',
      'BatchNorm1d: expected x and weight of one dtype, but x is float64 and weight float32',
    ],
    [() => new BatchNorm1d(3).forward(null as unknown as Tensor), 'ERR_DTYPE', 'BatchNorm1d: expected x to be a tensor, but got null'],
    [
      () => new MaskedBatchNorm1d(3).forward(zeros([2, 3, 4]), zeros([3, 1, 4])),
      'ERR_SHAPE',
      'MaskedBatchNorm1d: for x [2, 3, 4] expected a mask of shape',
    ],
    [() => new BatchNorm1d(-1), 'ERR_SHAPE', 'BatchNorm1d: expected numFeatures to be an integer of at least 0, but got -1'],
    [() => new BatchNorm1d(1.5), 'ERR_SHAPE', 'BatchNorm1d: expected numFeatures to be an integer of at least 0, but got 1.5'],
    [
      () => new BatchNorm1d(3, { eps: Number.NaN }),
      'ERR_SHAPE',
      'BatchNorm1d: expected eps to be a finite number of at least 0, but got NaN',
    ],
    [
      () => new BatchNorm1d(3, { momentum: '0.1' as unknown as number }),
      'ERR_SHAPE',
      'BatchNorm1d: expected momentum to be a finite number, but got "0.1"',
    ],
    [() => new BatchNorm1d(3, { affine: 1 as unknown as boolean }), 'ERR_SHAPE', 'BatchNorm1d: expected affine to be a boolean, but got 1'],
    [
      () => new InstanceNorm1d(3, { dtype: 'int32' }),
      'ERR_DTYPE',
      'InstanceNorm1d: expected dtype to be float32, float64, float16 or bfloat16, but got "int32"',
    ],
    [() => new InstanceNorm1d(3, { dtype: 'complex64' }), 'ERR_DTYPE', 'InstanceNorm1d: expected dtype to be float32'],
    [
      () => new BatchNorm1d(3, { trackRuningStats: true } as BatchNormLayerOptions),
      'ERR_SHAPE',
      'BatchNorm1d: unknown option "trackRuningStats"; did you mean "trackRunningStats"?',
    ],
    [() => new InstanceNorm1d(3, { momentum: 0.1 } as object), 'ERR_SHAPE', 'InstanceNorm1d: unknown option "momentum"'],
    [() => new PReLU(0), 'ERR_SHAPE', 'PReLU: expected numParameters to be an integer of at least 1, but got 0'],
    [() => new PReLU(1, { init: '1' as unknown as number }), 'ERR_SHAPE', 'PReLU: expected init to be a number, but got "1"'],
    [
      () => new PReLU(1, { dtype: 'bool' }),
      'ERR_DTYPE',
      'PReLU: expected dtype to be float32, float64, float16 or bfloat16, but got "bool"',
    ],
  ];
  for (const [call, code, message] of cases) {
    it(message, () => {
      const error = expectTyped(call);
      expect(error.code).to.equal(code);
      expect(error.message).to.include(message);
    });
  }

  it('takes snake_case options', () => {
    expect(new BatchNorm1d(3, { track_running_stats: false } as object).runningMean).to.equal(null);
  });
});
