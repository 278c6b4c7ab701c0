// Ops of the user's own: gradients, what forward and backward may do, errors.
import { expect } from 'chai';
import { defineOp, mul, noGrad, type OpCall, rand, type Tensor, tensor, tidy, valueAndGrad, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { checkGradients } from '../support/finite_differences';
import { expectTyped } from '../support/typed_errors';

/** log(1 + exp(b x)) / b, with b a number. */
const softplus = defineOp({
  name: 'softplus',
  forward(call, x: Tensor, b: number) {
    call.save(x);
    call.values.b = b;
    return x.mul(b).exp().add(1).log().div(b);
  },
  backward({ saved, values }, gradOutput) {
    return [gradOutput.mul((saved[0] as Tensor).mul(values.b as number).sigmoid()), null];
  },
});

/** a b + a, element by element. */
const product = defineOp({
  name: 'product',
  forward(call, a: Tensor, b: Tensor) {
    call.save(a, b);
    return a.mul(b).add(a);
  },
  backward({ saved: [a, b], needs }, g) {
    return [needs[0] ? g.mul((b as Tensor).add(1)) : null, needs[1] ? g.mul(a as Tensor) : null];
  },
});

const text = (f: () => unknown): string => {
  const { code, message } = expectTyped(f);
  return `${code} ${message}`;
};

describe('defineOp', () => {
  it('makes an op whose gradients are those of its backward', () => {
    checkGradients(([x]) => softplus(x as Tensor, 2), [generate('fine', 1, [3, 4])]);
    checkGradients(([a, b]) => product(a as Tensor, b as Tensor), [generate('fine', 1, [5]), generate('fine', 2, [5])]);
    checkGradients(([a]) => product(a as Tensor, product(a as Tensor, a as Tensor)), [generate('fine', 1, [3])], 1e-5);
  });

  it('tells which gradients are needed', () => {
    const seen: (readonly boolean[])[] = [];
    const op = defineOp({
      name: 'probe',
      forward(call, a: Tensor, _scale: number, b: Tensor) {
        seen.push(call.needs);
        return mul(a, b);
      },
      backward({ needs }, g) {
        seen.push(needs);
        return [null, null, g];
      },
    });
    const b = tensor([2], { requiresGrad: true });
    op(tensor([1]), 3, b).backward();
    expect(seen).to.deep.equal([
      [false, false, true],
      [false, false, true],
    ]);
    expect(b.grad?.item()).to.equal(1);
    const a = tensor([1], { requiresGrad: true });
    valueAndGrad(() => op(a, 3, b), [b]);
    expect(seen.slice(2)).to.deep.equal([
      [true, false, true],
      [false, false, true],
    ]);
  });

  it('records nothing inside forward, and nothing at all where no input wants a gradient', () => {
    const inner: boolean[] = [];
    const op = defineOp({
      name: 'probe',
      forward(_call, x: Tensor) {
        const y = x.mul(2);
        inner.push(y.requiresGrad);
        return y;
      },
      backward: (_call, g) => g.mul(2),
    });
    const x = tensor([1], { requiresGrad: true });
    expect(op(x).requiresGrad).to.equal(true);
    expect(noGrad(() => op(x)).requiresGrad).to.equal(false);
    expect(op(tensor([1])).requiresGrad).to.equal(false);
    expect(inner).to.deep.equal([false, false, false]);
  });

  it('may return an argument, or a tensor that it keeps; those get no history', () => {
    const kept = tensor([5]);
    const identity = defineOp({ name: 'identity', forward: (_call, x: Tensor) => x, backward: (_call, g) => g });
    const constant = defineOp({ name: 'constant', forward: (_call, _x: Tensor) => kept, backward: (_call, g) => g.mul(0) });
    const x = tensor([3], { requiresGrad: true });
    const y = identity(x);
    expect(y).to.not.equal(x);
    expect(x.isLeaf).to.equal(true);
    y.mul(2).backward();
    expect(x.grad?.item()).to.equal(2);
    const z = constant(x);
    z.backward();
    expect(kept.requiresGrad).to.equal(false);
    expect(kept.item()).to.equal(5);
  });

  it('may return a gradient that it keeps or that was saved: nobody frees or changes it', () => {
    const kept = tensor([2]);
    const op = defineOp({
      name: 'probe',
      forward(call, x: Tensor, y: Tensor) {
        call.save(x);
        return x.add(y);
      },
      backward: ({ saved }) => [kept, saved[0] as Tensor],
    });
    const [x, y] = [tensor([3], { requiresGrad: true }), tensor([4], { requiresGrad: true })];
    for (let i = 0; i < 2; i++) op(x, y).backward();
    expect([x.grad?.item(), y.grad?.item(), kept.item(), x.item()]).to.deep.equal([4, 6, 2, 3]);
  });

  it('keeps what it saved through tidy() and frees it after backward()', () => {
    const calls: OpCall[] = [];
    const op = defineOp({
      name: 'probe',
      forward(call, x: Tensor) {
        const y = x.exp();
        call.save(y);
        return y;
      },
      backward(call, g) {
        calls.push(call);
        return g.mul(call.saved[0] as Tensor);
      },
    });
    const x = rand([3]);
    x.requiresGrad = true;
    tidy(() => op(x).sum()).backward();
    expect(calls[0]?.saved[0]?.disposed).to.equal(true);
    expect(x.grad?.toArray()).to.deep.equal(x.exp().toArray());
  });

  it('is checked: names, functions, results', () => {
    const forward = (_call: OpCall, x: Tensor) => x.mul(1);
    const backward = (_call: OpCall, g: Tensor) => g;
    const saveNumber = (call: OpCall, x: Tensor) => {
      call.save(3 as never);
      return x;
    };
    const x = tensor([1, 2], { requiresGrad: true });
    const run = (back: unknown) =>
      defineOp({ name: 'mine', forward, backward: back as typeof backward })(x)
        .sum()
        .backward();
    expect(text(() => defineOp({ forward, backward } as never))).to.equal('ERR_SHAPE defineOp: expected a name, but got undefined');
    expect(text(() => defineOp({ name: 'mine', forward } as never))).to.equal(
      'ERR_SHAPE defineOp: expected mine to have the functions forward and backward, but got a function and undefined',
    );
    expect(text(() => defineOp({ name: 'mine', forward: () => 3 as never, backward })())).to.equal(
      'ERR_DTYPE mine: expected forward to return a tensor, but got 3',
    );
    expect(text(() => defineOp({ name: 'mine', forward: saveNumber, backward })(x))).to.equal(
      'ERR_DTYPE mine: expected save() to be given tensors, but got 3',
    );
    expect(text(() => run(() => []))).to.match(
      /^ERR_SHAPE mine: expected backward to return a gradient or null for each of the 1 arguments/,
    );
    expect(text(() => run(() => 3))).to.match(
      /^ERR_SHAPE mine: expected backward to return a gradient or null for each of the 1 arguments, but got 3/,
    );
    expect(text(() => run(() => [3]))).to.equal('ERR_DTYPE mine: expected backward to return tensors, but for argument 0 got 3');
    expect(text(() => run(() => zeros([3])))).to.equal(
      'ERR_SHAPE mine: expected backward to return a float32 tensor of shape [2] for argument 0, but got a float32 tensor of shape [3]',
    );
    expect(text(() => run(() => zeros([2], { dtype: 'float64' })))).to.match(
      /^ERR_SHAPE mine: expected backward to return a float32 tensor/,
    );
  });
});
