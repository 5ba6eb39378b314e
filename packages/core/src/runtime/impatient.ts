/**
 * The commit log and the snapshot store as the slow work on tokens uses them: a call that has no answer for the limit rejects, so that it is made again, is told in
 * `health()`, and keeps no other token waiting. Reading a log is left as it is: whoever reads ends it (`watchdog`).
 */
import type { Clock, CommitLog, SnapshotStore, TokenLog } from '../contract/index.js'
import { unlessStalled } from './stall.js'

/** What the work on a token's life needs of a commit log. */
export type LogKeeper = Pick<CommitLog, 'allocate' | 'find' | 'open' | 'release'>

/** What it needs of a snapshot store. */
export type SnapshotShelf = Pick<SnapshotStore, 'list' | 'delete'>

export interface Patience {
  readonly clock: Clock
  readonly limitMs: number
}

export function impatientLog(log: LogKeeper, patience: Patience): LogKeeper {
  return {
    allocate: (token, inUse, { signal }) =>
      answered(patience, signal, `allocating a log for '${token}'`, (options) => log.allocate(token, inUse, options)),
    find: (token, inUse, { signal }) =>
      answered(patience, signal, `looking for logs of '${token}'`, (options) => log.find(token, inUse, options)),
    open: (address, { signal, token }) =>
      answered(patience, signal, `opening the log of '${token}'`, async (options) =>
        impatientTokenLog(await log.open(address, { ...options, token }), patience),
      ),
    release: (address, before, { signal }) =>
      answered(patience, signal, `releasing the log at '${address}'`, (options) =>
        log.release(address, before, options),
      ),
  }
}

function impatientTokenLog(log: TokenLog, patience: Patience): TokenLog {
  const { address, identity } = log
  return {
    address,
    identity,
    append: (record, { signal }) =>
      answered(patience, signal, `appending to the log at '${address}'`, (options) => log.append(record, options)),
    read: (from, options) => log.read(from, options),
    range: ({ signal }) =>
      answered(patience, signal, `asking for the bounds of the log at '${address}'`, (options) => log.range(options)),
    truncate: (before, { signal }) =>
      answered(patience, signal, `truncating the log at '${address}'`, (options) => log.truncate(before, options)),
    close: () => log.close(),
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

function answered<T>(
  { clock, limitMs }: Patience,
  signal: AbortSignal,
  what: string,
  call: (options: { readonly signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  return unlessStalled({ clock, limitMs, signal, what }, call)
}
