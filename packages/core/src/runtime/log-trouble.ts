/**
 * Remembers that a log takes no appends now, since when and why, and decides from when on callers are told instead of kept waiting.
 * Knows nothing of what is appended.
 */
import { isKagamiError, KagamiError, type Clock } from '../contract/index.js'

export class LogTrouble {
  readonly #token: string
  readonly #clock: Clock
  readonly #patienceMs: number
  #error: KagamiError | undefined
  #sinceMs = 0

  /** `patienceMs`: how long a log that can't be reached is waited for in silence. */
  constructor(token: string, clock: Clock, patienceMs: number) {
    this.#token = token
    this.#clock = clock
    this.#patienceMs = patienceMs
  }

  /** The last failure, until `over`. */
  get error(): KagamiError | undefined {
    return this.#error
  }

  /** The last failure, where they have lasted for so many times as long as is waited in silence. */
  lasting(times: number): KagamiError | undefined {
    return this.#clock.monotonicMs() - this.#sinceMs >= times * this.#patienceMs ? this.#error : undefined
  }

  /** An append has failed, and will be tried again. True where it is the first in a row. */
  failed(cause: unknown): boolean {
    const first = this.#error === undefined
    if (first) this.#sinceMs = this.#clock.monotonicMs()
    this.#error = isKagamiError(cause)
      ? cause
      : new KagamiError('KAGAMI_LOG_UNAVAILABLE', `appending to the log failed: ${String(cause)}`, {
          cause,
          retryable: true,
        })
    return first
  }

  /** The log takes appends again, or nothing is to be appended any more. */
  over(): void {
    this.#error = undefined
  }

  /**
   * What a call is refused with that has appended nothing yet; undefined while it may wait. A full log is no passing thing, so it is told at
   * once; a log that can't be reached, when that has lasted.
   */
  refusal(): KagamiError | undefined {
    const cause = this.#error
    if (cause === undefined) return undefined
    if (cause.code !== 'KAGAMI_STORE_FULL' && this.lasting(1) === undefined) return undefined
    return new KagamiError(
      cause.code,
      `nothing was appended to '${this.#token}', because its log takes nothing now: ${cause.message}. Mend that, then try again`,
      { cause, retryable: true, details: { token: this.#token } },
    )
  }
}
