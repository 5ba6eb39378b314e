/**
 * What a log tells of a token when nobody else remembers it: which incarnation is in force, how far its epochs have gone, and where its
 * records end. Reads frames and applies nothing.
 */
import { isKagamiError, KagamiError, type Offset, type SnapshotMeta, type TokenLog } from '../contract/index.js'
import type { LogRef } from '../engine/documents.js'
import { admit, compareEpochs, emptyState, restsOnMore, type CopyState } from '../engine/admission.js'
import { decodeFrame } from '../engine/frame.js'
import { newestFirst } from '../engine/snapshot-policy.js'
import type { LogKeeper, SnapshotShelf } from './impatient.js'

const LOOK_MS = 1_000
const MAX_BATCH_BYTES = 1_048_576
/** A reader may lag behind what the log's bounds say, but not for so many looks. */
export const MOST_LOOKS = 3

/** Whoever truncates is done after one or two of its starts. A log that says a wrong one so often is in trouble, which only time may end. */
const MOST_STARTS = 8

export interface LogHistory {
  /** In force at the end of what was read; 0: nothing of the token was there. */
  readonly incarnation: number
  /** The highest of that incarnation. */
  readonly epoch: number
  /** That incarnation was opened as deleted. */
  readonly deleted: boolean
  /** The log holds the frame that opened it, before all others of it, and what follows rests on no more than that. */
  readonly begins: boolean
  /** Where it began, when it was read. */
  readonly start: Offset
  /** Up to where the log holds nothing of another token. Only what was read counts. */
  readonly ownEnd: Offset
  /** Other tokens of which the log shows an incarnation that it does not show the end of. */
  readonly others: readonly string[]
  /** Those of them that were there when the incarnation was opened: it is late, since a log is given to a token when it holds nothing of others. */
  readonly before: readonly string[]
}

/**
 * Reads what a log holds below `below`; all of it where that is left out. A frame of an incarnation shows that it was opened, though a
 * truncated log no longer holds the frame that did it.
 * @throws KAGAMI_LOG_UNAVAILABLE (retryable) where the log never begins where it says, besides what the log throws
 */
export async function readHistory(log: TokenLog, token: string, search: HistorySearch): Promise<LogHistory> {
  for (let looks = 1; ; looks++) {
    try {
      return await readOnce(log, token, search)
    } catch (error) {
      // It was truncated, or released, between the look at its bounds and the read. What is left tells as much as before.
      if (!isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')) throw error
      search.signal.throwIfAborted()
      // Whoever asked waits before it asks again; a loop of its own would leave no time to anybody else.
      if (looks === MOST_STARTS) throw neverAtItsStart(log, error)
    }
  }
}

function neverAtItsStart({ address }: TokenLog, cause: KagamiError): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `the log at '${address}' can't be read from where it says that it begins; it is read again later`,
    { retryable: true, cause, details: { address } },
  )
}

interface HistorySearch {
  readonly below?: Offset
  /** Whether nothing more need be read. */
  readonly enough?: (history: Pick<LogHistory, 'incarnation' | 'epoch' | 'deleted'>) => boolean
  readonly signal: AbortSignal
}

async function readOnce(
  log: TokenLog,
  token: string,
  { below, enough = () => false, signal }: HistorySearch,
): Promise<LogHistory> {
  const { start, end } = await log.range({ signal })
  const until = below === undefined || below > end ? end : below
  let foreignAt: Offset | undefined
  let incarnation = 0
  let epoch = 0
  let deleted = false
  let begins = false
  /** As a copy would see it that begins with the open frame, until the first entries tell that it may. */
  let state: CopyState | undefined
  const others = new Set<string>()
  let before: readonly string[] = []
  const history = (): LogHistory => ({
    incarnation,
    epoch,
    deleted,
    begins,
    start,
    ownEnd: foreignAt ?? until,
    others: [...others],
    before,
  })
  if (start >= until) return history()
  let looks = 0
  let reached = start
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
        begins = frame.kind === 'open'
        state = begins ? emptyState() : undefined
        before = [...others]
      }
      if (state !== undefined && frame.incarnation === incarnation) {
        const verdict = admit(state, token, frame)
        begins = !restsOnMore(verdict)
        if (verdict === 'data' || !begins) state = undefined
      }
      if (frame.kind !== 'open' && frame.incarnation === incarnation && frame.epoch > epoch) epoch = frame.epoch
      if (enough({ incarnation, epoch, deleted })) return history()
    }
    if (batch.next >= until) return history()
    if (batch.next > reached) looks = 0
    reached = batch.next
    // The bounds said that there is more. What is not shown now must not count as not being there: a token's history would be forgotten with it.
    if (batch.next === batch.end && ++looks > MOST_LOOKS) throw endsSooner(log, until, batch.end)
  }
  return history()
}

