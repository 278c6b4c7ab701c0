// Two tiers of plans on 'cuda', long as each is tested in both: the plain one at once, the fused one from a thread of its own, with the
// same numbers, infinite ones too, and one kernel less.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import * as api from '../../ts';
import { type DType, noGrad, type Tensor } from '../../ts';
import { generate } from '../goldens/load';
import { root } from '../support/cmake_build';
import { expectSame, onDevice, toTensor, toValues } from '../support/tensors';
import { fake, fakePath, planFolder } from './on_fake';
import { CHAIN_TOLERANCE, expectNear, itOnFake, needsCuda, onGpu } from './on_gpu';

const fine = (shape: readonly number[], dtype: DType, seed = 3) => toTensor(generate('fine', seed, shape), dtype);

describe('tiers of plans', () => {
  needsCuda();
  if (!onGpu) {
    before(() => fake.set('refuseFused', 0));
    after(() => fake.set('refuseFused', 1));
  }

  /** How often an image was made of a tensor (its layout kernel), and a tensor of an image (the epilogue's), while fn ran; [0, 0] on a GPU. */
  function kernelsOf(fn: () => void): [layouts: number, epilogues: number] {
    const launches = () => (onGpu ? [0, 0] : ['ToImage', 'FromImage'].map(fake.launchesOf)) as [number, number];
    const before = launches();
    fn();
    const after = launches();
    return [after[0] - before[0], after[1] - before[1]];
  }

  const fusedRuns = () => (onGpu ? 0 : fake.get('fused'));

  /** Calls fn until what a call did is enough; on a GPU, which counts nothing, for the time that compiling the plans takes. */
  async function until<T>(enough: () => boolean, fn: () => T, plans = 1): Promise<T> {
    for (let i = 0; i < 300; i++) {
      const result = fn();
      if (onGpu ? i === 30 : enough()) return result;
      await setTimeout(onGpu ? 50 * plans : 2);
    }
    return expect.fail('what is waited for did not come');
  }

  /** Calls fn until a call has run as many fused plans as given. */
  function untilFused<T>(fn: () => T, times: number): Promise<T> {
    let before = 0;
    const run = () => {
      before = fusedRuns();
      return fn();
    };
    return until(() => fusedRuns() - before === times, run, times);
  }

  const nets = {
    'a bias': { make: () => new api.Conv1d(24, 20, 3, { padding: 1 }), mask: null },
    'a mask, ratio and bias': { make: () => new api.PartialConv1d(24, 20, 3, { padding: 1 }), mask: [2, 1, 70] },
    'one mask for all samples, no bias': { make: () => new api.PartialConv1d(24, 24, 5, { bias: false }), mask: [70] },
    'rows without cells beyond the last column': { make: () => new api.PartialConv1d(24, 24, 7, { padding: 3 }), mask: [2, 1, 64] },
    dilation: { make: () => new api.PartialConv1d(24, 24, 3, { dilation: 4, padding: 4 }), mask: [2, 1, 70] },
  } as const;

  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    for (const [name, { make, mask: maskShape }] of Object.entries(nets)) {
      it(`${name}, in ${dtype}`, async () => {
        const layer = make().to(dtype) as api.PartialConv1d;
        const [x, mask] = [fine([2, 24, maskShape?.at(-1) ?? 70], dtype), maskShape && toTensor(generate('sparse', 5, maskShape), 'bool')];
        const expected = noGrad(() => layer.forward(x, mask)) as Tensor;
        const [there, maskThere] = [x.to('cuda'), mask?.to('cuda') ?? null];
        layer.to('cuda');
        const forward = () => noGrad(() => layer.forward(there, maskThere)) as Tensor;
        const plain = forward();
        const fused = await untilFused(forward, 1);
        expect(kernelsOf(forward)[1], 'epilogues').to.equal(0);
        const tolerance = { ...CHAIN_TOLERANCE, float16: 4e-3, bfloat16: 3e-2 }[dtype];
        for (const [tier, y] of Object.entries({ fused, plain })) expectNear(toValues(y).data, toValues(expected).data, tolerance, tier);
      });
    }
  }

  it('a chain of fused convolutions has one layout kernel, and zeros beyond the last column', async () => {
    const net = new api.Sequential(...[0, 1, 2].map(() => new api.Conv1d(24, 24, 3, { padding: 1 })));
    const x = fine([2, 24, 71], 'float32');
    const expected = toValues(noGrad(() => net.forward(x))).data;
    net.to('cuda');
    const there = onDevice('cuda', () => x.to('cuda'));
    const forward = () => noGrad(() => net.forward(there));
    const y = await untilFused(forward, 3);
    if (!onGpu) expect(kernelsOf(forward)).to.deep.equal([1, 0]);
    expectNear(toValues(y).data, expected, CHAIN_TOLERANCE.float32);
  });

  itOnFake('compile() waits for the fused plans, which its graph runs from the start', () => {
    const net = new api.Sequential(...[0, 1].map(() => new api.Conv1d(24, 24, 5, { padding: 2, device: 'cuda' })));
    const x = fine([2, 24, 83], 'float32').to('cuda');
    const before = fake.get('fused');
    const compiled = net.compile([2, 24, 83]);
    expect(fake.get('fused') - before, 'in the second run and the capture').to.be.at.least(4);
    expect(kernelsOf(() => compiled.forward(x))).to.deep.equal([0, 0]);
    expectSame(
      compiled.forward(x),
      noGrad(() => net.forward(x)),
    );
  });

  itOnFake('deterministic mode asks for no fused plan and uses none: the same bits at every call', async () => {
    const layer = new api.Conv1d(24, 24, 9, { padding: 4, device: 'cuda' }); // nowhere else, so that its plans are new
    const x = fine([2, 24, 75], 'float32').to('cuda');
    const forward = () => noGrad(() => layer.forward(x));
    try {
      api.setDeterministic(true);
      const [plans, plain] = [fake.get('plans'), forward()];
      await setTimeout(50);
      expect(fake.get('plans') - plans, 'the plain plan').to.equal(1);
      api.setDeterministic(false);
      await untilFused(forward, 1);
      api.setDeterministic(true);
      const fused = fake.get('fused');
      expectSame(forward(), plain);
      expect(fake.get('fused')).to.equal(fused);
    } finally {
      api.setDeterministic(false);
    }
  });

  itOnFake('PARTIALCONV_DETERMINISTIC=1 sets it from the start', () => {
    const program = `
      require('tsx/cjs');
      const pc = require(${JSON.stringify(join(root, 'ts', 'index.ts'))});
      const { fake } = require(${JSON.stringify(fakePath)});
      const layer = new pc.Conv1d(24, 24, 3, { device: 'cuda' });
      const x = pc.zeros([1, 24, 40], { device: 'cuda' });
      const run = () => pc.noGrad(() => layer.forward(x));
      run();
      setTimeout(() => { run(); console.log(fake.get('fused') > 0); }, 200);`;
    const fusedWith = (value: string) => {
      const env = { ...process.env, PARTIALCONV_CUDA_ADDON: fakePath, XDG_CACHE_HOME: planFolder, PARTIALCONV_DETERMINISTIC: value };
      const { stdout, stderr } = spawnSync(process.execPath, ['--eval', program], { cwd: root, env, encoding: 'utf8' });
      return stdout || stderr;
    };
    expect(['1', '0'].map(fusedWith)).to.deep.equal(['false\n', 'true\n']);
  });

  for (const [what, value] of Object.entries({ NaN: Number.NaN, infinity: Number.POSITIVE_INFINITY })) {
    it(`${what} beside the last column stays where it belongs, whatever lies behind`, async () => {
      // The first layer's window reaches beyond the last column: what it finds there must not be seen by the second.
      const first = new api.Conv1d(24, 20, 3, { dilation: 4, padding: 4 });
      const second = new api.Conv1d(20, 24, 3, { dilation: 16, padding: 16 });
      const net = new api.Sequential(first, second);
      const x = fine([2, 24, 70], 'float32');
      x.data.fill(value, 69, 70);
      const expected = toValues(noGrad(() => net.forward(x))).data;
      net.to('cuda');
      const there = onDevice('cuda', () => x.to('cuda'));
      const forward = () => noGrad(() => net.forward(there));
      const expectPlaces = (y: Tensor, tier: string) => expectNear(toValues(y).data, expected, CHAIN_TOLERANCE.float32, tier);
      expectPlaces(forward(), 'plain');
      expectPlaces(await untilFused(forward, 2), 'fused');
    });
  }

  it('infinity in channels that fill no vector: those behind them stay zero, also without an epilogue', () => {
    const net = new api.Sequential(new api.Conv1d(24, 22, 1, { bias: false }), new api.Conv1d(22, 24, 1, { bias: false }));
    noGrad(() => {
      for (const p of net.parameters()) p.copy_(p.abs().add(0.1));
    });
    const x = fine([1, 24, 64], 'float32').abs();
    x.data[3] = Number.POSITIVE_INFINITY;
    const expected = noGrad(() => net.forward(x)).toArray() as number[][][];
    net.to('cuda');
    const y = noGrad(() => net.forward(x.to('cuda'))).toArray() as number[][][];
    expect(expected[0]?.[0]?.[3]).to.equal(Number.POSITIVE_INFINITY);
    expect(y[0]?.map((row) => row[3])).to.deep.equal(expected[0]?.map((row) => row[3]));
  });

  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    it(`backward through three partial convolutions in ${dtype}: dx and its mask are one kernel`, async () => {
      api.manualSeed(6);
      const net = new api.MaskedSequential(...[0, 1, 2].map(() => new api.PartialConv1d(24, 24, 3, { padding: 1 }))).to(dtype);
      const mask = toTensor(generate('sparse', 5, [2, 1, 71]), 'bool');
      const dy = fine([2, 24, 71], dtype, 9);
      const backward = (device: 'cpu' | 'cuda', run: (pass: () => void) => void = (pass) => pass()) => {
        const from = fine([2, 24, 71], dtype).to(device);
        from.requiresGrad = true;
        const [y] = net.to(device).forward(from, mask.to(device)) as [Tensor, Tensor];
        for (const p of net.parameters()) p.grad = null;
        run(() => y.backward(dy.to(device)));
        return [from, ...net.parameters()].map((t) => toValues(t.grad as Tensor).data);
      };
      const expected = backward('cpu');
      let [fused, epilogues] = [0, 0];
      const counting = (pass: () => void) => {
        const before = fusedRuns();
        epilogues = kernelsOf(pass)[1];
        fused = fusedRuns() - before;
      };
      const grads = await until(
        () => fused >= 2,
        () => backward('cuda', counting),
        2,
      );
      if (!onGpu) expect([fused, epilogues]).to.deep.equal([2, 1]); // the first layer's dx is dense
      const tolerance = { float32: onGpu ? 5e-3 : 1e-4, float16: 2e-2, bfloat16: 1e-1 }[dtype];
      for (const [k, values] of expected.entries()) expectNear(grads[k] ?? [], values, tolerance, String(k));
    });
  }

  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    for (const [what, value] of Object.entries({ NaN: Number.NaN, infinity: Number.POSITIVE_INFINITY })) {
      it(`${what} where no cell is valid is 0 in both tiers, in ${dtype}`, async () => {
        const layer = new api.PartialConv1d(24, 20, 3, { padding: 1 });
        layer.weight.data.fill(value, 3 * 72 + 7, 3 * 72 + 8);
        layer.to(dtype);
        const x = fine([2, 24, 69], dtype);
        const mask = toTensor({ shape: [69], data: Float64Array.from({ length: 69 }, (_, i) => (i > 20 && i < 40 ? 0 : 1)) }, 'bool');
        const expected = toValues(noGrad(() => layer.forward(x, mask)) as Tensor).data;
        expect([...expected.slice(3 * 69 + 22, 3 * 69 + 39)], 'empty windows').to.deep.equal(new Array(17).fill(0));
        expect(expected.slice(3 * 69, 4 * 69).every(Number.isFinite)).to.equal(false);
        const [there, maskThere] = [x.to('cuda'), mask.to('cuda')];
        layer.to('cuda');
        const run = () => toValues(noGrad(() => layer.forward(there, maskThere)) as Tensor).data;
        const plain = run();
        await untilFused(run, 1);
        for (const [tier, values] of Object.entries({ plain, fused: run() })) expectNear(values, expected, CHAIN_TOLERANCE[dtype], tier);
      });

      it(`a gradient of ${what} under a hole is 0 in both tiers, in ${dtype}`, async () => {
        // Of length 1, so that the gradient at a cell of x is that at the same cell of the masked input.
        const first = new api.Conv1d(24, 24, 1, { bias: false }).to(dtype);
        const second = new api.PartialConv1d(24, 24, 5, { padding: 2 }).to(dtype);
        const mask = toTensor({ shape: [69], data: Float64Array.from({ length: 69 }, (_, i) => (i === 40 || i === 42 ? 0 : 1)) }, 'bool');
        const wide = fine([2, 24, 69], 'float32', 9);
        wide.data.fill(value, 41, 42);
        const dy = wide.to(dtype);
        const backward = (device: 'cpu' | 'cuda') => {
          const x = fine([2, 24, 69], dtype).to(device);
          x.requiresGrad = true;
          const y = second.to(device).forward(first.to(device).forward(x), mask.to(device)) as Tensor;
          const before = fusedRuns();
          y.backward(dy.to(device));
          return { grad: toValues(x.grad as Tensor).data, fused: fusedRuns() - before };
        };
        const { grad: expected } = backward('cpu');
        expect([expected[40], Number.isFinite(expected[41]), expected[42]]).to.deep.equal([0, false, 0]);
        let { grad, fused } = backward('cuda');
        expectNear(grad, expected, CHAIN_TOLERANCE[dtype], 'plain');
        for (let i = 0; i < (onGpu ? 30 : 300) && fused < 1; i++) {
          await setTimeout(onGpu ? 100 : 2);
          ({ grad, fused } = backward('cuda'));
        }
        if (!onGpu) expect(fused).to.equal(1);
        expectNear(grad, expected, CHAIN_TOLERANCE[dtype], 'fused');
      });
    }
  }

  itOnFake('setAutotune takes the fastest engine, with the same numbers', async () => {
    const layer = new api.PartialConv1d(24, 24, 3, { padding: 1 });
    const [x, mask] = [fine([3, 24, 75], 'float32'), toTensor(generate('sparse', 5, [3, 1, 75]), 'bool')];
    const expected = toValues(noGrad(() => layer.forward(x, mask)) as Tensor).data;
    layer.to('cuda');
    const [there, maskThere] = [x.to('cuda'), mask.to('cuda')];
    fake.set('engines', 2);
    fake.set('fastEngine', 5); // the second of heuristics FALLBACK
    api.setAutotune(true);
    try {
      const forward = () => noGrad(() => layer.forward(there, maskThere)) as Tensor;
      forward();
      expect(fake.get('lastEngine')).to.equal(0);
      const y = await until(() => fake.get('lastEngine') === 5, forward);
      expectNear(toValues(y).data, expected, CHAIN_TOLERANCE.float32);
    } finally {
      api.setAutotune(false);
      fake.set('engines', 1);
      fake.set('fastEngine', -1);
    }
  });
});
