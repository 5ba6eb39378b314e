/**
 * Remembers that the log has refused a copy's appends for good: for how long the copy rests before it lets itself be promoted again, so that a cluster in which
 * nobody may write does not change primaries as fast as it can; and until when others are told of it, so that nobody who can write gives way to it. They are told
 * of a log that has long taken nothing in the same way.
 */
import type { Clock, KagamiError, Random } from '../contract/index.js'
import { backoffMs, linkedAbort, sleep } from './waiting.js'

export interface RefusalsContext {
  readonly clock: Clock
  readonly random: Random
  readonly retryMs: { readonly first: number; readonly longest: number }
  onRested(): void
  /** Appends something that changes nothing, and resolves when it was read back. */
  tryOut(): Promise<void>
  /** The log has taken what was tried. */
  onOver(): void
  readonly signal: AbortSignal
}

/** The first trial comes after so many of the longest rests: a node whose permission is mended may wait for its tokens, and they are served meanwhile. */
const RESTS_BEFORE_TRIAL = 5
const LONGEST_BEFORE_TRIAL_MS = 3_600_000

export class Refusals {
  readonly #context: RefusalsContext
  #error: KagamiError | undefined
  #inARow = 0
  #resting = false
  /** What ends the trials that follow the last refusal. */
  #endTrials: (() => void) | undefined

  constructor(context: RefusalsContext) {
    this.#context = context
  }

  /** Why it can't write, until the log takes an entry of this copy again, or what is tried out after a while. */
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
    void this.#tryLater()
  }

  /** The log has taken nothing for long, and is still asked to. False where that is no news. */
  unable(error: KagamiError): boolean {
    if (this.#error !== undefined) return false
    this.#error = error
    this.#inARow += 1
    void this.#tryLater()
    return true
  }

  /** The log has taken a barrier of this copy. Whose entries are refused may well have that. */
  reached(): void {
    if (this.#error?.retryable !== true) return
    this.#endTrials?.()
    this.#error = undefined
  }

  /** The log has taken an entry of this copy. */
  over(): void {
    this.#endTrials?.()
    this.#error = undefined
    this.#inARow = 0
  }

  /**
   * That the log takes a trial is a reason to let the copy be the primary again, and no proof that it takes entries: so after each further refusal the pauses
   * are longer, until it has taken one of those.
   */
  async #tryLater(): Promise<void> {
    const { clock, random, retryMs } = this.#context
    const link = linkedAbort(this.#context.signal)
    const { signal } = link
    this.#endTrials?.()
    this.#endTrials = () => link.abort(new Error('the trials are over'))
    const pauses = { first: RESTS_BEFORE_TRIAL * retryMs.longest, longest: LONGEST_BEFORE_TRIAL_MS }
    while (!signal.aborted) {
      const taken = await sleep(clock, backoffMs(this.#inARow - 1, pauses, random), signal)
        .then(() => this.#context.tryOut())
        .then(
          () => true,
          () => false,
        )
      if (signal.aborted || !taken) continue
      link.unlink()
      this.#error = undefined
      this.#context.onOver()
      return
    }
  }
}
