// The public names: one line a module, in alphabetical order.
import './ops/methods';

export { noGrad } from './autograd';
export { tidy } from './context';
export { arange, type CreateOptions, full, ones, onesLike, rand, randn, type Shape, zeros, zerosLike } from './create';
export {
  type Device,
  type DeviceInfo,
  devices,
  getNumThreads,
  hasCuda,
  type Info,
  info,
  setAllowTF32,
  setAutotune,
  setDeterministic,
  setNumThreads,
} from './device';
export type { DType, TypedArray } from './dtype';
export { BackendError, DeviceError, DisposedError, DTypeError, ShapeError } from './errors';
export { fromBuffer, type TensorData, type TensorLike, type TensorOptions, tensor } from './from_data';
export type { NestedData } from './nested';
export { PReLU, type PReLUOptions, ReLU } from './nn/activation';
export { CompiledLayer, type CompileOptions, type ForwardResult } from './nn/compile';
export { Conv1d, Conv2d, type ConvLayerOptions } from './nn/conv';
export { ConvModern1d, ConvModern2d, type ConvModernOptions } from './nn/conv_modern';
export {
  ApplyMask,
  type EpsOptions,
  MaskedSpatialMean,
  SpatialMean,
  type SpatialMeanOptions,
  UnMask,
} from './nn/masked';
export { MaskedConv1d, MaskedConv2d, type MaskedConvLayerOptions } from './nn/masked_conv';
export { MaskedBatchNorm1d, MaskedBatchNorm2d, MaskedInstanceNorm1d, MaskedInstanceNorm2d } from './nn/masked_norm';
export { type LoadResult, Module, type StateDict } from './nn/module';
export {
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormLayerOptions,
  InstanceNorm1d,
  InstanceNorm2d,
  type InstanceNormLayerOptions,
} from './nn/norm';
export {
  PartialConv1d,
  PartialConv2d,
  type PartialConvLayerOptions,
  type PartialForwardOptions,
  type PartialResult,
} from './nn/partial_conv';
export { type Layer, MaskedSequential, Sequential } from './nn/sequential';
export { summary } from './nn/summary';
export { MaskedUnshuffle1d, MaskedUnshuffle2d, Unshuffle1d, Unshuffle2d } from './nn/unshuffle';
export { Upsample1d, Upsample2d } from './nn/upsample';
export { type AutocastDType, autocast } from './ops/autocast';
export { cast } from './ops/cast';
export { complex } from './ops/complex';
export { conv1d, conv2d } from './ops/conv';
export type { ConvOptions, PaddingMode } from './ops/conv_geometry';
export { defineOp, type OpCall, type OpDefinition } from './ops/define_op';
export { abs, add, div, exp, log, maskFromNaN, mul, neg, pow, relu, sigmoid, sqrt, sub, tanh } from './ops/elementwise';
export { valueAndGrad } from './ops/gradients';
export { type LossOptions, l1Loss, maskedL1Loss, maskedMseLoss, mseLoss, type Reduction } from './ops/loss';
export { applyMask, unMask } from './ops/mask_apply';
export type { MaskCacheStatistics } from './ops/mask_cache';
export { type CountOptions, type MaskRatioOptions, maskRatio } from './ops/mask_ratio';
export { type MaskedConvOptions, maskedConv1d, maskedConv2d } from './ops/masked_conv';
export { type BatchNormOptions, batchNorm, instanceNorm, type NormOptions } from './ops/norm';
export { type PadMode, pad } from './ops/pad';
export { type PartialConvOptions, partialConv1d, partialConv2d } from './ops/partial_conv';
export { prelu } from './ops/prelu';
export { type Dims, mean, type ReduceOptions, sum } from './ops/reduce';
export { type ResizeOptions, resize1d, resize2d } from './ops/resize';
export { clone, concat, expand, flatten, permute, reshape, slice, squeeze, to, transpose, unsqueeze } from './ops/shape';
export { Adam, type AdamOptions, AdamW } from './optim/adam';
export { clipGradNorm } from './optim/clip';
export { GradScaler, type GradScalerOptions, type GradScalerState } from './optim/grad_scaler';
export {
  type CommonOptions,
  type GroupOptions,
  Optimizer,
  type OptimizerState,
  type ParameterGroup,
  type ParameterList,
} from './optim/optimizer';
export { CosineAnnealingLR, Schedule, type Scheduled, type ScheduleState, StepLR } from './optim/schedule';
export { SGD, type SgdOptions } from './optim/sgd';
export { manualSeed } from './random';
export type { Scalar } from './scalar';
export { type Complex, type NestedNumbers, Tensor } from './tensor';
