// The initial values of a layer's parameters, drawn in PyTorch's order from its generator.
import { uniform } from '../random';
import { sizeOf, type Tensor } from '../tensor';

// nn.init.kaiming_uniform_ with a = sqrt(5): all in double, in PyTorch's order of operations, since the bounds must agree to the bit.
const GAIN = Math.sqrt(2 / (1 + Math.sqrt(5) ** 2));

/**
 * Weight uniform within sqrt(3) * gain / sqrt(fan_in), then bias uniform within 1 / sqrt(fan_in); fan_in = (C / groups) * taps. A
 * weight without elements is left, the bias then gets zeros but still draws its numbers.
 */
export function initConvolution(name: string, weight: Tensor, bias: Tensor | null): void {
  const fanIn = sizeOf(weight.shape.slice(1));
  if (weight.size === 0) {
    process.emitWarning(`${name}: Initializing zero-element tensors is a no-op (weight [${weight.shape.join(', ')}])`, {
      code: 'PARTIALCONV_EMPTY',
    });
  } else {
    const bound = Math.sqrt(3) * (GAIN / Math.sqrt(fanIn));
    uniform(weight, -bound, bound);
  }
  if (bias === null) return;
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
  uniform(bias, 0 - bound, bound); // not -bound, which may be -0
}
