// 'cuda' in tests that a GPU can run too: the fake in every checkout, a GPU with PARTIALCONV_REQUIRE_CUDA=1 (npm run test:gpu), where the
// same cases run, with memory poisoned as the fake poisons its own, and those of on_fake.ts are left out.
import { expect } from 'chai';
import * as api from '../../ts';
import { context } from '../../ts/context';
import { backend } from '../../ts/device';
import { DTYPES } from '../../ts/dtype';
import type { Native } from '../../ts/native';
import { counted, needsFakeCuda } from './on_fake';

/** True where 'cuda' is a GPU. */
export const onGpu = process.env.PARTIALCONV_REQUIRE_CUDA === '1';

const poisoned = new WeakSet<Native>();

/** Every byte of memory that an op is given is 0xff (NaN in every float) before the op runs: what it does not write is seen. Not in a
 * capture, which allows no copy from the host. */
function poison(addon: Native): void {
  if (poisoned.has(addon)) return;
  poisoned.add(addon);
  const { allocate } = addon;
  addon.allocate = (bytes, length) => {
    const buffer = allocate(bytes, length);
    if (bytes > 0 && !context().capturing) addon.upload(new Uint8Array(bytes).fill(0xff), DTYPES.uint8.code, buffer);
    return buffer;
  };
}

/** For the tests of the describe() around: 'cuda' is a device. Without a GPU, PARTIALCONV_REQUIRE_CUDA=1 is a failure, not a skip. */
export function needsCuda(): void {
  if (onGpu) before(requireGpu);
  else needsFakeCuda();
}

function requireGpu(): void {
  const { available, reason } = api.info().cuda;
  if (!available) throw new Error(`PARTIALCONV_REQUIRE_CUDA=1, but 'cuda' is not available: ${reason}`);
  poison(backend('cuda'));
}

/** A test of what only the fake can tell or do: its counts, the failures it injects, its second device. */
export const itOnFake: (title: string, fn: () => unknown) => void = onGpu ? () => {} : it;

/** The same for a whole describe(). */
export const describeOnFake: (title: string, fn: (this: Mocha.Suite) => void) => void = onGpu ? () => {} : describe;

/** Runs fn; on the fake a count must rise by so much while it runs. */
export function expectCounted(name: Parameters<typeof counted>[0], rise: number, fn: () => void): void {
  if (onGpu) fn();
  else expect(counted(name, fn), name).to.equal(rise);
}

export type Precision = 'float64' | 'float32' | 'TF32' | 'float16' | 'bfloat16';

/**
 * What a convolution may differ by, relative to the largest number there is to sum to. The fake rounds nothing to TF32. Operands that a GPU
 * rounds to TF32 differ by 3e-4; one whose kernels drop the bits that TF32 has not, which cuDNN leaves open, by up to 5e-4 in the fuzzer.
 */
export const TOLERANCE: Readonly<Record<Precision, number>> = {
  float64: 1e-11,
  float32: 1e-5,
  TF32: onGpu ? 1e-3 : 1e-5,
  float16: 1e-2,
  bfloat16: 1e-2,
};

/** The same for a chain of some convolutions; of five, should a GPU drop the bits that TF32 has not, where it may round them. */
export const CHAIN_TOLERANCE = { float32: onGpu ? 6e-3 : 1e-5, float16: 1e-2, bfloat16: 6e-2 } as const;

/** Between two runs of one convolution: on a GPU the fused plan may come in between. */
export const RERUN_TOLERANCE = onGpu ? CHAIN_TOLERANCE.float32 : 0;

/** Every number, within a tolerance relative to the largest finite one expected; those that are not finite are the same. */
export function expectNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what = ''): void {
  expect(actual.length, what).to.equal(expected.length);
  const bound = tolerance * Array.from(expected).reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0);
  for (let i = 0; i < expected.length; i++) {
    if (Number.isFinite(expected[i])) expect(actual[i], `${what}[${i}]`).to.be.closeTo(expected[i] as number, bound);
    else expect(actual[i], `${what}[${i}]`).to.deep.equal(expected[i]);
  }
}
