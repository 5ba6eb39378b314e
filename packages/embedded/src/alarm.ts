/**
 * Wakes sleepers at common moments, so that a process that follows a thousand logs is asleep in between, and one timer
 * serves them all. Each adapter has one.
 */

/** Long waits end at a multiple of this, a little sooner than asked. Milliseconds. */
export const commonMs = 50

export class Alarm {
  readonly #moments = new Map<number, Set<Sleeper>>()

  /** When a wait that begins now and may last `waitMs` ends; and with whom. */
  join(sleeper: Sleeper, waitMs: number): Set<Sleeper> {
    const moment = Math.floor((performance.now() + waitMs) / commonMs)
    let sleepers = this.#moments.get(moment)
    if (sleepers === undefined) {
      sleepers = new Set()
      this.#moments.set(moment, sleepers)
      setTimeout(() => this.#ring(moment), Math.max(1, moment * commonMs - performance.now()))
    }
    sleepers.add(sleeper)
    return sleepers
  }

  #ring(moment: number): void {
    const sleepers = this.#moments.get(moment)
    this.#moments.delete(moment)
    for (const sleeper of sleepers ?? []) sleeper.wake()
  }
}

/** One reading that sleeps until it is woken. Reused for each wait, because an idle log waits several times a second. */
export class Sleeper {
  readonly #alarm: Alarm
  #resolve: (() => void) | undefined
  #company: Set<Sleeper> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(alarm: Alarm) {
    this.#alarm = alarm
  }

  /** Resolves when it is woken, or after about so long. One call at a time. */
  sleep(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      if (waitMs > 2 * commonMs) this.#company = this.#alarm.join(this, waitMs)
      else this.#timer = setTimeout(() => this.wake(), Math.max(1, waitMs))
    })
  }

  wake(): void {
    this.#company?.delete(this)
    this.#company = undefined
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    const resolve = this.#resolve
    this.#resolve = undefined
    resolve?.()
  }
}
