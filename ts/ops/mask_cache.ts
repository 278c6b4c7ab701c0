// Prepared masks of one layer, kept by the identity and version of the mask's memory, never by its shape alone.
import { context, untracked } from '../context';
import type { Device } from '../device';
import { DTYPES, type DType } from '../dtype';
import { forget, type Tensor } from '../tensor';
import type { ConvShapes, ConvSpec } from './conv_geometry';
import { sameShape } from './kernels';
import { type MaskIdentity, maskIdentity } from './mask_identity';
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

const bytesOf = (t: Tensor | null) => (t === null ? 0 : t.size * DTYPES[t.dtype].bytes);

interface Entry {
  readonly holes: CountedHoles;
  /** The mask was used as it is, without a cast: it stays the caller's and has to be put in again. */
  readonly borrowed: boolean;
  readonly bytes: number;
}

/** The last lookup: a mask mostly comes again at once. */
interface Recent {
  readonly identity: MaskIdentity;
  readonly maskDtype: DType | undefined;
  readonly maskShape: readonly number[];
  readonly dtype: DType;
  readonly device: Device;
  readonly shapes: ConvShapes;
  readonly entry: Entry;
}

const NO_MASK: MaskIdentity = { id: 0, version: 0 };
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
    if (known === undefined)
      return context().capturing ? holesSteps(this.spec, this.count, shapes, of, mask) : this.compute(key, shapes, of, mask);
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
    return this.add(key, { ...holes, kept: true }, mask) ?? holes;
  }

  private isRecent(recent: Recent, shapes: ConvShapes, { dtype, device }: HolesOf, mask: Tensor | null): boolean {
    if (recent.shapes !== shapes || recent.dtype !== dtype || recent.device !== device) return false;
    const identity = mask === null ? NO_MASK : maskIdentity(mask);
    const { id, version } = recent.identity;
    if (identity?.id !== id || identity.version !== version) return false;
    return recent.maskDtype === mask?.dtype && sameShape(recent.maskShape, mask?.shape ?? NO_SHAPE);
  }

  private remember(entry: Entry, shapes: ConvShapes, { dtype, device }: HolesOf, mask: Tensor | null): void {
    const identity = mask === null ? NO_MASK : maskIdentity(mask);
    const ofMask = { maskDtype: mask?.dtype, maskShape: mask?.shape ?? NO_SHAPE };
    if (identity !== null) this.recent = { identity, ...ofMask, dtype, device, shapes, entry };
  }

  /**
   * null where the mask must not be remembered: somebody outside may change it unseen.
   * @throws ShapeError if the mask does not fit x: a known mask is checked against every x
   */
  private keyOf(shapes: ConvShapes, { dtype, device }: HolesOf, mask: Tensor | null): string | null {
    const form = mask === null ? { n: 1, c: 1 } : maskForm(this.spec, shapes, mask.shape, this.count.multiChannel);
    const identity = mask === null ? NO_MASK : maskIdentity(mask);
    if (identity === null) return null;
    const of = `${identity.id}:${identity.version}:${mask?.dtype}:${form.n},${form.c}`;
    return `${of}|${shapes.c},${shapes.input.join()}|${DTYPES[dtype].accumulator}|${device}`;
  }

  /** The holes where they are kept; undefined: they are too large. */
  private add(key: string, holes: CountedHoles, mask: Tensor | null): CountedHoles | undefined {
    const borrowed = mask !== null && holes.mask === mask;
    const bytes = bytesOf(holes.ratio) + bytesOf(holes.updated) + (borrowed ? 0 : bytesOf(holes.mask));
    if (bytes > MOST_BYTES) return undefined;
    this.drop(key); // of another async call with the same mask that ended first
    this.entries.set(key, { holes: borrowed ? { ...holes, mask: null } : holes, borrowed, bytes });
    this.bytes += bytes;
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= MOST_ENTRIES && this.bytes <= MOST_BYTES) break;
      this.drop(oldest);
    }
    return holes;
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
