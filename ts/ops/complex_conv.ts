// Complex convolution as one real convolution: (re, im) become neighbouring channels, the weight [[re, -im], [im, re]].
import { needsNode, record } from '../autograd';
import { untracked } from '../context';
import { DTYPES } from '../dtype';
import type { Storage } from '../storage';
import { forget, sizeOf, Tensor } from '../tensor';
import type { ConvCall } from './conv_call';
import { neg } from './elementwise';
import { concat, reshape, slice, transpose } from './shape';

/** A complex tensor as real numbers with a last dimension of 2, on the same memory. */
function viewAsReal(x: Tensor): Tensor {
  const y = new Tensor(x.storage, [...x.shape, 2], DTYPES[x.dtype].real, x.device);
  return record('viewAsReal', y, [x], [], (dy) => [viewAsComplex(dy)]);
}

/** The inverse of viewAsReal. */
function viewAsComplex(x: Tensor): Tensor {
  const y = new Tensor(x.storage, x.shape.slice(0, -1), x.dtype === 'float64' ? 'complex128' : 'complex64', x.device);
  return record('viewAsComplex', y, [x], [], (dy) => [viewAsReal(dy)]);
}

/** The last of several steps from x; what lies between is freed (a graph holds by itself what it needs). */
function through(x: Tensor, ...steps: readonly ((t: Tensor) => Tensor)[]): Tensor {
  return steps.reduce((t, step) => {
    const next = step(t);
    if (t !== x) t.dispose();
    return next;
  }, x);
}

function realWeight(weight: Tensor): Tensor {
  const [o, c, ...kernel] = weight.shape as [number, number, ...number[]];
  const part = (i: number) =>
    through(
      weight,
      viewAsReal,
      (t) => reshape(t, [weight.size, 2]),
      (t) => slice(t, 1, i, i + 1),
      (t) => reshape(t, [o, 1, c, 1, ...kernel]),
    );
  const [re, im] = [part(0), part(1)];
  const negative = neg(im);
  const rows = [concat([re, negative], 3), concat([im, re], 3)];
  const real = through(
    rows[0] as Tensor,
    () => concat(rows, 1),
    (t) => reshape(t, [2 * o, 2 * c, ...kernel]),
  );
  for (const t of [re, im, negative, ...rows]) t.dispose();
  return real;
}

const cache = new WeakMap<Storage, { readonly version: number; readonly weight: Tensor }>();

function cachedRealWeight(weight: Tensor): Tensor {
  const { version, origin } = weight.storage;
  const shape = [2 * (weight.shape[0] as number), 2 * (weight.shape[1] as number), ...weight.shape.slice(2)];
  let known = cache.get(origin);
  if (known?.version !== version || String(known.weight.shape) !== String(shape)) {
    if (known !== undefined) forget(known.weight);
    known = { version, weight: untracked(() => realWeight(weight)) };
    cache.set(origin, known);
  }
  return known.weight;
}

/** A real convolution, and what of it can be freed when it is done. */
export interface RealCall {
  readonly call: ConvCall;
  readonly temporary: readonly Tensor[];
}

/** The real convolution that computes a complex one: channel 2i holds the real part of channel i, 2i + 1 the imaginary part. */
export function complexCall(call: ConvCall): RealCall {
  const { shapes, x, weight, bias } = call;
  const { batched, n, c, o, input, output } = shapes;
  const lead = (channels: number) => (batched ? [n, channels] : [channels]);
  const realX = through(
    x,
    viewAsReal,
    (t) => reshape(t, [n * c, sizeOf(input), 2]),
    (t) => transpose(t, 1, 2),
    (t) => reshape(t, [...lead(2 * c), ...input]),
  );
  const fresh = needsNode([weight]) || weight.storage.shared;
  const realW = fresh ? realWeight(weight) : cachedRealWeight(weight);
  const realB = bias && through(bias, viewAsReal, (t) => reshape(t, [2 * o]));
  return {
    call: {
      ...call,
      shapes: { ...shapes, c: 2 * c, o: 2 * o, outputShape: [...lead(2 * o), ...output] },
      x: realX,
      weight: realW,
      bias: realB,
    },
    temporary: [realX, ...(fresh ? [realW] : []), ...(realB ? [realB] : [])],
  };
}

/** The complex result from that of the real convolution, which is freed. */
export function mergeComplex({ shapes }: ConvCall, y: Tensor): Tensor {
  const { n, o, output, outputShape } = shapes;
  const merged = through(
    y,
    (t) => reshape(t, [n * o, 2, sizeOf(output)]),
    (t) => transpose(t, 1, 2),
    (t) => reshape(t, [...outputShape, 2]),
    viewAsComplex,
  );
  y.dispose();
  return merged;
}
