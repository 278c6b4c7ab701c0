// Module: what layers and models have in common. Parameters, buffers and sub-modules are its own properties, in their order.
import { untracked } from '../context';
import { type Device, looksLikeDevice } from '../device';
import { type DType, isComplex, isDifferentiable, isDType } from '../dtype';
import { DTypeError, ShapeError } from '../errors';
import { checkOptions } from '../options';
import { checkTensor, describe, formatShape, Tensor } from '../tensor';
import { CompiledLayer, type CompileOptions, type ForwardResult } from './compile';

export type StateDict = Record<string, Tensor>;

/** What loading found: names that the model has and the dictionary lacks, and the other way round. */
export interface LoadResult {
  readonly missingKeys: string[];
  readonly unexpectedKeys: string[];
}

const torchSize = (shape: readonly number[]) => `torch.Size(${formatShape(shape)})`;

function checkPrefix(op: string, prefix: unknown): void {
  if (typeof prefix !== 'string') throw new DTypeError(`${op}: expected the prefix to be a string, but got ${describe(prefix)}`);
}

/** Each tensor under its first name alone. */
function once(named: [string, Tensor][]): [string, Tensor][] {
  const seen = new Set<Tensor>();
  return named.filter(([, t]) => !seen.has(t) && seen.add(t));
}

/**
 * Base of all layers. A subclass assigns tensors (parameters), modules and arrays of modules to its properties, and defines
 * forward(). Tensors named in buffers are state without a gradient.
 */
export abstract class Module {
  /** True at first and after train(), false after eval(): layers with running statistics behave differently. */
  training = true;

  /** Names of the properties that are buffers, not parameters. */
  protected bufferNames(): readonly string[] {
    return [];
  }

  /** The name in stateDict() of a property that is a parameter or buffer: the property's own, unless a layer says otherwise. */
  protected stateName(property: string): string {
    return property;
  }

  /** The direct sub-modules by name. */
  namedChildren(): [string, Module][] {
    return Object.entries(this).flatMap(([name, value]): [string, Module][] => {
      if (value instanceof Module) return [[name, value]];
      if (!Array.isArray(value)) return [];
      return value.flatMap((item, i): [string, Module][] => (item instanceof Module ? [[`${name}.${i}`, item]] : []));
    });
  }

