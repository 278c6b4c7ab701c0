// Copies from the host: CUDA leaves open when memory that is not pinned may change again, so that ours go through memory that is.
import { expect } from 'chai';
import * as api from '../../ts';
import { expectCounted, needsCuda, onGpu } from './on_gpu';

describe("uploads to 'cuda'", () => {
  needsCuda();

  it('copies what a CPU tensor holds at the call, whatever the GPU has to do before', () => {
    const [busy, x] = [api.ones([1 << (onGpu ? 26 : 12)], { device: 'cuda' }), api.ones([1 << 20])];
    for (let i = 0; i < 200; i++) busy.mul_(1);
    const y = x.to('cuda');
    x.fill_(2);
    expect(y.readSync().every((v) => v === 1)).to.equal(true);
  });

  it('copies a large tensor in pieces of 16 MiB, of which no more than 64 MiB wait at a time', () => {
    const n = (5 << 22) + 1000; // 80 MiB and a little more
    const x = api.tensor(Float32Array.from({ length: n }, (_, i) => i % 1001));
    let y = x;
    expectCounted('uploads', 6, () => {
      expectCounted('waits', 2, () => {
        y = x.to('cuda');
      });
    });
    expect(Buffer.compare(Buffer.from(y.readSync().buffer), Buffer.from(x.readSync().buffer))).to.equal(0);
  });
});
