// Masked convolution: y = (conv(x) + bias) * M', where M' averages the mask under the kernel's centre by the size of the weights.
import { needsNode } from '../autograd';
import { context, tidy, untracked } from '../context';
import { DTYPES } from '../dtype';
import { DeviceError, DTypeError } from '../errors';
import { checkOptions } from '../options';
import type { Storage } from '../storage';
import { checkTensor, describe, forget, sizeOf, type Tensor } from '../tensor';
import { autocastSteps } from './autocast';
import { checkOperands, convolveSteps } from './conv';
import { type ConvOptions, type ConvShapes, type ConvSpec, convSpec } from './conv_geometry';
import { abs } from './elementwise';
import { castTo } from './kernels';
import { unMask } from './mask_apply';
import { maskDtype, maskForm } from './mask_ratio';
import { checkEps } from './norm';
import { sum } from './reduce';
import { clone, reshape } from './shape';
import { runSync, type Steps } from './steps';

export interface MaskedConvOptions extends ConvOptions {
  /** Added to the sum of the weights' sizes that M' is divided by. Default 1e-8. */
  readonly eps?: number;
}

/** One masked convolution, options validated. */
export interface MaskedCall {
  readonly spec: ConvSpec;
  readonly x: Tensor;
  readonly mask: Tensor | null;
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  readonly eps: number;
}

/**
 * [O, C / groups, 1, ...]: v / (sum of v over channels + eps) with v = sum of |weight| over taps, in float32 or float64; 0 for an output
 * channel whose weights are all 0.
 */
function computeCentreWeight({ spec, weight, eps }: MaskedCall, perChannel: boolean): Tensor {
  const [o, c, ...taps] = weight.shape as [number, number, ...number[]];
  const { accumulator } = DTYPES[weight.dtype];
  const wide = DTYPES[weight.dtype].kind === 'complex' ? weight : castTo(weight, accumulator);
  const sizes = reshape(sum(abs(reshape(wide, [o, c, sizeOf(taps)])), 2), [o, c, 1]);
  const shares = unMask(sizes, sum(sizes, 1, { keepDims: true }), eps);
  // A mask with one channel meets every channel's share.
  return reshape(perChannel ? shares : sum(shares, 1), [o, perChannel ? c : 1, ...spec.kernelSize.map(() => 1)]);
}

const cache = new WeakMap<Storage, { readonly version: number; readonly kind: string; readonly weight: Tensor }>();

/** The centre weight, computed once for each version of a weight that nobody can change unseen. */
function centreWeight(call: MaskedCall, perChannel: boolean): Tensor {
  const { storage, shape } = call.weight;
  const compute = () => untracked(() => tidy(() => computeCentreWeight(call, perChannel)));
  if (storage.shared) return compute();
  const kind = `${shape}:${call.eps}:${perChannel}`;
  const known = cache.get(storage);
  if (known?.version === storage.version && known.kind === kind) return known.weight;
  if (context().capturing) return tidy(() => computeCentreWeight(call, perChannel));
  if (known !== undefined) forget(known.weight);
  const weight = compute();
  cache.set(storage, { version: storage.version, kind, weight });
  return weight;
}

/** The geometry of M': a kernel of one tap, where the weight's centre tap is. */
function centreSpec(spec: ConvSpec, perChannel: boolean): ConvSpec {
  const before = spec.kernelSize.map((k, i) => (spec.dilation[i] as number) * Math.floor(k / 2));
  const after = spec.kernelSize.map((k, i) => (spec.dilation[i] as number) * (k - 1) - (before[i] as number));
  return {
    ...spec,
    kernelSize: spec.kernelSize.map(() => 1),
    dilation: spec.dilation.map(() => 1),
    groups: perChannel ? spec.groups : 1,
    pads: spec.pads.map(([p, q], i) => [p - (before[i] as number), q - (after[i] as number)] as const),
  };
}

/** M' [N|1, O, ...output], in the accumulator's dtype. */
function* scaleSteps(call: MaskedCall, shapes: ConvShapes, mask: Tensor): Steps<Tensor> {
  const { spec, weight } = call;
  const { n, c } = maskForm(spec, shapes, mask.shape, true);
  const perChannel = c > 1;
  const { accumulator } = DTYPES[weight.dtype];
  maskDtype(spec.op, mask, accumulator); // refuses complex masks
  const u = centreWeight(call, perChannel);
  const values = untracked(() =>
    tidy(() => {
      const valid = DTYPES[mask.dtype].kind === 'float' ? mask : castTo(mask, 'bool');
      return reshape(castTo(valid, accumulator), [n, c, ...shapes.input]);
    }),
  );
  const { o, input, output } = shapes;
  const centre: ConvShapes = { batched: true, n, c, o, input, output, outputShape: [n, o, ...output] };
  const scale = yield* convolveSteps({
    spec: centreSpec(spec, perChannel),
    shapes: centre,
    x: values,
    weight: u,
    bias: null,
    holes: null,
    zeroInHoles: false,
  });
  values.dispose();
  if (weight.storage.shared) u.dispose();
  return scale;
}

