// Master copies of 16-bit parameters: against PyTorch's float32 runs (goldens_mixed.py), what is lost without them, and when they give way.
import { expect } from 'chai';
import { Adam, AdamW, Conv1d, SGD, type Tensor, tensor } from '../../ts';
import { generate, load, numbers } from '../goldens/load';
import { expectClose, expectSame, rounded, toTensor, toValues } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const OPTIMIZERS = { SGD, Adam, AdamW };
const LOW = ['bfloat16', 'float16'] as const;

const masterOf = (optimizer: SGD | Adam | AdamW): Tensor => optimizer.stateDict().state['0']?.master as Tensor;

describe('master weights', () => {
  for (const golden of load('mixed').master) {
    for (const dtype of LOW) {
      it(`${golden.optimizer} ${JSON.stringify(golden.options)} in ${dtype} is PyTorch's float32 run rounded; without them steps vanish`, () => {
        const start = generate('exact', 1, [24]);
        const expected = numbers(golden.parameters, 'float32');
        const run = (masterWeights: boolean) => {
          const p = toTensor(start, dtype, true);
          p.grad = toTensor(generate('exact', 2, [24]), dtype);
          const optimizer = new OPTIMIZERS[golden.optimizer]([p], { ...golden.options, masterWeights });
          for (let i = 0; i < golden.steps; i++) optimizer.step();
          return { p, optimizer };
        };
        const { p, optimizer } = run(true);
        expectClose(masterOf(optimizer), { shape: [24], data: expected, complex: false }, { rtol: 0, atol: 1e-6 });
        expect([...toValues(p).data]).to.deep.equal([...expected].map((v) => rounded(v, dtype)));
        const without = run(false);
        expect(masterOf(without.optimizer)).to.equal(undefined);
        const moved = (data: ArrayLike<number>) => start.data.filter((v, i) => Math.abs(v) > 0.5 && v !== data[i]).length;
        expect(moved(toValues(p).data)).to.be.above(12);
        expect(moved(toValues(without.p).data)).to.equal(0);
      });
    }
  }

  it('are kept of 16-bit parameters alone', () => {
    for (const dtype of ['float32', 'float64', 'complex64'] as const) {
      const p = tensor([1, 2], { dtype, requiresGrad: true });
      p.grad = tensor([1, 2], { dtype });
      const optimizer = new SGD([p]);
      optimizer.step();
      expect(optimizer.stateDict().state['0']).to.deep.equal({});
    }
  });

  for (const dtype of LOW) {
    it(`${dtype}: are saved and loaded, and the run goes on with the same bits`, () => {
      const advance = (p: Tensor, optimizer: Adam, from: number, to: number) => {
        for (let step = from; step < to; step++) {
          p.grad = toTensor(generate('fine', step, [50]), dtype);
          optimizer.step();
        }
      };
      const make = (values: Tensor) => {
        const p = values.detach().clone();
        p.requiresGrad = true;
        return { p, optimizer: new Adam([p], { lr: 1e-4 }) };
      };
      const start = toTensor(generate('fine', 99, [50]), dtype);
      const through = make(start);
      advance(through.p, through.optimizer, 0, 20);
      const before = make(start);
      advance(before.p, before.optimizer, 0, 12);
      const after = make(before.p);
      after.optimizer.loadStateDict(before.optimizer.stateDict());
      advance(after.p, after.optimizer, 12, 20);
      expectSame(after.p, through.p);
      expectSame(masterOf(after.optimizer), masterOf(through.optimizer));
      // From the rounded parameter it would be another run.
      const fresh = make(before.p);
      const { state, paramGroups } = before.optimizer.stateDict();
      const { master: _, ...rest } = state['0'] as Record<string, Tensor>;
      fresh.optimizer.loadStateDict({ state: { 0: rest }, paramGroups });
      advance(fresh.p, fresh.optimizer, 12, 20);
      expect(masterOf(fresh.optimizer).toArray()).to.not.deep.equal(masterOf(through.optimizer).toArray());
    });

    it(`${dtype}: give way where the parameter was set otherwise, element by element`, () => {
      const p = tensor([1, 2, -0, 5], { dtype, requiresGrad: true });
      const optimizer = new SGD([p], { lr: 2 ** -14 });
      p.grad = tensor([1, 1, 0, 1], { dtype });
      optimizer.step();
      expect(masterOf(optimizer).toArray()).to.deep.equal([1 - 2 ** -14, 2 - 2 ** -14, -0, 5 - 2 ** -14]);
      p.data.set(tensor([3], { dtype }).data, 1); // unseen by any version
      optimizer.step();
      expect(masterOf(optimizer).toArray()).to.deep.equal([1 - 2 ** -13, 3 - 2 ** -14, -0, 5 - 2 ** -13]);
    });
  }

  it('follow loadStateDict of the model', () => {
    const layer = new Conv1d(2, 2, 3, { dtype: 'bfloat16' });
    const optimizer = new SGD(layer.parameters(), { lr: 2 ** -12 });
    const step = () => {
      layer
        .forward(
          tensor(
            [
              [
                [1, 2, 3, 4],
                [4, 3, 2, 1],
              ],
            ],
            { dtype: 'bfloat16' },
          ),
        )
        .sum()
        .backward();
      optimizer.step();
    };
    step();
    layer.loadStateDict({ weight: toTensor(generate('exact', 5, [2, 2, 3]), 'float32'), bias: tensor([1, 2]) });
    optimizer.zeroGrad();
    step();
    const change = toTensor(generate('exact', 5, [2, 2, 3]), 'float32').sub(masterOf(optimizer));
    expect(Math.max(...toValues(change).data.map(Math.abs))).to.be.within(2 ** -12, 16 * 2 ** -12);
  });

  it('can be a group’s own choice, which has to be a boolean', () => {
    const [p, q] = [1, 2].map(() => tensor([1], { dtype: 'float16', requiresGrad: true })) as [Tensor, Tensor];
    for (const t of [p, q]) t.grad = tensor([1], { dtype: 'float16' });
    const optimizer = new SGD([{ params: [p] }, { params: [q], masterWeights: false }]);
    optimizer.step();
    expect(Object.values(optimizer.stateDict().state).map((s) => Object.keys(s))).to.deep.equal([['master'], []]);
    const { code, message } = expectTyped(() => new SGD([p], { masterWeights: 1 as never }));
    expect(`${code} ${message}`).to.equal('ERR_SHAPE SGD: expected masterWeights to be a boolean, but got 1');
  });
});
