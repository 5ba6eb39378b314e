/** The typed events of a node. Emitting is synchronous and waits for nobody; a listener that fails is logged and harms nobody. */
import type { Logger } from '../contract/index.js'
import type { KagamiEvents } from './api.js'

type Listener<K extends keyof KagamiEvents> = (payload: KagamiEvents[K]) => void

export class Events {
  readonly #listeners = new Map<keyof KagamiEvents, Set<(payload: never) => void>>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  on<K extends keyof KagamiEvents>(event: K, listener: Listener<K>): () => void {
    const set = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, set)
    set.add(listener)
    return () => set.delete(listener)
  }

  emit<K extends keyof KagamiEvents>(event: K, payload: KagamiEvents[K]): void {
    const failed = (error: unknown): void => this.#logger.error(`a listener of '${event}' failed`, { error })
    for (const listener of [...(this.#listeners.get(event) ?? [])] as Listener<K>[]) {
      try {
        // An asynchronous function passes as a listener, too: nobody else would hear of its rejection, which ends a process.
        const outcome = listener(payload) as unknown
        if (outcome !== undefined) Promise.resolve(outcome).catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }
}
