// Convolution of one and two dimensions, plain or with holes: forward, backward, conv1d, conv2d.
import { needsNode, record } from '../autograd';
import { DTYPES, type DType } from '../dtype';
import { DeviceError, DTypeError, ShapeError } from '../errors';
import { PASS_BACKWARD_INPUT, PASS_FORWARD } from '../native';
import { checkOptions } from '../options';
import { checkTensor, describe, empty, formatShape, type Tensor } from '../tensor';
import { autocastSteps } from './autocast';
import { complexCall, mergeComplex } from './complex_conv';
import { convGradients, type FindPacked } from './conv_backward';
import type { ConvCall } from './conv_call';
import { type ConvOptions, type ConvShapes, type ConvSpec, convShapes, convSpec, geometryFields } from './conv_geometry';
import { castTo } from './kernels';
import { emptyResult, formatsOf, liesAs, xImage, yImage } from './memory_format';
import { packedWeight } from './packed_weight';
import { InChannelsLast, runSync, type Steps } from './steps';

// PyTorch's names of dtypes, as its messages have them: of a tensor, and of a scalar.
const TORCH_NAMES: Record<DType, readonly [string, string]> = {
  float32: ['float', 'Float'],
  float64: ['double', 'Double'],
  float16: ['c10::Half', 'Half'],
  bfloat16: ['c10::BFloat16', 'BFloat16'],
  complex64: ['c10::complex<float>', 'ComplexFloat'],
  complex128: ['c10::complex<double>', 'ComplexDouble'],
  int32: ['int', 'Int'],
  uint8: ['unsigned char', 'Byte'],
  bool: ['bool', 'Bool'],
};

function checkDtypes(op: string, x: Tensor, weight: Tensor, bias: Tensor | null): void {
  const facts = () =>
    Object.entries({ x, weight, bias })
      .flatMap(([name, t]) => (t === null ? [] : [`${name} ${formatShape(t.shape)} is ${t.dtype}`]))
      .join(', ');
  const [type, scalar] = TORCH_NAMES[x.dtype];
  if (bias !== null && bias.dtype !== x.dtype) {
    throw new DTypeError(`${op}: Input type (${type}) and bias type (${TORCH_NAMES[bias.dtype][0]}) should be the same: ${facts()}`);
  }
  if (weight.dtype !== x.dtype) {
    const [weightType, weightScalar] = TORCH_NAMES[weight.dtype];
    throw new DTypeError(
      `${op}: Input type (${type}) and weight type (${weightType}) should be the same, expected scalar type ${scalar} but found ${weightScalar}: ${facts()}`,
    );
  }
  if (x.dtype === 'bool' || x.dtype === 'uint8') throw new DTypeError(`${op}: convolution of ${x.dtype} is not supported: ${facts()}`);
  for (const t of [weight, bias]) {
    if (t !== null && t.device !== x.device) {
      throw new DeviceError(`${op}: expected all tensors on one device, but x is on ${x.device} and ${describe(t)} on ${t.device}`);
    }
  }
}

const agree = (a: Tensor, b: Tensor): boolean => a.dtype === b.dtype && a.device === b.device;

/**
 * Checks the operands of a convolution.
 * @throws ShapeError, DTypeError, DeviceError
 */
export function checkOperands(spec: ConvSpec, x: Tensor, weight: Tensor, bias: Tensor | null): ConvShapes {
  const { op } = spec;
  checkTensor(x, op);
  checkTensor(weight, op, 'weight');
  if (bias !== null) checkTensor(bias, op, 'bias');
  if (!agree(x, weight) || (bias !== null && !agree(x, bias)) || DTYPES[x.dtype].bytes === 1) checkDtypes(op, x, weight, bias);
  const shapes = convShapes(spec, x.shape, weight.shape);
  if (bias !== null && (bias.rank !== 1 || bias.size !== shapes.o)) {
    throw new ShapeError(
      `${op}: Given weight of size ${formatShape(weight.shape)}, expected bias to be 1-dimensional with ${shapes.o} elements, but got bias of size ${formatShape(bias.shape)} instead`,
    );
  }
  return shapes;
}

