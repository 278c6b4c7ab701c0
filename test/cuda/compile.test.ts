// Module.compile() on 'cuda': one graph launch a call, forward()'s bits, and nothing stale whatever changes.
import { expect } from 'chai';
import * as api from '../../ts';
import { type CompiledLayer, type Device, type DType, Module, noGrad, type Tensor } from '../../ts';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';
import { type AnyLayer, compile, expectEqual, FLOATS, fine, holes, LAYERS, listOf, type Result, wide } from './compile_cases';
import { counted, fake } from './on_fake';
import { needsCuda, onGpu } from './on_gpu';

/** Of kernels, and of graphs; none are counted on a GPU. */
const launches = () => (onGpu ? [0, 0] : [fake.get('launches'), fake.get('graphLaunches')]);

/** Runs fn, and checks whether it captures a graph; on a GPU nothing counts that. */
function expectCapture(captures: boolean, fn: () => void, what: string): void {
  if (onGpu) fn();
  else expect(counted('captured', fn) > 0, `${what}: captured anew`).to.equal(captures);
}

describe("compile() on 'cuda'", () => {
  needsCuda();

  it('is tested for every layer', () => {
    const layers = Object.entries(api).filter(
      ([name, value]) => typeof value === 'function' && value.prototype instanceof Module && name !== 'Module',
    );
    expect(layers.map(([name]) => name).sort()).to.deep.equal(Object.keys(LAYERS).sort());
  });

  for (const [name, cases] of Object.entries(LAYERS)) {
    it(`gives forward()'s bits in one launch: ${name}`, () => {
      for (const { make, x: shape, mask: maskShape } of cases) {
        const dtypes: readonly DType[] = /^(Partial|Masked)?Conv\d/.test(name) ? [...FLOATS, 'complex64'] : FLOATS;
        for (const dtype of dtypes) {
          const what = `${name} ${shape} ${maskShape} ${dtype}`;
          const layer = make(dtype);
          const fixed = maskShape && holes(maskShape);
          const options = { dtype, device: 'cuda' } as const;
          const forms: [CompiledLayer<Result>, (Tensor | undefined)[]][] = fixed
            ? [
                [compile(layer, shape, { ...options, mask: fixed }), [fixed, fixed]],
                [compile(layer, shape, { ...options, mask: maskShape }), [holes(maskShape, 7), holes(maskShape, 8)]],
              ]
            : [[compile(layer, shape, options), [undefined, undefined]]];
          for (const [compiled, masks] of forms) {
            const results: Result[] = [];
            const expected: Result[] = [];
            for (const [i, mask] of masks.entries()) {
              const x = fine(shape, dtype, 20 + i);
              const given = mask === undefined || mask === fixed ? [x] : [x, mask];
              const before = launches();
              results.push(compiled.forward(...(given as [Tensor, Tensor])));
              expect(
                launches().map((n, k) => n - (before[k] as number)),
                what,
              ).to.deep.equal([0, onGpu ? 0 : 1]);
              expected.push(noGrad(() => layer.forward(x, mask)));
            }
            // Only now: later calls leave the results of earlier ones.
            for (const [i, result] of results.entries()) expectEqual(result, expected[i] as Result, `${what}, call ${i}`);
            expect(compiled.outputShape, what).to.deep.equal(listOf(expected[0] as Result)[0]?.shape);
            compiled.dispose();
          }
        }
      }
    });
  }

  it('tells what it was compiled for, and records no gradient', () => {
    const last = api.devices().at(-1)?.device as Device;
    const layer = new api.PartialConv1d(2, 3, 3, { device: last });
    const compiled = layer.compile([4, 2, 9], { mask: [9] });
    const { inputShape, maskShape, outputShape, dtype, device } = compiled;
    expect([inputShape, maskShape, outputShape, dtype, device]).to.deep.equal([[4, 2, 9], [9], [4, 3, 7], 'float32', last]);
    const y: Tensor = compiled.forward(fine([4, 2, 9], 'float32', 3, last), holes([9], 5, last));
    expect([y.requiresGrad, y.device]).to.deep.equal([false, last]);
    const [, mask]: [Tensor, Tensor] = new api.PartialConv1d(2, 3, 3, { returnMask: true, device: 'cuda' })
      .compile([2, 9])
      .forward(fine([2, 9]));
    expect(mask.shape).to.deep.equal([1, 7]);
  });

  it('takes an x that lies with channels last, and one that is a view', () => {
    const [first, second] = [new api.Conv1d(...wide('float32')), new api.Conv1d(...wide('float32'))];
    const x = fine([2, 16, 30]);
    const compiled = second.compile([2, 16, 30]);
    const between = () => noGrad(() => first.forward(x));
    expectSame(
      compiled.forward(between()),
      noGrad(() => second.forward(between())),
    );
    expectSame(
      compiled.forward(x.reshape([960]).reshape([2, 16, 30])),
      noGrad(() => second.forward(x)),
    );
  });

  it('is no part of another forward() that is compiled; its module is', () => {
    const inner = new api.Conv1d(...wide('float32'));
    const compiled = inner.compile([2, 16, 30]);
    class Outer extends Module {
      constructor(readonly f: (x: Tensor) => Tensor) {
        super();
      }
      forward(x: Tensor): Tensor {
        return this.f(x).relu();
      }
    }
    const x = fine([2, 16, 30]);
    const { message } = expectTyped(() => new Outer((t) => compiled.forward(t)).compile([2, 16, 30], { device: 'cuda' }));
    expect(message).to.equal('compiled Conv1d: it cannot be part of what is compiled; use the module itself there');
    const outer = new Outer((t) => inner.forward(t)).compile([2, 16, 30], { device: 'cuda' });
    noGrad(() => inner.weight.mul_(2)); // not below the module, but read
    for (const y of [outer.forward(x), compiled.forward(x).relu()])
      expectSame(
        y,
        noGrad(() => inner.forward(x).relu()),
      );
  });
});

