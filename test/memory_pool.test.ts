// The memory of large disposed tensors: used again for results of the same size, never while anybody holds it, given back in time.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { ones, type Tensor, tensor, zeros } from '../ts/index';
import { memoryPool } from '../ts/memory_pool';

const LENGTH = 1 << 20; // 4 MiB of float32
const bufferOf = (t: Tensor) => (t.storage.read(t.size, 'test') as Float32Array).buffer;

describe('memory of large disposed tensors', () => {
  it('is that of the next result of the same size, whose elements are the op’s own', () => {
    const a = ones([LENGTH]);
    const memory = bufferOf(a);
    a.dispose();
    expect(memory.byteLength).to.equal(4 * LENGTH);
    const other = ones([LENGTH + 1]);
    expect(bufferOf(other)).to.not.equal(memory);
    const b = zeros([LENGTH]);
    expect(bufferOf(b)).to.equal(memory);
    expect(b.data.every((v) => v === 0)).to.equal(true);
  });

  it('is not used again while a view or the caller holds it', () => {
    const a = ones([LENGTH]);
    const memory = bufferOf(a);
    const view = a.reshape([2, LENGTH / 2]);
    a.dispose();
    expect(bufferOf(zeros([LENGTH]))).to.not.equal(memory);
    const { data } = view;
    view.dispose();
    expect(bufferOf(zeros([LENGTH]))).to.not.equal(memory);
    expect(data[0]).to.equal(1);
    const given = new Float32Array(LENGTH);
    tensor(given, { shape: [LENGTH] }).dispose();
    expect(given.length).to.equal(LENGTH);
  });

  it('is freed after a while in which nobody asked for it', async () => {
    const a = ones([LENGTH]);
    const memory = bufferOf(a);
    a.dispose();
    for (let i = 0; i < 100 && memory.byteLength > 0; i++) await sleep(50);
    expect(memory.byteLength).to.equal(0);
  });

  it('is kept up to 256 MiB, the last ones first; small memory is freed at once', () => {
    const buffers = Array.from({ length: 9 }, () => memoryPool.take(32 << 20));
    for (const buffer of buffers) memoryPool.give(buffer);
    expect(buffers.map((buffer) => buffer.byteLength > 0)).to.deep.equal([false, ...Array(8).fill(true)]);
    expect(memoryPool.take(32 << 20)).to.equal(buffers[8]);
    const small = memoryPool.take(1024);
    memoryPool.give(small);
    expect(small.byteLength).to.equal(0);
    const huge = memoryPool.take(257 << 20);
    memoryPool.give(huge);
    expect(huge.byteLength).to.equal(0);
    expect(buffers.filter((buffer) => buffer.byteLength > 0)).to.have.length(8);
  });
});
