// What is compared on a GPU: convolutions in every precision, kernels that move memory, a training step. Ours may cost 1.05 times cuDNN's
// plain convolution; it has to be twice as fast as PyTorch's partial convolution, and no slower than torch.compile's.
import type { Case, Holes } from '../peers/peer';
import type { Shape } from '../shapes';

export type Precision = 'TF32' | 'float16' | 'bfloat16';
export const PRECISIONS: readonly Precision[] = ['TF32', 'bfloat16', 'float16'];

/** Who runs a row: ours in one of three ways, or PyTorch; cuDNN NHWC is PyTorch's plain convolution of channels-last tensors. */
export type Who = 'ours' | 'ours, mask cached' | 'ours, compiled' | 'PyTorch' | 'torch.compile' | 'cuDNN NHWC';

export interface ConvRow {
  readonly title: string;
  readonly pass: Case['pass'];
  readonly shape: Shape;
  readonly contestants: readonly { readonly who: Who; readonly op: Case['op']; readonly holes: Holes; readonly atLeast?: number }[];
}

const SHAPES: readonly Shape[] = [
  { name: 'speech', group: 'dense', x: [8, 512, 1000], out: 512, kernel: 5, padding: 2 },
  { name: 'long audio', group: 'dense', x: [32, 64, 16384], out: 64, kernel: 7, padding: 3 },
  { name: 'mel', group: 'dense', x: [1, 80, 2000], out: 80, kernel: 5, padding: 2 },
  { name: 'in-painting 2-D', group: 'dense', x: [16, 64, 256, 256], out: 64, kernel: 3, padding: 1 },
  { name: 'dilation 8', group: 'special', x: [8, 128, 8192], out: 128, kernel: 3, padding: 8, dilation: 8 },
  { name: 'depthwise', group: 'special', x: [8, 256, 8000], out: 256, kernel: 5, padding: 2, groups: 256 },
  { name: 'C = 1 -> 32', group: 'special', x: [8, 1, 64000], out: 32, kernel: 9, padding: 4 },
];

/** The same rows, small enough for a GPU that is only pretended. */
const SMALL: readonly Shape[] = [
  { name: 'speech', group: 'dense', x: [2, 16, 60], out: 16, kernel: 5, padding: 2 },
  { name: 'depthwise', group: 'special', x: [2, 16, 40], out: 16, kernel: 5, padding: 2, groups: 16 },
];

function rowsOf(shape: Shape): ConvRow[] {
  const conv = (who: Who, atLeast?: number) => ({ who, op: 'conv', holes: 'none', atLeast }) as const;
  const partial = (who: Who, holes: Holes, atLeast?: number) => ({ who, op: 'partial', holes, atLeast }) as const;
  const rivals = (holes: Holes) => [partial('PyTorch', holes, 2), partial('torch.compile', holes, 1)];
  const ways = [partial('ours', 'single'), partial('ours, mask cached', 'single'), partial('ours, compiled', 'single')];
  const rows: ConvRow[] = [
    {
      title: 'conv',
      pass: 'forward',
      shape,
      contestants: [conv('ours'), conv('ours, compiled'), conv('cuDNN NHWC', 1 / 1.05), conv('PyTorch')],
    },
    {
      title: 'partial, single-channel mask',
      pass: 'forward',
      shape,
      contestants: [...ways, conv('cuDNN NHWC', 1 / 1.05), ...rivals('single')],
    },
  ];
  if (shape.group !== 'dense') return rows;
  const pass = 'training';
  return [
    ...rows,
    { title: 'partial, multi-channel mask', pass: 'forward', shape, contestants: [partial('ours', 'multi'), ...rivals('multi')] },
    { title: 'conv, forward + backward', pass, shape, contestants: [conv('ours'), conv('cuDNN NHWC'), conv('PyTorch')] },
    { title: 'partial single, forward + backward', pass, shape, contestants: [partial('ours', 'single'), ...rivals('single')] },
  ];
}

export const convRows = (small: boolean): ConvRow[] => (small ? SMALL : SHAPES).flatMap(rowsOf);

/** x of the ops that move memory, far beyond the caches: [N, C, L] with 256 MB in float32. */
export const memoryShape = (small: boolean): readonly number[] => (small ? [2, 3, 40] : [32, 64, 32768]);

/** [N, channels, L] and the number of hints of the demo's U-net. */
export const unetShape = (small: boolean) => (small ? { x: [2, 2, 64], hints: 5 } : { x: [8, 4, 2048], hints: 12 });
