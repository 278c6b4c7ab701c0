// ConvModern1d and ConvModern2d: normalisation, activation and convolution as one layer, up- or downscaling. Source: MDNC, modules.conv.
import type { Device } from '../device';
import type { DType } from '../dtype';
import { ShapeError } from '../errors';
import { perDimension } from '../ops/conv_geometry';
import { checkOptions, nearestName } from '../options';
import { describe, type Tensor } from '../tensor';
import { PReLU, ReLU } from './activation';
import { Conv1d, Conv2d, type ConvLayerOptions } from './conv';
import { Module } from './module';
import { BatchNorm1d, BatchNorm2d, InstanceNorm1d, InstanceNorm2d } from './norm';
import { type Layer, Sequential } from './sequential';
import { Upsample1d, Upsample2d } from './upsample';

export interface ConvModernOptions {
  /** Taps per dimension. Default 3. */
  readonly kernelSize?: number | readonly number[];
  /** The factor of the scaling, down or up. Default 1. */
  readonly stride?: number | readonly number[];
  /** Default 1, whatever the kernel's size. */
  readonly padding?: number | readonly number[] | 'same' | 'valid';
  /** With scaler 'up': the size to resize to, in place of stride; else ignored. */
  readonly outputSize?: number | readonly number[] | null;
  /** 'batch', 'inst' (instance normalisation without parameters), 'pinst' (with), 'null' or null. Default 'pinst'. */
  readonly normalizer?: 'batch' | 'inst' | 'pinst' | 'null' | null;
  /** 'prelu', 'relu', 'null' or null. Default 'prelu'. */
  readonly activator?: 'prelu' | 'relu' | 'null' | null;
  /** 'new': norm, activation, (resize,) convolution. 'old': (resize,) convolution, norm, activation. Default 'new'. */
  readonly layerOrder?: 'new' | 'old';
  /** 'down': stride is the convolution's; 'up': it is the factor of a linear resize before the convolution. Default 'down'. */
  readonly scaler?: 'down' | 'up';
  /** Default 'cpu'. */
  readonly device?: Device;
  /** Default 'float32'. */
  readonly dtype?: DType;
}

const OPTIONS = ['kernelSize', 'stride', 'padding', 'outputSize', 'normalizer', 'activator', 'layerOrder', 'scaler', 'device', 'dtype'];

// Where each kind of layer is, by dimensions.
const CONV = { 1: Conv1d, 2: Conv2d } as const;
const BATCH = { 1: BatchNorm1d, 2: BatchNorm2d } as const;
const INSTANCE = { 1: InstanceNorm1d, 2: InstanceNorm2d } as const;
const UPSAMPLE = { 1: Upsample1d, 2: Upsample2d } as const;

/** One of the known names; null stands for 'null'. */
function checkName<T extends string>(op: string, option: string, value: unknown, known: readonly T[]): T {
  const name = value === null && (known as readonly string[]).includes('null') ? 'null' : value;
  if (known.includes(name as T)) return name as T;
  const nearest = typeof name === 'string' ? nearestName(name, known) : null;
  const hint = nearest === null ? '' : `; did you mean '${nearest}'?`;
  throw new ShapeError(
    `${op}: expected ${option} to be one of ${known.map((k) => `'${k}'`).join(', ')}, but got ${describe(value)}${hint}`,
  );
}

type Create = Pick<ConvLayerOptions, 'device' | 'dtype'>;

function makeNorm(dims: 1 | 2, name: 'batch' | 'inst' | 'pinst', planes: number, create: Create): Layer {
  return name === 'batch' ? new BATCH[dims](planes, create) : new INSTANCE[dims](planes, { ...create, affine: name === 'pinst' });
}

function makeActivation(name: 'prelu' | 'relu' | 'null', planes: number, create: Create): Layer[] {
  if (name === 'null') return [];
  return [name === 'prelu' ? new PReLU(planes, create) : new ReLU()];
}