/** The output, and M' in the real dtype of x (in autocast() as it was computed; a tensor of its own), or null without a mask. */
export const maskedConvSteps = (given: MaskedCall): Steps<[Tensor, Tensor | null]> => autocastSteps(given.spec.op, given, steps);

function* steps(call: MaskedCall, given: MaskedCall): Steps<[Tensor, Tensor | null]> {
  const { spec, x, mask, weight, bias } = call;
  const shapes = checkOperands(spec, x, weight, bias);
  if (x.dtype === 'int32') throw new DTypeError(`${spec.op}: expected x of floating point or complex dtype, but got ${describe(x)}`);
  if (mask === null) return [yield* convolveSteps({ spec, shapes, x, weight, bias, holes: null, zeroInHoles: false }), null];
  checkTensor(mask, spec.op, 'mask');
  if (mask.device !== x.device)
    throw new DeviceError(`${spec.op}: expected x and mask on one device, but x is on ${x.device} and the mask on ${mask.device}`);
  const scale = yield* scaleSteps(given, shapes, mask);
  const sizes = { maskN: 0, maskC: 0, ratioN: scale.shape[0] as number, ratioC: shapes.o };
  const y = yield* convolveSteps({
    spec,
    shapes,
    x,
    weight,
    bias,
    holes: { mask: null, ratio: null, updated: scale, sizes },
    zeroInHoles: false,
  });
  // What backward() needs must not be changed through the returned mask.
  const real = call === given ? DTYPES[x.dtype].real : scale.dtype;
  const updated = real !== scale.dtype ? castTo(scale, real) : needsNode([x, weight, bias]) ? clone(scale) : scale;
  if (updated !== scale) scale.dispose();
  if (shapes.batched) return [y, updated];
  const unbatched = reshape(updated, scale.shape.slice(1));
  updated.dispose();
  return [y, unbatched];
}

const KNOWN = ['stride', 'padding', 'dilation', 'groups', 'paddingMode', 'eps'];

function maskedConvolution(dims: 1 | 2, x: Tensor, mask: Tensor | null, weight: Tensor, bias: Tensor | null, options?: MaskedConvOptions) {
  const op = `maskedConv${dims}d`;
  const checked = checkOptions(op, options, KNOWN) as MaskedConvOptions;
  checkTensor(weight, op, 'weight');
  const spec = convSpec(op, dims, weight.rank === dims + 2 ? weight.shape.slice(2) : new Array(dims).fill(1), checked);
  return runSync(maskedConvSteps({ spec, x, mask, weight, bias, eps: checkEps(op, checked.eps ?? 1e-8) }));
}

/**
 * 1-D masked convolution: `y = (conv(x) + bias) * M'` with `M'[n,o,l] = sum over c of v[o,c] mask[n,c,centre(l)] / (sum over c of
 * v[o,c] + eps)`, `v[o,c] = sum over taps of |weight[o,c]|`: for each output channel an average of the mask under the kernel's centre tap
 * floor(K / 2), 0 where the weights are all 0. x is not masked: see applyMask. No gradient flows through M'.
 * Source: masked_torch's MaskedConv1d, which has odd kernels, no dilation and padding of at least floor(K / 2) only.
 * @param x [N, C, L] or [C, L], floating point or complex
 * @param mask [N|1, 1|C, L], [N, L] or [L] (unbatched: [1|C, L]); null: all valid
 * @param weight [O, C / groups, K]
 * @param bias [O] or null
 * @returns [y [N, O, L'], M' [N|1, O, L'] (unbatched: [O, L']), or null without a mask]
 * @throws ShapeError if shapes or options disagree, DTypeError if dtypes do, DeviceError
 */
export function maskedConv1d(
  x: Tensor,
  mask: Tensor | null,
  weight: Tensor,
  bias: Tensor | null = null,
  options?: MaskedConvOptions,
): [output: Tensor, mask: Tensor | null] {
  return maskedConvolution(1, x, mask, weight, bias, options);
}

/**
 * 2-D masked convolution; as maskedConv1d, with [H, W] in place of [L].
 * @throws ShapeError if shapes or options disagree, DTypeError if dtypes do, DeviceError
 */
export function maskedConv2d(
  x: Tensor,
  mask: Tensor | null,
  weight: Tensor,
  bias: Tensor | null = null,
  options?: MaskedConvOptions,
): [output: Tensor, mask: Tensor | null] {
  return maskedConvolution(2, x, mask, weight, bias, options);
}
