/** Lets requests wait for the cluster to change: a promotion, another assignment, a copy that was opened. */
import type { Kagami } from 'kagami'
import type { Command, Outcome } from '../state/command.js'

/** A change that nobody announced, a peer that came back for instance, is found this soon. Milliseconds. */
const LOOK_AGAIN_MS = 50

export class Changes {
  readonly #waiting = new Set<() => void>()
  readonly #unlisten: readonly (() => void)[]

  constructor(kagami: Kagami<Outcome, Command>) {
    const wake = (): void => {
      for (const resolve of this.#waiting) resolve()
    }
    this.#unlisten = [kagami.on('promoted', wake), kagami.on('assigned', wake), kagami.on('restored', wake)]
  }

  /** Resolves at the next change, or soon; rejects with the signal's reason. */
  async next(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        this.#waiting.delete(done)
        resolve()
      }
      const onAbort = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        reject(signal.reason as Error)
      }
      const timer = setTimeout(done, LOOK_AGAIN_MS)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(done)
    })
  }

  close(): void {
    for (const unlisten of this.#unlisten) unlisten()
  }
}
