// Prepared masks of one layer, kept by the identity and version of the mask's memory, never by its shape alone.
import { untracked } from '../context';
import { DTYPES, type DType } from '../dtype';
import type { Storage } from '../storage';
import type { Tensor } from '../tensor';
import type { ConvShapes, ConvSpec } from './conv_geometry';
import { type CountSpec, type CountedHoles, holesSteps, maskForm } from './mask_ratio';
import type { FindHoles } from './partial_conv';
import type { Steps } from './steps';

export interface MaskCacheStatistics {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  readonly bytes: number;
}

const MOST_ENTRIES = 16;
const MOST_BYTES = 64 * 2 ** 20;

const ids = new WeakMap<Storage, number>();
let nextId = 1;

/** A number that no other memory ever gets. */
function identity({ origin }: Storage): number {
  let id = ids.get(origin);
  if (id === undefined) {
    id = nextId++;
    ids.set(origin, id);
  }
  return id;
}

const bytesOf = (t: Tensor | null) => (t === null ? 0 : t.size * DTYPES[t.dtype].bytes);

interface Entry {
  readonly holes: CountedHoles;
  /** The mask was used as it is, without a cast: it stays the caller's and has to be put in again. */
  readonly borrowed: boolean;
  readonly bytes: number;
}

/** Least recently used entries leave first, beyond 16 or 64 MiB. */
export class MaskCache {
  private hits = 0;
  private misses = 0;
  private bytes = 0;
  private readonly entries = new Map<string, Entry>();

  constructor(
    private readonly spec: ConvSpec,
    private readonly count: CountSpec,
  ) {}

  get statistics(): MaskCacheStatistics {
    return { hits: this.hits, misses: this.misses, entries: this.entries.size, bytes: this.bytes };
  }

  clear(): void {
    for (const key of [...this.entries.keys()]) this.drop(key);
  }

  /** The prepared mask, from the cache or computed. */
  readonly find: FindHoles = (shapes, dtype, mask) => this.findSteps(shapes, dtype, mask);

  private *findSteps(shapes: ConvShapes, dtype: DType, mask: Tensor | null): Steps<CountedHoles> {
    const key = this.keyOf(shapes, DTYPES[dtype].accumulator, mask);
    const known = key === null ? undefined : this.entries.get(key);
    if (key !== null && known !== undefined) {
      this.hits++;
      this.entries.delete(key);
      this.entries.set(key, known);
      return known.borrowed ? { ...known.holes, mask } : known.holes;
    }
    this.misses++;
    const compute = holesSteps(this.spec, this.count, shapes, dtype, mask);
    if (key === null) return yield* compute;
    const holes = yield* keep(compute);
    this.add(key, holes, mask);
    return holes;
  }

  /**
   * null where the mask must not be remembered: somebody outside may change it unseen.
   * @throws ShapeError if the mask does not fit x: a known mask is checked against every x
   */
  private keyOf(shapes: ConvShapes, accumulator: string, mask: Tensor | null): string | null {
    const form = mask === null ? { n: 1, c: 1 } : maskForm(this.spec, shapes, mask.shape, this.count.multiChannel);
    if (mask?.storage.shared) return null;
    const of = mask === null ? 'none' : `${identity(mask.storage)}:${mask.storage.version}:${mask.dtype}:${form.n},${form.c}`;
    return `${of}|${shapes.c},${shapes.input.join()}|${accumulator}`;
  }

  private add(key: string, holes: CountedHoles, mask: Tensor | null): void {
    const borrowed = mask !== null && holes.mask === mask;
    const bytes = bytesOf(holes.ratio) + bytesOf(holes.updated) + (borrowed ? 0 : bytesOf(holes.mask));
    if (bytes > MOST_BYTES) return;
    this.drop(key); // of another async call with the same mask that ended first
    this.entries.set(key, { holes: borrowed ? { ...holes, mask: null } : holes, borrowed, bytes });
    this.bytes += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= MOST_ENTRIES && this.bytes <= MOST_BYTES) break;
      this.drop(oldest);
    }
  }

  /** Forgets an entry. Its memory is left to garbage collection: a result's graph or a running op may still read it. */
  private drop(key: string): void {
    this.bytes -= this.entries.get(key)?.bytes ?? 0;
    this.entries.delete(key);
  }
}

/** Runs steps so that the tensors they make survive any tidy() around. */
function* keep<T>(steps: Steps<T>): Steps<T> {
  for (;;) {
    const { done, value } = untracked(() => steps.next());
    if (done) return value;
    yield value;
  }
}
