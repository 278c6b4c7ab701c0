// Counts the calls of the addon's functions while a function runs.
import { type Native, native } from '../../ts/native';

type Calls = Partial<Record<keyof Native, number>>;

/** How often fn called which native function. */
export function countCalls(fn: () => void): Calls {
  const addon = native as unknown as Record<string, unknown>;
  const originals = Object.entries(addon).filter(
    (entry): entry is [string, (...args: unknown[]) => unknown] => typeof entry[1] === 'function',
  );
  const calls: Record<string, number> = {};
  for (const [name, original] of originals) {
    addon[name] = (...args: unknown[]) => {
      calls[name] = (calls[name] ?? 0) + 1;
      return original(...args);
    };
  }
  try {
    fn();
  } finally {
    for (const [name, original] of originals) addon[name] = original;
  }
  return calls as Calls;
}
