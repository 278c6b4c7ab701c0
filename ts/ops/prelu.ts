// PReLU: a learned slope for negative values.
import { record } from '../autograd';
import { backend } from '../device';
import { ShapeError } from '../errors';
import { checkTensor, empty, formatShape, sizeOf, type Tensor } from '../tensor';
import { autocastNarrow } from './autocast';
import { checkPerChannel, checkReal, operand } from './channels';

/**
 * `x > 0 ? x : weight * x`, with a slope for each channel or one for all. Source: PyTorch, torch.nn.functional.prelu.
 * @param x [N, C, ...] (or any shape, with one slope), real floating point
 * @param weight [C] or [1], of x's dtype
 * @throws ShapeError if weight has another number of elements, DTypeError, DeviceError
 */
export const prelu = (x: Tensor, weight: Tensor): Tensor => autocastNarrow('prelu', x, weight, run);

function run(x: Tensor, weight: Tensor): Tensor {
  const op = 'prelu';
  checkReal(op, x);
  checkTensor(weight, op, 'weight');
  const [n = 1, c = 1] = x.shape;
  const slopes = weight.size;
  if (slopes !== 1 && (x.rank < 2 || slopes !== c)) {
    throw new ShapeError(
      `${op}: Mismatch of parameter numbers and input channel size. Found parameter numbers = ${slopes} and channel size = ${x.rank < 2 ? 1 : c}: ` +
        `weight ${formatShape(weight.shape)}, x ${formatShape(x.shape)}`,
    );
  }
  checkPerChannel(op, 'weight', weight, x, slopes);
  const fields = Float64Array.of(...(slopes === 1 ? [1, 1, x.size] : [n, c, sizeOf(x.shape.slice(2))]), slopes);
  const y = empty(x.shape, x.dtype, x.device, op);
  backend(x.device).prelu(fields, ...operand(x, op), ...operand(weight, op), ...operand(y, op));
  return record(op, y, [x, weight], [x, weight], (dy, needs, [x, weight]) => {
    const dx = needs[0] ? empty(dy.shape, dy.dtype, dy.device, op) : null;
    const dweight = needs[1] ? empty([slopes], dy.dtype, dy.device, op) : null;
    const operands = [...operand(x, op), ...operand(weight, op), ...operand(dy, op)] as const;
    backend(dy.device).preluBackward(fields, ...operands, ...operand(dx, op), ...operand(dweight, op));
    return [dx, dweight];
  });
}
