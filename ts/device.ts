// Devices: which exist, which addon serves each. The only file that branches on a device's name.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe } from './describe';
import { DeviceError, ShapeError } from './errors';
import { addonPath, type Native, native, packageRoot } from './native';

export type Device = 'cpu' | 'cuda' | `cuda:${number}`;

export interface DeviceInfo {
  readonly device: Device;
  readonly name: string;
}

const CUDA_ABSENT = 'this build has no CUDA backend';

/**
 * A validated device name; undefined and null mean 'cpu'.
 * @throws DeviceError if the device is unknown or not available here
 */
export function checkDevice(device: unknown): Device {
  if (device === undefined || device === null || device === 'cpu') return 'cpu';
  if (typeof device === 'string' && /^cuda(:\d+)?$/.test(device)) {
    throw new DeviceError(`device: '${device}' is not available: ${CUDA_ABSENT}. Use device: 'cpu'.`);
  }
  throw new DeviceError(`device: expected 'cpu', 'cuda' or 'cuda:<index>', but got ${describe(device)}`);
}

/** True for a string that names a device, available or not. */
export const looksLikeDevice = (value: unknown): boolean => typeof value === 'string' && /^(cpu|cuda(:.*)?)$/.test(value);

/** The addon that computes on a device. */
export const backend = (_device: Device): Native => native;

/** True if a CUDA device can be used. */
export const hasCuda = (): boolean => false;

/** The devices that can be used here, the CPU first. */
export function devices(): DeviceInfo[] {
  return [{ device: 'cpu', name: `${native.getSimd()}, ${native.getThreads()} threads` }];
}

export interface Info {
  /** Version of this package. */
  readonly version: string;
  readonly node: string;
  /** Path of the loaded CPU addon. */
  readonly addon: string;
  /** Instruction set that the CPU engine uses: 'avx512', 'avx2', 'neon' or 'baseline'. */
  readonly simd: string;
  readonly threads: number;
  readonly cuda: { readonly available: boolean; readonly reason: string };
}

/** Versions, paths and what the engine runs on; says why CUDA is absent. */
export function info(): Info {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  return {
    version,
    node: process.version,
    addon: addonPath,
    simd: native.getSimd(),
    threads: native.getThreads(),
    cuda: { available: false, reason: CUDA_ABSENT },
  };
}

/**
 * Sets how many threads one op may use (the caller's included), for the whole process; at first PARTIALCONV_NUM_THREADS, else the
 * number of CPUs that this process may run on.
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

/**
 * Allows CUDA convolutions of float32 tensors to run in TF32 (10-bit mantissa). It has no effect on the CPU.
 * @throws DTypeError if flag is not a boolean
 */
export function setAllowTF32(flag: boolean): void {
  if (typeof flag !== 'boolean') throw new ShapeError(`setAllowTF32: expected a boolean, but got a value of type ${typeof flag}`);
  allowTF32 = flag;
}

export let allowTF32 = true;
