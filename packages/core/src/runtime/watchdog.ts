/**
 * Ends the reading of a log that hears nothing any more, so that it can begin anew: a client may stop without a word. Measures silence, never speed: who is slow is given more
 * time with each attempt.
 */
import { KagamiError, type Clock } from '../contract/index.js'
import { linkedAbort } from './waiting.js'

/** Looks at the silence, within the bound. A process that was frozen is judged by the looks that it makes, not by the time it was away. */
const LOOKS = 4

export interface WatchdogOptions {
  readonly clock: Clock
  /** How long a reader may hear nothing. */
  readonly boundMs: number
  /** The same, at most, where it has heard nothing again and again. */
  readonly longestMs: number
}

export class Watchdog {
  readonly #clock: Clock
  readonly #boundMs: number
  readonly #longestMs: number
  #patienceMs: number
  #silentMs = 0

  constructor({ clock, boundMs, longestMs }: WatchdogOptions) {
    this.#clock = clock
    this.#boundMs = boundMs
    this.#longestMs = Math.max(boundMs, longestMs)
    this.#patienceMs = boundMs
  }

  /**
   * What `read` gives, or 'deaf' where it hears nothing for too long. Then its signal aborts and nobody waits for it any more: it must look at the signal before it
   * does anything with what comes after all.
   */
  async guard<T>(signal: AbortSignal, read: (signal: AbortSignal) => Promise<T>): Promise<T | 'deaf'> {
    const link = linkedAbort(signal)
    const stepMs = this.#boundMs / LOOKS
    let timer: { cancel(): void } | undefined
    this.#silentMs = 0
    const deaf = new Promise<'deaf'>((resolve) => {
      const look = (): void => {
        timer = this.#clock.timer(stepMs, () => {
          this.#silentMs += stepMs
          if (this.#silentMs <= this.#patienceMs) return look()
          this.#patienceMs = Math.min(this.#longestMs, 2 * this.#patienceMs)
          link.abort(new KagamiError('KAGAMI_TIMEOUT', 'nothing was heard from the log'))
          resolve('deaf')
        })
      }
      look()
    })
    try {
      return await Promise.race([read(link.signal), deaf])
    } finally {
      timer?.cancel()
      link.unlink()
    }
  }

  /** It has heard something, after it had waited for so long. */
  heard(waitedMs: number): void {
    this.#silentMs = 0
    // Where each answer takes long, the next one may.
    this.#patienceMs = Math.max(this.#boundMs, Math.min(this.#patienceMs, 2 * waitedMs))
  }

  /** It works on what it has heard. */
  busy(): void {
    this.#silentMs = 0
  }
}
