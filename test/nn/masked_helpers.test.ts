// Layers round a mask (ApplyMask, UnMask, spatial means, unshuffles, upsampling, masked convolution): attributes, corner cases, messages.
import { expect } from 'chai';
import {
  ApplyMask,
  Conv1d,
  full,
  MaskedConv1d,
  MaskedConv2d,
  type MaskedConvLayerOptions,
  MaskedSpatialMean,
  MaskedUnshuffle1d,
  MaskedUnshuffle2d,
  manualSeed,
  ones,
  PartialConv1d,
  rand,
  randn,
  SpatialMean,
  type Tensor,
  tensor,
  UnMask,
  Unshuffle1d,
  Unshuffle2d,
  Upsample1d,
  Upsample2d,
  zeros,
} from '../../ts';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const message = (call: () => unknown) => expectTyped(call).message;

describe('ApplyMask and UnMask', () => {
  it('without a mask give their input', () => {
    const x = rand([2, 3]);
    expect(new ApplyMask().forward(x)).to.equal(x);
    expect(new UnMask().forward(x, null)).to.equal(x);
    expect([String(new ApplyMask()), String(new UnMask()), new UnMask({ eps: 0.5 }).eps]).to.deep.equal([
      'ApplyMask()',
      'UnMask(eps=1e-08)',
      0.5,
    ]);
    expect(message(() => new UnMask({ eps: -1 }))).to.equal('UnMask: expected eps to be a finite number of at least 0, but got -1');
    expect(message(() => new UnMask({ epsilon: 1 } as object))).to.include('UnMask: unknown option "epsilon"');
    expect(message(() => new ApplyMask().forward(3 as unknown as Tensor))).to.equal('ApplyMask: expected x to be a tensor, but got 3');
  });
});

describe('SpatialMean and MaskedSpatialMean', () => {
  const x = tensor([
    [
      [1, 2, 3],
      [4, 5, Number.NaN],
    ],
  ]);

  it('average over space, over what is valid with a mask', () => {
    expect(
      new SpatialMean()
        .forward(
          tensor([
            [
              [
                [1, 2],
                [3, 6],
              ],
            ],
          ]),
        )
        .toArray(),
    ).to.deep.equal([[3]]);
    expect([...new SpatialMean({ keepdim: true } as object).forward(zeros([2, 3, 4, 5])).shape]).to.deep.equal([2, 3, 1, 1]);
    const [y, m] = new MaskedSpatialMean({ eps: 0 }).forward(
      x,
      tensor(
        [
          [
            [1, 0, 1],
            [1, 1, 0],
          ],
        ],
        { dtype: 'bool' },
      ),
    );
    expect(y.toArray()).to.deep.equal([[2, 4.5]]);
    expect((m as Tensor).reshape([2]).toArray()).to.deep.equal([2 / 3, 2 / 3].map(Math.fround));
  });

  it('give 0 where nothing is valid, in every dtype', () => {
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const)
      for (const eps of [0, 1e-8]) {
        const [y, m] = new MaskedSpatialMean({ eps }).forward(full([1, 2, 3], Number.NaN, { dtype }), zeros([1, 1, 3]));
        expect([y.dtype, y.toArray(), (m as Tensor).dtype, (m as Tensor).toArray()]).to.deep.equal([dtype, [[0, 0]], dtype, [[0]]]);
      }
  });

  it('sum in float32 at least', () => {
    const [y, m] = new MaskedSpatialMean().forward(full([1, 1, 3000], 40, { dtype: 'float16' }), ones([1, 1, 3000], { dtype: 'float16' }));
    expect([y.toArray(), (m as Tensor).toArray()]).to.deep.equal([[[40]], [[1]]]);
  });

  it('without a mask average all and return null; pass gradients', () => {
    const t = ones([2, 3, 4], { requiresGrad: true });
    const [y, m] = new MaskedSpatialMean().forward(t);
    expect([y.toArray(), m]).to.deep.equal([
      [
        [1, 1, 1],
        [1, 1, 1],
      ],
      null,
    ]);
    new MaskedSpatialMean({ eps: 0 })
      .forward(t, tensor([1, 0, 1, 0]).reshape([1, 1, 4]))[0]
      .sum()
      .backward();
    expect((t.grad as Tensor).slice(0, 0, 1).slice(1, 0, 1).toArray()).to.deep.equal([[[0.5, 0, 0.5, 0]]]);
  });

  it('reject what has no space, and masks of another form', () => {
    expect(message(() => new SpatialMean().forward(zeros([2, 3])))).to.equal(
      'SpatialMean: expected x [N, C, ...] with at least one spatial dimension, but got x [2, 3]',
    );
    expect(message(() => new SpatialMean({ keepDims: 1 } as object))).to.equal('SpatialMean: expected keepDims to be a boolean, but got 1');
    expect(message(() => new MaskedSpatialMean().forward(x, zeros([3])))).to.equal(
      'MaskedSpatialMean: expected a mask with the dimensions of x [1, 2, 3], but got mask [3]',
    );
    expect(message(() => new MaskedSpatialMean().forward(x, zeros([1, 3, 3])))).to.include(
      'MaskedSpatialMean: for x [1, 2, 3] expected a mask of shape',
    );
  });
});

