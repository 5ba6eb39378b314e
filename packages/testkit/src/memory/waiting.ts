/**
 * Waiting without polling: a bell that is rung at each change, and the wait for it. Time comes only from the clock
 * that is passed in, so a virtual clock decides when a wait ends.
 */
import { setMaxListeners } from 'node:events'
import type { Clock } from '@kagami/core/contract'

/** Wakes everyone who waits now. Check the condition and start to wait without an await in between: then no ring is missed. */
export class Bell {
  readonly #waiting = new Set<() => void>()

  ring(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  listen(wake: () => void): void {
    this.#waiting.add(wake)
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake)
  }
}

/** A controller whose signal may have any number of listeners, one for each call that is under way. */
export function sharedController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

export interface WaitOptions {
  /** The first of these to abort rejects the wait with its reason. */
  readonly signals: readonly AbortSignal[]
  readonly bells?: readonly Bell[]
  readonly clock: Clock
  /** Resolves after so long at the latest. @default never */
  readonly ms?: number
}

/** Resolves at the first ring or when the time is up; rejects when a signal aborts. Leaves no listener behind. */
export function wait(options: WaitOptions): Promise<void> {
  const { signals, bells = [], clock, ms } = options
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      timer?.cancel()
      for (const bell of bells) bell.forget(woken)
      for (const signal of signals) signal.removeEventListener('abort', aborted)
      end()
    }
    const woken = (): void => settle(resolve)
    const aborted = (): void => settle(() => reject(firstReason(signals)))
    const timer = ms === undefined ? undefined : clock.timer(ms, woken)
    for (const bell of bells) bell.listen(woken)
    for (const signal of signals) signal.addEventListener('abort', aborted)
    if (signals.some((signal) => signal.aborted)) aborted()
  })
}

/** Settles as `promise` does, unless a signal aborts before: then rejects with its reason, whatever becomes of the promise. */
export function unlessAborted<T>(promise: Promise<T>, signals: readonly AbortSignal[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = (): void => {
      for (const signal of signals) signal.removeEventListener('abort', aborted)
    }
    const aborted = (): void => {
      forget()
      reject(firstReason(signals))
    }
    for (const signal of signals) signal.addEventListener('abort', aborted)
    promise.then(resolve, reject).finally(forget)
    if (signals.some((signal) => signal.aborted)) aborted()
  })
}

/** Throws the reason of the first signal that has aborted. */
export function throwIfAny(signals: readonly AbortSignal[]): void {
  for (const signal of signals) signal.throwIfAborted()
}

function firstReason(signals: readonly AbortSignal[]): unknown {
  return signals.find((signal) => signal.aborted)?.reason
}
