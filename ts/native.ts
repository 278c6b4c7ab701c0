// The one place where the addons are loaded, and the signature of everything they export (native/addon/addon.cc).
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import bindings = require('bindings');

import type { TypedArray } from './dtype';
import { BackendError, DeviceError } from './errors';

/** Memory of a device that is not the host (native/addon/device_buffer.h). */
export interface DeviceBuffer {
  /** That of the typed array with the same contents. */
  readonly length: number;
  /** Frees the memory, in the order of the calls; a second call does nothing. */
  dispose(): void;
}

/** A captured CUDA graph with the memory that is its own (native/cuda/graph_capture.h). */
export interface DeviceGraph {
  dispose(): void;
}

/** Where the elements of a tensor are. */
export type Memory = TypedArray | DeviceBuffer;

/** Memory as native code takes it; null where an optional operand is absent. Always followed by its dtype code. */
export type Buffer = Memory | null;

/** A buffer and its dtype code. */
export type Operand = [Buffer, number];

/** A native struct of 64-bit integers, one number a field, in the order of its declaration in native/ops.h. */
export type Fields = Float64Array;

/** Passes in native/ops.h. */
export const PASS_FORWARD = 0;
export const PASS_BACKWARD_INPUT = 1;
export const PASS_BACKWARD_WEIGHT = 2;

/** UnaryOp in native/ops.h. */
export const UNARY = { neg: 0, abs: 1, sqrt: 2, exp: 3, log: 4, tanh: 5, sigmoid: 6, relu: 7, conj: 8, isNotNaN: 9 } as const;

/** BinaryOp in native/ops.h. */
export const BINARY = {
  add: 0,
  sub: 1,
  mul: 2,
  div: 3,
  pow: 4,
  mulConj: 5,
  divConj: 6,
  absGrad: 7,
  sqrtGrad: 8,
  tanhGrad: 9,
  sigmoidGrad: 10,
  reluGrad: 11,
  powBaseGrad: 12,
  powExponentGrad: 13,
} as const;

/** ReduceOp in native/ops.h. */
export const REDUCE = { sum: 0, mean: 1 } as const;

export interface Native {
  readonly abi: number;
  readonly device: string;
  setErrorClass(type: typeof BackendError): void;
  packedSize(geometry: Fields, pass: number): number;
  /** Elements of a tensor [n, c, h, w] with channels last (native/conv.h); 0 where the device has no such form of the dtype. */
  channelsLastSize(shape: Fields, dtype: number): number;
  /** Whether a pass takes x (1) and y (2) with channels last. */
  convFormats(geometry: Fields, pass: number, dtype: number): number;
  getThreads(): number;
  setThreads(count: number): void;
  getSimd(): string;
  setSimd(level: string): boolean;
  setAllowTF32(allow: boolean): void;
  setDeterministic(on: boolean): void;
  setAutotune(on: boolean): void;
  release(buffer: ArrayBuffer): void;
  /** For a large buffer that was just made: advice to the system. */
  preferLargePages(buffer: ArrayBuffer): void;

  /** The CUDA addon's devices; the CPU addon has none. */
  deviceCount(): number;
  /** Why there are none. */
  deviceAbsence(): string;
  deviceName(index: number): string;
  /** What is opened at run time (cuDNN): version and place, or why it cannot be. */
  deviceLibraries(): string;
  /** Where the next ops and allocations of this environment go. */
  selectDevice(index: number): void;
  /** Memory of the selected device, contents undefined; length is that of the typed array with the same contents. */
  allocate(bytes: number, length: number): DeviceBuffer;
  /** The whole array, to the buffer's start; the array may be changed at once. */
  upload(array: TypedArray, dtype: number, buffer: DeviceBuffer): void;
  /** The array's length, from the buffer's start; waits. */
  download(array: TypedArray, dtype: number, buffer: DeviceBuffer): void;
  /** The same off the event loop: the contents as they are at the call. */
  downloadAsync(array: TypedArray, dtype: number, buffer: DeviceBuffer): Promise<void>;
  /** Fills `to` with the start of `from`, which may be of another GPU: after what that has been given, without the host. */
  copyBuffer(from: DeviceBuffer, to: DeviceBuffer): void;
  /** What the ops give to the selected GPU from now on is recorded, not run; what would wait for it fails. */
  beginCapture(): void;
  endCapture(): DeviceGraph;
  /** Ends a capture, if one runs, without a graph. */
  abandonCapture(): void;
  launchGraph(graph: DeviceGraph): void;
  /** Waits until no plan of the selected GPU is being compiled. */
  waitForPlans(): void;
  /** Ends the threads that compile plans, for good: before the process does. */
  stopPlans(): void;

