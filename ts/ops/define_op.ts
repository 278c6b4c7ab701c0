// defineOp: an op of the user's own with a gradient of its own, beside which the built-in ones record theirs.
import { record } from '../autograd';
import { context, withContext } from '../context';
import { DeviceError, DTypeError, ShapeError } from '../errors';
import { describe, formatShape, Tensor } from '../tensor';

/** One call of an op, shared by its forward and its backward. */
export interface OpCall {
  /** Keeps tensors for backward(), checked there to be unchanged. Called in forward(), once. */
  save(...tensors: Tensor[]): void;
  /** What save() kept; alive until backward() has returned. */
  readonly saved: readonly Tensor[];
  /** For each argument of forward(), whether its gradient is wanted; the others' need not be computed. */
  readonly needs: readonly boolean[];
  /** For whatever else backward() needs: numbers, options, shapes. */
  readonly values: Record<string, unknown>;
}

export interface OpDefinition<Args extends readonly unknown[]> {
  /** Name of the op in messages. */
  readonly name: string;
  /** Computes the result from the arguments, tensors or not. Nothing in it is recorded. */
  forward(call: OpCall, ...args: Args): Tensor;
  /**
   * Gradients of the arguments, one per argument in their order: of a tensor its gradient, of its shape and dtype, or null where it is
   * not wanted or zero; null for what is no tensor. An op of one argument may return the gradient alone. Nothing in it is recorded;
   * tensors that it makes and returns are autograd's to free.
   */
  backward(call: OpCall, gradOutput: Tensor): Tensor | null | readonly (Tensor | null)[];
}

/** The gradients that a backward returned, checked against the arguments. */
function checkGradients(name: string, returned: unknown, inputs: readonly (Facts | null)[], needs: readonly boolean[]): (Tensor | null)[] {
  const list: unknown = returned instanceof Tensor || returned === null ? [returned] : returned;
  if (!Array.isArray(list) || list.length !== inputs.length) {
    throw new ShapeError(
      `${name}: expected backward to return a gradient or null for each of the ${inputs.length} arguments, but got ${describe(list)}`,
    );
  }
  return list.map((grad: unknown, i) => {
    const input = inputs[i];
    if (grad === null || grad === undefined || !needs[i] || !input) return null;
    if (!(grad instanceof Tensor))
      throw new DTypeError(`${name}: expected backward to return tensors, but for argument ${i} got ${describe(grad)}`);
    if (String(grad.shape) !== String(input.shape) || grad.dtype !== input.dtype) {
      const expected = `a ${input.dtype} tensor of shape ${formatShape(input.shape)}`;
      throw new ShapeError(`${name}: expected backward to return ${expected} for argument ${i}, but got ${describe(grad)}`);
    }
    if (grad.device !== input.device)
      throw new DeviceError(
        `${name}: expected backward to return a gradient on ${input.device} for argument ${i}, but got one on ${grad.device}`,
      );
    return grad;
  });
}

/** Runs a function of the op without recording. A tensor that it did not make itself is returned as another handle. */
function call<T>(fn: () => T): { returned: T; own: (t: Tensor) => Tensor } {
  const made = new Set<Tensor>();
  try {
    const returned = withContext({ recording: false, scope: made }, fn);
    return { returned, own: (t) => (made.has(t) ? t : t.view()) };
  } finally {
    const { scope } = context();
    if (scope !== null) for (const t of made) scope.add(t);
  }
}

type Facts = Pick<Tensor, 'shape' | 'dtype' | 'device'>;

function checkDefinition(definition: unknown): asserts definition is OpDefinition<readonly unknown[]> {
  const { name, forward, backward } = (definition ?? {}) as Partial<OpDefinition<readonly unknown[]>>;
  if (typeof name !== 'string' || name === '') throw new ShapeError(`defineOp: expected a name, but got ${describe(name)}`);
  if (typeof forward !== 'function' || typeof backward !== 'function') {
    throw new ShapeError(
      `defineOp: expected ${name} to have the functions forward and backward, but got ${describe(forward)} and ${describe(backward)}`,
    );
  }
}

/**
 * Makes a differentiable op from two functions.
 * @example
 * const cube = defineOp({
 *   name: 'cube',
 *   forward(call, x: Tensor) {
 *     call.save(x);
 *     return x.mul(x).mul(x);
 *   },
 *   backward({ saved: [x] }, gradOutput) {
 *     return gradOutput.mul(x!.mul(x!)).mul(3);
 *   },
 * });
 * cube(tensor([1, 2], { requiresGrad: true })).sum().backward();
 * @throws ShapeError for a definition without name, forward or backward. The op throws DTypeError or ShapeError where its functions
 * return something else than described
 */
export function defineOp<Args extends readonly unknown[]>(definition: OpDefinition<Args>): (...args: Args) => Tensor {
  checkDefinition(definition);
  const { name } = definition;
  return (...args: Args): Tensor => {
    let saved: readonly Tensor[] = [];
    const values: Record<string, unknown> = {};
    const inputs = args.map((arg) => (arg instanceof Tensor ? arg : null));
    const save = (...tensors: Tensor[]) => {
      saved = tensors;
    };
    const needs = inputs.map((t) => t?.requiresGrad ?? false);
    const { returned, own } = call<unknown>(() => definition.forward({ save, saved: [], needs, values }, ...args));
    if (!(returned instanceof Tensor)) throw new DTypeError(`${name}: expected forward to return a tensor, but got ${describe(returned)}`);
    for (const t of saved) {
      if (!(t instanceof Tensor)) throw new DTypeError(`${name}: expected save() to be given tensors, but got ${describe(t)}`);
    }
    const facts = inputs.map((t) => t && { shape: t.shape, dtype: t.dtype, device: t.device });
    return record(name, own(returned), inputs, saved, (gradOutput, needs, kept) => {
      const backward = call<unknown>(() => definition.backward({ save, saved: kept as readonly Tensor[], needs, values }, gradOutput));
      return checkGradients(name, backward.returned, facts, needs).map((grad) => grad && backward.own(grad));
    });
  };
}
