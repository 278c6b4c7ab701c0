// A seeded source of random choices for tests, so that a failing case can be run again.

export class Seeded {
  constructor(private state: number) {}

  /** In [0, 1). mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let h = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    h = (h + Math.imul(h ^ (h >>> 7), 61 | h)) ^ h;
    return ((h ^ (h >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from low to high, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(0, list.length - 1)] as T;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** size numbers. */
  list(size: number, make: () => number): Float64Array {
    return Float64Array.from({ length: size }, make);
  }
}
