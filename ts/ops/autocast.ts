// autocast: convolutions in 16 bits, and in float32 what needs its range or digits. Casts are recorded, those of weights made once.
import { type AutocastRegion, atEnd, checkFunction, context, untracked, withContext } from '../context';
import { DTYPES, type DType } from '../dtype';
import { DTypeError } from '../errors';
import type { Storage } from '../storage';
import { describe, Tensor } from '../tensor';
import { cast, castSteps, recordCast } from './cast';
import { castTo } from './kernels';
import type { Steps } from './steps';

/** The dtypes that autocast() may compute in. */
export type AutocastDType = AutocastRegion['dtype'];

/** Those that it casts: not float64, complex numbers and integers. */
const isCast = (dtype: DType): boolean => DTYPES[dtype].kind === 'float' && dtype !== 'float64';

/** One autocast(), with the casts of weights made in it. */
class Region implements AutocastRegion {
  private readonly casts = new Map<Storage, { readonly version: number; readonly values: Tensor }>();
  private ended = false;

  constructor(readonly dtype: AutocastDType) {}

  /** A parameter in the region's dtype: cast once for each version, while nobody can change it unseen. The handle is the caller's. */
  parameter(op: string, t: Tensor): Tensor {
    const { origin, version, shared } = t.storage;
    if (this.ended || shared || !t.isLeaf) return cast(t, this.dtype);
    let known = this.casts.get(origin);
    if (known?.version !== version) {
      known?.values.dispose();
      known = { version, values: untracked(() => castTo(t, this.dtype, op)) };
      this.casts.set(origin, known);
    }
    // Each use has a node of its own: backward() frees those that it has gone through.
    return recordCast(t, known.values.view(t.shape));
  }

  end(): void {
    this.ended = true;
    for (const { values } of this.casts.values()) values.dispose();
    this.casts.clear();
  }
}

/**
 * Runs fn with convolutions (plain, partial, masked) and prelu in 16 bits, summed in float32: their operands of float32 or another 16-bit
 * dtype are cast, each parameter once, and the gradient goes back through the cast to the float32 parameter. exp, log, pow, sum and the
 * losses compute 16-bit operands in float32 and return that; norms compute a 16-bit x beside float32 parameters in float32 and return x's
 * dtype. All other ops follow their operands, mixed ones in the wider dtype. Masks, ratios and returned masks stay in float32; float64,
 * complex numbers and integers as they are. backward() computes in the dtypes of the forward pass, wherever it is called. Works with async
 * functions.
 * Source: PyTorch, torch.autocast, with the lists of its CUDA backend on every device (its CPU backend leaves exp, log, pow and sum out).
 * @param dtype 'bfloat16' (float32's range), 'float16' (three more bits; train it with a GradScaler), or null: off, inside another
 * @returns what fn returns
 * @throws DTypeError for another dtype, or if fn is no function
 */
export function autocast<T>(dtype: AutocastDType | null, fn: () => T): T {
  if (dtype !== 'float16' && dtype !== 'bfloat16' && dtype !== null)
    throw new DTypeError(`autocast: expected the dtype 'float16' or 'bfloat16', or null to switch it off, but got ${describe(dtype)}`);
  checkFunction('autocast', fn);
  const region = dtype && new Region(dtype);
  return atEnd(
    () => withContext({ autocast: region }, fn),
    () => region?.end(),
  );
}

/** What autocast() casts of an op. */
interface Operands {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}

/** The steps of an op that autocast() runs in 16 bits; `given`: the operands before they were cast, the same object where they are not. */
export function autocastSteps<C extends Operands, T>(op: string, given: C, body: (call: C, given: C) => Steps<T>): Steps<T> {
  const region = context().autocast as Region | null;
  return region === null ? body(given, given) : castAndRun(region, op, given, body);
}

// What is no live tensor is left for the op to refuse.
const needsCast = (t: unknown, dtype: DType): t is Tensor => t instanceof Tensor && !t.disposed && t.dtype !== dtype && isCast(t.dtype);

function* castAndRun<C extends Operands, T>(region: Region, op: string, given: C, body: (call: C, given: C) => Steps<T>): Steps<T> {
  const made: Tensor[] = [];
  const keep = (t: Tensor): Tensor => {
    made.push(t);
    return t;
  };
  const { dtype } = region;
  const parameter = <V>(t: V) => (needsCast(t, dtype) ? keep(region.parameter(op, t)) : t);
  try {
    const x = needsCast(given.x, dtype) ? keep(yield* castSteps(op, given.x, dtype)) : given.x;
    return yield* body({ ...given, x, weight: parameter(given.weight), bias: parameter(given.bias) }, given);
  } finally {
    for (const t of made) t.dispose(); // the graph holds what it needs
  }
}

/** As autocastSteps(), for an op without steps. */
export function autocastNarrow(op: string, x: Tensor, weight: Tensor, run: (x: Tensor, weight: Tensor) => Tensor): Tensor {
  const region = context().autocast as Region | null;
  if (region === null) return run(x, weight);
  const narrow = needsCast(x, region.dtype) ? cast(x, region.dtype) : x;
  const parameter = needsCast(weight, region.dtype) ? region.parameter(op, weight) : weight;
  const y = run(narrow, parameter);
  for (const t of [narrow, parameter]) if (t !== x && t !== weight) t.dispose();
  return y;
}

/** x as autocast() has it for an op that it runs in float32. */
export const autocastWide = <V>(x: V): V => (context().autocast !== null && is16Bit(x) ? (cast(x, 'float32') as V) : x);

/** The dtype of a mask that an op without steps returns beside x: in autocast() not of x's 16 bits. */
export const autocastMaskDtype = (x: Tensor): DType => (context().autocast === null ? x.dtype : DTYPES[x.dtype].accumulator);

/** True inside autocast() where x is of 16 bits and one of the others is float32. */
export const mixesInAutocast = (x: Tensor, others: readonly (Tensor | null | undefined)[]): boolean =>
  context().autocast !== null && is16Bit(x) && others.some((t) => t?.dtype === 'float32');

const is16Bit = (x: unknown): x is Tensor => x instanceof Tensor && !x.disposed && DTYPES[x.dtype].bytes === 2;
