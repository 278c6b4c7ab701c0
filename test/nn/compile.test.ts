// Module.compile() on the CPU: the same object as on a GPU, whose calls run forward().
import { expect } from 'chai';
import * as api from '../../ts';
import { noGrad, ones, PartialConv1d, randn, type Tensor, tensor, tidy } from '../../ts';
import { countCalls } from '../support/native_calls';
import { expectSame } from '../support/tensors';
import { expectTyped } from '../support/typed_errors';

const bits = (...values: number[]) => tensor(values, { dtype: 'bool' });

describe('compile() on the CPU', () => {
  const layer = new PartialConv1d(2, 3, 3, { padding: 1 });
  const x = randn([4, 2, 5]);

  it('gives what forward() gives, without a gradient', () => {
    const mask = bits(1, 0, 0, 0, 1);
    const forms: [api.CompiledLayer, Tensor | null, Tensor | undefined][] = [
      [layer.compile([4, 2, 5]), null, undefined],
      [layer.compile([4, 2, 5], { mask }), mask, undefined],
      [layer.compile([4, 2, 5], { mask: [5] }), mask, mask],
    ];
    for (const [compiled, expected, given] of forms) {
      const y = compiled.forward(x, given);
      expectSame(
        y,
        noGrad(() => layer.forward(x, expected)),
      );
      expect([y.requiresGrad, compiled.device, compiled.outputShape]).to.deep.equal([false, 'cpu', [4, 3, 5]]);
    }
    const [y, updated] = new api.MaskedSequential(layer).compile([4, 2, 5], { mask: [1, 1, 5] }).forward(x, mask.reshape([1, 1, 5]));
    expect([y.shape, updated?.shape]).to.deep.equal([
      [4, 3, 5],
      [1, 1, 5],
    ]);
  });

  it('has weights packed and a fixed mask prepared, and sees what changes', () => {
    const mask = bits(1, 0, 0, 0, 1);
    const compiled = layer.compile([4, 2, 5], { mask });
    expect(countCalls(() => compiled.forward(x)))
      .to.include({ convForward: 1 })
      .and.not.have.any.keys('convPackWeight', 'maskRatio');
    noGrad(() => layer.weight.mul_(2));
    mask.copy_(bits(0, 1, 1, 1, 0));
    expectSame(
      compiled.forward(x),
      noGrad(() => layer.forward(x, mask)),
    );
    mask.dispose();
    expect(compiled.forward(x).shape).to.deep.equal([4, 3, 5]);
  });

  it('checks its inputs as on a GPU', () => {
    const compiled = layer.compile([4, 2, 5], { mask: [5] });
    const { code, message } = expectTyped(() => compiled.forward(randn([4, 2, 6]), ones([5])));
    expect([code, message]).to.deep.equal([
      'ERR_SHAPE',
      'compiled PartialConv1d: expected x of shape [4, 2, 5], but got a float32 tensor of shape [4, 2, 6]',
    ]);
    expect(expectTyped(() => compiled.forward(x)).code).to.equal('ERR_SHAPE');
    expect(expectTyped(() => compiled.forward(x, ones([5]))).code).to.equal('ERR_DTYPE');
    expect(expectTyped(() => layer.compile([4, 3, 5])).code).to.equal('ERR_SHAPE');
    expect(expectTyped(() => new api.BatchNorm1d(2).compile([4, 2, 5])).message).to.contain('call eval()');
    expect(new api.BatchNorm1d(2).eval().compile([4, 2, 5]).outputShape).to.deep.equal([4, 2, 5]);
    compiled.dispose();
    expect(expectTyped(() => compiled.forward(x, bits(1, 1, 1, 1, 1))).code).to.equal('ERR_DISPOSED');
  });

  it('is scoped by using; results are freed by tidy()', () => {
    const layer = new api.ReLU();
    let compiled: api.CompiledLayer | undefined;
    {
      using inside = layer.compile([2]);
      compiled = inside;
      let y: Tensor | undefined;
      tidy(() => {
        y = inside.forward(tensor([-1, 2]));
      });
      expect(y?.disposed).to.equal(true);
    }
    expect(expectTyped(() => compiled?.forward(tensor([1, 2]))).code).to.equal('ERR_DISPOSED');
  });
});
