// Unshuffle1d/2d: neighbouring cells become channels; and the masked forms, which do the same to the mask.
import { ShapeError } from '../errors';
import { expand, permute, reshape } from '../ops/shape';
import { checkTensor, describe, formatShape, type Tensor } from '../tensor';
import { Module } from './module';

/** What all share. */
abstract class Unshuffle extends Module {
  readonly downscaleFactor: number;
  private readonly dims!: 1 | 2;

  protected constructor(dims: 1 | 2, downscaleFactor: number) {
    super();
    if (!Number.isSafeInteger(downscaleFactor) || downscaleFactor < 1) {
      throw new ShapeError(
        `${new.target.name}: expected downscaleFactor to be an integer of at least 1, but got ${describe(downscaleFactor)}`,
      );
    }
    this.downscaleFactor = downscaleFactor;
    Object.defineProperty(this, 'dims', { value: dims, enumerable: false });
  }

  protected unshuffle(x: Tensor, name = 'x'): Tensor {
    const { dims, downscaleFactor: f } = this;
    const op = this.constructor.name;
    checkTensor(x, op, name);
    if (x.rank !== dims + 1 && x.rank !== dims + 2) {
      throw new ShapeError(`${op}: expected ${name} with ${dims + 1} or ${dims + 2} dimensions, but got ${name} ${formatShape(x.shape)}`);
    }
    const lead = x.shape.slice(0, x.rank - dims);
    const input = x.shape.slice(x.rank - dims);
    if (input.some((size) => size % f !== 0)) {
      const which = dims === 1 ? 'Length' : 'Height and width';
      throw new ShapeError(`${op}: ${which} must be divisible by the downscale factor ${f}, but got ${name} ${formatShape(x.shape)}`);
    }
    const output = input.map((size) => size / f);
    const planes = lead.reduce((a, b) => a * b, 1);
    // [planes, L / f, f, ...] -> [planes, f, ..., L / f, ...]: channel c f + phase.
    const split = reshape(x, [planes, ...output.flatMap((size) => [size, f])]);
    const moved = permute(split, dims === 1 ? [0, 2, 1] : [0, 2, 4, 1, 3]);
    return reshape(moved, [...lead.slice(0, -1), (lead.at(-1) as number) * f ** dims, ...output]);
  }

  protected both(x: Tensor, mask: Tensor | null): [Tensor, Tensor | null] {
    const y = this.unshuffle(x);
    if (mask === null) return [y, null];
    const op = this.constructor.name;
    if (checkTensor(mask, op, 'mask').rank !== x.rank) {
      throw new ShapeError(
        `${op}: expected a mask with the dimensions of x ${formatShape(x.shape)}, but got mask ${formatShape(mask.shape)}`,
      );
    }
    const channel = x.rank - this.dims - 1;
    // Each cell becomes a channel of its own, so one channel no longer stands for all.
    return [y, this.unshuffle(expand(mask, mask.shape.with(channel, x.shape[channel] as number)), 'mask')];
  }

  protected override extraRepr(): string {
    return `downscale_factor=${this.downscaleFactor}`;
  }
}

/** [N, C, L] -> [N, C f, L / f], channel c f + phase. Of any dtype; [C, L] too. Source: masked_torch. */
export class Unshuffle1d extends Unshuffle {
  /** @throws ShapeError unless the factor is an integer of at least 1 */
  constructor(downscaleFactor: number) {
    super(1, downscaleFactor);
  }

  /** @throws ShapeError if the length is not a multiple of the factor */
  forward(x: Tensor): Tensor {
    return this.unshuffle(x);
  }
}

/** [N, C, H, W] -> [N, C f f, H / f, W / f], as PyTorch's nn.PixelUnshuffle. Of any dtype; [C, H, W] too. */
export class Unshuffle2d extends Unshuffle {
  /** @throws ShapeError unless the factor is an integer of at least 1 */
  constructor(downscaleFactor: number) {
    super(2, downscaleFactor);
  }

  /** @throws ShapeError if height or width is not a multiple of the factor */
  forward(x: Tensor): Tensor {
    return this.unshuffle(x);
  }
}

/** Unshuffle1d of x and of its mask, which gets a channel for each of x's. */
export class MaskedUnshuffle1d extends Unshuffle {
  /** @throws ShapeError unless the factor is an integer of at least 1 */
  constructor(downscaleFactor: number) {
    super(1, downscaleFactor);
  }

  /**
   * @param mask [N|1, 1|C, L], or null
   * @returns [y [N, C f, L / f], mask [N|1, C f, L / f] or null]
   * @throws ShapeError if the length is not a multiple of the factor or the mask does not fit
   */
  forward(x: Tensor, mask?: Tensor | null): [output: Tensor, mask: Tensor | null] {
    return this.both(x, mask ?? null);
  }
}

/** Unshuffle2d of x and of its mask, which gets a channel for each of x's. */
export class MaskedUnshuffle2d extends Unshuffle {
  /** @throws ShapeError unless the factor is an integer of at least 1 */
  constructor(downscaleFactor: number) {
    super(2, downscaleFactor);
  }

  /** As MaskedUnshuffle1d's, with [H, W] in place of [L]. */
  forward(x: Tensor, mask?: Tensor | null): [output: Tensor, mask: Tensor | null] {
    return this.both(x, mask ?? null);
  }
}
