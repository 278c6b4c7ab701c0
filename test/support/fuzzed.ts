// Random convolutions with exact operands and what the reference computes from them; layers that are checked against it.
import { Conv1d, Conv2d, type Device, PartialConv1d, PartialConv2d, type Tensor } from '../../ts';
import * as reference from '../reference';
import { type ConvCase, randomCase } from './conv_cases';
import { Seeded } from './seeded';
import { absolute, toTensor } from './tensors';

/** Where a case runs, and how its results are compared. */
export interface Ground {
  readonly device: Device;
  /** A tensor that the layer caches nothing by. */
  shared(v: reference.Values, dtype: ConvCase['dtype']): Tensor;
  /** After each step. */
  checkMemory(): void;
  /** size: the sums of the absolute values of the terms; terms: the most that any sum has. */
  compare(c: ConvCase, actual: Tensor, expected: reference.Values, size: reference.Values, terms: number, what: string): void;
}

const MASKS: Record<ConvCase['maskKind'], (seeded: Seeded) => () => number> = {
  mask: (seeded) => () => Number(seeded.chance(0.6)),
  sparse: (seeded) => () => Number(seeded.chance(0.15)),
  soft: (seeded) => () => Math.min(Math.max(seeded.integer(-4, 11), 0), 8) / 8,
  runs: (seeded) => {
    let [value, left] = [0, 0];
    return () => {
      if (left-- <= 0) [value, left] = [1 - value, seeded.integer(0, 60)];
      return value;
    };
  },
  none: () => () => 0,
  all: () => () => 1,
};

/** One input of a case, with what has to come out. */
interface Expected {
  readonly x: reference.Values;
  readonly mask: reference.Values | null;
  readonly isFloat: boolean;
  readonly dy: reference.Values;
  readonly results: readonly (readonly [string, reference.Values, reference.Values])[];
  /** The most terms of any sum. */
  readonly terms: number;
}

export class Fuzzed {
  readonly weight: reference.Values;
  readonly bias: reference.Values | null;
  readonly expected: readonly Expected[];
  private readonly complex: boolean;

  constructor(
    readonly c: ConvCase,
    private readonly seeded: Seeded,
  ) {
    this.complex = c.dtype.startsWith('complex');
    this.weight = this.values([c.outChannels, c.inChannels / (c.options.groups ?? 1), ...c.kernelSize], 64);
    this.bias = c.options.bias ? this.values([c.outChannels], 8) : null;
    this.expected = c.inputs.map((shape, i) => this.expect(this.values(shape, 16), c.masks[i] ?? null));
  }

  /** Numbers k / unit with at most 6 bits: products and their sums are exact in float32. */
  private values(shape: readonly number[], unit: number): reference.Values {
    const size = reference.sizeOf(shape) * (this.complex ? 2 : 1);
    return reference.values(
      shape,
      this.seeded.list(size, () => this.seeded.integer(-31, 31) / unit),
      this.complex,
    );
  }

  private expect(x: reference.Values, maskShape: readonly number[] | null): Expected {
    const { c, weight, bias } = this;
    const { bias: _, ...options } = c.options;
    const isFloat = c.maskDtype.includes('float');
    const mask = maskShape && reference.values(maskShape, this.seeded.list(reference.sizeOf(maskShape), MASKS[c.maskKind](this.seeded)));
    const run = (v: reference.Values, w: reference.Values, b: reference.Values | null, dy?: reference.Values) => {
      const y = c.partial ? reference.partialConv(v, mask, w, b, options, isFloat).y : reference.conv(v, w, b, options);
      const g = dy ?? this.values(y.shape, 8);
      return {
        y,
        g,
        back: c.partial ? reference.partialConvBackward(v, mask, w, g, options, isFloat) : reference.convBackward(v, w, g, options),
      };
    };
    const { y, g, back } = run(x, weight, bias);
    const sizes = c.partial ? run(absolute(x), absolute(weight), bias && absolute(bias), absolute(g)) : { y, back };
    const results = [
      ['y', y, sizes.y],
      ['dx', back.dx, sizes.back.dx],
      ['dw', back.dw, sizes.back.dw],
      ['db', back.db, sizes.back.db],
    ] as const;
    const terms = Math.max(
      reference.sizeOf(weight.shape.slice(1)),
      reference.sizeOf(weight.shape) / (weight.shape[1] as number),
      y.data.length / c.outChannels,
    );
    return { x, mask, isFloat, dy: g, results, terms };
  }

