/** A clock that stands still until a test moves it on, so that what a test says of time does not depend on the machine. */
import type { Clock, Timer } from '../../src/index.js'

interface Due {
  readonly atMs: number
  readonly callback: () => void
}

export class ManualClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<Due>()

  now(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  yield(): Promise<void> {
    return rest()
  }

  timer(delayMs: number, callback: () => void): Timer {
    const due = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.add(due)
    return { cancel: () => this.#timers.delete(due) }
  }

  /** Moves on by so much, from one timer to the next, and lets each finish what it has set going. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    for (;;) {
      await rest()
      const next = [...this.#timers].reduce<Due | undefined>(
        (first, due) => (first === undefined || due.atMs < first.atMs ? due : first),
        undefined,
      )
      if (next === undefined || next.atMs > untilMs) break
      this.#nowMs = next.atMs
      this.#timers.delete(next)
      next.callback()
    }
    this.#nowMs = untilMs
  }
}

/** Until nothing goes on but what waits for the clock, or for the test. */
export async function rest(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve))
}
