// Sequential and MaskedSequential: order, state names, masks handed on, and what they reject.
import { expect } from 'chai';
import {
  ApplyMask,
  BatchNorm1d,
  Conv1d,
  type Layer,
  MaskedBatchNorm1d,
  MaskedConv1d,
  MaskedSequential,
  MaskedSpatialMean,
  MaskedUnshuffle1d,
  Module,
  ones,
  PartialConv1d,
  PReLU,
  ReLU,
  Sequential,
  type Tensor,
  tensor,
  Upsample1d,
} from '../../ts';
import { generate } from '../goldens/load';
import { expectSame, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const x = toTensor(generate('fine', 1, [2, 3, 12]), 'float32');
const mask = toTensor(generate('mask', 2, [2, 1, 12]), 'float32');
const perChannel = toTensor(generate('mask', 3, [2, 3, 12]), 'float32');

describe('Sequential', () => {
  const model = () => new Sequential(new Conv1d(3, 4, 3), new BatchNorm1d(4), new Sequential(new ReLU(), new PReLU(4)));

  it('runs its layers in order, and has state names and representation of PyTorch', async () => {
    const net = model();
    const [conv, norm, rest] = net as unknown as [Conv1d, BatchNorm1d, Sequential];
    net.eval();
    expectSame(net.forward(x), rest.forward(norm.forward(conv.forward(x))));
    expectSame(await net.forwardAsync(x), net.forward(x));
    expect((await net.forwardAsync(x)).requiresGrad).to.equal(false);
    expect(Object.keys(net.stateDict())).to.deep.equal([
      '0.weight',
      '0.bias',
      '1.weight',
      '1.bias',
      '1.running_mean',
      '1.running_var',
      '1.num_batches_tracked',
      '2.1.weight',
    ]);
    expect(String(new Sequential(new ReLU(), new Sequential(new PReLU(4))))).to.equal(
      'Sequential(\n  (0): ReLU()\n  (1): Sequential(\n    (0): PReLU(num_parameters=4)\n  )\n)',
    );
    expect([net.length, net.at(0), net.at(-1), net.at(3)]).to.deep.equal([3, conv, rest, undefined]);
    expect([...net].every((layer) => !layer.training)).to.equal(true);
    expect(net.parameters()).to.have.length(5);
  });

  it('of nothing gives its input', () => {
    expect(new Sequential().forward(x)).to.equal(x);
  });

  it('rejects what is no layer, and pairs', () => {
    expect(expectTyped(() => new Sequential(new ReLU(), 3 as unknown as ReLU)).message).to.equal(
      'Sequential: expected layer 1 to be a module with forward(), but got 3',
    );
    expect(expectTyped(() => new Sequential(new (class Empty extends Module {})() as unknown as ReLU)).message).to.include(
      'expected layer 0 to be a module with forward()',
    );
    expect(expectTyped(() => new Sequential(new MaskedConv1d(3, 3, 1)).forward(x)).message).to.equal(
      'Sequential: layer 0 (MaskedConv1d) returned an output and a mask: use a MaskedSequential',
    );
  });
});

describe('MaskedSequential', () => {
  it('hands on the updated mask of partial convolutions', async () => {
    const layers = [
      new PartialConv1d(3, 4, 3, { padding: 1 }),
      new MaskedBatchNorm1d(4),
      new PReLU(4),
      new PartialConv1d(4, 2, 3),
    ] as const;
    const net = new MaskedSequential(...layers).eval();
    const [y, updated] = net.forward(x, mask);
    const [a, m] = layers[0].forward(x, mask, { returnMask: true });
    const [b, after] = layers[3].forward(layers[2].forward(layers[1].forward(a, m)), m, { returnMask: true });
    expectSame(y, b);
    expectSame(updated as Tensor, after);
    const [ay, amask] = await net.forwardAsync(x, mask);
    expectSame(ay, y);
    expectSame(amask as Tensor, updated as Tensor);
    expect(y.requiresGrad && !ay.requiresGrad).to.equal(true);
  });

  it('hands on the scale of masked convolutions', async () => {
    const layers = [new ApplyMask(), new MaskedConv1d(3, 4, 3, { padding: 1 }), new ReLU(), new MaskedConv1d(4, 2, 4)] as const;
    const net = new MaskedSequential(...layers);
    const [y, updated] = net.forward(x, perChannel);
    const [a, m] = layers[1].forward(layers[0].forward(x, perChannel), perChannel);
    const [b, after] = layers[3].forward(layers[2].forward(a), m);
    expectSame(y, b);
    expectSame(updated as Tensor, after as Tensor);
    const [ay] = await net.forwardAsync(x, perChannel);
    expectSame(ay, y);
    y.sum().backward();
    expect(layers[1].weight.grad).to.not.equal(null);
  });

  it('without a mask runs every layer without one', async () => {
    const net = new MaskedSequential(
      new MaskedConv1d(3, 4, 3, { padding: 1 }),
      new MaskedBatchNorm1d(4),
      new PartialConv1d(4, 4, 3, { returnMask: true }),
      new Upsample1d({ scaleFactor: 2 }),
      new MaskedUnshuffle1d(2),
    ).eval();
    for (const [y, m] of [net.forward(x), net.forward(x, null), await net.forwardAsync(x)]) {
      expect([[...y.shape], m]).to.deep.equal([[2, 8, 10], null]);
    }
  });

  it('resizes, unshuffles and averages the mask', () => {
    const net = new MaskedSequential(new Upsample1d({ size: 23 }), new ReLU());
    const m = tensor([[[1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]]]);
    const [y, resized] = net.forward(x, m);
    expect([[...y.shape], [...(resized as Tensor).shape]]).to.deep.equal([
      [2, 3, 23],
      [1, 1, 23],
    ]);
    // Outputs 3, 4 and 5 are made of cell 2.
    expect(Array.from(toValues(resized as Tensor).data)).to.deep.equal(Array.from({ length: 23 }, (_, i) => (i > 2 && i < 6 ? 0 : 1)));
    const [, deep] = new MaskedSequential(new MaskedUnshuffle1d(3), new MaskedSpatialMean()).forward(x, m);
    expect([...(deep as Tensor).shape]).to.deep.equal([1, 9]);
    expect((deep as Tensor).toArray()).to.deep.equal([[1, 1, 0.75, 1, 1, 0.75, 1, 1, 0.75]]);
  });

  it("takes users' layers, with or without a mask of their own", () => {
    class Halve extends Module {
      forward(value: Tensor, m?: Tensor | null): [Tensor, Tensor | null] {
        return [value.slice(2, 0, 6), m?.slice(2, 0, 6) ?? null];
      }
    }
    class Double extends Module {
      forward(value: Tensor): Tensor {
        return value.mul(2);
      }
    }
    const [y, m] = new MaskedSequential(new Halve(), new Double(), new MaskedSequential(new Double())).forward(x, mask);
    expectSame(y, x.slice(2, 0, 6).mul(4));
    expectSame(m as Tensor, mask.slice(2, 0, 6));
  });

  it('rejects masks that do not fit, before or after a layer', () => {
    const message = (call: () => unknown) => expectTyped(call).message;
    expect(message(() => new MaskedSequential().forward(x, ones([2, 12])))).to.equal(
      'MaskedSequential: expected a mask with the dimensions of x [2, 3, 12] (1 where it repeats), but got mask [2, 12]',
    );
    expect(message(() => new MaskedSequential().forward([[1]] as unknown as Tensor, mask))).to.equal(
      'MaskedSequential: expected x to be a tensor, but got [[1]]',
    );
    expect(message(() => new MaskedSequential().forward(x, 1 as unknown as Tensor))).to.equal(
      'MaskedSequential: expected the mask to be a tensor or null, but got 1',
    );
    expect(message(() => new MaskedSequential(new Conv1d(3, 4, 3)).forward(x, mask))).to.equal(
      'MaskedSequential: layer 0 (Conv1d): the mask [2, 1, 12] does not fit its output [2, 4, 10]; use a layer that returns a mask, as PartialConv and MaskedConv do',
    );
    expect(message(() => new MaskedSequential(new Conv1d(3, 4, 3, { padding: 1 })).forward(x, perChannel))).to.include(
      'does not fit its output [2, 4, 12]',
    );
    const broken = { forward: () => 3 } as unknown as Layer;
    Object.setPrototypeOf(broken, Module.prototype);
    expect(message(() => new MaskedSequential(broken).forward(x, mask))).to.include('expected a tensor, or a tensor and a mask, but got');
    expect(
      message(() =>
        new MaskedSequential(new PartialConv1d(3, 4, 3), new PartialConv1d(4, 4, 3, { multiChannel: true })).forward(x, perChannel),
      ),
    ).to.include('Use multiChannel: true for a value per channel');
  });
});
