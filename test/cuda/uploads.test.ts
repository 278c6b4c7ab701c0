// Copies from the host: CUDA leaves open when memory that is not pinned may change again, so that ours go through memory that is.
import { expect } from 'chai';
import * as api from '../../ts';
import { needsCuda, onGpu } from './on_gpu';

describe("uploads to 'cuda'", () => {
  needsCuda();

  it('copies what a CPU tensor holds at the call, whatever the GPU has to do before', () => {
    const [busy, x] = [api.ones([1 << (onGpu ? 26 : 12)], { device: 'cuda' }), api.ones([1 << 20])];
    for (let i = 0; i < 200; i++) busy.mul_(1);
    const y = x.to('cuda');
    x.fill_(2);
    expect(y.readSync().every((v) => v === 1)).to.equal(true);
  });
});
