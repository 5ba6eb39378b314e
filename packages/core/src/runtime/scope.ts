/**
 * Structured background work: everything that a node starts runs in a scope, ends with it, and is waited for. What fails is
 * never lost: it goes to the scope's handler.
 */
import { setMaxListeners } from 'node:events'

export class Scope {
  readonly #controller = new AbortController()
  readonly #tasks = new Set<Promise<void>>()
  readonly #onError: (name: string, error: unknown) => void

  constructor(onError: (name: string, error: unknown) => void) {
    this.#onError = onError
    // Everything that waits in the scope listens; each takes its listener away again.
    setMaxListeners(0, this.#controller.signal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Runs a task until it ends. A rejection after the scope was aborted is its normal end. */
  spawn(name: string, task: (signal: AbortSignal) => Promise<void>): void {
    const { signal } = this
    if (signal.aborted) return
    const running = task(signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#onError(name, error)
      })
      .finally(() => this.#tasks.delete(running))
    this.#tasks.add(running)
  }

  /** Counts work that its caller waits for, and hears of, as a task too. */
  track<T>(work: Promise<T>): Promise<T> {
    const running = work
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => this.#tasks.delete(running))
    this.#tasks.add(running)
    return work
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  /** Resolves when every task has ended. */
  async settled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks)
  }
}
