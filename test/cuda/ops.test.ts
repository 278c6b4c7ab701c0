// Every op on 'cuda' gives the CPU's numbers, forward and backward, in every dtype; and no op is left out.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Device, DType, Tensor } from '../../ts';
import * as api from '../../ts';
import { backend } from '../../ts/device';
import { DTYPES } from '../../ts/dtype';
import type { Memory, Native } from '../../ts/native';
import { generate } from '../goldens/load';
import { CASES, type GradientCase } from '../gradient_cases';
import { at } from '../reference';
import { isComplex, onDevice, toTensor, toValues } from '../support/tensors';
import { CUDA_CASES, ON_THE_HOST } from './cases';
import { fakeAddon } from './on_fake';
import { describeOnFake, needsCuda, onGpu, TOLERANCE as PRECISION } from './on_gpu';

/** Relative to the largest number of a result (at least 1e-3): what another order of sums and one more rounding may change. */
const TOLERANCE: Record<string, number> = { float64: 1e-11, float32: 1e-5, float16: 4e-3, bfloat16: 3e-2 };

const REALS: readonly DType[] = ['float64', 'float32', 'float16', 'bfloat16'];
const COMPLEX: Partial<Record<DType, DType>> = { float64: 'complex128', float32: 'complex64' };

const names = (folder: string, pattern: RegExp) =>
  [...readFileSync(join(__dirname, '..', '..', folder), 'utf8').matchAll(pattern)].map(([, name = '']) => name);

/** The ops that crossed the binding of the addon on the fake. */
const called = new Set<string>();

function recordCalls(): void {
  const addon = fakeAddon() as unknown as Record<string, unknown>;
  for (const [name, original] of Object.entries(addon)) {
    if (typeof original !== 'function') continue;
    addon[name] = (...args: unknown[]) => {
      called.add(name);
      return original(...args);
    };
  }
}

type Result = readonly (Tensor | null)[];

/** The result and the gradients of a case, or the message of its error. */
function run({ inputs, f }: GradientCase, real: DType, device: Device): Result | string {
  return onDevice(device, () => {
    try {
      const tensors = inputs.map((v) => toTensor(v, v.complex ? COMPLEX[real] : real, true));
      const y = f(tensors);
      if (device !== 'cpu') expect(y.device).to.equal(device);
      y.backward(toTensor(generate('fine', 77, y.shape, isComplex(y.dtype)), y.dtype));
      return [y, ...tensors.map((t) => t.grad)];
    } catch (error) {
      if ((error as { code?: string }).code === undefined) throw error;
      return (error as Error).message;
    }
  });
}

function compare(actual: Result | string, expected: Result | string, what: string, tolerance = TOLERANCE): void {
  if (typeof expected === 'string' || typeof actual === 'string') return void expect(actual, what).to.equal(expected);
  expect(actual.length, what).to.equal(expected.length);
  for (const [k, e] of expected.entries()) {
    const a: Tensor | null = actual[k] ?? null;
    if (e === null || a === null) {
      expect(a, `${what}, result ${k}`).to.equal(e);
      continue;
    }
    expect([a.dtype, ...a.shape], `${what}, result ${k}`).to.deep.equal([e.dtype, ...e.shape]);
    const got: Float64Array = toValues(a).data;
    const wanted: Float64Array = toValues(e).data;
    const largest: number = wanted.reduce((most: number, v: number) => Math.max(most, Number.isFinite(v) ? Math.abs(v) : 0), 0);
    const bound: number = (tolerance[DTYPES[e.dtype].real] ?? 0) * Math.max(largest, 1e-3);
    for (let i = 0; i < wanted.length; i++) {
      const x: number = at(got, i);
      const y: number = at(wanted, i);
      if (!Object.is(x, y) && x !== y && !(Math.abs(x - y) <= bound)) {
        expect.fail(`${what}, result ${k} (${e.dtype}), number ${i}: ${x}, on the CPU ${y}`);
      }
    }
  }
}

describe("ops on 'cuda'", () => {
  needsCuda();
  before(() => {
    if (!onGpu) recordCalls();
    api.setAllowTF32(false);
  });
  after(() => api.setAllowTF32(true));

  for (const name of new Set(CASES.map((c) => c.name))) {
    it(name, () => {
      for (const c of CASES.filter((other) => other.name === name)) {
        for (const dtype of c.inputs.some((v) => v.complex) ? (Object.keys(COMPLEX) as DType[]) : REALS) {
          compare(run(c, dtype, 'cuda'), run(c, dtype, 'cpu'), `${name} (${c.what}) in ${dtype}`);
        }
      }
    });
  }

  for (const [name, cases] of Object.entries(CUDA_CASES)) {
    it(`${name}, beside its gradient`, () => {
      cases.forEach((make, i) => {
        const on = (device: Device) => onDevice(device, () => [make(device)].flat());
        compare(on('cuda'), on('cpu'), `${name}, case ${i}`);
      });
    });
  }
});

describe("maskBits, which convolutions use on the CPU alone, on 'cuda'", () => {
  needsCuda();

  for (const soft of [1, 0.5])
    it(`of zeros, ones and a ${soft}`, () => {
      const data = Array.from({ length: 2000 }, (_, i) => (i === 1234 ? soft : Number(i % 3 > 0)));
      const results = (['cuda', 'cpu'] as const).map((device) => {
        const mask = api.tensor(Float32Array.from(data), { device });
        const [bits, binary] = [api.zeros([2000], { dtype: 'bool', device }), api.zeros([1], { dtype: 'bool', device })];
        const operands = [mask, bits, binary].flatMap((t): [Memory, number] => [t.raw('maskBits'), t.code]);
        backend(device).maskBits(...(operands as Parameters<Native['maskBits']>));
        return [toValues(bits).data, toValues(binary).data];
      });
      expect(results[0]).to.deep.equal(results[1]);
      expect(results[1]).to.deep.equal([Float64Array.from(data, (v) => Number(v !== 0)), Float64Array.of(Number(soft === 1))]);
    });
});

describe("convolutions in TF32 on 'cuda'", () => {
  needsCuda();

  for (const name of ['conv1d', 'partialConv1d']) {
    it(`${name}, the cases of float32`, () => {
      (CUDA_CASES[name] ?? []).forEach((make, i) => {
        const on = (device: Device) => onDevice(device, () => [make(device)].flat());
        compare(on('cuda'), on('cpu'), `${name}, case ${i}`, { ...TOLERANCE, float32: PRECISION.TF32 });
      });
    });
  }
});

describeOnFake("the cases of 'cuda'", () => {
  it('call every op of ops.h', () => {
    const ops = names('native/ops.h', /^void (\w+)\(Context&/gm).map((name) => name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase()));
    expect(ops).to.include('convForward');
    expect(ops.filter((name) => !called.has(name) && !name.startsWith('random'))).to.deep.equal([]);
  });

  it('have every exported function and class', () => {
    const known = new Set([...CASES.map(({ name }) => name), ...Object.keys(CUDA_CASES), ...ON_THE_HOST]);
    const callable = Object.entries(api).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
    expect(callable.filter((name) => !known.has(name))).to.deep.equal([]);
    expect(
      [...ON_THE_HOST].filter((name) => !callable.includes(name)),
      'names that no longer exist',
    ).to.deep.equal([]);
  });
});
