/**
 * The server side of the in-memory commit log: every log of the world, and the faults that a test may inject. It never
 * waits; the adapter does.
 */
import { badOption, KagamiError, refuseUnknownOptions } from '@kagami/core/contract'
import type { LogAddress, LogRecord, Offset, Random } from '@kagami/core/contract'
import { Reach } from './reach.js'
import type { Mend } from './reach.js'
import { Bell } from './waiting.js'

/** What a test does to the logs of a world. A node is named by its id. */
export interface MemoryLogControls {
  /** The addresses that exist, in the order of their creation. */
  addresses(): readonly LogAddress[]
  /** The records that a log holds. The bytes are the log's own: changing them corrupts the log. */
  records(address: LogAddress): readonly LogRecord[]
  /** Makes the logs unreachable, for one node or for all, until the returned function is called. */
  cut(node?: string): Mend
  /** Refuses appends with KAGAMI_STORE_FULL until the returned function is called. */
  fill(): Mend
  /** Fails the next appends, of one node or of any, with KAGAMI_LOG_UNAVAILABLE; `landed` says whether the records land all the same. */
  failAppends(count: number, options: { readonly landed: boolean; readonly node?: string }): void
  /** Drops the newest `count` records of a log, which had been acknowledged: their offsets will be given again. */
  loseTail(address: LogAddress, count: number): void
  /** Deletes a log and creates it anew, empty, with another identity: whoever has it open is told KAGAMI_LOG_REPLACED. */
  recreate(address: LogAddress): void
  /** Deletes a log, with its address. */
  remove(address: LogAddress): void
}

/** How the offsets of a world's logs run. Only their order means anything, so a test may choose odd ones. */
export interface MemoryOffsetOptions {
  /** The first offset of each log. @default 0n */
  readonly first?: Offset
  /** The distance between two records. @default 1n */
  readonly step?: bigint
}

const offsetNames: Readonly<Record<keyof MemoryOffsetOptions, true>> = { first: true, step: true }

interface StoredRecord extends LogRecord {
  readonly token: string
}

/** One log. Replaced by another object when it is deleted and created anew. */
export class StoredLog {
  readonly cluster: string
  readonly address: LogAddress
  readonly identity: string
  /** Rings when something was appended, dropped, or when the log was replaced. */
  readonly changed = new Bell()
  replaced = false
  start: Offset
  end: Offset
  readonly #step: bigint
  #records: StoredRecord[] = []
  /** How many records each token has here, so that `find` need not read them all. */
  readonly #labels = new Map<string, number>()

  constructor(cluster: string, address: LogAddress, identity: string, first: Offset, step: bigint) {
    this.cluster = cluster
    this.address = address
    this.identity = identity
    this.start = first
    this.end = first
    this.#step = step
  }

  get records(): readonly LogRecord[] {
    return this.#records
  }

  holds(token: string): boolean {
    return this.#labels.has(token)
  }

  append(token: string, bytes: Uint8Array): Offset {
    const offset = this.#records.length === 0 ? this.end : this.end - 1n + this.#step
    // Not `slice`, which of a Buffer gives a view.
    this.#records.push({ offset, bytes: new Uint8Array(bytes), token })
    this.#labels.set(token, (this.#labels.get(token) ?? 0) + 1)
    this.end = offset + 1n
    this.changed.ring()
    return offset
  }

  /** The index of the first record at or above `from`. */
  indexOf(from: Offset): number {
    let low = 0
    let high = this.#records.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#records[middle]!.offset < from) low = middle + 1
      else high = middle
    }
    return low
  }

  dropBelow(before: Offset): void {
    const bound = before < this.end ? before : this.end
    if (bound <= this.start) return
    this.#forget(this.#records.splice(0, this.indexOf(bound)))
    this.start = bound
    this.changed.ring()
  }

  loseTail(count: number): void {
    this.#forget(this.#records.splice(Math.max(0, this.#records.length - count)))
    const last = this.#records.at(-1)
    this.end = last === undefined ? this.start : last.offset + 1n
    this.changed.ring()
  }

  replace(): void {
    this.replaced = true
    this.changed.ring()
  }

  #forget(records: readonly StoredRecord[]): void {
    for (const { token } of records) {
      const left = (this.#labels.get(token) ?? 0) - 1
      if (left > 0) this.#labels.set(token, left)
      else this.#labels.delete(token)
    }
  }
}

