/**
 * Which requests have taken effect, as a part of the replicated state: a retry of one that has is answered again instead of
 * applied again. Bounded: the newest answers of the clients that wrote last. Draws no conclusion from time.
 */
import type { SnapshotMap } from 'kagami'
import { endOf, prefixes, type Cell, type ClientCell } from './cells.js'
import type { Outcome, RequestId } from './command.js'

export interface RequestLimits {
  /** Answers kept per client and token, those of the highest numbers: a client may have as many writes under way. */
  readonly answersPerClient: number
  /** Clients kept per token, those that wrote last. A client that is forgotten must not retry what it sent before. */
  readonly clients: number
}

export const requestLimits: RequestLimits = { answersPerClient: 64, clients: 1024 }

/** A view of the requests within a token's map. `clients` is the number of them in the map. */
export class Requests {
  readonly #cells: SnapshotMap<Cell>
  readonly #limits: RequestLimits
  #clients: number

  constructor(cells: SnapshotMap<Cell>, clients: number, limits: RequestLimits) {
    this.#cells = cells
    this.#clients = clients
    this.#limits = limits
  }

  get clients(): number {
    return this.#clients
  }

  /** What the request was answered, or 'forgotten'; undefined where it is new. */
  find({ client, number }: RequestId): Outcome | 'forgotten' | undefined {
    const cell = this.#cells.get(prefixes.client + client) as ClientCell | undefined
    if (cell === undefined) return undefined
    if (number <= cell.floor) return 'forgotten'
    return cell.answers.find((answer) => answer.number === number)?.outcome
  }

  /** Keeps the answer of a request that {@link find} does not know. `index` is the entry's, and grows. */
  remember({ client, number }: RequestId, outcome: Outcome, index: number): void {
    const key = prefixes.client + client
    const before = this.#cells.get(key) as ClientCell | undefined
    const answers = [...(before?.answers ?? [])]
    const at = answers.findLastIndex((answer) => answer.number < number) + 1
    answers.splice(at, 0, { number, outcome })
    let floor = before?.floor ?? 0
    if (answers.length > this.#limits.answersPerClient) floor = answers.shift()?.number ?? floor
    this.#cells.set(key, { floor, usedAt: index, answers })
    if (before === undefined) this.#clients += 1
    else this.#cells.delete(useKey(before.usedAt))
    this.#cells.set(useKey(index), client)
    if (this.#clients > this.#limits.clients) this.#forgetOldest()
  }

  #forgetOldest(): void {
    const range = { from: prefixes.use, to: endOf(prefixes.use) }
    for (const [key, client] of this.#cells.entries(range)) {
      this.#cells.delete(key)
      this.#cells.delete(prefixes.client + (client as string))
      this.#clients -= 1
      return
    }
  }
}

/** Of one length, so that the order of keys is the order of indexes. */
function useKey(index: number): string {
  return prefixes.use + String(index).padStart(16, '0')
}
