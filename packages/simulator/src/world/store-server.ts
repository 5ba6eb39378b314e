/** The snapshots of the world. Knows which of them are damaged, and which were read back whole: the checker asks. */
import { KagamiError } from '@kagami/core/contract'
import type { SnapshotMeta } from '@kagami/core/contract'

export interface StoredSnapshot {
  /** Shown by `list` and `open`: from when its author is told so. */
  visible: boolean
  readonly meta: SnapshotMeta
  readonly chunks: Uint8Array[]
  readonly bytes: number
  /** Its bytes are not those that were handed in, or not any more. */
  damaged: boolean
  /** Somebody has read it to its end, undamaged, after it was published. */
  readBack: boolean
}

export class StoreServer {
  readonly #snapshots = new Map<string, Map<string, StoredSnapshot>>()
  down = false

  publish(meta: SnapshotMeta, chunks: Uint8Array[], damaged: boolean): StoredSnapshot {
    const ofToken = this.#snapshots.get(meta.token) ?? new Map<string, StoredSnapshot>()
    this.#snapshots.set(meta.token, ofToken)
    if (ofToken.has(meta.id))
      throw new KagamiError('KAGAMI_SNAPSHOT_EXISTS', `${meta.token} has a snapshot ${meta.id} already`)
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const stored = { meta: structuredClone(meta), chunks, bytes, damaged, visible: false, readBack: false }
    ofToken.set(meta.id, stored)
    return stored
  }

  /** Its author hears of it: from now on everyone sees it, though it may have been given up meanwhile. */
  show(snapshot: StoredSnapshot): void {
    snapshot.visible = true
    this.#snapshots.get(snapshot.meta.token)?.set(snapshot.meta.id, snapshot)
  }

  /** Newest first. */
  list(token: string): StoredSnapshot[] {
    const ofToken = [...(this.#snapshots.get(token)?.values() ?? [])]
    return ofToken.filter((snapshot) => snapshot.visible).sort((a, b) => newestFirst(a.meta, b.meta))
  }

  get(token: string, id: string): StoredSnapshot | undefined {
    const found = this.#snapshots.get(token)?.get(id)
    return found?.visible ? found : undefined
  }

  delete(token: string, id: string): void {
    this.#snapshots.get(token)?.delete(id)
  }

  tokens(): string[] {
    return [...this.#snapshots.keys()].sort()
  }

  /**
   * Flips a bit of one published snapshot. At most one of a token is damaged by this at a time: two kept copies are what is promised to
   * be enough for one loss.
   */
  rot(snapshot: StoredSnapshot, bit: number): boolean {
    if (snapshot.damaged || !snapshot.readBack) return false
    const others = this.list(snapshot.meta.token)
    if (others.some((other) => other.damaged && other.readBack)) return false
    flip(snapshot.chunks, bit)
    snapshot.damaged = true
    return true
  }
}

/** Flips one bit, somewhere in the chunks. */
export function flip(chunks: Uint8Array[], bit: number): void {
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  let at = total === 0 ? 0 : (bit >>> 3) % total
  for (const chunk of chunks) {
    if (at < chunk.length) {
      chunk[at]! ^= 1 << (bit & 7)
      return
    }
    at -= chunk.length
  }
}

function newestFirst(a: SnapshotMeta, b: SnapshotMeta): number {
  return b.incarnation - a.incarnation || b.nextIndex - a.nextIndex || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0)
}
