// What goes wrong on a GPU, as JavaScript sees it: launches and cuDNN that fail, errors that come late, no GPU or no addon at all.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import * as api from '../../ts';
import { type Device, tensor, zeros } from '../../ts';
import { useCudaAddon } from '../../ts/device';
import { cmakeFolder, root } from '../support/cmake_build';
import { expectTyped } from '../support/typed_errors';
import { fake, fakePath, needsFakeCuda, planFolder } from './on_fake';
import { describeOnFake } from './on_gpu';

/** The BackendError that a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<api.BackendError> {
  const error = await promise.then(
    () => 'a result',
    (e: unknown) => e,
  );
  expect(error).to.be.instanceOf(api.BackendError);
  return error as api.BackendError;
}

describeOnFake("failures on 'cuda'", () => {
  needsFakeCuda();

  it('a GPU that the addon has no code for: what it is, what there is, and the command that helps', () => {
    const x = tensor([1, 2], { device: 'cuda' });
    fake.set('noCode', 1);
    fake.set('failLaunch', 1);
    const { message, status } = expectTyped(() => x.add(x)) as api.BackendError;
    expect(status).to.equal(209);
    expect(message)
      .to.include('cuda:0 (fake) has compute capability 9.0, and the addon was built for none')
      .and.include('npm run build:cuda -- --CDCMAKE_CUDA_ARCHITECTURES=90');
  });

  it("a launch that fails is a BackendError with the call's name and status, and nothing more", () => {
    const x = tensor([1, 2], { device: 'cuda' });
    fake.set('failLaunch', 1);
    const error = expectTyped(() => x.add(x)) as api.BackendError;
    expect([error.code, error.call, error.status]).to.deep.equal(['ERR_BACKEND', 'cudaLaunchKernel', 719]);
    expect(x.add(x).toArray()).to.deep.equal([2, 4]);
  });

  it("cuDNN's failures too", () => {
    const layer = new api.Conv1d(16, 16, 3, { device: 'cuda' });
    const x = zeros([1, 16, 20], { device: 'cuda' });
    layer.forward(x);
    fake.set('failExecute', 1);
    const error = expectTyped(() => layer.forward(x)) as api.BackendError;
    expect([error.code, error.call, error.status]).to.deep.equal(['ERR_BACKEND', 'cudnnBackendExecute', 5000]);
    expect(layer.forward(x).shape).to.deep.equal([1, 16, 18]);
  });

  it('work that fails when it runs is told to whoever waits for it', async () => {
    const x = tensor([1, 2], { device: 'cuda' });
    x.readSync();
    fake.set('failLate', 1);
    const sync = expectTyped(() => x.add(1).readSync()) as api.BackendError;
    expect([sync.code, sync.call, sync.status]).to.deep.equal(['ERR_BACKEND', 'cudaStreamSynchronize', 719]);
    fake.set('failLate', 1);
    const late = await rejection(x.add(1).read());
    expect([late.code, late.call, late.status]).to.deep.equal(['ERR_BACKEND', 'cudaEventSynchronize', 719]);
    expect([...(await x.add(1).read())]).to.deep.equal([2, 3]);
  });

  it('forwardAsync is rejected, and the next one works', async () => {
    const layer = new api.PartialConv1d(2, 2, 3, { device: 'cuda' });
    const [x, mask] = [zeros([1, 2, 9], { device: 'cuda' }), api.ones([9], { device: 'cuda' })];
    x.readSync();
    fake.set('failLate', 2);
    await rejection(layer.forwardAsync(x, mask));
    fake.set('failLaunch', 1);
    await rejection(layer.forwardAsync(x, mask));
    expect((await layer.forwardAsync(x, mask)).shape).to.deep.equal([1, 2, 7]);
  });

  it('whichever call fails in forward, backward, compile and reads: a BackendError, and then the same results', async () => {
    const net = new api.MaskedSequential(...[0, 1].map(() => new api.PartialConv1d(16, 16, 3, { padding: 1, device: 'cuda' })));
    const [values, mask] = [api.randn([2, 16, 40]), api.ones([2, 1, 40], { dtype: 'bool', device: 'cuda' })];
    const work = async () => {
      const x = values.to('cuda');
      x.requiresGrad = true;
      const read = api.tidy(() => {
        const [y] = net.forward(x, mask) as [api.Tensor, api.Tensor];
        y.sum().backward();
        using compiled = net.compile([2, 16, 40], { mask: [2, 1, 40] });
        const [again] = compiled.forward(x, mask) as [api.Tensor, api.Tensor];
        return [...again.readSync(), ...(x.grad as api.Tensor).readSync()];
      });
      const grads = await Promise.all(net.parameters().map((p) => (p.grad as api.Tensor).read()));
      net.zeroGrad();
      return [...read, ...grads.flatMap((g) => [...g])];
    };
    const expected = await work();
    let failed = 0;
    for (let n = 1; ; n++) {
      fake.set('failCall', n);
      const error = await work().catch((e: unknown) => e);
      const reached = fake.get('failCall') === 0;
      fake.set('failCall', 0);
      if (!reached) break;
      if (!Array.isArray(error)) {
        expect(error, `call ${n}`).to.be.instanceOf(api.BackendError);
        failed++;
      }
      net.zeroGrad();
      if (n % 10 === 0) expect(await work(), `after call ${n} failed`).to.deep.equal(expected);
    }
    expect(failed).to.be.above(100);
    expect(await work()).to.deep.equal(expected);
  });

  it('workers have streams of their own; a process ends while work is queued', () => {
    const program = `
      const { Worker, isMainThread, parentPort } = require('node:worker_threads');
      require('tsx/cjs');
      const pc = require(${JSON.stringify(join(root, 'ts', 'index.ts'))});
      pc.manualSeed(3);
      const layer = new pc.Conv1d(16, 16, 3, { device: 'cuda' });
      const sum = layer.forward(pc.randn([4, 16, 50], { device: 'cuda' })).sum();
      if (!isMainThread) parentPort.postMessage(sum.item());
      else {
        const source = process.env.PROGRAM;
        const workers = [1, 2, 3].map(() => new Promise((resolve, reject) =>
          new Worker(source, { eval: true }).once('message', resolve).once('error', reject)));
        Promise.all(workers).then((sums) => {
          console.log(sums.every((other) => other === sum.item()));
          layer.forwardAsync(pc.randn([4, 16, 50], { device: 'cuda' }));
          sum.read();
          process.exit(5);
        });
      }`;
    const env = { ...process.env, PARTIALCONV_CUDA_ADDON: fakePath, XDG_CACHE_HOME: planFolder, PROGRAM: program };
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--eval', program], { cwd: root, env, encoding: 'utf8' });
    expect({ status, signal, stdout }, stderr).to.deep.equal({ status: 5, signal: null, stdout: 'true\n' });
  });

  for (const [how, program] of Object.entries({
    'by process.exit()': 'use(); setTimeout(() => process.exit(), 50);',
    'by itself': 'use();',
    'by process.exit(), with a worker': 'work(true).once("message", () => process.exit());',
    'by itself, after a worker': 'work(false);',
  }))
    it(`a process ends ${how}, while plans are compiled`, () => {
      const text = `
        const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
        function use() {
          require('tsx/cjs');
          const pc = require(${JSON.stringify(join(root, 'ts', 'index.ts'))});
          require(${JSON.stringify(join(__dirname, 'on_fake.ts'))}).fake.set('compileTime', 1000);
          new pc.Conv1d(16, 16, 3, { device: 'cuda' }).forward(pc.ones([1, 16, 64], { device: 'cuda' }));
        }
        const work = (stays) => new Worker(process.env.PROGRAM, { eval: true, workerData: stays });
        if (isMainThread) { ${program} }
        else {
          use();
          parentPort.postMessage('used');
          if (workerData) setInterval(() => {}, 1000);
        }`;
      const env = { ...process.env, PARTIALCONV_CUDA_ADDON: fakePath, XDG_CACHE_HOME: planFolder, PROGRAM: text };
      const { status, signal, stderr } = spawnSync(process.execPath, ['--eval', text], { cwd: root, env, encoding: 'utf8' });
      expect({ status, signal }, stderr).to.deep.equal({ status: 0, signal: null });
    });
});

describeOnFake("no 'cuda'", () => {
  needsFakeCuda();

  const CALLS: Record<string, (device: Device) => unknown> = {
    zeros: (device) => zeros([2], { device }),
    tensor: (device) => tensor([1], { device }),
    randn: (device) => api.randn([2], { device }),
    arange: (device) => api.arange(3, { device }),
    zerosLike: (device) => api.zerosLike(zeros([2]), { device }),
    to: (device) => zeros([2]).to(device),
    'Module.to': (device) => new api.Conv1d(1, 1, 1).to(device),
    Conv1d: (device) => new api.Conv1d(1, 1, 1, { device }),
    PReLU: (device) => new api.PReLU(1, { device }),
    BatchNorm1d: (device) => new api.BatchNorm1d(1, { device }),
  };

  function expectAbsent(...told: RegExp[]): void {
    expect(api.hasCuda()).to.equal(false);
    expect(api.devices().map(({ device }) => device)).to.deep.equal(['cpu']);
    const { available, reason, devices } = api.info().cuda;
    expect([available, devices]).to.deep.equal([false, []]);
    for (const pattern of told) expect(reason).to.match(pattern);
    for (const [name, call] of Object.entries(CALLS)) {
      const { code, message } = expectTyped(() => call('cuda'), name);
      expect(code, name).to.equal('ERR_DEVICE');
      for (const pattern of [...told, /^device: 'cuda' is not available: /, /Use device: 'cpu'\.$/])
        expect(message, name).to.match(pattern);
    }
  }

  afterEach(() => {
    fake.set('devices', 2);
    useCudaAddon(fakePath);
  });

  it('without a GPU: the reason', () => {
    fake.set('devices', 0);
    useCudaAddon(fakePath);
    expectAbsent(/the fake has no device/);
  });

  it('without the addon: where it was looked for, and the commands that build it', () => {
    useCudaAddon(join(cmakeFolder, 'missing.node'));
    expectAbsent(/missing\.node: no such file/, /npm run setup:cuda/, /npm run build:cuda/);
  });

  it('with the CPU addon in its place', () => {
    useCudaAddon(join(cmakeFolder, 'partialconv.node'));
    expectAbsent(/partialconv\.node is no CUDA addon/);
  });

  it('with an addon of another version', () => {
    useCudaAddon(join(cmakeFolder, 'stale_addon.node'));
    expectAbsent(/it is a build of another version/);
  });
});
