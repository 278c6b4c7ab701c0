// Upsample1d and Upsample2d: resize as a layer.
import { type ResizeOptions, type ResizeSpec, resize, resizeMask, resizeSpec } from '../ops/resize';
import type { Tensor } from '../tensor';
import { Module } from './module';
import { pythonFloat, pythonTuple } from './python_repr';

/** What both share. */
abstract class Upsample extends Module {
  readonly size: readonly number[] | null;
  readonly scaleFactor: readonly number[] | null;
  readonly mode: string;
  private readonly spec!: ResizeSpec;
  private readonly extra!: string;

  protected constructor(dims: 1 | 2, options: ResizeOptions) {
    super();
    const spec = resizeSpec(new.target.name, dims, options);
    this.size = spec.size;
    this.scaleFactor = spec.scale;
    this.mode = spec.mode;
    Object.defineProperty(this, 'spec', { value: spec, enumerable: false });
    const given = options.size ?? options.scaleFactor;
    const text = spec.size === null ? (spec.scale ?? []).map(pythonFloat) : spec.size.map(String);
    const values = Array.isArray(given) ? pythonTuple(text) : text[0];
    Object.defineProperty(this, 'extra', {
      value: `${spec.size === null ? 'scale_factor' : 'size'}=${values}, mode='${spec.mode}'`,
      enumerable: false,
    });
  }

  /**
   * The resized x, its gradient recorded.
   * @throws ShapeError if x does not fit the layer, DTypeError, DisposedError
   */
  forward(x: Tensor): Tensor {
    return resize(this.spec, x);
  }

  /** @internal The rule in a MaskedSequential: an output is valid where all cells that it is made of are. */
  forwardWithMask(x: Tensor, mask: Tensor): [Tensor, Tensor] {
    return [this.forward(x), resizeMask(this.spec, mask)];
  }

  /** PyTorch has one class for all dimensions. */
  override get typeName(): string {
    return 'Upsample';
  }

  protected override extraRepr(): string {
    return this.extra;
  }
}

/**
 * Resize of [N, C, L] or [C, L] to a size or by a factor: linear with aligned corners (default) or nearest. As PyTorch's
 * nn.Upsample(mode='linear', align_corners=True).
 */
export class Upsample1d extends Upsample {
  /** @throws ShapeError for unknown options, values out of range, or not exactly one of size and scaleFactor */
  constructor(options: ResizeOptions) {
    super(1, options);
  }
}

/** Resize of [N, C, H, W] or [C, H, W]: bilinear with aligned corners (default) or nearest; see Upsample1d. */
export class Upsample2d extends Upsample {
  /** @throws ShapeError for unknown options, values out of range, or not exactly one of size and scaleFactor */
  constructor(options: ResizeOptions) {
    super(2, options);
  }
}
