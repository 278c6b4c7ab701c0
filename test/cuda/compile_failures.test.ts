// Module.compile() on 'cuda': whose memory is whose, failures that leave all usable, inputs that do not fit.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import * as api from '../../ts';
import { type Device, Module, noGrad, type Tensor, tensor } from '../../ts';
import { root } from '../support/cmake_build';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';
import { type AnyLayer, compile, expectEqual, fine, holes, type Result, wide } from './compile_cases';
import { counted, fake, fakePath, needsFakeCuda, planFolder } from './on_fake';
import { describeOnFake } from './on_gpu';

describeOnFake("memory and failures of compile() on 'cuda'", () => {
  needsFakeCuda();

  const chain = (device: Device = 'cuda') =>
    new api.MaskedSequential(...[0, 1, 2].map(() => new api.PartialConv1d(16, 16, 3, { padding: 1, device })));

  it('dispose(), using and a new capture give all memory back', () => {
    const layer = chain();
    const x = fine([2, 16, 60]);
    const mask = holes([2, 1, 60]);
    const graphs = fake.get('graphs');
    const round = () => {
      api.tidy(() => {
        using compiled = layer.compile([2, 16, 60], { mask: [2, 1, 60] });
        compiled.forward(x, mask);
        noGrad(() => layer.at(0)?.parameters()[0]?.add_(0.5));
        compiled.forward(x, mask);
        using fixed = layer.compile([2, 16, 60], { mask });
        fixed.forward(x);
      });
    };
    for (let i = 0; i < 20; i++) round(); // as many as a layer keeps masks
    const launched = fake.get('graphLaunches');
    expect(counted('allocations', () => [1, 2, 3, 4, 5].map(round))).to.equal(0);
    expect([fake.get('graphs'), fake.get('graphLaunches') - launched]).to.deep.equal([graphs, 15]);
  });

  it('a graph’s memory is nobody else’s, nor is what it reads', () => {
    const layer = chain();
    const [x, mask] = [fine([2, 16, 300]), holes([2, 1, 300])];
    const expected = noGrad(() => layer.forward(x, mask));
    const compiled = compile(layer, [2, 16, 300], { mask });
    for (let i = 0; i < 3; i++) {
      // Whatever else is taken and written meanwhile.
      const others = Array.from({ length: 30 }, (_, k) => api.full([2, 16, 300 - k], Number.NaN, { device: 'cuda' }));
      expectEqual(compiled.forward(x), expected, `round ${i}`);
      for (const t of others) t.dispose();
    }
    expectEqual(compiled.forward(x), expected, 'at the end');
  });

  it('results belong to the caller: tidy() frees them, not the graph', () => {
    const layer = new api.Conv1d(...wide('float32'));
    const x = fine([2, 16, 30]);
    const compiled = api.tidy(() => layer.compile([2, 16, 30]));
    const kept = api.tidy(() => {
      compiled.forward(x);
      return compiled.forward(x);
    });
    expectSame(kept, compiled.forward(x));
    api.tidy(() => void compiled.forward(x)); // finds memory for one result more
    expect(counted('allocations', () => [1, 2, 3].map(() => api.tidy(() => void compiled.forward(x))))).to.equal(0);
  });

  it('several at once, on two GPUs', () => {
    const devices = ['cuda', 'cuda:1', 'cuda'] as const;
    const layers = devices.map((device) => chain(device));
    const all = layers.map((layer, i) => layer.compile([2, 16, 40], { mask: holes([2, 1, 40], i, devices[i] as Device) }));
    for (let round = 0; round < 2; round++) {
      for (const [i, device] of devices.entries()) {
        const x = fine([2, 16, 40], 'float32', 30 + round, device);
        const y = all[i]?.forward(x) as Result;
        expectEqual(
          y,
          noGrad(() => (layers[i] as AnyLayer).forward(x, holes([2, 1, 40], i, device))),
          `${device} ${round}`,
        );
      }
    }
    for (const compiled of all) compiled.dispose();
  });

  class Custom extends Module {
    constructor(readonly f: (x: Tensor) => Tensor) {
      super();
    }
    forward(x: Tensor): Tensor {
      return this.f(x);
    }
  }

  /** compile() of a computation fails; the stream works on. */
  function failing(f: (x: Tensor) => Tensor): api.BackendError {
    const error = expectTyped(() => new Custom(f).compile([4], { device: 'cuda' })) as api.BackendError;
    expect(tensor([1, 2], { device: 'cuda' }).add(1).toArray()).to.deep.equal([2, 3]);
    const works = new Custom((x) => x.add(1)).compile([2], { device: 'cuda' });
    expect(works.forward(tensor([1, 2], { device: 'cuda' })).toArray()).to.deep.equal([2, 3]);
    works.dispose();
    return error;
  }

  it('what cannot be part of a graph is a BackendError that names the call', () => {
    const there = fine([4]);
    const calls: Record<string, [(x: Tensor) => Tensor, string]> = {
      'a host read': [(x) => x.mul(x.sum().item() as number), 'cudaMemcpyAsync'],
      'a copy from the host': [(x) => x.add(tensor([1, 2, 3, 4], { device: 'cuda' })), 'cudaMemcpyAsync'],
      'another GPU': [(x) => x.to('cuda:1').add(1).to('cuda'), 'cudaSetDevice'],
      'a copy from another GPU': [(x) => x.add(there.to('cuda:1').to('cuda')), 'cudaSetDevice'],
    };
    for (const [what, [f, call]] of Object.entries(calls)) {
      const error = failing(f);
      expect([error.code, error.call, error.status], what).to.deep.equal(['ERR_BACKEND', call, 900]);
      expect(error.message, what).to.match(/cannot be part of a CUDA graph/);
    }
  });

  it('a tensor on the CPU, what is no tensor, and in-place changes are refused', () => {
    const constant = tensor([1, 2, 3, 4]);
    expect(failing(() => constant).message).to.equal(
      'compiled Custom: expected forward() to return tensors on cuda, but got a float32 tensor of shape [4] on cpu',
    );
    expect(failing((async (x: Tensor) => x) as unknown as (x: Tensor) => Tensor).message).to.match(
      /expected forward\(\) to return a tensor/,
    );
    const kept = fine([4]);
    expect(failing((x) => kept.add_(x)).message).to.equal(
      'compiled Custom: expected a forward() that changes no tensor in place but its own, which a graph would do unseen',
    );
  });

  it('injected failures: a launch in the capture, instantiation, the launch of the graph', () => {
    const layer = new api.ReLU();
    const x = fine([4]);
    layer.forward(x);
    fake.set('failLaunch', 4); // the fill of the input, two runs, the capture
    const launch = expectTyped(() => layer.compile([4], { device: 'cuda' })) as api.BackendError;
    expect([launch.call, launch.status, fake.get('failLaunch')]).to.deep.equal(['cudaLaunchKernel', 719, 0]);
    fake.set('failGraph', 1);
    const instantiate = expectTyped(() => layer.compile([4], { device: 'cuda' })) as api.BackendError;
    expect([instantiate.call, instantiate.status]).to.deep.equal(['cudaGraphInstantiate', 2]);
    const compiled = layer.compile([4], { device: 'cuda' });
    fake.set('failGraph', 1);
    const run = expectTyped(() => compiled.forward(x)) as api.BackendError;
    expect([run.call, run.status]).to.deep.equal(['cudaGraphLaunch', 719]);
    expectSame(compiled.forward(x), layer.forward(x));
  });

  it('workers compile at the same time, each for itself', () => {
    const program = `
      const { Worker, isMainThread, parentPort } = require('node:worker_threads');
      require('tsx/cjs');
      const pc = require(${JSON.stringify(join(root, 'ts', 'index.ts'))});
      pc.manualSeed(3);
      const layer = new pc.Conv1d(16, 16, 3, { device: 'cuda' });
      const results = Array.from({ length: 10 }, () => {
        const x = pc.randn([4, 16, 50], { device: 'cuda' });
        const compiled = layer.compile([4, 16, 50]);
        return String(compiled.forward(x).toArray()) === String(layer.forward(x).toArray());
      });
      if (!isMainThread) parentPort.postMessage(results.every(Boolean));
      else {
        const workers = [1, 2, 3].map(() => new Promise((resolve, reject) =>
          new Worker(process.env.PROGRAM, { eval: true }).once('message', resolve).once('error', reject)));
        Promise.all(workers).then((same) => console.log(results.concat(same).every(Boolean)));
      }`;
    const env = { ...process.env, PARTIALCONV_CUDA_ADDON: fakePath, XDG_CACHE_HOME: planFolder, PROGRAM: program };
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--eval', program], { cwd: root, env, encoding: 'utf8' });
    expect({ status, stdout }, stderr).to.deep.equal({ status: 0, stdout: 'true\n' });
  });

  it('out of memory: a BackendError, and everything goes on', () => {
    const layer = chain();
    const x = fine([2, 16, 2111]);
    const mask = holes([2, 1, 2111]);
    const memory = fake.get('memory');
    let failures = 0;
    try {
      for (let bytes = 1 << 12; ; bytes *= 1.2) {
        fake.set('memory', Math.floor(bytes));
        try {
          const compiled = layer.compile([2, 16, 2111], { mask });
          compiled.forward(x);
          compiled.dispose();
          break;
        } catch (error) {
          expect((error as api.BackendError).call).to.equal('cudaMallocFromPoolAsync');
          failures++;
        }
      }
    } finally {
      fake.set('memory', memory);
    }
    const compiled = compile(layer, [2, 16, 2111], { mask });
    expectEqual(
      compiled.forward(x),
      noGrad(() => layer.forward(x, mask)),
      'afterwards',
    );
    expect(failures).to.be.above(0);
  });
});

