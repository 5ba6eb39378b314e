/** The adapters that a node, or whoever looks at a cluster, uses: starts them one after another, and stops them in the opposite order. */
import type { Adapter, AdapterContext } from '../contract/index.js'
import type { StopDeadline } from './stop-deadline.js'

export class AdapterSet {
  readonly #adapters: readonly Adapter[]

  /** One that has two jobs is started once. */
  constructor(...adapters: readonly Adapter[]) {
    this.#adapters = [...new Set(adapters)]
  }

  /** Where one can't be started, those before it are left for `stop`. */
  async start(context: AdapterContext): Promise<void> {
    for (const adapter of this.#adapters) {
      context.signal.throwIfAborted()
      await adapter.start(context)
    }
  }

  /** Stops each, whatever becomes of the ones before, and whether it was started or not. */
  async stop(deadline: StopDeadline): Promise<void> {
    for (const [i, adapter] of [...this.#adapters].reverse().entries()) {
      const stopping = (): string => `stopping the adapter '${adapter.name}'`
      await deadline.part(1 / (this.#adapters.length - i), stopping, () => adapter.stop())
    }
  }
}
