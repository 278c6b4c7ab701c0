// Memory that an op's result is given holds no zeros in the tests, but NaN in every float: what an op does not write is seen.
import { memoryPool } from '../../ts/memory_pool';

const take = memoryPool.take.bind(memoryPool);
memoryPool.take = (bytes, zeroed) => {
  const buffer = take(bytes, zeroed);
  if (!zeroed) new Uint8Array(buffer).fill(0xff);
  return buffer;
};
