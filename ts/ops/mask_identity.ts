// What a cache knows a mask's contents by: the memory and its version; an updated mask by what it is a copy of.
import type { Storage } from '../storage';
import type { Tensor } from '../tensor';

/** Equal for two masks of one dtype and shape only if they hold the same numbers. */
export interface MaskIdentity {
  readonly id: number;
  readonly version: number;
}

const ids = new WeakMap<Storage, number>();
let nextId = 1;

/** A number that no other memory ever gets. */
function idOf({ origin }: Storage): number {
  let id = ids.get(origin);
  if (id === undefined) {
    id = nextId++;
    ids.set(origin, id);
  }
  return id;
}

/** Memory that was filled from another which never changes, and its version then. */
const copies = new WeakMap<Storage, { readonly of: MaskIdentity | null; readonly version: number }>();

/**
 * Says that `copy` holds what is kept in `from`, which never changes: as long as nobody changes it either, it is known by that. Layers
 * one after the other thus find the masks that they hand on again, though each call makes them anew.
 */
export function markCopy(copy: Tensor, from: Tensor): void {
  const { storage } = copy;
  copies.set(storage.origin, { of: { id: idOf(from.storage), version: from.storage.version }, version: storage.version });
}

/** Says that `mask` was computed from one that nobody may remember: it will not come again either. */
export function markUnknown({ storage }: Tensor): void {
  copies.set(storage.origin, { of: null, version: storage.version });
}

/** @returns null where somebody outside may change the mask unseen */
export function maskIdentity({ storage }: Tensor): MaskIdentity | null {
  if (storage.shared) return null;
  const copy = copies.get(storage.origin);
  return copy?.version === storage.version ? copy.of : { id: idOf(storage), version: storage.version };
}
