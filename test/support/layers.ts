// Layers with chosen parameters.
import { noGrad, PartialConv1d, PartialConv2d, tensor } from '../../ts';
import type { PartialConvLayerOptions } from '../../ts/nn/partial_conv';

/** A layer with every weight 1 and the given bias. */
export function layerOfOnes(shape: readonly number[], bias: readonly number[] | undefined, options: PartialConvLayerOptions<boolean>) {
  const [o, c, ...kernel] = shape as [number, number, ...number[]];
  const layer = new (kernel.length === 1 ? PartialConv1d : PartialConv2d)(c, o, kernel, { ...options, bias: bias !== undefined });
  noGrad(() => {
    layer.weight.fill_(1);
    if (bias) layer.bias?.copy_(tensor(bias as number[]));
  });
  return layer;
}
