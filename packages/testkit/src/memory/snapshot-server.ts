/** The server side of the in-memory snapshot store: the published blobs of a world, and the faults that a test may inject. */
import { crc32 } from 'node:zlib'
import { KagamiError } from '@kagami/core/contract'
import type { SnapshotMeta, SnapshotRef } from '@kagami/core/contract'
import { Reach } from './reach.js'
import type { Mend } from './reach.js'

/** What a test does to the snapshots of a world. A node is named by its id. */
export interface MemorySnapshotControls {
  /** Makes the store unreachable, for one node or for all, until the returned function is called. */
  cut(node?: string): Mend
  /** Refuses to store anything with KAGAMI_STORE_FULL until the returned function is called. */
  fill(): Mend
  /** Flips a bit of a published blob: reading it raises KAGAMI_SNAPSHOT_CORRUPT. */
  corrupt(token: string, id: string): void
  /** Cuts a published blob short: reading it raises KAGAMI_SNAPSHOT_CORRUPT. */
  tear(token: string, id: string): void
  /** Makes the metadata of a published snapshot unreadable: it is not listed any more. */
  spoilMeta(token: string, id: string): void
  /** Loses every snapshot. */
  wipe(): void
}

interface Piece {
  readonly bytes: Uint8Array
  readonly checksum: number
}

/** A blob while it is written, and once it is published. */
export class StoredBlob {
  readonly pieces: Piece[] = []
  bytes = 0

  add(chunk: Uint8Array): void {
    // Not `slice`, which of a Buffer gives a view.
    const bytes = new Uint8Array(chunk)
    this.pieces.push({ bytes, checksum: crc32(bytes) })
    this.bytes += bytes.byteLength
  }
}

interface StoredSnapshot {
  readonly cluster: string
  readonly meta: SnapshotMeta
  readonly blob: StoredBlob
  /** Whether the metadata can be read. */
  readable: boolean
}

export class SnapshotServer implements MemorySnapshotControls {
  readonly reach = new Reach()
  readonly #snapshots = new Map<string, StoredSnapshot>()
  #fills = 0

  get full(): boolean {
    return this.#fills > 0
  }

  has(cluster: string, token: string, id: string): boolean {
    return this.#snapshots.has(key(cluster, token, id))
  }

  publish(cluster: string, meta: SnapshotMeta, blob: StoredBlob): SnapshotRef {
    this.#snapshots.set(key(cluster, meta.token, meta.id), {
      cluster,
      meta: structuredClone(meta),
      blob,
      readable: true,
    })
    return { meta: structuredClone(meta), bytes: blob.bytes }
  }

  /** What can be read, newest first. The ids of the others go to `unreadable`. */
  list(cluster: string, token: string, unreadable: (id: string) => void): readonly SnapshotRef[] {
    const found = [...this.#snapshots.values()].filter((snapshot) => {
      return snapshot.cluster === cluster && snapshot.meta.token === token
    })
    for (const { meta, readable } of found) if (!readable) unreadable(meta.id)
    return found
      .filter(({ readable }) => readable)
      .map(({ meta, blob }) => ({ meta: structuredClone(meta), bytes: blob.bytes }))
      .sort((a, b) => newestFirst(a.meta, b.meta))
  }

  blob(cluster: string, token: string, id: string): StoredBlob | undefined {
    return this.#snapshots.get(key(cluster, token, id))?.blob
  }

  delete(cluster: string, token: string, id: string): void {
    this.#snapshots.delete(key(cluster, token, id))
  }

  cut(node?: string): Mend {
    return this.reach.cut(node)
  }

  fill(): Mend {
    this.#fills += 1
    let mended = false
    return () => {
      if (!mended) this.#fills -= 1
      mended = true
    }
  }

  corrupt(token: string, id: string): void {
    const { bytes } = this.#lastPiece(token, id)
    bytes[bytes.byteLength >>> 1]! ^= 1
  }

  tear(token: string, id: string): void {
    const { pieces } = this.#at(token, id).blob
    const piece = this.#lastPiece(token, id)
    pieces.splice(pieces.indexOf(piece), 1, { ...piece, bytes: piece.bytes.slice(0, piece.bytes.byteLength >>> 1) })
  }

  spoilMeta(token: string, id: string): void {
    this.#at(token, id).readable = false
  }

  wipe(): void {
    this.#snapshots.clear()
  }

  #lastPiece(token: string, id: string): Piece {
    const piece = this.#at(token, id).blob.pieces.findLast(({ bytes }) => bytes.byteLength > 0)
    if (piece === undefined)
      throw new KagamiError('KAGAMI_SNAPSHOT_MISSING', `${id} of ${token} has no bytes to damage`)
    return piece
  }

  #at(token: string, id: string): StoredSnapshot {
    const found = [...this.#snapshots.values()].find(({ meta }) => meta.token === token && meta.id === id)
    if (found === undefined) throw new KagamiError('KAGAMI_SNAPSHOT_MISSING', `token ${token} has no snapshot ${id}`)
    return found
  }
}

function newestFirst(a: SnapshotMeta, b: SnapshotMeta): number {
  return b.incarnation - a.incarnation || b.nextIndex - a.nextIndex || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0)
}

function key(cluster: string, token: string, id: string): string {
  return JSON.stringify([cluster, token, id])
}
