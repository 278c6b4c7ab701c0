// Devices: which exist, which addon serves each. The only file that branches on a device's name.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { describe } from './describe';
import { DeviceError, ShapeError } from './errors';
import { addonPath, type DeviceBuffer, loadCuda, type Memory, type Native, native, packageRoot } from './native';

export type Device = 'cpu' | 'cuda' | `cuda:${number}`;

export interface DeviceInfo {
  readonly device: Device;
  readonly name: string;
}

/** The CUDA addon: loaded at the first use of a CUDA device. */
interface Cuda {
  /** null where it cannot be loaded. */
  readonly addon: Native | null;
  readonly path: string | null;
  /** Number of GPUs, and why it is 0. */
  readonly count: number;
  readonly reason: string;
  /** The GPU that ops run on now; -1 before the first. */
  selected: number;
}

let known: Cuda | null = null;

// A process that ends while cuDNN compiles crashes: what cuDNN opened last is gone first. Workers end before their process does.
if (isMainThread) process.on('exit', () => known?.addon?.stopPlans());

function findCuda(path: string | null): Cuda {
  const loaded = loadCuda(path);
  if (typeof loaded === 'string') return { addon: null, path: null, count: 0, reason: loaded, selected: -1 };
  const { addon } = loaded;
  if (addon.device !== 'cuda') return { addon: null, path: null, count: 0, reason: `${loaded.path} is no CUDA addon`, selected: -1 };
  addon.setAllowTF32(allowTF32);
  if (deterministic !== null) addon.setDeterministic(deterministic);
  if (autotune !== null) addon.setAutotune(autotune);
  const count = addon.deviceCount();
  return { addon, path: loaded.path, count, reason: count === 0 ? addon.deviceAbsence() : '', selected: -1 };
}

function cuda(): Cuda {
  known ??= findCuda(null);
  return known;
}

/** @internal For tests: another CUDA addon from now on; null: where it is looked for. Tensors of the one before must not be used again. */
export function useCudaAddon(path: string | null): void {
  known = path === null ? null : findCuda(path);
}

/** 0 for 'cuda', which is the first GPU. */
const indexOf = (device: string): number => Number(device.slice('cuda:'.length));

const nameOf = (index: number): Device => (index === 0 ? 'cuda' : `cuda:${index}`);
const names = (count: number): Device[] => Array.from({ length: count }, (_, i) => nameOf(i));

function checkCuda(device: string): Device {
  const { count, reason } = cuda();
  const index = indexOf(device);
  if (index < count) return nameOf(index);
  const why = count === 0 ? reason : `this machine has ${count} CUDA device${count === 1 ? '' : 's'} (${names(count).join(', ')})`;
  throw new DeviceError(`device: '${device}' is not available: ${why}${why.endsWith('.') ? '' : '.'} Use device: 'cpu'.`);
}

/**
 * A validated device name; undefined and null mean 'cpu', 'cuda:0' is 'cuda'.
 * @throws DeviceError if the device is unknown or not available here
 */
export function checkDevice(device: unknown): Device {
  if (device === undefined || device === null || device === 'cpu') return 'cpu';
  if (typeof device === 'string' && /^cuda(:\d+)?$/.test(device)) return checkCuda(device);
  throw new DeviceError(`device: expected 'cpu', 'cuda' or 'cuda:<index>', but got ${describe(device)}`);
}

/** True for a string that names a device, available or not. */
export const looksLikeDevice = (value: unknown): boolean => typeof value === 'string' && /^(cpu|cuda(:.*)?)$/.test(value);

/** True where tensors of a device are arrays that JavaScript sees. */
export const onHost = (device: Device): boolean => device === 'cpu';

/** The addon that computes on a device, with that device selected. */
export const backend = (device: Device): Native => (device === 'cpu' ? native : cudaBackend(device));

function cudaBackend(device: Device): Native {
  const found = cuda();
  if (found.addon === null) throw new DeviceError(`device: '${device}' is not available: ${found.reason}`);
  const index = indexOf(device);
  if (index !== found.selected) {
    found.addon.selectDevice(index);
    found.selected = index;
  }
  return found.addon;
}

/** True for memory of a device that is not the host. */
export const isDeviceBuffer = (memory: Memory): memory is DeviceBuffer => !ArrayBuffer.isView(memory);

/** What a packed weight depends on besides its geometry: the instruction set, or the kind of float32 multiplications. */
export const packing = (device: Device): string => (device === 'cpu' ? native.getSimd() : allowTF32 ? 'tf32' : 'float32');

