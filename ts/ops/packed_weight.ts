// Weights as the engine reads them, packed once for each version of a weight.
import { untracked } from '../context';
import { backend } from '../device';
import { DTYPES } from '../dtype';
import { type Fields, native, type PASS_BACKWARD_INPUT, type PASS_FORWARD } from '../native';
import { Storage } from '../storage';
import { Tensor } from '../tensor';

interface Packed {
  readonly version: number;
  readonly pass: number;
  readonly geometry: Fields;
  readonly simd: string;
  readonly tensor: Tensor;
}

const cache = new WeakMap<Storage, Packed[]>();
const MOST_LAYOUTS = 4; // forward, backward, and a second geometry of each

/** Fields of the geometry that the packed layout depends on: c, o, kh, kw, strides, pads (which tap meets which phase), dilations, groups. */
const LAYOUT_FIELDS = [1, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15];

const sameLayout = (a: Fields, b: Fields): boolean => a === b || LAYOUT_FIELDS.every((i) => a[i] === b[i]);

function pack(g: Fields, pass: number, weight: Tensor): Tensor {
  const addon = backend(weight.device);
  const dtype = DTYPES[weight.dtype].accumulator;
  const size = addon.packedSize(g, pass);
  const packed = new Tensor(Storage.allocate(size, dtype, 'conv'), [size], dtype, weight.device);
  addon.convPackWeight(g, pass, weight.raw('conv'), weight.code, packed.raw('conv'), packed.code);
  return packed;
}

/** The packed form of weight for a pass of geometry g. It is kept while nobody can change the weight unseen, until its version rises. */
export function packedWeight(g: Fields, pass: typeof PASS_FORWARD | typeof PASS_BACKWARD_INPUT, weight: Tensor): Tensor {
  const { shared, version, origin } = weight.storage;
  if (shared) return pack(g, pass, weight);
  const simd = native.getSimd();
  const known = cache.get(origin) ?? [];
  for (const entry of known) {
    if (entry.version === version && entry.pass === pass && entry.simd === simd && sameLayout(entry.geometry, g)) return entry.tensor;
  }
  const entry = { version, pass, geometry: g, simd, tensor: untracked(() => pack(g, pass, weight)) };
  cache.set(origin, [entry, ...known.filter((other) => other.version === version)].slice(0, MOST_LAYOUTS));
  return entry.tensor;
}
