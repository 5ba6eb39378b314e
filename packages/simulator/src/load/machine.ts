/** The state machine that every node of a run replicates: it knows what it has applied, and asks the ground truth whether that is right. */
import type { Entry, RestoreInfo, StateMachine, StateSnapshot } from '@kagami/core/contract'
import type { Ghost } from '../check/ghost.js'
import { operationOf } from '../check/ledger.js'
import { mix } from '../kernel/scheduler.js'

export interface MachineHost {
  readonly label: string
  readonly ghost: Ghost
  /** Whether this copy fails at this entry, though others do not. */
  poisoned(token: string): boolean
}

export class SimMachine implements StateMachine<number> {
  readonly #host: MachineHost
  digest = 0
  count = 0
  incarnation = 0

  constructor(host: MachineHost) {
    this.#host = host
  }

  apply(entry: Entry): number {
    if (this.#host.poisoned(entry.token)) throw new Error('this copy is poisoned')
    const id = operationOf(entry.value)
    this.#host.ghost.applied(this.#host.label, entry, id, this.digest)
    this.digest = mix(this.digest, id)
    this.count = entry.position.index + 1
    this.incarnation = entry.position.incarnation
    return id
  }

  snapshot(): StateSnapshot {
    const state = JSON.stringify({ digest: this.digest, count: this.count, incarnation: this.incarnation })
    return {
      async *persist() {
        yield Buffer.from(state.slice(0, 10))
        yield Buffer.from(state.slice(10))
      },
      release: () => undefined,
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) parts.push(chunk)
    const state = JSON.parse(Buffer.concat(parts).toString()) as { digest: number; count: number; incarnation: number }
    this.digest = state.digest
    this.count = state.count
    this.incarnation = state.incarnation
    this.#host.ghost.restored(this.#host.label, info.token, info.next, this.digest)
  }
}
