// 16-bit floats are summed in float32 or better on 'cuda', too, forward and backward.
import { expectLongSums, LONG_SUMS } from '../support/long_sums';
import { onDevice } from '../support/tensors';
import { needsCuda } from './on_gpu';

// A plan rounds its sums, and the kernel after it, which has ratio and bias, once more.
const ROUNDINGS = 2;

describe("sums of 16-bit floats on 'cuda'", () => {
  needsCuda();

  for (const [name, op] of Object.entries(LONG_SUMS)) {
    for (const dtype of ['float16', 'bfloat16'] as const)
      it(`${name} in ${dtype}`, () => onDevice('cuda', () => expectLongSums(op, dtype, ROUNDINGS)));
  }
});
