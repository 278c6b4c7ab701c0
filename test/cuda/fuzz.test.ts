// Random convolutions on 'cuda' against the reference, float32 with and without TF32. PARTIALCONV_FUZZ_SECONDS and PARTIALCONV_FUZZ_SEED
// as in test/fuzz.test.ts; the default seed is always the same.
import { expect } from 'chai';
import { setAllowTF32 } from '../../ts';
import { DTYPES } from '../../ts/dtype';
import { randomCase } from '../support/conv_cases';
import { Fuzzed, type Ground } from '../support/fuzzed';
import { Seeded } from '../support/seeded';
import { toTensor, toValues } from '../support/tensors';
import { needsCuda, onGpu, type Precision, TOLERANCE } from './on_gpu';

const SECONDS = Number(process.env.PARTIALCONV_FUZZ_SECONDS ?? (onGpu ? 30 : 8));
const SEED = Number(process.env.PARTIALCONV_FUZZ_SEED ?? 20261121);

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

describe(`fuzzed convolutions on 'cuda' (seed ${SEED})`, () => {
  needsCuda();
  after(() => setAllowTF32(true));

  it(`agree with the reference for ${SECONDS} seconds`, function () {
    this.timeout(0);
    const end = performance.now() + SECONDS * 1000;
    let seed = SEED;
    do {
      const seeded = new Seeded(seed);
      const c = randomCase(seeded);
      const fuzzed = new Fuzzed(c, seeded);
      for (const allowTF32 of [false, true]) {
        setAllowTF32(allowTF32);
        try {
          fuzzed.check(ground(allowTF32));
        } catch (error) {
          const how = `PARTIALCONV_FUZZ_SEED=${seed} PARTIALCONV_FUZZ_SECONDS=0 runs this case alone`;
          const message = error instanceof Error ? error.message : String(error);
          throw new Error(`TF32 ${allowTF32}, ${JSON.stringify(c)}\n${how}\n${message}`, { cause: error });
        }
      }
      seed = (seed + 1) % 2 ** 31;
    } while (performance.now() < end);
  });
});
