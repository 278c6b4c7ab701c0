// resize1d and resize2d against the reference, finite differences and PyTorch's nearest.
import { expect } from 'chai';
import { type DType, type ResizeOptions, resize1d, resize2d, type Tensor, tensor, zeros } from '../../ts';
import { resizeMask, resizeSpec } from '../../ts/ops/resize';
import { generate } from '../goldens/load';
import * as reference from '../reference';
import { checkGradients } from '../support/finite_differences';
import { Seeded } from '../support/seeded';
import { expectClose, expectSame, type Tolerance, toleranceOf, toTensor } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const resize = (dims: number, x: Tensor, options: ResizeOptions) => (dims === 1 ? resize1d(x, options) : resize2d(x, options));

function compare(shape: readonly number[], size: readonly number[], dtype: DType, tolerance: Tolerance): void {
  const [x, dy] = [generate('exact', 1, shape), generate('exact', 2, [...shape.slice(0, shape.length - size.length), ...size])];
  const tx = toTensor(x, dtype, true);
  const y = resize(size.length, tx, { size });
  expectClose(y, reference.resize(x, size), tolerance);
  y.backward(toTensor(dy, dtype));
  expectClose(tx.grad as Tensor, reference.resizeBackward(dy, shape, size), tolerance, 'dx');
}

describe('linear resize', () => {
  const cases: [readonly number[], readonly number[]][] = [
    [[2, 3, 5], [9]],
    [[2, 3, 5], [5]],
    [[2, 3, 5], [3]],
    [[2, 3, 5], [1]],
    [[2, 3, 1], [6]],
    [[3, 5], [12]],
    [[1, 1, 700], [1701]],
    [[1, 1, 1701], [333]],
    [
      [2, 2, 3, 4],
      [5, 7],
    ],
    [
      [2, 2, 5, 7],
      [3, 4],
    ],
    [
      [2, 2, 3, 4],
      [1, 9],
    ],
    [
      [2, 2, 1, 4],
      [4, 1],
    ],
    [
      [2, 3, 4],
      [3, 4],
    ],
    [
      [0, 2, 3, 4],
      [5, 5],
    ],
  ];
  for (const [shape, size] of cases) {
    it(`[${shape}] to [${size}]`, () => {
      compare(shape, size, 'float64', { rtol: 1e-13, atol: 1e-12 });
      compare(shape, size, 'float32', toleranceOf('float32'));
      compare(shape, size, 'float16', { rtol: 2e-3, atol: 2e-3 });
      compare(shape, size, 'bfloat16', { rtol: 1.6e-2, atol: 1.6e-2 });
    });
  }

  it('random sizes', () => {
    const seeded = new Seeded(7);
    for (let i = 0; i < 80; i++) {
      const dims = seeded.integer(1, 2);
      const draw = () => Array.from({ length: dims }, () => seeded.integer(1, 30));
      compare([seeded.integer(1, 2), seeded.integer(1, 3), ...draw()], draw(), 'float64', { rtol: 1e-13, atol: 1e-12 });
    }
  });

  it('by a factor: floor(size * factor)', () => {
    const x = toTensor(generate('exact', 1, [2, 3, 5]));
    for (const [factor, length] of [
      [2, 10],
      [1.5, 7],
      [0.5, 2],
    ] as const)
      expectSame(resize1d(x, { scaleFactor: factor }), resize1d(x, { size: length }));
    const x2 = toTensor(generate('exact', 1, [1, 2, 3, 4]));
    expectSame(resize2d(x2, { scale_factor: [2, 1] } as ResizeOptions), resize2d(x2, { size: [6, 4] }));
  });

  it('gradients by finite differences', () => {
    const cases: [readonly number[], ResizeOptions][] = [
      [[2, 2, 5], { size: 9 }],
      [[2, 2, 5], { size: 3 }],
      [[2, 5], { size: 7, mode: 'nearest' }],
      [[1, 2, 3, 4], { size: [5, 3] }],
      [[1, 2, 3, 4], { scaleFactor: 2, mode: 'nearest' }],
    ];
    for (const [shape, options] of cases) {
      const dims = Array.isArray(options.size) || shape.length === 4 ? 2 : 1;
      checkGradients(([x]) => resize(dims, x as Tensor, options), [generate('fine', 1, shape)]);
    }
  });

  it('reads nothing that has no weight: a NaN stays in the outputs made of it', () => {
    const x = tensor([[[1, Number.NaN, 3, Number.POSITIVE_INFINITY, 5]]]);
    expect(resize1d(x, { size: 5 }).toArray()).to.deep.equal([[[1, Number.NaN, 3, Number.POSITIVE_INFINITY, 5]]]);
    expect(resize1d(x, { size: 3 }).toArray()).to.deep.equal([[[1, 3, 5]]]);
  });
});

