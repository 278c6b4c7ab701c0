// The seeded generator of this environment (main thread or worker): PyTorch's on the CPU, bit for bit.
import { backend, isDeviceBuffer } from './device';
import { DTYPES } from './dtype';
import { DTypeError, ShapeError } from './errors';
import { type Memory, native } from './native';
import { describe, type Tensor } from './tensor';

const STATE_WORDS = 628; // sizeof(Generator) / 4 in native/ops/random.cc

let state: Int32Array | null = null;

function seeded(low32: number): Int32Array {
  const words = new Int32Array(STATE_WORDS);
  native.randomSeed(low32, words, DTYPES.int32.code);
  return words;
}

/** The state, which starts at a random place unless manualSeed() was called. */
function generator(): Int32Array {
  state ??= seeded(Math.floor(Math.random() * 2 ** 32));
  return state;
}

/**
 * Starts the generator that rand(), randn() and the layers' initialisation draw from. The same seed gives the same numbers as
 * torch.manual_seed on the CPU. Each worker thread has a generator of its own.
 * @param seed an integer from -2^63 to 2^64 - 1 (negative ones modulo 2^64); only its low 32 bits matter
 * @throws DTypeError if it is neither a number nor a bigint, ShapeError if it is not an integer in range
 */
export function manualSeed(seed: number | bigint): void {
  if (typeof seed !== 'number' && typeof seed !== 'bigint')
    throw new DTypeError(`manualSeed: expected a number or a bigint, but got ${describe(seed)}`);
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
    throw new ShapeError(`manualSeed: expected an integer that a number holds exactly (a bigint holds larger ones), but got ${seed}`);
  }
  const exact = BigInt(seed);
  if (exact < -(2n ** 63n) || exact >= 2n ** 64n)
    throw new ShapeError(`manualSeed: expected an integer from -2^63 to 2^64 - 1, but got ${seed}`);
  state = seeded(Number(BigInt.asUintN(32, exact)));
}

/** Fills t with what `draw` puts into an array on the host: a seed gives the same numbers on every device. */
function fill(t: Tensor, op: string, draw: (array: Memory) => void): void {
  const memory = t.rawForWrite(op);
  if (!isDeviceBuffer(memory)) {
    draw(memory);
    return;
  }
  const { array: ArrayType, lanes } = DTYPES[t.dtype];
  const array = new ArrayType(t.size * lanes);
  draw(array);
  backend(t.device).upload(array, t.code, memory);
}

/** @internal Fills t (floating point or complex) with uniform numbers in [from, to); the parts of complex numbers alike. */
export function uniform(t: Tensor, from: number, to: number, op = 'uniform'): void {
  fill(t, op, (array) => native.randomUniform(from, to, generator(), DTYPES.int32.code, array, t.code));
}

/** @internal Fills t (floating point or complex) with normal numbers; a complex number's variance is shared by its parts. */
export function normal(t: Tensor, mean: number, std: number, op = 'normal'): void {
  fill(t, op, (array) => native.randomNormal(mean, std, generator(), DTYPES.int32.code, array, t.code));
}
