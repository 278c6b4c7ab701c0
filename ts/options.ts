// Options objects: unknown names are rejected with the nearest known one, snake_case spellings are accepted for camelCase names.
import { describe } from './describe';
import { ShapeError } from './errors';

/** Edits (insert, delete, replace, exchange neighbours) that turn a into b. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let edits = Math.min(replaced, (previous[j] as number) + 1, (row[j - 1] as number) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, (before[j - 2] as number) + 1);
      row.push(edits);
    }
    [before, previous] = [previous, row];
  }
  return previous[b.length] as number;
}

const toCamelCase = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** The known name that a misspelt one probably means, or null. */
export function nearestName(name: string, known: readonly string[]): string | null {
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(toCamelCase(name).toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  const nearest = ranked[0];
  return nearest !== undefined && nearest.edits <= Math.max(2, name.length / 3) ? nearest.candidate : null;
}

function unknownOption(op: string, name: string, known: readonly string[]): ShapeError {
  const nearest = nearestName(name, known);
  if (nearest !== null) return new ShapeError(`${op}: unknown option "${name}"; did you mean "${nearest}"?`);
  return new ShapeError(
    `${op}: unknown option "${name}"; ${known.length > 0 ? `the options are ${known.join(', ')}` : 'it has no options'}`,
  );
}

/**
 * A copy of an options object under the known names, without absent (undefined) entries.
 * @param options undefined and null mean none
 * @param known camelCase names; their snake_case spellings are accepted too
 * @param aliases other spellings and the known name that each stands for
 * @throws ShapeError if options is not a plain object, an option is unknown, or given twice under two spellings
 */
export function checkOptions(
  op: string,
  options: unknown,
  known: readonly string[],
  aliases: Readonly<Record<string, string>> = {},
): Record<string, unknown> {
  const checked: Record<string, unknown> = {};
  if (options === undefined || options === null) return checked;
  const prototype = typeof options === 'object' ? Object.getPrototypeOf(options) : undefined;
  if (prototype !== null && prototype !== Object.prototype && prototype?.constructor?.name !== 'Object') {
    throw new ShapeError(`${op}: expected an options object, but got ${describe(options)}`);
  }
  for (const [name, value] of Object.entries(options)) {
    const camel = toCamelCase(name);
    const canonical = known.includes(name) ? name : Object.hasOwn(aliases, name) ? (aliases[name] as string) : camel;
    if (!known.includes(canonical)) throw unknownOption(op, name, known);
    if (value === undefined) continue;
    if (Object.hasOwn(checked, canonical)) throw new ShapeError(`${op}: option "${canonical}" is given twice, once as "${name}"`);
    checked[canonical] = value;
  }
  return checked;
}
