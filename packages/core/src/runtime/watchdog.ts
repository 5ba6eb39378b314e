/**
 * Ends the reading of a log that hears nothing any more, so that it can begin anew: a client may stop without a word. Measures silence, never speed: who is slow is given more
 * time with each attempt.
 */
import { KagamiError, type Clock, type Timer } from '../contract/index.js'
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

/** The watchdogs of one node. They look at one time: a timer for each of a thousand idle readers would cost more than all else that those do. */
export class Watchdogs {
  readonly #options: WatchdogOptions
  readonly #stepMs: number
  readonly #looks = new Set<(sinceMs: number) => void>()
  #timer: Timer | undefined

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#stepMs = options.boundMs / LOOKS
  }

  /** One for a reader. */
  watchdog(): Watchdog {
    return new Watchdog(this.#options, (look) => this.#add(look))
  }

  #add(look: (sinceMs: number) => void): () => void {
    this.#looks.add(look)
    if (this.#timer === undefined) this.#wait()
    return () => {
      this.#looks.delete(look)
      if (this.#looks.size > 0) return
      this.#timer?.cancel()
      this.#timer = undefined
    }
  }

  #wait(): void {
    this.#timer = this.#options.clock.timer(this.#stepMs, () => {
      this.#wait()
      for (const look of this.#looks) look(this.#stepMs)
    })
  }
}

export class Watchdog {
  readonly #boundMs: number
  readonly #longestMs: number
  readonly #eachStep: (look: (sinceMs: number) => void) => () => void
  #patienceMs: number
  #silentMs = 0

  constructor({ boundMs, longestMs }: WatchdogOptions, eachStep: (look: (sinceMs: number) => void) => () => void) {
    this.#boundMs = boundMs
    this.#longestMs = Math.max(boundMs, longestMs)
    this.#patienceMs = boundMs
    this.#eachStep = eachStep
  }

  /**
   * What `read` gives, or 'deaf' where it hears nothing for too long. Then its signal aborts and nobody waits for it any more: it must look at the signal before it
   * does anything with what comes after all.
   */
  async guard<T>(signal: AbortSignal, read: (signal: AbortSignal) => Promise<T>): Promise<T | 'deaf'> {
    const link = linkedAbort(signal)
    let stop: () => void = () => undefined
    this.#silentMs = 0
    const deaf = new Promise<'deaf'>((resolve) => {
      stop = this.#eachStep((sinceMs) => {
        this.#silentMs += sinceMs
        if (this.#silentMs <= this.#patienceMs) return
        stop()
        this.#patienceMs = Math.min(this.#longestMs, 2 * this.#patienceMs)
        link.abort(new KagamiError('KAGAMI_TIMEOUT', 'nothing was heard from the log'))
        resolve('deaf')
      })
    })
    try {
      return await Promise.race([read(link.signal), deaf])
    } finally {
      stop()
      link.unlink()
    }
  }

  /** It has heard something. */
  heard(): void {
    this.#silentMs = 0
  }

  /** What it has heard was new, after it had waited for so long. */
  cameOn(waitedMs: number): void {
    // Where each answer takes long, the next one may.
    this.#patienceMs = Math.max(this.#boundMs, Math.min(this.#patienceMs, 2 * waitedMs))
  }
}
