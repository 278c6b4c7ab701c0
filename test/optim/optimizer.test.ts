// Optimizers as objects: groups, options and their errors, state, gradients, disposal.
import { expect } from 'chai';
import {
  Adam,
  AdamW,
  type CommonOptions,
  Conv1d,
  clipGradNorm,
  manualSeed,
  mseLoss,
  type Optimizer,
  ones,
  rand,
  SGD,
  type Tensor,
  tensor,
  zeros,
} from '../../ts';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const leaf = (...data: number[]): Tensor => tensor(data, { requiresGrad: true });
const text = (f: () => unknown): string => {
  const { code, message } = expectTyped(f);
  return `${code} ${message}`;
};

describe('optimizers', () => {
  it('change every parameter that has a gradient, and no other', () => {
    const [a, b] = [leaf(1, 2), leaf(3)];
    const optimizer = new SGD([a, b], { lr: 0.5 });
    a.grad = tensor([1, -1]);
    optimizer.step();
    expect(a.toArray()).to.deep.equal([0.5, 2.5]);
    expect(b.toArray()).to.deep.equal([3]);
  });

  it('have PyTorch’s defaults, and master weights', () => {
    const options = (o: Optimizer<CommonOptions>) => ({ ...o.paramGroups[0], params: undefined });
    expect(options(new SGD([leaf(1)]) as never)).to.deep.equal({
      lr: 0.001,
      momentum: 0,
      dampening: 0,
      nesterov: false,
      weightDecay: 0,
      masterWeights: true,
      params: undefined,
    });
    const adam = { lr: 0.001, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, amsgrad: false, masterWeights: true, params: undefined };
    expect(options(new Adam([leaf(1)]) as never)).to.deep.equal(adam);
    expect(options(new AdamW([leaf(1)]) as never)).to.deep.equal({ ...adam, weightDecay: 0.01 });
  });

  it('take groups with options of their own, and more of them later', () => {
    const [a, b, c] = [leaf(1), leaf(1), leaf(1)];
    const optimizer = new SGD([{ params: [a], lr: 0.5 }, { params: [b] }], { lr: 0.25 });
    optimizer.addParamGroup({ params: [c], weightDecay: 1 });
    for (const p of [a, b, c]) p.grad = tensor([1]);
    optimizer.step();
    expect([a, b, c].map((p) => p.item())).to.deep.equal([0.5, 0.75, 0.5]);
    expect(optimizer.paramGroups.map(({ lr, weightDecay }) => [lr, weightDecay])).to.deep.equal([
      [0.5, 0],
      [0.25, 0],
      [0.25, 1],
    ]);
  });

  it('read a group’s options at every step', () => {
    const a = leaf(1);
    const optimizer = new SGD([a], { lr: 1 });
    a.grad = tensor([0.25]);
    optimizer.step();
    (optimizer.paramGroups[0] as { lr: number }).lr = 2;
    optimizer.step();
    expect(a.item()).to.equal(0.25);
  });

  it('take snake_case options and any iterable of parameters', () => {
    const a = leaf(1);
    const optimizer = new SGD(new Set([a]), { lr: 1, weight_decay: 0.5 } as never);
    a.grad = tensor([0]);
    optimizer.step();
    expect(a.item()).to.equal(0.5);
  });

  it('free gradients with zeroGrad()', () => {
    const a = leaf(1);
    const optimizer = new SGD([a]);
    const grad = tensor([1]);
    a.grad = grad;
    optimizer.zeroGrad();
    expect(a.grad).to.equal(null);
    expect(grad.disposed).to.equal(true);
  });

  it('raise the version of a parameter, so that nothing prepared from it is used again', () => {
    manualSeed(1);
    const layer = new Conv1d(2, 2, 3);
    const x = rand([1, 2, 8]);
    const before = layer.forward(x);
    const optimizer = new SGD(layer.parameters(), { lr: 0.1 });
    mseLoss(before, ones([1, 2, 6])).backward();
    optimizer.step();
    const fresh = new Conv1d(2, 2, 3);
    fresh.loadStateDict(layer.stateDict());
    expectSame(layer.forward(x), fresh.forward(x));
    expect(layer.forward(x).toArray()).to.not.deep.equal(before.toArray());
  });

  it('write a parameter whose memory was handed out where its owner sees it', () => {
    const a = leaf(1, 2);
    const { data } = a;
    a.grad = tensor([1, 1]);
    new SGD([a], { lr: 1 }).step();
    expect([...data]).to.deep.equal([0, 1]);
  });
});

