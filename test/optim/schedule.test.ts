// Schedules of the learning rate: rates, groups, state, errors. Their rates beside PyTorch's are in goldens.test.ts.
import { expect } from 'chai';
import { CosineAnnealingLR, SGD, StepLR, type Tensor, tensor } from '../../ts';
import { expectTyped } from '../support/typed_errors';

const leaf = (...data: number[]): Tensor => tensor(data, { requiresGrad: true });
const text = (f: () => unknown): string => {
  const { code, message } = expectTyped(f);
  return `${code} ${message}`;
};

describe('schedules', () => {
  const stepped = (schedule: StepLR | CosineAnnealingLR): number[] => {
    schedule.step();
    return schedule.lastLr;
  };
  const optimizer = (lr = 1) => new SGD([leaf(1)], { lr });

  it('StepLR multiplies every stepSize steps, each group by itself', () => {
    const groups = new SGD([{ params: [leaf(1)] }, { params: [leaf(1)], lr: 8 }], { lr: 1 });
    const schedule = new StepLR(groups, { stepSize: 2, gamma: 0.5 });
    const rates = Array.from({ length: 5 }, () => stepped(schedule));
    expect(rates).to.deep.equal([
      [1, 8],
      [0.5, 4],
      [0.5, 4],
      [0.25, 2],
      [0.25, 2],
    ]);
    expect(schedule.lastEpoch).to.equal(5);
  });

  it('CosineAnnealingLR goes down to etaMin and up again', () => {
    const schedule = new CosineAnnealingLR(optimizer(), { tMax: 4, etaMin: 0.5 });
    const rates = Array.from({ length: 8 }, () => stepped(schedule)[0] as number);
    const expected = Array.from({ length: 8 }, (_, i) => 0.5 + (0.5 * (1 + Math.cos((Math.PI * (i + 1)) / 4))) / 2);
    rates.forEach((lr, i) => void expect(lr).to.be.closeTo(expected[i] as number, 1e-12));
  });

  it('continue from a saved state', () => {
    const run = (interrupted: boolean) => {
      const o = optimizer();
      let schedule = new CosineAnnealingLR(o, { tMax: 10 });
      for (let i = 0; i < 3; i++) schedule.step();
      if (interrupted) {
        const state = schedule.stateDict();
        schedule = new CosineAnnealingLR(o, { tMax: 10 });
        schedule.loadStateDict(JSON.parse(JSON.stringify(state)));
      }
      for (let i = 0; i < 12; i++) schedule.step();
      return schedule.lastLr;
    };
    expect(run(true)).to.deep.equal(run(false));
  });

  it('accept PyTorch’s names and refuse what is out of range', () => {
    expect(new CosineAnnealingLR(optimizer(), { T_max: 3, eta_min: 0.1 } as never).lastEpoch).to.equal(0);
    expect(text(() => new StepLR(optimizer(), { stepSize: 0 }))).to.equal(
      'ERR_SHAPE StepLR: expected stepSize to be a positive integer, but got 0',
    );
    expect(text(() => new StepLR(optimizer(), { stepSize: 1, gamma: -1 }))).to.equal('ERR_SHAPE StepLR: Invalid gamma: -1');
    expect(text(() => new CosineAnnealingLR(optimizer(), {} as never))).to.equal(
      'ERR_SHAPE CosineAnnealingLR: expected tMax to be a positive integer, but got undefined',
    );
    expect(text(() => new StepLR(optimizer(), { stepsize: 3 } as never))).to.equal(
      'ERR_SHAPE StepLR: unknown option "stepsize"; did you mean "stepSize"?',
    );
    expect(text(() => new StepLR({} as never, { stepSize: 1 }))).to.equal(
      'ERR_DTYPE StepLR: expected an optimizer, but got an object (Object)',
    );
    for (const state of [
      { lastEpoch: -1, baseLrs: [1] },
      { lastEpoch: 1, baseLrs: [1, 2] },
      { lastEpoch: 1, baseLrs: ['1'] },
      null,
      undefined,
      3,
    ])
      expect(text(() => new StepLR(optimizer(), { stepSize: 1 }).loadStateDict(state as never))).to.match(
        /^ERR_SHAPE StepLR: expected the state of a schedule of 1 groups, but got /,
      );
  });
});
