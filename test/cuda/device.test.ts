// Tensors on 'cuda': where they are made, how they move and are read, what they share, and when their memory goes.
import { expect } from 'chai';
import * as api from '../../ts';
import { type Device, type DType, type Tensor, tensor, zeros } from '../../ts';
import { DTYPES } from '../../ts/dtype';
import { native } from '../../ts/native';
import { generate } from '../goldens/load';
import { CASES } from '../gradient_cases';
import { expectSame, onDevice, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';
import { counted, fake, fakeAddon, fakePath } from './on_fake';
import { expectCounted, expectNear, itOnFake, needsCuda, onGpu, RERUN_TOLERANCE } from './on_gpu';

const fine = (shape: readonly number[], device: Device = 'cuda', seed = 3, dtype: DType = 'float32'): Tensor =>
  toTensor(generate('fine', seed, shape, dtype.startsWith('complex')), dtype).to(device);

describe("the device 'cuda'", () => {
  needsCuda();

  itOnFake("is the first GPU, as 'cuda:0' is; 'cuda:1' is the second", () => {
    expect(zeros([2], { device: 'cuda' }).device).to.equal('cuda');
    expect(zeros([2], { device: 'cuda:0' }).device).to.equal('cuda');
    expect(zeros([2], { device: 'cuda:1' }).device).to.equal('cuda:1');
    const { code, message } = expectTyped(() => zeros([2], { device: 'cuda:2' }));
    expect(code).to.equal('ERR_DEVICE');
    expect(message).to.equal("device: 'cuda:2' is not available: this machine has 2 CUDA devices (cuda, cuda:1). Use device: 'cpu'.");
  });

  itOnFake("'s addon exports what the CPU's does", () => {
    const names = (addon: object) => Object.keys(addon).filter((name) => name !== 'path' && name !== 'fake');
    expect(names(fakeAddon()).sort()).to.deep.equal(names(native).sort());
  });

  itOnFake('is what info(), devices() and hasCuda() tell', () => {
    expect(api.hasCuda()).to.equal(true);
    expect(api.devices().map(({ device }) => device)).to.deep.equal(['cpu', 'cuda', 'cuda:1']);
    expect(api.info().cuda).to.deep.include({ available: true, reason: '', addon: fakePath });
    expect(api.info().cuda.cudnn).to.match(/^cuDNN \d+\.\d+\.\d+/);
    expect(api.info().cuda.devices).to.have.length(2);
  });

  for (const dtype of Object.keys(DTYPES) as DType[]) {
    it(`holds ${dtype}, and gives back the same bits`, async () => {
      const x = api.cast(fine([3, 5], 'cpu', 4), dtype);
      for (const device of onGpu ? (['cuda'] as const) : (['cuda', 'cuda:1'] as const)) {
        const y = x.to(device);
        expect([y.device, y.dtype]).to.deep.equal([device, dtype]);
        expectSame(y.to('cpu'), x);
        expect(await y.read()).to.deep.equal(x.readSync());
        expect(y.toArray()).to.deep.equal(x.toArray());
        expectSame(y.to('cuda').to(device), x);
      }
    });
  }

  it('keeps what has no elements', async () => {
    const x = zeros([0, 3], { device: 'cuda' });
    expect(x.add(1).toArray()).to.deep.equal([]);
    expect([...(await x.read())]).to.deep.equal([]);
  });

  it('is where views stay, on the same memory', () => {
    const x = fine([2, 6]);
    const y = x.reshape([3, 4]);
    x.fill_(7);
    expect([y.device, y.toArray()]).to.deep.equal(['cuda', new Array(3).fill(new Array(4).fill(7))]);
    expect(x.to('cuda')).to.equal(x);
  });

  it('lets gradients through to()', () => {
    const x = fine([4], 'cpu');
    x.requiresGrad = true;
    const y = x.to('cuda').mul(fine([4], 'cuda', 9));
    y.sum().backward();
    expect(x.grad?.device).to.equal('cpu');
    expect(x.grad?.toArray()).to.deep.equal(fine([4], 'cpu', 9).toArray());
  });

  it('has no array for JavaScript', () => {
    const { code, message } = expectTyped(() => fine([2, 3]).data);
    expect(code).to.equal('ERR_DEVICE');
    expect(message).to.match(/^data: the tensor of shape \[2, 3\] is on cuda, .*await read\(\), or to\('cpu'\)$/);
  });

  it('gives read() the contents as they are at the call, and lets the event loop go on', async () => {
    const x = tensor([1, 2, 3], { device: 'cuda' });
    const promises: Promise<api.TypedArray>[] = [];
    expectCounted('waits', 0, () => {
      for (let i = 0; i < 4; i++) {
        promises.push(x.read());
        x.add_(10);
      }
      x.dispose();
    });
    const read = (await Promise.all(promises)).map((array) => [...array]);
    expect(read).to.deep.equal([0, 10, 20, 30].map((i) => [1 + i, 2 + i, 3 + i]));
  });

  it('computes forwardAsync on the contents at the call, without a wait on the event loop', async () => {
    const layer = new api.PartialConv1d(16, 8, 3, { padding: 1, device: 'cuda' });
    const [x, mask] = [fine([2, 16, 40]), api.ones([40], { device: 'cuda' })];
    const expected = toValues(layer.forward(x, mask)).data;
    let promise: Promise<Tensor> | undefined;
    expectCounted('waits', 0, () => {
      promise = layer.forwardAsync(x, mask);
      x.fill_(0);
      for (const t of [x, mask]) t.dispose();
      api.noGrad(() => layer.weight.fill_(0));
    });
    expectNear(toValues(await (promise as Promise<Tensor>)).data, expected, RERUN_TOLERANCE);
  });

  it('takes a layer there and back, and state from the CPU', () => {
    const layer = new api.BatchNorm1d(3).to('cuda');
    expect(
      layer
        .parameters()
        .concat(layer.namedBuffers().map(([, t]) => t))
        .map((t) => t.device),
    ).to.deep.equal(new Array(5).fill('cuda'));
    expect(layer.weight?.requiresGrad).to.equal(true);
    const other = new api.BatchNorm1d(3);
    other.loadStateDict({ ...other.stateDict(), running_mean: tensor([1, 2, 3]) });
    layer.loadStateDict(other.stateDict());
    expect([layer.runningMean?.device, layer.runningMean?.toArray()]).to.deep.equal(['cuda', [1, 2, 3]]);
    expect(layer.to('cpu').runningMean?.toArray()).to.deep.equal([1, 2, 3]);
  });

  it('loads the state of an optimizer from the CPU', () => {
    const onCpu = fine([5], 'cpu');
    const [there, here] = [onCpu.to('cuda'), onCpu].map((p) => {
      p.requiresGrad = true;
      return p;
    }) as [Tensor, Tensor];
    const [a, b] = [new api.Adam([there]), new api.Adam([here])];
    here.mul(here).sum().backward();
    b.step();
    api.noGrad(() => there.copy_(here));
    a.loadStateDict(b.stateDict());
    for (const [p, optimizer] of [
      [there, a],
      [here, b],
    ] as const) {
      p.mul(p).sum().backward();
      p.grad = fine([5], p.device, 8);
      optimizer.step();
    }
    expectNear(toValues(there).data, toValues(here).data, onGpu ? 1e-6 : 0); // a GPU fuses multiplications and additions
  });

  itOnFake('packs a weight anew for TF32 and for float32', () => {
    const layer = new api.Conv1d(16, 16, 3, { device: 'cuda' });
    const x = fine([1, 16, 30]);
    const launches = () => counted('launches', () => layer.forward(x));
    try {
      api.setAllowTF32(true);
      const tf32 = layer.forward(x).toArray();
      const again = launches();
      api.setAllowTF32(false);
      expect(layer.forward(x).toArray()).to.deep.equal(tf32); // the fake rounds nothing to TF32
      expect(launches(), 'float32 has no layout kernels').to.be.below(again);
    } finally {
      api.setAllowTF32(true);
    }
    expect(layer.forward(x).shape).to.deep.equal([1, 16, 28]);
  });
});

describe("tensors on 'cuda' and on the CPU in one op", () => {
  needsCuda();

  const mixable = CASES.filter(({ inputs }) => inputs.length > 1);
  for (const name of new Set(mixable.map((c) => c.name))) {
    it(`${name} refuses them and names both devices`, () => {
      for (const { inputs, f, what } of mixable.filter((c) => c.name === name)) {
        const tensors = inputs.map((v, i) => toTensor(v, v.complex ? 'complex128' : 'float64').to(i === 0 ? 'cuda' : 'cpu'));
        const { code, message } = expectTyped(() => onDevice('cuda', () => f(tensors)), what);
        expect(code, `${what}: ${message}`).to.equal('ERR_DEVICE');
        expect(message)
          .to.match(/\bcuda\b/)
          .and.match(/\bcpu\b/);
      }
    });
  }

  it('masks, gradients, what backward() is given and what is clipped too', () => {
    const x = fine([2, 3, 8]);
    const mask = api.ones([8]);
    x.requiresGrad = true;
    const p = fine([2]);
    p.requiresGrad = true;
    p.grad = fine([2], 'cpu');
    const q = fine([2]);
    q.requiresGrad = true;
    q.grad = fine([2]);
    const calls = {
      partialConv1d: () => api.partialConv1d(x, mask, fine([2, 3, 3])),
      maskedConv1d: () => api.maskedConv1d(x, mask, fine([2, 3, 3])),
      batchNorm: () => api.batchNorm(x, { mask }),
      applyMask: () => api.applyMask(x, mask),
      maskedMseLoss: () => api.maskedMseLoss(x, fine([2, 3, 8]), mask),
      backward: () => x.mul(2).backward(fine([2, 3, 8], 'cpu')),
      step: () => new api.SGD([p], { lr: 1 }).step(),
      clipGradNorm: () => api.clipGradNorm([q, p], 1),
    };
    for (const [name, call] of Object.entries(calls)) {
      const { code, message } = expectTyped(call, name);
      expect(code, `${name}: ${message}`).to.equal('ERR_DEVICE');
      expect(message, name)
        .to.match(/\bcuda\b/)
        .and.match(/\bcpu\b/);
    }
  });
});

describe("memory on 'cuda'", () => {
  needsCuda();

  itOnFake('goes at dispose() and at the end of a tidy(), and is used again', () => {
    const round = () => {
      const x = zeros([1000, 300], { device: 'cuda' });
      api.tidy(() => void x.add(1).mul(2).sum());
      x.dispose();
    };
    round();
    expect(counted('allocations', () => [1, 2, 3].map(round))).to.equal(0);
  });

  itOnFake('goes while backward() runs, step by step', () => {
    const step = () =>
      api.tidy(() => {
        let y = fine([64, 1000]);
        y.requiresGrad = true;
        const x = y;
        for (let i = 0; i < 8; i++) y = y.tanh();
        y.sum().backward();
        x.grad?.dispose();
      });
    step();
    expect(counted('allocations', () => [1, 2, 3].map(step))).to.equal(0);
  });

  itOnFake('goes with what was kept for a backward() that does not come', () => {
    const layer = new api.PartialConv1d(16, 16, 3, { padding: 1, device: 'cuda' });
    const [x, mask] = [fine([2, 16, 200]), api.ones([200], { device: 'cuda' })];
    const inTidy = () => api.tidy(() => void layer.forward(x, mask).relu().exp().sum());
    const byHand = () => {
      const y = layer.forward(x, mask);
      const z = y.exp();
      y.dispose();
      z.sum().dispose();
      z.dispose();
    };
    for (const round of [inTidy, byHand]) {
      round();
      expect(counted('allocations', () => [1, 2, 3].map(round))).to.equal(0);
    }
  });

  it('is gone after dispose(): a DisposedError, not old contents', async () => {
    const x = fine([3]);
    x.dispose();
    for (const use of [() => x.add(1), () => x.readSync(), () => x.to('cpu')]) expect(expectTyped(use).code).to.equal('ERR_DISPOSED');
    const error = await x.read().catch((e: Error) => e);
    expect(error).to.be.instanceOf(api.DisposedError);
  });

  it('that no device has is a BackendError; every live tensor survives', () => {
    const kept = tensor([1, 2, 3], { device: 'cuda' });
    const error = expectTyped(() => zeros([1 << 20, 1 << 20], { device: 'cuda' })) as api.BackendError;
    expect([error.code, error.call]).to.deep.equal(['ERR_BACKEND', 'cudaMallocFromPoolAsync']);
    expect(error.message).to.match(/out of memory on cuda:0: 4398046511104 bytes asked, \d+ free/);
    expect(kept.add(1).toArray()).to.deep.equal([2, 3, 4]);
  });

  itOnFake('that runs out is a BackendError with call, status and bytes; every live tensor survives', () => {
    const kept = tensor([1, 2, 3], { device: 'cuda' });
    const memory = fake.get('memory');
    fake.set('memory', fake.get('used') + 4096);
    try {
      const error = expectTyped(() => zeros([1 << 28], { device: 'cuda' })) as api.BackendError; // more than any cache holds
      expect(error.code).to.equal('ERR_BACKEND');
      expect([error.call, error.status]).to.deep.equal(['cudaMallocFromPoolAsync', 2]);
      expect(error.message).to.match(/out of memory on cuda:0: 1073741824 bytes asked, \d+ free/);
      expect(kept.add(1).toArray()).to.deep.equal([2, 3, 4]);
    } finally {
      fake.set('memory', memory);
    }
    expect(zeros([1 << 21], { device: 'cuda' }).size).to.equal(1 << 21);
  });
});
