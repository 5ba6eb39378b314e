/**
 * A reading of a log: batches, then waiting at the end, looking now and then. Messages of other processes only make it
 * faster: it looks at the file by itself, rarely while nothing comes, often after it has found something that nobody told.
 */
import { isKagamiError } from '@kagami/core/contract'
import type { LogBatch, ReadOptions } from '@kagami/core/contract'
import { Cursor, truncated } from './cursor.js'
import { logError } from './errors.js'
import type { Journal } from './journal.js'
import type { OpenFiles } from './open-files.js'
import { Pulse } from './pulse.js'
import { lostTail } from './tail.js'

/** How often a waiting reader looks at the file by itself, at most and at least. */
const fastPollMs = 5
const slowPollMs = 500

/** How long a record may lie there before a reader syncs it itself: its writer most likely is about to. */
const patienceMs = 20

/** Waiting readers look at common moments, so that a process with a thousand logs sleeps in between. */
const commonMs = 50

/** How long a reading rides out that the folder can't be read. */
const outageMs = 60_000

export async function* read(
  journal: Journal,
  files: OpenFiles,
  from: number,
  options: ReadOptions,
): AsyncGenerator<LogBatch, void, void> {
  const { signal } = options
  const lookMs = Math.max(1, options.lookMs)
  await ride(signal, () => journal.settle())
  if (from < journal.chain.start) throw truncated(journal, from)
  if (from > journal.end) throw lostTail(journal.chain.last, from - journal.chain.last.base)
  const cursor = await ride(signal, () => Cursor.at(journal, files, from))
  const watch = new Watch(journal, signal, lookMs)
  let next = from
  let looking = true
  for (;;) {
    signal.throwIfAborted()
    const seen = journal.changes.count
    if (next < journal.end) {
      const limit = journal.end
      const { records, next: after } = await ride(signal, () => cursor.read(limit, options.maxBatchBytes))
      next = after
      if (records.length > 0) {
        yield { records, next: BigInt(next), end: BigInt(Math.max(next, journal.end)) }
        looking = false
        watch.yielded()
      }
      continue
    }
    if (looking) {
      looking = false
      watch.yielded()
      yield { records: [], next: BigInt(next), end: BigInt(next) }
      continue
    }
    looking = await ride(signal, () => watch.wait(seen))
  }
}

/** When a waiting reader looks, and how. */
class Watch {
  readonly #journal: Journal
  readonly #signal: AbortSignal
  readonly #lookMs: number
  #yieldedAt = 0
  #pollMs = slowPollMs
  /** When something was found that nobody has told of. */
  #foundAt: number | undefined

  constructor(journal: Journal, signal: AbortSignal, lookMs: number) {
    this.#journal = journal
    this.#signal = signal
    this.#lookMs = lookMs
  }

  yielded(): void {
    this.#yieldedAt = performance.now()
  }

  /** Waits for a change, or for the time of the next poll. True when a look is due, and was had. */
  async wait(seen: number): Promise<boolean> {
    const now = performance.now()
    const dueMs = this.#yieldedAt + this.#lookMs - now
    await this.#journal.changes.wait(seen, this.#signal, atCommonMoment(now, Math.min(dueMs, this.#pollMs)))
    if (this.#journal.changes.count !== seen) {
      this.#foundAt = undefined
      this.#pollMs = slowPollMs
      return false
    }
    const at = performance.now()
    const due = at >= this.#yieldedAt + this.#lookMs - (this.#lookMs > 2 * commonMs ? commonMs : 1)
    if (this.#journal.unchanged()) {
      this.#pollMs = Math.min(slowPollMs, this.#pollMs * 2)
      this.#foundAt = undefined
      return due
    }
    this.#foundAt ??= at
    this.#pollMs = fastPollMs
    if (!due && at - this.#foundAt < patienceMs) return false
    this.#foundAt = undefined
    await this.#journal.settle()
    return due
  }
}

/** A little sooner than asked, at a moment that other waiting readers share. Short waits are left as they are. */
function atCommonMoment(nowMs: number, waitMs: number): number {
  if (waitMs <= 2 * commonMs) return Math.max(1, waitMs)
  const late = (nowMs + waitMs) % commonMs
  return waitMs - late
}

/** Tries again, for a while, what failed only because the folder can't be read now. */
async function ride<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  const began = performance.now()
  for (let waitMs = 10; ; waitMs = Math.min(1_000, waitMs * 2)) {
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted) throw signal.reason
      const told = logError('the log', error)
      const again = isKagamiError(told, 'KAGAMI_LOG_UNAVAILABLE') || isKagamiError(told, 'KAGAMI_STORE_FULL')
      if (!again || performance.now() - began > outageMs) throw told
      const pause = new Pulse()
      await pause.wait(pause.count, signal, waitMs)
    }
  }
}
