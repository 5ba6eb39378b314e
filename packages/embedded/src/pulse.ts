/** A wake-up call for whoever waits for "something has changed". Carries nothing: who wakes up looks for itself. */
import { listenForAbort } from '@kagami/core/contract'

export class Pulse {
  #count = 0
  readonly #waiting = new Set<() => void>()
  readonly #followers = new Set<() => void>()

  /** Grows with every beat. Taken before looking, so that a beat during the look is not missed. */
  get count(): number {
    return this.#count
  }

  beat(): void {
    this.#count++
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
    for (const follower of this.#followers) follower()
  }

  /** Calls back at each beat, until the returned function is called. */
  follow(follower: () => void): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  /** Resolves at the first beat beyond `count`, or after `ms`. Rejects with the signal's reason. */
  wait(count: number, signal: AbortSignal, ms?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason)
        return
      }
      if (this.#count !== count) {
        resolve()
        return
      }
      let timer: NodeJS.Timeout | undefined
      const end = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        unlisten()
      }
      const wake = (): void => {
        end()
        resolve()
      }
      const abort = (): void => {
        end()
        reject(signal.reason)
      }
      if (ms !== undefined) timer = setTimeout(wake, ms)
      this.#waiting.add(wake)
      const unlisten = listenForAbort(signal, abort)
    })
  }
}
