/**
 * Ways to wait: sleeping on the clock seam, giving up with a signal, backing off, waking a loop. Nothing here does I/O.
 */
import { setMaxListeners } from 'node:events'
import { listenForAbort, type Clock, type Random } from '../contract/index.js'

/** Resolves after `ms`, or rejects with the signal's reason. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error)
    const unlisten = listenForAbort(signal, () => {
      timer.cancel()
      reject(signal.reason as Error)
    })
    const timer = clock.timer(ms, () => {
      unlisten()
      resolve()
    })
  })
}

/** The longest that {@link rest} leaves to others. */
const LONGEST_REST_MS = 250

/**
 * After work over all tokens of a node, or of the cluster: leaves as long as it took to whatever else the node has to do. Else, with very many tokens, each change
 * would be followed by such work for so long that looks come late, and what comes late is a change.
 */
export async function rest(clock: Clock, tookMs: number, signal: AbortSignal): Promise<void> {
  if (tookMs >= 1) await sleep(clock, Math.min(tookMs, LONGEST_REST_MS), signal)
}

/** Resolves when all have ended: none goes on behind the back of whoever tries again. Rejects with the first failure in their order. */
export async function allEnded(works: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(works)
  await Promise.all(works)
}

/** Resolves when the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else listenForAbort(signal, () => resolve())
  })
}

/** A place in a queue of those that wait for one thing. */
export interface Waiting {
  readonly reached: Promise<void>
  /** Leaves the queue: nobody listens any more. Harmless after the promise has settled. */
  readonly forget: () => void
}

/** A controller that aborts when any of the parents does. `unlink` it when it is no longer needed, so that parents forget it. */
export function linkedAbort(...parents: readonly AbortSignal[]): {
  readonly signal: AbortSignal
  abort(reason: unknown): void
  unlink(): void
} {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  const unlistens: (() => void)[] = []
  const unlink = (): void => unlistens.forEach((unlisten) => unlisten())
  for (const parent of parents) {
    if (parent.aborted) controller.abort(parent.reason)
    else unlistens.push(listenForAbort(parent, () => controller.abort(parent.reason)))
  }
  return {
    signal: controller.signal,
    abort(reason) {
      unlink()
      controller.abort(reason)
    },
    unlink,
  }
}

/** A pause that doubles with each failure in a row, with jitter. */
export function backoffMs(
  failures: number,
  limits: { readonly first: number; readonly longest: number },
  random: Random,
): number {
  const full = Math.min(limits.longest, limits.first * 2 ** Math.min(failures, 30))
  return full * (0.5 + random.fraction() / 2)
}

/** Wakes one waiting loop; a wake while nobody waits is kept. */
export class Wakeup {
  #set = false
  #resolve: (() => void) | undefined

  wake(): void {
    this.#set = true
    this.#resolve?.()
    this.#resolve = undefined
  }

  /** Resolves at the next wake, at once if one was kept, or after `timeoutMs`. Rejects with the signal's reason. */
  async wait(clock: Clock, timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#set) {
      await new Promise<void>((resolve, reject) => {
        const done = (): void => {
          timer.cancel()
          unlisten()
          resolve()
        }
        const unlisten = listenForAbort(signal, () => {
          timer.cancel()
          this.#resolve = undefined
          reject(signal.reason as Error)
        })
        const timer = clock.timer(timeoutMs, () => {
          this.#resolve = undefined
          done()
        })
        this.#resolve = done
      })
    }
    this.#set = false
  }
}

/** At most `limit` holders at once, first come first served. */
export class Semaphore {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#free = limit
  }

  /** Resolves with a function that gives the place back; call it exactly once. */
  async acquire(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free -= 1
    } else {
      await new Promise<void>((resolve, reject) => {
        const turn = (): void => {
          unlisten()
          resolve()
        }
        const unlisten = listenForAbort(signal, () => {
          const at = this.#waiting.indexOf(turn)
          if (at >= 0) this.#waiting.splice(at, 1)
          reject(signal.reason as Error)
        })
        this.#waiting.push(turn)
      })
    }
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }
}
