// What holds for the code inside a callback: whether gradients are recorded, and which tensors tidy() will free.
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Context {
  readonly recording: boolean;
  /** Collects the tensors made inside the innermost tidy(). */
  readonly scope: Set<Disposable> | null;
}

const TOP: Context = { recording: true, scope: null };
const storage = new AsyncLocalStorage<Context>();
let current: Context = TOP;
let asyncContexts = 0;

/** The context of the running code. Synchronous callbacks use a plain variable; only async functions pay for tracking. */
export const context = (): Context => (asyncContexts > 0 ? (storage.getStore() ?? current) : current);

const isAsync = (fn: unknown): boolean => Object.prototype.toString.call(fn) === '[object AsyncFunction]';

/** Runs fn with a changed context; an async function keeps it across its awaits. */
export function withContext<T>(change: Partial<Context>, fn: () => T): T {
  const inner = { ...context(), ...change };
  if (isAsync(fn)) {
    asyncContexts++;
    const promise = storage.run(inner, fn) as Promise<unknown> & T;
    const done = () => void asyncContexts--;
    promise.then(done, done);
    return promise;
  }
  const outer = current;
  current = inner;
  try {
    return asyncContexts > 0 ? storage.run(inner, fn) : fn();
  } finally {
    current = outer;
  }
}

/** Runs fn so that what it makes survives any tidy() around and records no gradient: for values that are kept. */
export const untracked = <T>(fn: () => T): T => withContext({ scope: null, recording: false }, fn);
