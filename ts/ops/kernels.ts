// Kernels without gradients that the ops share: conversion, strided copies, expansion to a shape, reduction of dimensions.
import { backend } from '../device';
import { DTYPES, type DType, isComplex } from '../dtype';
import { ShapeError } from '../errors';
import { type Fields, REDUCE } from '../native';
import { describe, empty, formatShape, sizeOf, type Tensor } from '../tensor';

const MOST_DIMENSIONS = 8; // kMaxRank in native/ops.h

/** Steps in elements from one index of each dimension to the next, of a dense tensor. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step *= shape[d] as number;
  }
  return strides;
}

/** Strides of a dense tensor of shape `from` as it is repeated to the shape `to`: 0 where it repeats. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const dense = denseStrides(from);
  const lead = to.length - from.length;
  return to.map((_, d) => (d < lead || from[d - lead] === 1 ? 0 : (dense[d - lead] as number)));
}

/**
 * The shape that two shapes broadcast to, as in NumPy: aligned at the last dimension, a size of 1 repeats.
 * @throws ShapeError if they disagree
 */
export function broadcastShapes(op: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let d = 0; d < rank; d++) {
    const sizeA = a[d - rank + a.length] ?? 1;
    const sizeB = b[d - rank + b.length] ?? 1;
    if (sizeA !== sizeB && sizeA !== 1 && sizeB !== 1) {
      throw new ShapeError(
        `${op}: shapes ${formatShape(a)} and ${formatShape(b)} cannot be broadcast: the size of a (${sizeA}) must match the size of b (${sizeB}) at non-singleton dimension ${d}`,
      );
    }
    shape[d] = sizeA === 1 ? sizeB : sizeA;
  }
  return shape;
}

export const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

// Native code reads a record during the call, so that one array serves every call: one of their size costs as much as a small op.
const broadcastRecord = new Float64Array(1 + 3 * MOST_DIMENSIONS);
const copyRecord = new Float64Array(3 + 3 * MOST_DIMENSIONS);
const reductionRecord = new Float64Array(3);

function write(record: Float64Array, at: number, values: readonly number[]): void {
  for (let i = 0; i < values.length; i++) record[at + i] = values[i] as number;
}

/** Broadcast in native/ops.h; valid until the next call. */
export function broadcastFields(shape: readonly number[], a: readonly number[], b: readonly number[]): Fields {
  const record = broadcastRecord;
  if (sameShape(a, b)) {
    record[0] = 1;
    record[1] = sizeOf(shape);
    record[1 + MOST_DIMENSIONS] = 1;
    record[1 + 2 * MOST_DIMENSIONS] = 1;
    return record;
  }
  record[0] = shape.length;
  write(record, 1, shape);
  write(record, 1 + MOST_DIMENSIONS, broadcastStrides(a, shape));
  write(record, 1 + 2 * MOST_DIMENSIONS, broadcastStrides(b, shape));
  return record;
}

/** x in another dtype; x itself where it has it. */
export function castTo(x: Tensor, dtype: DType, op = 'to'): Tensor {
  return x.dtype === dtype ? x : copyOf(x, op, dtype);
}

/** castTo() of a tensor that nobody needs in the dtype that it has. */
export function castAndFree(x: Tensor, dtype: DType, op: string): Tensor {
  const y = castTo(x, dtype, op);
  if (y !== x) x.dispose();
  return y;
}

/** A copy of x, in its dtype or another. */
export function copyOf(x: Tensor, op: string, dtype: DType = x.dtype): Tensor {
  const y = empty(x.shape, dtype, x.device, op);
  backend(x.device).cast(x.raw(op), x.code, y.raw(op), y.code);
  return y;
}

/** Where a strided view of a dense tensor begins and how far its dimensions step, in elements. */
export interface View {
  readonly offset: number;
  readonly strides: readonly number[];
}

/** Copies a view of x to a view of y, both of `shape`; y must be fresh. */
export function copyView(op: string, shape: readonly number[], x: Tensor, from: View, y: Tensor, to: View): void {
  const record = copyRecord;
  record[0] = shape.length;
  record[1] = from.offset;
  record[2] = to.offset;
  write(record, 3, shape);
  write(record, 3 + MOST_DIMENSIONS, from.strides);
  write(record, 3 + 2 * MOST_DIMENSIONS, to.strides);
  backend(x.device).stridedCopy(record, x.raw(op), x.code, y.raw(op), y.code);
}

