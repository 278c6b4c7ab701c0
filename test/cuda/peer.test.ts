// Copies from GPU to GPU: without the host, in the order of both.
import { expect } from 'chai';
import * as api from '../../ts';
import { type Device, type Tensor, zeros } from '../../ts';
import { generate } from '../goldens/load';
import { expectSame, toTensor } from '../support/tensors';
import { fake, needsFakeCuda } from './on_fake';
import { describeOnFake } from './on_gpu';

const fine = (shape: readonly number[], device: Device = 'cuda'): Tensor => toTensor(generate('fine', 3, shape), 'float32').to(device);

describeOnFake("copies between 'cuda' and 'cuda:1'", () => {
  needsFakeCuda();

  /** What crosses the host, and how often anybody waits, while fn runs. */
  const crossings = (fn: () => void) => {
    const names = ['uploads', 'downloads', 'waits', 'peerCopies'] as const;
    const before = names.map((name) => fake.get(name));
    fn();
    return names.map((name, i) => fake.get(name) - (before[i] as number));
  };

  it('do not pass the host, and wait for nothing', () => {
    const x = fine([3, 5]);
    let y: Tensor | undefined;
    const copy = () => {
      y = x.to('cuda:1');
    };
    expect(crossings(copy)).to.deep.equal([0, 0, 0, 1]);
    expect(y?.device).to.equal('cuda:1');
    expectSame(y as Tensor, x);
  });

  it('come after what the source is computed by, and before whoever gets its memory next', () => {
    const expected = fine([64, 64], 'cpu').mul(2).exp().toArray();
    const x = fine([64, 64]);
    const y = api.tidy(() => x.mul(2).exp().to('cuda:1')); // the source is gone
    const next = Array.from({ length: 4 }, () => api.full([64, 64], 7, { device: 'cuda' }));
    for (const t of next) expect(t.readSync()[0]).to.equal(7); // the first GPU's work is done, the second's is not yet asked for
    expect(y.toArray()).to.deep.equal(expected);
  });

  it('go there and back, many times, in order', () => {
    const x = fine([9], 'cuda');
    let y = x;
    for (let i = 0; i < 20; i++) y = y.add(i).to(i % 2 === 0 ? 'cuda:1' : 'cuda');
    let expected = fine([9], 'cpu');
    for (let i = 0; i < 20; i++) expected = expected.add(i);
    expect(y.toArray()).to.deep.equal(expected.toArray());
  });

  it('take what lies with channels last, views, gradients, and nothing at all', () => {
    const layer = new api.Conv1d(16, 16, 3, { device: 'cuda' });
    const y = layer.forward(fine([2, 16, 30]));
    expectSame(y.to('cuda:1').to('cpu'), y.to('cpu'));
    expectSame(y.reshape([2, -1]).to('cuda:1').to('cpu'), y.to('cpu').reshape([2, -1]));
    y.to('cuda:1').sum().backward();
    expect([layer.weight.grad?.device, layer.bias?.grad?.toArray()]).to.deep.equal(['cuda', new Array(16).fill(56)]);
    expect(zeros([0, 3], { device: 'cuda' }).to('cuda:1').toArray()).to.deep.equal([]);
  });
});
