// Prepared masks of one layer, kept by the identity and version of the mask's memory, never by its shape alone.
import { untracked } from '../context';
import type { Device } from '../device';
import { DTYPES, type DType } from '../dtype';
import type { Storage } from '../storage';
import { forget, type Tensor } from '../tensor';
import type { ConvShapes, ConvSpec } from './conv_geometry';
import { sameShape } from './kernels';
import { type CountedHoles, type CountSpec, type HolesOf, holesSteps, maskForm } from './mask_ratio';
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

/** The last lookup: a mask mostly comes again at once. */
interface Recent {
  /** Identity of the mask's memory, 0 without a mask. */
  readonly id: number;
  readonly version: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly device: Device;
  readonly shapes: ConvShapes;
  readonly entry: Entry;
}

const NO_SHAPE: readonly number[] = [];

/** Least recently used entries leave first, beyond 16 or 64 MiB. */
export class MaskCache {
  private hits = 0;
  private misses = 0;
  private bytes = 0;
  private readonly entries = new Map<string, Entry>();
  private recent: Recent | null = null;

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

  /** The prepared mask: from the cache, or the steps that compute it. */
  readonly find: FindHoles = (shapes, of, mask) => {
    if (this.recent !== null && this.isRecent(this.recent, shapes, of, mask)) return this.hit(this.recent.entry, mask);
    const key = this.keyOf(shapes, of, mask);
    if (key === null) {
      this.misses++;
      return holesSteps(this.spec, this.count, shapes, of, mask);
    }
    const known = this.entries.get(key);
    if (known === undefined) return this.compute(key, shapes, of, mask);
    this.entries.delete(key);
    this.entries.set(key, known);
    this.remember(known, shapes, of, mask);
    return this.hit(known, mask);
  };

  private hit({ borrowed, holes }: Entry, mask: Tensor | null): CountedHoles {
    this.hits++;
    return borrowed ? { ...holes, mask } : holes;
  }

  private *compute(key: string, shapes: ConvShapes, of: HolesOf, mask: Tensor | null): Steps<CountedHoles> {
    this.misses++;
    const holes = yield* keep(holesSteps(this.spec, this.count, shapes, of, mask));
    this.add(key, holes, mask);
    return holes;
  }

  private isRecent(recent: Recent, shapes: ConvShapes, { dtype, device }: HolesOf, mask: Tensor | null): boolean {
    if (recent.shapes !== shapes || recent.dtype !== dtype || recent.device !== device) return false;
    if (mask === null) return recent.id === 0;
    const { shared, version } = mask.storage;
    return !shared && recent.id === identity(mask.storage) && recent.version === version && sameShape(recent.shape, mask.shape);
  }

  private remember(entry: Entry, shapes: ConvShapes, { dtype, device }: HolesOf, mask: Tensor | null): void {
    const of =
      mask === null
        ? { id: 0, version: 0, shape: NO_SHAPE }
        : { id: identity(mask.storage), version: mask.storage.version, shape: mask.shape };
    this.recent = { ...of, dtype, device, shapes, entry };
  }

  /**
   * null where the mask must not be remembered: somebody outside may change it unseen.
   * @throws ShapeError if the mask does not fit x: a known mask is checked against every x
   */
  private keyOf(shapes: ConvShapes, { dtype, device }: HolesOf, mask: Tensor | null): string | null {
    const form = mask === null ? { n: 1, c: 1 } : maskForm(this.spec, shapes, mask.shape, this.count.multiChannel);
    if (mask?.storage.shared) return null;
    const of = mask === null ? 'none' : `${identity(mask.storage)}:${mask.storage.version}:${mask.dtype}:${form.n},${form.c}`;
    return `${of}|${shapes.c},${shapes.input.join()}|${DTYPES[dtype].accumulator}|${device}`;
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

  /** Forgets an entry. Its memory on the host is left to garbage collection: a running op may still read it. */
  private drop(key: string): void {
    const entry = this.entries.get(key);
    if (entry !== undefined) forget(entry.holes.ratio, entry.holes.updated, entry.borrowed ? null : entry.holes.mask);
    this.bytes -= entry?.bytes ?? 0;
    this.entries.delete(key);
    if (this.recent?.entry === entry) this.recent = null;
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
