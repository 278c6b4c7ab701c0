// Optimizer: parameter groups with their options, state per parameter, and what saves and loads it.
import { untracked } from '../context';
import { backend } from '../device';
import { DTYPES, type DType, isDifferentiable } from '../dtype';
import { DeviceError, DisposedError, DTypeError, ShapeError } from '../errors';
import type { Native, Operand } from '../native';
import { copyOf } from '../ops/kernels';
import { checkOptions } from '../options';
import { checkTensor, describe, formatShape, Tensor, transferred, zeroed } from '../tensor';

/** Parameters that share options; those left out are the optimizer's. */
export type GroupOptions<O> = Partial<O> & { readonly params: Iterable<Tensor> };

/** What an optimizer optimizes: tensors, or groups of them. */
export type ParameterList<O> = Iterable<Tensor> | Iterable<GroupOptions<O>>;

/** A group as the optimizer holds it. Its options may be changed between steps (schedules change lr). */
export type ParameterGroup<O> = O & { readonly params: readonly Tensor[] };

/** What an optimizer remembers of one parameter. */
export type ParameterState = Record<string, Tensor | number>;

/** The state of an optimizer: of each parameter by its number, counted through the groups, and each group's options. */
export interface OptimizerState<O> {
  readonly state: Readonly<Record<string, Readonly<ParameterState>>>;
  readonly paramGroups: readonly (O & { readonly params: readonly number[] })[];
}

/** @throws ShapeError in PyTorch's words unless value is a number in [low, high) */
export function checkRange(op: string, what: string, value: unknown, low = 0, high = Infinity): void {
  if (typeof value !== 'number' || !(value >= low && value < high)) throw new ShapeError(`${op}: Invalid ${what}: ${describe(value)}`);
}

/** The memory of a tensor as numbers of its real dtype (a complex one as its real view). */
const realView = (t: Tensor, array = t.raw('step')): Operand => [array, DTYPES[DTYPES[t.dtype].real].code];

/** Options that every optimizer has. */
export interface CommonOptions {
  /** Learning rate. Default 0.001. */
  lr: number;
  /**
   * 16-bit parameters have a master copy in float32 (`master` in the state), which the steps change and the parameter is rounded from: else
   * a step of less than half a unit in the parameter's last place does nothing, however often it is made. A parameter that was set
   * otherwise (loadStateDict, an in-place op) is gone on from as it is then. Default true; false: each step goes on from the rounded
   * parameter, as PyTorch's optimizers do.
   */
  masterWeights: boolean;
}

/** A base of optimizers; O are the options of a group. */
export abstract class Optimizer<O extends CommonOptions> {
  readonly paramGroups: ParameterGroup<O>[] = [];
  private readonly state = new Map<Tensor, ParameterState>();

  /** @internal */
  protected constructor(
    parameters: ParameterList<O>,
    options: object | undefined,
    private readonly defaults: O,
  ) {
    const known = Object.keys(defaults);
    this.defaults = { ...defaults, ...(checkOptions(this.op, options, known) as Partial<O>) };
    this.checkAll(this.defaults);
    if (
      typeof parameters !== 'object' ||
      parameters === null ||
      parameters instanceof Tensor ||
      ArrayBuffer.isView(parameters) ||
      !(Symbol.iterator in parameters)
    ) {
      throw new DTypeError(`${this.op}: expected an array of tensors or of parameter groups, but got ${describe(parameters)}`);
    }
    const list: unknown[] = [...parameters];
    if (list.length === 0) throw new ShapeError(`${this.op}: optimizer got an empty parameter list`);
    const grouped = typeof list[0] === 'object' && list[0] !== null && 'params' in list[0];
    for (const group of grouped ? list : [{ params: list }]) this.addParamGroup(group as GroupOptions<O>);
  }

  private get op(): string {
    return this.constructor.name;
  }

  /** @throws ShapeError if an option of the optimizer's own is out of range */
  protected abstract checkGroup(options: O): void;

  private checkAll(options: O): void {
    checkRange(this.op, 'learning rate', options.lr);
    if (typeof options.masterWeights !== 'boolean')
      throw new ShapeError(`${this.op}: expected masterWeights to be a boolean, but got ${describe(options.masterWeights)}`);
    this.checkGroup(options);
  }

  /** One step of one parameter. */
  protected abstract update(param: Tensor, grad: Tensor, state: ParameterState, group: O): void;