export class LogServer implements MemoryLogControls {
  readonly reach = new Reach()
  readonly #random: Random
  readonly #first: Offset
  readonly #step: bigint
  readonly #logs = new Map<LogAddress, StoredLog>()
  #created = 0
  #fills = 0
  #failing: { node: string | undefined; landed: boolean }[] = []

  constructor(random: Random, offsets: MemoryOffsetOptions) {
    this.#random = random
    if (typeof offsets !== 'object' || offsets === null) throw badOption('offsets', offsets, 'an object')
    refuseUnknownOptions(offsets, Object.keys(offsetNames), 'offsets')
    this.#first = atLeast('offsets.first', offsets.first ?? 0n, 0n)
    this.#step = atLeast('offsets.step', offsets.step ?? 1n, 1n)
  }

  get full(): boolean {
    return this.#fills > 0
  }

  get(cluster: string, address: LogAddress): StoredLog | undefined {
    const log = this.#logs.get(address)
    return log?.cluster === cluster ? log : undefined
  }

  allocate(cluster: string, inUse: ReadonlySet<LogAddress>): LogAddress {
    for (const log of this.#logs.values()) {
      if (log.cluster === cluster && log.records.length === 0 && !inUse.has(log.address)) return log.address
    }
    let address: LogAddress
    do {
      this.#created += 1
      address = `log-${this.#created}`
    } while (inUse.has(address))
    this.#create(cluster, address)
    return address
  }

  find(cluster: string, token: string, inUse: ReadonlySet<LogAddress>): readonly LogAddress[] {
    return [...this.#logs.values()]
      .filter((log) => log.cluster === cluster && !inUse.has(log.address) && log.holds(token))
      .map((log) => log.address)
  }

  /** The failure that a test has ordered for the next append of this node, if any. */
  takeFailure(node: string): { readonly landed: boolean } | undefined {
    const index = this.#failing.findIndex((failure) => failure.node === undefined || failure.node === node)
    return index < 0 ? undefined : this.#failing.splice(index, 1)[0]
  }

  addresses(): readonly LogAddress[] {
    return [...this.#logs.keys()]
  }

  records(address: LogAddress): readonly LogRecord[] {
    return this.#at(address).records
  }

  cut(node?: string): Mend {
    return this.reach.cut(node)
  }

  fill(): Mend {
    this.#fills += 1
    let mended = false
    return () => {
      if (!mended) this.#fills -= 1
      mended = true
    }
  }

  failAppends(count: number, options: { readonly landed: boolean; readonly node?: string }): void {
    for (let i = 0; i < count; i++) this.#failing.push({ node: options.node, landed: options.landed })
  }

  loseTail(address: LogAddress, count: number): void {
    this.#at(address).loseTail(count)
  }

  recreate(address: LogAddress): void {
    const old = this.#at(address)
    this.#create(old.cluster, address)
    old.replace()
  }

  remove(address: LogAddress): void {
    const old = this.#at(address)
    this.#logs.delete(address)
    old.replace()
  }

  #create(cluster: string, address: LogAddress): void {
    const identity = this.#random.uint64().toString(16).padStart(16, '0')
    this.#logs.set(address, new StoredLog(cluster, address, identity, this.#first, this.#step))
  }

  #at(address: LogAddress): StoredLog {
    const log = this.#logs.get(address)
    if (log === undefined) throw new KagamiError('KAGAMI_LOG_REPLACED', `no log is at ${address}; see addresses()`)
    return log
  }
}

function atLeast(option: string, value: unknown, least: bigint): bigint {
  if (typeof value === 'bigint' && value >= least) return value
  throw badOption(option, value, `a bigint of at least ${least}n`)
}
