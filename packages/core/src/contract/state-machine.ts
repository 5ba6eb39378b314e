/**
 * What a service implements: a deterministic state machine, one instance per copy of a token. Everything here is
 * called by Kagami, never by the application, and by one loop per copy, so calls never overlap, except that a
 * snapshot is persisted while later entries are applied.
 */
import type { Position } from './position.js'

/** One committed change. The same object never reaches two calls; the bytes belong to the callee. */
export interface Entry<C = Uint8Array> {
  /** The name of the token that it was written to. */
  readonly token: string
  /** Its place in the history of the token, the same at every replica. */
  readonly position: Position
  /** What was replicated, decoded by the codec; the bytes themselves where no codec is given. */
  readonly value: C
  /** The primary's wall clock when the entry was sealed, in milliseconds since 1970. The same at every replica. */
  readonly timeMs: number
  /** The state-machine level in force, for rolling upgrades. 0 until raised. */
  readonly level: number
}

/** What `restore` is told of the snapshot. */
export interface RestoreInfo {
  /** The name of the token whose copy is restored. */
  readonly token: string
  /** The position of the first entry that the snapshot does not hold. */
  readonly next: Position
  /** `schemaVersion` of the state machine that took the snapshot. */
  readonly schemaVersion: number
}

/** A state captured at one position. */
export interface StateSnapshot {
  /**
   * The captured state as bytes, in chunks of any size. Called at most once, while later entries are applied: it
   * must show the state as it was at capture. Chunks belong to the caller once yielded. Ends early with the signal's
   * reason when the signal aborts.
   */
  persist(options: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array>
  /**
   * Frees what the capture holds. Called exactly once, after `persist` has ended, was never begun, or was given up: then its signal has aborted.
   * Must not throw.
   */
  release(): void
}

/**
 * A token's state. `R` is what `apply` returns to the caller of `replicate`, `C` is the type of an entry's value.
 *
 * Rules: `apply` is synchronous, total and deterministic: it depends on nothing but the state and the entry. What it
 * throws stops the copy: see `KAGAMI_APPLY_FAILED`. A business rule that refuses an entry is a result, not a throw.
 */
export interface StateMachine<R = unknown, C = Uint8Array> {
  /** Applies one entry and returns what its author is told. */
  apply(entry: Entry<C>): R
  /** Captures the state, quickly and synchronously, between two entries. */
  snapshot(): StateSnapshot
  /**
   * Replaces the whole state by a snapshot's. Called before any `apply`, or to start over. One that takes no chunk and does not end for
   * `limits.stallTimeoutMs` is given up, and its state machine dropped.
   */
  restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void>
  /** The version of the bytes that `snapshot` writes. @default 0 */
  readonly schemaVersion?: number
}

/** Turns values into bytes and back. Both ways must be pure: every replica decodes the same bytes. */
export interface Codec<C> {
  /**
   * Called once by each `replicate`, also where this node then turns out not to be the primary. The bytes must not change until that call settles.
   * Where it throws, or gives anything else, the call rejects with KAGAMI_ENCODING_FAILED.
   */
  encode(value: C): Uint8Array
  /** Called at every copy before each `apply`, with bytes that belong to it. Where it throws, the copy fails with KAGAMI_APPLY_FAILED. */
  decode(bytes: Uint8Array): C
}