describe("what changes after compile() on 'cuda'", () => {
  needsCuda();

  /** Compiled and plain results agree, before and after a change, which leads to one capture. */
  function expectFresh(
    layer: AnyLayer,
    compiled: CompiledLayer<Result>,
    x: Tensor,
    mask: Tensor | null,
    change: () => void,
    what: string,
  ): void {
    const before = compiled.forward(x);
    change();
    expectCapture(true, () => compiled.forward(x), what);
    const after = compiled.forward(x);
    expectEqual(
      after,
      noGrad(() => layer.forward(x, mask)),
      what,
    );
    const differs = listOf(before).some((t, i) => String(t?.toArray()) !== String(listOf(after)[i]?.toArray()));
    expect(differs, `${what}: another result`).to.equal(true);
    expectCapture(false, () => compiled.forward(x), what);
  }

  it('parameters: in place, by an optimizer, loaded, replaced; sub-modules too', () => {
    const head = new api.PartialConv1d(...wide('float32'));
    class Net extends Module {
      head: Module & { forward(x: Tensor): Tensor } = head;
      scale = 2;
      forward(x: Tensor): Tensor {
        return this.head.forward(x).mul(this.scale);
      }
    }
    const net = new Net();
    const x = fine([2, 16, 30]);
    const compiled = compile(net, [2, 16, 30], { device: 'cuda' });
    const fresh = (what: string, change: () => void) => expectFresh(net, compiled, x, null, change, what);
    fresh('weight', () => noGrad(() => head.weight.mul_(2)));
    fresh('bias', () => noGrad(() => head.bias?.add_(1)));
    fresh('SGD', () => {
      const optimizer = new api.SGD(head.parameters(), { lr: 0.1 });
      net.forward(x).sum().backward();
      optimizer.step();
    });
    fresh(
      'loadStateDict',
      () => void net.loadStateDict(new Net().stateDict() && { 'head.weight': fine([16, 16, 3]), 'head.bias': fine([16]) }),
    );
    fresh('another tensor', () => {
      head.weight = fine([16, 16, 3], 'float32', 8);
    });
    fresh('an option', () => {
      net.scale = 3;
    });
    fresh('a sub-module', () => {
      net.head = new api.Conv1d(...wide('float32'));
    });
    compiled.dispose();
  });

  it('buffers, and train() and eval()', () => {
    const norm = new api.BatchNorm1d(4, { device: 'cuda' }).eval();
    const x = fine([3, 4, 7]);
    const compiled = compile(norm, [3, 4, 7]);
    expectFresh(norm, compiled, x, null, () => norm.runningMean?.add_(1), 'a buffer');
    norm.train();
    const { code, message } = expectTyped(() => compiled.forward(x));
    expect([code, message]).to.deep.equal([
      'ERR_SHAPE',
      'compiled BatchNorm1d: BatchNorm1d changes its buffers in train mode; call eval() before compile() and forward()',
    ]);
    expectTyped(() => norm.compile([3, 4, 7]));
    norm.eval();
    expectEqual(compiled.forward(x), norm.forward(x), 'eval again');
  });

  it('a fixed mask, whose handle may be disposed of', () => {
    const layer = new api.PartialConv1d(...wide('float32'));
    const x = fine([2, 16, 30]);
    const mask = holes([2, 1, 30]);
    const compiled = compile(layer, [2, 16, 30], { mask });
    expectFresh(layer, compiled, x, mask, () => void mask.copy_(holes([2, 1, 30], 9)), 'the mask');
    const expected = noGrad(() => layer.forward(x, mask));
    mask.dispose();
    expectEqual(compiled.forward(x), expected, 'disposed of');
  });

  it('the layer’s memory of masks, which the graph outlives', () => {
    const layer = new api.PartialConv1d(...wide('float32'));
    const x = fine([2, 16, 30]);
    const mask = holes([2, 1, 30]);
    const compiled = compile(layer, [2, 16, 30], { mask });
    const expected = noGrad(() => layer.forward(x, mask));
    for (let i = 0; i < 40; i++) api.tidy(() => void layer.forward(x, holes([2, 1, 30], 100 + i)));
    expect(layer.maskCache.entries).to.equal(16);
    expectEqual(compiled.forward(x), expected, 'after other masks');
  });

  it('settings: TF32 and deterministic mode', () => {
    const layer = new api.Conv1d(...wide('float32'));
    const x = fine([2, 16, 30]);
    const compiled = layer.compile([2, 16, 30]);
    try {
      for (const change of [() => api.setAllowTF32(false), () => api.setDeterministic(true)]) {
        change();
        expectCapture(true, () => compiled.forward(x), String(change));
        expectSame(
          compiled.forward(x),
          noGrad(() => layer.forward(x)),
        );
      }
    } finally {
      api.setAllowTF32(true);
      api.setDeterministic(false);
    }
  });

  it('autocast, in which parameters count as much', () => {
    const layer = new api.PartialConv1d(...wide('float32'));
    const x = fine([2, 16, 30]);
    const mask = holes([30]);
    const compiled = layer.compile([2, 16, 30], { mask });
    let compiledFor: api.AutocastDType | null = 'float16'; // the last one of this loop
    for (const dtype of ['bfloat16', null, 'float16', 'float16'] as const) {
      noGrad(() => layer.weight.mul_(1.25));
      const [y, expected] = api.autocast(dtype, () => [compiled.forward(x), noGrad(() => layer.forward(x, mask))]) as [Tensor, Tensor];
      expect(y.dtype).to.equal(dtype ?? 'float32');
      expectSame(y, expected);
      const same = () => api.autocast(dtype, () => compiled.forward(x));
      expectCapture(false, same, `the same in ${dtype}`);
      // Nothing is left of the region, which a launch outside or in another one could read.
      const [again, still] = api.autocast(dtype, () => [compiled.forward(x), noGrad(() => layer.forward(x, mask))]) as [Tensor, Tensor];
      expectSame(again, still);
    }
    // No parameter changes here: the region alone makes the difference.
    for (const dtype of [null, 'bfloat16', 'float16', null] as const) {
      const run = () => api.autocast(dtype, () => compiled.forward(x));
      expectCapture(dtype !== compiledFor, run, `from ${compiledFor} to ${dtype}`);
      compiledFor = dtype;
      const expected = api.autocast(dtype, () => noGrad(() => layer.forward(x, mask))) as Tensor;
      expectSame(run() as Tensor, expected);
    }
  });

  it('the layer, which is disposed of: a DisposedError', () => {
    const layer = new api.Conv1d(...wide('float32'));
    const compiled = layer.compile([2, 16, 30]);
    layer.dispose();
    expect(expectTyped(() => compiled.forward(fine([2, 16, 30]))).code).to.equal('ERR_DISPOSED');
    compiled.dispose();
    expect(expectTyped(() => compiled.forward(fine([2, 16, 30]))).message).to.equal('compiled Conv1d: it was disposed');
  });
});
