// How much memory a piece of code leaves behind.
import { Storage } from '../../ts/storage';

/** Storages that fn allocated after the last call of warm() and that are alive at its end. */
export function countStorages(fn: (warm: () => void) => void): number {
  const made: Storage[] = [];
  const { allocate } = Storage;
  Storage.allocate = (...args) => {
    const storage = allocate.apply(Storage, args);
    made.push(storage);
    return storage;
  };
  try {
    fn(() => void made.splice(0));
  } finally {
    Storage.allocate = allocate;
  }
  return made.filter((s) => !s.disposed).length;
}
