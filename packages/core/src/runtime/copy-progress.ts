/** How far a copy has come with its log, and who waits for it to come further. Only keeps count; never reads or applies. */
import { comparePositions, isKagamiError, type Clock, type LogBatch, type Position } from '../contract/index.js'
import { decodeFrame, type DecodedFrame } from '../engine/frame.js'
import type { Lag } from './api.js'
import type { Waiting } from './waiting.js'

/** A copy that was not caught up for this long is no longer in sync, and one that has not seen its log's end for as long is cut off. */
const IN_SYNC_MS = 2_000
/** Unless looks are so rare: some may fail. */
const LOOKS = 3

/** How long a copy may not have looked at the log until it counts as cut off. */
export function cutOffMs(lookMs: number): number {
  return Math.max(IN_SYNC_MS, LOOKS * lookMs)
}

interface Waiter {
  readonly position: Position
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class CopyProgress {
  readonly #clock: Clock
  readonly #inSyncMs: number
  /** Entries of the incarnation that `apply` has returned for. */
  applied = 0
  #knownEndIndex = 0
  #lastAppliedTimeMs = 0
  readonly #startedMs: number
  #lookedAtMs = -Infinity
  #caughtUp = false
  #caughtUpAtMs = -Infinity
  readonly #waiters = new Set<Waiter>()

  constructor(clock: Clock, lookMs: number) {
    this.#clock = clock
    this.#startedMs = clock.monotonicMs()
    this.#inSyncMs = cutOffMs(lookMs)
  }

  get lag(): Lag {
    const behind = !this.#caughtUp && this.#lastAppliedTimeMs > 0
    const lookAgeMs = this.#clock.monotonicMs() - this.#lookedAtMs
    const behindMs = behind ? Math.max(0, this.#clock.now() - this.#lastAppliedTimeMs) : 0
    const known = this.#caughtUp ? 0 : Math.max(0, this.#knownEndIndex - this.applied)
    return {
      entries: this.cutOff || lookAgeMs === Infinity ? Infinity : known,
      caughtUp: this.#caughtUp && !this.cutOff,
      timeMs: this.cutOff ? Math.max(behindMs, lookAgeMs) : behindMs,
      lookAgeMs,
    }
  }

  /** It has not looked at the log for so long that nobody knows how far it is behind. */
  get cutOff(): boolean {
    return this.#clock.monotonicMs() - Math.max(this.#lookedAtMs, this.#startedMs) >= this.#inSyncMs
  }

  /** Of {@link cutOffMs}. */
  get boundMs(): number {
    return this.#inSyncMs
  }

  get lookedAtMs(): number {
    return this.#lookedAtMs
  }

  get inSync(): boolean {
    return this.#clock.monotonicMs() - this.#caughtUpAtMs < this.#inSyncMs
  }

  /** The copy starts from here: nothing is known of the log's end. */
  restart(applied: number): void {
    this.applied = applied
    this.#caughtUp = false
    this.#caughtUpAtMs = -Infinity
  }

  /** A batch has arrived: a look at the log, and how far it goes beyond what is applied, as far as the batch shows. */
  looked(batch: LogBatch, token: string, incarnation: number): void {
    this.#lookedAtMs = this.#clock.monotonicMs()
    const last = batch.records[batch.records.length - 1]
    if (last === undefined || batch.records.length < 2) return
    const frame = readable(last.bytes)
    if (frame?.kind !== 'data' || frame.token !== token || frame.incarnation !== incarnation) return
    this.#knownEndIndex = frame.firstIndex + frame.count
    this.#caughtUp = false
  }

  /** The batch is dealt with. */
  finished(batch: LogBatch): void {
    this.#caughtUp = batch.next === batch.end
    if (this.#caughtUp) this.#caughtUpAtMs = this.#lookedAtMs
  }

  /** A frame that was written at `timeMs` is applied. */
  advance(applied: number, timeMs: number): void {
    this.applied = applied
    this.#lastAppliedTimeMs = timeMs
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /** Reached when `position` is applied. */
  wait(position: Position): Waiting {
    let waiter: Waiter | undefined
    const reached = new Promise<void>((resolve, reject) => {
      waiter = { position, resolve, reject }
      this.#waiters.add(waiter)
    })
    return { reached, forget: () => waiter !== undefined && this.#waiters.delete(waiter) }
  }

  /** Everything before `next` is applied. */
  wake(next: Position): void {
    for (const waiter of this.#waiters) {
      if (comparePositions(next, waiter.position) <= 0) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  rejectWaiters(error: unknown): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of waiters) waiter.reject(error)
  }
}

/** Undefined for what can't be read: whoever applies the records says so, once it has got there. */
function readable(record: Uint8Array): DecodedFrame | undefined {
  try {
    return decodeFrame(record)
  } catch (error) {
    if (!isKagamiError(error)) throw error
    return undefined
  }
}
