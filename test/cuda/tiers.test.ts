// Two tiers of plans on 'cuda': the plain one at once, the fused one from a thread of its own, with the same numbers and one kernel less.
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import * as api from '../../ts';
import { type DType, noGrad, type Tensor } from '../../ts';
import { generate } from '../goldens/load';
import { onDevice, toTensor, toValues } from '../support/tensors';
import { fake } from './on_fake';
import { CHAIN_TOLERANCE, expectNear, needsCuda, onGpu } from './on_gpu';

const fine = (shape: readonly number[], dtype: DType, seed = 3) => toTensor(generate('fine', seed, shape), dtype);

describe('tiers of plans', () => {
  needsCuda();
  if (!onGpu) {
    before(() => fake.set('refuseFused', 0));
    after(() => fake.set('refuseFused', 1));
  }

  /** Launches of a kernel, the epilogue's at first; none are counted on a GPU. */
  const launches = (kernel = '::FromImage') => (onGpu ? 0 : fake.launchesOf(kernel));

  /** Calls fn until a fused plan has run as often as given in one call; on a GPU, for the time that compiling the plans takes. */
  async function untilFused(fn: () => void, times: number): Promise<void> {
    if (onGpu) {
      for (let i = 0; i < 30; i++) {
        fn();
        await setTimeout(50 * times);
      }
      return;
    }
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
        const [there, maskThere] = [x.to('cuda'), mask?.to('cuda') ?? null];
        layer.to('cuda');
        let y = noGrad(() => layer.forward(there, maskThere)) as Tensor;
        const plain = toValues(y).data;
        const run = () => {
          y = noGrad(() => layer.forward(there, maskThere)) as Tensor;
        };
        const epilogues = launches();
        await untilFused(run, 1);
        const before = launches();
        run();
        expect(launches(), 'epilogues').to.equal(before).and.to.be.at.least(epilogues);
        const tolerance = { ...CHAIN_TOLERANCE, float16: 4e-3, bfloat16: 3e-2 }[dtype];
        for (const [tier, values] of Object.entries({ fused: toValues(y).data, plain }))
          expectNear(values, toValues(expected).data, tolerance, tier);
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
    const [layouts, epilogues] = [launches('::ToImage'), launches()];
    run();
    if (!onGpu) expect([launches('::ToImage') - layouts, launches() - epilogues]).to.deep.equal([1, 0]);
    expectNear(toValues(y).data, expected, CHAIN_TOLERANCE.float32);
  });
});
