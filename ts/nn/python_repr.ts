// Numbers and lists as Python prints them, for representations that equal PyTorch's.

/** A float: 0.1, 1e-05, 2.0. */
export function pythonFloat(value: number): string {
  const [digits = '', exponent] = value.toExponential().split('e');
  const power = Number(exponent);
  if (value === 0 || (power >= -4 && power < 16)) return Number.isInteger(value) ? `${value}.0` : String(value);
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

export const pythonBool = (value: boolean): string => (value ? 'True' : 'False');

/** A tuple: (3,) or (3, 4). */
export const pythonTuple = (values: readonly (number | string)[]): string => `(${values.join(', ')}${values.length === 1 ? ',' : ''})`;
