// valueAndGrad: gradients as values, beside backward(), which leaves them on the leaves.
import { gradientsOf, leavesOf } from '../autograd';
import { checkFunction, withContext } from '../context';
import { DTYPES } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { checkTensor, describe, formatShape, Tensor, zeroed } from '../tensor';

type Same<T extends readonly Tensor[]> = { -readonly [K in keyof T]: Tensor };

/**
 * Runs fn and computes the gradients of its result, a tensor of one element, with respect to `tensors`. No tensor's `grad` changes, and
 * gradients that lead to no other tensor than these are not computed.
 * @param fn gets `tensors` as its arguments; it may also use them from outside
 * @param tensors of floating point or complex dtype; they need not require gradients. Left out: every leaf that requires one and that
 * the result depends on (the parameters of the model that fn calls)
 * @returns the value, without its history, and a gradient per tensor, of its shape and dtype (0 where the value does not depend on it);
 * with `tensors` left out, a Map from leaf to gradient
 * @throws DTypeError if fn does not return a real tensor, ShapeError if it has not one element
 */
export function valueAndGrad<const T extends readonly Tensor[]>(
  fn: (...tensors: Same<T>) => Tensor,
  tensors: readonly [...T],
): { value: Tensor; grads: Same<T> };
export function valueAndGrad(fn: () => Tensor): { value: Tensor; grads: Map<Tensor, Tensor> };
export function valueAndGrad(
  fn: (...tensors: readonly Tensor[]) => Tensor,
  tensors?: readonly Tensor[],
): { value: Tensor; grads: Tensor[] | Map<Tensor, Tensor> } {
  const op = 'valueAndGrad';
  checkFunction(op, fn);
  if (tensors !== undefined && !Array.isArray(tensors))
    throw new DTypeError(`${op}: expected an array of tensors, but got ${describe(tensors)}`);
  const wanted = tensors?.map((t, i) => checkTensor(t, op, `tensor ${i}`)) ?? [];
  const switched = wanted.filter((t) => !t.requiresGrad);
  try {
    for (const t of switched) t.requiresGrad = true;
    const value = withContext({ recording: true }, () => fn(...wanted));
    checkValue(op, value);
    const found = value.requiresGrad ? gradientsOf(value, tensors === undefined ? leavesOf(value) : wanted) : new Map<Tensor, Tensor>();
    return { value: value.detach(), grads: tensors === undefined ? found : wanted.map((t) => found.get(t) ?? zerosLike(t)) };
  } finally {
    for (const t of switched) t.requiresGrad = false;
  }
}

const zerosLike = (t: Tensor) => zeroed(t.shape, t.dtype, t.device);

function checkValue(op: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) {
    const promise = value instanceof Promise ? ' (an async function cannot be differentiated)' : '';
    throw new DTypeError(`${op}: expected the function to return a tensor, but got ${describe(value)}${promise}`);
  }
  if (DTYPES[value.dtype].kind === 'complex')
    throw new DTypeError(`${op}: expected the function to return a real tensor, but got ${describe(value)}`);
  if (value.size !== 1)
    throw new ShapeError(`${op}: expected the function to return one element, but got shape ${formatShape(value.shape)}`);
}
