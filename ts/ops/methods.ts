// The ops as methods of Tensor, and what autograd needs of them.
import { backward, provideArithmetic } from '../autograd';
import { type Device, onHost } from '../device';
import { DTYPES, type DType } from '../dtype';
import { ShapeError } from '../errors';
import { nest } from '../nested';
import type { Scalar } from '../scalar';
import { empty, formatShape, type NestedNumbers, Tensor } from '../tensor';
import * as elementwise from './elementwise';
import * as inPlace from './in_place';
import { castTo, copyOf } from './kernels';
import * as reductions from './reduce';
import * as shapes from './shape';

declare module '../tensor' {
  interface Tensor {
    /** this + b; see the function add. */
    add(b: Tensor | Scalar): Tensor;
    /** this - b; see the function sub. */
    sub(b: Tensor | Scalar): Tensor;
    /** this * b, element by element; see the function mul. */
    mul(b: Tensor | Scalar): Tensor;
    /** this / b; see the function div. */
    div(b: Tensor | Scalar): Tensor;
    /** this to the power b; see the function pow. */
    pow(b: Tensor | Scalar): Tensor;
    neg(): Tensor;
    abs(): Tensor;
    sqrt(): Tensor;
    exp(): Tensor;
    log(): Tensor;
    tanh(): Tensor;
    sigmoid(): Tensor;
    relu(): Tensor;

    /** Sum over dimensions (all, if left out); see the function sum. */
    sum(dims?: reductions.Dims, options?: reductions.ReduceOptions): Tensor;
    /** Mean over dimensions (all, if left out); see the function mean. */
    mean(dims?: reductions.Dims, options?: reductions.ReduceOptions): Tensor;

    /** The same elements under another shape, on the same memory; one size may be -1. */
    reshape(shape: readonly number[]): Tensor;
    /** Dimensions a and b exchanged; a copy. */
    transpose(a: number, b: number): Tensor;
    /** Dimensions in another order; a copy. */
    permute(dims: readonly number[]): Tensor;
    /** The elements start, start + step, ... before end along one dimension; a copy. See the function slice. */
    slice(dim: number, start?: number, end?: number, step?: number): Tensor;
    /** This tensor and others one after the other along a dimension; see the function concat. */
    concat(others: Tensor | readonly Tensor[], dim?: number): Tensor;
    /** Repeated to a shape (-1 keeps a size); a copy. */
    expand(shape: readonly number[]): Tensor;
    /** Without its dimensions of size 1, or without one of them; on the same memory. */
    squeeze(dim?: number): Tensor;
    /** With a dimension of size 1 before dimension dim; on the same memory. */
    unsqueeze(dim: number): Tensor;
    /** The dimensions from start to end, both included, as one; on the same memory. */
    flatten(start?: number, end?: number): Tensor;
    /** The tensor itself: all tensors are dense and row-major. */
    contiguous(): Tensor;
    /** A copy; gradients flow through. */
    clone(): Tensor;
    /** On another device or in another dtype; the tensor itself where nothing changes. See the functions to and cast. */
    to(target: Device | DType): Tensor;

    /** Sets every element; in place. */
    fill_(value: Scalar): this;
    /** Sets every element to 0; in place. */
    zero_(): this;
    /** Copies another tensor's elements, broadcast and converted; in place. */
    copy_(other: Tensor): this;
    /** this += b; in place, not recorded. See the function add_ of in_place.ts. */
    add_(b: Tensor | Scalar): this;
    sub_(b: Tensor | Scalar): this;
    mul_(b: Tensor | Scalar): this;
    div_(b: Tensor | Scalar): this;

    /** Nested arrays of numbers (a number, for a tensor without dimensions): bools as 0 and 1, complex numbers as {re, im}. */
    toArray<T extends NestedNumbers = NestedNumbers>(): T;
    /**
     * The one element, as in toArray().
     * @throws ShapeError unless there is exactly one
     */
    item<T extends number | Complex = number>(): T;
    /**
     * Adds the gradients of this tensor to the grad of every leaf that requires one.
     * @param gradOutput gradient of the final result with respect to this tensor; may be left out for one real element
     * @param options.retainGraph keeps the graph, so that backward() can run again
     */
    backward(gradOutput?: Tensor | null, options?: { retainGraph?: boolean }): void;
  }
}

/** The numbers of a tensor as JavaScript has them (16-bit floats converted), from any device. */
function numbers(x: Tensor, op: string) {
  const { bytes, kind } = DTYPES[x.dtype];
  const readable = kind === 'float' && bytes === 2 ? castTo(x, 'float32', op) : x;
  const values = onHost(x.device) ? readable.hostArray(op) : readable.readSync();
  if (readable !== x && !onHost(x.device)) readable.dispose(); // on the host its array is read now
  return kind === 'bool' ? Uint8Array.from(values.subarray(0, x.size), (byte) => (byte === 0 ? 0 : 1)) : values;
}

function toArray(this: Tensor): NestedNumbers {
  return nest(numbers(this, 'toArray'), this.shape, DTYPES[this.dtype].lanes);
}

function item(this: Tensor): NestedNumbers {
  this.raw('item');
  if (this.size !== 1)
    throw new ShapeError(`item: a tensor with ${this.size} elements (shape ${formatShape(this.shape)}) is not a single number`);
  return nest(numbers(this, 'item'), [], DTYPES[this.dtype].lanes);
}

const methods = {
  toArray,
  item,
  concat(this: Tensor, others: Tensor | readonly Tensor[], dim = 0) {
    return shapes.concat([this, ...(Array.isArray(others) ? others : [others])], dim);
  },
  contiguous(this: Tensor) {
    this.check('contiguous');
    return this;
  },
  backward(this: Tensor, gradOutput?: Tensor | null, options?: { retainGraph?: boolean }) {
    backward(this, gradOutput ?? undefined, options);
  },
};

const FUNCTIONS = {
  ...pick(elementwise, ['add', 'sub', 'mul', 'div', 'pow', 'neg', 'abs', 'sqrt', 'exp', 'log', 'tanh', 'sigmoid', 'relu']),
  ...pick(inPlace, ['fill_', 'zero_', 'copy_', 'add_', 'sub_', 'mul_', 'div_']),
  ...pick(reductions, ['sum', 'mean']),
  ...pick(shapes, ['reshape', 'transpose', 'permute', 'slice', 'expand', 'squeeze', 'unsqueeze', 'flatten', 'clone', 'to']),
};

type Op = (x: Tensor, ...args: never[]) => Tensor;

function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;
}

function define(name: string, value: unknown): void {
  Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true, enumerable: false });
}

for (const [name, op] of Object.entries(FUNCTIONS) as [string, Op][]) {
  const method = {
    [name](this: Tensor, ...args: never[]) {
      return op(this, ...args);
    },
  }[name];
  define(name, method);
}
for (const [name, method] of Object.entries(methods)) define(name, method);

provideArithmetic({
  add: elementwise.add,
  accumulate: inPlace.add_,
  clone: (x) => copyOf(x, 'backward'),
  onesLike: (x) => inPlace.fill_(empty(x.shape, x.dtype, x.device, 'backward'), 1),
});
