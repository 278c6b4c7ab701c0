// Conv1d and Conv2d as layers: initialisation, printed numbers, attributes, representation, state.
import { expect } from 'chai';
import { Conv1d, Conv2d, manualSeed, rand, type Tensor, tensor } from '../../ts';
import type { ConvLayerOptions } from '../../ts/nn/conv';
import { encodeBits, load, unpack } from '../goldens/load';
import * as reference from '../reference';
import { EXACT, expectClose, expectSame, toleranceOf, toTensor, toValues } from '../support/tensors';

const layers = { conv1d: Conv1d, conv2d: Conv2d };
const bits = (t: Tensor) => encodeBits(t.readSync() as Float32Array);

/** The rows of numbers that a nested array (complex as {re, im}) has. */
const flat = (t: Tensor): number[] => [...toValues(t).data];

describe('Conv1d as documented', () => {
  for (const golden of load('init_printed').conv) {
    it(`${golden.id}: the printed numbers`, () => {
      manualSeed(BigInt(golden.seed));
      const made = golden.layers.map((l) => {
        if (golden.reseed) manualSeed(BigInt(golden.seed));
        return new Conv1d(l.inChannels, l.outChannels, l.kernelSize, { dtype: golden.dtype });
      });
      let y = tensor(golden.x as number[][], { dtype: golden.dtype });
      made.forEach((layer, i) => {
        const { weight, bias } = golden.layers[i] as (typeof golden.layers)[number];
        expect(flat(layer.weight)).to.deep.equal([...weight].map((v) => Math.fround(Number(v))));
        expect(flat(layer.bias as Tensor)).to.deep.equal([...bias].map((v) => Math.fround(Number(v))));
        y = layer.forward(y);
      });
      expect(String(made.at(-1))).to.equal(golden.repr);
      expectClose(y, unpack(golden.y, golden.dtype), toleranceOf(golden.dtype));
      expect(flat(y).map((v) => v.toFixed(golden.decimals))).to.deep.equal(golden.printed.map((v) => v.toFixed(golden.decimals)));
    });
  }

  it('C2: attributes', () => {
    const layer = new Conv1d(1, 3, 1);
    const { inChannels, outChannels, kernelSize, stride, padding, dilation, groups, paddingMode } = layer;
    expect({ inChannels, outChannels, kernelSize, stride, padding, dilation, groups, paddingMode }).to.deep.equal({
      inChannels: 1,
      outChannels: 3,
      kernelSize: [1],
      stride: [1],
      padding: [0],
      dilation: [1],
      groups: 1,
      paddingMode: 'zeros',
    });
    const x = tensor([[1, 2, 3]]);
    expect([x.requiresGrad, layer.forward(x).requiresGrad, layer.weight.requiresGrad, layer.bias?.requiresGrad]).to.deep.equal([
      false,
      true,
      true,
      true,
    ]);
    expect(new Conv1d(1, 3, 1, { padding: 'same' }).padding).to.equal('same');
    expect(new Conv2d(1, 3, [2, 3], { stride: 2 }).stride).to.deep.equal([2, 2]);
    expect(new Conv1d(1, 3, 1, { bias: false }).bias).to.equal(null);
  });

  it('C4: every option by name, with its default', () => {
    const options = {
      stride: 1,
      padding: 0,
      dilation: 1,
      groups: 1,
      bias: true,
      paddingMode: 'zeros',
      device: 'cpu',
      dtype: 'float32',
    } as const;
    manualSeed(42);
    const [a] = [new Conv1d(1, 3, 1)];
    manualSeed(42);
    const [b] = [new Conv1d(1, 3, 1, options)];
    expectSame(a.weight, b.weight);
    expectSame(a.bias as Tensor, b.bias as Tensor);
    expect(String(a)).to.equal(String(b));
  });

  it("takes PyTorch's spellings", () => {
    const layer = new Conv1d(1, 3, 3, { padding_mode: 'circular', padding: 1 } as ConvLayerOptions);
    expect(layer.paddingMode).to.equal('circular');
  });

  for (const { op, args, options, repr } of load('errors').reprs) {
    it(`prints ${repr}`, () => {
      const [c, o, k] = args as [number, number, number | number[]];
      expect(String(new layers[op as 'conv1d'](c, o, k, options as ConvLayerOptions))).to.equal(repr);
    });
  }

  it('prints one-number arrays and negative padding as PyTorch', () => {
    expect(String(new Conv1d(1, 2, [3], { stride: [2] }))).to.equal('Conv1d(1, 2, kernel_size=(3,), stride=(2,))');
    expect(String(new Conv1d(1, 2, 3, { padding: -1, paddingMode: 'reflect' }))).to.equal(
      'Conv1d(1, 2, kernel_size=(3,), stride=(1,), padding=(-1,), padding_mode=reflect)',
    );
  });
});

