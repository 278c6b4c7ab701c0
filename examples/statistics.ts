// npm run statistics: how the statistics of activations change over eight plain, partial and masked convolutions of equal weights.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Conv2d, MaskedConv2d, MaskedUnshuffle2d, manualSeed, noGrad, PartialConv2d, type Tensor, tensor } from 'partialconv';
import { KINDS, type Kind, type Moments, momentsOf, type Row } from './moments';
import { drawStatistics } from './statistics_chart';
import { alignColumns } from './table';

const [SEED, DEPTH, SIZE, CHANNELS] = [1337, 8, 256, 3];

const HELP = `Usage: npm run statistics -- [--out DIR]

Prints mean, standard deviation, skewness and kurtosis of the activations of ${DEPTH} layers, and draws DIR/statistics.svg (default: demo).
`;

/** [1, 3, 256, 256]: waves of several lengths and directions, others in each channel. */
function image(): Tensor {
  const value = (c: number, y: number, x: number): number =>
    Math.sin((x + 2 * y) / (5 + c)) + Math.sin((3 * x - y) / (11 + 2 * c)) + Math.sin((x * y) / (300 + 100 * c));
  return planes(value);
}

/** 0 in the upper right quarter of the first channel, the lower right one of two, the lower left one of all, and on two grids. */
function holes(): Tensor {
  const half = SIZE / 2;
  return planes((c, y, x) => {
    const [lower, right] = [y >= half, x >= half];
    const cut = (!lower && right && c < 1) || (lower && right && c < 2) || (lower && !right);
    const grid = (y % 2 === 0 && x % 2 === 0) || (y % 3 === 0 && x % 3 === 0);
    return cut || grid ? 0 : 1;
  });
}

function planes(value: (c: number, y: number, x: number) => number): Tensor {
  const data = new Float32Array(CHANNELS * SIZE * SIZE);
  data.forEach((_, i) => {
    data[i] = value(Math.floor(i / SIZE ** 2), Math.floor(i / SIZE) % SIZE, i % SIZE);
  });
  return tensor(data, { shape: [1, CHANNELS, SIZE, SIZE] });
}

/** Activations and, but for the plain convolution, their mask. */
type State = [x: Tensor, mask: Tensor | null];

/** One of the eight: each halves height and width and has 4, 8, ... 512 channels. All three kinds get the weights of the plain one. */
function layers(i: number): Record<Kind, (...state: State) => State> {
  const [from, to] = [i === 0 ? 4 * CHANNELS : 4 * 2 ** (i + 1), 4 * 2 ** i];
  const options = { padding: 1, bias: false } as const;
  const plain = new Conv2d(from, to, 3, options);
  const partial = new PartialConv2d(from, to, 3, { ...options, multiChannel: true, returnMask: true });
  const masked = new MaskedConv2d(from, to, 3, options);
  for (const layer of [partial, masked]) layer.loadStateDict(plain.stateDict());
  return {
    plain: (x) => [plain.forward(x), null],
    partial: (x, mask) => partial.forward(x, mask),
    masked: (x, mask) => masked.forward(x, mask),
  };
}

/** The moments of the image with holes (layer 0) and of each layer's output, over all elements, valid or not. */
export function measure(): Row[] {
  return noGrad(() => {
    manualSeed(SEED);
    const unshuffle = new MaskedUnshuffle2d(2);
    const mask = holes();
    const x = image().mul(mask);
    const state = new Map<Kind, State>(KINDS.map(({ kind }) => [kind, [x, kind === 'plain' ? null : mask]]));
    const rows: Row[] = KINDS.map(({ kind }) => ({ layer: 0, kind, ...momentsOf(x) }));
    for (let i = 0; i < DEPTH; i++) {
      const layer = layers(i);
      for (const { kind } of KINDS) {
        const next = layer[kind](...unshuffle.forward(...(state.get(kind) as State)));
        state.set(kind, next);
        rows.push({ layer: i + 1, kind, ...momentsOf(next[0]) });
      }
    }
    return rows;
  });
}

async function main(): Promise<void> {
  const { values: args } = parseArgs({ options: { out: { type: 'string' }, help: { type: 'boolean' } } });
  if (args.help) {
    process.stdout.write(HELP);
    return;
  }
  const rows = measure();
  const digits = (v: number): string => v.toPrecision(3);
  const cells = rows.map(({ layer, kind, ...m }) => {
    const { mean, std, skewness, kurtosis }: Moments = m;
    return [String(layer), layer === 0 ? 'image with holes' : kind, ...[mean, std, skewness, kurtosis].map(digits)];
  });
  const shown = cells.filter(([layer], i) => layer !== '0' || i === 0);
  const out = args.out ?? 'demo';
  mkdirSync(out, { recursive: true });
  const path = join(out, 'statistics.svg');
  writeFileSync(path, await drawStatistics(rows));
  const head = ['layer', 'convolution', 'mean', 'standard deviation', 'skewness', 'kurtosis'];
  process.stdout.write(`${alignColumns(head, shown)}\n\nOver all elements of each output; a normal distribution has kurtosis 3. ${path}\n`);
}

if (require.main === module) {
  main().catch((error: unknown) => {
    process.stderr.write(`statistics: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
