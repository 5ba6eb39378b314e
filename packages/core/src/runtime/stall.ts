/**
 * Gives up work that has stopped moving, so that a state machine or a store which never answers keeps its place from nobody else.
 * Measures movement, never speed.
 */
import { KagamiError, type Clock } from '../contract/index.js'
import { linkedAbort } from './waiting.js'

/** Looks at what has moved, within the limit. A process that was frozen is judged by the looks that it makes, not by the time it was away. */
const LOOKS = 4

export interface StallLimit {
  readonly clock: Clock
  readonly limitMs: number
  readonly signal: AbortSignal
  /** What is under way, as in "… has not moved on". */
  readonly what: string
}

/** What the work is given: a signal of its own, and a call by which it says that it has moved on. */
export interface Movement {
  readonly signal: AbortSignal
  readonly moved: () => void
}

/**
 * The work's outcome. Where it has not said `moved` for the limit, its signal aborts, and nobody waits for it any more, whether it heeds that or not.
 * The parent signal's abort reaches the work, which then ends as it does.
 * @throws KAGAMI_TIMEOUT (retryable) when it has stopped moving, and what the work throws
 */
export async function unlessStalled<T>(
  { clock, limitMs, signal, what }: StallLimit,
  work: (movement: Movement) => Promise<T>,
): Promise<T> {
  const link = linkedAbort(signal)
  let looks = 0
  const moved = (): void => {
    looks = 0
  }
  let timer: { cancel(): void } | undefined
  const stalled = new Promise<never>((_, reject) => {
    const look = (): void => {
      looks += 1
      if (looks <= LOOKS) {
        timer = clock.timer(limitMs / LOOKS, look)
        return
      }
      const error = standstill({ what, limitMs })
      link.abort(error)
      reject(error)
    }
    look()
  })
  try {
    return await Promise.race([work({ signal: link.signal, moved }), stalled])
  } finally {
    timer?.cancel()
    link.unlink()
  }
}

export function standstill({ what, limitMs }: Pick<StallLimit, 'what' | 'limitMs'>): KagamiError {
  return new KagamiError('KAGAMI_TIMEOUT', `${what} has not moved on for ${limitMs} ms and is given up`, {
    retryable: true,
  })
}
