// partialconv on a GPU: what peers/ours.ts does on the CPU, on 'cuda', waiting for the GPU at the end of a batch.
import type * as Library from '../../ts/index';
import { layerOf, pc } from '../peers/ours';
import { type Case, type Operands, type Runner, sampleOf } from '../peers/peer';
import { outputShape } from '../shapes';
import type { Precision } from './rows';

export const dtypeOf = (precision: Precision): 'float32' | 'float16' | 'bfloat16' => (precision === 'TF32' ? 'float32' : precision);

/** Seconds of so many calls, until the GPU has done them. */
export function timed(run: () => void, iterations: number): number {
  const fence = pc.zeros([1], { device: 'cuda' });
  fence.readSync();
  const start = process.hrtime.bigint();
  for (let i = 0; i < iterations; i++) run();
  fence.fill_(0);
  fence.readSync(); // in the order of the stream: after what the calls gave it
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  fence.dispose();
  return seconds;
}

/** The values of a tensor as float32. */
export const valuesOf = (y: Library.Tensor): Float32Array => pc.cast(y, 'float32').readSync() as Float32Array;

type Layer = ReturnType<typeof layerOf> & Library.Module;

/** The layer, with compile() where asked for, as a function of x and the mask. */
function forwardOf(layer: Layer, x: Library.Tensor, mask: Library.Tensor | undefined, compiled: boolean): () => Library.Tensor {
  const runnable = compiled ? layer.compile(x.shape, { mask: mask?.shape, maskDtype: mask?.dtype }) : layer;
  return () => runnable.forward(x, mask);
}

export interface Way {
  /** The layer may keep what it made of the mask from call to call; else it is given another one each time. */
  readonly cachedMask: boolean;
  readonly compiled: boolean;
}

export function prepareOurs(what: Case, precision: Precision, operands: Operands, { cachedMask, compiled }: Way): Runner {
  const onGpu = (t: Library.Tensor) => t.to(dtypeOf(precision)).to('cuda');
  const layer = layerOf(what, operands) as Layer;
  layer.to(dtypeOf(precision)).to('cuda');
  const x = onGpu(pc.tensor(operands.x, { shape: [...what.shape.x] }));
  const mask = what.holes === 'none' ? undefined : onGpu(pc.tensor(operands.mask, { shape: [...operands.maskShape] }));
  const ones = onGpu(pc.ones(outputShape(what.shape)));
  const forward = forwardOf(layer, x, mask, compiled);
  x.requiresGrad = what.pass === 'training';
  const step = () => {
    forward().backward(ones);
    for (const leaf of [x, layer.weight, layer.bias]) if (leaf) leaf.grad = null;
  };
  const run = what.pass === 'training' ? step : () => void pc.noGrad(forward);
  // Writing a mask, even with what it holds, makes the layer count it again.
  const renew = () => void mask?.mul_(1);
  const call = () => {
    if (!cachedMask) renew();
    pc.tidy(run);
  };
  return {
    time: (iterations) => timed(call, iterations),
    sample: () => pc.tidy(() => sampleOf(what.shape, valuesOf(pc.noGrad(forward)))),
    close() {
      for (const t of [x, mask, ones]) t?.dispose();
    },
  };
}