  private *ownTensors(buffers: boolean): Generator<[string, Tensor]> {
    const names = this.bufferNames();
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Tensor && names.includes(name) === buffers) yield [name, value];
    }
  }

  private ownState(buffers: boolean, prefix: string): [string, Tensor][] {
    return [...this.ownTensors(buffers)].map(([property, t]): [string, Tensor] => [prefix + this.stateName(property), t]);
  }

  private collect(buffers: boolean, prefix: string): [string, Tensor][] {
    const own = this.ownState(buffers, prefix);
    return [...own, ...this.namedChildren().flatMap(([name, child]) => child.collect(buffers, `${prefix}${name}.`))];
  }

  /** Every parameter with its dotted name, this module's before those of its children; a shared one once, under its first name. */
  namedParameters(prefix = ''): [string, Tensor][] {
    checkPrefix('namedParameters', prefix);
    return once(this.collect(false, prefix));
  }

  /** Every parameter once, in the order of namedParameters(): what an optimizer takes. */
  parameters(): Tensor[] {
    return this.namedParameters().map(([, t]) => t);
  }

  /** Every buffer (running statistics and the like) with its dotted name; a shared one once. */
  namedBuffers(prefix = ''): [string, Tensor][] {
    checkPrefix('namedBuffers', prefix);
    return once(this.collect(true, prefix));
  }

  private namedState(prefix = ''): [string, Tensor][] {
    const own = [false, true].flatMap((buffers) => this.ownState(buffers, prefix));
    return [...own, ...this.namedChildren().flatMap(([name, child]) => child.namedState(`${prefix}${name}.`))];
  }

  /** Parameters and buffers by dotted name, shared ones under each of theirs, without gradients; they share memory with the module. */
  stateDict(): StateDict {
    return Object.fromEntries(this.namedState().map(([name, t]) => [name, t.detach()]));
  }

  /**
   * Copies values into the parameters and buffers; nothing is written if anything does not fit. dtypes are converted.
   * @param options.strict refuse missing and unexpected names (default true)
   * @throws ShapeError with PyTorch's list of what does not fit, DTypeError if a value is not a tensor
   */
  loadStateDict(dict: Readonly<StateDict>, options?: { readonly strict?: boolean }): LoadResult {
    if (typeof dict !== 'object' || dict === null || Symbol.iterator in dict)
      throw new DTypeError(`loadStateDict: expected an object of tensors by name, but got ${describe(dict)}`);
    const state = this.namedState();
    const missingKeys = state.map(([name]) => name).filter((name) => !Object.hasOwn(dict, name));
    const unexpectedKeys = Object.keys(dict).filter((name) => !state.some(([known]) => known === name));
    const problems: string[] = [];
    const { strict = true } = checkOptions('loadStateDict', options, ['strict']);
    if (typeof strict !== 'boolean') throw new ShapeError(`loadStateDict: expected strict to be a boolean, but got ${describe(strict)}`);
    if (strict) {
      const list = (names: string[]) => names.map((n) => `"${n}"`).join(', ');
      if (missingKeys.length > 0) problems.push(`Missing key(s) in state_dict: ${list(missingKeys)}.`);
      if (unexpectedKeys.length > 0) problems.push(`Unexpected key(s) in state_dict: ${list(unexpectedKeys)}.`);
    }
    for (const [name, t] of state) {
      if (!Object.hasOwn(dict, name)) continue;
      const value = checkTensor(dict[name], 'loadStateDict', name);
      if (isComplex(value.dtype) && !isComplex(t.dtype)) {
        throw new DTypeError(`loadStateDict: expected ${name} to be real as the model's (${t.dtype}), but got ${describe(value)}`);
      }
      if (String(value.shape) !== String(t.shape)) {
        problems.push(
          `size mismatch for ${name}: copying a param with shape ${torchSize(value.shape)} from checkpoint, the shape in current model is ${torchSize(t.shape)}.`,
        );
      }
    }
    if (problems.length > 0)
      throw new ShapeError(`Error(s) in loading state_dict for ${this.constructor.name}:\n\t${problems.join('\n\t')}`);
    untracked(() => {
      for (const [name, t] of state) if (Object.hasOwn(dict, name)) t.copy_(dict[name] as Tensor);
    });
    return { missingKeys, unexpectedKeys };
  }

  /** This module and all below it, each once. */
  modules(): Module[] {
    return [...new Set([this, ...this.namedChildren().flatMap(([, child]) => child.modules())])];
  }

  /** Sets the mode of this module and all below it; see `training`. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** As train(false). */
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves the parameters and buffers to a device, or converts those of floating point and complex dtype. They are other tensors then:
   * make an optimizer after it.
   * @throws DTypeError if the dtype is not of floating point or complex, DeviceError if the device is not available
   */
  to(target: Device | DType): this {
    const toDevice = looksLikeDevice(target);
    if (!toDevice && !(isDType(target) && isDifferentiable(target))) {
      throw new DTypeError(`to: expected a device or a floating point or complex dtype, but got ${describe(target)}`);
    }
    const moved = new Map<Tensor, Tensor>();
    for (const module of this.modules()) {
      for (const [name, t] of [...module.ownTensors(false), ...module.ownTensors(true)]) {
        if (!toDevice && !isDifferentiable(t.dtype)) continue;
        const there = moved.get(t) ?? untracked(() => t.to(target));
        if (there === t) continue;
        there.requiresGrad = t.requiresGrad;
        (module as unknown as Record<string, Tensor>)[name] = there;
        moved.set(t, there);
      }
    }
    for (const t of moved.keys()) t.dispose();
    return this;
  }

  /**
   * forward() made ready for inputs of one shape: the same results, bit for bit, without gradients. On a GPU forward() is captured into a
   * CUDA graph, which each call launches as a whole; compile() waits until the plans of its convolutions are compiled. What changes later
   * (parameters, buffers, a fixed mask, train and eval, setAllowTF32, setDeterministic, autocast() around the call, any property of the
   * module or those below it) is noticed, and the next call captures anew. On the CPU each call runs forward(). forward() must do the same
   * work at each call: it may not read values of tensors, depend on numbers outside of the module, or change tensors in place.
   * @param inputShape of x, with the batch size
   * @throws ShapeError, DTypeError, DeviceError for options or shapes that do not fit, or running statistics in train mode; BackendError
   * if forward() cannot be captured; and what forward() throws
   */
  compile(inputShape: readonly number[], options?: CompileOptions): CompiledLayer<ForwardResult<this>> {
    return new CompiledLayer(this, inputShape, options);
  }

  /** Frees the gradients of all parameters. */
  zeroGrad(): void {
    for (const t of this.parameters()) {
      t.grad?.dispose();
      t.grad = null;
    }
  }

  /** Frees the memory of all parameters and buffers. */
  dispose(): void {
    for (const [, t] of this.namedState()) {
      t.grad?.dispose();
      t.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** What stands in the parentheses of toString(). */
  protected extraRepr(): string {
    return '';
  }

  /** Name of the layer's type in representations and summaries. */
  get typeName(): string {
    return this.constructor.name;
  }

  toString(): string {
    const children = this.namedChildren();
    if (children.length === 0) return `${this.typeName}(${this.extraRepr()})`;
    const lines = children.map(([name, child]) => `  (${name}): ${child.toString().replaceAll('\n', '\n  ')}`);
    return `${this.typeName}(\n${lines.join('\n')}\n)`;
  }
}
