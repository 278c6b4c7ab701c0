// fromBuffer(): shared memory of every dtype, buffers that grow, shrink or go away, messages.
import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { expect } from 'chai';
import { DisposedError, type DType, DTypeError, fromBuffer, ShapeError } from '../ts';
import { expectTyped } from './support/typed_errors';
import { detached, expectAll } from './support/wrong_calls';

type Resizable = ArrayBuffer & { resize(bytes: number): void };
const resizable = (bytes: number, most: number) =>
  new (ArrayBuffer as unknown as new (length: number, options: object) => Resizable)(bytes, { maxByteLength: most });

describe('fromBuffer', () => {
  it('shares the memory, both ways', () => {
    const array = Float32Array.of(1, 2, 3, 4);
    const t = fromBuffer(array, [2, 2]);
    array[3] = 9;
    t.reshape([4]).slice(0, 0, 1);
    t.mul_(2);
    expect([...array]).to.deep.equal([2, 4, 6, 18]);
    expect([t.data === array, t.storage.shared]).to.deep.equal([true, true]);
    t.dispose();
    expect([...array], 'the caller keeps the memory').to.deep.equal([2, 4, 6, 18]);
  });

  it('takes every dtype', () => {
    const cases: [ArrayBufferView, DType | undefined, DType, number][] = [
      [new Float32Array(4), undefined, 'float32', 4],
      [new Float32Array(4), 'complex64', 'complex64', 2],
      [new Float64Array(4), undefined, 'float64', 4],
      [new Float64Array(4), 'complex128', 'complex128', 2],
      [new Uint16Array(4), 'float16', 'float16', 4],
      [new Uint16Array(4), 'bfloat16', 'bfloat16', 4],
      [new Int32Array(4), undefined, 'int32', 4],
      [new Uint8Array(4), undefined, 'uint8', 4],
      [new Uint8Array(4), 'bool', 'bool', 4],
      [new Uint8ClampedArray(4), undefined, 'uint8', 4],
      [Buffer.alloc(4), 'bool', 'bool', 4],
    ];
    for (const [array, given, dtype, size] of cases) {
      const t = fromBuffer(array, undefined, given);
      expect([t.dtype, t.size]).to.deep.equal([dtype, size]);
      t.fill_(1);
      expect(t.sum().to('float32').item()).to.equal(size);
      expect(new Uint8Array(array.buffer, array.byteOffset, array.byteLength).some((byte) => byte !== 0)).to.equal(true);
    }
  });

  it('uses the first elements of a longer array, and never more', () => {
    const array = new Float32Array(10);
    const t = fromBuffer(array, [2, 3]);
    t.fill_(1);
    expect([...array]).to.deep.equal([1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    expect([t.data.length, t.readSync().length]).to.deep.equal([6, 6]);
    expect(fromBuffer(new Float32Array(3), 2, 'float32').shape).to.deep.equal([2]);
    const copy = fromBuffer(Buffer.from([1, 2, 3])).readSync();
    expect(Buffer.isBuffer(copy), 'a copy, though a Buffer’s own slice would share').to.equal(false);
  });

  it('survives a buffer that grows, shrinks or goes away', async () => {
    const buffer = resizable(16, 64);
    const t = fromBuffer(new Float32Array(buffer), [4]);
    buffer.resize(32);
    t.fill_(2);
    expect([...new Float32Array(buffer)]).to.deep.equal([2, 2, 2, 2, 0, 0, 0, 0]);
    buffer.resize(8);
    for (const use of [() => t.add(1), () => t.add_(1), () => t.toArray(), () => t.data, () => t.readSync(), () => t.detach()]) {
      expect(expectTyped(use)).to.be.instanceOf(DisposedError);
    }
    expect(expectTyped(() => t.add(1)).message).to.equal(
      "add: expected 4 elements in the tensor's memory, but its buffer was detached or shrunk to 0",
    );
    buffer.resize(16);
    expect(t.toArray()).to.deep.equal([2, 2, 0, 0]);

    const array = new Float32Array(4);
    const sent = fromBuffer(array);
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(array, [array.buffer]);
    await once(port2, 'message');
    port1.close();
    expect(expectTyped(() => sent.sum()).message).to.contain('its buffer was detached or shrunk to 0');
    sent.dispose();
    expect(expectTyped(() => sent.sum()).message).to.contain('was disposed');
  });

  it('says what does not fit', () => {
    expectAll([
      [
        () => fromBuffer(new Float32Array(5), [2, 3]),
        ShapeError,
        'fromBuffer: shape [2, 3] of float32 needs 6 elements, but the Float32Array has 5',
      ],
      [
        () => fromBuffer(new Float32Array(5), [3], 'complex64'),
        ShapeError,
        'fromBuffer: shape [3] of complex64 needs 6 elements, but the Float32Array has 5',
      ],
      [() => fromBuffer(new Float32Array(5), [-1]), ShapeError, 'fromBuffer: expected a shape'],
      [
        () => fromBuffer(new Float32Array(new SharedArrayBuffer(8)), [2]),
        DTypeError,
        'but it is on a SharedArrayBuffer, which other threads may write',
      ],
      [
        () => fromBuffer(new Uint16Array(2), [2]),
        DTypeError,
        'fromBuffer: a Uint16Array does not tell the dtype; give it as the third argument',
      ],
      [() => fromBuffer(new Int8Array(2), [2]), DTypeError, 'fromBuffer: an Int8Array does not tell the dtype'],
      [
        () => fromBuffer(new Float64Array(2), [2], 'float32'),
        DTypeError,
        'fromBuffer: dtype float32 lies in a Float32Array, but got a Float64Array',
      ],
      [() => fromBuffer(new Float32Array(2), [2], 'float17' as DType), DTypeError, 'fromBuffer: expected a dtype'],
      [() => fromBuffer([1, 2] as never, [2]), DTypeError, 'fromBuffer: expected a typed array, but got [1, 2]'],
      [
        () => fromBuffer(new ArrayBuffer(8) as never, [2]),
        DTypeError,
        'fromBuffer: expected a typed array, but got an object (ArrayBuffer)',
      ],
      [() => fromBuffer(detached(), [4]), DisposedError, 'fromBuffer: the buffer of the Float32Array was detached or shrunk'],
    ]);
  });
});
