// forwardAsync: the same bits off the event loop, whatever happens to the inputs meanwhile; worker threads.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { Conv1d, Conv2d, fromBuffer, PartialConv1d, PartialConv2d, rand, randn, type Tensor, tensor, tidy } from '../../ts';
import { generate } from '../goldens/load';
import { changed, expectSame, toShared, toTensor } from '../support/tensors';
import { isTyped } from '../support/typed_errors';

const root = join(__dirname, '..', '..');
const LIBRARY = join(root, 'ts', 'index.ts');

/** Large enough to run for some tens of milliseconds. */
const slowLayer = () => new Conv1d(64, 64, 9, { padding: 4 });
const slowInput = () => rand([4, 64, 6000]);

describe('forwardAsync', () => {
  const cases: [string, () => { run(): Tensor | [Tensor, Tensor]; runAsync(): Promise<Tensor | [Tensor, Tensor]> }][] = [];
  for (const dtype of ['float32', 'float64', 'float16', 'bfloat16', 'complex64', 'complex128'] as const) {
    cases.push([
      `Conv1d ${dtype}`,
      () => {
        const layer = new Conv1d(5, 7, 3, { padding: 1, dtype });
        const x = randn([2, 5, 50], { dtype });
        return { run: () => layer.forward(x), runAsync: () => layer.forwardAsync(x) };
      },
    ]);
    for (const maskDtype of ['bool', 'int32', 'float16'] as const)
      cases.push([
        `PartialConv2d ${dtype}, ${maskDtype} mask`,
        () => {
          const layer = new PartialConv2d(4, 6, 3, {
            padding: 1,
            dtype,
            multiChannel: true,
            groups: 2,
            returnMask: true,
            paddingMode: 'reflect',
          });
          const x = randn([2, 4, 9, 8], { dtype });
          const mask = () => toTensor(generate('mask', 3, [2, 4, 9, 8]), maskDtype);
          return { run: () => layer.forward(x, mask()), runAsync: () => layer.forwardAsync(x, mask()) };
        },
      ]);
  }
  cases.push([
    'Conv2d unbatched, no mask',
    () => {
      const layer = new PartialConv2d(3, 2, 2, { padding: 1 });
      const x = rand([3, 5, 6]);
      return { run: () => layer.forward(x), runAsync: () => layer.forwardAsync(x) };
    },
  ]);

  for (const [name, make] of cases) {
    it(`gives the same bits: ${name}`, async () => {
      const { run, runAsync } = make();
      const list = (r: Tensor | [Tensor, Tensor]) => (Array.isArray(r) ? r : [r]);
      const first = list(await runAsync());
      for (const results of [list(run()), list(await runAsync())]) {
        expect(results.length).to.equal(first.length);
        for (const [i, t] of results.entries()) expectSame(t, first[i] as Tensor);
      }
      expect(first.map((t) => t.requiresGrad)).to.deep.equal(first.map(() => false));
    });
  }

  it('lets the event loop run meanwhile', async () => {
    const [layer, x] = [slowLayer(), rand([8, 64, 12000])];
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await layer.forwardAsync(x);
    clearInterval(timer);
    expect(ticks).to.be.greaterThan(2);
  });

  it('runs many at once, each with its own result', async () => {
    const layer = new Conv1d(3, 4, 3, { padding: 1 });
    const inputs = Array.from({ length: 100 }, (_, i) => rand([1 + (i % 3), 3, 20 + i]));
    const results = await Promise.all(inputs.map((x) => layer.forwardAsync(x)));
    for (const [i, y] of results.entries()) expectSame(y, layer.forward(inputs[i] as Tensor), `${i}`);
  });

  it('runs beside synchronous calls', async () => {
    const [layer, x] = [slowLayer(), slowInput()];
    const expected = layer.forward(x);
    const running = layer.forwardAsync(x);
    for (let i = 0; i < 5; i++) expectSame(layer.forward(x), expected);
    expectSame(await running, expected);
  });

  const disturbances: [string, (t: Tensor) => void][] = [
    ['disposed', (t) => t.dispose()],
    ['filled in place', (t) => void t.fill_(9)],
    ['written through data', (t) => void t.data.fill(3)],
    ['copied over', (t) => void t.copy_(rand([...t.shape]))],
  ];
  for (const [what, disturb] of disturbances) {
    it(`reads what its operands were at the call: each ${what} meanwhile`, async () => {
      for (const victim of ['x', 'mask', 'weight', 'bias'] as const)
        for (const dtype of ['float32', 'complex64'] as const)
          for (const maskDtype of ['float32', 'bool', 'int32'] as const) {
            const layer = new PartialConv1d(8, 8, 5, { padding: 2, dtype });
            const operands = {
              x: rand([2, 8, 3000], { dtype }),
              mask: toTensor(generate('mask', 1, [2, 3000]), maskDtype),
              weight: layer.weight,
              bias: layer.bias as Tensor,
            };
            for (const t of [layer.weight, layer.bias as Tensor]) t.requiresGrad = false;
            const expected = new PartialConv1d(8, 8, 5, { padding: 2, dtype });
            expected.loadStateDict(layer.stateDict());
            const y = expected.forward(operands.x, operands.mask);
            const running = layer.forwardAsync(operands.x, operands.mask);
            disturb(operands[victim]);
            expectSame(await running, y, `${victim} ${dtype} ${maskDtype}`);
          }
    });
  }

  it('reads what shared memory was at the call: written and detached meanwhile', async () => {
    for (const after of ['written', 'detached'] as const)
      for (const victim of [0, 1] as const) {
        const layer = new PartialConv1d(8, 8, 5, { padding: 2 });
        const arrays = [new Float32Array(2 * 8 * 3000).fill(1), new Float32Array(3000).map((_, i) => i % 2)] as const;
        const [x, mask] = [fromBuffer(arrays[0], [2, 8, 3000]), fromBuffer(arrays[1], [3000])];
        const expected = layer.forward(x, mask);
        const running = layer.forwardAsync(x, mask);
        if (after === 'written') arrays[victim].fill(5);
        else structuredClone(arrays[victim].buffer, { transfer: [arrays[victim].buffer] });
        expectSame(await running, expected, `${after} ${victim}`);
      }
  });

  it('may be disposed with its layer meanwhile', async () => {
    const [layer, x] = [slowLayer(), slowInput()];
    const expected = layer.forward(x);
    const running = layer.forwardAsync(x);
    layer.dispose();
    x.dispose();
    expectSame(await running, expected);
  });

  it('works inside tidy, which waits for it', async () => {
    const layer = new PartialConv1d(4, 4, 3, { returnMask: true });
    const x = rand([1, 4, 2000]);
    const mask = toTensor(generate('mask', 1, [2000]), 'float32');
    const [y, updated] = await tidy(async () => layer.forwardAsync(x, mask));
    const [z, same] = await tidy(() => layer.forwardAsync(x, mask));
    expectSame(y, z);
    expectSame(updated, same);
    expectSame(y, layer.forward(x, mask)[0]);
  });

  it('rejects with the errors of forward, and writes nothing', async () => {
    const layer = new PartialConv1d(3, 4, 3) as unknown as {
      forward(...a: unknown[]): unknown;
      forwardAsync(...a: unknown[]): Promise<unknown>;
    };
    const gone = rand([3, 8]);
    gone.dispose();
    const bad: unknown[][] = [
      [],
      [null],
      [rand([2, 8])],
      [gone],
      [rand([3, 8], { dtype: 'float64' })],
      [rand([3, 8]), rand([7])],
      [rand([3, 8]), null, { returnMask: 3 }],
      [rand([3, 1])],
    ];
    for (const args of bad) {
      let message = '';
      try {
        layer.forward(...args);
      } catch (error) {
        message = (error as Error).message;
      }
      const error = await layer.forwardAsync(...args).then(
        () => null,
        (e: unknown) => e,
      );
      expect(isTyped(error), String(error)).to.equal(true);
      expect((error as Error).message)
        .to.equal(message)
        .and.not.equal('');
    }
    expect([...(await new PartialConv1d(3, 4, 3).forwardAsync(rand([3, 8]))).shape]).to.deep.equal([4, 6]);
  });

  it('ignores what is under holes', async () => {
    const layer = new PartialConv1d(2, 3, 3, { padding: 1 });
    const x = generate('exact', 1, [2, 40]);
    const mask = generate('mask', 2, [40]);
    const poisoned = changed(x, (v, i) => (mask.data[i % 40] === 0 ? Number.NaN : v));
    expectSame(
      await layer.forwardAsync(toShared(poisoned, 'float32'), toTensor(mask, 'bool')),
      layer.forward(toTensor(x, 'float32'), toTensor(mask, 'bool')),
    );
  });

  it('leaves no memory acquired: in-place changes afterwards touch the tensor itself', async () => {
    const layer = new Conv2d(1, 1, 1);
    const x = tensor([
      [
        [1, 2],
        [3, 4],
      ],
    ]);
    await layer.forwardAsync(x);
    const view = x.detach();
    x.fill_(5);
    expect(view.toArray()).to.deep.equal([
      [
        [5, 5],
        [5, 5],
      ],
    ]);
    expect(x.storage.readers).to.equal(0);
    expect(layer.weight.storage.readers).to.equal(0);
  });
});