  convPackWeight(g: Fields, pass: number, weight: Buffer, wd: number, packed: Buffer, pd: number): void;
  convForward(...args: ConvForwardArgs): void;
  convForwardAsync(...args: ConvForwardArgs): Promise<void>;
  convBackwardInput(
    g: Fields,
    ...operands: [...dy: Operand, ...packed: Operand, ...mask: Operand, ...ratio: Operand, ...updated: Operand, ...dx: Operand]
  ): void;
  convBackwardWeight(
    g: Fields,
    ...operands: [...x: Operand, ...mask: Operand, ...dy: Operand, ...ratio: Operand, ...updated: Operand, ...dw: Operand, ...db: Operand]
  ): void;
  /** q, with channels last, and db (native/conv.h). */
  convOutputGradient(g: Fields, ...operands: [...dy: Operand, ...ratio: Operand, ...updated: Operand, ...q: Operand, ...db: Operand]): void;
  convToDense(shape: Fields, x: Buffer, xd: number, y: Buffer, yd: number): void;
  padAxis(p: Fields, ...operands: [...value: Operand, ...x: Operand, ...y: Operand]): void;
  padAxisBackward(p: Fields, ...operands: [...dy: Operand, ...dx: Operand]): void;
  maskRatio(...args: MaskRatioArgs): void;
  maskRatioAsync(...args: MaskRatioArgs): Promise<void>;
  maskBits(...operands: [...mask: Operand, ...bits: Operand, ...binary: Operand]): void;
  maskBitsAsync(...operands: [...mask: Operand, ...bits: Operand, ...binary: Operand]): Promise<void>;
  unary(op: number, x: Buffer, xd: number, y: Buffer, yd: number): void;
  binary(op: number, broadcast: Fields, a: Buffer, ad: number, b: Buffer, bd: number, y: Buffer, yd: number): void;
  cast(x: Buffer, xd: number, y: Buffer, yd: number): void;
  castAsync(x: Buffer, xd: number, y: Buffer, yd: number): Promise<void>;
  fill(re: number, im: number, y: Buffer, yd: number): void;
  stridedCopy(copy: Fields, x: Buffer, xd: number, y: Buffer, yd: number): void;
  stridedCopyAsync(copy: Fields, x: Buffer, xd: number, y: Buffer, yd: number): Promise<void>;
  reduce(op: number, reduction: Fields, x: Buffer, xd: number, y: Buffer, yd: number): void;
  loss(
    op: number,
    reduction: number,
    layout: Fields,
    ...operands: [...x: Operand, ...target: Operand, ...mask: Operand, ...y: Operand, ...weight: Operand]
  ): void;
  lossBackward(
    op: number,
    reduction: number,
    layout: Fields,
    ...operands: [
      ...x: Operand,
      ...target: Operand,
      ...mask: Operand,
      ...weight: Operand,
      ...dy: Operand,
      ...dx: Operand,
      ...dtarget: Operand,
    ]
  ): void;
  sgdStep(options: Fields, ...operands: [...param: Operand, ...grad: Operand, ...master: Operand, ...buffer: Operand]): void;
  adamStep(
    options: Fields,
    ...operands: [...param: Operand, ...grad: Operand, ...master: Operand, ...mean: Operand, ...square: Operand, ...largest: Operand]
  ): void;
  unscale(factor: number, ...operands: [...x: Operand, ...y: Operand, ...found: Operand]): void;
  sumSquares(index: number, x: Buffer, xd: number, sums: Buffer, sd: number): void;
  normForward(p: Fields, eps: number, momentum: number, ...operands: NormForwardOperands): void;
  normBackward(p: Fields, ...operands: NormBackwardOperands): void;
  maskApply(op: number, p: Fields, eps: number, ...operands: [...x: Operand, ...mask: Operand, ...y: Operand]): void;
  prelu(p: Fields, ...operands: [...x: Operand, ...weight: Operand, ...y: Operand]): void;
  preluBackward(p: Fields, ...operands: [...x: Operand, ...weight: Operand, ...dy: Operand, ...dx: Operand, ...dweight: Operand]): void;
  resize(r: Fields, rowScale: number, colScale: number, ...operands: [...x: Operand, ...y: Operand]): void;
  resizeBackward(r: Fields, rowScale: number, colScale: number, ...operands: [...dy: Operand, ...dx: Operand]): void;
  randomSeed(seed: number, state: Buffer, sd: number): void;
  randomUniform(from: number, to: number, state: Buffer, sd: number, y: Buffer, yd: number): void;
  randomNormal(mean: number, std: number, state: Buffer, sd: number, y: Buffer, yd: number): void;
}