/** The result of a checked convolution, its gradient recorded. */
export function* convolveSteps(call: ConvCall): Steps<Tensor> {
  const { spec, shapes, x, weight, bias, holes } = call;
  const { kind } = DTYPES[x.dtype];
  if (kind === 'complex') {
    const { call: real, temporary } = complexCall(call);
    const y = yield* convolveSteps(real);
    for (const t of temporary) t.dispose();
    return mergeComplex(call, y);
  }
  if (kind === 'int') {
    // Sums of products of integers are exact in float64 below 2^53.
    const exact = (t: Tensor) => castTo(t, 'float64', spec.op);
    const y = yield* convolveSteps({ ...call, x: exact(x), weight: exact(weight), bias: bias && exact(bias) });
    return castTo(y, x.dtype, spec.op);
  }
  const selects = holes !== null && !call.zeroInHoles;
  const sizes = selects || holes === null ? holes?.sizes : { ...holes.sizes, maskN: 0, maskC: 0 };
  const plain = geometryFields(spec, shapes, sizes);
  const formats = formatsOf(plain, PASS_FORWARD, x, liesAs(x, xImage(plain)), true);
  const { g } = formats;
  const packed = packedWeight(g, PASS_FORWARD, weight);
  const y = formats.y ? emptyResult(shapes.outputShape, yImage(g), x) : empty(shapes.outputShape, x.dtype, x.device, spec.op);
  const [from, to] = [formats.x ? new InChannelsLast(x) : x, formats.y ? new InChannelsLast(y) : y];
  const args = [g, from, selects ? holes.mask : null, packed, bias, holes?.ratio ?? null, holes?.updated ?? null, to];
  yield { name: 'convForward', op: spec.op, args };
  return recordConvolution(call, y, formats.x);
}

/** xChannelsLast: so did x lie, and so shall dx. */
function recordConvolution({ spec, shapes, x, weight, bias, holes, zeroInHoles }: ConvCall, y: Tensor, xChannelsLast: boolean): Tensor {
  if (!needsNode([x, weight, bias])) return y;
  // x is needed for the weight's gradient only, the weight for that of x.
  const saved = [
    weight.requiresGrad ? x : null,
    x.requiresGrad ? weight : null,
    holes?.mask ?? null,
    holes?.ratio ?? null,
    holes?.updated ?? null,
  ];
  const weightShape = weight.shape;
  return record(spec.op, y, [x, weight, bias], saved, (dy, needs, [x = null, weight, mask = null, ratio = null, updated = null]) => {
    const pass = { spec, shapes, dy, mask, ratio, updated, sizes: holes?.sizes, zeroInHoles, xChannelsLast };
    const packed: FindPacked | null = needs[0] && weight ? (g, dtype) => packedWeight(g, PASS_BACKWARD_INPUT, weight, dtype) : null;
    return convGradients(pass, packed, x, needs[1] ? weightShape : null, needs[2] ?? false);
  });
}

/** A plain convolution, options validated. */
export interface PlainCall {
  readonly spec: ConvSpec;
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}

/** The plain convolution. (Its call is written out: spreading one object into another takes a microsecond.) */
export const plainConvSteps = (given: PlainCall): Steps<Tensor> =>
  autocastSteps(given.spec.op, given, ({ spec, x, weight, bias }) => {
    const shapes = checkOperands(spec, x, weight, bias);
    return convolveSteps({ spec, shapes, x, weight, bias, holes: null, zeroInHoles: false });
  });

const KNOWN = ['stride', 'padding', 'dilation', 'groups', 'paddingMode'];

function convolution(dims: 1 | 2, x: Tensor, weight: Tensor, bias: Tensor | null | undefined, options: ConvOptions | undefined): Tensor {
  const op = `conv${dims}d`;
  const checked = checkOptions(op, options, KNOWN) as ConvOptions;
  checkTensor(weight, op, 'weight');
  const spec = convSpec(op, dims, weight.rank === dims + 2 ? weight.shape.slice(2) : new Array(dims).fill(1), checked);
  return runSync(plainConvSteps({ spec, x, weight, bias: bias ?? null }));
}

/**
 * 1-D convolution (cross-correlation): y[n,o,l] = bias[o] + sum over c, k of weight[o,c,k] * x[n, c, l*stride - padding + k*dilation].
 * All dtypes but bool and uint8; 16-bit floats are summed in float32 and rounded once; int32 is exact, and a result that does not fit
 * becomes the nearest that does.
 * Source: PyTorch, torch.nn.functional.conv1d. With no input channels the result is the bias.
 * @param x [N, C, L] or [C, L]
 * @param weight [O, C / groups, K], of x's dtype
 * @param bias [O] or null
 * @returns [N, O, L'] or [O, L'], L' = floor((L + padding before and after - dilation * (K - 1) - 1) / stride) + 1
 * @throws ShapeError if shapes or options disagree, DTypeError if dtypes do, DeviceError if devices do
 */
export function conv1d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor {
  return convolution(1, x, weight, bias, options);
}

/**
 * 2-D convolution (cross-correlation); as conv1d in each of the two dimensions.
 * @param x [N, C, H, W] or [C, H, W]
 * @param weight [O, C / groups, kH, kW], of x's dtype
 * @param bias [O] or null
 * @returns [N, O, H', W'] or [O, H', W']
 * @throws ShapeError if shapes or options disagree, DTypeError if dtypes do, DeviceError if devices do
 */
export function conv2d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor {
  return convolution(2, x, weight, bias, options);
}
