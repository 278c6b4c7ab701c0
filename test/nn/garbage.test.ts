// Random garbage for every exported function, constructor and method: a typed error or a result, never a crash.
import { expect } from 'chai';
import * as pc from '../../ts';
import { Seeded } from '../support/seeded';
import { isTyped } from '../support/typed_errors';

const SEED = Number(process.env.PARTIALCONV_FUZZ_SEED ?? 1);
const ROUNDS = 90;

/** Not called with garbage: they run callbacks, touch files, change the whole process, or are abstract. */
const LEFT_OUT = /^(tidy|noGrad|valueAndGrad|save|load|setNumThreads|manualSeed|info|devices|Module$|Optimizer$|Schedule$|.*Error$)/;

function detached(): ArrayBufferView {
  const array = new Float32Array(6);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

function disposed(): pc.Tensor {
  const t = pc.zeros([2, 3]);
  t.dispose();
  return t;
}

function onDetached(): pc.Tensor {
  const array = new Float32Array(6);
  const t = pc.fromBuffer(array, [1, 2, 3]);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return t;
}

// Sizes that fail at once (too large for any memory) or are small: nothing between.
const NUMBERS = [
  0,
  1,
  2,
  3,
  4,
  7,
  -1,
  -2,
  -0,
  0.5,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 45,
  2 ** 53,
  -(2 ** 53),
  1e300,
  5e-324,
];
const STRINGS = [
  '',
  'same',
  'valid',
  'zeros',
  'circular',
  'reflect',
  'float32',
  'float64',
  'int32',
  'bool',
  'complex64',
  'cpu',
  'cuda:99',
  '__proto__',
  'constructor',
  '3',
  '\0',
  '🙂',
];
const NAMES =
  'stride padding dilation groups bias paddingMode padding_mode dtype device multiChannel returnMask eps countGroups shape requiresGrad kernelSize retainGraph strict __proto__ length'.split(
    ' ',
  );
const DTYPES = ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128', 'int32', 'uint8', 'bool'] as const;

class Garbage {
  constructor(readonly seeded: Seeded) {}

  number = () => this.seeded.pick(NUMBERS);

  shape = () => Array.from({ length: this.seeded.integer(0, 4) }, () => this.seeded.integer(0, 4));

  tensor = (): pc.Tensor => {
    const t = pc.zeros(this.seeded.chance(0.5) ? this.seeded.pick([[2, 3, 8], [3, 8], [3, 3, 2], [2, 3, 5, 5], [3], [8]]) : this.shape(), {
      dtype: this.seeded.pick(DTYPES),
    });
    if (this.seeded.chance(0.2) && /float|complex/.test(t.dtype)) t.requiresGrad = true;
    return t;
  };

  options = (): object =>
    Object.fromEntries(Array.from({ length: this.seeded.integer(0, 3) }, () => [this.seeded.pick(NAMES), this.value(1)]));

  value = (depth = 0): unknown => {
    const { seeded } = this;
    const kinds: (() => unknown)[] = [
      this.number,
      this.number,
      this.tensor,
      this.tensor,
      () => seeded.pick(STRINGS),
      () => seeded.pick([null, undefined, true, false, 3n, -(2n ** 70n), Symbol('s'), () => 1, class {}]),
      () => seeded.pick([new Date(0), /x/, new Map(), new Error('e'), Promise.resolve(1), new WeakMap(), new Set([1])]),
      () =>
        seeded.pick([
          new Float32Array(6),
          new Uint16Array(3),
          new BigInt64Array(2),
          new DataView(new ArrayBuffer(8)),
          new ArrayBuffer(8),
          new SharedArrayBuffer(8),
        ]),
      () => seeded.pick([detached, disposed, onDetached])(),
      () => seeded.pick([new Proxy({}, {}), new Proxy([], {}), Object.create(null), Object.freeze([1, 2])]),
      () => ({ data: this.number(), shape: this.shape(), dims: [this.number()] }),
      this.options,
    ];
    if (depth < 3) kinds.push(() => Array.from({ length: seeded.integer(0, 4) }, () => this.value(depth + 1)));
    if (depth < 2) kinds.push(() => ({ length: this.number(), 0: this.value(depth + 1) }));
    return seeded.pick(kinds)();
  };

  /** What such an argument could well be. */
  likely = (): unknown => {
    const { seeded } = this;
    return seeded.pick<() => unknown>([
      () => seeded.integer(1, 4),
      () => seeded.integer(1, 4),
      this.tensor,
      this.tensor,
      () => pc.rand(seeded.pick([[2, 3, 8], [3, 8], [4, 3, 2], [3], [8], [1, 1, 8]])),
      () => pc.rand([8]),
      () => null,
      () => [seeded.integer(1, 3), seeded.integer(1, 3)],
      () => Object.fromEntries([[seeded.pick(NAMES), seeded.chance(0.5) ? seeded.integer(0, 3) : this.value(1)]]),
      () => Object.fromEntries([[seeded.pick(NAMES), seeded.pick<unknown>([true, false, 'same', 'circular', 'float64', 2, [1], 0])]]),
    ])();
  };

  arguments = (): unknown[] => {
    const garbage = this.seeded.pick([0.05, 0.3, 1]);
    return Array.from({ length: this.seeded.integer(0, 5) }, () => (this.seeded.chance(garbage) ? this.value() : this.likely()));
  };
}

const show = (value: unknown): string => {
  try {
    return typeof value === 'symbol' || typeof value === 'bigint' || typeof value === 'function'
      ? String(value)
      : (JSON.stringify(value) ?? String(value));
  } catch {
    return Object.prototype.toString.call(value);
  }
};

/** Calls f, and fails for an error outside the taxonomy. */
async function attempt(what: string, args: unknown[], f: () => unknown): Promise<void> {
  const check = (error: unknown) => {
    if (!isTyped(error)) {
      const stack = error instanceof Error ? error.stack : String(error);
      expect.fail(`${what}(${args.map(show).join(', ')}), seed ${SEED}: an error outside the taxonomy: ${stack}`);
    }
  };
  try {
    const result = f();
    if (result instanceof Promise) await result.catch(check);
  } catch (error) {
    check(error);
  }
}

/** Not for users: marked internal, private or protected in the source. */
const INTERNAL = /^(view|raw|rawForWrite|check|hostArray|steps|collect|own[A-Z].*|namedState|extraRepr|bufferNames)$/;

type Constructor = new (...args: unknown[]) => object;
const isClass = (f: unknown): boolean => typeof f === 'function' && /^class\b/.test(Function.prototype.toString.call(f));

const methodsOf = (value: object): string[] => {
  const names = new Set<string>();
  for (let p = Object.getPrototypeOf(value); p !== null && p !== Object.prototype; p = Object.getPrototypeOf(p)) {
    for (const [name, { value: f }] of Object.entries(Object.getOwnPropertyDescriptors(p)))
      if (typeof f === 'function' && name !== 'constructor' && !INTERNAL.test(name)) names.add(name);
  }
  return [...names];
};

describe(`garbage in, typed errors out (seed ${SEED})`, () => {
  const exported = Object.entries(pc).filter(([name, value]) => typeof value === 'function' && !LEFT_OUT.test(name));

  for (const [name, f] of exported) {
    it(name, async () => {
      const garbage = new Garbage(new Seeded(SEED));
      for (let i = 0; i < ROUNDS; i++) {
        const args = garbage.arguments();
        if (isClass(f)) await attempt(`new ${name}`, args, () => new (f as Constructor)(...args));
        else await attempt(name, args, () => (f as (...a: unknown[]) => unknown)(...args));
      }
    });
  }

  const objects: Record<string, () => object> = {
    Tensor: () => pc.rand([2, 3, 8]),
    'Tensor of int32': () => pc.zeros([2, 3], { dtype: 'int32' }),
    'scalar Tensor': () => pc.tensor(3),
    'complex Tensor': () => pc.rand([2, 3], { dtype: 'complex64' }),
    'disposed Tensor': disposed,
    'Tensor on detached memory': onDetached,
    Conv1d: () => new pc.Conv1d(3, 3, 2),
    Conv2d: () => new pc.Conv2d(3, 2, 2, { padding: 1 }),
    PartialConv1d: () => new pc.PartialConv1d(3, 3, 2, { returnMask: true }),
    PartialConv2d: () => new pc.PartialConv2d(3, 2, 2, { multiChannel: true }),
  };
  for (const [name, make] of Object.entries(objects)) {
    it(`methods of ${name}`, async () => {
      const garbage = new Garbage(new Seeded(SEED));
      for (const method of methodsOf(make())) {
        for (let i = 0; i < ROUNDS / 3; i++) {
          const object = make() as Record<string, (...a: unknown[]) => unknown>;
          const args = garbage.arguments();
          await attempt(`${name}.${method}`, args, () => object[method]?.(...args));
        }
      }
    });
  }

  it('left the library in order', () => {
    const layer = new pc.Conv1d(1, 1, 2, { bias: false });
    pc.noGrad(() => layer.weight.fill_(1));
    expect(layer.forward(pc.tensor([[1, 2, 3]])).toArray()).to.deep.equal([[3, 5]]);
  });
});