describe("initialisation has PyTorch's bits", () => {
  for (const { seed, layers: made, next } of load('rng').layers) {
    it(`seed ${seed}: ${made.map((l) => `${l.op}(${l.inChannels}, ${l.outChannels}, ${l.kernelSize}) ${l.dtype} ${JSON.stringify(l.options)}`).join(', ')}`, () => {
      manualSeed(BigInt(seed));
      for (const golden of made) {
        const layer = new layers[golden.op](golden.inChannels, golden.outChannels, golden.kernelSize, {
          ...golden.options,
          dtype: golden.dtype,
        });
        expect([...layer.weight.shape]).to.deep.equal(golden.weight.shape);
        expect(bits(layer.weight)).to.equal(golden.weight.bits);
        expect(layer.bias && bits(layer.bias)).to.equal(golden.bias?.bits ?? null);
      }
      expect(bits(rand([1]))).to.equal(next);
    });
  }

  it('is drawn anew by resetParameters', () => {
    manualSeed(1);
    const layer = new Conv1d(2, 3, 3);
    const before = layer.weight.clone();
    manualSeed(1);
    layer.resetParameters();
    expectSame(layer.weight, before);
    layer.resetParameters();
    expect(flat(layer.weight)).not.to.deep.equal(flat(before));
    expectClose(
      layer.forward(toTensor(reference.filled([2, 5], 1), 'float32')),
      reference.conv(reference.filled([2, 5], 1), toValues(layer.weight), toValues(layer.bias as Tensor)),
      toleranceOf('float32'),
    );
  });
});