describeOnFake("inputs of what was compiled on 'cuda'", () => {
  needsFakeCuda();

  it('of another shape, dtype or device, or another number of them, are typed errors', () => {
    const layer = new api.PartialConv1d(2, 3, 3, { device: 'cuda' });
    const plain = layer.compile([4, 2, 9]);
    const masked = layer.compile([4, 2, 9], { mask: [1, 1, 9] });
    const fixed = layer.compile([4, 2, 9], { mask: holes([9]) });
    const x = fine([4, 2, 9]);
    const wrong: [() => unknown, string, string][] = [
      [
        () => plain.forward(fine([4, 2, 8])),
        'ERR_SHAPE',
        'compiled PartialConv1d: expected x of shape [4, 2, 9], but got a float32 tensor of shape [4, 2, 8]',
      ],
      [
        () => plain.forward(fine([4, 2, 9], 'float64')),
        'ERR_DTYPE',
        'compiled PartialConv1d: expected x of dtype float32 and shape [4, 2, 9], but got a float64 tensor of shape [4, 2, 9]',
      ],
      [
        () => plain.forward(x.to('cuda:1')),
        'ERR_DEVICE',
        'compiled PartialConv1d: expected x on cuda, but got a float32 tensor of shape [4, 2, 9] on cuda:1',
      ],
      [
        () => plain.forward(x.to('cpu')),
        'ERR_DEVICE',
        'compiled PartialConv1d: expected x on cuda, but got a float32 tensor of shape [4, 2, 9] on cpu',
      ],
      [() => plain.forward(1 as never), 'ERR_DTYPE', 'compiled PartialConv1d: expected x to be a tensor, but got'],
      [
        () => plain.forward(x, holes([9])),
        'ERR_SHAPE',
        'compiled PartialConv1d: it was compiled without a mask, but got a bool tensor of shape [9]',
      ],
      [
        () => fixed.forward(x, holes([9])),
        'ERR_SHAPE',
        'compiled PartialConv1d: it was compiled with a fixed mask, but got a bool tensor of shape [9]',
      ],
      [() => masked.forward(x), 'ERR_SHAPE', 'compiled PartialConv1d: expected a mask of shape [1, 1, 9] beside x, but got none'],
      [
        () => masked.forward(x, holes([9])),
        'ERR_SHAPE',
        'compiled PartialConv1d: expected the mask of shape [1, 1, 9], but got a bool tensor of shape [9]',
      ],
      [() => masked.forward(x, fine([1, 1, 9])), 'ERR_DTYPE', 'expected the mask of dtype bool'],
      [
        () => layer.compile([4, 2, 9], { mask: holes([9], 5, 'cpu') }),
        'ERR_DEVICE',
        'compiled PartialConv1d: expected the mask on cuda, but got a bool tensor of shape [9] on cpu',
      ],
      [() => layer.compile([4, 2, 9], { mask: [8] }), 'ERR_SHAPE', 'for x [4, 2, 9] expected a mask of shape'],
      [() => layer.compile([4, 3, 9]), 'ERR_SHAPE', 'to have 2 channels'],
      [() => layer.compile('9' as never), 'ERR_SHAPE', 'compile: expected a shape'],
      [() => layer.compile([4, 2, 9], { masks: [9] } as never), 'ERR_SHAPE', 'compile: unknown option "masks"; did you mean "mask"?'],
      [() => layer.compile([4, 2, 9], { dtype: 'float' as never }), 'ERR_DTYPE', 'compile: expected dtype to be one of'],
      [() => layer.compile([4, 2, 9], { dtype: 'float64' }), 'ERR_DTYPE', 'should be the same'],
      [() => layer.compile([4, 2, 9], { device: 'cuda:7' }), 'ERR_DEVICE', 'this machine has 2 CUDA devices'],
      [
        () => new (class Empty extends Module {})().compile([2], { device: 'cuda' }),
        'ERR_DTYPE',
        'compile: expected a module with forward()',
      ],
    ];
    for (const [f, code, message] of wrong) {
      const error = expectTyped(f, message);
      expect(error.code, message).to.equal(code);
      expect(error.message).to.contain(message);
    }
    expectSame(
      plain.forward(x),
      noGrad(() => layer.forward(x)),
    );
  });
});
