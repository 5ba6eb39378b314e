/** What a broken commit log is, and how its readings are broken. */
import type { CommitLog, LogBatch, Offset, ReadOptions, TokenLog } from '@kagami/core/contract'
import type { CommitLogCapabilities } from '../../src/suites/commit-log-capabilities.js'
import { brokenHandles } from './delegate.js'

export interface BrokenLog {
  readonly fault: string
  /** `world` is one for all the adapters of a case. */
  readonly wrap: (log: CommitLog, world: object) => CommitLog
  readonly caught: readonly string[]
  /** What it declares, where that is another thing than it can. */
  readonly claims?: Partial<CommitLogCapabilities>
}

export type Read = (from: Offset, options: ReadOptions) => AsyncIterable<LogBatch>

/** A log whose reading is another. */
export function reading(change: (inner: TokenLog) => Read): (log: CommitLog) => CommitLog {
  return (log) => brokenHandles(log, (inner) => ({ read: change(inner) }))
}

/** A log whose batches are changed one by one. */
export function batches(change: (batch: LogBatch) => LogBatch): (log: CommitLog) => CommitLog {
  return reading((inner) => {
    return async function* (from, options) {
      for await (const batch of inner.read(from, options)) yield change(batch)
    }
  })
}
