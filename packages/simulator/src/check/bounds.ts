/** How long the cluster may take once faults have stopped, in virtual milliseconds: what ARCHITECTURE.md promises of liveness, and the margins. */

/** Promised beside the session's timeout. There is next to no lag here. */
const promisedMs = 1000
/** The end looks every 100 ms only, and then has a write of its own to be acknowledged. */
const marginMs = 500
/** Core looks so seldom for documents that have gone back, and for what it was asked for and is lost. */
const lostDocumentsMs = 5000
/** Core looks so long for an incarnation in a log that shows nothing of it: one that was released while the copy was cut off. */
const releasedMs = 2000
/** A call of a cluster at rest waits for nothing but round trips of 2 ms. */
const atRestMs = 100
/** A copy that is new may have to wait for the next look at its log, every second here, until it is known to be in sync. */
const newCopyMs = 1000

export interface Bounds {
  /** Until every token is served, every copy is the same, and every call is over that was under way. */
  readonly convergeMs: number
  /** The same where all nodes start at once, and nobody's session has to expire. */
  readonly coldStartMs: number
  /** So much more, where a log was released that a copy may not have read to its end. */
  readonly releasedMs: number
  /** For each call of a cluster at rest. */
  readonly atRestMs: number
  /** So much more for a handover to a node that has no copy. */
  readonly newCopyMs: number
}

export function boundsOf(run: { readonly sessionTimeoutMs: number; readonly documentsLost: boolean }): Bounds {
  const coldStartMs = promisedMs + marginMs
  const convergeMs = run.sessionTimeoutMs + coldStartMs + (run.documentsLost ? lostDocumentsMs : 0)
  return { convergeMs, coldStartMs, releasedMs, atRestMs, newCopyMs }
}
