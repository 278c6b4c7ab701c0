// Tensor: its properties, the live data and copies of it, versions and the shared mark, dispose, using, tidy.
import { expect } from 'chai';
import { type Device, DisposedError, type DType, DTypeError, fromBuffer, ones, Tensor, tensor, tidy, valueAndGrad, zeros } from '../ts';
import { context } from '../ts/context';
import { Storage } from '../ts/storage';
import { empty } from '../ts/tensor';
import { expectTyped } from './support/typed_errors';

const pause = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('a tensor', () => {
  it('tells what it is', () => {
    const x = tensor([[1, 2, 3]], { dtype: 'float16' });
    expect([[...x.shape], x.size, x.rank, x.dtype, x.device]).to.deep.equal([[1, 3], 3, 2, 'float16', 'cpu']);
    expect([x.dims, x.type]).to.deep.equal([x.shape, x.dtype]);
    expect(String(x)).to.equal('Tensor(shape=[1, 3], dtype=float16, device=cpu)');
    expect(require('node:util').inspect(x)).to.equal(String(x));
    expect([x.isLeaf, x.requiresGrad, x.grad, x.disposed]).to.deep.equal([true, false, null, false]);
    expect(Object.isFrozen(x.shape)).to.equal(true);
  });

  it('is not made by its constructor', () => {
    expect(expectTyped(() => new (Tensor as unknown as new (...args: unknown[]) => Tensor)([1, 2])).message).to.contain(
      'tensors are made by tensor()',
    );
  });

  it('takes requiresGrad on leaves of floating point and complex dtype', () => {
    const x = zeros([2]);
    x.requiresGrad = true;
    expect(x.requiresGrad).to.equal(true);
    x.requiresGrad = false;
    expect(x.requiresGrad).to.equal(false);
    const y = ones([2], { requiresGrad: true }).mul(2);
    expect([y.requiresGrad, y.isLeaf]).to.deep.equal([true, false]);
    const wrong = (f: () => void) => {
      const error = expectTyped(f);
      expect(error).to.be.instanceOf(DTypeError);
      return error.message;
    };
    expect(wrong(() => (y.requiresGrad = false))).to.equal('requiresGrad: only a leaf can be changed; use detach()');
    expect(wrong(() => (x.requiresGrad = 1 as never))).to.equal('requiresGrad: expected a boolean, but got 1');
    for (const dtype of ['int32', 'uint8', 'bool'] as DType[]) {
      expect(wrong(() => (zeros([1], { dtype }).requiresGrad = true))).to.equal(
        `requiresGrad: only tensors of floating point and complex dtype can require gradients, but this one is ${dtype}`,
      );
    }
  });

  it('names a device that is not there', () => {
    expect(expectTyped(() => empty([1], 'float32', 'cuda:99' as Device)).code).to.equal('ERR_DEVICE');
  });
});

describe('contents', () => {
  it('data is live, read copies', async () => {
    const x = tensor([1, 2]);
    const copies = [x.readSync(), await x.read()];
    x.data[0] = 7;
    expect(x.toArray()).to.deep.equal([7, 2]);
    for (const copy of copies) expect(copy).to.deep.equal(Float32Array.of(1, 2));
    expect(tensor([1.5], { dtype: 'bfloat16' }).data).to.deep.equal(Uint16Array.of(0x3fc0));
    expect(tensor({ re: 1, im: 2 }).data).to.deep.equal(Float32Array.of(1, 2));
    expect(tensor([true]).data).to.deep.equal(Uint8Array.of(1));
  });

  it('are shared from the moment they were handed out, for all views', () => {
    const x = tensor([1, 2]);
    const view = x.reshape([2, 1]);
    expect([x.storage.shared, view.storage.shared]).to.deep.equal([false, false]);
    x.readSync();
    x.toArray();
    expect(x.storage.shared, 'a copy does not share').to.equal(false);
    void view.data;
    expect([x.storage.shared, x.detach().storage.shared, x.clone().storage.shared]).to.deep.equal([true, true, false]);
    expect(fromBuffer(new Float32Array(1)).storage.shared).to.equal(true);
  });

  it('have a version that in-place operations raise and others do not', () => {
    const x = tensor([1, 2]);
    x.add(1);
    x.reshape([2, 1]).transpose(0, 1);
    x.toArray();
    void x.data;
    expect(x.storage.version).to.equal(0);
    x.detach().add_(1);
    expect([x.storage.version, x.toArray()]).to.deep.equal([1, [2, 3]]);
  });

  it('stay what a running async op read, while an in-place operation goes on', () => {
    const x = tensor([1, 2]);
    const before = x.hostArray('test');
    const release = x.storage.acquire();
    x.add_(1);
    expect([...before], 'the reader keeps the old contents').to.deep.equal([1, 2]);
    expect(x.toArray()).to.deep.equal([2, 3]);
    release();
    expect(x.storage.readers).to.equal(0);
    x.add_(1);
    expect([...before]).to.deep.equal([1, 2]);
  });
});

