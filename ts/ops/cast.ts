// Conversion between dtypes, its gradient recorded.
import { record } from '../autograd';
import { checkDType, type DType, isDifferentiable } from '../dtype';
import { checkTensor, empty, type Tensor } from '../tensor';
import { castTo } from './kernels';
import type { Steps } from './steps';

/** y, which holds x in another dtype, with its gradient recorded. */
export const recordCast = (x: Tensor, y: Tensor): Tensor => {
  const from = x.dtype;
  return isDifferentiable(y.dtype) ? record('to', y, [x], [], (g) => [castTo(g, from)]) : y;
};

/**
 * x in another dtype; x itself where it has it. Floats round to nearest; floats become integers towards zero, saturating (NaN becomes
 * 0); wider integers wrap; complex numbers lose their imaginary part; whatever is not 0 is true.
 * @throws DTypeError if dtype is none
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  checkTensor(x, 'to');
  if (x.dtype === checkDType('to', dtype)) return x;
  return recordCast(x, castTo(x, dtype));
}

/** cast() of a checked tensor, as steps of the op that wants it. */
export function* castSteps(op: string, x: Tensor, dtype: DType): Steps<Tensor> {
  if (x.dtype === dtype) return x;
  const y = empty(x.shape, dtype, x.device, op);
  yield { name: 'cast', op, args: [x, y] };
  return recordCast(x, y);
}
