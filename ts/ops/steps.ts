// One description of an op, run at once or off the event loop: a generator that yields its native calls and returns its result.
import { untracked, withContext } from '../context';
import { backend, onHost } from '../device';
import type { Fields, Native } from '../native';
import { Tensor } from '../tensor';
import { channelsLastBuffer } from './memory_format';

/** Native ops that exist in both forms. */
type Both = { [K in keyof Native]: `${K}Async` extends keyof Native ? K : never }[keyof Native];

/** An operand that is taken with channels last. */
export class InChannelsLast {
  constructor(readonly tensor: Tensor) {}
}

/** One native call. A tensor stands for its storage and dtype code, null for an absent one. */
export interface NativeCall {
  readonly name: Both;
  /** Name of the op in messages. */
  readonly op: string;
  readonly args: readonly (Tensor | InChannelsLast | null | number | Fields)[];
}

export type Steps<T> = Generator<NativeCall, T, void>;

type AnyFunction = (...args: unknown[]) => Promise<void> | undefined;

/** The addon that a call is for, and its arguments there; `seen` gets the tensors among them. */
function expand({ op, args }: NativeCall, seen?: Tensor[]): { addon: Record<string, AnyFunction>; expanded: unknown[] } {
  const expanded: unknown[] = [];
  let addon: Native | undefined;
  for (const arg of args) {
    if (arg instanceof Tensor) {
      addon ??= backend(arg.device);
      expanded.push(arg.raw(op), arg.code);
      seen?.push(arg);
    } else if (arg instanceof InChannelsLast) {
      addon ??= backend(arg.tensor.device);
      expanded.push(channelsLastBuffer(arg.tensor), arg.tensor.code);
    } else if (arg === null) expanded.push(null, 0);
    else expanded.push(arg);
  }
  return { addon: (addon ?? backend('cpu')) as unknown as Record<string, AnyFunction>, expanded };
}

/** Runs the steps on this thread. */
export function runSync<T>(steps: Steps<T>): T {
  for (let next = steps.next(); ; next = steps.next()) {
    if (next.done) return next.value;
    const { addon, expanded } = expand(next.value);
    addon[next.value.name]?.(...expanded);
  }
}

function isLive(t: Tensor): boolean {
  try {
    t.check('forwardAsync');
    return true;
  } catch {
    return false;
  }
}

/** A tensor with the contents that it has at the call; what is no live tensor stays as it is, for the op to refuse it. */
export type Freeze = <V>(value: V) => V;

export const asItIs: Freeze = (value) => value;

/**
 * Runs the steps off the event loop. No gradients are recorded. A GPU gets all of them at once, in order: what is changed or disposed
 * later is changed later there too.
 * @param start describes the op; every operand that somebody may change or dispose before the op ends has to go through `freeze`
 */
export async function runAsync<T>(start: (freeze: Freeze) => Steps<T>): Promise<T> {
  const ends: (() => void)[] = [];
  const underWay: Promise<void>[] = [];
  const freeze: Freeze = (value) => {
    if (!(value instanceof Tensor) || !isLive(value)) return value;
    if (!onHost(value.device)) {
      const handle = untracked(() => value.view());
      ends.push(() => handle.dispose());
      return handle as typeof value;
    }
    const { storage, release } = value.storage.freeze('forwardAsync');
    ends.push(release);
    return untracked(() => new Tensor(storage, value.shape, value.dtype, value.device)) as typeof value;
  };
  try {
    const steps = start(freeze);
    for (;;) {
      const next = withContext({ recording: false }, () => steps.next());
      if (next.done) {
        await Promise.all(underWay);
        return next.value;
      }
      const step = runStep(next.value);
      if (!isOnDevice(next.value)) await step;
      else {
        step.catch(() => {}); // told at the end, unless another error comes before
        underWay.push(step);
      }
    }
  } finally {
    for (const end of ends) end();
  }
}

const isOnDevice = ({ args }: NativeCall) =>
  args.some((arg) => arg instanceof InChannelsLast || (arg instanceof Tensor && !onHost(arg.device)));

/** One native call off the event loop; its operands keep their memory until it is done. */
async function runStep(call: NativeCall): Promise<void> {
  const operands: Tensor[] = [];
  const { addon, expanded } = expand(call, operands);
  const ends = operands.map((t) => t.storage.acquire());
  try {
    await addon[`${call.name}Async`]?.(...expanded);
  } finally {
    for (const end of ends) end();
  }
}