describe('Unshuffle', () => {
  it('makes channels of neighbouring cells: channel c f + phase, in every dtype', () => {
    const x = tensor(
      [
        [
          [0, 1, 2, 3],
          [4, 5, 6, 7],
        ],
      ],
      { dtype: 'int32' },
    );
    expect(new Unshuffle1d(2).forward(x).toArray()).to.deep.equal([
      [
        [0, 2],
        [1, 3],
        [4, 6],
        [5, 7],
      ],
    ]);
    expect(new Unshuffle1d(4).forward(x.reshape([2, 4])).toArray()).to.deep.equal([[0], [1], [2], [3], [4], [5], [6], [7]]);
    expect(
      new Unshuffle2d(2)
        .forward(
          tensor([
            [
              [0, 1, 2, 3],
              [4, 5, 6, 7],
            ],
          ]),
        )
        .toArray(),
    ).to.deep.equal([[[0, 2]], [[1, 3]], [[4, 6]], [[5, 7]]]);
    expectSame(new Unshuffle2d(1).forward(x), x);
    expect([...new Unshuffle1d(3).forward(zeros([0, 2, 6])).shape]).to.deep.equal([0, 6, 2]);
    expect([String(new Unshuffle1d(2)), String(new MaskedUnshuffle2d(3))]).to.deep.equal([
      'Unshuffle1d(downscale_factor=2)',
      'MaskedUnshuffle2d(downscale_factor=3)',
    ]);
  });

  it('masked: the same for the mask, one channel becoming all', () => {
    const x = rand([2, 3, 6]);
    const m = tensor([1, 0, 1, 1, 0, 0]).reshape([1, 1, 6]);
    const [y, after] = new MaskedUnshuffle1d(2).forward(x, m);
    expectSame(y, new Unshuffle1d(2).forward(x));
    expectSame(after as Tensor, new Unshuffle1d(2).forward(m.expand([1, 3, 6])));
    const m2 = rand([2, 2, 4, 6]);
    expectSame(new MaskedUnshuffle2d(2).forward(rand([2, 2, 4, 6]), m2)[1] as Tensor, new Unshuffle2d(2).forward(m2));
    expect(new MaskedUnshuffle1d(2).forward(x)[1]).to.equal(null);
  });

  it('rejects what cannot be divided', () => {
    expect(message(() => new Unshuffle1d(2).forward(zeros([1, 1, 5])))).to.equal(
      'Unshuffle1d: Length must be divisible by the downscale factor 2, but got x [1, 1, 5]',
    );
    expect(message(() => new MaskedUnshuffle2d(2).forward(zeros([1, 1, 4, 5])))).to.equal(
      'MaskedUnshuffle2d: Height and width must be divisible by the downscale factor 2, but got x [1, 1, 4, 5]',
    );
    expect(message(() => new Unshuffle1d(0))).to.equal('Unshuffle1d: expected downscaleFactor to be an integer of at least 1, but got 0');
    expect(message(() => new Unshuffle1d(2).forward(zeros([4])))).to.equal('Unshuffle1d: expected x with 2 or 3 dimensions, but got x [4]');
    expect(message(() => new MaskedUnshuffle1d(2).forward(zeros([1, 1, 4]), zeros([4])))).to.include(
      'expected a mask with the dimensions of x [1, 1, 4]',
    );
  });
});

