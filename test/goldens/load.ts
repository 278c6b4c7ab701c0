// Reads the golden files of PyTorch (made by make_goldens.py beside them) and the inputs they name.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Generated, type GeneratorKind, generate } from './generate';
import type { ConvCase, Files, FloatName, GoldenName, LayerCase, Numbers, Packed, PartialCase } from './types';

export * from './generate';
export type * from './types';

/** The JSON files stay in the source tree; compiled tests find them from the package's root. */
function folder(): string {
  for (let at = __dirname; ; at = dirname(at)) {
    for (const candidate of [at, join(at, 'test', 'goldens')]) if (existsSync(join(candidate, 'conv.json'))) return candidate;
    if (dirname(at) === at) throw new Error(`goldens: no conv.json above ${__dirname}`);
  }
}

const loaded = new Map<GoldenName, unknown>();

export function load<N extends GoldenName>(name: N): Files[N] {
  if (!loaded.has(name)) loaded.set(name, JSON.parse(readFileSync(join(folder(), `${name}.json`), 'utf8')));
  return loaded.get(name) as Files[N];
}

/** torch.testing's defaults: |actual - expected| <= atol + rtol * |expected|. */
export const TOLERANCE: Readonly<Record<FloatName, { readonly rtol: number; readonly atol: number }>> = {
  float32: { rtol: 1.3e-6, atol: 1e-5 },
  float64: { rtol: 1e-7, atol: 1e-7 },
  float16: { rtol: 1e-3, atol: 1e-5 },
  bfloat16: { rtol: 1.6e-2, atol: 1e-5 },
  complex64: { rtol: 1.3e-6, atol: 1e-5 },
  complex128: { rtol: 1e-7, atol: 1e-7 },
};

const isDouble = (dtype: FloatName): boolean => dtype === 'float64' || dtype === 'complex128';
export const isComplex = (dtype: FloatName): boolean => dtype === 'complex64' || dtype === 'complex128';

/** Numbers as the dtype holds them: all but float64 are spelled in float32's shortest form. */
export function numbers(list: Numbers, dtype: FloatName = 'float64'): Float64Array {
  return Float64Array.from(list, (v) => (isDouble(dtype) ? Number(v) : Math.fround(Number(v))));
}

export function unpack(packed: Packed, dtype: FloatName = 'float64'): Generated {
  const out = { shape: packed.shape, data: numbers(packed.data, dtype) };
  return isComplex(dtype) ? { ...out, complex: true } : out;
}

/** Hex digits per real number. */
function width(dtype: FloatName): 4 | 8 | 16 {
  return isDouble(dtype) ? 16 : dtype === 'float16' || dtype === 'bfloat16' ? 4 : 8;
}

export function decodeBits(hex: string, dtype: FloatName): Uint16Array | Uint32Array | BigUint64Array {
  const size = width(dtype);
  const words = Array.from({ length: hex.length / size }, (_, i) => hex.slice(i * size, (i + 1) * size));
  if (size === 16) return BigUint64Array.from(words, (word) => BigInt(`0x${word}`));
  const parse = (word: string) => Number.parseInt(word, 16);
  return size === 8 ? Uint32Array.from(words, parse) : Uint16Array.from(words, parse);
}

/** The same spelling for a result: Float32Array, Float64Array, or Uint16Array of 16-bit float patterns. */
export function encodeBits(data: Float32Array | Float64Array | Uint16Array): string {
  const size = data.BYTES_PER_ELEMENT * 2;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let hex = '';
  for (let i = 0; i < data.length; i++) {
    const offset = i * data.BYTES_PER_ELEMENT;
    const word = size === 16 ? view.getBigUint64(offset, true) : size === 8 ? view.getUint32(offset, true) : view.getUint16(offset, true);
    hex += word.toString(16).padStart(size, '0');
  }
  return hex;
}

export interface ConvInputs {
  readonly x: Generated;
  readonly weight: Generated;
  readonly bias: Generated | null;
  readonly gradOutput: Generated;
  readonly mask: Generated | null;
}

/** The inputs of a case of conv.json or partial.json. */
export function inputsOf(golden: ConvCase | PartialCase): ConvInputs {
  const [x, w, b, g]: readonly GeneratorKind[] =
    golden.data === 'spec' ? ['X', 'W', 'B', 'G'] : [golden.data, golden.data, golden.data, golden.data];
  const make = (kind: GeneratorKind | undefined, offset: number, shape: readonly number[]) =>
    generate(kind ?? 'exact', golden.seed + offset, shape, isComplex(golden.dtype));
  const mask = 'mask' in golden ? golden.mask : undefined;
  return {
    x: make(x, 0, golden.x),
    weight: make(w, 1, golden.weight),
    bias: golden.options.bias === false ? null : make(b, 2, golden.weight.slice(0, 1)),
    gradOutput: make(g, 3, golden.y.shape),
    mask: mask ? generate(mask.kind, golden.seed + 4, mask.shape) : null,
  };
}

/** The parameters and buffers of a layer case, by name. */
export function stateOf(golden: LayerCase): Record<string, Generated> {
  return Object.fromEntries(
    (golden.state ?? []).map((entry, i) => {
      const { data } = generate('exact', golden.seed + 10 + i, entry.shape);
      return [entry.name, { shape: entry.shape, data: data.map((v) => v * entry.scale + entry.shift) }];
    }),
  );
}
