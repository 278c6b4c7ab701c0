// What holds for the code inside a callback: whether gradients are recorded, whether a graph is captured, which tensors tidy() will free,
// what autocast() computes in.
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe } from './describe';
import { DTypeError } from './errors';

/** The inside of an autocast() (ts/ops/autocast.ts). */
export interface AutocastRegion {
  readonly dtype: 'float16' | 'bfloat16';
}

export interface Context {
  readonly recording: boolean;
  /** Ops are captured into a graph and not run: what they make has no contents yet, and no cache may keep it. */
  readonly capturing: boolean;
  /** Collects the tensors made inside the innermost tidy(). */
  readonly scope: Set<Disposable> | null;
  /** null where ops compute in the dtypes of their operands. */
  readonly autocast: AutocastRegion | null;
}

const TOP: Context = { recording: true, capturing: false, scope: null, autocast: null };
const storage = new AsyncLocalStorage<Context>();
let current: Context = TOP;
let asyncContexts = 0;

/** The context of the running code. Synchronous callbacks use a plain variable; only async functions pay for tracking. */
export const context = (): Context => (asyncContexts > 0 ? (storage.getStore() ?? current) : current);

const isAsync = (fn: unknown): boolean => Object.prototype.toString.call(fn) === '[object AsyncFunction]';

/** @throws DTypeError unless fn is a function */
export function checkFunction(op: string, fn: unknown): void {
  if (typeof fn !== 'function') throw new DTypeError(`${op}: expected a function, but got ${describe(fn)}`);
}

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

/**
 * Runs fn so that what it makes survives any tidy() around, records no gradient and has its operands' dtypes: for values that are kept.
 */
export const untracked = <T>(fn: () => T): T => withContext({ scope: null, recording: false, autocast: null }, fn);

/** Calls end() when fn's result is there, a promise's too; or when it failed. */
export function atEnd<T>(fn: () => T, end: (result: unknown) => void): T {
  let result: T;
  try {
    result = fn();
  } catch (error) {
    end(undefined);
    throw error;
  }
  if (!(result instanceof Promise)) {
    end(result);
    return result;
  }
  return result.then(
    (value) => {
      end(value);
      return value;
    },
    (error) => {
      end(undefined);
      throw error;
    },
  ) as T;
}

/**
 * Runs fn and frees every tensor made inside, except those that it returns (alone, or in arrays, plain objects, and the values of
 * maps and sets), and gradients of tensors that live on. Works with async functions.
 * @throws DTypeError if fn is no function
 */
export function tidy<T>(fn: () => T): T {
  checkFunction('tidy', fn);
  const scope = new Set<Disposable>();
  const outer = context().scope;
  const end = (result: unknown): void => {
    const kept = new Set<unknown>();
    collect(result, scope, kept);
    for (const t of scope) {
      if (!kept.has(t)) t[Symbol.dispose]();
      else outer?.add(t);
    }
  };
  return atEnd(() => withContext({ scope }, fn), end);
}

/** Puts those of a result that are in scope into `into`, with the containers passed on the way. */
function collect(value: unknown, scope: ReadonlySet<unknown>, into: Set<unknown>): void {
  if (typeof value !== 'object' || value === null || into.has(value)) return;
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  const items =
    Array.isArray(value) || value instanceof Set || value instanceof Map ? value.values() : isPlain ? Object.values(value) : null;
  if (items === null && !scope.has(value)) return;
  into.add(value);
  for (const item of items ?? []) collect(item, scope, into);
}
