/**
 * The commit log and the snapshot store as the slow work on tokens uses them: a call that has no answer for the limit rejects, so that it is made again, is told in
 * `health()`, and keeps no other token waiting. A copy reads its log in a way of its own (`log-reader`).
 */
import {
  isKagamiError,
  orAborted,
  type Clock,
  type CommitLog,
  type LogBatch,
  type Logger,
  type Offset,
  type ReadOptions,
  type SnapshotStore,
  type TokenLog,
} from '../contract/index.js'
import { openLog } from './open-log.js'
import { standstill, unlessStalled } from './stall.js'
import { linkedAbort } from './waiting.js'

/** What the work on a token's life needs of a commit log. */
export type LogKeeper = Pick<CommitLog, 'allocate' | 'find' | 'open' | 'release'>

/** What it needs of a snapshot store. */
export type SnapshotShelf = Pick<SnapshotStore, 'list' | 'delete'>

export interface Patience {
  readonly clock: Clock
  readonly limitMs: number
}

/** Of a log: `logger` is told of handles whose closing is not waited for any longer. */
export interface LogPatience extends Patience {
  readonly logger: Logger
}

export function impatientLog(log: LogKeeper, patience: LogPatience): LogKeeper {
  return {
    allocate: (token, inUse, { signal }) =>
      answered(patience, signal, `allocating a log for '${token}'`, (options) => log.allocate(token, inUse, options)),
    find: (token, inUse, { signal }) =>
      answered(patience, signal, `looking for logs of '${token}'`, (options) => log.find(token, inUse, options)),
    open: (address, { signal, token }) =>
      answered(patience, signal, `opening the log of '${token}'`, async (options) =>
        impatientTokenLog(
          await openLog(log, address, { ...options, token, logger: patience.logger }),
          patience,
          signal,
        ),
      ),
    release: (address, before, { signal }) =>
      answered(patience, signal, `releasing the log at '${address}'`, (options) =>
        log.release(address, before, options),
      ),
  }
}

function impatientTokenLog(log: TokenLog, patience: LogPatience, work: AbortSignal): TokenLog {
  const { address, identity } = log
  return {
    address,
    identity,
    append: (record, { signal }) =>
      answered(patience, signal, `appending to the log at '${address}'`, (options) => log.append(record, options)),
    read: (from, options) => impatientRead(log, from, options, patience),
    range: ({ signal }) =>
      answered(patience, signal, `asking for the bounds of the log at '${address}'`, (options) => log.range(options)),
    truncate: (before, { signal }) =>
      answered(patience, signal, `truncating the log at '${address}'`, (options) => log.truncate(before, options)),
    close: () => closeLog(log, patience, work),
  }
}

/** Rejects where the log gives nothing, not even a look at its end, or only says that there is more, for the limit. Who leaves it early has what was wanted: a reader that does not end then is only told of. */
async function* impatientRead(
  log: TokenLog,
  from: Offset,
  options: ReadOptions,
  { clock, limitMs, logger }: LogPatience,
): AsyncGenerator<LogBatch> {
  const { lookMs, signal } = options
  const link = linkedAbort(signal)
  const batches = log.read(from, { ...options, signal: link.signal })[Symbol.asyncIterator]()
  // At the end it is silent for as long as it was told to be.
  const limit = { clock, limitMs: limitMs + lookMs, signal, what: `reading the log at '${log.address}'` }
  let ended = false
  let reached = from
  let movedMs = clock.monotonicMs()
  try {
    for (;;) {
      const next = await orAborted(
        unlessStalled(limit, () => batches.next()),
        signal,
      )
      if (next.done === true) return
      const batch = next.value
      if (batch.next > reached || batch.next >= batch.end) movedMs = clock.monotonicMs()
      else if (clock.monotonicMs() - movedMs >= limit.limitMs) throw standstill(limit)
      reached = batch.next
      yield batch
    }
  } catch (error) {
    ended = true
    link.abort(error)
    throw error
  } finally {
    const left = Promise.resolve(batches.return?.())
    if (ended) left.catch(() => undefined)
    else {
      const end = unlessStalled(limit, () => left).catch((error: unknown) => {
        link.abort(error)
        unlessTimeout(logger)(error)
      })
      await unlessAborted(end, signal)
    }
    link.unlink()
  }
}

/**
 * What a closed handle has said, or will have read, nobody waits for: so one that does not come to be closed is only told of, and the end of the work that had it, if
 * there is such a one, is not held up.
 */
export async function closeLog(
  log: TokenLog,
  { clock, limitMs, logger }: LogPatience,
  work?: AbortSignal,
): Promise<void> {
  const { signal } = new AbortController()
  const what = `closing the log at '${log.address}'`
  const closed = unlessStalled({ clock, limitMs, signal, what }, () => log.close()).catch(unlessTimeout(logger))
  await unlessAborted(closed, work)
}

/** Resolves with the signal's abort, too. */
async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  await orAborted(promise, signal).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error
  })
}

/** What does not end in time is only told of. */
export function unlessTimeout(logger: Logger): (error: unknown) => void {
  return (error) => {
    if (!isKagamiError(error, 'KAGAMI_TIMEOUT')) throw error
    logger.warn(error.message)
  }
}

export function impatientStore(store: SnapshotShelf, patience: Patience): SnapshotShelf {
  return {
    list: (token, { signal }) =>
      answered(patience, signal, `listing the snapshots of '${token}'`, (options) => store.list(token, options)),
    delete: (token, id, { signal }) =>
      answered(patience, signal, `deleting snapshot ${id} of '${token}'`, (options) =>
        store.delete(token, id, options),
      ),
  }
}

/** For a look that must not depend on the store: where it does not answer, or only with an error, it holds nothing, and `onUnseen` is told. */
export function dispensableStore(
  store: SnapshotShelf,
  patience: Patience,
  onUnseen: (error: unknown) => void,
): SnapshotShelf {
  const { list, delete: remove } = impatientStore(store, patience)
  return {
    list: (token, options) =>
      list(token, options).catch((error: unknown) => {
        options.signal.throwIfAborted()
        onUnseen(error)
        return []
      }),
    delete: remove,
  }
}

/** Whoever gives up does not wait for an adapter that heeds no signal. */
function answered<T>(
  { clock, limitMs }: Patience,
  signal: AbortSignal,
  what: string,
  call: (options: { readonly signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  return orAborted(unlessStalled({ clock, limitMs, signal, what }, call), signal)
}
