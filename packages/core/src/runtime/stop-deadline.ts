/**
 * The time that a stop has. Gives each of its parts a share of what is left, and goes on without a part that hangs, so that the parts
 * after it are begun whatever happens. Knows nothing of what is stopped.
 */
import { KagamiError, orAborted, type Seams } from '../contract/index.js'

export class StopDeadline {
  readonly #seams: Pick<Seams, 'clock' | 'logger'>
  readonly #untilMs: number
  readonly #onLeft: (what: string) => void

  /** `onLeft` is told of each part that was still under way when its time was over. */
  constructor(seams: Pick<Seams, 'clock' | 'logger'>, deadlineMs: number, onLeft: (what: string) => void) {
    this.#seams = seams
    this.#untilMs = seams.clock.monotonicMs() + deadlineMs
    this.#onLeft = onLeft
  }

  /**
   * Does a part of the stop, for at most `share` of the time that is left; then its signal aborts. What it rejects with is logged.
   * `what` is asked for when it is needed.
   */
  async part(share: number, what: () => string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { clock, logger } = this.#seams
    const ms = share * Math.max(0, this.#untilMs - clock.monotonicMs())
    const controller = new AbortController()
    const late = new KagamiError('KAGAMI_TIMEOUT', `this part of the stop has taken longer than ${Math.round(ms)} ms`)
    // What hangs need not keep the process alive, which would then end before whoever stops the node is told.
    const timer = clock.timer(ms, () => controller.abort(late), { keepsAlive: true })
    try {
      await orAborted(work(controller.signal), controller.signal)
    } catch (error) {
      if (controller.signal.aborted) {
        logger.warn(`the stop goes on without waiting any longer: ${what()}`, { error })
        this.#onLeft(what())
      } else logger.warn(`a part of the stop has failed: ${what()}`, { error })
    } finally {
      timer.cancel()
    }
  }
}