describe('optimizer errors', () => {
  const refused: [string, () => unknown, string][] = [
    ['lr', () => new SGD([leaf(1)], { lr: -1 }), 'ERR_SHAPE SGD: Invalid learning rate: -1'],
    ['momentum', () => new SGD([leaf(1)], { momentum: -0.1 }), 'ERR_SHAPE SGD: Invalid momentum value: -0.1'],
    ['weight decay', () => new SGD([leaf(1)], { weightDecay: Number.NaN }), 'ERR_SHAPE SGD: Invalid weight_decay value: NaN'],
    ['type', () => new SGD([leaf(1)], { lr: '1' as never }), 'ERR_SHAPE SGD: Invalid learning rate: "1"'],
    [
      'nesterov',
      () => new SGD([leaf(1)], { nesterov: true }),
      'ERR_SHAPE SGD: Nesterov momentum requires a momentum and zero dampening, but momentum is 0 and dampening 0',
    ],
    [
      'nesterov with dampening',
      () => new SGD([leaf(1)], { nesterov: true, momentum: 0.9, dampening: 0.1 }),
      'ERR_SHAPE SGD: Nesterov momentum requires a momentum and zero dampening, but momentum is 0.9 and dampening 0.1',
    ],
    ['nesterov flag', () => new SGD([leaf(1)], { nesterov: 1 as never }), 'ERR_SHAPE SGD: expected nesterov to be a boolean, but got 1'],
    ['eps', () => new Adam([leaf(1)], { eps: -1 }), 'ERR_SHAPE Adam: Invalid epsilon value: -1'],
    ['beta 0', () => new AdamW([leaf(1)], { betas: [1, 0.9] }), 'ERR_SHAPE AdamW: Invalid beta parameter at index 0: 1'],
    ['beta 1', () => new Adam([leaf(1)], { betas: [0.9, -0.1] }), 'ERR_SHAPE Adam: Invalid beta parameter at index 1: -0.1'],
    ['betas', () => new Adam([leaf(1)], { betas: 0.9 as never }), 'ERR_SHAPE Adam: expected betas to be two numbers, but got 0.9'],
    ['amsgrad', () => new Adam([leaf(1)], { amsgrad: 1 as never }), 'ERR_SHAPE Adam: expected amsgrad to be a boolean, but got 1'],
    ['a group’s option', () => new SGD([{ params: [leaf(1)], lr: -2 }]), 'ERR_SHAPE SGD: Invalid learning rate: -2'],
    [
      'a misspelt option',
      () => new SGD([leaf(1)], { momentun: 0.9 } as never),
      'ERR_SHAPE SGD: unknown option "momentun"; did you mean "momentum"?',
    ],
    [
      'a misspelt option of a group',
      () => new Adam([{ params: [leaf(1)], beta: [0, 0] } as never]),
      'ERR_SHAPE Adam: unknown option "beta"; did you mean "betas"?',
    ],
    ['no parameters', () => new SGD([]), 'ERR_SHAPE SGD: optimizer got an empty parameter list'],
    [
      'a tensor alone',
      () => new SGD(leaf(1) as never),
      'ERR_DTYPE SGD: expected an array of tensors or of parameter groups, but got a float32 tensor of shape [1]',
    ],
    ['no tensor', () => new SGD([3 as never]), 'ERR_DTYPE SGD: optimizer can only optimize Tensors, but one of the params is 3'],
    ['no leaf', () => new SGD([leaf(1).add(1)]), "ERR_SHAPE SGD: can't optimize a non-leaf Tensor, but got a float32 tensor of shape [1]"],
    [
      'integers',
      () => new SGD([zeros([1], { dtype: 'int32' })]),
      'ERR_DTYPE SGD: expected parameters of floating point or complex dtype, but got an int32 tensor of shape [1]',
    ],
  ];
  for (const [name, f, message] of refused) it(name, () => expect(text(f)).to.equal(message));

  it('a parameter given twice', () => {
    const a = leaf(1);
    expect(text(() => new SGD([a, a]))).to.match(/^ERR_SHAPE SGD: some parameters appear more than once/);
    expect(text(() => new SGD([{ params: [a] }, { params: [a] }]))).to.match(/^ERR_SHAPE SGD: some parameters appear more than once/);
  });

  it('a gradient or parameter that does not fit: nothing has changed', () => {
    const [a, b] = [leaf(1), leaf(1, 2)];
    const optimizer = new SGD([a, b], { lr: 1 });
    a.grad = tensor([1]);
    b.grad = tensor([1]);
    expect(text(() => optimizer.step())).to.equal(
      'ERR_SHAPE SGD: expected the gradient of parameter 1 to have shape [2], but got a float32 tensor of shape [1]',
    );
    b.grad = zeros([2], { dtype: 'float64' });
    expect(text(() => optimizer.step())).to.match(/^ERR_DTYPE SGD: expected the gradient of parameter 1 to be float32/);
    b.grad = [1, 2] as never;
    expect(text(() => optimizer.step())).to.equal('ERR_DTYPE SGD: expected the gradient of parameter 1 to be a tensor, but got [1, 2]');
    expect(text(() => clipGradNorm([a, b], 1))).to.equal(
      'ERR_DTYPE clipGradNorm: expected the gradient of parameter 1 to be a tensor, but got [1, 2]',
    );
    b.dispose();
    expect(text(() => optimizer.step())).to.match(/^ERR_DISPOSED SGD: parameter 1 of shape \[2\] was disposed/);
    expect(a.item()).to.equal(1);
  });

  it('no gradient is null, or undefined as plain JavaScript has it', () => {
    const [a, b] = [leaf(1), leaf(2)];
    const optimizer = new SGD([a, b], { lr: 1 });
    a.grad = undefined as never;
    b.grad = tensor([3]);
    expect(clipGradNorm([a, b], 10)).to.equal(3);
    optimizer.step();
    expect([a.item(), b.item()]).to.deep.equal([1, -1]);
    a.mul(5).backward();
    expect((a.grad as Tensor | undefined)?.toArray()).to.deep.equal([5]);
  });
});

