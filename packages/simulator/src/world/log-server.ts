/** The logs of the world: every record that has landed and not been truncated. Keeps what it has acknowledged; tells the checker of each change. */
import type { LogAddress, LogRecord, Offset } from '@kagami/core/contract'
import type { Chance } from '../kernel/chance.js'

/** Told of every change of a log, before anyone can read it. */
export interface LogObserver {
  landed(log: StoredLog, record: StoredRecord): void
  /** Whether an empty log may be given to this token. */
  mayHave(log: StoredLog, token: string): boolean
  /** Before records are dropped. */
  dropping(log: StoredLog, before: Offset, why: 'truncate' | 'release'): void
}

export interface StoredRecord extends LogRecord {
  /** For which token it was appended, as its writer says. */
  readonly token: string
}

export class StoredLog {
  readonly address: LogAddress
  readonly identity: string
  readonly records: StoredRecord[] = []
  start: Offset
  end: Offset
  readonly #waiting = new Set<() => void>()

  constructor(address: LogAddress, identity: string, start: Offset) {
    this.address = address
    this.identity = identity
    this.start = start
    this.end = start
  }

  /** Calls `wake` once, at the next change; gives what takes that back. */
  onChange(wake: () => void): () => void {
    this.#waiting.add(wake)
    return () => this.#waiting.delete(wake)
  }

  changed(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Where the first record with an offset of at least `from` stands. */
  indexOf(from: Offset): number {
    let low = 0
    let high = this.records.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.records[middle]!.offset < from) low = middle + 1
      else high = middle
    }
    return low
  }
}

export class LogServer {
  readonly logs = new Map<LogAddress, StoredLog>()
  readonly #chance: Chance
  readonly #observer: LogObserver

  constructor(chance: Chance, observer: LogObserver) {
    this.#chance = chance
    this.#observer = observer
  }

  /** An empty log: one that was used before, if chance will have it. */
  allocate(token: string, inUse: ReadonlySet<LogAddress>): LogAddress {
    const empty = [...this.logs.values()].filter(
      (log) => log.records.length === 0 && !inUse.has(log.address) && this.#observer.mayHave(log, token),
    )
    const used = this.#chance.happens(0.7) ? this.#chance.pick(empty) : undefined
    if (used !== undefined) return used.address
    const address = `log-${this.logs.size}`
    const start = BigInt(this.#chance.below(1000))
    this.logs.set(address, new StoredLog(address, this.#chance.uint64().toString(16), start))
    return address
  }

  find(token: string, inUse: ReadonlySet<LogAddress>): LogAddress[] {
    return [...this.logs.values()]
      .filter((log) => !inUse.has(log.address) && log.records.some((record) => record.token === token))
      .map((log) => log.address)
  }

  append(log: StoredLog, token: string, bytes: Uint8Array): Offset {
    // Offsets have gaps, as behind transactions; nobody may count them.
    const offset = log.end + BigInt(this.#chance.happens(0.1) ? 1 + this.#chance.below(3) : 0)
    const record = { offset, token, bytes }
    log.records.push(record)
    log.end = offset + 1n
    this.#observer.landed(log, record)
    log.changed()
    return offset
  }

  drop(log: StoredLog, before: Offset, why: 'truncate' | 'release'): void {
    const limit = before < log.end ? before : log.end
    if (limit <= log.start) return
    this.#observer.dropping(log, limit, why)
    log.records.splice(0, log.indexOf(limit))
    log.start = limit
    log.changed()
  }
}
