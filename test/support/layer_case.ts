// Runs one golden case of a layer: builds it, loads the generated state, calls it, and compares output, mask, gradients and buffers.
import { expect } from 'chai';
import type { DType, Module, StateDict, Tensor } from '../../ts';
import * as lib from '../../ts';
import { generate, numbers, stateOf, unpack } from '../goldens/load';
import type { LayerCase } from '../goldens/types';
import { values } from '../reference';
import { expectClose, type Tolerance, toTensor } from './tensors';

type Result = Tensor | [Tensor, Tensor | null];
type AnyLayer = Module & { forward(x: Tensor, mask?: Tensor | null): Result };
type Constructor = new (...args: unknown[]) => AnyLayer;

function construct(name: string, ...args: unknown[]): AnyLayer {
  const type = (lib as unknown as Record<string, Constructor>)[name] ?? expect.fail(`no layer ${name}`);
  return new type(...args);
}

/** The layer of a case, its parameters in a dtype. */
export function makeLayer(golden: LayerCase, dtype: DType): AnyLayer {
  const { layer, options, x } = golden;
  if (/^MaskedConv/.test(layer)) {
    const weight = golden.state?.[0]?.shape ?? expect.fail('no weight');
    return construct(layer, x[1], weight[0], weight.slice(2), { ...options, dtype });
  }
  // The goldens name affine where it is false, whatever a layer's default.
  if (/^MaskedInstanceNorm/.test(layer)) return construct(layer, x[1], { affine: true, ...options, dtype });
  if (/Norm/.test(layer)) return construct(layer, x[1], { ...options, dtype });
  if (/^ConvModern/.test(layer)) return construct(layer, x[1], golden.outPlanes, { ...options, dtype });
  if (layer === 'PReLU') return construct(layer, options.numParameters, { dtype });
  if (/Unshuffle/.test(layer)) return construct(layer, options.factor);
  if (/SpatialMean/.test(layer)) return construct(layer, { ...options, keepDims: true });
  return Object.keys(options).length > 0 ? construct(layer, options) : construct(layer);
}

function loadState(layer: Module, golden: LayerCase, dtype: DType): void {
  const state: StateDict = Object.fromEntries(Object.entries(stateOf(golden)).map(([name, v]) => [name, toTensor(v, dtype)]));
  const { missingKeys, unexpectedKeys } = layer.loadStateDict(state, { strict: false });
  expect(unexpectedKeys).to.deep.equal([]);
  expect(missingKeys.filter((name) => !name.endsWith('num_batches_tracked'))).to.deep.equal([]);
}

export function runCase(golden: LayerCase, dtype: DType, tolerance: Tolerance): void {
  const layer = makeLayer(golden, dtype).train(golden.training ?? true);
  loadState(layer, golden, dtype);
  const x = toTensor(generate('exact', golden.seed, golden.x), dtype, true);
  const mask = golden.mask ? toTensor(generate(golden.mask.kind, golden.seed + 4, golden.mask.shape), dtype) : null;
  const result = layer.forward(golden.masked && mask ? x.mul(mask) : x, mask);
  const [y, updated] = Array.isArray(result) ? result : [result, null];
  expectClose(y, unpack(golden.y), tolerance);
  expect(updated !== null, 'an updated mask').to.equal(golden.updated !== undefined);
  if (updated !== null && golden.updated) expectClose(updated, unpack(golden.updated), tolerance, 'updated');
  y.backward(toTensor(generate('exact', golden.seed + 3, y.shape), dtype));
  const check = (name: string, t: Tensor | null | undefined, expected: readonly (number | string)[]) =>
    expectClose(t ?? expect.fail(`no ${name}`), values(t?.shape ?? [], numbers(expected as number[])), tolerance, name);
  if (golden.dx) check('dx', x.grad, golden.dx);
  const parameters = Object.fromEntries(layer.namedParameters());
  for (const [name, expected] of Object.entries(golden.gradients ?? {})) check(`gradient of ${name}`, parameters[name]?.grad, expected);
  const buffers = Object.fromEntries(layer.namedBuffers());
  for (const [name, expected] of Object.entries(golden.buffers ?? {})) check(name, buffers[name], expected);
}

/** Goldens hold 10 significant digits of float64. */
export const GOLDEN: Tolerance = { rtol: 1e-8, atol: 1e-8 };
/** For gradients that pass a division by small variances in float32. */
export const SINGLE: Tolerance = { rtol: 1e-4, atol: 1e-4 };
