// A mask onto x: multiplied, divided out, or selected by. No gradient flows into the mask.
import { record } from '../autograd';
import { backend } from '../device';
import { ShapeError } from '../errors';
import { empty, formatShape, type Tensor } from '../tensor';
import { channelsOf, checkMask, checkReal, operand } from './channels';
import { checkEps } from './norm';

/** MaskOp in native/ops.h. */
const OPS = { select: 0, apply: 1, unapply: 2 } as const;

function maskOp(op: string, kind: keyof typeof OPS, x: Tensor, given: Tensor, eps: number): Tensor {
  if (checkReal(op, x).rank < 2) throw new ShapeError(`${op}: expected x [N, C, ...], but got x ${formatShape(x.shape)}`);
  const channels = channelsOf(x);
  const masked = checkMask(op, x, channels, given);
  const fields = Float64Array.of(channels.n, channels.c, channels.s, masked.n, masked.c);
  const run = (from: Tensor, mask: Tensor) => {
    const to = empty(from.shape, from.dtype, from.device, op);
    backend(from.device).maskApply(OPS[kind], fields, eps, ...operand(from, op), ...operand(mask, op), ...operand(to, op));
    return to;
  };
  // Linear in x: the gradient is the same op.
  const y = record(op, run(x, masked.mask), [x], [masked.mask], (dy, _, [mask]) => [run(dy, mask as Tensor)]);
  if (masked.mask !== given) masked.mask.dispose();
  return y;
}

/**
 * x times the mask, 0 where the mask is 0: a NaN there is gone. The gradient is 0 there, too.
 * @param x [N, C, ...], real floating point
 * @param mask [N|1, 1|C, ...], [N, ...] or [...]; bool, integer (non-zero counts as 1) or float
 * @throws ShapeError, DTypeError, DeviceError
 */
export const applyMask = (x: Tensor, mask: Tensor): Tensor => maskOp('applyMask', 'apply', x, mask, 0);

/**
 * x divided by (mask + eps), 0 where that is 0 (the original, masked_torch's UnMask, gives NaN there, as it does in float16 with its
 * eps of 1e-8; ours divides in float64).
 * @param x [N, C, ...], real floating point
 * @param mask as in applyMask
 * @throws ShapeError, DTypeError, DeviceError
 */
export const unMask = (x: Tensor, mask: Tensor, eps = 1e-8): Tensor => maskOp('unMask', 'unapply', x, mask, checkEps('unMask', eps));

/** @internal x where the mask is not 0, else 0; op names the caller in messages. */
export const selectValid = (op: string, x: Tensor, mask: Tensor): Tensor => maskOp(op, 'select', x, mask, 0);
