/** The calls that wait until one copy has read so far: `waitFor` a position, and `sync`. Reads nothing itself: the read loop tells how far it is. */
import { comparePositions, orAborted, type KagamiError, type Position } from '../contract/index.js'
import type { CopyCondition } from './copy-condition.js'
import { noCopy, overloaded, unknownToken } from './copy-errors.js'
import type { CopyProgress } from './copy-progress.js'
import type { MarkerQueue } from './marker-queue.js'
import { type Waiting } from './waiting.js'

export interface ReadCallsContext<R, C> {
  readonly token: string
  readonly maxWaiting: number
  readonly progress: CopyProgress
  readonly markers: MarkerQueue
  readonly condition: CopyCondition<R, C>
  /** Whether the token is deleted, as far as this copy has read. */
  deleted(): boolean
  /** Aborts when the copy is closed. */
  readonly signal: AbortSignal
}

export class ReadCalls<R, C> {
  readonly #context: ReadCallsContext<R, C>

  constructor(context: ReadCallsContext<R, C>) {
    this.#context = context
  }

  waitFor(position: Position, signal: AbortSignal | undefined): Promise<void> {
    const unable = this.#unable()
    if (unable !== undefined) return Promise.reject(unable)
    const { token, condition, maxWaiting, progress } = this.#context
    if (condition.next !== undefined && comparePositions(condition.next, position) > 0) return Promise.resolve()
    if (progress.waiting >= maxWaiting) return Promise.reject(overloaded(token, 'waitFor', maxWaiting))
    return until(progress.wait(position), signal)
  }

  async sync(signal: AbortSignal | undefined): Promise<void> {
    const unable = this.#unable()
    if (unable !== undefined) throw unable
    signal?.throwIfAborted()
    return until(this.#context.markers.wait(), signal)
  }

  /** The copy has come on. */
  wake(): void {
    const { condition, progress } = this.#context
    if (condition.phase === 'running') progress.wake(condition.next as Position)
  }

  /** It won't, for those that wait. */
  reject(error: KagamiError): void {
    this.#context.progress.rejectWaiters(error)
    this.#context.markers.fail(error)
  }

  #unable(): KagamiError | undefined {
    const { token, condition, signal } = this.#context
    if (condition.failure !== undefined) return condition.failure
    if (condition.phase === 'closing' || signal.aborted) return noCopy(token)
    return this.#context.deleted() ? unknownToken(token) : undefined
  }
}

/** Waits with a signal, and leaves nothing in the queue behind. */
function until({ reached, forget }: Waiting, signal: AbortSignal | undefined): Promise<void> {
  return orAborted(reached, signal).finally(forget)
}
