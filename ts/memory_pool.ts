// Large memory of disposed tensors, kept for a moment for the next result of the same size: to a training loop the system would otherwise
// give, clear and take back the same pages in every step.
import { native } from './native';

/** Bytes from which the disposed memory of a tensor is kept. */
const LEAST = 128 << 10;
/** Bytes that are kept at most, in all. */
const MOST = 256 << 20;
/** Bytes from which new memory is asked for in large pages; NumPy's limit (NUMPY_MADVISE_HUGEPAGE in its reference). */
const LARGE = 4 << 20;
/** Milliseconds after which what nobody asked for goes. */
const PATIENCE = 500;

interface Kept {
  readonly buffer: ArrayBuffer;
  /** Given back before the last look. */
  old: boolean;
}

class MemoryPool {
  private readonly kept: Kept[] = []; // the last one given is the last
  private bytes = 0;
  private timer: NodeJS.Timeout | null = null;

  /** Memory of exactly that many bytes; contents undefined, unless `zeroed`. */
  take(bytes: number, zeroed = false): ArrayBuffer {
    const at = bytes < LEAST ? -1 : this.kept.findLastIndex(({ buffer }) => buffer.byteLength === bytes);
    const [found] = at < 0 ? [] : this.kept.splice(at, 1);
    if (found === undefined) return zeroed ? new ArrayBuffer(bytes) : fresh(bytes);
    this.bytes -= bytes;
    if (zeroed) new Uint8Array(found.buffer).fill(0);
    return found.buffer;
  }

  /** The memory is nobody's any more. */
  give(buffer: ArrayBuffer): void {
    const { byteLength } = buffer;
    if (byteLength < LEAST || byteLength > MOST) {
      native.release(buffer);
      return;
    }
    this.kept.push({ buffer, old: false });
    this.bytes += byteLength;
    while (this.bytes > MOST) this.drop(1);
    this.timer ??= setInterval(() => this.look(), PATIENCE).unref();
  }

  private drop(count: number): void {
    for (const { buffer } of this.kept.splice(0, count)) {
      this.bytes -= buffer.byteLength;
      native.release(buffer);
    }
  }

  private look(): void {
    const young = this.kept.findIndex(({ old }) => !old);
    this.drop(young < 0 ? this.kept.length : young);
    for (const entry of this.kept) entry.old = true;
    if (this.kept.length > 0 || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }
}

function fresh(bytes: number): ArrayBuffer {
  const { buffer } = Buffer.allocUnsafeSlow(bytes);
  if (bytes >= LARGE) native.preferLargePages(buffer);
  return buffer;
}

export const memoryPool = new MemoryPool();
