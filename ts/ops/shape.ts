// Shapes: reshape, transpose, slice, concat and the like. Tensors are always dense: what only renames dimensions shares memory, the rest
// copies.
import { record } from '../autograd';
import { checkDevice, type Device, looksLikeDevice } from '../device';
import { type DType, isDType, promote } from '../dtype';
import { DeviceError, DTypeError, ShapeError } from '../errors';
import { checkShape, checkTensor, describe, empty, formatShape, sizeOf, type Tensor, transferred, zeroed } from '../tensor';
import { cast } from './cast';
import { castAndFree, castTo, checkDim, copyOf, copyView, denseStrides, expandTo, gather, sumTo } from './kernels';

/** x under another shape, on the same memory. */
function renamed(op: string, x: Tensor, shape: readonly number[]): Tensor {
  const { shape: from } = x;
  return record(op, x.view([...shape]), [x], [], (g) => [g.view(from)]);
}

/**
 * The same elements in the same order under another shape, on the same memory.
 * @param shape one size may be -1: it follows from the others
 * @throws ShapeError if the number of elements differs
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  checkTensor(x, 'reshape');
  const unknown = Array.isArray(shape) ? shape.indexOf(-1) : -1;
  if (unknown < 0) {
    const checked = checkShape(shape, 'reshape');
    if (sizeOf(checked) !== x.size) throw invalidShape(x, shape);
    return renamed('reshape', x, checked);
  }
  if (shape.indexOf(-1, unknown + 1) >= 0) throw new ShapeError(`reshape: only one dimension can be inferred, but got ${describe(shape)}`);
  const known = sizeOf(checkShape(shape.with(unknown, 1), 'reshape'));
  if (known === 0 || x.size % known !== 0) throw invalidShape(x, shape);
  return renamed('reshape', x, shape.with(unknown, x.size / known));
}

const invalidShape = (x: Tensor, shape: readonly number[]) =>
  new ShapeError(`reshape: shape ${formatShape(shape)} is invalid for x ${formatShape(x.shape)} of ${x.size} elements`);

/**
 * Dimensions in another order: dimension i of the result is dimension dims[i] of x. A copy.
 * @throws ShapeError unless dims names every dimension once
 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  checkTensor(x, 'permute');
  if (!Array.isArray(dims) || dims.length !== x.rank) {
    throw new ShapeError(`permute: expected ${x.rank} dimensions for x ${formatShape(x.shape)}, but got ${describe(dims)}`);
  }
  const order = dims.map((d) => checkDim('permute', d, x.shape));
  if (new Set(order).size !== order.length) throw new ShapeError(`permute: duplicate dims are not allowed, but got ${describe(dims)}`);
  const inverse = order.map((_, d) => order.indexOf(d));
  return record('permute', permuted(x, order), [x], [], (g) => [permuted(g, inverse)]);
}

function permuted(x: Tensor, order: readonly number[]): Tensor {
  const strides = denseStrides(x.shape);
  const shape = order.map((d) => x.shape[d] as number);
  return gather('permute', x, shape, { offset: 0, strides: order.map((d) => strides[d] as number) });
}

/**
 * Dimensions a and b exchanged. A copy.
 * @throws ShapeError if one is out of range
 */
export function transpose(x: Tensor, a: number, b: number): Tensor {
  checkTensor(x, 'transpose');
  const [first, second] = [checkDim('transpose', a, x.shape), checkDim('transpose', b, x.shape)];
  const order = x.shape.map((_, d) => (d === first ? second : d === second ? first : d));
  return record('transpose', permuted(x, order), [x], [], (g) => [permuted(g, order)]);
}

function checkIndex(name: string, value: unknown, size: number, otherwise: number): number {
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'number' || !(Number.isInteger(value) || Math.abs(value) === Number.POSITIVE_INFINITY)) {
    throw new ShapeError(`slice: expected ${name} to be an integer, but got ${describe(value)}`);
  }
  return Math.min(Math.max(value < 0 ? value + size : value, 0), size);
}

/**
 * The elements start, start + step, ... before end along one dimension, which keeps its place. A copy. As in Python, negative indices
 * count from the end and indices beyond it are cut; an empty range gives size 0.
 * @param end the size of the dimension if left out
 * @param step at least 1
 * @throws ShapeError if the dimension is out of range or an index is not an integer
 */
export function slice(x: Tensor, dim: number, start = 0, end?: number, step = 1): Tensor {
  checkTensor(x, 'slice');
  if (x.rank === 0) throw new ShapeError('slice: a tensor without dimensions cannot be sliced');
  const d = checkDim('slice', dim, x.shape);
  const size = x.shape[d] as number;
  const first = checkIndex('start', start, size, 0);
  const last = checkIndex('end', end, size, size);
  if (!Number.isInteger(step) || step < 1) throw new ShapeError(`slice: expected a step of at least 1, but got ${describe(step)}`);
  const { shape: full } = x;
  const strides = denseStrides(full);
  const view = { offset: first * (strides[d] as number), strides: strides.with(d, (strides[d] as number) * step) };
  const shape = full.with(d, Math.max(0, Math.ceil((last - first) / step)));
  return record('slice', gather('slice', x, shape, view), [x], [], (g) => {
    const gradX = zeroed([...full], g.dtype, g.device, 'slice');
    copyView('slice', shape, g, { offset: 0, strides: denseStrides(shape) }, gradX, view);
    return [gradX];
  });
}