describe('optimizer state', () => {
  const makers: [string, (p: Tensor[]) => SGD | Adam | AdamW][] = [
    ['SGD', (p) => new SGD(p, { lr: 0.1, momentum: 0.9 })],
    ['Adam', (p) => new Adam(p, { lr: 0.1, amsgrad: true })],
    ['AdamW', (p) => new AdamW([{ params: p.slice(0, 1) }, { params: p.slice(1), lr: 0.2 }])],
  ];
  const start = () => [leaf(1, 2, 3), leaf(-1)];
  const advance = (optimizer: SGD | Adam | AdamW, params: Tensor[], from: number, to: number) => {
    for (let step = from; step < to; step++) {
      for (const p of params)
        p.grad = p
          .detach()
          .mul(0.5)
          .add(step / 8);
      optimizer.step();
    }
  };

  for (const [name, make] of makers) {
    it(`${name} continues from a saved state with the same bits`, () => {
      const through = start();
      advance(make(through), through, 0, 8);
      const params = start();
      const before = make(params);
      advance(before, params, 0, 5);
      const after = make(params);
      (after.paramGroups[0] as { lr: number }).lr = 77;
      after.loadStateDict(before.stateDict() as never);
      before.dispose();
      advance(after, params, 5, 8);
      params.forEach((p, i) => void expectSame(p, through[i] as Tensor));
    });
  }

  it('names its tensors and carries options and numbers of parameters', () => {
    const params = start();
    const optimizer = new AdamW([{ params: params.slice(0, 1) }, { params: params.slice(1), lr: 0.2 }]);
    advance(optimizer, params.slice(0, 1), 0, 2);
    const { state, paramGroups } = optimizer.stateDict();
    expect(Object.keys(state)).to.deep.equal(['0']);
    const first = state['0'] as { expAvg: Tensor };
    expect(Object.keys(first)).to.deep.equal(['step', 'expAvg', 'expAvgSq']);
    expect(state['0']?.step).to.equal(2);
    expect(first.expAvg.shape).to.deep.equal([3]);
    expect(paramGroups.map(({ params, lr }) => [params, lr])).to.deep.equal([
      [[0], 0.001],
      [[1], 0.2],
    ]);
  });

  it('is refused where it does not fit, and then nothing has changed', () => {
    const params = start();
    const optimizer = new Adam(params, { lr: 0.1 });
    advance(optimizer, params, 0, 1);
    const dict = optimizer.stateDict();
    const other = new Adam([leaf(1, 2), leaf(1)], { lr: 0.3 });
    expect(text(() => other.loadStateDict(dict))).to.equal(
      'ERR_SHAPE Adam: expected expAvg of parameter 0 to have shape [2], but got a float32 tensor of shape [3]',
    );
    expect(other.paramGroups[0]?.lr).to.equal(0.3);
    expect(text(() => new Adam([leaf(1)]).loadStateDict(dict))).to.match(
      /^ERR_SHAPE Adam: loaded state dict contains a parameter group that doesn't match the size of optimizer's group 0/,
    );
    expect(text(() => new Adam([{ params: [leaf(1)] }, { params: [leaf(1)] }]).loadStateDict(dict))).to.match(
      /^ERR_SHAPE Adam: loaded state dict has a different number of parameter groups/,
    );
    expect(text(() => new SGD(start()).loadStateDict(dict as never))).to.match(/^ERR_SHAPE SGD: unknown option "betas"/);
    const bad = { ...dict, paramGroups: dict.paramGroups.map((group) => ({ ...group, lr: -1 })) };
    expect(text(() => optimizer.loadStateDict(bad))).to.equal('ERR_SHAPE Adam: Invalid learning rate: -1');
    expect(text(() => optimizer.loadStateDict({} as never))).to.match(/^ERR_DTYPE Adam: expected what stateDict\(\) returned/);
  });

  it('is freed by dispose(), and the next step starts anew', () => {
    const params = start();
    const optimizer = new Adam(params, {});
    advance(optimizer, params, 0, 1);
    const moment = optimizer.stateDict().state['0']?.expAvg as Tensor;
    optimizer.dispose();
    moment.dispose();
    expect(moment.storage.disposed).to.equal(true);
    advance(optimizer, params, 0, 1);
    expect(optimizer.stateDict().state['0']?.step).to.equal(1);
  });
});
