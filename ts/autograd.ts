// Reverse-mode differentiation: ops record a node on their output; backward() runs the nodes in reverse and frees what they saved.
import { checkFunction, context, untracked, withContext } from './context';
import { isComplex } from './dtype';
import { DeviceError, DTypeError, ShapeError } from './errors';
import { checkOptions } from './options';
import { checkTensor, describe, formatShape, Tensor } from './tensor';

type Maybe<T> = T | null;

/**
 * Computes the gradients of an op's inputs. `needs[i]` tells whether input i wants one; the rest may be null. `saved` holds the
 * tensors handed to record(), alive. The result may be gradOutput or one of saved; other tensors in it are autograd's to free.
 */
export type BackwardFn = (gradOutput: Tensor, needs: readonly boolean[], saved: readonly Maybe<Tensor>[]) => readonly Maybe<Tensor>[];

/** What autograd needs of the ops; the arrows point from them to here, so ts/ops/methods.ts hands it over. */
export interface Arithmetic {
  add(a: Tensor, b: Tensor): Tensor;
  /** a += b */
  accumulate(a: Tensor, b: Tensor): void;
  clone(a: Tensor): Tensor;
  onesLike(a: Tensor): Tensor;
}

let arithmetic: Arithmetic;

/** @internal Called once by ts/ops/methods.ts. */
export function provideArithmetic(provided: Arithmetic): void {
  arithmetic = provided;
}

/** What receives a gradient: the node that made a tensor, or a leaf. Intermediate tensors may be disposed before backward(). */
type Target = Node | Tensor;

const targetOf = (t: Tensor): Target => (t.node as Maybe<Node>) ?? t;

class Node {
  /** Per input, null where it wants no gradient; none once freed. */
  targets: readonly Maybe<Target>[];
  /** What a backward() through this node can come from: its tensor until that is disposed, and nodes that have it as a target. */
  users = 1;
  private saved: Maybe<Tensor>[] | null;
  private readonly versions: number[];

  constructor(
    readonly op: string,
    inputs: readonly Maybe<Tensor>[],
    saved: readonly Maybe<Tensor>[],
    private backward: BackwardFn | null,
  ) {
    this.targets = inputs.map((input) => (input?.requiresGrad ? targetOf(input) : null));
    for (const target of this.targets) if (target instanceof Node) target.users++;
    // Own handles, outside any tidy(): disposing of the originals does not take the memory away.
    this.saved = untracked(() => saved.map((t) => t?.view() ?? null));
    this.versions = saved.map((t) => t?.storage.version ?? 0);
  }

  run(gradOutput: Tensor, needs: readonly boolean[]): readonly Maybe<Tensor>[] {
    if (this.saved === null || this.backward === null) {
      throw new ShapeError(
        `backward: the graph of ${this.op} was freed by an earlier backward(). Call the first one with { retainGraph: true } to go through it twice.`,
      );
    }
    this.saved.forEach((t, i) => {
      if (t !== null && t.storage.version !== this.versions[i]) {
        throw new ShapeError(
          `backward: a tensor that ${this.op} needs (shape ${formatShape(t.shape)}) was changed in place after it was used`,
        );
      }
    });
    return this.backward(gradOutput, needs, this.saved);
  }

  /** True for a tensor that is saved here, and so not the caller's to dispose. */
  holds(t: Tensor): boolean {
    return this.saved?.includes(t) ?? false;
  }

  free(): void {
    for (const t of this.saved ?? []) t?.dispose();
    this.saved = null;
    this.backward = null;
    this.targets = [];
  }

  /** One user less. What no backward() can reach any more is freed, with all that it alone leads to. */
  release(): void {
    const released: Node[] = [this];
    for (let node = released.pop(); node !== undefined; node = released.pop()) {
      if (--node.users > 0) continue;
      released.push(...node.targets.filter((target) => target instanceof Node));
      node.free();
    }
  }
}

/** True where ops should record: outside noGrad(). */
export const isRecording = (): boolean => context().recording;

/** True if an op on these inputs has to record a node. */
export const needsNode = (inputs: readonly (Tensor | null | undefined)[]): boolean =>
  isRecording() && inputs.some((input) => input?.requiresGrad);