export type ConvForwardArgs = [
  g: Fields,
  ...x: [Buffer, number],
  ...mask: [Buffer, number],
  ...packed: [Buffer, number],
  ...bias: [Buffer, number],
  ...ratio: [Buffer, number],
  ...updated: [Buffer, number],
  ...y: [Buffer, number],
];

export type NormForwardOperands = [
  ...x: Operand,
  ...mask: Operand,
  ...weight: Operand,
  ...bias: Operand,
  ...runningMean: Operand,
  ...runningVar: Operand,
  ...statistics: Operand,
  ...y: Operand,
];

export type NormBackwardOperands = [
  ...x: Operand,
  ...mask: Operand,
  ...weight: Operand,
  ...statistics: Operand,
  ...dy: Operand,
  ...dx: Operand,
  ...dweight: Operand,
  ...dbias: Operand,
];

export type MaskRatioArgs = [
  g: Fields,
  count: Fields,
  eps: number,
  ...mask: [Buffer, number],
  ...ratio: [Buffer, number],
  ...updated: [Buffer, number],
];

const ABI = 6;

function findRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'partialconv') return folder;
    if (folder === dirname(folder)) return from;
  }
}

/** The package's folder. */
export const packageRoot = findRoot(__dirname);

/** The folder of a prebuilt addon for this machine, as scripts/platform.cjs names it. */
function prebuiltFolder(): string {
  const { platformTag } = require(join(packageRoot, 'scripts', 'platform.cjs')) as { platformTag(): string };
  return platformTag();
}

/** Where an addon may be, best first; or the one file that an environment variable names. */
function places(variable: 'PARTIALCONV_ADDON' | 'PARTIALCONV_CUDA_ADDON', build: string, prebuilt: string): string[] {
  const named = variable === 'PARTIALCONV_ADDON' ? process.env.PARTIALCONV_ADDON : process.env.PARTIALCONV_CUDA_ADDON;
  if (named) return [resolve(named)];
  return [join(packageRoot, build, 'partialconv.node'), join(packageRoot, 'prebuilds', prebuiltFolder(), prebuilt)];
}

interface Loaded {
  readonly addon: Native;
  readonly path: string;
}

/** The first of the addons that can be loaded, or why none can, a line a place. */
function loadFrom(paths: readonly string[]): Loaded | string {
  const reasons: string[] = [];
  for (const path of paths) {
    try {
      if (!existsSync(path)) throw new Error('no such file');
      const addon = bindings({ bindings: basename(path), module_root: dirname(path), try: [['module_root', 'bindings']] }) as Native;
      if (addon.abi !== ABI) throw new Error(`it is a build of another version (ABI ${addon.abi}, expected ${ABI})`);
      addon.setErrorClass(BackendError);
      return { addon, path };
    } catch (error) {
      reasons.push(`  ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return reasons.join('\n');
}

function load(): Loaded {
  const loaded = loadFrom(places('PARTIALCONV_ADDON', join('build', 'Release'), 'partialconv.node'));
  if (typeof loaded !== 'string') return loaded;
  throw new DeviceError(
    `partialconv: no addon could be loaded for ${process.platform}-${process.arch}, Node ${process.version}:\n${loaded}\n` +
      `Build it with "npx node-gyp rebuild" in ${packageRoot} (needs a C++20 compiler, make and python3).`,
  );
}

/** @internal The CUDA addon, from the given file or where it may be; or why it cannot be loaded and what to do. */
export function loadCuda(path: string | null): Loaded | string {
  const loaded = loadFrom(
    path === null ? places('PARTIALCONV_CUDA_ADDON', join('build', 'cuda', 'Release'), 'partialconv_cuda.node') : [path],
  );
  if (typeof loaded !== 'string') return loaded;
  return `the CUDA addon could not be loaded:\n${loaded}\nBuild it with "npm run setup:cuda" and "npm run build:cuda" in ${packageRoot}.`;
}

const loaded = load();

export const native: Native = loaded.addon;
export const addonPath: string = loaded.path;
