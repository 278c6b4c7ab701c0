// The named shapes of every benchmark, and what one convolution of such a shape costs at least.

export interface Shape {
  readonly name: string;
  /** dense: what the engine is built for; special: its other paths; small: where the cost of a call shows. */
  readonly group: 'dense' | 'special' | 'small';
  /** [N, C, L] or [N, C, H, W] */
  readonly x: readonly number[];
  readonly out: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
}

export const SHAPES: readonly Shape[] = [
  { name: 'speech', group: 'dense', x: [8, 512, 1000], out: 512, kernel: 5, padding: 2 },
  { name: 'audio', group: 'dense', x: [8, 64, 4096], out: 64, kernel: 7, padding: 3 },
  { name: 'mel', group: 'dense', x: [1, 80, 2000], out: 80, kernel: 5, padding: 2 },
  { name: 'sensors', group: 'dense', x: [32, 32, 512], out: 64, kernel: 3, padding: 1 },
  { name: 'in-painting 2-D', group: 'dense', x: [4, 64, 128, 128], out: 64, kernel: 3, padding: 1 },
  { name: 'depthwise', group: 'special', x: [8, 256, 2000], out: 256, kernel: 5, padding: 2, groups: 256 },
  { name: 'stride 2', group: 'special', x: [8, 128, 2000], out: 128, kernel: 5, padding: 2, stride: 2 },
  { name: 'dilation 8', group: 'special', x: [8, 128, 2000], out: 128, kernel: 3, padding: 8, dilation: 8 },
  { name: 'C = 1 -> 32', group: 'special', x: [8, 1, 16000], out: 32, kernel: 9, padding: 4 },
  { name: 'K = 1', group: 'special', x: [8, 256, 1000], out: 256, kernel: 1 },
  { name: 'L = 32', group: 'special', x: [32, 128, 32], out: 128, kernel: 3, padding: 1 },
  { name: 'tiny', group: 'small', x: [1, 8, 64], out: 8, kernel: 3, padding: 1 },
];

export const kernelOf = (shape: Shape): number[] => shape.x.slice(2).map(() => shape.kernel);

export const weightShape = (shape: Shape): number[] => [shape.out, (shape.x[1] as number) / (shape.groups ?? 1), ...kernelOf(shape)];

export function outputShape({ x, out, kernel, stride = 1, padding = 0, dilation = 1 }: Shape): number[] {
  const size = x.slice(2).map((length) => Math.floor((length + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);
  return [x[0] as number, out, ...size];
}

export const product = (numbers: readonly number[]): number => numbers.reduce((result, n) => result * n, 1);

/** Multiplications and additions of a plain convolution. */
export const flops = (shape: Shape): number => 2 * product(outputShape(shape)) * product(weightShape(shape).slice(1));

/** What has to be read and written at least: x, weight and y once, in float32. */
export const bytes = (shape: Shape): number => 4 * (product(shape.x) + product(weightShape(shape)) + product(outputShape(shape)));
