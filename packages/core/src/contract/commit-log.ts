/**
 * The commit log: totally ordered, durable, append-only records, one log per token incarnation. The log decides what
 * counts (ARCHITECTURE.md, "The log decides"), so little is asked of it: it may duplicate, delay or reorder appends
 * that are under way at once, but what it has acknowledged stays, in one order, the same for every reader.
 *
 * Of an error, core decides by `retryable`: what is retryable is tried again, for as long as it takes; what is not ends the copy that met it. Whatever an
 * adapter can't tell for certain is KAGAMI_LOG_UNAVAILABLE (retryable).
 */
import type { Adapter, CallOptions } from './adapter.js'
import type { Offset } from './position.js'

/** Names a log within a cluster's commit log. Opaque to core, at most 200 bytes. */
export type LogAddress = string

/** A record as it is read. */
export interface LogRecord {
  /** The place that `append` gave it. */
  readonly offset: Offset
  /** Exactly what was appended. Belongs to the reader. */
  readonly bytes: Uint8Array
}

/** A run of consecutive records, and a look at the log's end. */
export interface LogBatch {
  /** In the log's order; may be empty, then the batch is a look only. */
  readonly records: readonly LogRecord[]
  /** Where reading goes on: above the last record's offset, at most `end`. */
  readonly next: Offset
  /** The log's end when the batch was read: an offset above every record that was readable then. `next === end`: nothing more was there. */
  readonly end: Offset
}

/** How a reader of a log is to read it. */
export interface ReadOptions extends CallOptions {
  /** While it waits at the end, the reader looks again, and yields a batch, at least this often. Milliseconds. */
  readonly lookMs: number
  /** A batch holds about this many bytes at most, but at least one record. */
  readonly maxBatchBytes: number
}

/** One token incarnation's log, opened by one copy. */
export interface TokenLog {
  /** The one that `open` was given. */
  readonly address: LogAddress
  /** Another value when the log at this address has been deleted and created anew. At most 200 bytes. */
  readonly identity: string

  /**
   * Appends a record and resolves with its offset when it is durable and readable by everyone. Appends under way at once
   * may land in any order. A rejection leaves open whether the record landed, or will land later.
   * The bytes must not change until the append settles, and are the caller's again then: also where it rejects, and the record lands later.
   * @throws KAGAMI_LOG_UNAVAILABLE (retryable), KAGAMI_STORE_FULL (retryable)
   * @throws KAGAMI_LOG_REFUSED (not retryable): this record, or any of this client, is refused for good: larger than `maxRecordBytes`, or not permitted
   * @throws KAGAMI_LOG_REPLACED (not retryable): no later append can succeed
   */
  append(record: Uint8Array, options: CallOptions): Promise<Offset>

  /**
   * Reads records from `from` on, for ever: at the end it waits. The first record yielded is the one with the smallest
   * offset ≥ `from`, and no record is left out, also when the log is truncated meanwhile. Ends only by throwing, or by the consumer's return.
   * Rides out an outage of up to a minute by itself, without yielding. Core may end a reader that has yielded nothing for several `lookMs`, and two seconds at least, and begin another.
   * @throws KAGAMI_LOG_TRUNCATED (not retryable) when `from`, or the next record to read, lies below the log's start
   * @throws KAGAMI_LOG_LOST_TAIL (not retryable) when `from` lies above the log's end, or what lies there can't be read any more
   * @throws KAGAMI_LOG_REPLACED (not retryable), KAGAMI_LOG_UNAVAILABLE (retryable)
   */
  read(from: Offset, options: ReadOptions): AsyncIterable<LogBatch>

  /**
   * The log's bounds: `start` ≤ the offset of each readable record < `end`. Sees at least every append that was
   * acknowledged to this process before the call. Empty when they are equal. A reader comes to `end`: its `next` reaches it, whatever lies below.
   * @throws KAGAMI_LOG_REPLACED (not retryable), KAGAMI_LOG_UNAVAILABLE (retryable)
   */
  range(options: CallOptions): Promise<{ readonly start: Offset; readonly end: Offset }>

  /**
   * Drops the records below `before`; durable when it resolves. Never drops one at or above it. A no-op where they are gone already.
   * One that was interrupted, by a crash, an abort or an outage, may have dropped some of them, or may do so later: the lowest ones, so that nothing is missing
   * between those that are left. The log may then begin with any record that is not above `before`, whoever wrote it.
   * @throws KAGAMI_LOG_REPLACED (not retryable), KAGAMI_LOG_UNAVAILABLE (retryable)
   */
  truncate(before: Offset, options: CallOptions): Promise<void>

  /** Ends this handle: reads and appends under way reject with KAGAMI_STOPPED (not retryable). Idempotent. */
  close(): Promise<void>
}

/** The logs of a cluster, in one node's adapter. Given to `createKagami` as `log`. */
export interface CommitLog extends Adapter {
  /** The largest record that `append` takes, in bytes. At least 64 KiB. */
  readonly maxRecordBytes: number
  /** How many appends of one log are worth having under way at once. 1 where the log itself groups what is concurrent. */
  readonly appendsInFlight: number

  /**
   * An address whose log is empty, for a new token incarnation: none of `inUse`. Calling it twice may give the same
   * address twice. Creates the log where need be; durable when it resolves.
   * @throws KAGAMI_LOG_UNAVAILABLE (retryable), KAGAMI_STORE_FULL (retryable)
   */
  allocate(token: string, inUse: ReadonlySet<LogAddress>, options: CallOptions): Promise<LogAddress>

  /**
   * The addresses outside `inUse` whose logs hold records that were appended for this token, as far as the adapter can
   * tell; more than that is allowed, fewer is not. Used before a token is created, and to adopt one after the coordinator lost its documents.
   * @throws KAGAMI_LOG_UNAVAILABLE (retryable): never fewer instead
   */
  find(token: string, inUse: ReadonlySet<LogAddress>, options: CallOptions): Promise<readonly LogAddress[]>

  /**
   * Opens the log at an address. `token` labels what is appended.
   * @throws KAGAMI_LOG_REPLACED (not retryable) when no log is there
   * @throws KAGAMI_LOG_UNAVAILABLE (retryable)
   */
  open(address: LogAddress, options: CallOptions & { readonly token: string }): Promise<TokenLog>

  /**
   * No token uses this log any more, and its records below `before` are not needed. Drops those, and never one at or above it, so
   * that a release which is carried out late can't hurt a token that was given the same address since. `allocate` may give
   * the address again once the log is empty; its offsets go on from where they were. Idempotent; a no-op where no log is there.
   * @throws KAGAMI_LOG_UNAVAILABLE (retryable): it may have dropped some of them, or may do so later
   */
  release(address: LogAddress, before: Offset, options: CallOptions): Promise<void>
}
