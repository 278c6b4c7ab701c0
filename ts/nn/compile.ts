// compile: forward() of a module for inputs of one shape; on a GPU one CUDA graph, so that small layers do not wait for their launches.
import { noGrad } from '../autograd';
import { context, tidy, untracked } from '../context';
import { checkDevice, type Device, onHost } from '../device';
import { DTYPES, type DType, isDType } from '../dtype';
import { DeviceError, DisposedError, DTypeError, ShapeError } from '../errors';
import { autocast } from '../ops/autocast';
import { checkOptions } from '../options';
import { checkShape, checkTensor, describe, formatShape, Tensor, zeroed } from '../tensor';
import { type ForwardCall, ForwardGraph } from './forward_graph';

export interface CompileOptions {
  /**
   * The mask: a tensor, used at every call (changed in place later, its new contents count from then on); or the shape of the masks
   * that forward() will be given. Default: forward() without a mask.
   */
  readonly mask?: Tensor | readonly number[] | null;
  /** dtype of the masks that forward() will be given. Default 'bool'. */
  readonly maskDtype?: DType;
  /** dtype of x. Default: that of the first parameter, else 'float32'. */
  readonly dtype?: DType;
  /** Device of x. Default: that of the first parameter, else 'cpu'. */
  readonly device?: Device;
}

/** What forward() of a module returns. */
export type ForwardResult<M> = M extends { readonly returnMask: infer R extends boolean }
  ? R extends true
    ? [output: Tensor, updatedMask: Tensor]
    : Tensor
  : M extends { forward(...args: never[]): infer R }
    ? R
    : unknown;

/** A module as far as compile() needs one. */
export interface Compilable {
  readonly training: boolean;
  modules(): readonly Compilable[];
  parameters(): Tensor[];
  namedBuffers(): [string, Tensor][];
}

interface Input {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

const OPTIONS = ['mask', 'maskDtype', 'dtype', 'device'];

function checkDtype(op: string, name: string, dtype: unknown): DType {
  if (isDType(dtype)) return dtype;
  throw new DTypeError(`${op}: expected ${name} to be one of ${Object.keys(DTYPES).join(', ')}, but got ${describe(dtype)}`);
}

/** A module's forward() for inputs of one shape, dtype and device; made by Module.compile(). */
export class CompiledLayer<R = Tensor> implements Disposable {
  readonly inputShape: readonly number[];
  /** Of the masks that forward() takes; null where it takes none. */
  readonly maskShape: readonly number[] | null;
  readonly outputShape: readonly number[];
  /** Of x. */
  readonly dtype: DType;
  readonly device: Device;
  readonly #op: string;
  readonly #module: Compilable;
  readonly #inputs: readonly Input[];
  /** Modules whose buffers change in train mode. */
  readonly #stateful: readonly Compilable[];
  /** A handle of our own on a fixed mask. */
  readonly #mask: Tensor | null = null;
  #graph: ForwardGraph | null = null;
  #returnsArray = false;
  #disposed = false;

