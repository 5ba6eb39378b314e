/**
 * Remembers that the log has refused a copy's appends for good, and for how long the copy rests before it lets itself be promoted again, so that a cluster
 * in which nobody may write does not change primaries as fast as it can.
 */
import type { Clock, KagamiError, Random } from '../contract/index.js'
import { backoffMs } from './waiting.js'

export interface RefusalsContext {
  readonly clock: Clock
  readonly random: Random
  readonly retryMs: { readonly first: number; readonly longest: number }
  onRested(): void
  readonly signal: AbortSignal
}

export class Refusals {
  readonly #context: RefusalsContext
  #error: KagamiError | undefined
  #inARow = 0
  #resting = false

  constructor(context: RefusalsContext) {
    this.#context = context
  }

  /** The last refusal, until the log takes an entry of this copy again. */
  get error(): KagamiError | undefined {
    return this.#error
  }

  get resting(): boolean {
    return this.#resting
  }

  refused(error: KagamiError): void {
    const { clock, random, retryMs, signal } = this.#context
    this.#error = error
    this.#resting = true
    clock.timer(backoffMs(this.#inARow, retryMs, random), () => {
      this.#resting = false
      if (!signal.aborted) this.#context.onRested()
    })
    this.#inARow += 1
  }

  /** The log has taken an entry of this copy. */
  over(): void {
    this.#error = undefined
    this.#inARow = 0
  }
}
