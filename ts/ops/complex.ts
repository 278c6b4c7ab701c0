// Complex tensors from real parts.
import { record } from '../autograd';
import { DTYPES } from '../dtype';
import { DeviceError, DTypeError } from '../errors';
import { checkTensor, describe, empty, sizeOf, Tensor } from '../tensor';
import { broadcastShapes, copyView, expandTo, sumTo } from './kernels';

// Part 0 or 1 of every number, in a complex tensor's memory seen as real numbers.
const part = (i: 0 | 1) => ({ offset: i, strides: [2] });
const WHOLE = { offset: 0, strides: [1] };

/** fn on the memory of a complex tensor, as real numbers re, im, re, im ... */
function withReal<T>(x: Tensor, fn: (pairs: Tensor) => T): T {
  const pairs = new Tensor(x.storage, [2 * x.size], DTYPES[x.dtype].real, x.device);
  try {
    return fn(pairs);
  } finally {
    pairs.dispose();
  }
}

/**
 * The complex tensor re + i im, with broadcasting: complex64 of float32, complex128 of float64.
 * @throws DTypeError unless both are float32 or both float64, ShapeError if the shapes cannot be broadcast, DeviceError
 */
export function complex(re: Tensor, im: Tensor): Tensor {
  checkTensor(re, 'complex', 're');
  checkTensor(im, 'complex', 'im');
  if (re.dtype !== im.dtype || (re.dtype !== 'float32' && re.dtype !== 'float64')) {
    throw new DTypeError(`complex: expected re and im to be both float32 or both float64, but got ${describe(re)} and ${describe(im)}`);
  }
  if (re.device !== im.device)
    throw new DeviceError(`complex: expected re and im on one device, but re is on ${re.device} and im on ${im.device}`);
  const shape = broadcastShapes('complex', re.shape, im.shape);
  const y = empty(shape, re.dtype === 'float32' ? 'complex64' : 'complex128', re.device, 'complex');
  withReal(y, (pairs) => {
    for (const i of [0, 1] as const) {
      const x = i === 0 ? re : im;
      const full = expandTo(x, shape, 'complex');
      copyView('complex', [sizeOf(shape)], full, WHOLE, pairs, part(i));
      if (full !== x) full.dispose();
    }
  });
  const shapes = [re.shape, im.shape];
  return record('complex', y, [re, im], [], (g, needs) =>
    withReal(g, (pairs) =>
      ([0, 1] as const).map((i) => {
        if (!needs[i]) return null;
        const gradient = empty(g.shape, pairs.dtype, g.device, 'complex');
        copyView('complex', [g.size], pairs, part(i), gradient, WHOLE);
        return sumTo(gradient, shapes[i] as readonly number[]);
      }),
    ),
  );
}
