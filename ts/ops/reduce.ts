// Sum and mean over dimensions.
import { record } from '../autograd';
import { type DType, isDifferentiable } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { checkOptions } from '../options';
import { checkTensor, describe, type Tensor } from '../tensor';
import { autocastWide } from './autocast';
import { div } from './elementwise';
import { checkDim, expandTo, reduceDims } from './kernels';

export interface ReduceOptions {
  /** Leaves the reduced dimensions with size 1 (default false). */
  readonly keepDims?: boolean;
}

/** Which dimensions to reduce: one, several, or all (also by an empty array). */
export type Dims = number | readonly number[] | null;

function checkDims(op: string, x: Tensor, dims: Dims | undefined): number[] {
  const all = x.shape.map((_, d) => d);
  if (dims === undefined || dims === null) return all;
  const listed: readonly unknown[] = Array.isArray(dims) ? dims : [dims];
  if (listed.length === 0) return all;
  const checked = listed.map((d) => checkDim(op, d, x.shape)).sort((a, b) => a - b);
  const twice = checked.find((d, i) => d === checked[i - 1]);
  if (twice !== undefined) throw new ShapeError(`${op}: dim ${twice} appears multiple times in the list of dims ${describe(dims)}`);
  return checked.filter((d) => d < x.rank);
}

function checkKeepDims(op: string, options: ReduceOptions | undefined): boolean {
  const { keepDims = false } = checkOptions(op, options, ['keepDims'], { keepdim: 'keepDims', keepdims: 'keepDims' });
  if (typeof keepDims !== 'boolean') throw new ShapeError(`${op}: expected keepDims to be a boolean, but got ${describe(keepDims)}`);
  return keepDims;
}

type Kind = 'sum' | 'mean';

function reduce(op: Kind, x: Tensor, dims: Dims | undefined, options: ReduceOptions | undefined, dtype: DType): Tensor {
  const reduced = checkDims(op, x, dims);
  const kept = x.shape.map((size, d) => (reduced.includes(d) ? 1 : size));
  const shape = checkKeepDims(op, options) ? kept : x.shape.filter((_, d) => !reduced.includes(d));
  const y = reduceDims(op, x, reduced, dtype, shape);
  const { shape: full } = x;
  const count = op === 'mean' ? reduced.reduce((product, d) => product * (full[d] as number), 1) : 1;
  return record(op, y, [x], [], (g) => [spread(op, g, kept, full, count)]);
}

/** The gradient g of a reduction: divided by the number of elements, and repeated over the reduced dimensions. */
function spread(op: Kind, g: Tensor, kept: readonly number[], shape: readonly number[], count: number): Tensor {
  const scaled = op === 'mean' ? div(g, count) : g;
  const view = scaled.view(kept);
  const y = expandTo(view, shape, op);
  if (y !== view) view.dispose();
  if (scaled !== g) scaled.dispose();
  return y;
}

/**
 * Sum over dimensions. Sums are kept in float64 and rounded once, in an order that does not depend on the number of threads. Integers
 * and bools give int32 (modulo 2^32; bools are counted). The sum of nothing is 0.
 * @param dims one, several, or all (undefined, null, []); negative ones count from the end
 * @throws ShapeError if a dimension is out of range or named twice
 */
export function sum(given: Tensor, dims?: Dims, options?: ReduceOptions): Tensor {
  const x = autocastWide(checkTensor(given, 'sum'));
  return reduce('sum', x, dims, options, isDifferentiable(x.dtype) ? x.dtype : 'int32');
}

/**
 * Mean over dimensions; as sum. The mean of nothing is NaN.
 * @throws DTypeError for integers and bools, ShapeError if a dimension is out of range or named twice
 */
export function mean(x: Tensor, dims?: Dims, options?: ReduceOptions): Tensor {
  checkTensor(x, 'mean');
  if (!isDifferentiable(x.dtype)) {
    throw new DTypeError(
      `mean: Input dtype must be either a floating point or complex dtype, but got ${describe(x)}; convert it with to('float32')`,
    );
  }
  return reduce('mean', x, dims, options, x.dtype);
}