  private layer(device: Device) {
    const { c, weight, bias } = this;
    const Layer = c.partial ? (c.dims === 1 ? PartialConv1d : PartialConv2d) : c.dims === 1 ? Conv1d : Conv2d;
    const layer = new Layer(c.inChannels, c.outChannels, c.kernelSize, { ...c.options, dtype: c.dtype, device });
    layer.loadStateDict({ weight: toTensor(weight, c.dtype), ...(bias && { bias: toTensor(bias, c.dtype) }) });
    return layer as { forward(x: Tensor, mask?: Tensor | null): Tensor; zeroGrad(): void; weight: Tensor; bias: Tensor | null };
  }

  /** A layer that gets the first input, the second, and the first again. */
  check(ground: Ground): void {
    const { c, expected } = this;
    const layer = this.layer(ground.device);
    // Of two tensors with the same contents one is the library's own, which it caches by, one the caller's.
    const tensors = expected.map(({ x, mask }, i) => {
      const make = (v: reference.Values, dtype: ConvCase['dtype']) =>
        i === 0 ? toTensor(v, dtype).to(ground.device) : ground.shared(v, dtype);
      const t = make(x, c.dtype);
      t.requiresGrad = true;
      return { x: t, mask: mask && make(mask, c.maskDtype) };
    });
    for (const i of [0, 1, 0]) {
      const { dy, results, terms } = expected[i] as Expected;
      const { x, mask } = tensors[i] as (typeof tensors)[number];
      layer.zeroGrad();
      x.grad = null;
      const y = c.partial ? layer.forward(x, mask) : layer.forward(x);
      y.backward(ground.shared(dy, c.dtype));
      const got: Record<string, Tensor | null | undefined> = { y, dx: x.grad, dw: layer.weight.grad, db: layer.bias?.grad };
      for (const [name, value, size] of results) if (got[name]) ground.compare(c, got[name], value, size, terms, `input ${i}: ${name}`);
      ground.checkMemory();
    }
  }
}

/** One of the ways in which every case is run. */
export interface Way {
  readonly name: string;
  /** Switches to it. */
  readonly enter: () => void;
  readonly ground: Ground;
}

/** How long to fuzz and from which seed on: PARTIALCONV_FUZZ_SECONDS and PARTIALCONV_FUZZ_SEED, else as given. */
export const fuzzBox = (seconds: number, seed: number) => ({
  seconds: Number(process.env.PARTIALCONV_FUZZ_SECONDS ?? seconds),
  seed: Number(process.env.PARTIALCONV_FUZZ_SEED ?? seed),
});

/** Checks one random case after another, at least one, in every way; a failure names the seed that runs its case alone. */
export function fuzz({ seconds, seed: first }: ReturnType<typeof fuzzBox>, ways: readonly Way[]): void {
  const end = performance.now() + seconds * 1000;
  let seed = first;
  do {
    const seeded = new Seeded(seed);
    const c = randomCase(seeded);
    const fuzzed = new Fuzzed(c, seeded);
    for (const { name, enter, ground } of ways) {
      enter();
      try {
        fuzzed.check(ground);
      } catch (error) {
        const how = `PARTIALCONV_FUZZ_SEED=${seed} PARTIALCONV_FUZZ_SECONDS=0 runs this case alone`;
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`${name}, ${JSON.stringify(c)}\n${how}\n${message}`, { cause: error });
      }
    }
    seed = (seed + 1) % 2 ** 31;
  } while (performance.now() < end);
}
