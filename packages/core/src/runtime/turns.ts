/**
 * Turns for work that reads and computes, a few at a time. Who stands still, because something does not answer, keeps nobody waiting: its place is lent to the
 * next. Ends nothing: for how long anything may stand still, others say.
 */
import type { Clock } from '../contract/index.js'
import { Semaphore } from './waiting.js'

/** Looks at what has moved, until a place is lent. A process that was frozen is judged by the looks that it makes, not by the time it was away. */
const LOOKS = 4

export interface TurnLimits {
  /** How many work at once. */
  readonly atOnce: number
  /** How many may be under way besides, that stood still while others waited. */
  readonly lent: number
  /** Who has not moved on for so long stands still. */
  readonly stillMs: number
}

/** One turn, which has begun. */
export interface Turn {
  /** It comes on. */
  moved(): void
  /** Once. */
  end(): void
}

export class Turns {
  readonly #clock: Clock
  readonly #limits: TurnLimits
  readonly #places: Semaphore
  #lent = 0

  constructor(clock: Clock, limits: TurnLimits) {
    this.#clock = clock
    this.#limits = limits
    this.#places = new Semaphore(limits.atOnce)
  }

  /** Waits for a place. @throws the signal's reason */
  async begin(signal: AbortSignal): Promise<Turn> {
    const release = await this.#places.acquire(signal)
    const { lent, stillMs } = this.#limits
    let looks = 0
    let lends = false
    let timer: { cancel(): void } | undefined
    const look = (): void => {
      looks += 1
      if (looks > LOOKS && this.#lent < lent) {
        lends = true
        this.#lent += 1
        release()
      } else timer = this.#clock.timer(stillMs / LOOKS, look)
    }
    look()
    return {
      moved: () => {
        looks = 0
      },
      end: () => {
        timer?.cancel()
        if (lends) this.#lent -= 1
        else release()
      },
    }
  }
}
