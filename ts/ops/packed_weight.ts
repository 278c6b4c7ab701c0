// Weights as the engine reads them, packed once for each version of a weight.
import { context, untracked } from '../context';
import { backend, onHost, packing } from '../device';
import { DTYPES, type DType } from '../dtype';
import type { Fields, PASS_BACKWARD_INPUT, PASS_FORWARD } from '../native';
import { Storage } from '../storage';
import { forget, Tensor } from '../tensor';
import { castTo } from './kernels';

interface Packed {
  readonly version: number;
  readonly pass: number;
  readonly geometry: Fields;
  readonly packing: string;
  readonly dtype: DType;
  readonly tensor: Tensor;
}

const cache = new WeakMap<Storage, Packed[]>();
const MOST_LAYOUTS = 4; // forward, backward, and a second geometry of each

/** What the packed layout depends on in a geometry: c, o, kernel, strides, pads (which tap meets which phase), dilations, groups. */
const LAYOUT_FIELDS = [1, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15];

const sameLayout = (a: Fields, b: Fields): boolean => a === b || LAYOUT_FIELDS.every((i) => a[i] === b[i]);

function pack(g: Fields, pass: number, weight: Tensor, dtype: DType): Tensor {
  const addon = backend(weight.device);
  const { accumulator } = DTYPES[dtype];
  const size = addon.packedSize(g, pass);
  const packed = new Tensor(Storage.allocate(size, accumulator, 'conv', false, weight.device), [size], accumulator, weight.device);
  const from = castTo(weight, dtype, 'conv');
  addon.convPackWeight(g, pass, from.raw('conv'), from.code, packed.raw('conv'), packed.code);
  if (from !== weight) from.dispose();
  return packed;
}

/**
 * The packed form of weight for a pass of geometry g on tensors of a dtype. It is kept while nobody can change the weight unseen,
 * until its version rises.
 */
export function packedWeight(
  g: Fields,
  pass: typeof PASS_FORWARD | typeof PASS_BACKWARD_INPUT,
  weight: Tensor,
  dtype = weight.dtype,
): Tensor {
  const { shared, version, origin } = weight.storage;
  if (shared) return pack(g, pass, weight, dtype);
  const kind = packing(weight.device);
  const known = cache.get(origin) ?? [];
  for (const entry of known) {
    const same = entry.version === version && entry.pass === pass && entry.packing === kind && entry.dtype === dtype;
    if (same && sameLayout(entry.geometry, g)) return entry.tensor;
  }
  if (context().capturing) return pack(g, pass, weight, dtype);
  const entry = { version, pass, geometry: g, packing: kind, dtype, tensor: untracked(() => pack(g, pass, weight, dtype)) };
  const kept = [entry, ...known.filter((other) => other.version === version)].slice(0, MOST_LAYOUTS);
  cache.set(origin, kept);
  if (onHost(weight.device)) return entry.tensor;
  origin.keep(entry.tensor);
  for (const { tensor } of known.filter((other) => !kept.includes(other))) {
    origin.keep(tensor, false);
    forget(tensor);
  }
  return entry.tensor;
}
