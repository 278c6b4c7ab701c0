// Every gradient passes finite differences, and nothing that records one is missing from the table of cases.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import * as api from '../ts';
import { CASES } from './gradient_cases';
import { WITHOUT_TENSOR } from './support/exports';
import { checkGradients } from './support/finite_differences';
import { toTensor } from './support/tensors';

const covered = new Set(CASES.map(({ name }) => name));

/** Exported functions and classes that compute no gradient of their own, each for its reason. */
const WITHOUT_GRADIENT: Readonly<Record<string, readonly string[]>> = {
  'makes tensors': ['arange', 'fromBuffer', 'full', 'ones', 'onesLike', 'rand', 'randn', 'tensor', 'zeros', 'zerosLike'],
  'gives masks, which have no gradient': ['maskFromNaN', 'maskRatio'],
  'runs or changes what others record': ['autocast', 'noGrad', 'tidy', 'valueAndGrad', 'clipGradNorm'],
  'changes parameters': ['SGD', 'Adam', 'AdamW', 'GradScaler'],
  ...WITHOUT_TENSOR,
};

/** Methods and accessors of Tensor that are not the function of the same name. */
const METHODS_WITHOUT_GRADIENT = [
  ...['constructor', 'rank', 'dims', 'type', 'requiresGrad', 'isLeaf', 'disposed', 'data', 'code', 'toString'],
  ...[
    'read',
    'readSync',
    'raw',
    'check',
    'hostArray',
    'rawForWrite',
    'toArray',
    'item',
    'dispose',
    'backward',
    'detach',
    'view',
    'contiguous',
  ],
  ...['fill_', 'zero_', 'copy_', 'add_', 'sub_', 'mul_', 'div_'], // in place: refused where a gradient is recorded
];

/** Names of the ops recorded on the way to a tensor. */
function opsOf(t: api.Tensor): Set<string> {
  interface Node {
    readonly op: string;
    readonly targets: readonly unknown[];
  }
  const names = new Set<string>();
  const visit = (node: Node | null): void => {
    if (!node?.op) return;
    names.add(node.op);
    for (const target of node.targets) visit(target as Node | null);
  };
  visit(t.node as Node | null);
  return names;
}

describe('gradients against finite differences', () => {
  for (const name of covered) {
    it(name, () => {
      for (const { what, inputs, f, tolerance } of CASES.filter((c) => c.name === name)) {
        try {
          checkGradients(f, inputs, tolerance);
        } catch (error) {
          expect.fail(`${name} (${what}): ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    });
  }
});

describe('the table of gradient cases', () => {
  const recorded = new Map<string, string[]>();

  before(() => {
    for (const { name, inputs, f } of CASES) {
      const y = f(inputs.map((v) => toTensor(v, v.complex ? 'complex128' : 'float64', true)));
      for (const op of opsOf(y)) recorded.set(op, [...(recorded.get(op) ?? []), name]);
    }
  });

  it('has every exported function and layer', () => {
    const named = new Set([...covered, ...Object.values(WITHOUT_GRADIENT).flat()]);
    const callable = Object.entries(api).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
    expect(callable.filter((name) => !named.has(name))).to.deep.equal([]);
    expect(
      [...named].filter((name) => !callable.includes(name)),
      'names that no longer exist',
    ).to.deep.equal([]);
    expect(
      Object.values(WITHOUT_GRADIENT)
        .flat()
        .filter((name) => covered.has(name)),
    ).to.deep.equal([]);
  });

  it('has every method of Tensor', () => {
    const known = new Set([...covered, ...METHODS_WITHOUT_GRADIENT]);
    expect(Object.getOwnPropertyNames(api.Tensor.prototype).filter((name) => !known.has(name))).to.deep.equal([]);
  });

  it('records every op that the sources name', () => {
    const folder = join(__dirname, '..', 'ts', 'ops');
    const names = readdirSync(folder).flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/\brecord\(\s*'(\w+)'/g)].map(([, name]) => name as string),
    );
    expect(names).to.include.members(['clone', 'concat']);
    expect(names.filter((name) => !recorded.has(name))).to.deep.equal([]);
  });

  it('records every op under the name of the function or layer that the user called', () => {
    const own = [
      'conv1d',
      'conv2d',
      'partialConv1d',
      'maskedConv2d',
      'pad',
      'batchNorm',
      'prelu',
      'resize1d',
      'mseLoss',
      'maskedL1Loss',
      'Conv1d',
    ];
    for (const name of own) expect(recorded.get(name), name).to.include(name);
  });
});
