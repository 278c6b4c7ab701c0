// partialconv itself, as built in dist/ (tsx would slow the sources down a little).
import { join } from 'node:path';
import type * as Library from '../../ts/index';
import { outputShape, weightShape } from '../shapes';
import { type Case, type Operands, type Peer, type Runner, sampleOf } from './peer';

export const pc = require(join(__dirname, '..', '..', 'dist', 'index.js')) as typeof Library;

type Layer = Pick<Library.Conv1d, 'weight' | 'bias'> & { forward(x: Library.Tensor, mask?: Library.Tensor): Library.Tensor };

export function layerOf({ shape, op, holes }: Case, { weight, bias }: Pick<Operands, 'weight' | 'bias'>): Layer {
  const { stride, padding, dilation, groups, kernel, out } = shape;
  const channels = shape.x[1] as number;
  const options = { stride, padding, dilation, groups };
  const plane = shape.x.length === 4;
  const partial = { ...options, multiChannel: holes === 'multi' };
  const layer =
    op === 'conv'
      ? new (plane ? pc.Conv2d : pc.Conv1d)(channels, out, kernel, options)
      : new (plane ? pc.PartialConv2d : pc.PartialConv1d)(channels, out, kernel, partial);
  layer.loadStateDict({ weight: pc.tensor(weight, { shape: weightShape(shape) }), bias: pc.tensor(bias) });
  return layer as unknown as Layer;
}

/** cachedMask: the layer may keep what it made of the mask from call to call; else it counts the mask at every call. */
export function ours(name: string, { cachedMask = false } = {}): Peer {
  return {
    name,
    version: pc.info().version,
    prepare(what, operands): Runner {
      const layer = layerOf(what, operands);
      const x = pc.tensor(operands.x, { shape: [...what.shape.x] });
      const mask = what.holes === 'none' ? undefined : pc.tensor(operands.mask, { shape: [...operands.maskShape] });
      if (!cachedMask) void mask?.data; // handing out the data marks the tensor as shared: nothing is cached by it
      const forward = () => pc.noGrad(() => layer.forward(x, mask));
      const ones = pc.ones(outputShape(what.shape));
      x.requiresGrad = what.pass === 'training';
      const step = () => {
        const y = layer.forward(x, mask);
        y.backward(ones);
        y.dispose();
        for (const leaf of [x, layer.weight, layer.bias]) {
          leaf?.grad?.dispose();
          if (leaf) leaf.grad = null;
        }
      };
      const run = what.pass === 'training' ? step : () => forward().dispose();
      return {
        time(iterations) {
          pc.setNumThreads(what.threads);
          const start = process.hrtime.bigint();
          for (let i = 0; i < iterations; i++) run();
          return Number(process.hrtime.bigint() - start) / 1e9;
        },
        sample: () => sampleOf(what.shape, forward().data as Float32Array),
        close() {
          x.dispose();
          ones.dispose();
          mask?.dispose();
        },
      };
    },
    close() {},
  };
}
