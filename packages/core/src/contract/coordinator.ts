/**
 * The coordinator: who is alive, who is the controller, and small versioned documents. It only proposes: a stale or
 * wiped coordinator delays Kagami but can't make it lose or double a write.
 *
 * Watches yield whole states, never events: the present state first, then another after each change, with changes
 * that lie close together merged, so a missed notification heals by itself. They end only by throwing, or by the consumer's
 * return: with the call's signal's reason, or with KAGAMI_SESSION_LOST.
 *
 * Of an error, core decides by `retryable`: what is not retryable is told to whoever asked, what is is tried again. Every call of a session rejects with
 * KAGAMI_SESSION_LOST (not retryable: nothing brings a session back) once it is over, and with KAGAMI_COORDINATOR_UNAVAILABLE (retryable), or waits, while it is
 * out of contact.
 */
import type { Adapter, CallOptions } from './adapter.js'

/** One run of a node. `data` is core's, and opaque. */
export interface MemberRecord {
  /** Stable across restarts. */
  readonly node: string
  /** This run: another one after each restart and each expired session. */
  readonly member: string
  /**
   * Opaque, a few KiB at most: the others are given it as it is. The caller's, where it is given: it must not change until the call settles, and may then. Where it
   * is shown, it is not to be changed.
   */
  readonly data: Uint8Array
}

/** A small named value, written by compare-and-set. */
export interface Document {
  /** The one that `write` was given. */
  readonly name: string
  /** Grows with every write; never used twice for one name, unless the coordinator loses its data. */
  readonly version: number
  /**
   * Where they were lost on their medium: what the document held before its last change, or none. Its version is then the one that was lost, so whoever
   * knows better may write it anew; no other document, and no watch, suffers from it. Not to be changed: others may be shown the same bytes.
   */
  readonly bytes: Uint8Array
}

/** Held: the session lives as far as this process knows. Suspended: the lease deadline has passed without contact; it may still survive. */
export type LeaseState = 'held' | 'suspended'

/** An election that this session has won. The controller writes assignments only while it lasts. */
export interface Leadership {
  /** Differs from that of every other election; greater than those before, unless the coordinator loses its data. */
  readonly epoch: number
  /**
   * Aborts when the leadership can no longer be relied on. Its reason: KAGAMI_COORDINATOR_UNAVAILABLE (retryable) when the lease is suspended, or the coordinator
   * has lost the election, KAGAMI_SESSION_LOST when the session is over, KAGAMI_STOPPED when it was resigned. The first of these stays.
   */
  readonly signal: AbortSignal
  /** Gives it up. Idempotent. */
  resign(): Promise<void>
}

/**
 * One process's session. While it is in contact it stays alive; after `timeoutMs` without contact the coordinator
 * drops its member and its candidacy, and it is over for good.
 */
export interface Session {
  /** For messages: no two sessions of a coordinator share one. */
  readonly id: string
  /** How long it lives without contact, in milliseconds. Above 0. */
  readonly timeoutMs: number
  /** Aborts when the session is over, by expiry or by `close`. Nothing brings it back: connect again. */
  readonly signal: AbortSignal

  /**
   * The state of the local lease. Suspended no later than `timeoutMs` after the last contact *began*, by a monotonic
   * clock of this process, so before the coordinator lets anybody else see the session expire.
   */
  watchLease(options: CallOptions): AsyncIterable<LeaseState>

  /**
   * Announces this process. Lasts as long as the session.
   * @throws KAGAMI_NODE_ID_TAKEN (retryable) while another live session holds the same node id
   */
  join(record: MemberRecord, options: CallOptions): Promise<void>
  /**
   * Replaces this session's own record. Only after `join`, with the same node and member.
   * @throws KAGAMI_BAD_OPTION (not retryable) otherwise: nothing was changed
   */
  update(record: MemberRecord, options: CallOptions): Promise<void>
  /** The members that are alive, ordered by node id. */
  watchMembers(options: CallOptions): AsyncIterable<readonly MemberRecord[]>

  /** Resolves when this session is the one leader. One at a time per session; after `resign` it may campaign again. */
  campaign(options: CallOptions): Promise<Leadership>

  /**
   * The document as of some moment after the call began, or undefined: never what was known before. Names are `a/b`, of letters, digits, `-`, `_`, `.` and `/`.
   */
  read(name: string, options: CallOptions): Promise<Document | undefined>
  /**
   * Writes if the document still has the version `expected` (undefined: does not exist). Durable and visible to all when
   * it resolves. Gives the new version. The bytes must not change until the call settles, and are the caller's again then: also where it rejects, and the
   * document is written later.
   * @throws KAGAMI_VERSION_CONFLICT (not retryable): nothing was written
   * @throws KAGAMI_DOCUMENT_TOO_LARGE (not retryable): nothing was written
   * @throws KAGAMI_COORDINATOR_UNAVAILABLE (retryable): it may or may not have been written; read again
   * @throws KAGAMI_STORE_FULL (retryable) where the coordinator has no room left: as above, but it lasts until somebody makes room
   */
  write(name: string, bytes: Uint8Array, expected: number | undefined, options: CallOptions): Promise<number>
  /** All documents whose name starts with `prefix`, by name. A document that has not changed is the same object as before. */
  watch(prefix: string, options: CallOptions): AsyncIterable<ReadonlyMap<string, Document>>

  /** Ends the session: its member and candidacy vanish at once for the others. Idempotent; never rejects. */
  close(): Promise<void>
}

/** The coordinator of a cluster, in one node's adapter. Given to `createKagami` and `openCluster` as `coordinator`. */
export interface Coordinator extends Adapter {
  /** The largest document, in bytes. At least 256 KiB. */
  readonly maxDocumentBytes: number
  /**
   * Opens a session.
   * @throws KAGAMI_COORDINATOR_UNAVAILABLE (retryable), KAGAMI_STORE_FULL (retryable)
   */
  connect(options: CallOptions): Promise<Session>
}
