// Sequential: layers one after the other. MaskedSequential: the same, with a mask that goes along.
import { noGrad } from '../autograd';
import { DTypeError, ShapeError } from '../errors';
import { checkTensor, describe, formatShape, Tensor } from '../tensor';
import { Module } from './module';

/** What a layer's forward() may return: the output, or the output and its mask. */
type Result = Tensor | readonly [Tensor, Tensor | null];

/** A layer that can stand in a Sequential or MaskedSequential. */
export interface Layer extends Module {
  forward(x: Tensor, mask?: Tensor | null): Result;
  forwardAsync?(x: Tensor, mask?: Tensor | null): Promise<Result>;
  /** The layer's rule in a MaskedSequential, where it is another than forward's. */
  forwardWithMask?(x: Tensor, mask: Tensor): [Tensor, Tensor];
  forwardWithMaskAsync?(x: Tensor, mask: Tensor): Promise<[Tensor, Tensor]>;
}

/** What both share. */
abstract class Layers extends Module {
  protected readonly layers!: readonly Layer[];

  /** @throws DTypeError for something that is no module with forward() */
  constructor(...layers: Layer[]) {
    super();
    layers.forEach((layer: unknown, i) => {
      if (!(layer instanceof Module) || !('forward' in layer) || typeof layer.forward !== 'function') {
        throw new DTypeError(`${new.target.name}: expected layer ${i} to be a module with forward(), but got ${describe(layer)}`);
      }
    });
    Object.defineProperty(this, 'layers', { value: [...layers], enumerable: false });
  }

  /** Number of layers. */
  get length(): number {
    return this.layers.length;
  }

  /** Layer i; negative ones count from the end. */
  at(i: number): Layer | undefined {
    return this.layers.at(i);
  }

  [Symbol.iterator](): Iterator<Layer> {
    return this.layers[Symbol.iterator]();
  }

  override namedChildren(): [string, Module][] {
    return this.layers.map((layer, i) => [String(i), layer]);
  }

  protected nameOf(i: number): string {
    return `${this.constructor.name}: layer ${i} (${this.layers[i]?.constructor.name})`;
  }
}

/** Layers one after the other, as PyTorch's nn.Sequential; their state names are '0.weight', '0.bias', '1.weight', ... */
export class Sequential extends Layers {
  private check(result: Result, i: number): Tensor {
    if (result instanceof Tensor) return result;
    throw new DTypeError(`${this.nameOf(i)} returned an output and a mask: use a MaskedSequential`);
  }

  /** @throws DTypeError if a layer returns something else than a tensor; and what the layers throw */
  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer, i) => this.check(layer.forward(value), i), x);
  }

  /**
   * The same result, each layer computed off the event loop where it can be. No gradient is recorded. A layer takes its parameters when
   * its turn comes: a change while others run is seen by it.
   */
  async forwardAsync(x: Tensor): Promise<Tensor> {
    return noGrad(async () => {
      let value = x;
      for (const [i, layer] of this.layers.entries()) value = this.check(await (layer.forwardAsync?.(value) ?? layer.forward(value)), i);
      return value;
    });
  }
}

/**
 * Layers one after the other, each getting the output and the mask of the one before. A PartialConv hands on its updated mask, a
 * MaskedConv its scale, an Upsample the mask resized; norms, activations and other layers that return no mask leave it as it is. Without
 * a mask every layer runs without one, and the mask returned is null. Source: masked_torch's MaskedSequential, which fails there.
 */
export class MaskedSequential extends Layers {
  private check(i: number, result: Result, mask: Tensor | null): [Tensor, Tensor | null] {
    const [y, after] = result instanceof Tensor ? [result, mask] : [result[0], mask && result[1]];
    if (!(y instanceof Tensor))
      throw new DTypeError(`${this.nameOf(i)}: expected a tensor, or a tensor and a mask, but got ${describe(y)}`);
    if (after !== null && (after.rank !== y.rank || after.shape.some((size, d) => size !== 1 && size !== y.shape[d]))) {
      throw new ShapeError(
        `${this.nameOf(i)}: the mask ${formatShape(after.shape)} does not fit its output ${formatShape(y.shape)}; use a layer that returns a mask, as PartialConv and MaskedConv do`,
      );
    }
    return [y, after];
  }

  private checkInput(x: Tensor, mask: Tensor | null): void {
    const op = this.constructor.name;
    checkTensor(x, op);
    if (mask !== null && !(mask instanceof Tensor))
      throw new DTypeError(`${op}: expected the mask to be a tensor or null, but got ${describe(mask)}`);
    if (mask !== null && mask.rank !== x.rank) {
      throw new ShapeError(
        `${op}: expected a mask with the dimensions of x ${formatShape(x.shape)} (1 where it repeats), but got mask ${formatShape(mask.shape)}`,
      );
    }
  }

  /**
   * @param mask 1 = valid, with x's number of dimensions: [N|1, 1|C, ...], one channel or all as the first layer takes it
   * @returns the output and its mask (null without a mask)
   * @throws ShapeError if a layer's output does not fit the mask, DTypeError, DisposedError; and what the layers throw
   */
  forward(x: Tensor, mask?: Tensor | null): [output: Tensor, mask: Tensor | null] {
    this.checkInput(x, mask ?? null);
    return this.layers.reduce<[Tensor, Tensor | null]>(
      ([value, m], layer, i) =>
        this.check(i, m !== null && layer.forwardWithMask ? layer.forwardWithMask(value, m) : layer.forward(value, m), m),
      [x, mask ?? null],
    );
  }

  /**
   * The same result, each layer computed off the event loop where it can be. No gradient is recorded. A layer takes its parameters when
   * its turn comes: a change while others run is seen by it.
   */
  async forwardAsync(x: Tensor, mask?: Tensor | null): Promise<[output: Tensor, mask: Tensor | null]> {
    this.checkInput(x, mask ?? null);
    return noGrad(async () => {
      let state: [Tensor, Tensor | null] = [x, mask ?? null];
      for (const [i, layer] of this.layers.entries()) {
        const [value, m] = state;
        const own = m === null ? undefined : (layer.forwardWithMaskAsync?.(value, m) ?? layer.forwardWithMask?.(value, m));
        state = this.check(i, await (own ?? layer.forwardAsync?.(value, m) ?? layer.forward(value, m)), m);
      }
      return state;
    });
  }
}
