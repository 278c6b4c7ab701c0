// Two tiers of plans on 'cuda': the plain one at once, the fused one from a thread of its own, with the same numbers and one kernel less.
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import * as api from '../../ts';
import { type DType, noGrad, type Tensor } from '../../ts';
import { generate } from '../goldens/load';
import { onDevice, toTensor, toValues } from '../support/tensors';
import { fake, needsFakeCuda } from './on_fake';

const fine = (shape: readonly number[], dtype: DType, seed = 3) => toTensor(generate('fine', seed, shape), dtype);

describe('tiers of plans', () => {
  needsFakeCuda();
  before(() => fake.set('refuseFused', 0));
  after(() => fake.set('refuseFused', 1));

  /** Calls fn until a fused plan has run as often as given in one call. */
  async function untilFused(fn: () => void, times: number): Promise<void> {
    for (let i = 0; i < 300; i++) {
      const before = fake.get('fused');
      fn();
      if (fake.get('fused') - before === times) return;
      await setTimeout(2);
    }
    expect.fail(`no call ran ${times} fused plans`);
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
        const [onGpu, mOnGpu] = [x.to('cuda'), mask?.to('cuda') ?? null];
        layer.to('cuda');
        let y = noGrad(() => layer.forward(onGpu, mOnGpu)) as Tensor;
        const plain = toValues(y).data;
        const epilogues = fake.launchesOf('::FromImage');
        await untilFused(() => {
          y = noGrad(() => layer.forward(onGpu, mOnGpu)) as Tensor;
        }, 1);
        const before = fake.launchesOf('::FromImage');
        y = noGrad(() => layer.forward(onGpu, mOnGpu)) as Tensor;
        expect(fake.launchesOf('::FromImage'), 'epilogues').to.equal(before).and.to.be.at.least(epilogues);
        const values = toValues(y).data;
        const bound = { float32: 1e-5, float16: 4e-3, bfloat16: 3e-2 }[dtype] * Math.max(...toValues(expected).data.map(Math.abs));
        for (const [i, e] of toValues(expected).data.entries()) {
          expect(values[i], `fused [${i}]`).to.be.closeTo(e, bound);
          expect(plain[i], `plain [${i}]`).to.be.closeTo(e, bound);
        }
      });
    }
  }

  it('a chain of fused convolutions has one layout kernel, and zeros beyond the last column', async () => {
    const net = new api.Sequential(...[0, 1, 2].map(() => new api.Conv1d(24, 24, 3, { padding: 1 })));
    const x = fine([2, 24, 71], 'float32');
    const expected = toValues(noGrad(() => net.forward(x))).data;
    net.to('cuda');
    const there = onDevice('cuda', () => x.to('cuda'));
    let y: Tensor = there;
    const run = () => {
      y = noGrad(() => net.forward(there));
    };
    await untilFused(run, 3);
    const [layouts, epilogues] = [fake.launchesOf('::ToImage'), fake.launchesOf('::FromImage')];
    run();
    expect([fake.launchesOf('::ToImage') - layouts, fake.launchesOf('::FromImage') - epilogues]).to.deep.equal([1, 0]);
    for (const [i, v] of toValues(y).data.entries()) expect(v, `[${i}]`).to.be.closeTo(expected[i] as number, 1e-3);
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
      let fused = 0;
      let epilogues = 0;
      let grads: (typeof expected)[number][] = [];
      for (let i = 0; i < 300 && fused < 2; i++) {
        await setTimeout(2);
        grads = backward('cuda', (pass) => {
          const before = [fake.get('fused'), fake.launchesOf('::FromImage')] as const;
          pass();
          fused = fake.get('fused') - before[0];
          epilogues = fake.launchesOf('::FromImage') - before[1];
        });
      }
      expect([fused, epilogues]).to.deep.equal([2, 1]); // the first layer's dx is dense
      for (const [k, values] of expected.entries()) {
        const bound = { float32: 1e-4, float16: 2e-2, bfloat16: 1e-1 }[dtype] * Math.max(...values.map(Math.abs), 1e-3);
        for (const [i, v] of values.entries()) expect(grads[k]?.[i], `${k}[${i}]`).to.be.closeTo(v, bound);
      }
    });
  }

  it('setAutotune takes the fastest engine, with the same numbers', async () => {
    const layer = new api.PartialConv1d(24, 24, 3, { padding: 1 });
    const [x, mask] = [fine([3, 24, 75], 'float32'), toTensor(generate('sparse', 5, [3, 1, 75]), 'bool')];
    const expected = toValues(noGrad(() => layer.forward(x, mask)) as Tensor).data;
    layer.to('cuda');
    const [onGpu, mOnGpu] = [x.to('cuda'), mask.to('cuda')];
    fake.set('engines', 2);
    fake.set('fastEngine', 5); // the second of heuristics FALLBACK
    api.setAutotune(true);
    try {
      let y = noGrad(() => layer.forward(onGpu, mOnGpu)) as Tensor;
      expect(fake.get('lastEngine')).to.equal(0);
      for (let i = 0; i < 300 && fake.get('lastEngine') !== 5; i++) {
        await setTimeout(2);
        y = noGrad(() => layer.forward(onGpu, mOnGpu)) as Tensor;
      }
      expect(fake.get('lastEngine')).to.equal(5);
      for (const [i, v] of toValues(y).data.entries()) expect(v, `[${i}]`).to.be.closeTo(expected[i] as number, 1e-4);
    } finally {
      api.setAutotune(false);
      fake.set('engines', 1);
      fake.set('fastEngine', -1);
    }
    expect(() => api.setAutotune(1 as unknown as boolean)).to.throw(
      api.ShapeError,
      'setAutotune: expected a boolean, but got a value of type number',
    );
  });
});