  /**
   * Adds parameters with options of their own; those left out are the optimizer's.
   * @throws DTypeError for something that is no tensor, ShapeError for one that is no leaf or is in a group already, and for bad options
   */
  addParamGroup(group: GroupOptions<O>): void {
    const { op } = this;
    if (typeof group !== 'object' || group === null || !('params' in group)) {
      throw new DTypeError(`${op}: expected a parameter group { params, ...options }, but got ${describe(group)}`);
    }
    const { params, ...own } = checkOptions(op, group, [...Object.keys(this.defaults), 'params']) as unknown as GroupOptions<O>;
    const options = { ...this.defaults, ...own };
    this.checkAll(options);
    const list = params instanceof Tensor ? [params] : [...params];
    const taken = new Set(this.paramGroups.flatMap((other) => other.params));
    for (const param of list) {
      this.checkParameter(param);
      if (taken.has(param))
        throw new ShapeError(`${op}: some parameters appear more than once, in one parameter group or in two: ${describe(param)}`);
      taken.add(param);
    }
    this.paramGroups.push({ ...options, params: list });
  }

  private checkParameter(param: unknown): asserts param is Tensor {
    const { op } = this;
    if (!(param instanceof Tensor))
      throw new DTypeError(`${op}: optimizer can only optimize Tensors, but one of the params is ${describe(param)}`);
    if (!param.isLeaf) throw new ShapeError(`${op}: can't optimize a non-leaf Tensor, but got ${describe(param)}`);
    if (!isDifferentiable(param.dtype)) {
      throw new DTypeError(`${op}: expected parameters of floating point or complex dtype, but got ${describe(param)}`);
    }
  }

  /**
   * Changes every parameter that has a gradient, in place, by one fused native pass per tensor. If one is refused, none has changed.
   * @throws DisposedError for a parameter that was disposed; ShapeError, DTypeError or DeviceError for a grad of another shape, dtype (a
   * 16-bit parameter may have one in float32) or device, DTypeError for one that is no tensor
   */
  step(): void {
    this.checkGradients();
    untracked(() => {
      for (const group of this.paramGroups) {
        for (const param of group.params) if (param.grad) this.update(param, param.grad, this.stateOf(param), group);
      }
    });
  }

  /** Refuses the gradients that step() would: it throws what step() throws. */
  checkGradients(): void {
    for (const { params } of this.paramGroups) for (const [i, param] of params.entries()) checkGradient(this.op, param, i);
  }

  /** Frees the gradients of all parameters. */
  zeroGrad(): void {
    for (const { params } of this.paramGroups) {
      for (const param of params) {
        param.grad?.dispose();
        param.grad = null;
      }
    }
  }

  private stateOf(param: Tensor): ParameterState {
    let state = this.state.get(param);
    if (state === undefined) {
      state = {};
      this.state.set(param, state);
    }
    return state;
  }

  /** A tensor of the state, zero at first; float32 for a 16-bit parameter. */
  protected moment(state: ParameterState, name: string, param: Tensor): Tensor {
    state[name] ??= zeroed(param.shape, stateDtype(param.dtype), param.device, this.op);
    return state[name] as Tensor;
  }

  /** The master copy of a parameter that has one. At first all 0, which the native step takes as set by nobody. */
  protected master(state: ParameterState, param: Tensor, { masterWeights }: O): Tensor | null {
    return masterWeights && DTYPES[param.dtype].bytes === 2 ? this.moment(state, 'master', param) : null;
  }

  /** Calls a native step on tensors that it writes (the parameter and the state), and the gradient as its second operand. */
  protected call(
    name: 'sgdStep' | 'adamStep',
    options: readonly number[],
    param: Tensor,
    grad: Tensor,
    state: readonly (Tensor | null)[],
  ): void {
    const written = (t: Tensor): Operand => realView(t, t.rawForWrite(this.op));
    const operands = [written(param), realView(grad), ...state.map((t): Operand => (t === null ? [null, 0] : written(t)))];
    const addon = backend(param.device) as Native & Record<typeof name, (...args: unknown[]) => void>;
    addon[name](Float64Array.from(options), ...operands.flat());
  }