/** A view of x as a dense tensor. */
export function gather(op: string, x: Tensor, shape: readonly number[], from: View): Tensor {
  const y = empty(shape, x.dtype, x.device, op);
  copyView(op, shape, x, from, y, { offset: 0, strides: denseStrides(shape) });
  return y;
}

/** x repeated to a shape that it broadcasts to; x itself where it has that shape. */
export function expandTo(x: Tensor, shape: readonly number[], op = 'expand'): Tensor {
  if (sameShape(x.shape, shape)) return x;
  return gather(op, x, [...shape], { offset: 0, strides: broadcastStrides(x.shape, shape) });
}

/** Runs of neighbouring dimensions in `dims` (ascending), as [first, end). */
function groups(dims: readonly number[]): [number, number][] {
  const found: [number, number][] = [];
  for (const d of dims) {
    const last = found.at(-1);
    if (last?.[1] === d) last[1] = d + 1;
    else found.push([d, d + 1]);
  }
  return found;
}

/**
 * Sum or mean of x over dimensions, accumulated in float64 (complex128, int32 modulo 2^32) and rounded once.
 * @param dims ascending, without repetition
 * @param shape of the result, whose size is that of the other dimensions
 */
export function reduceDims(op: 'sum' | 'mean', x: Tensor, dims: readonly number[], dtype: DType, shape: readonly number[]): Tensor {
  const wide = DTYPES[x.dtype].kind === 'float' ? 'float64' : isComplex(x.dtype) ? 'complex128' : 'int32';
  const left = [...x.shape];
  let from = x;
  // The last group of dimensions first: it is contiguous in memory.
  const steps = groups(dims).reverse();
  if (steps.length === 0) steps.push([0, 0]);
  steps.forEach(([first, end], i) => {
    const isLast = i === steps.length - 1;
    write(reductionRecord, 0, [sizeOf(left.slice(0, first)), sizeOf(left.slice(first, end)), sizeOf(left.slice(end))]);
    left.fill(1, first, end);
    const y = isLast ? empty([...shape], dtype, x.device, op) : empty([...left], wide, x.device, op);
    backend(x.device).reduce(REDUCE[op], reductionRecord, from.raw(op), from.code, y.raw(op), y.code);
    if (from !== x) from.dispose();
    from = y;
  });
  return from;
}

/** The gradient of a broadcast: x summed to a shape that broadcasts to its own, in another dtype; x itself where both agree. */
export function sumTo(x: Tensor, shape: readonly number[], dtype: DType = x.dtype): Tensor {
  if (sameShape(x.shape, shape)) return castTo(x, dtype, 'backward');
  const lead = x.rank - shape.length;
  const dims = x.shape.map((_, d) => d).filter((d) => d < lead || shape[d - lead] !== x.shape[d]);
  if (isComplex(x.dtype) === isComplex(dtype)) return reduceDims('sum', x, dims, dtype, shape);
  return castAndFree(reduceDims('sum', x, dims, x.dtype, shape), dtype, 'backward');
}

/** sumTo() of a gradient that was made from g, or is g itself; what was made only for the sum is freed. */
export function sumGradient(g: Tensor, gradient: Tensor, to: Pick<Tensor, 'shape' | 'dtype'>): Tensor {
  const summed = sumTo(gradient, to.shape, to.dtype);
  if (summed !== gradient && gradient !== g) gradient.dispose();
  return summed;
}

/**
 * A dimension counted from the front; negative ones count from the end.
 * @throws ShapeError if it is not an integer in range (a tensor without dimensions has the range of one with a single dimension)
 */
export function checkDim(op: string, dim: unknown, shape: readonly number[], rank = shape.length): number {
  const size = Math.max(rank, 1);
  if (typeof dim !== 'number' || !Number.isInteger(dim) || dim < -size || dim >= size) {
    throw new ShapeError(
      `${op}: Dimension out of range (expected to be in range of [${-size}, ${size - 1}], but got ${describe(dim)}): the shape is ${formatShape(shape)}`,
    );
  }
  return dim < 0 ? dim + size : dim;
}
