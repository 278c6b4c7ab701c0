// What is compared: for every shape the contestants, ours first, and by how much ours has to be faster, in medians of one run. Beside our own
// convolution, a partial one may cost 1.05 times as much, and one with half of its positions in a run of holes 0.6 times.
import type { Case, Holes } from './peers/peer';
import { SHAPES, type Shape } from './shapes';

/** Who runs a case: a peer's name, or one of our own ways to run it. */
export type Who = 'ours' | 'ours, mask cached' | 'PyTorch' | 'onnxruntime' | 'tfjs wasm';

export interface Contestant {
  readonly who: Who;
  readonly op: Case['op'];
  readonly holes: Holes;
  /** Ours must be this many times as fast. */
  readonly atLeast?: number;
}

export interface Row {
  readonly title: string;
  readonly pass: Case['pass'];
  readonly shape: Shape;
  readonly contestants: readonly [Contestant, ...Contestant[]];
}

const conv = (who: Who, atLeast?: number): Contestant => ({ who, op: 'conv', holes: 'none', atLeast });
const partial = (who: Who, holes: Holes, atLeast?: number): Contestant => ({ who, op: 'partial', holes, atLeast });

function convRow(shape: Shape): Row {
  const factor = { dense: 1.1, special: 0.9, small: undefined }[shape.group];
  const others = [conv('PyTorch', factor), conv('onnxruntime', factor), conv('tfjs wasm', shape.group === 'dense' ? 5 : undefined)];
  return { title: 'conv', pass: 'forward', shape, contestants: [conv('ours'), ...others] };
}

const NO_DEARER_THAN_CONV = 1 / 1.05;
const HALF_THE_WORK = 1 / 0.6;

function partialRows(shape: Shape): Row[] {
  const pass = 'forward';
  const own = conv('ours', NO_DEARER_THAN_CONV);
  const single = [partial('ours', 'single'), own, partial('ours, mask cached', 'single'), partial('PyTorch', 'single', 1.2)] as const;
  const multi = [partial('ours', 'multi'), conv('ours'), partial('PyTorch', 'multi', 2.5)] as const;
  const half = [partial('ours', 'half'), partial('ours', 'full', HALF_THE_WORK), partial('PyTorch', 'half')] as const;
  const columns = [partial('ours', 'columns'), partial('ours', 'full'), partial('PyTorch', 'columns')] as const;
  return [
    { title: 'partial, single-channel mask', pass, shape, contestants: single },
    { title: 'partial, multi-channel mask', pass, shape, contestants: multi },
    { title: 'partial, second half masked', pass, shape, contestants: half },
    ...(shape.x.length > 3 ? [{ title: 'partial, right half of rows masked', pass, shape, contestants: columns } as const] : []),
  ];
}

/** Forward and backward together. */
function trainingRows(shape: Shape): Row[] {
  const pass = 'training';
  return [
    { title: 'conv, forward + backward', pass, shape, contestants: [conv('ours'), conv('PyTorch', 1)] },
    {
      title: 'partial single, forward + backward',
      pass,
      shape,
      contestants: [partial('ours', 'single'), partial('PyTorch', 'single', 1.2)],
    },
    { title: 'partial multi, forward + backward', pass, shape, contestants: [partial('ours', 'multi'), partial('PyTorch', 'multi', 1.8)] },
  ];
}

export const ROWS: readonly Row[] = SHAPES.flatMap((shape) =>
  shape.group === 'dense' ? [convRow(shape), ...partialRows(shape), ...trainingRows(shape)] : [convRow(shape)],
);