describe('dispose', () => {
  it('frees the memory at once and makes any use a DisposedError', async () => {
    const x = tensor([1, 2]);
    const array = x.hostArray('test');
    x.dispose();
    x.dispose();
    expect([x.disposed, array.length]).to.deep.equal([true, 0]);
    const uses: (() => unknown)[] = [() => x.data, () => x.readSync(), () => x.toArray(), () => x.item(), () => x.add(1), () => x.add_(1)];
    for (const use of [
      ...uses,
      () => x.reshape([2]),
      () => x.sum(),
      () => x.detach(),
      () => x.clone(),
      () => x.contiguous(),
      () => ones([2]).add(x),
    ]) {
      expect(expectTyped(use)).to.be.instanceOf(DisposedError);
    }
    expect(expectTyped(() => x.sum()).message).to.equal('sum: the tensor of shape [2] was disposed');
    const error = await x.read().catch((e: unknown) => e);
    expect(error).to.be.instanceOf(DisposedError);
    expect([String(x), [...x.shape]], 'it still tells what it was').to.deep.equal(['Tensor(shape=[2], dtype=float32, device=cpu)', [2]]);
  });

  it('leaves the memory to other tensors on it', () => {
    const x = tensor([1, 2]);
    const view = x.reshape([2, 1]);
    x.dispose();
    expect([x.disposed, view.disposed, view.toArray()]).to.deep.equal([true, false, [[1], [2]]]);
    view.dispose();
    expect(view.storage.disposed).to.equal(true);
  });

  it('leaves arrays that were handed out, and those that an op is reading', () => {
    const x = tensor([1, 2]);
    const { data } = x;
    x.dispose();
    expect([...data]).to.deep.equal([1, 2]);
    const y = tensor([3, 4]);
    const array = y.hostArray('test');
    y.storage.acquire();
    y.dispose();
    expect([...array]).to.deep.equal([3, 4]);
  });

  it('happens at the end of a using block', () => {
    let seen: Tensor;
    {
      using x = tensor([1]);
      seen = x;
      expect(x.disposed).to.equal(false);
    }
    expect(seen.disposed).to.equal(true);
  });
});

describe('tidy', () => {
  it('frees what is made inside and not returned', () => {
    let inner: Tensor | undefined;
    const outside = tensor([1]);
    const result = tidy(() => {
      inner = outside.add(1);
      return { kept: [inner.mul(2)], count: 1 };
    });
    expect(inner?.disposed).to.equal(true);
    expect(result.kept[0]?.toArray()).to.deep.equal([4]);
    expect([outside.disposed, result.count]).to.deep.equal([false, 1]);
    expect(tidy(() => 5)).to.equal(5);
    expect(tidy(() => undefined)).to.equal(undefined);
  });

  it('finds what is returned in arrays, plain objects, maps and sets, whatever they hold besides', () => {
    const loop: { kept?: Tensor; self?: unknown } = {};
    const { map, set, nested } = tidy(() => {
      const [a, b, c] = [tensor([1]), tensor([2]), tensor([3])];
      loop.kept = c;
      loop.self = [loop];
      return { map: new Map([['a', a]]), set: new Set([[b]]), nested: [null, 'x', loop] as const };
    });
    expect([map.get('a'), [...set][0]?.[0], nested[2].kept].map((t) => t?.toArray())).to.deep.equal([[1], [2], [3]]);
    const w = tensor([3], { requiresGrad: true });
    const { value, grads } = tidy(() => valueAndGrad(() => w.mul(w).sum()));
    expect([value.item(), grads.get(w)?.toArray()]).to.deep.equal([9, [6]]);
  });

  it('nests: what the inner one returns belongs to the outer', () => {
    let middle: Tensor | undefined;
    const result = tidy(() => {
      middle = tidy(() => tensor([1]).add(1));
      expect(middle.disposed).to.equal(false);
      return middle.add(1);
    });
    expect([middle?.disposed, result.toArray()]).to.deep.equal([true, [3]]);
  });

  it('frees everything where the function throws', () => {
    let inner: Tensor | undefined;
    expect(() =>
      tidy(() => {
        inner = tensor([1]);
        throw new Error('stop');
      }),
    ).to.throw('stop');
    expect(inner?.disposed).to.equal(true);
    expect(context().scope).to.equal(null);
  });

  it('keeps returned views of freed tensors alive', () => {
    const view = tidy(() => tensor([1, 2]).add(1).reshape([2, 1]));
    expect(view.toArray()).to.deep.equal([[2], [3]]);
    expect(view.storage.exclusive).to.equal(true);
  });

  it('works with async functions, several at a time', async () => {
    const made: Tensor[] = [];
    const work = async (n: number): Promise<Tensor> => {
      const first = tensor([n]);
      made.push(first);
      await pause();
      const second = first.add(1);
      made.push(second);
      await pause();
      return second.mul(10);
    };
    const outside = tensor([0]);
    const [a, b] = await Promise.all([tidy(async () => work(1)), tidy(async () => work(2))]);
    const between = tensor([1]);
    expect([a.toArray(), b.toArray()]).to.deep.equal([[20], [30]]);
    expect(made.map((t) => t.disposed)).to.deep.equal([true, true, true, true]);
    expect([outside.disposed, between.disposed]).to.deep.equal([false, false]);
    expect(context().scope).to.equal(null);
  });

  it('frees everything where an async function rejects', async () => {
    let inner: Tensor | undefined;
    const failing = tidy(async () => {
      inner = tensor([1]);
      await pause();
      throw new Error('stop');
    });
    expect(await failing.catch((e: Error) => e.message)).to.equal('stop');
    expect(inner?.disposed).to.equal(true);
  });

  it('does not reach into what runs beside an async function', async () => {
    const running = tidy(async () => {
      await pause();
      return 1;
    });
    const beside = tensor([1]);
    const inner = tidy(() => beside.add(1));
    await running;
    expect([beside.disposed, inner.disposed]).to.deep.equal([false, false]);
  });
});

describe('Storage', () => {
  it('tells who owns it', () => {
    const storage = Storage.allocate(3, 'complex64', 'test');
    expect(storage.read(6, 'test').length).to.equal(6);
    const x = new Tensor(storage, [3], 'complex64');
    expect(storage.exclusive).to.equal(true);
    const view = x.detach();
    expect(storage.exclusive).to.equal(false);
    view.dispose();
    expect(storage.exclusive).to.equal(true);
    void x.data;
    expect(storage.exclusive).to.equal(false);
  });
});
