// Random convolutions on every instruction set and with one and two threads, against the reference. The time box is
// PARTIALCONV_FUZZ_SECONDS; PARTIALCONV_FUZZ_SEED starts the sequence, and a failure names the seed that runs its case alone.
import { getNumThreads, setNumThreads } from '../ts';
import { native } from '../ts/native';
import { fuzz, fuzzBox, type Ground, type Way } from './support/fuzzed';
import { Guards } from './support/guards';
import { EXACT, expectClose, expectWithin, rounded } from './support/tensors';

const BOX = fuzzBox(8, Date.now() % 2 ** 31);

const chosen = native.getSimd();
const LEVELS = ['baseline', 'avx2', 'avx512'].filter((level) => native.setSimd(level));
native.setSimd(chosen);

describe(`fuzzed convolutions (seed ${BOX.seed}, ${LEVELS.join(', ')})`, () => {
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

  const ways = LEVELS.flatMap((level) =>
    [1, 2].map((count): Way => {
      const enter = () => {
        native.setSimd(level);
        setNumThreads(count);
      };
      return { name: `${level}, ${count} threads`, enter, ground };
    }),
  );

  it(`agree with the reference for ${BOX.seconds} seconds`, function () {
    this.timeout(0);
    fuzz(BOX, ways);
  });
});
