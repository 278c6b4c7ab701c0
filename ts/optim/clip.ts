// Clipping of gradients by their common norm.
import { untracked } from '../context';
import { full } from '../create';
import { backend } from '../device';
import { DTYPES } from '../dtype';
import { BackendError, DeviceError, DTypeError, ShapeError } from '../errors';
import { BINARY } from '../native';
import { broadcastFields } from '../ops/kernels';
import { checkOptions } from '../options';
import { checkTensor, describe, empty, Tensor } from '../tensor';

const OP = 'clipGradNorm';

const isFilled = <T>(list: readonly T[]): list is readonly [T, ...T[]] => list.length > 0;

const codeOf = (t: Tensor) => DTYPES[DTYPES[t.dtype].real].code;

/** t *= factor, in place; a complex tensor as its real view, a 16-bit one in float32. */
function scale(t: Tensor, factor: number): void {
  const array = t.rawForWrite(OP);
  const { lanes, accumulator } = DTYPES[t.dtype];
  const fields = broadcastFields([t.size * lanes], [t.size * lanes], []);
  const right = untracked(() => full([], factor, { dtype: accumulator, device: t.device }));
  backend(t.device).binary(BINARY.mul, fields, array, codeOf(t), right.raw(OP), right.code, array, codeOf(t));
  right.dispose();
}

/** The sum of the squares of all elements of tensors on one device. */
function squares(tensors: readonly [Tensor, ...Tensor[]]): number {
  const { device } = tensors[0];
  using sums = untracked(() => empty([tensors.length], 'float64', device, OP));
  for (const [i, t] of tensors.entries()) {
    if (t.device !== device)
      throw new DeviceError(`${OP}: expected all gradients on one device, but they are on ${device} and ${t.device}`);
    backend(device).sumSquares(i, t.raw(OP), codeOf(t), sums.raw(OP), sums.code);
  }
  let total = 0;
  for (const sum of sums.readSync()) total += sum;
  return total;
}

/**
 * Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)), norm being the Euclidean norm of all of them together. Squares are
 * added in float64; then as PyTorch's torch.nn.utils.clip_grad_norm_, in float32 unless a gradient is of double precision.
 * @param parameters whose `grad` is clipped; those without one count nothing
 * @param options.errorIfNonfinite throw where the norm is NaN or infinite, default false
 * @returns the norm before clipping
 * @throws ShapeError if maxNorm is not a number of at least 0, DTypeError, BackendError for a norm that is not finite, where asked
 */
export function clipGradNorm(
  parameters: Tensor | Iterable<Tensor>,
  maxNorm: number,
  options?: { readonly errorIfNonfinite?: boolean },
): number {
  const { errorIfNonfinite = false } = checkOptions(OP, options, ['errorIfNonfinite']);
  if (typeof maxNorm !== 'number' || !(maxNorm >= 0))
    throw new ShapeError(`${OP}: expected maxNorm to be a number of at least 0, but got ${describe(maxNorm)}`);
  const iterable =
    typeof parameters === 'object' && parameters !== null && Symbol.iterator in parameters && !ArrayBuffer.isView(parameters);
  if (!(parameters instanceof Tensor || iterable)) throw new DTypeError(`${OP}: expected tensors, but got ${describe(parameters)}`);
  const list = parameters instanceof Tensor ? [parameters] : [...parameters];
  const grads = list.flatMap((t, i) => {
    const { grad } = checkTensor(t, OP, `parameter ${i}`);
    return grad === null || grad === undefined ? [] : [checkTensor(grad, OP, `the gradient of parameter ${i}`)];
  });
  if (!isFilled(grads)) return 0;
  const round = grads.some((grad) => DTYPES[grad.dtype].real === 'float64') ? (v: number) => v : Math.fround;
  const norm = round(Math.sqrt(squares(grads)));
  if (errorIfNonfinite && !Number.isFinite(norm)) {
    throw new BackendError(`${OP}: The total norm of the gradients is non-finite (${norm}), so it cannot be clipped`);
  }
  // NaN stays NaN, as in PyTorch.
  const factor = Math.min(1, round(maxNorm / round(norm + 1e-6)));
  if (factor !== 1) for (const grad of grads) scale(grad, factor);
  return norm;
}
