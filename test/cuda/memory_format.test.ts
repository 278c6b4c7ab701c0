// Channels last between convolutions on 'cuda': one layout kernel in, one out; the same numbers as without; never an old form.
import { expect } from 'chai';
import * as api from '../../ts';
import { type DType, noGrad, type Tensor } from '../../ts';
import { generate } from '../goldens/load';
import { onDevice, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';
import { fake } from './on_fake';
import { CHAIN_TOLERANCE, expectCounted, expectNear, itOnFake, needsCuda, onGpu, RERUN_TOLERANCE } from './on_gpu';

const fine = (shape: readonly number[], dtype: DType = 'float32', seed = 3) => toTensor(generate('fine', seed, shape), dtype);

/** Launches of layout and of other kernels while fn runs, on the fake. */
function kernels(fn: () => void) {
  const names = { in: 'ToImage', epilogue: 'FromImage', sums: '::GateAndSum', cells: '::SumCells', mask: '::CountWindow', any: 'launch_' };
  const count = () => Object.entries(names).map(([name, text]) => [name, fake.launchesOf(text)] as const);
  const before = new Map(count());
  const plans = fake.get('executions');
  fn();
  const rise = Object.fromEntries(count().map(([name, n]) => [name, n - (before.get(name) ?? 0)]));
  return { ...rise, convolutions: fake.get('executions') - plans } as Record<keyof typeof names | 'convolutions', number>;
}

const five = (make: (i: number) => api.Layer, dtype: DType, activation: () => api.Layer = () => new api.ReLU()) =>
  onDevice('cuda', () => new api.Sequential(...[0, 1, 2, 3, 4].flatMap((i) => [make(i), activation()])).to(dtype).to('cuda'));

/** Smooth: relu's gradient is another one where rounding moves y to the other side of 0. */
class Tanh extends api.Module {
  forward(x: Tensor): Tensor {
    return api.tanh(x);
  }
}

/** Without a bias, and with no cells beyond the last column, a plan's result needs no kernel of ours. */
const layers = {
  conv1d: { make: () => new api.Conv1d(16, 16, 3, { padding: 1 }), x: [2, 16, 50], epilogues: 5 },
  'conv1d, other lengths': { make: () => new api.Conv1d(16, 16, 4), x: [2, 16, 50], epilogues: 5 },
  'conv1d with groups': { make: () => new api.Conv1d(16, 16, 3, { padding: 1, groups: 2, bias: false }), x: [1, 16, 64], epilogues: 0 },
  conv2d: { make: (i: number) => new api.Conv2d(i === 0 ? 9 : 12, 12, 3, { padding: 1 }), x: [1, 9, 4, 20], epilogues: 5 },
};

/** null on a GPU. */
function maybeKernels(fn: () => void): ReturnType<typeof kernels> | null {
  if (!onGpu) return kernels(fn);
  fn();
  return null;
}

/** Of gradients through five layers. */
const GRADIENT_TOLERANCE = onGpu ? 1e-2 : 1e-4;

describe('channels last', () => {
  needsCuda();

  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    for (const [name, { make, x: shape, epilogues }] of Object.entries(layers)) {
      it(`five layers of ${name} in ${dtype}: one layout kernel in, one out`, () => {
        const net = five(make, dtype);
        const x = onDevice('cuda', () => fine(shape, dtype));
        const onCpu = x.to('cpu');
        noGrad(() => net.forward(x).readSync());
        let y: Tensor = x;
        const run = () => {
          y = noGrad(() => net.forward(x));
        };
        if (onGpu) run();
        else {
          expect(kernels(run)).to.deep.equal({
            in: 1,
            epilogue: epilogues,
            sums: 0,
            cells: 0,
            mask: 0,
            any: 6 + epilogues,
            convolutions: 5,
          });
          expect(kernels(() => y.readSync())).to.include({ epilogue: 1, any: 1 });
          expect(kernels(() => y.readSync())).to.include({ any: 0 });
        }
        const expected = noGrad(() => net.to('cpu').forward(onCpu));
        expectNear(toValues(y).data, toValues(expected).data, CHAIN_TOLERANCE[dtype]);
      });
    }
  }

  it('five partial convolutions: the mask is selected at the first alone', () => {
    const net = new api.MaskedSequential(...[0, 1, 2, 3, 4].map(() => new api.PartialConv1d(16, 16, 5, { padding: 2 }))).to('cuda');
    const [x, mask] = onDevice('cuda', () => [fine([2, 16, 100]), toTensor(generate('sparse', 5, [2, 1, 100]), 'bool')]);
    const run = (on: typeof net, a: Tensor, m: Tensor) => noGrad(() => on.forward(a, m)) as [Tensor, Tensor];
    const [y, updated] = run(net, x, mask);
    y.dispose();
    let again: Tensor = y;
    const rerun = () => {
      [again] = run(net, x, mask);
    };
    if (onGpu) rerun();
    else expect(kernels(rerun)).to.include({ in: 1, epilogue: 5, convolutions: 5 });
    const got = [again, updated].map((t) => t.to('cpu'));
    const expected = run(net.to('cpu'), x.to('cpu'), mask.to('cpu'));
    for (const [k, t] of got.entries())
      expectNear(toValues(t).data, toValues(expected[k] as Tensor).data, CHAIN_TOLERANCE.float32, String(k));
  });

  itOnFake('a soft mask, or one that was changed, is selected every time', () => {
    const net = [0, 1].map(
      () => new api.PartialConv1d(16, 16, 3, { padding: 1, returnMask: true, device: 'cuda' }),
    ) as api.PartialConv1d<true>[];
    const chain = (mask: Tensor, change: (m: Tensor) => void) =>
      noGrad(() => {
        const [y, m] = (net[0] as api.PartialConv1d<true>).forward(
          onDevice('cuda', () => fine([1, 16, 40])),
          mask,
        );
        change(m);
        return (net[1] as api.PartialConv1d<true>).forward(y, m);
      });
    const hard = onDevice('cuda', () => toTensor(generate('mask', 5, [40]), 'bool'));
    const soft = onDevice('cuda', () => toTensor(generate('soft', 5, [40]), 'float32'));
    const inKernels = (fn: () => void) => kernels(fn).in;
    expect(inKernels(() => chain(hard, () => {}))).to.equal(1);
    expect(inKernels(() => chain(soft, () => {}))).to.equal(2);
    expect(inKernels(() => chain(hard, (m) => void m.fill_(1)))).to.equal(2);
  });

  it('is never seen by an op that does not know it', () => {
    const conv = new api.Conv1d(16, 10, 3, { device: 'cuda' });
    const x = onDevice('cuda', () => fine([2, 16, 37]));
    const [y, dense] = noGrad(() => [conv.forward(x), api.clone(conv.forward(x))]);
    expect(y.storage.channelsLast).to.not.equal(null);
    expect(dense.storage.channelsLast).to.equal(null);
    const view = y.reshape([2, 350]);
    y.mul_(2);
    expect(y.storage.channelsLast).to.equal(null);
    for (const [actual, expected] of [
      [view, dense.mul(2).reshape([2, 350])],
      [y.sum(), dense.mul(2).sum()],
    ] as const)
      expectNear(toValues(actual).data, toValues(expected).data, RERUN_TOLERANCE);
  });

  it('is read as it was made, once TF32 is switched off', () => {
    const conv = new api.Conv1d(16, 10, 3, { device: 'cuda' }); // 12 channels in TF32's form
    const x = onDevice('cuda', () => fine([2, 16, 37]));
    const expected = toValues(noGrad(() => conv.forward(x))).data;
    const y = noGrad(() => conv.forward(x));
    try {
      api.setAllowTF32(false);
      expectNear(toValues(y).data, expected, RERUN_TOLERANCE);
    } finally {
      api.setAllowTF32(true);
    }
  });

  it('is freed at dispose(), and gone then', () => {
    const conv = new api.Conv1d(16, 16, 3, { device: 'cuda' });
    const x = onDevice('cuda', () => fine([2, 16, 3000]));
    const round = () => noGrad(() => conv.forward(x)).dispose();
    round();
    expectCounted('allocations', 0, () => {
      for (let i = 0; i < 3; i++) round();
    });
    const y = noGrad(() => conv.forward(x));
    y.dispose();
    expect(y.disposed).to.equal(true);
    for (const use of [() => y.add(1), () => conv.forward(y), () => y.relu()]) expect(expectTyped(use).code).to.equal('ERR_DISPOSED');
  });

  // Of each layer: the activation's gradient, sums for the bias' gradient and their total, dgrad, wgrad and its weight unpacked. An epilogue is where
  // dgrad ends: at dx that is dense, at cells beyond the last column, or at a mask.
  const chains = {
    'rows that end with a column of 64': { make: layers.conv1d.make, x: [2, 16, 64], bias: 1, epilogues: 1 },
    'cells beyond the last column': { make: layers.conv1d.make, x: [2, 16, 50], bias: 1, epilogues: 5 },
    'other lengths': { make: () => new api.Conv1d(16, 16, 4, { stride: 2 }), x: [1, 16, 400], bias: 1, epilogues: 5 },
    '2-d without bias': { make: () => new api.Conv2d(16, 16, 3, { padding: 1, bias: false }), x: [1, 16, 4, 64], bias: 0, epilogues: 1 },
  };
  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    for (const [name, { make, x: shape, bias, epilogues }] of Object.entries(chains)) {
      it(`backward through five layers, ${name}, in ${dtype}: one layout kernel at each edge`, () => {
        api.manualSeed(4);
        const net = five(make, dtype, () => new Tanh());
        const backward = (on: typeof net, device: 'cpu' | 'cuda') => {
          const x = fine(shape, dtype).to(device);
          x.requiresGrad = true;
          const y = on.forward(x);
          const dy = fine(y.shape, dtype, 8).to(device);
          y.toArray(); // as a loss reads it
          for (const p of net.parameters()) p.grad = null;
          const launched = maybeKernels(() => y.backward(dy));
          return { launched, grads: [x, ...on.parameters()].map((t) => toValues(t.grad as Tensor).data) };
        };
        backward(net, 'cuda'); // packs the weights
        const { launched, grads } = backward(net, 'cuda');
        // In: q of the last layer, whose dy is dense and added up on its own, and the first layer's x for its dw.
        const layout = 2;
        if (launched !== null)
          expect(launched).to.deep.equal({
            in: layout,
            epilogue: epilogues,
            sums: 4 * bias,
            cells: bias,
            mask: 0,
            any: 5 + 2 * 5 * bias + 5 + layout + epilogues,
            convolutions: 10,
          });
        const expected = backward(net.to('cpu'), 'cpu').grads;
        for (const [k, values] of expected.entries()) {
          const tolerance = dtype === 'float32' ? GRADIENT_TOLERANCE : CHAIN_TOLERANCE[dtype];
          expectNear(grads[k] ?? [], values, tolerance, String(k));
        }
      });
    }
  }

  it('backward through five partial convolutions: dy is gated once a layer, and x is not selected again', () => {
    api.manualSeed(4);
    const net = new api.MaskedSequential(...[0, 1, 2, 3, 4].map(() => new api.PartialConv1d(16, 16, 5, { padding: 2 }))).to('cuda');
    const backward = (on: typeof net, device: 'cpu' | 'cuda') => {
      const [x, mask] = [fine([2, 16, 100]).to(device), toTensor(generate('sparse', 5, [2, 1, 100]), 'bool').to(device)];
      x.requiresGrad = true;
      const [y] = on.forward(x, mask) as [Tensor, Tensor];
      const dy = fine(y.shape, 'float32', 8).to(device);
      y.toArray();
      for (const p of on.parameters()) p.grad = null;
      const launched = maybeKernels(() => y.backward(dy));
      return { launched, grads: [x, ...on.parameters()].map((t) => toValues(t.grad as Tensor).data) };
    };
    backward(net, 'cuda');
    const { launched, grads } = backward(net, 'cuda');
    if (launched !== null) expect(launched).to.include({ in: 2, epilogue: 5, sums: 4, cells: 1, convolutions: 10 });
    const expected = backward(net.to('cpu'), 'cpu').grads;
    for (const [k, values] of expected.entries()) {
      const bound = GRADIENT_TOLERANCE * Math.max(...values.map(Math.abs), 1e-3);
      for (const [i, v] of values.entries()) expect(grads[k]?.[i], `${k}[${i}]`).to.be.closeTo(v, bound);
    }
  });

  /** With numbers of 8 bits, which TF32 holds: the next activation sees the same signs on a GPU. */
  function exact<T extends Tensor | api.Module>(it: T): T {
    const tensors = it instanceof api.Module ? it.parameters() : [it as Tensor];
    noGrad(() => {
      for (const t of tensors) t.copy_(t.to('bfloat16').to('float32'));
    });
    return it;
  }

  it('gradients of activations that stay so are those of the dense form', () => {
    const { relu, tanh, abs, neg } = api;
    for (const [name, op] of Object.entries({ relu, tanh, abs, neg })) {
      const grads = (device: 'cpu' | 'cuda') => {
        api.manualSeed(2);
        const [a, b] = [new api.Conv1d(9, 16, 3), new api.Conv1d(16, 8, 3)].map((layer) => exact(layer).to(device)) as [
          api.Conv1d,
          api.Conv1d,
        ];
        const x = exact(fine([2, 9, 50])).to(device);
        x.requiresGrad = true;
        b.forward(op(a.forward(x)))
          .sum()
          .backward();
        return [x, ...a.parameters(), ...b.parameters()].map((t) => toValues(t.grad as Tensor).data);
      };
      const [gpu, cpu] = [grads('cuda'), grads('cpu')];
      for (const [k, values] of cpu.entries()) expectNear(gpu[k] ?? [], values, CHAIN_TOLERANCE.float32, `${name} ${k}`);
    }
  });

  it('gives the same gradients', () => {
    const grads = (device: 'cpu' | 'cuda') =>
      onDevice(device, () => {
        api.manualSeed(2);
        const net = new api.Sequential(new api.Conv1d(9, 16, 3, { padding: 1 }), new api.ReLU(), new api.Conv1d(16, 8, 3));
        exact(net).to(device);
        const x = exact(fine([2, 9, 50]));
        x.requiresGrad = true;
        net.forward(x).sum().backward();
        return [x, ...net.parameters()].map((t) => toValues(t.grad as Tensor).data);
      });
    const [gpu, cpu] = [grads('cuda'), grads('cpu')];
    for (const [k, values] of cpu.entries()) expectNear(gpu[k] ?? [], values, CHAIN_TOLERANCE.float32, String(k));
  });
});
