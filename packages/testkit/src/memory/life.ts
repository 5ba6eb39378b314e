/** The life of one adapter: not started, running, stopped. Decides what a call may expect of it; does nothing else. */
import { KagamiError } from '@kagami/core/contract'
import type { AdapterContext } from '@kagami/core/contract'
import { sharedController } from './waiting.js'

export class Life {
  readonly #adapter: string
  #context: AdapterContext | undefined
  #stop = sharedController()

  constructor(adapter: string) {
    this.#adapter = adapter
  }

  start(context: AdapterContext): void {
    this.#stop = sharedController()
    this.#context = context
  }

  stop(): void {
    this.#stop.abort(new KagamiError('KAGAMI_STOPPED', `the ${this.#adapter} is stopped; start it before using it`))
  }

  /** Aborts at `stop`. */
  get stopped(): AbortSignal {
    return this.#stop.signal
  }

  /** What it was started with. @throws KAGAMI_NOT_STARTED, KAGAMI_STOPPED */
  get context(): AdapterContext {
    this.#stop.signal.throwIfAborted()
    if (this.#context === undefined) {
      throw new KagamiError('KAGAMI_NOT_STARTED', `the ${this.#adapter} is used before start() has resolved`)
    }
    return this.#context
  }
}