describe('nearest resize', () => {
  it('shows the cell floor(i * cells per output), as PyTorch', () => {
    const x = tensor([[[10, 11, 12, 13, 14]]]);
    const cases: [ResizeOptions, number[]][] = [
      [{ size: 10 }, [10, 10, 11, 11, 12, 12, 13, 13, 14, 14]],
      [{ size: 3 }, [10, 11, 13]],
      [{ size: 7 }, [10, 10, 11, 12, 12, 13, 14]],
      [{ size: 1 }, [10]],
      [{ scaleFactor: 1.5 }, [10, 10, 11, 12, 12, 13, 14]],
      [{ scaleFactor: 2.5 }, [10, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14]],
    ];
    for (const [options, expected] of cases) expect(resize1d(x, { mode: 'nearest', ...options }).toArray()).to.deep.equal([[expected]]);
    const x2 = tensor([
      [
        [1, 2],
        [3, 4],
      ],
    ]);
    expect(resize2d(x2, { mode: 'nearest', size: [3, 4] }).toArray()).to.deep.equal([
      [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
      ],
    ]);
  });

  it('with a factor that keeps or doubles a length: cell by cell in two dimensions, by the factor in one, as PyTorch', () => {
    const line = tensor([[[0, 1, 2, 3]]]);
    for (const [scaleFactor, expected] of [
      [1.2, [0, 0, 1, 2]],
      [2.2, [0, 0, 0, 1, 1, 2, 2, 3]],
    ] as const) {
      expect(resize1d(line, { mode: 'nearest', scaleFactor }).toArray()).to.deep.equal([[expected]]);
      const column = line.reshape([1, 1, 4, 1]);
      const rows = expected.length === 4 ? [0, 1, 2, 3] : [0, 0, 1, 1, 2, 2, 3, 3];
      expect(
        resize2d(column, { mode: 'nearest', scaleFactor: [scaleFactor, 1] })
          .flatten()
          .toArray(),
      ).to.deep.equal(rows);
      expect(
        resize2d(line.unsqueeze(1), { mode: 'nearest', scaleFactor: [1, scaleFactor] })
          .flatten()
          .toArray(),
      ).to.deep.equal(rows);
    }
  });
});

describe('resizeMask', () => {
  it('keeps what is made of valid cells only, in the dtype of the mask', () => {
    const spec = resizeSpec('test', 1, { size: 7 });
    const mask = [1, 1, 0, 1];
    for (const dtype of ['bool', 'uint8', 'int32', 'float32', 'float16'] as const) {
      const y = resizeMask(spec, tensor([[mask]], { dtype }));
      expect(y.dtype).to.equal(dtype);
      expect((y.toArray() as unknown[][][]).flat(2).map(Number)).to.deep.equal([1, 1, 1, 0, 0, 0, 1]);
    }
    expect(resizeMask(resizeSpec('test', 1, { size: 8, mode: 'nearest' }), tensor([mask])).toArray()).to.deep.equal([
      [1, 1, 1, 1, 0, 0, 1, 1],
    ]);
    const soft = resizeMask(
      resizeSpec('test', 2, { size: [3, 3] }),
      tensor([
        [
          [1, 0.5],
          [0.25, 1],
        ],
      ]),
    );
    expect(soft.toArray()).to.deep.equal([
      [
        [1, 0.5, 0.5],
        [0.25, 0.25, 0.5],
        [0.25, 0.25, 1],
      ],
    ]);
  });
});

describe('resize: what is rejected', () => {
  const x = zeros([2, 3, 4]);
  const cases: [() => unknown, string, string][] = [
    [
      () => resize1d(x, {}),
      'ERR_SHAPE',
      'resize1d: only one of size or scaleFactor should be defined, and one must be, but got size=null, scaleFactor=null',
    ],
    [() => resize1d(x, { size: 3, scaleFactor: 2 }), 'ERR_SHAPE', 'resize1d: only one of size or scaleFactor should be defined'],
    [() => resize1d(x, { size: 0 }), 'ERR_SHAPE', 'resize1d: expected size to be an integer of at least 1, or a list of 1, but got size=0'],
    [
      () => resize2d(x, { size: [1] }),
      'ERR_SHAPE',
      'resize2d: expected size to be an integer of at least 1, or a list of 2, but got size=[1]',
    ],
    [() => resize1d(x, { scaleFactor: -1 }), 'ERR_SHAPE', 'resize1d: expected scaleFactor to be a number above 0'],
    [
      () => resize1d(x, { scaleFactor: 0.1 }),
      'ERR_SHAPE',
      'resize1d: Input and output sizes should be greater than 0, but got x [2, 3, 4] and output size [0]',
    ],
    [() => resize1d(zeros([1, 1, 0]), { size: 2 }), 'ERR_SHAPE', 'resize1d: Input and output sizes should be greater than 0'],
    [
      () => resize1d(x, { size: 3, mode: 'cubic' as 'linear' }),
      'ERR_SHAPE',
      "resize1d: expected mode to be 'linear' or 'nearest', but got \"cubic\"",
    ],
    [
      () => resize2d(x, { size: 3, mode: 'linear' }),
      'ERR_SHAPE',
      "resize2d: expected mode to be 'bilinear' or 'nearest', but got \"linear\"",
    ],
    [() => resize1d(x, { size: 3, alignCorners: false }), 'ERR_SHAPE', 'resize1d: only alignCorners: true is supported, but got false'],
    [() => resize1d(x, { sise: 3 } as ResizeOptions), 'ERR_SHAPE', 'resize1d: unknown option "sise"; did you mean "size"?'],
    [() => resize1d(zeros([3]), { size: 3 }), 'ERR_SHAPE', 'resize1d: expected 2D (unbatched) or 3D (batched) input, but got x [3]'],
    [() => resize1d(zeros([1, 1, 3], { dtype: 'int32' }), { size: 3 }), 'ERR_DTYPE', 'resize1d: expected x of real floating-point dtype'],
    [
      () => resizeMask(resizeSpec('resize1d', 1, { size: 3 }), zeros([1, 3], { dtype: 'complex64' })),
      'ERR_DTYPE',
      'resize1d: expected a real or bool mask',
    ],
  ];
  for (const [call, code, message] of cases) {
    it(message, () => {
      const error = expectTyped(call);
      expect(error.code).to.equal(code);
      expect(error.message).to.include(message);
    });
  }
});
