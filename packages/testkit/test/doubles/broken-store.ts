/** What a broken snapshot store is, and how its streams, lists and names are broken. */
import type { CallOptions, SnapshotMeta, SnapshotRef, SnapshotStore } from '@kagami/core/contract'
import type { SnapshotStoreCapabilities } from '../../src/suites/snapshot-store.js'
import { delegate } from './delegate.js'

export interface BrokenStore {
  readonly fault: string
  /** `world` is one for all the adapters of a case. */
  readonly wrap: (store: SnapshotStore, world: object) => SnapshotStore
  readonly caught: readonly string[]
  /** What it declares, where that is another thing than it can. */
  readonly claims?: Partial<SnapshotStoreCapabilities>
}

export type Chunks = AsyncIterable<Uint8Array>

export async function* of(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  yield* chunks
}

/** A store that passes on what it has so far when the stream fails. */
export async function* untilItFails(chunks: Chunks): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* chunks
  } catch {
    return
  }
}

export function creating(
  change: (store: SnapshotStore, meta: SnapshotMeta, chunks: Chunks, options: CallOptions) => Promise<SnapshotRef>,
): (store: SnapshotStore) => SnapshotStore {
  return (store) => delegate(store, { create: (meta, chunks, options) => change(store, meta, chunks, options) })
}

export function listing(
  change: (refs: readonly SnapshotRef[]) => readonly SnapshotRef[],
): (store: SnapshotStore) => SnapshotStore {
  return (store) => delegate(store, { list: async (token, options) => change(await store.list(token, options)) })
}

/** A store that writes names in a way of its own. */
export function naming(
  rename: (name: string) => string,
  what: 'token' | 'id',
): (store: SnapshotStore) => SnapshotStore {
  const token = what === 'token' ? rename : (name: string) => name
  const id = what === 'id' ? rename : (name: string) => name
  return (store) =>
    delegate(store, {
      create: (meta, chunks, options) =>
        store.create({ ...meta, token: token(meta.token), id: id(meta.id) }, chunks, options),
      list: (name, options) => store.list(token(name), options),
      open: (name, own, options) => store.open(token(name), id(own), options),
      delete: (name, own, options) => store.delete(token(name), id(own), options),
    })
}
