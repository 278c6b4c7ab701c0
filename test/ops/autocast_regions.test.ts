// The regions of autocast: casts made once and seen by backward(), nesting, async functions, no state left behind.
import { expect } from 'chai';
import {
  autocast,
  Conv1d,
  conv1d,
  type DType,
  MaskedConv1d,
  MaskedSequential,
  noGrad,
  PartialConv1d,
  PReLU,
  prelu,
  Sequential,
  type Tensor,
  tensor,
  tidy,
  valueAndGrad,
} from '../../ts';
import { native } from '../../ts/native';
import { generate } from '../goldens/load';
import { expectClose, expectSame, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const fine = (shape: readonly number[], dtype: DType = 'float32', seed = 3, requiresGrad = false): Tensor =>
  toTensor(generate('fine', seed, shape), dtype, requiresGrad);

/** Calls of a native op while fn runs. */
function countCalls(name: 'cast' | 'convPackWeight', fn: () => void): number {
  const original = native[name] as (...args: never[]) => void;
  let count = 0;
  Object.assign(native, {
    [name]: (...args: never[]) => {
      count++;
      original(...args);
    },
  });
  try {
    fn();
  } finally {
    Object.assign(native, { [name]: original });
  }
  return count;
}

describe('the casts of autocast', () => {
  const layer = () => {
    const conv = new Conv1d(4, 4, 3, { padding: 1 });
    conv.loadStateDict({ weight: fine([4, 4, 3], 'float32', 5), bias: fine([4], 'float32', 6) });
    return conv;
  };

  it('are made once for a parameter, again when it has changed or a new region begins', () => {
    const [conv, x] = [layer(), fine([1, 4, 9], 'bfloat16')];
    const twice = () => void conv.forward(conv.forward(x));
    expect(countCalls('cast', () => autocast('bfloat16', twice))).to.equal(2); // weight and bias
    expect(countCalls('convPackWeight', () => autocast('bfloat16', twice))).to.equal(1);
    const changes = () => {
      twice();
      noGrad(() => conv.weight.mul_(2));
      twice();
    };
    expect(countCalls('cast', () => autocast('bfloat16', changes))).to.equal(3);
    const nested = () => {
      twice();
      autocast('float16', () => void conv.forward(x));
      twice();
    };
    expect(countCalls('cast', () => autocast('bfloat16', nested))).to.equal(2 + 3); // x too
    conv.weight.data.fill(1); // from here on anyone may write it
    expect(countCalls('cast', () => autocast('bfloat16', twice))).to.equal(1 + 2);
  });

  it('see a parameter’s new values, and add up its gradients in float32', () => {
    const [conv, x] = [layer(), fine([1, 4, 9])];
    autocast('bfloat16', () => {
      const before = conv.forward(x);
      noGrad(() => conv.weight.mul_(2));
      const after = conv.forward(x);
      expectSame(
        after,
        autocast('bfloat16', () => conv.forward(x)),
      );
      expect(after.toArray()).to.not.deep.equal(before.toArray());
    });
    const gradient = (uses: number) => {
      const fresh = layer();
      autocast('bfloat16', () => {
        for (let i = 0; i < uses; i++) fresh.forward(x).sum().backward();
      });
      return fresh.weight.grad as Tensor;
    };
    // Each backward() frees its graph; the cast is used on.
    expectSame(gradient(3), gradient(1).mul(3));
  });

  it('lead to gradients for weights that are computed, too, and with valueAndGrad', () => {
    const [x, w] = [fine([1, 2, 6]), fine([2, 2, 3], 'float32', 4, true)];
    autocast('bfloat16', () => conv1d(x, w.mul(2)).sum()).backward();
    const { grads } = valueAndGrad((v) => autocast('bfloat16', () => conv1d(x, v.mul(2)).sum()), [w.detach()]);
    expectSame(w.grad as Tensor, grads[0]);
    const exact = valueAndGrad((v) => conv1d(x, v.mul(2)).sum(), [w.detach()]).grads[0];
    expectClose(w.grad as Tensor, toValues(exact), { rtol: 2 ** -6, atol: 2 ** -5 });
    expect((w.grad as Tensor).toArray()).to.not.deep.equal(exact.toArray());
  });

  it('survive tidy() in the region, and go with it', () => {
    const [conv, x] = [layer(), fine([1, 4, 9])];
    const [a, b] = autocast('bfloat16', () => [tidy(() => conv.forward(x)), tidy(() => conv.forward(x))]);
    expectSame(a as Tensor, b as Tensor);
    a?.sum().backward(); // after the region
    expect(conv.weight.grad?.dtype).to.equal('float32');
  });

  it('retainGraph goes through a cast twice', () => {
    const conv = layer();
    const loss = autocast('float16', () => conv.forward(fine([1, 4, 9])).sum());
    loss.backward(null, { retainGraph: true });
    const once = (conv.weight.grad as Tensor).clone();
    loss.backward();
    expectSame(conv.weight.grad as Tensor, once.mul(2));
  });
});

describe('regions of autocast', () => {
  const x = fine([1, 2, 6]);
  const w = fine([2, 2, 3], 'float32', 4);
  const dtype = () => conv1d(x, w).dtype;

  it('nest, switch off, and end with errors', () => {
    expect(autocast('bfloat16', () => [dtype(), autocast('float16', dtype), autocast(null, dtype), dtype()])).to.deep.equal([
      'bfloat16',
      'float16',
      'float32',
      'bfloat16',
    ]);
    expect(() =>
      autocast('float16', () => {
        throw new Error('inside');
      }),
    ).to.throw('inside');
    expect(dtype()).to.equal('float32');
  });

  it('last as long as an async function, whatever else runs meanwhile', async () => {
    const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
    const inside = autocast('bfloat16', async () => {
      const first = dtype();
      await pause();
      return [first, dtype()];
    });
    expect(dtype()).to.equal('float32');
    const failing = autocast('float16', async () => {
      await pause();
      throw new Error('late');
    });
    expect(await inside).to.deep.equal(['bfloat16', 'bfloat16']);
    expect(await failing.catch((error: Error) => error.message)).to.equal('late');
    expect(dtype()).to.equal('float32');
  });

  it('give forwardAsync the numbers of forward', async () => {
    const mask = toTensor(generate('mask', 1, [1, 1, 6]), 'float32');
    const layers = [new Conv1d(2, 2, 3), new Sequential(new Conv1d(2, 3, 3), new PReLU(3), new Conv1d(3, 2, 2))];
    for (const layer of layers) {
      const y = await autocast('bfloat16', () => layer.forwardAsync(x));
      expectSame(
        y,
        autocast('bfloat16', () => layer.forward(x)),
      );
      expect(y.dtype).to.equal('bfloat16');
    }
    const masked = new MaskedSequential(new PartialConv1d(2, 3, 3), new MaskedConv1d(3, 2, 2));
    const [y, m] = await autocast('float16', () => masked.forwardAsync(x, mask));
    const [sync, syncMask] = autocast('float16', () => masked.forward(x, mask));
    expectSame(y, sync);
    expectSame(m as Tensor, syncMask as Tensor);
    expect(m?.dtype).to.equal('float32');
    expect((await layers[0]?.forwardAsync(x))?.dtype).to.equal('float32');
  });

  it('do not reach into backward()', () => {
    const p = fine([2, 2], 'float32', 1, true);
    autocast('bfloat16', () => {
      const y = p.mul(p).sum();
      y.backward();
    });
    expectSame(p.grad as Tensor, p.detach().mul(2));
  });

  it('take one of two dtypes, or null, and a function', () => {
    for (const wrong of ['float32', 'float64', undefined, 16]) {
      const { code, message } = expectTyped(() => autocast(wrong as never, dtype));
      expect(code).to.equal('ERR_DTYPE');
      expect(message).to.match(/^autocast: expected the dtype 'float16' or 'bfloat16', or null to switch it off, but got /);
    }
    expect(expectTyped(() => autocast('float16', 3 as never)).message).to.equal('autocast: expected a function, but got 3');
    expect(autocast('float16', () => 5)).to.equal(5);
  });

  it('leave errors of ops to the ops', () => {
    const gone = tensor([[[1, 2, 3]]]);
    gone.dispose();
    autocast('bfloat16', () => {
      expect(expectTyped(() => conv1d(gone, w)).message).to.match(/^conv1d: the tensor of shape \[1, 1, 3\] was disposed/);
      expect(expectTyped(() => conv1d(3 as never, w)).message).to.equal('conv1d: expected x to be a tensor, but got 3');
      expect(expectTyped(() => prelu(x, null as never)).code).to.equal('ERR_DTYPE');
      expect(expectTyped(() => conv1d(fine([1, 3, 6]), w)).code).to.equal('ERR_SHAPE');
    });
  });
});
