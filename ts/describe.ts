// A short text for any value, for error messages. It never throws, whatever plain JavaScript passes.

/** A method with this name describes its object. */
export const DESCRIBE = Symbol('describe');

/** The name of a dtype or an array class behind its article. */
export const withArticle = (name: string): string => `${/^int/i.test(name) ? 'an' : 'a'} ${name}`;

function describeObject(value: object): string {
  const own = (value as { [DESCRIBE]?: unknown })[DESCRIBE];
  if (typeof own === 'function') return own.call(value) as string;
  const name: unknown = value.constructor?.name;
  return `an object (${typeof name === 'string' && name !== '' ? name : 'Object'})`;
}

/** A short text for a value of any kind. */
export function describe(value: unknown, depth = 0): string {
  if (Array.isArray(value)) {
    return value.length > 12 || depth > 2 ? `an array of ${value.length}` : `[${value.map((v) => describe(v, depth + 1)).join(', ')}]`;
  }
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    return describeObject(value);
  } catch {
    return 'an object';
  }
}
