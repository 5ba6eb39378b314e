/** The state of one token: a part of the keys, the requests that changed them, and, if wanted, a ledger of both. Deterministic. */
import {
  persistMap,
  restoreMap,
  snapshotMap,
  type Entry,
  type Position,
  type RestoreInfo,
  type SnapshotMap,
  type StateMachine,
  type StateSnapshot,
} from 'kagami'
import { decodeCell, encodeCell, endOf, prefixes, type Cell, type CountsCell, type ValueCell } from './cells.js'
import { versionOf, type Command, type Condition, type Outcome } from './command.js'
import { emptyLedger, Ledger } from './ledger.js'
import { requestLimits, Requests, type RequestLimits } from './requests.js'

export interface KvMachineOptions {
  /** Keep a ledger of applied requests. Every node of a cluster must choose the same. */
  readonly ledger: boolean
  readonly requests?: RequestLimits
}

export interface ScanRange {
  /** The first key, if it is there. */
  readonly from: string
  /** The key that the range ends before. */
  readonly to: string | undefined
  readonly limit: number
}

export class KvMachine implements StateMachine<Outcome, Command> {
  readonly schemaVersion = 1
  readonly #options: KvMachineOptions
  #cells!: SnapshotMap<Cell>
  #requests!: Requests
  #ledger: Ledger | undefined

  constructor(options: KvMachineOptions) {
    this.#options = options
    this.#adopt(snapshotMap<Cell>())
  }

  get ledger(): Ledger | undefined {
    return this.#ledger
  }

  get(key: string): ValueCell | undefined {
    return this.#cells.get(prefixes.value + key) as ValueCell | undefined
  }

  /** In the order of keys. */
  scan({ from, to, limit }: ScanRange): readonly (readonly [key: string, cell: ValueCell])[] {
    const end = to === undefined ? endOf(prefixes.value) : prefixes.value + to
    const found: (readonly [string, ValueCell])[] = []
    if (limit <= 0) return found
    for (const [key, cell] of this.#cells.entries({ from: prefixes.value + from, to: end })) {
      found.push([key.slice(prefixes.value.length), cell as ValueCell])
      if (found.length >= limit) break
    }
    return found
  }

  apply({ value: command, position }: Entry<Command>): Outcome {
    const { request } = command
    this.#ledger?.arrived(position)
    const known = request === undefined ? undefined : this.#requests.find(request)
    this.#ledger?.note(request, known === undefined, position)
    if (known === 'forgotten') return this.#untouched(command.key, 'forgotten', position)
    if (known !== undefined) return { ...known, repeated: true }
    const outcome = this.#execute(command, position)
    if (request !== undefined) this.#requests.remember(request, outcome, position.index)
    return outcome
  }

  snapshot(): StateSnapshot {
    const counts: CountsCell = { clients: this.#requests.clients, ledger: this.#ledger?.counts ?? emptyLedger }
    this.#cells.set(prefixes.counts, counts)
    const view = this.#cells.capture()
    return {
      persist: ({ signal }) => persistMap<Cell>(view, encodeCell, { signal }),
      release: () => view.release(),
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
    if (info.schemaVersion !== this.schemaVersion) {
      throw new Error(`a snapshot of schema ${info.schemaVersion}; this version reads ${this.schemaVersion}`)
    }
    this.#adopt(await restoreMap<Cell>(chunks, decodeCell))
  }

  #adopt(cells: SnapshotMap<Cell>): void {
    const counts = cells.get(prefixes.counts) as CountsCell | undefined
    this.#cells = cells
    this.#requests = new Requests(cells, counts?.clients ?? 0, this.#options.requests ?? requestLimits)
    this.#ledger = this.#options.ledger ? new Ledger(cells, counts?.ledger ?? emptyLedger) : undefined
  }

  #execute(command: Command, position: Position): Outcome {
    const cell = prefixes.value + command.key
    const before = this.get(command.key)
    if (!holds(command.condition, before)) return this.#untouched(command.key, 'refused', position)
    const existed = before !== undefined
    if (command.op === 'delete') {
      this.#cells.delete(cell)
      return { status: 'done', existed, version: undefined, position, repeated: false }
    }
    const version = versionOf(position)
    this.#cells.set(cell, { version, value: command.value })
    return { status: 'done', existed, version, position, repeated: false }
  }

  #untouched(key: string, status: 'refused' | 'forgotten', position: Position): Outcome {
    const present = this.get(key)
    return { status, existed: present !== undefined, version: present?.version, position, repeated: false }
  }
}

function holds(condition: Condition, before: ValueCell | undefined): boolean {
  switch (condition.is) {
    case 'any':
      return true
    case 'absent':
      return before === undefined
    case 'present':
      return before !== undefined
    case 'version':
      return before?.version === condition.version
  }
}