  /** @internal Use Module.compile(). */
  constructor(module: Compilable, inputShape: readonly number[], options?: CompileOptions) {
    if (typeof (module as Partial<Compilable> | null)?.namedBuffers !== 'function')
      throw new DTypeError(`compile: expected a module, but got ${describe(module)}`);
    const op = `compiled ${module.constructor.name}`;
    const { mask = null, maskDtype = 'bool', ...given } = checkOptions('compile', options, OPTIONS) as CompileOptions;
    const [parameter] = module.parameters();
    this.#op = op;
    this.#module = module;
    this.#stateful = module.modules().filter((m) => m.namedBuffers().some(([name]) => !name.includes('.')));
    this.inputShape = Object.freeze(checkShape(inputShape, 'compile'));
    this.dtype = checkDtype('compile', 'dtype', given.dtype ?? parameter?.dtype ?? 'float32');
    this.device = checkDevice(given.device ?? parameter?.device);
    const x = { name: 'x', shape: this.inputShape, dtype: this.dtype };
    if (mask instanceof Tensor) {
      this.#checkDevice(checkTensor(mask, 'compile', 'the mask'), 'the mask');
      this.#mask = untracked(() => mask.view());
    }
    this.maskShape = mask === null || mask instanceof Tensor ? null : Object.freeze(checkShape(mask, 'compile'));
    const m = this.maskShape && { name: 'the mask', shape: this.maskShape, dtype: checkDtype('compile', 'maskDtype', maskDtype) };
    this.#inputs = m === null ? [x] : [x, m];
    try {
      this.outputShape = this.#prepare();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /**
   * What the module's forward() gives for x, bit for bit, and for the mask, in autocast() as there; without a recorded gradient. The
   * result is the caller's own: later calls leave it.
   * @param x of inputShape, dtype and device as compiled
   * @param mask of maskShape and the maskDtype of compile(); where compile() was given a shape
   * @throws ShapeError, DTypeError, DeviceError for other inputs, or a module with running statistics in train mode; DisposedError;
   * BackendError where the GPU fails; and what the module's forward() throws
   */
  forward(x: Tensor, mask?: Tensor | null): R {
    if (this.#disposed) throw new DisposedError(`${this.#op}: it was disposed`);
    const given = mask === undefined || mask === null ? [x] : [x, mask];
    if (given.length !== this.#inputs.length) throw this.#wrongMask(given[1]);
    const values = this.#inputs.map((input, i) => this.#checkInput(input, given[i]));
    this.#checkMode();
    // Its graph would be launched, not captured, and what changes in its module would not be seen.
    if (context().capturing) throw new ShapeError(`${this.#op}: it cannot be part of what is compiled; use the module itself there`);
    const results = onHost(this.device) ? noGrad(() => this.#run(values)) : this.#current().launch(values);
    return (this.#returnsArray ? results : results[0]) as R;
  }

  /** Frees the graph and the memory that it holds, on a GPU after the calls that are under way. The module stays. */
  dispose(): void {
    this.#disposed = true;
    this.#graph?.dispose();
    this.#graph = null;
    this.#mask?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A first run, or a capture; the shape of the output. */
  #prepare(): readonly number[] {
    this.#checkMode();
    const shapes = onHost(this.device) ? this.#trial() : this.#current().outputShapes;
    return shapes[0] as readonly number[];
  }

  #trial(): (readonly number[] | null)[] {
    return untracked(() =>
      tidy(() => {
        const values = this.#inputs.map(({ shape, dtype }) => zeroed([...shape], dtype, this.device, this.#op));
        return this.#run(values).map((t) => t?.shape ?? null);
      }),
    );
  }

  /** The graph, captured anew where it no longer is what forward() would do. */
  #current(): ForwardGraph {
    if (this.#graph?.isCurrent) return this.#graph;
    this.#graph?.dispose();
    this.#graph = null;
    // A region of its own for each run: what one has cast, the next one would find and read no parameter for.
    const dtype = context().autocast?.dtype ?? null;
    const run: ForwardCall['run'] = (values) => autocast(dtype, () => this.#run(values));
    this.#graph = ForwardGraph.capture({
      op: this.#op,
      device: this.device,
      inputs: this.#inputs,
      run,
      modules: () => this.#module.modules(),
    });
    return this.#graph;
  }

  #run(values: readonly Tensor[]): (Tensor | null)[] {
    const { forward } = this.#module as { forward?: (...args: readonly Tensor[]) => unknown };
    if (typeof forward !== 'function') throw new DTypeError(`compile: expected a module with forward(), but got ${describe(this.#module)}`);
    const result = forward.call(this.#module, ...values, ...(this.#mask === null ? [] : [this.#mask]));
    const list: readonly unknown[] = Array.isArray(result) ? result : [result];
    const fits = list[0] instanceof Tensor && list.every((t) => t === null || t instanceof Tensor);
    if (!fits)
      throw new DTypeError(`${this.#op}: expected forward() to return a tensor, or tensors and nulls, but got ${describe(result)}`);
    this.#returnsArray = Array.isArray(result);
    return [...list] as (Tensor | null)[];
  }

  #checkInput({ name, shape, dtype }: Input, value: unknown): Tensor {
    const t = checkTensor(value, this.#op, name);
    if (String(t.shape) !== String(shape) || t.rank !== shape.length)
      throw new ShapeError(`${this.#op}: expected ${name} of shape ${formatShape(shape)}, but got ${describe(t)}`);
    if (t.dtype !== dtype)
      throw new DTypeError(`${this.#op}: expected ${name} of dtype ${dtype} and shape ${formatShape(shape)}, but got ${describe(t)}`);
    return this.#checkDevice(t, name);
  }

  #checkDevice(t: Tensor, name: string): Tensor {
    if (t.device === this.device) return t;
    throw new DeviceError(`${this.#op}: expected ${name} on ${this.device}, but got ${describe(t)} on ${t.device}`);
  }

  #wrongMask(mask: Tensor | undefined): ShapeError {
    if (mask === undefined)
      return new ShapeError(`${this.#op}: expected a mask of shape ${formatShape(this.maskShape ?? [])} beside x, but got none`);
    const why = this.#mask === null ? 'without a mask' : 'with a fixed mask';
    return new ShapeError(`${this.#op}: it was compiled ${why}, but got ${describe(mask)}; give compile() the shape of the masks to come`);
  }

  #checkMode(): void {
    const module = this.#stateful.find(({ training }) => training);
    if (module !== undefined)
      throw new ShapeError(
        `${this.#op}: ${module.constructor.name} changes its buffers in train mode; call eval() before compile() and forward()`,
      );
  }
}
