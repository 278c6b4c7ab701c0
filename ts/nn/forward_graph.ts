// A module's forward() as a CUDA graph: captured with inputs and outputs of its own, and good as long as nothing that it read has changed.
import { context, tidy, untracked, withContext } from '../context';
import { backend, type Device, settings as deviceSettings } from '../device';
import type { DType } from '../dtype';
import { DeviceError, ShapeError } from '../errors';
import type { DeviceBuffer, DeviceGraph } from '../native';
import { type Storage, watchReads } from '../storage';
import { describe, empty, Tensor, zeroed } from '../tensor';

/** What a graph is made of. */
export interface ForwardCall {
  /** Name in messages. */
  readonly op: string;
  readonly device: Device;
  readonly inputs: readonly { readonly shape: readonly number[]; readonly dtype: DType }[];
  /** The computation. */
  run(inputs: readonly Tensor[]): (Tensor | null)[];
  /** All that it may read properties of. */
  modules(): readonly object[];
}

/** An object, the name of a property, and what that was. */
type Property = readonly [owner: object, name: string, value: unknown];

/** The properties of modules, and the elements of those that are arrays: parameters, sub-modules, options, the mode. */
function propertiesOf(modules: readonly object[]): Property[] {
  const of = (owner: object): Property[] => Object.entries(owner).map(([name, value]) => [owner, name, value]);
  return modules.flatMap((module) => of(module).flatMap((p) => (Array.isArray(p[2]) ? [p, ...of(p[2])] : [p])));
}

const isAsItWas = ([owner, name, value]: Property): boolean =>
  Object.is((owner as Record<string, unknown>)[name], value) && !(value instanceof Tensor && value.disposed);

/** What decides which kernels run, besides tensors and modules. */
const settings = (device: Device): string => `${deviceSettings(device)} ${context().autocast?.dtype}`;

/** Runs the call so that plans, packed weights and prepared masks are there; tells what lives on of the memory that it read. */
function warmUp(call: ForwardCall, inputs: readonly Tensor[]): [Storage, number][] {
  const { op, device } = call;
  const once = () => tidy(() => void outputsOf(call, inputs));
  once();
  // Now the fused plans are asked for; the graph is to run them.
  backend(device).waitForPlans();
  const read = [...watchReads(once).reads].filter(([storage]) => !storage.disposed && !inputs.some((t) => t.storage === storage));
  if (read.some(([storage, version]) => storage.version !== version))
    throw new ShapeError(`${op}: expected a forward() that changes no tensor in place but its own, which a graph would do unseen`);
  return read;
}

/** Captures the call; the outputs hold what a launch computes. */
function capture(call: ForwardCall, inputs: readonly Tensor[]): { graph: DeviceGraph; outputs: (Tensor | null)[] } {
  const addon = backend(call.device);
  addon.beginCapture();
  let outputs: (Tensor | null)[] = [];
  try {
    outputs = withContext({ capturing: true }, () => tidy(() => outputsOf(call, inputs)));
    return { graph: addon.endCapture(), outputs };
  } catch (error) {
    addon.abandonCapture();
    for (const t of outputs) t?.dispose();
    throw error;
  }
}

/** The outputs, dense, under handles of our own. */
function outputsOf({ op, device, run }: ForwardCall, inputs: readonly Tensor[]): (Tensor | null)[] {
  return run(inputs).map((t) => {
    if (t === null) return null;
    if (t.device !== device)
      throw new DeviceError(`${op}: expected forward() to return tensors on ${device}, but got ${describe(t)} on ${t.device}`);
    t.raw(op);
    return t.view();
  });
}

export class ForwardGraph {
  private constructor(
    private readonly call: ForwardCall,
    private readonly inputs: readonly Tensor[],
    private readonly outputs: readonly (Tensor | null)[],
    private readonly graph: DeviceGraph,
    private readonly read: readonly [Storage, number][],
    private readonly properties: readonly Property[],
    private readonly settings: string,
  ) {}

  /**
   * Runs the call twice, waits for its plans, and captures it.
   * @throws what the call throws; ShapeError if it changes tensors in place, BackendError if it cannot be captured
   */
  static capture(call: ForwardCall): ForwardGraph {
    const { device, op } = call;
    const now = settings(device); // before untracked(), which leaves autocast()
    return untracked(() => {
      const inputs = call.inputs.map(({ shape, dtype }) => zeroed([...shape], dtype, device, op));
      try {
        // Every launch gets other contents, unseen: nothing may be remembered by them.
        for (const t of inputs) t.storage.shared = true;
        const properties = propertiesOf(call.modules());
        const read = warmUp(call, inputs);
        const { graph, outputs } = capture(call, inputs);
        return new ForwardGraph(call, inputs, outputs, graph, read, properties, now);
      } catch (error) {
        for (const t of inputs) t.dispose();
        throw error;
      }
    });
  }

  /** False once a property, the contents of a tensor that was read, or a setting is another: then a launch would give old results. */
  get isCurrent(): boolean {
    if (this.settings !== settings(this.call.device)) return false;
    return this.read.every(([storage, version]) => storage.version === version) && this.properties.every(isAsItWas);
  }

  get outputShapes(): (readonly number[] | null)[] {
    return this.outputs.map((t) => t?.shape ?? null);
  }

  /** The outputs for checked inputs, in memory of their own. */
  launch(values: readonly Tensor[]): (Tensor | null)[] {
    const { op, device } = this.call;
    const addon = backend(device);
    const copy = (from: Tensor, to: Tensor) => addon.copyBuffer(from.raw(op) as DeviceBuffer, to.raw(op) as DeviceBuffer);
    this.inputs.forEach((t, i) => {
      copy(values[i] as Tensor, t);
    });
    addon.launchGraph(this.graph);
    return this.outputs.map((t) => {
      if (t === null) return null;
      const y = empty([...t.shape], t.dtype, device, op);
      copy(t, y);
      return y;
    });
  }

  /** Frees the graph and its memory, after the launches that are under way. */
  dispose(): void {
    for (const t of [...this.inputs, ...this.outputs]) t?.dispose();
    this.graph.dispose();
  }
}
