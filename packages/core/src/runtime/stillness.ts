/** How long a copy has not come on, but for the time in which it waits for its turn. Only measures: what is too long, and what to do about it, others say. */
import type { Clock } from '../contract/index.js'

export class Stillness {
  readonly #clock: Clock
  #movedMs: number
  #waitsSinceMs: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#movedMs = clock.monotonicMs()
  }

  get ms(): number {
    return (this.#waitsSinceMs ?? this.#clock.monotonicMs()) - this.#movedMs
  }

  moved(): void {
    this.#movedMs = this.#clock.monotonicMs()
  }

  /** What is waited for here is others' business, and no standstill. */
  async whileWaiting<T>(turn: Promise<T>): Promise<T> {
    const sinceMs = this.#clock.monotonicMs()
    this.#waitsSinceMs = sinceMs
    try {
      return await turn
    } finally {
      this.#waitsSinceMs = undefined
      this.#movedMs += this.#clock.monotonicMs() - sinceMs
    }
  }
}