/** Where a reader has come to its end below what the log's bounds say that there is, for {@link MOST_LOOKS} looks. */
export function endsSooner({ address }: TokenLog, until: Offset, end: Offset): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `the log at '${address}' said that it ends at ${until}, and shows nothing from ${end} on; it is looked at again`,
    { retryable: true, details: { address } },
  )
}

export interface LeftBehind {
  /**
   * The newest incarnation that had a primary and was not ended, and where it is. One that was only opened, so that nothing was ever written in it, counts where none is left
   * that can be restored, nothing newer is shown, and nobody else had the log when it was opened.
   */
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
  const traces: Trace[] = []
  let unreadable: KagamiError | undefined
  for (const address of await log.find(token, inUse, { signal })) {
    const opened = await log.open(address, { token, signal })
    try {
      const history = await readHistory(opened, token, { signal })
      if (history.incarnation > 0) traces.push({ ...history, log: { address, identity: opened.identity } })
    } catch (error) {
      if (!isDamage(error)) throw error
      unreadable ??= error
    } finally {
      await opened.close()
    }
  }
  const metas = snapshots.map(({ meta }) => meta)
  const incarnation = Math.max(0, ...[...traces, ...metas].map((found) => found.incarnation))
  return {
    alive: aliveAmong({ traces, snapshots: metas, inUse }),
    incarnation,
    snapshots: snapshots.length,
    unreadable,
  }
}

/** What the logs show of a token, each of its newest incarnation. */
type Trace = LogHistory & { readonly log: LogRef }

interface Remains {
  readonly traces: readonly Trace[]
  /** Newest first. */
  readonly snapshots: readonly SnapshotMeta[]
  /** Logs that were not looked into. */
  readonly inUse: ReadonlySet<string>
}

function aliveAmong(remains: Remains): LeftBehind['alive'] {
  const { traces, snapshots } = remains
  const ended = Math.max(0, ...traces.filter(({ deleted }) => deleted).map(({ incarnation }) => incarnation))
  // Incarnations only grow, so what lies below an end is over, wherever its own end was.
  const lasting = traces.filter(({ deleted, incarnation }) => !deleted && incarnation > ended)
  const lived = newestOf(lasting.filter(({ epoch }) => epoch > 0))
  const opened = newestOf(lasting.filter(({ epoch, before }) => epoch === 0 && before.length === 0))
  const captured = snapshots[0]
  // A log that shows the incarnation's end, or a newer one, overrules what was captured before.
  const overruled = Math.max(ended, lived?.incarnation ?? 0)
  const known = captured !== undefined && captured.incarnation > overruled ? captured : lived
  // A copy of a frame that landed after the end, and after the log was released, shows only that there was such an incarnation.
  const whole = known !== undefined && isWhole(known.incarnation, remains)
  const newest = Math.max(overruled, known?.incarnation ?? 0)
  const alive = !whole && opened !== undefined && opened.incarnation > newest ? opened : known
  return alive === undefined ? null : { incarnation: alive.incarnation, epoch: alive.epoch, log: alive.log }
}

/**
 * Whether there is a point from which a copy of the incarnation can begin: its open frame, or a snapshot whose log holds something of it. What is in a log that is in use is not
 * known here.
 */
function isWhole(incarnation: number, { traces, snapshots, inUse }: Remains): boolean {
  const held = traces.filter((trace) => trace.incarnation === incarnation)
  const isHeld = ({ log: { address, identity }, anchor }: SnapshotMeta): boolean =>
    inUse.has(address) ||
    held.some(
      ({ log, start }) => log.address === address && log.identity === identity && start <= BigInt(anchor.offset),
    )
  return held.some(({ begins }) => begins) || snapshots.some((meta) => meta.incarnation === incarnation && isHeld(meta))
}

function newestOf(traces: readonly Trace[]): Trace | undefined {
  return [...traces].sort((a, b) => compareEpochs(b, a))[0]
}