  /**
   * The state and the options, to continue later: numbers, and tensors that share memory with the optimizer (the next step changes
   * them; clone() what is to be kept in memory).
   */
  stateDict(): OptimizerState<O> {
    const numbers = new Map(this.paramGroups.flatMap(({ params }) => params).map((param, i) => [param, i]));
    const state = [...this.state].map(([param, values]) => {
      const entries = Object.entries(values).map(([name, value]) => [name, value instanceof Tensor ? value.detach() : value]);
      return [String(numbers.get(param)), Object.fromEntries(entries)];
    });
    const paramGroups = this.paramGroups.map((group) => ({ ...group, params: group.params.map((param) => numbers.get(param) as number) }));
    return { state: Object.fromEntries(state), paramGroups };
  }

  /**
   * Takes over options and state, copied, from stateDict() of an optimizer of the same class over parameters of the same shapes.
   * @throws ShapeError if groups, options or shapes differ, DTypeError for something else than a state; then nothing has changed
   */
  loadStateDict(dict: OptimizerState<O>): void {
    const { op } = this;
    const groups = dict?.paramGroups;
    if (!Array.isArray(groups) || typeof dict.state !== 'object' || dict.state === null)
      throw new DTypeError(`${op}: expected what stateDict() returned, but got ${describe(dict)}`);
    if (groups.length !== this.paramGroups.length) {
      throw new ShapeError(
        `${op}: loaded state dict has a different number of parameter groups: ${groups.length}, expected ${this.paramGroups.length}`,
      );
    }
    const options = this.paramGroups.map((group, i) => {
      const { params, ...loaded } = checkOptions(op, groups[i], [...Object.keys(this.defaults), 'params']) as unknown as GroupOptions<O>;
      if (!Array.isArray(params) || params.length !== group.params.length) {
        throw new ShapeError(`${op}: loaded state dict contains a parameter group that doesn't match the size of optimizer's group ${i}`);
      }
      this.checkAll({ ...group, ...loaded });
      return loaded;
    });
    const loaded = this.loadedStates(dict);
    this.paramGroups.forEach((group, i) => void Object.assign(group, options[i]));
    this.dispose();
    for (const [param, state] of loaded) this.state.set(param, state);
  }

  private loadedStates(dict: OptimizerState<O>): Map<Tensor, ParameterState> {
    const states = new Map<Tensor, ParameterState>();
    const numbers = dict.paramGroups.flatMap(({ params }) => params);
    const params = this.paramGroups.flatMap((group) => group.params);
    for (const [i, param] of params.entries()) {
      const values = dict.state[String(numbers[i])];
      if (values === undefined) continue;
      const entries = Object.entries(values).map(([name, value]) => {
        if (!(value instanceof Tensor)) return [name, value];
        if (String(value.shape) === String(param.shape)) return [name, untracked(() => this.copied(value, param))];
        throw new ShapeError(
          `${this.op}: expected ${name} of parameter ${i} to have shape ${formatShape(param.shape)}, but got ${describe(value)}`,
        );
      });
      states.set(param, Object.fromEntries(entries));
    }
    return states;
  }

  /** A copy of a loaded state as the parameter's own has to be. */
  private copied(value: Tensor, param: Tensor): Tensor {
    const there = transferred(value, param.device, this.op);
    const copy = copyOf(there, this.op, stateDtype(param.dtype));
    there.dispose();
    return copy;
  }

  /** Frees the memory of the state; the parameters stay. */
  dispose(): void {
    for (const values of this.state.values()) for (const value of Object.values(values)) if (value instanceof Tensor) value.dispose();
    this.state.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const stateDtype = (dtype: DType): DType => (DTYPES[dtype].kind === 'complex' ? dtype : DTYPES[dtype].accumulator);

function checkGradient(op: string, param: Tensor, i: number): void {
  if (param.disposed) {
    throw new DisposedError(
      `${op}: parameter ${i} of shape ${formatShape(param.shape)} was disposed. A model's to() makes new parameters: make the optimizer after it.`,
    );
  }
  if (param.grad === null || param.grad === undefined) return;
  const grad = checkTensor(param.grad, op, `the gradient of parameter ${i}`);
  if (String(grad.shape) !== String(param.shape)) {
    throw new ShapeError(
      `${op}: expected the gradient of parameter ${i} to have shape ${formatShape(param.shape)}, but got ${describe(grad)}`,
    );
  }
  if (grad.device !== param.device) {
    throw new DeviceError(
      `${op}: expected parameter ${i} and its gradient on one device, but they are on ${param.device} and ${grad.device}`,
    );
  }
  if (grad.dtype !== param.dtype && grad.dtype !== stateDtype(param.dtype))
    throw new DTypeError(`${op}: expected the gradient of parameter ${i} to be ${param.dtype}, but got ${describe(grad)}`);
}