/**
 * Records on `output` how to compute the gradients of `inputs`; does nothing where no input requires one.
 * @param saved what `backward` needs of the forward pass
 */
export function record(
  op: string,
  output: Tensor,
  inputs: readonly Maybe<Tensor>[],
  saved: readonly Maybe<Tensor>[],
  backward: BackwardFn,
): Tensor {
  if (needsNode(inputs)) output.node = new Node(op, inputs, saved, backward);
  return output;
}

/**
 * Runs fn without recording: what it computes requires no gradient. Works with async functions.
 * @throws DTypeError if fn is no function
 */
export function noGrad<T>(fn: () => T): T {
  checkFunction('noGrad', fn);
  return withContext({ recording: false }, fn);
}

/** What is reachable from root, each node before its targets. */
function reverseOrder(root: Target): Target[] {
  const order: Target[] = [];
  const visited = new Set<Target>([root]);
  const stack: { target: Target; next: number }[] = [{ target: root, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const targets = top.target instanceof Node ? top.target.targets : [];
    if (top.next === targets.length) {
      order.push(top.target);
      stack.pop();
      continue;
    }
    const target = targets[top.next++];
    if (!target || visited.has(target)) continue;
    visited.add(target);
    stack.push({ target, next: 0 });
  }
  return order.reverse();
}

/** A gradient on its way; `owned` where its handle is nobody else's, so that it can be disposed after use. */
interface Travelling {
  readonly grad: Tensor;
  readonly owned: boolean;
}

function release(entry: Travelling | undefined): void {
  if (entry?.owned) entry.grad.dispose();
}

/** Adds a gradient into a leaf's grad, which nobody else may share. */
function accumulateLeaf(leaf: Tensor, { grad, owned }: Travelling): void {
  if (leaf.disposed) {
    if (owned) grad.dispose();
    return;
  }
  if (leaf.grad?.disposed ?? true) {
    const adopted = owned && grad.storage.exclusive;
    leaf.grad = adopted ? grad : arithmetic.clone(grad);
    if (adopted) return;
  } else {
    arithmetic.accumulate(leaf.grad as Tensor, grad);
  }
  if (owned) grad.dispose();
}

/**
 * Gradients of `output` with respect to every leaf that requires one are added to the leaves' grad.
 * @param gradOutput gradient of the final result with respect to `output`, of its shape and dtype; may be left out for one element
 * @param options.retainGraph keeps what the ops saved, so that backward() can run again
 * @throws ShapeError if output does not require gradients, the gradient's shape differs, or the graph was freed; DTypeError if the
 * gradient's dtype differs, DeviceError if its device does
 */
export function backward(output: Tensor, gradOutput?: Tensor, options: { retainGraph?: boolean } = {}): void {
  checkTensor(output, 'backward');
  const { retainGraph = false } = checkOptions('backward', options, ['retainGraph']);
  if (typeof retainGraph !== 'boolean')
    throw new ShapeError(`backward: expected retainGraph to be a boolean, but got ${describe(retainGraph)}`);
  if (!output.requiresGrad) throw new ShapeError(`backward: ${describe(output)} does not require gradients and has no graph`);
  if (gradOutput === undefined || gradOutput === null) {
    if (output.size !== 1) {
      throw new ShapeError(
        `backward: a gradient can be left out for one element only, but the tensor has shape ${formatShape(output.shape)}`,
      );
    }
    if (isComplex(output.dtype))
      throw new DTypeError(`backward: a gradient can be left out for real numbers only, but the tensor is ${output.dtype}`);
  } else {
    checkTensor(gradOutput, 'backward', 'the gradient');
    if (String(gradOutput.shape) !== String(output.shape)) {
      throw new ShapeError(`backward: expected a gradient of shape ${formatShape(output.shape)}, but got ${describe(gradOutput)}`);
    }
    if (gradOutput.device !== output.device)
      throw new DeviceError(`backward: expected a gradient on ${output.device}, where the tensor is, but got one on ${gradOutput.device}`);
    if (gradOutput.dtype !== output.dtype)
      throw new DTypeError(`backward: expected a gradient of dtype ${output.dtype}, but got ${describe(gradOutput)}`);
  }
  // Gradients outlive any tidy() around: they are freed here as soon as they have been used.
  untracked(() => propagate(output, gradOutput ?? undefined, retainGraph, null));
}

/**
 * @internal Gradients of `output`, which has one element, with respect to `tensors` alone, as new tensors; undefined where output does
 * not depend on one. No leaf's grad changes; the graph is freed.
 */
export function gradientsOf(output: Tensor, tensors: Iterable<Tensor>): Map<Tensor, Tensor> {
  const targets = [...tensors].map((t): [Tensor, Target] => [t, targetOf(t)]);
  const found = untracked(() => propagate(output, undefined, false, new Set(targets.map(([, target]) => target))));
  const { scope } = context();
  for (const grad of found.values()) scope?.add(grad);
  return new Map(targets.flatMap(([t, target]): [Tensor, Tensor][] => (found.has(target) ? [[t, found.get(target) as Tensor]] : [])));
}

/** @internal The leaves that gradients of `output` go into. */
export const leavesOf = (output: Tensor): Tensor[] =>
  reverseOrder(targetOf(output)).filter((target): target is Tensor => target instanceof Tensor && target.requiresGrad);

/** wanted: gradients of these alone are computed and returned, and no leaf's grad changes; null: every leaf's go into its grad. */
function propagate(
  output: Tensor,
  gradOutput: Tensor | undefined,
  retainGraph: boolean,
  wanted: ReadonlySet<Target> | null,
): Map<Target, Tensor> {
  const grads = new Map<Target, Travelling>();
  const found = new Map<Target, Tensor>();
  const root = targetOf(output);
  const order = reverseOrder(root);
  const leading = wanted && leadingTo(wanted, order);
  grads.set(root, gradOutput ? { grad: gradOutput, owned: false } : { grad: arithmetic.onesLike(output), owned: true });
  for (const target of order) {
    const entry = grads.get(target);
    grads.delete(target);
    if (entry !== undefined && wanted?.has(target)) found.set(target, arithmetic.clone(entry.grad));
    if (target instanceof Node) {
      if (entry !== undefined) passOn(target, entry, grads, leading);
      if (!retainGraph) target.free();
    } else if (entry !== undefined && wanted === null) accumulateLeaf(target, entry);
    else release(entry);
  }
  return found;
}

/** Those of a reverse order from which a gradient reaches one that is wanted. */
function leadingTo(wanted: ReadonlySet<Target>, order: readonly Target[]): Set<Target> {
  const leading = new Set<Target>();
  for (const target of order.toReversed()) {
    const leads = wanted.has(target) || (target instanceof Node && target.targets.some((t) => t !== null && leading.has(t)));
    if (leads) leading.add(target);
  }
  return leading;
}

/** Runs a node and adds the gradients it returns to those of its targets; `leading`: to these only. */
function passOn(
  node: Node,
  { grad: gradOutput, owned }: Travelling,
  grads: Map<Target, Travelling>,
  leading: ReadonlySet<Target> | null,
): void {
  const needs = node.targets.map((target) => target !== null && (leading?.has(target) ?? true));
  const inputGrads = node.run(gradOutput, needs);
  const isOwned = (grad: Tensor) => !node.holds(grad) && (grad !== gradOutput || owned);
  const shared = new Set<Tensor>();
  node.targets.forEach((target, i) => {
    const grad = inputGrads[i];
    if (!target || !grad || !needs[i]) return;
    const once = inputGrads.indexOf(grad) === inputGrads.lastIndexOf(grad);
    // What goes several ways, or is somebody else's, goes on under handles of its own.
    if (!once && isOwned(grad)) shared.add(grad);
    addGradient(grads, target, { grad: once && isOwned(grad) ? grad : grad.view(), owned: true });
  });
  for (const grad of shared) grad.dispose();
  if (owned && !inputGrads.includes(gradOutput)) gradOutput.dispose();
}

function addGradient(grads: Map<Target, Travelling>, target: Target, added: Travelling): void {
  const known = grads.get(target);
  if (known === undefined) {
    grads.set(target, added);
    return;
  }
  if (known.owned && known.grad.storage.exclusive) {
    arithmetic.accumulate(known.grad, added.grad);
  } else {
    grads.set(target, { grad: arithmetic.add(known.grad, added.grad), owned: true });
    if (known.owned) known.grad.dispose();
  }
  if (added.owned) added.grad.dispose();
}
