/**
 * The snapshots in the store, for people: with what is recorded of them, and the newest of many tokens without asking the store again for what has
 * not changed. Reads none.
 */
import type { CallOptions, SnapshotRef } from '../contract/index.js'
import type { VerifiedSnapshots } from '../engine/documents.js'
import type { SnapshotStatus } from './cluster-api.js'
import type { SnapshotShelf } from './impatient.js'

/** Lists that are under way at once. */
const AT_ONCE = 16

interface Known {
  /** The record that was known when the store was asked: it changes with every snapshot that is taken. */
  readonly record: VerifiedSnapshots | undefined
  readonly newest: SnapshotStatus | null
}

export class NewestSnapshots {
  readonly #store: Pick<SnapshotShelf, 'list'>
  readonly #record: (token: string) => VerifiedSnapshots | undefined
  #known = new Map<string, Known>()

  constructor(store: Pick<SnapshotShelf, 'list'>, record: (token: string) => VerifiedSnapshots | undefined) {
    this.#store = store
    this.#record = record
  }

  /** Newest first. Rejects as the store does. */
  async list(token: string, options: CallOptions): Promise<readonly SnapshotStatus[]> {
    const refs = await this.#store.list(token, options)
    const verified = new Set(this.#record(token)?.ids)
    return refs.map((ref) => statusOf(ref, verified))
  }

  /** By token. Rejects with what the store rejects with first. */
  async newest(tokens: readonly string[], options: CallOptions): Promise<ReadonlyMap<string, SnapshotStatus | null>> {
    const known = new Map<string, Known>()
    const left = [...tokens]
    const ask = async (): Promise<void> => {
      for (let token = left.pop(); token !== undefined; token = left.pop()) {
        const record = this.#record(token)
        const before = this.#known.get(token)
        if (before !== undefined && before.record === record) known.set(token, before)
        else known.set(token, { record, newest: (await this.list(token, options))[0] ?? null })
      }
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, ask))
    } catch (error) {
      // The others end after the call that they are in.
      left.length = 0
      throw error
    }
    for (const [token, each] of known) this.#known.set(token, each)
    return new Map([...known].map(([token, { newest }]) => [token, newest]))
  }
}

function statusOf({ meta, bytes }: SnapshotRef, verified: ReadonlySet<string>): SnapshotStatus {
  const { id, incarnation, nextIndex, epoch, takenAtMs, member } = meta
  return {
    id,
    next: { incarnation, index: nextIndex },
    epoch,
    bytes,
    takenAtMs,
    member,
    verified: verified.has(id),
  }
}
