/**
 * A reading of a log: batches, then waiting at the end, looking now and then. Messages of other processes only make it
 * faster: it looks at the file by itself, rarely while nothing comes, often after it has found something that nobody told.
 */
import { isKagamiError } from '@kagami/core/contract'
import type { LogBatch, ReadOptions } from '@kagami/core/contract'
import { commonMs, Sleeper } from './alarm.js'
import type { Alarm } from './alarm.js'
import { Cursor, truncated } from './cursor.js'
import { logError } from './errors.js'
import type { Journal } from './journal.js'
import type { OpenFiles } from './open-files.js'
import { Pulse } from './pulse.js'
import { lostTail } from './tail.js'

/** How often a waiting reader looks at the file by itself, at most and at least. */
const fastPollMs = 5
const slowPollMs = 500
const slowestPollMs = 2_000

/** How long a record may lie there before a reader syncs it itself: its writer most likely is about to. */
const patienceMs = 20

/** How long a reading rides out that the folder can't be read. */
const outageMs = 60_000

/** What a reading needs besides the log. */
export interface ReadingParts {
  readonly files: OpenFiles
  readonly alarm: Alarm
  /** Called when the reading begins: the signal that ends it, and what to call when it has ended. */
  readonly begin: () => { readonly signal: AbortSignal; readonly unlink: () => void }
}

export async function* read(
  journal: Journal,
  from: number,
  options: ReadOptions,
  parts: ReadingParts,
): AsyncGenerator<LogBatch, void, void> {
  const { signal, unlink } = parts.begin()
  const watch = new Watch(journal, signal, Math.max(1, options.lookMs), new Sleeper(parts.alarm))
  try {
    await ride(signal, () => journal.settle())
    if (from < journal.chain.start) throw truncated(journal, from)
    if (from > journal.end) throw lostTail(journal.chain.last, from - journal.chain.last.base)
    const cursor = await ride(signal, () => Cursor.at(journal, parts.files, from))
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
      } else if (looking) {
        looking = false
        watch.yielded()
        yield { records: [], next: BigInt(next), end: BigInt(next) }
      } else {
        await watch.sleep(seen)
        looking = watch.quiet() ?? (await ride(signal, () => watch.look()))
      }
    }
  } finally {
    watch.end()
    unlink()
  }
}

/** When a waiting reader looks, and how. */
class Watch {
  readonly #journal: Journal
  readonly #signal: AbortSignal
  readonly #lookMs: number
  readonly #sleeper: Sleeper
  readonly #unfollow: () => void
  readonly #wake: () => void
  #yieldedAt = 0
  #pollMs = slowPollMs
  #woken = false
  /** When something was found that nobody has told of. */
  #foundAt: number | undefined

  constructor(journal: Journal, signal: AbortSignal, lookMs: number, sleeper: Sleeper) {
    this.#journal = journal
    this.#signal = signal
    this.#lookMs = lookMs
    this.#sleeper = sleeper
    this.#wake = () => sleeper.wake()
    this.#unfollow = journal.changes.follow(this.#wake)
    signal.addEventListener('abort', this.#wake)
  }

  yielded(): void {
    this.#yieldedAt = performance.now()
  }

  end(): void {
    this.#unfollow()
    this.#signal.removeEventListener('abort', this.#wake)
  }

  /** Sleeps until something changes, or it is time to poll. */
  async sleep(seen: number): Promise<void> {
    if (this.#journal.changes.count === seen && !this.#signal.aborted) {
      const dueMs = this.#yieldedAt + this.#lookMs - performance.now()
      await this.#sleeper.sleep(Math.min(dueMs, this.#pollMs))
    }
    this.#woken = this.#journal.changes.count !== seen || this.#signal.aborted
  }

  /** Whether a look is due, where one glance tells that nothing has come; undefined where it takes more to know. */
  quiet(): boolean | undefined {
    if (this.#woken) {
      this.#foundAt = undefined
      this.#pollMs = slowPollMs
      return false
    }
    if (!this.#journal.unchanged()) return undefined
    this.#foundAt = undefined
    this.#pollMs = Math.min(slowestPollMs, this.#pollMs * 2)
    return this.#isDue()
  }

  /** Looks closely at what nobody has told of. Whether a look was due. */
  async look(): Promise<boolean> {
    const now = performance.now()
    const due = this.#isDue()
    this.#foundAt ??= now
    this.#pollMs = fastPollMs
    if (!due && now - this.#foundAt < patienceMs) return false
    this.#foundAt = undefined
    await this.#journal.settle()
    return due
  }

  #isDue(): boolean {
    const earlyMs = this.#lookMs > 2 * commonMs ? commonMs : 1
    return performance.now() >= this.#yieldedAt + this.#lookMs - earlyMs
  }
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