/** Checked operands of concat and the shape of the result. */
function checkConcat(tensors: readonly Tensor[], dim: number): { d: number; shape: number[] } {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ShapeError(`concat: expected a non-empty array of tensors, but got ${describe(tensors)}`);
  const first = checkTensor(tensors[0], 'concat', 'tensor 0');
  if (first.rank === 0) throw new ShapeError('concat: tensors without dimensions cannot be concatenated; reshape them to [1]');
  const d = checkDim('concat', dim, first.shape);
  let size = 0;
  tensors.forEach((value: unknown, i) => {
    const t = checkTensor(value, 'concat', `tensor ${i}`);
    if (t.rank !== first.rank || t.shape.some((s, k) => k !== d && s !== first.shape[k])) {
      throw new ShapeError(
        `concat: Sizes of tensors must match except in dimension ${d}, but tensor 0 is ${formatShape(first.shape)} and tensor ${i} is ${formatShape(t.shape)}`,
      );
    }
    if (t.device !== first.device)
      throw new DeviceError(`concat: expected all tensors on one device, but tensor 0 is on ${first.device}, tensor ${i} on ${t.device}`);
    size += t.shape[d] as number;
  });
  return { d, shape: checkShape(first.shape.with(d, size), 'concat') };
}

/**
 * Tensors one after the other along a dimension. A copy, in the promoted dtype.
 * @throws ShapeError if there are none or another dimension differs, DeviceError if they are not on one device
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  const { d, shape } = checkConcat(tensors, dim);
  const dtype = tensors.map((t) => t.dtype).reduce(promote);
  const strides = denseStrides(shape);
  const y = empty(shape, dtype, (tensors[0] as Tensor).device, 'concat');
  let offset = 0;
  const parts = tensors.map((t) => {
    const part = { shape: t.shape, dtype: t.dtype, view: { offset, strides } };
    copyView('concat', t.shape, castTo(t, dtype, 'concat'), { offset: 0, strides: denseStrides(t.shape) }, y, part.view);
    offset += (t.shape[d] as number) * (strides[d] as number);
    return part;
  });
  return record('concat', y, [...tensors], [], (g, needs) =>
    parts.map((part, i) => (needs[i] ? castAndFree(gather('concat', g, [...part.shape], part.view), part.dtype, 'concat') : null)),
  );
}

/**
 * x repeated to a shape that it broadcasts to (as in NumPy). A copy, since tensors are dense; x itself where it has that shape.
 * @param shape -1 keeps a size
 * @throws ShapeError if x does not broadcast to it
 */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  checkTensor(x, 'expand');
  const { shape: from, dtype } = x;
  const lead = Array.isArray(shape) ? shape.length - from.length : 0;
  const wanted = checkShape(Array.isArray(shape) ? shape.map((s, d) => (s === -1 && d >= lead ? from[d - lead] : s)) : shape, 'expand');
  const d = from.findIndex((size, i) => size !== 1 && size !== wanted[i + lead]);
  if (lead < 0 || d >= 0) {
    throw new ShapeError(
      lead < 0
        ? `expand: x ${formatShape(from)} has more dimensions than the shape ${formatShape(wanted)}`
        : `expand: The expanded size (${wanted[d + lead]}) must match the existing size (${from[d]}) at non-singleton dimension ${d + lead}: x ${formatShape(from)}, shape ${formatShape(wanted)}`,
    );
  }
  const y = expandTo(x, wanted);
  return y === x ? x : record('expand', y, [x], [], (g) => [sumTo(g, from, dtype)]);
}

/**
 * x without its dimensions of size 1, or without one of them (x's shape, if its size is another). Shares memory.
 * @throws ShapeError if dim is out of range
 */
export function squeeze(x: Tensor, dim?: number): Tensor {
  checkTensor(x, 'squeeze');
  const only = dim === undefined || dim === null ? null : checkDim('squeeze', dim, x.shape);
  return renamed(
    'squeeze',
    x,
    x.shape.filter((size, d) => size !== 1 || (only !== null && only !== d)),
  );
}

/**
 * x with a dimension of size 1 inserted before dimension dim (negative: counted from behind the last). Shares memory.
 * @throws ShapeError if dim is out of range
 */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  checkTensor(x, 'unsqueeze');
  const d = checkDim('unsqueeze', dim, x.shape, x.rank + 1);
  return renamed('unsqueeze', x, checkShape(x.shape.toSpliced(d, 0, 1), 'unsqueeze'));
}

/**
 * The dimensions from start to end, both included, as one. Shares memory.
 * @throws ShapeError if one is out of range or start comes after end
 */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  checkTensor(x, 'flatten');
  const [first, last] = [checkDim('flatten', start, x.shape), checkDim('flatten', end, x.shape)];
  if (first > last) throw new ShapeError(`flatten: start ${start} comes after end ${end} in the shape ${formatShape(x.shape)}`);
  return renamed('flatten', x, x.shape.toSpliced(first, last - first + 1, sizeOf(x.shape.slice(first, last + 1))));
}

/** A copy of x, in memory of its own; gradients flow through. */
export function clone(x: Tensor): Tensor {
  checkTensor(x, 'clone');
  return record('clone', copyOf(x, 'clone'), [x], [], (g) => [g]);
}

/**
 * x on another device or in another dtype (as cast() converts); x itself where nothing changes.
 * @throws DTypeError if target is neither device nor dtype, DeviceError if the device is not available
 */
export function to(x: Tensor, target: Device | DType): Tensor {
  checkTensor(x, 'to');
  if (isDType(target)) return cast(x, target);
  if (!looksLikeDevice(target)) throw new DTypeError(`to: expected a device or a dtype, but got ${describe(target)}`);
  const device = checkDevice(target);
  const { device: from } = x;
  return device === from ? x : record('to', transferred(x, device), [x], [], (g) => [transferred(g, from)]);
}
