// Nested arrays of numbers: to flat values with a shape, and back.
import type { DType, TypedArray } from './dtype';
import { DTypeError, ShapeError } from './errors';
import { isScalar, partsOf, type Scalar } from './scalar';
import { describe, type NestedNumbers } from './tensor';

type Row = ArrayLike<unknown>;

/** Numbers, booleans or {re, im}, alone or in nested arrays, all rows of a dimension of one length; rows may be typed arrays. */
export type NestedData = Scalar | readonly NestedData[] | ArrayLike<number>;

const MOST_LEVELS = 8;

const isRow = (value: unknown): value is Row => Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

/** Where an element lies, as a caller would write it. */
const place = (path: readonly number[]) => `data${path.map((i) => `[${i}]`).join('')}`;

function shapeOf(op: string, data: unknown): number[] {
  const shape: number[] = [];
  for (let level = data; isRow(level); level = level[0]) {
    if (shape.length === MOST_LEVELS) throw new ShapeError(`${op}: expected at most ${MOST_LEVELS} nested levels of arrays`);
    shape.push(level.length);
  }
  return shape;
}

export interface Parsed {
  readonly shape: readonly number[];
  /** The values; complex ones interleaved. */
  readonly values: Float64Array;
  /** The dtype of values. */
  readonly source: 'float64' | 'complex128';
  /** The dtype that such data has by default: bool of booleans alone, complex64 where there is a {re, im}, else float32. */
  readonly dtype: DType;
}

class Reader {
  readonly re: Float64Array;
  im: Float64Array | null = null;
  onlyBooleans: boolean;
  private next = 0;
  private readonly path: number[] = [];

  constructor(
    private readonly op: string,
    readonly shape: readonly number[],
  ) {
    this.re = new Float64Array(shape.reduce((product, d) => product * d, 1));
    this.onlyBooleans = this.re.length > 0;
  }

  read(level: unknown, depth: number): void {
    if (depth === this.shape.length) {
      this.leaf(level);
      return;
    }
    const length = this.shape[depth] as number;
    if (!isRow(level) || level.length !== length) {
      const got = isRow(level) ? `one of length ${level.length}` : describe(level);
      throw new ShapeError(`${this.op}: ragged array: expected an array of length ${length} at ${place(this.path)}, but got ${got}`);
    }
    this.path.push(0);
    for (let i = 0; i < length; i++) {
      this.path[depth] = i;
      this.read(level[i], depth + 1);
    }
    this.path.pop();
  }

  private leaf(value: unknown): void {
    const i = this.next++;
    if (typeof value === 'number') {
      this.re[i] = value;
      this.onlyBooleans = false;
      return;
    }
    if (isRow(value))
      throw new ShapeError(
        `${this.op}: ragged array: expected a number at ${place(this.path)}, but got an array of length ${value.length}`,
      );
    if (!isScalar(value)) {
      const hint = value === null || value === undefined ? '; write a missing value as NaN' : '';
      throw new DTypeError(`${this.op}: expected numbers, booleans or {re, im}, but got ${describe(value)} at ${place(this.path)}${hint}`);
    }
    const { re, im } = partsOf(value);
    this.re[i] = re;
    if (typeof value === 'boolean') return;
    this.onlyBooleans = false;
    this.im ??= new Float64Array(this.re.length);
    this.im[i] = im;
  }
}

/**
 * A number or nested arrays of numbers as flat values.
 * @throws ShapeError where rows differ in length (naming the place), DTypeError where something is no number
 */
export function parseNested(op: string, data: unknown): Parsed {
  const reader = new Reader(op, shapeOf(op, data));
  reader.read(data, 0);
  const { shape, re, im, onlyBooleans } = reader;
  if (im === null) return { shape, values: re, source: 'float64', dtype: onlyBooleans ? 'bool' : 'float32' };
  const values = new Float64Array(2 * re.length);
  for (let i = 0; i < re.length; i++) {
    values[2 * i] = re[i] as number;
    values[2 * i + 1] = im[i] as number;
  }
  return { shape, values, source: 'complex128', dtype: 'complex64' };
}

/** Flat values (lanes of 2: complex) as nested arrays of a shape. */
export function nest(values: TypedArray, shape: readonly number[], lanes: number): NestedNumbers {
  let next = 0;
  const level = (depth: number): NestedNumbers => {
    if (depth === shape.length) {
      const i = lanes * next++;
      return lanes === 1 ? (values[i] as number) : { re: values[i] as number, im: values[i + 1] as number };
    }
    return Array.from({ length: shape[depth] as number }, () => level(depth + 1));
  };
  return level(0);
}
