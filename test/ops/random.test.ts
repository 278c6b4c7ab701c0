// The seeded generator: PyTorch's streams bit for bit, its state across calls, seeds, dtypes, workers.
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { DTypeError, manualSeed, rand, randn, ShapeError, type Tensor, tensor, zeros } from '../../ts';
import { uniform } from '../../ts/random';
import { type DrawStep, encodeBits, load, numbers } from '../goldens/load';
import { values } from '../reference';
import { expectClose, isComplex, toleranceOf } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const golden = load('rng');

const bitsOf = (t: Tensor): string => encodeBits(t.readSync() as Float32Array | Float64Array | Uint16Array);

/** Draws as PyTorch did and compares: bits, or values where PyTorch's own are not bit for bit the same on every machine. */
function check({ op, shape, dtype, bits, data }: DrawStep, what: string): void {
  const t = (op === 'rand' ? rand : randn)(shape, { dtype });
  expect([t.dtype, [...t.shape]], what).to.deep.equal([dtype, shape]);
  if (bits !== undefined) expect(bitsOf(t), what).to.equal(bits);
  else expectClose(t, values(shape, numbers(data ?? [], dtype), isComplex(dtype)), toleranceOf(dtype), what);
}

describe('the generator', () => {
  for (const op of ['rand', 'randn'] as const) {
    it(`${op} is PyTorch's for every dtype, seed and size, and uses up as much`, () => {
      for (const draw of golden.draws.filter((d) => d.op === op)) {
        const what = `${op} ${draw.dtype} [${draw.shape}] seed ${draw.seed}`;
        manualSeed(BigInt(draw.seed));
        check(draw, what);
        expect(bitsOf(rand([1])), `${what}: the next number`).to.equal(draw.next);
      }
    });
  }

  for (const { name, seed, steps } of golden.sequences) {
    it(`${name}, seed ${seed}`, () => {
      manualSeed(BigInt(seed));
      steps.forEach((step, i) => {
        check(step, `step ${i}`);
      });
    });
  }

  it('starts as documented: the first words for 42', () => {
    manualSeed(42);
    const first = [1608637542, 3421126067, 4083286876, 787846414].map((word) => (word & 0xffffff) / 2 ** 24);
    expect(rand([4]).toArray()).to.deep.equal(first);
  });

  it('takes only the low 32 bits of a seed, negative ones modulo 2^64', () => {
    const drawn = (seed: number | bigint) => {
      manualSeed(seed);
      return rand([3]).toArray();
    };
    expect(drawn(42)).to.deep.equal(drawn(42n + 2n ** 32n));
    expect(drawn(-1)).to.deep.equal(drawn(2n ** 64n - 1n));
    expect(drawn(-1)).to.deep.equal(drawn(0xffffffff));
    expect(drawn(-0)).to.deep.equal(drawn(0));
    expect(drawn(1)).to.not.deep.equal(drawn(2));
  });

  it('fills a range with one rounding: fma(u, to - from, from)', () => {
    manualSeed(42);
    const x = zeros([1000], { dtype: 'float64' });
    uniform(x, -0.3, 0.7);
    manualSeed(42);
    const u = rand([1000], { dtype: 'float64' }).readSync();
    const array = x.readSync();
    expect(array.every((v, i) => Math.abs(v - ((u[i] as number) - 0.3)) < 1e-15 && v >= -0.3 && v < 0.7)).to.equal(true);
    expect(x.storage.version).to.equal(1);
  });

  it('never gives the excluded end, whatever the rounding', () => {
    manualSeed(0);
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const x = rand([200_000], { dtype }).to('float32').readSync();
      expect(
        x.every((v) => v >= 0 && v < 1),
        dtype,
      ).to.equal(true);
    }
  });

  it('differs from start to start without a seed', async () => {
    const draw = () => {
      const script = `require('tsx/cjs'); const { rand } = require(${JSON.stringify(join(__dirname, '..', '..', 'ts', 'index.ts'))});
        require('node:worker_threads').parentPort.postMessage(rand([4]).toArray().join());`;
      return once(new Worker(script, { eval: true }), 'message') as Promise<string[]>;
    };
    const [[a], [b]] = [await draw(), await draw()];
    expect(a).to.not.equal(b);
  });

  it('belongs to one thread: a worker’s draws leave the others alone', async () => {
    const script = `require('tsx/cjs'); const { manualSeed, rand } = require(${JSON.stringify(join(__dirname, '..', '..', 'ts', 'index.ts'))});
      manualSeed(7); rand([5]); require('node:worker_threads').parentPort.postMessage(rand([2]).toArray());`;
    manualSeed(7);
    rand([5]);
    const [theirs] = (await once(new Worker(script, { eval: true }), 'message')) as [number[]];
    expect(rand([2]).toArray()).to.deep.equal(theirs);
  });

  it('says what it does not take', () => {
    expect(expectTyped(() => manualSeed('42' as unknown as number)).message).to.equal(
      'manualSeed: expected a number or a bigint, but got "42"',
    );
    expect(expectTyped(() => manualSeed(undefined as unknown as number))).to.be.instanceOf(DTypeError);
    for (const seed of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(expectTyped(() => manualSeed(seed))).to.be.instanceOf(ShapeError);
    }
    expect(expectTyped(() => manualSeed(2n ** 64n)).message).to.equal(
      'manualSeed: expected an integer from -2^63 to 2^64 - 1, but got 18446744073709551616',
    );
    expect(expectTyped(() => manualSeed(-(2n ** 63n) - 1n))).to.be.instanceOf(ShapeError);
    expect(expectTyped(() => rand([2], { dtype: 'int32' })).message).to.equal(
      'rand: expected a floating point or complex dtype, but got int32',
    );
    expect(expectTyped(() => randn([2], { dtype: 'bool' })).message).to.equal(
      'randn: expected a floating point or complex dtype, but got bool',
    );
  });

  it('leaves the numbers that no draw asked for', () => {
    manualSeed(3);
    const next = rand([1]).item();
    manualSeed(3);
    expect(expectTyped(() => rand([2], { dtype: 'int32' }))).to.be.instanceOf(DTypeError);
    expect(tensor(rand([1])).item()).to.equal(next);
  });
});