/** The settings that decide which kernels an op runs. */
export const settings = (device: Device): string => `${packing(device)} ${deterministic}`;

/** True if a CUDA device can be used. */
export const hasCuda = (): boolean => cuda().count > 0;

/** The devices that can be used here, the CPU first. */
export function devices(): DeviceInfo[] {
  const { addon, count } = cuda();
  const gpus = names(count).map((device, i) => ({ device, name: addon?.deviceName(i) ?? '' }));
  return [{ device: 'cpu', name: `${native.getSimd()}, ${native.getThreads()} threads` }, ...gpus];
}

export interface CudaInfo {
  readonly available: boolean;
  /** Why it is not available, and what to do; '' where it is. */
  readonly reason: string;
  /** Path of the loaded CUDA addon, or null. */
  readonly addon: string | null;
  /** Version and place of cuDNN, or why it cannot be used; '' without the addon. */
  readonly cudnn: string;
  /** Names of the GPUs. */
  readonly devices: readonly string[];
}

export interface Info {
  /** Version of this package. */
  readonly version: string;
  readonly node: string;
  /** Path of the loaded CPU addon. */
  readonly addon: string;
  /** Instruction set that the CPU engine uses: 'avx512', 'avx2' or 'baseline'. */
  readonly simd: string;
  readonly threads: number;
  readonly cuda: CudaInfo;
}

/** Versions, paths and what the engine runs on; what CUDA sees, or why it is absent and what to do. */
export function info(): Info {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const { addon, path, count, reason } = cuda();
  return {
    version,
    node: process.version,
    addon: addonPath,
    simd: native.getSimd(),
    threads: native.getThreads(),
    cuda: {
      available: count > 0,
      reason,
      addon: path,
      cudnn: addon?.deviceLibraries() ?? '',
      devices: names(count).map((_, i) => addon?.deviceName(i) ?? ''),
    },
  };
}

/**
 * Sets how many threads one op may use (the caller's included), for the whole process; at first PARTIALCONV_NUM_THREADS, else the
 * number of CPUs that this process may run on. Of more than 256 it uses 256.
 * @throws ShapeError if n is not an integer from 1 to 1024
 */
export function setNumThreads(n: number): void {
  if (!Number.isInteger(n) || n < 1 || n > 1024) {
    throw new ShapeError(
      `setNumThreads: expected an integer from 1 to 1024 (this machine has ${availableParallelism()} CPUs), but got ${describe(n)}`,
    );
  }
  native.setThreads(n);
}

/** The number of threads that one op may use. */
export const getNumThreads = (): number => native.getThreads();

/** @throws ShapeError unless a setter's argument is a boolean */
function checkFlag(setter: string, flag: unknown): void {
  if (typeof flag !== 'boolean') throw new ShapeError(`${setter}: expected a boolean, but got ${describe(flag)}`);
}

/**
 * Allows CUDA convolutions of float32 tensors to run in TF32 (10-bit mantissa), as they may at first. It has no effect on the CPU.
 * @throws ShapeError if flag is not a boolean
 */
export function setAllowTF32(flag: boolean): void {
  checkFlag('setAllowTF32', flag);
  allowTF32 = flag;
  known?.addon?.setAllowTF32(flag);
}

let allowTF32 = true;

/**
 * Makes the bits of a result on 'cuda' depend on operands, GPU and library versions alone: fused plans, which a background thread compiles
 * and which then replace the plain ones with other rounding, are not used. Slower; PARTIALCONV_DETERMINISTIC=1 sets it from the start. What
 * was compiled by Module.compile() is captured anew. The CPU's results are always so.
 * @throws ShapeError if flag is not a boolean
 */
export function setDeterministic(flag: boolean): void {
  checkFlag('setDeterministic', flag);
  deterministic = flag;
  known?.addon?.setDeterministic(flag);
}

/** null: as the environment variable says. */
let deterministic: boolean | null = null;

/**
 * Lets CUDA convolutions be timed: for each new shape, in a thread of its own, the plans that cuDNN offers and the kernels they would
 * replace; the fastest is taken from then on, and kept on disk for later processes. Results may change in their last bits when it is. At
 * first as PARTIALCONV_AUTOTUNE says (1: on). It has no effect on the CPU and in deterministic mode.
 * @throws ShapeError if flag is not a boolean
 */
export function setAutotune(flag: boolean): void {
  checkFlag('setAutotune', flag);
  autotune = flag;
  known?.addon?.setAutotune(flag);
}

/** null: as the environment says. */
let autotune: boolean | null = null;
