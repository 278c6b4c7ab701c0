// Random convolutions on every instruction set and with one and two threads, against the reference. The time box is
// PARTIALCONV_FUZZ_SECONDS; PARTIALCONV_FUZZ_SEED starts the sequence, and a failure names the seed that runs its case alone.
import { getNumThreads, setNumThreads } from '../ts';
import { native } from '../ts/native';
import { randomCase } from './support/conv_cases';
import { Fuzzed, type Ground } from './support/fuzzed';
import { Guards } from './support/guards';
import { Seeded } from './support/seeded';
import { EXACT, expectClose, expectWithin, rounded } from './support/tensors';

const SECONDS = Number(process.env.PARTIALCONV_FUZZ_SECONDS ?? 8);
const SEED = Number(process.env.PARTIALCONV_FUZZ_SEED ?? Date.now() % 2 ** 31);

const chosen = native.getSimd();
const LEVELS = ['baseline', 'neon', 'avx2', 'avx512'].filter((level) => native.setSimd(level));
native.setSimd(chosen);

describe(`fuzzed convolutions (seed ${SEED}, ${LEVELS.join(', ')})`, () => {
  const threads = getNumThreads();
  const guards = new Guards();

  const ground: Ground = {
    device: 'cpu',
    shared: (v, dtype) => guards.shared(v, dtype),
    checkMemory: () => guards.check(),
    compare({ partial, dtype }, actual, expected, size, terms, what) {
      if (partial) expectWithin(actual, expected, size, 8 + terms, what);
      else expectClose(actual, { ...expected, data: expected.data.map((v) => rounded(v, dtype)) }, EXACT, what);
    },
  };

  before(() => guards.install());
  after(() => {
    guards.remove();
    native.setSimd(chosen);
    setNumThreads(threads);
  });

  it(`agree with the reference for ${SECONDS} seconds`, function () {
    this.timeout(0);
    const end = performance.now() + SECONDS * 1000;
    let seed = SEED;
    do {
      const seeded = new Seeded(seed);
      const c = randomCase(seeded);
      const fuzzed = new Fuzzed(c, seeded);
      for (const level of LEVELS)
        for (const count of [1, 2]) {
          native.setSimd(level);
          setNumThreads(count);
          try {
            fuzzed.check(ground);
          } catch (error) {
            const how = `PARTIALCONV_FUZZ_SEED=${seed} PARTIALCONV_FUZZ_SECONDS=0 runs this case alone`;
            throw new Error(`${level}, ${count} threads, ${JSON.stringify(c)}\n${how}\n${error instanceof Error ? error.message : error}`, {
              cause: error,
            });
          }
        }
      seed = (seed + 1) % 2 ** 31;
    } while (performance.now() < end);
  });
});
