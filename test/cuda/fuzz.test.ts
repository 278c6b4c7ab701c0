// Random convolutions on 'cuda' against the reference, float32 with and without TF32. PARTIALCONV_FUZZ_SECONDS and PARTIALCONV_FUZZ_SEED
// as in test/fuzz.test.ts; the default seed is always the same.
import { expect } from 'chai';
import { setAllowTF32 } from '../../ts';
import { DTYPES } from '../../ts/dtype';
import { fuzz, fuzzBox, type Ground, type Way } from '../support/fuzzed';
import { toTensor, toValues } from '../support/tensors';
import { needsCuda, onGpu, type Precision, TOLERANCE } from './on_gpu';

const BOX = fuzzBox(onGpu ? 30 : 8, 20261121);

const ground = (allowTF32: boolean): Ground => ({
  device: 'cuda',
  shared: (v, dtype) => toTensor(v, dtype).to('cuda'),
  checkMemory() {},
  compare({ dtype }, actual, expected, size, _terms, what) {
    const { real } = DTYPES[dtype];
    const precision = (real === 'float32' && allowTF32 ? 'TF32' : real) as Precision;
    const bound = TOLERANCE[precision] * size.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    const { shape, data } = toValues(actual);
    expect([...shape], what).to.deep.equal([...expected.shape]);
    for (const [i, e] of expected.data.entries())
      if (!(Math.abs((data[i] as number) - e) <= bound)) expect.fail(`${what}[${i}] is ${data[i]}, expected ${e} within ${bound}`);
  },
});

describe(`fuzzed convolutions on 'cuda' (seed ${BOX.seed})`, () => {
  needsCuda();
  after(() => setAllowTF32(true));

  const ways = [false, true].map((allow): Way => ({ name: `TF32 ${allow}`, enter: () => setAllowTF32(allow), ground: ground(allow) }));

  it(`agree with the reference for ${BOX.seconds} seconds`, function () {
    this.timeout(0);
    fuzz(BOX, ways);
  });
});
