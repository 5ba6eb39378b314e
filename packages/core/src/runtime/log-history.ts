/**
 * What a log tells of a token when nobody else remembers it: which incarnation is in force, how far its epochs have gone, and where its
 * records end. Reads frames and applies nothing.
 */
import { isKagamiError, type KagamiError, type Offset, type TokenLog } from '../contract/index.js'
import type { LogRef } from '../engine/documents.js'
import { compareEpochs } from '../engine/admission.js'
import { decodeFrame } from '../engine/frame.js'
import { newestFirst } from '../engine/snapshot-policy.js'
import type { LogKeeper, SnapshotShelf } from './impatient.js'

const LOOK_MS = 1_000
const MAX_BATCH_BYTES = 1_048_576
const NOTHING = { incarnation: 0, epoch: 0 }

export interface LogHistory {
  /** In force at the end of what was read; 0: nothing of the token was there. */
  readonly incarnation: number
  /** The highest of that incarnation. */
  readonly epoch: number
  /** That incarnation was opened as deleted. */
  readonly deleted: boolean
  /** Up to where the log holds nothing of another token. Only what was read counts. */
  readonly ownEnd: Offset
  /** Other tokens of which the log shows an incarnation that it does not show the end of. */
  readonly others: readonly string[]
}

/**
 * Reads what a log holds below `before`; all of it where that is left out. A frame of an incarnation shows that it was opened, though a
 * truncated log no longer holds the frame that did it.
 */
export async function readHistory(
  log: TokenLog,
  token: string,
  { before, signal }: { readonly before?: Offset; readonly signal: AbortSignal },
): Promise<LogHistory> {
  const { start, end } = await log.range({ signal })
  const until = before === undefined || before > end ? end : before
  let foreignAt: Offset | undefined
  let incarnation = 0
  let epoch = 0
  let deleted = false
  const others = new Set<string>()
  const history = (): LogHistory => ({ incarnation, epoch, deleted, ownEnd: foreignAt ?? until, others: [...others] })
  if (start >= until) return history()
  for await (const batch of log.read(start, { signal, lookMs: LOOK_MS, maxBatchBytes: MAX_BATCH_BYTES })) {
    for (const { offset, bytes } of batch.records) {
      if (offset >= until) return history()
      const frame = decodeFrame(bytes)
      if (frame.kind === 'skipped' || frame.kind === 'marker') continue
      if (frame.token !== token) {
        foreignAt ??= offset
        if (frame.kind === 'open' && frame.deleted) others.delete(frame.token)
        else others.add(frame.token)
        continue
      }
      if (frame.incarnation > incarnation) {
        incarnation = frame.incarnation
        epoch = 0
        deleted = frame.kind === 'open' && frame.deleted
      }
      if (frame.kind !== 'open' && frame.incarnation === incarnation && frame.epoch > epoch) epoch = frame.epoch
    }
    if (batch.next >= until || batch.next === batch.end) return history()
  }
  return history()
}

export interface LeftBehind {
  /** The newest incarnation that was not ended, and where it is. */
  readonly alive: { readonly incarnation: number; readonly epoch: number; readonly log: LogRef } | null
  /** The highest incarnation that anything shows, ended or not; 0: there is nothing of the token. */
  readonly incarnation: number
  readonly snapshots: number
  /** Why one of its logs can't be read, and never will be, if there is such a one. Nothing of it counts above. */
  readonly unreadable: KagamiError | undefined
}

/** Whether a log is damaged, so that looking at it again is of no use. */
export function isDamage(error: unknown): error is KagamiError {
  return (
    isKagamiError(error) &&
    !error.retryable &&
    (error.code === 'KAGAMI_BAD_FRAME' || error.code === 'KAGAMI_LOG_LOST_TAIL')
  )
}

/** Looks for what a token has left in the commit log and the snapshot store, in logs outside `inUse`. */
export async function findLeftBehind(
  token: string,
  inUse: ReadonlySet<string>,
  { log, store, signal }: { readonly log: LogKeeper; readonly store: SnapshotShelf; readonly signal: AbortSignal },
): Promise<LeftBehind> {
  const snapshots = newestFirst(await store.list(token, { signal }))
  let alive: LeftBehind['alive'] = null
  let incarnation = 0
  let unreadable: KagamiError | undefined
  for (const address of await log.find(token, inUse, { signal })) {
    const opened = await log.open(address, { token, signal })
    try {
      const history = await readHistory(opened, token, { signal })
      incarnation = Math.max(incarnation, history.incarnation)
      if (history.incarnation === 0 || history.deleted || compareEpochs(history, alive ?? NOTHING) <= 0) continue
      alive = {
        incarnation: history.incarnation,
        epoch: history.epoch,
        log: { address, identity: opened.identity },
      }
    } catch (error) {
      if (!isDamage(error)) throw error
      unreadable ??= error
    } finally {
      await opened.close()
    }
  }
  const newest = snapshots[0]?.meta
  // A log that shows the incarnation's end, or a newer one, overrules what was captured before.
  if (newest !== undefined && newest.incarnation > incarnation) {
    incarnation = newest.incarnation
    alive = { incarnation: newest.incarnation, epoch: newest.epoch, log: newest.log }
  }
  return { alive, incarnation, snapshots: snapshots.length, unreadable }
}
