// Module: parameters, children, state dictionaries, modes, conversion.
import { expect } from 'chai';
import { Conv1d, Conv2d, Module, PartialConv1d, ReLU, rand, Sequential, SGD, type Tensor, tensor } from '../../ts';
import type { ConvLayerOptions } from '../../ts/nn/conv';
import { load } from '../goldens/load';
import { expectSame, toValues } from '../support/tensors';

class Block extends Module {
  readonly first = new Conv1d(1, 2, 3);
  readonly rest = [new Conv1d(2, 2, 3, { bias: false }), new PartialConv1d(2, 1, 3)];
  readonly running = rand([2]);
  readonly scale: Tensor;
  readonly note = 'not state';

  constructor() {
    super();
    this.scale = rand([1]);
    this.scale.requiresGrad = true;
  }

  protected override bufferNames() {
    return ['running'];
  }
}

const NAMES = ['scale', 'first.weight', 'first.bias', 'rest.0.weight', 'rest.1.weight', 'rest.1.bias'];

describe('Module', () => {
  it('names parameters, buffers, children and modules in order', () => {
    const block = new Block();
    expect(block.namedParameters().map(([name]) => name)).to.deep.equal(NAMES);
    expect(block.parameters()).to.deep.equal(block.namedParameters().map(([, t]) => t));
    expect(block.namedBuffers().map(([name]) => name)).to.deep.equal(['running']);
    expect(block.namedChildren().map(([name]) => name)).to.deep.equal(['first', 'rest.0', 'rest.1']);
    expect(block.modules().length).to.equal(4);
    expect(Object.keys(block.stateDict())).to.deep.equal(['scale', 'running', ...NAMES.slice(1)]);
  });

  it('has shared modules and parameters once, the state under each of their names, as in PyTorch', () => {
    const layer = new Conv1d(1, 1, 1);
    const twice = new Sequential(layer, new ReLU(), layer, new Conv1d(1, 1, 1, { bias: false }));
    const tied = twice.at(3) as Conv1d;
    tied.weight = layer.weight;
    expect(twice.namedParameters().map(([name]) => name)).to.deep.equal(['0.weight', '0.bias']);
    expect(twice.parameters()).to.deep.equal([layer.weight, layer.bias]);
    expect(twice.modules().length).to.equal(4);
    expect(Object.keys(twice.stateDict())).to.deep.equal(['0.weight', '0.bias', '2.weight', '2.bias', '3.weight']);
    expect(new SGD(twice.parameters(), { lr: 1 }).paramGroups[0]?.params.length).to.equal(2);
    twice.to('float64');
    expect(tied.weight).to.equal(layer.weight);
    expect([layer.weight.dtype, layer.weight.requiresGrad, layer.weight.disposed]).to.deep.equal(['float64', true, false]);
    expect([...twice.forward(rand([2, 1, 3], { dtype: 'float64' })).shape]).to.deep.equal([2, 1, 3]);
  });

  it('prints its children', () => {
    expect(String(new Block())).to.equal(
      'Block(\n  (first): Conv1d(1, 2, kernel_size=(3,), stride=(1,))\n  (rest.0): Conv1d(2, 2, kernel_size=(3,), stride=(1,), bias=False)\n' +
        '  (rest.1): PartialConv1d(2, 1, kernel_size=(3,), stride=(1,))\n)',
    );
  });

  it('gives a state dictionary without gradients, on the same memory', () => {
    const layer = new Conv1d(1, 2, 3);
    const state = layer.stateDict();
    expect(Object.keys(state)).to.deep.equal(['weight', 'bias']);
    expect(Object.keys(new Conv1d(1, 2, 3, { bias: false }).stateDict())).to.deep.equal(['weight']);
    expect(state.weight?.requiresGrad).to.equal(false);
    state.weight?.fill_(3);
    expect([...toValues(layer.weight).data]).to.deep.equal([3, 3, 3, 3, 3, 3]);
  });

  it('loads values into the parameters that it has, converting dtypes', () => {
    const layer = new Conv1d(1, 2, 3);
    const { weight } = layer;
    const loaded = { weight: rand([2, 1, 3], { dtype: 'float64' }), bias: tensor([1, 2], { dtype: 'int32' }) };
    expect(layer.loadStateDict(loaded)).to.deep.equal({ missingKeys: [], unexpectedKeys: [] });
    expect(layer.weight).to.equal(weight);
    expect(weight.requiresGrad).to.equal(true);
    expect([...toValues(weight).data]).to.deep.equal([...toValues(loaded.weight).data].map(Math.fround));
    expect(layer.bias?.toArray()).to.deep.equal([1, 2]);
    loaded.weight.fill_(0);
    expect(toValues(weight).data[0]).not.to.equal(0);
  });

  for (const { id, args, state, message } of load('errors').rejected.filter(({ kind }) => kind === 'loadState')) {
    it(`refuses as PyTorch: ${id}`, () => {
      const [c, o, k] = args as [number, number, number];
      const layer = new Conv1d(c, o, k);
      const before = layer.weight.clone();
      const dict = Object.fromEntries(Object.entries(state ?? {}).map(([name, shape]) => [name, rand(shape)]));
      expect(() => layer.loadStateDict(dict))
        .to.throw(RangeError, message)
        .with.property('code', 'ERR_SHAPE');
      expectSame(layer.weight, before);
    });
  }

  it('tells missing and unexpected names where they are allowed', () => {
    const layer = new Conv1d(1, 2, 3);
    const result = layer.loadStateDict({ weight: rand([2, 1, 3]), other: rand([1]) }, { strict: false });
    expect(result).to.deep.equal({ missingKeys: ['bias'], unexpectedKeys: ['other'] });
    expect(() => layer.loadStateDict({ weight: rand([1]) }, { strict: false })).to.throw(RangeError, 'size mismatch for weight');
  });

  it('names every problem of a dictionary at once', () => {
    const load = () => new Conv1d(1, 2, 3).loadStateDict({ weight: rand([2, 1, 5]), extra: rand([1]) });
    expect(load).to.throw(RangeError, /Missing key\(s\).*"bias".*\n.*Unexpected key\(s\).*"extra".*\n.*size mismatch for weight/);
  });

  it('refuses what is no state dictionary', () => {
    const layer = new Conv1d(1, 2, 3) as unknown as { loadStateDict(...args: unknown[]): void };
    for (const dict of [null, undefined, 3, 'weight', () => 1, [], new Map()])
      expect(() => layer.loadStateDict(dict), String(dict)).to.throw(TypeError);
    expect(() => layer.loadStateDict({ weight: [1, 2], bias: null })).to.throw(
      TypeError,
      /expected weight to be a tensor, but got \[1, 2\]/,
    );
    expect(() => layer.loadStateDict({}, { strct: false })).to.throw(RangeError, /did you mean "strict"/);
    expect(() => layer.loadStateDict({}, { strict: 'no' })).to.throw(RangeError, /expected strict to be a boolean, but got "no"/);
    const gone = rand([2, 1, 3]);
    gone.dispose();
    expect(() => layer.loadStateDict({ weight: gone, bias: rand([2]) }))
      .to.throw(Error, /disposed/)
      .with.property('code', 'ERR_DISPOSED');
  });

  it('writes nothing if the last of the values cannot be used', () => {
    const layer = new Conv1d(1, 2, 3);
    const before = layer.weight.clone();
    const gone = rand([2]);
    gone.dispose();
    expect(() => layer.loadStateDict({ weight: rand([2, 1, 3]), bias: gone })).to.throw(Error, /disposed/);
    expectSame(layer.weight, before);
    const real = new Conv1d(1, 2, 3);
    expect(() => real.loadStateDict({ weight: rand([2, 1, 3]), bias: rand([2], { dtype: 'complex64' }) })).to.throw(TypeError, /complex/);
  });

  it('exchanges states between plain and partial layers', () => {
    const [plain, partial] = [new Conv1d(3, 4, 3, { padding: 1 }), new PartialConv1d(3, 4, 3, { padding: 0 })];
    expect(Object.keys(partial.stateDict())).to.deep.equal(Object.keys(plain.stateDict()));
    partial.loadStateDict(plain.stateDict());
    expectSame(partial.weight, plain.weight);
    plain.loadStateDict(new PartialConv1d(3, 4, 3).stateDict());
    expect(toValues(plain.weight).data).not.to.deep.equal(toValues(partial.weight).data);
  });

  it('switches all modules between training and evaluation', () => {
    const block = new Block();
    expect(block.eval()).to.equal(block);
    expect(block.modules().map((m) => m.training)).to.deep.equal([false, false, false, false]);
    block.train();
    expect(block.first.training).to.equal(true);
    expect(block.train(false).training).to.equal(false);
  });

  it('converts floating point and complex state, keeps what requires gradients', () => {
    const block = new Block();
    const old = block.first.weight;
    expect(block.to('float64')).to.equal(block);
    expect(Object.values(block.stateDict()).map((t) => t.dtype)).to.deep.equal(new Array(7).fill('float64'));
    expect(block.first.weight.requiresGrad).to.equal(true);
    expect(block.running.requiresGrad).to.equal(false);
    expect(old.disposed).to.equal(true);
    block.to('cpu');
    expect([...block.first.forward(rand([1, 5], { dtype: 'float64' })).shape]).to.deep.equal([2, 3]);
  });

  it('refuses devices and dtypes that cannot be', () => {
    const layer = new Conv1d(1, 2, 3) as unknown as { to(target: unknown): void };
    for (const target of ['int32', 'bool', 'float23', null, undefined, 7, {}, [], 'constructor', '__proto__']) {
      expect(() => layer.to(target), String(target))
        .to.throw(TypeError)
        .with.property('code', 'ERR_DTYPE');
    }
    for (const target of ['cuda:99', 'cuda:100', 'cuda:x']) {
      expect(() => layer.to(target), target)
        .to.throw(Error, /cuda/)
        .with.property('code', 'ERR_DEVICE');
    }
  });

  it('zeroes gradients and frees everything', () => {
    const block = new Block();
    const { first } = block;
    first
      .forward(rand([1, 5]))
      .sum()
      .backward();
    const grad = first.weight.grad as Tensor;
    block.zeroGrad();
    expect([first.weight.grad, grad.disposed]).to.deep.equal([null, true]);
    const state = [first.weight, block.running, block.scale];
    block.dispose();
    expect(state.map((t) => t.disposed)).to.deep.equal([true, true, true]);
  });

  it('gives layers of one seed the same state through a dictionary of another layer', () => {
    const [a, b] = [new Conv2d(2, 3, 3, { groups: 1 } as ConvLayerOptions), new Conv2d(2, 3, 3)];
    b.loadStateDict(a.stateDict());
    const x = rand([1, 2, 5, 5]);
    expectSame(a.forward(x), b.forward(x));
  });
});