describe('a convolution layer', () => {
  it('gives the same for an unbatched x as for a batch of one', () => {
    for (const layer of [new Conv1d(4, 5, 3), new Conv1d(4, 5, 3, { padding: 'same' })]) {
      const x = rand([4, 3]);
      const y = layer.forward(x);
      expectSame(layer.forward(x.reshape([1, 4, 3])).reshape([...y.shape]), y);
    }
    const layer = new Conv2d(2, 3, 2);
    const x = rand([2, 4, 5]);
    expectSame(layer.forward(x.reshape([1, 2, 4, 5])).reshape([3, 3, 4]), layer.forward(x));
  });

  it('serves shapes in any order, and shows its attributes only', () => {
    const layer = new Conv1d(2, 3, 3, { padding: 1 });
    const w = toValues(layer.weight);
    const b = toValues(layer.bias as Tensor);
    for (const shape of [
      [1, 2, 8],
      [3, 2, 5],
      [2, 8],
      [0, 2, 4],
      [1, 2, 8],
      [3, 2, 6],
      [2, 5],
    ]) {
      const x = rand(shape);
      expectClose(layer.forward(x), reference.conv(toValues(x), w, b, { padding: 1 }), toleranceOf('float32'), String(shape));
    }
    expect(Object.keys(layer).sort()).to.deep.equal(
      [
        'bias',
        'dilation',
        'groups',
        'inChannels',
        'kernelSize',
        'outChannels',
        'padding',
        'paddingMode',
        'stride',
        'training',
        'weight',
      ].sort(),
    );
  });

  it('sees parameters that are replaced, changed in place, loaded, or converted', () => {
    const layer = new Conv1d(2, 3, 3);
    const x = rand([1, 2, 8]);
    const check = (dtype: 'float32' | 'float64' = 'float32') => {
      const expected = reference.conv(toValues(x), toValues(layer.weight), layer.bias && toValues(layer.bias), {});
      expectClose(layer.forward(x.to(dtype)), expected, toleranceOf(dtype));
    };
    check();
    layer.weight = rand([3, 2, 3]);
    check();
    layer.weight.fill_(0.5);
    check();
    layer.loadStateDict({ weight: rand([3, 2, 3]), bias: rand([3]) });
    check();
    layer.bias = null;
    check();
    layer.bias = rand([3]);
    check();
    layer.weight.data.fill(2);
    check();
    layer.weight.data[0] = 5;
    check();
    layer.to('float64');
    expect([layer.weight.dtype, layer.bias.dtype, layer.weight.requiresGrad]).to.deep.equal(['float64', 'float64', false]);
    check('float64');
  });

  it('checks parameters that somebody replaced', () => {
    const layer = new Conv1d(2, 3, 3);
    const x = rand([1, 2, 8]);
    layer.forward(x);
    layer.weight = rand([3, 5, 3]);
    expect(() => layer.forward(x)).to.throw(RangeError, /expected input\[1, 2, 8\] to have 5 channels/);
    layer.weight = rand([3, 2, 4]);
    expect(() => layer.forward(x)).to.throw(RangeError, /kernel/);
    layer.weight = rand([4, 2, 3]);
    expect(() => layer.forward(x)).to.throw(RangeError, /bias to be 1-dimensional with 4 elements/);
    layer.bias = null;
    expect([...layer.forward(x).shape]).to.deep.equal([1, 4, 6]);
    (layer as unknown as Record<string, unknown>).weight = null;
    expect(() => layer.forward(x)).to.throw(TypeError, /expected weight to be a tensor/);
  });

  it('has gradients in every mode, and none in noGrad', () => {
    const layer = new Conv1d(2, 3, 3).eval();
    layer
      .forward(rand([1, 2, 8]))
      .sum()
      .backward();
    expect(layer.bias?.grad?.toArray()).to.deep.equal([6, 6, 6]);
    layer.zeroGrad();
    expect(layer.weight.grad).to.equal(null);
  });

  it('accumulates gradients over calls', () => {
    const layer = new Conv1d(1, 1, 2, { dtype: 'float64' });
    for (const _ of [1, 2, 3])
      layer
        .forward(tensor([[1, 2, 3]], { dtype: 'float64' }))
        .sum()
        .backward();
    expect(layer.weight.grad?.toArray()).to.deep.equal([[[9, 15]]]);
  });

  it('warns about a weight without elements, as PyTorch', async () => {
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const layer = new Conv1d(0, 3, 1);
    expect((await warned).message).to.include('Initializing zero-element tensors is a no-op');
    expect(layer.bias?.toArray()).to.deep.equal([0, 0, 0]);
  });

  it('runs on batches of zero and on permuted data', () => {
    const layer = new Conv1d(6, 12, 3, { groups: 3 });
    expect([...layer.forward(rand([0, 6, 7])).shape]).to.deep.equal([0, 12, 5]);
    const x = rand([50, 16, 192]).transpose(0, 2);
    const y = new Conv1d(16, 2, 2, { dtype: 'float32' });
    expectClose(y.forward(x), reference.conv(toValues(x), toValues(y.weight), toValues(y.bias as Tensor)), toleranceOf('float32'));
  });

  it('gives equal bits from equal layers', () => {
    manualSeed(3);
    const a = new Conv1d(5, 7, 3, { padding: 1 });
    const b = new Conv1d(5, 7, 3, { padding: 1 });
    b.loadStateDict(a.stateDict());
    const x = rand([3, 5, 40]);
    expectSame(a.forward(x), b.forward(x));
  });

  it('is used up by dispose, safely', () => {
    const layer = new Conv1d(2, 3, 3);
    const x = rand([2, 8]);
    const y = layer.forward(x);
    layer.dispose();
    layer.dispose();
    expect(() => layer.forward(x))
      .to.throw(Error, /disposed/)
      .with.property('code', 'ERR_DISPOSED');
    expect([...y.shape]).to.deep.equal([3, 6]);
    expect(layer.weight.disposed).to.equal(true);
    expect(String(layer)).to.equal('Conv1d(2, 3, kernel_size=(3,), stride=(1,))');
  });

  it('works with using', () => {
    let weight: Tensor;
    {
      using layer = new Conv1d(2, 3, 3);
      weight = layer.weight;
    }
    expect(weight.disposed).to.equal(true);
  });

  it('sums a large layer exactly', () => {
    const layer = new Conv2d(16, 32, [1, 2], { bias: false });
    const weight = Float32Array.from({ length: 1024 }, (_, i) => i * 2 ** -10);
    layer.loadStateDict({ weight: tensor(weight, { shape: [32, 16, 1, 2] }) });
    const y = layer.forward(tensor(new Float32Array(2 * 16 * 16 * 16).fill(1), { shape: [2, 16, 16, 16] }));
    expectClose(y.to('float64').sum(), reference.values([], [2 * 16 * 15 * weight.reduce((a, b) => a + b, 0)]), EXACT);
  });
});