describe('Upsample', () => {
  it('has the attributes and representation of PyTorch', () => {
    const layer = new Upsample1d({ scale_factor: 2 } as object);
    expect([layer.size, layer.scaleFactor, layer.mode, String(layer)]).to.deep.equal([
      null,
      [2],
      'linear',
      "Upsample(scale_factor=2.0, mode='linear')",
    ]);
    expect(String(new Upsample2d({ size: [5, 7] }))).to.equal("Upsample(size=(5, 7), mode='bilinear')");
    expect(String(new Upsample2d({ size: 5, mode: 'nearest' }))).to.equal("Upsample(size=5, mode='nearest')");
    expect(Object.keys(layer.stateDict())).to.deep.equal([]);
    expect(message(() => new Upsample1d({}))).to.include('Upsample1d: only one of size or scaleFactor should be defined');
    expect([...new Upsample1d({ size: 7 }).forward(zeros([2, 3])).shape]).to.deep.equal([2, 7]);
  });
});

describe('MaskedConv layers', () => {
  it('share initialisation and state with Conv1d and PartialConv1d', () => {
    const make = [Conv1d, PartialConv1d, MaskedConv1d].map((type) => {
      manualSeed(5);
      return new type(3, 4, 3, { padding: 1 });
    }) as [Conv1d, PartialConv1d, MaskedConv1d];
    for (const layer of make) expectSame(layer.weight, make[0].weight);
    const x = randn([2, 3, 8]);
    const fresh = new MaskedConv1d(3, 4, 3, { padding: 1 });
    fresh.loadStateDict(make[1].stateDict());
    expectSame(fresh.forward(x)[0], make[0].forward(x));
    new Conv1d(3, 4, 3).loadStateDict(fresh.stateDict());
    expect(Object.keys(fresh.stateDict())).to.deep.equal(['weight', 'bias']);
    expect(message(() => new MaskedConv1d(3, 4, 5).loadStateDict(fresh.stateDict()))).to.include('size mismatch for weight');
  });

  it('print their eps, and give the same off the event loop', async () => {
    expect(String(new MaskedConv1d(3, 4, 3))).to.equal('MaskedConv1d(3, 4, kernel_size=(3,), stride=(1,), eps=1e-08)');
    expect(String(new MaskedConv2d(3, 4, 2, { eps: 0.5, bias: false }))).to.equal(
      'MaskedConv2d(3, 4, kernel_size=(2, 2), stride=(1, 1), bias=False, eps=0.5)',
    );
    const [layer, x, mask] = [new MaskedConv2d(3, 4, 3), rand([2, 3, 6, 7]), rand([2, 3, 6, 7])];
    const [y, m] = layer.forward(x, mask);
    const [ay, am] = await layer.forwardAsync(x, mask);
    expectSame(ay, y);
    expectSame(am as Tensor, m as Tensor);
    expect((await layer.forwardAsync(x))[1]).to.equal(null);
  });

  it('reject unknown options', () => {
    expect(message(() => new MaskedConv1d(3, 4, 3, { multiChannel: true } as MaskedConvLayerOptions))).to.include(
      'MaskedConv1d: unknown option "multiChannel"',
    );
    expect(message(() => new MaskedConv1d(3, 4, 3, { eps: '1' as unknown as number }))).to.equal(
      'MaskedConv1d: expected eps to be a finite number of at least 0, but got "1"',
    );
  });
});