/** The layers of mconv. */
function makeLayers(op: string, dims: 1 | 2, inPlanes: number, outPlanes: number, options: ConvModernOptions): Layer[] {
  const { kernelSize = 3, stride = 1, padding = 1, outputSize = null, device, dtype } = options;
  const normalizer = checkName(op, 'normalizer', options.normalizer === undefined ? 'pinst' : options.normalizer, [
    'batch',
    'inst',
    'pinst',
    'null',
  ]);
  const activator = checkName(op, 'activator', options.activator === undefined ? 'prelu' : options.activator, ['prelu', 'relu', 'null']);
  const order = checkName(op, 'layerOrder', options.layerOrder ?? 'new', ['new', 'old']);
  const scaler = checkName(op, 'scaler', options.scaler ?? 'down', ['down', 'up']);
  const create: Create = { ...(device === undefined ? {} : { device }), ...(dtype === undefined ? {} : { dtype }) };
  const resizes = scaler === 'up' && (outputSize !== null || perDimension(op, 'stride', stride, dims).some((s) => s > 1));
  const resize = resizes ? [new UPSAMPLE[dims](outputSize === null ? { scaleFactor: stride } : { size: outputSize })] : [];
  const conv = (bias: boolean) =>
    new CONV[dims](inPlanes, outPlanes, kernelSize, { ...create, stride: resizes ? 1 : stride, padding, bias });
  if (normalizer === 'null') return [...resize, conv(true), ...makeActivation(activator, outPlanes, create)];
  const around = (planes: number) => [makeNorm(dims, normalizer, planes, create), ...makeActivation(activator, planes, create)];
  return order === 'new' ? [...around(inPlanes), ...resize, conv(false)] : [...resize, conv(false), ...around(outPlanes)];
}

/** What both share. */
abstract class ConvModern extends Module {
  readonly inPlanes: number;
  readonly outPlanes: number;
  /** The layers, in the order of their work; state names are mconv.0.weight, ... */
  readonly mconv: Sequential;

  protected constructor(dims: 1 | 2, inPlanes: number, outPlanes: number, options: ConvModernOptions | undefined) {
    super();
    const op = new.target.name;
    const layers = makeLayers(op, dims, inPlanes, outPlanes, checkOptions(op, options, OPTIONS));
    this.inPlanes = inPlanes;
    this.outPlanes = outPlanes;
    this.mconv = new Sequential(...layers);
  }

  /**
   * @param x [N, inPlanes, L] or [N, inPlanes, H, W]
   * @returns [N, outPlanes, ...]
   * @throws ShapeError if x does not fit the layer, DTypeError, DisposedError
   */
  forward(x: Tensor): Tensor {
    return this.mconv.forward(x);
  }

  /** The same result, the convolution computed off the event loop; see Sequential. No gradient is recorded. */
  async forwardAsync(x: Tensor): Promise<Tensor> {
    return this.mconv.forwardAsync(x);
  }
}

/**
 * The modern convolutional layer: normalisation, activation, convolution ('new', the default), or convolution, normalisation, activation
 * ('old'), with the input scaled down by the convolution's stride or up by a linear resize with aligned corners before it. Behaves as
 * MDNC's code does, not as the chart in its documentation: without a normalizer the order is (resize,) convolution with bias, activation,
 * whatever layerOrder says; outputSize counts with scaler 'up' only; with 'up', stride 1 and no outputSize nothing is resized. Other than
 * there, unknown names of normalizer, activator, layerOrder and scaler are always errors.
 */
export class ConvModern1d extends ConvModern {
  /** @throws ShapeError for unknown options and names, or values out of range; DTypeError, DeviceError */
  constructor(inPlanes: number, outPlanes: number, options?: ConvModernOptions) {
    super(1, inPlanes, outPlanes, options);
  }
}

/** The modern convolutional layer in two dimensions; see ConvModern1d. */
export class ConvModern2d extends ConvModern {
  /** @throws ShapeError for unknown options and names, or values out of range; DTypeError, DeviceError */
  constructor(inPlanes: number, outPlanes: number, options?: ConvModernOptions) {
    super(2, inPlanes, outPlanes, options);
  }
}
