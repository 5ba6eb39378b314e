/**
 * The snapshot store: immutable, all-or-nothing blobs with a little metadata. What is in a blob is core's business:
 * core adds checksums of its own to every block (and checks them on the way back), so a store may be simple;
 * but what it has published must stay, whole, until it is deleted.
 *
 * A call that takes and gives no chunk, and has no answer, for `limits.stallTimeoutMs` is given up: its signal aborts, and it must then free what it holds. `list`
 * may be given up sooner, and asked again. A node asks for at most 64 listings at a time for its restores, besides those in their places.
 *
 * Of an error, core tells people by `retryable` whether waiting helps. Whatever a store can't tell for certain is KAGAMI_STORE_UNAVAILABLE (retryable).
 */
import type { Adapter, CallOptions } from './adapter.js'

/**
 * What a snapshot holds. A plain JSON value: stores keep it as it is and hand it back equal. 64-bit numbers are strings.
 */
export interface SnapshotMeta {
  /** The version of this metadata and of the blob's layout. */
  readonly format: 1
  /** Unique for ever: names the incarnation, index, member and a nonce. Letters, digits, `-`, `_` and `.`; at most 200 characters. */
  readonly id: string
  /** The name of the token whose state it holds. */
  readonly token: string
  /** The copy's state: see ARCHITECTURE.md, "State of a copy". */
  readonly incarnation: number
  /** The one in force at the capture. */
  readonly epoch: number
  /** 16 hex digits. */
  readonly term: string
  /** The next seq that counts in that epoch. */
  readonly nextSeq: number
  /** Entries of the incarnation that the snapshot holds. */
  readonly nextIndex: number
  /** 16 hex digits. */
  readonly chain: string
  /** The state-machine level in force at the capture. */
  readonly level: number
  /**
   * The last record that had been read with which the log may begin: reading goes on there, compares it first, and truncation leaves it. Offset in decimal, CRC-32 of the
   * record.
   */
  readonly anchor: { readonly offset: string; readonly checksum: number }
  /** The log that was read: copies of another one are not restored from this. */
  readonly log: { readonly address: string; readonly identity: string }
  /** The state machine's, when it was captured; told to `restore`. */
  readonly schemaVersion: number
  /** Wall clock at capture, milliseconds since 1970. */
  readonly takenAtMs: number
  /** Who took it. */
  readonly member: string
}

/** A published snapshot. */
export interface SnapshotRef {
  /** Equal to what `create` was given. */
  readonly meta: SnapshotMeta
  /** Size of the blob as `create` was given it. */
  readonly bytes: number
}

/** The snapshots of a cluster, in one node's adapter. Given to `createKagami` and `openCluster` as `snapshots`. */
export interface SnapshotStore extends Adapter {
  /**
   * Publishes a snapshot, all or nothing: until it resolves, `list` and `open` do not show it, and where it rejects, they never
   * do, whatever was written is removed, then or later. Durable when it resolves. An error of `chunks` rejects with that
   * error. Chunks are read only as fast as they are stored; each is the store's until the next is asked for.
   * @throws KAGAMI_SNAPSHOT_EXISTS (not retryable) when that token has a snapshot of that id: nothing was changed. Of several at once, one wins.
   * @throws KAGAMI_STORE_FULL (retryable), KAGAMI_STORE_UNAVAILABLE (retryable)
   */
  create(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>, options: CallOptions): Promise<SnapshotRef>

  /**
   * The token's published snapshots, newest first: by incarnation, then `nextIndex`, then id, descending. A snapshot
   * whose metadata can't be read is left out and logged. Sees what this process has published or deleted before.
   * @throws KAGAMI_STORE_UNAVAILABLE (retryable): never an empty list instead
   */
  list(token: string, options: CallOptions): Promise<readonly SnapshotRef[]>

  /**
   * The blob, in chunks of at most about 1 MiB, which belong to the caller. Read on demand; returning early frees everything.
   * @throws KAGAMI_SNAPSHOT_MISSING (not retryable), KAGAMI_SNAPSHOT_CORRUPT (not retryable; also while reading), KAGAMI_STORE_UNAVAILABLE (retryable)
   */
  open(token: string, id: string, options: CallOptions): AsyncIterable<Uint8Array>

  /**
   * Deletes a snapshot: not listed any more when it resolves. A no-op where there is none.
   * @throws KAGAMI_STORE_UNAVAILABLE (retryable)
   */
  delete(token: string, id: string, options: CallOptions): Promise<void>
}