describe('worker threads', () => {
  const start = (code: string) =>
    new Worker(
      `require('tsx/cjs'); const { parentPort } = require('node:worker_threads'); const pc = require(${JSON.stringify(LIBRARY)}); ${code}`,
      { eval: true },
    );

  it('have their own generator, layers and queue, and the same bits', async () => {
    const code = `pc.manualSeed(4); const layer = new pc.PartialConv1d(3, 4, 3); const x = pc.rand([2, 3, 30]);
      layer.forwardAsync(x, pc.tensor(new Array(30).fill(0).map((_, i) => i % 3 ? 1 : 0))).then((y) => parentPort.postMessage(y.readSync()));`;
    const results = await Promise.all(
      [1, 2, 3].map(() => new Promise<Float32Array>((resolve, reject) => void start(code).once('message', resolve).once('error', reject))),
    );
    for (const r of results) expect([...r]).to.deep.equal([...(results[0] as Float32Array)]);
    expect(results[0]?.every(Number.isFinite)).to.equal(true);
  });

  it('report typed errors of their own', async () => {
    const code =
      'new pc.Conv1d(1, 1, 9).forwardAsync(pc.zeros([1, 3])).catch((e) => parentPort.postMessage([e.name, e.code, e instanceof pc.ShapeError]));';
    const message = await new Promise((resolve, reject) => void start(code).once('message', resolve).once('error', reject));
    expect(message).to.deep.equal(['ShapeError', 'ERR_SHAPE', true]);
  });

  it('may end in the middle of many jobs', () => {
    const script = `require('tsx/cjs'); const { Worker } = require('node:worker_threads');
      const code = 'require("tsx/cjs"); const pc = require(' + ${JSON.stringify(JSON.stringify(LIBRARY))} + ');' +
        'const l = new pc.PartialConv1d(32, 32, 9, { returnMask: true }); for (let i = 0; i < 20; i++) l.forwardAsync(pc.zeros([4, 32, 5000]), pc.ones([5000]));' +
        'require("node:worker_threads").parentPort.postMessage(1);';
      let left = 3;
      for (let i = 0; i < 3; i++) { const w = new Worker(code, { eval: true }); w.once('message', () => w.terminate().then(() => { if (--left === 0) console.log('alive'); })); }`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--eval', script], { cwd: root, encoding: 'utf8' });
    expect({ status, stdout }, stderr).to.deep.equal({ status: 0, stdout: 'alive\n' });
  });

  it('or processes may end with a pending rejection handled', () => {
    const script = `require('tsx/cjs'); const pc = require(${JSON.stringify(LIBRARY)}); const l = new pc.Conv1d(16, 16, 9);
      for (let i = 0; i < 10; i++) l.forwardAsync(pc.zeros([4, 16, 20000])); l.forwardAsync(null).catch(() => process.exit(5));`;
    const { status, stderr } = spawnSync(process.execPath, ['--eval', script], { cwd: root, encoding: 'utf8' });
    expect(status, stderr).to.equal(5);
  });
});
