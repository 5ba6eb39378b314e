/** What every adapter is told when a node starts it, and how it is stopped. */
import type { Logger } from './seams.js'

/** Given to `start` of every adapter. */
export interface AdapterContext {
  /** The cluster's name: adapters keep what they store under it, apart from other clusters'. */
  readonly cluster: string
  /** The id of the node that uses this adapter. */
  readonly node: string
  /** Where the adapter tells what no call can: the node's own, of `seams.logger`. */
  readonly logger: Logger
  /** Aborts the start. The adapter then undoes what it began and rejects with the signal's reason. */
  readonly signal: AbortSignal
}

/**
 * An adapter belongs to one node. Its factory does no I/O. `start` connects, checks the configuration, and undoes what
 * it began where it rejects. Before it has resolved the other methods reject with KAGAMI_NOT_STARTED, after `stop` with KAGAMI_STOPPED. `stop` is idempotent, ends everything
 * that is under way, closes only the clients that the adapter itself created, and settles within a few seconds
 * whatever the server does; it may be called before `start`, and during it.
 */
export interface Adapter {
  /** For messages and metrics: `embedded`, `kafka`. */
  readonly name: string
  /** Called once, by the node's `start` or by `openCluster`, one adapter after another. What it rejects with is what those reject with. */
  start(context: AdapterContext): Promise<void>
  /**
   * Called by `stop` of the node, and where its start has failed, in the opposite order, whether this adapter was started or not. Resolves when
   * nothing of it is under way.
   */
  stop(): Promise<void>
}

/** What every method that does I/O takes. When the signal aborts, the method rejects with the signal's reason. */
export interface CallOptions {
  /** Ends this call alone, which then lets go of what it holds. The whole adapter ends by `stop`. */
  readonly signal: AbortSignal
}
