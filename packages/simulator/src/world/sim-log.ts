/** One process's commit log: keeps the contract, and nothing beyond it, as the faults of the run will have it. */
import { KagamiError } from '@kagami/core/contract'
import type { CallOptions, CommitLog, LogAddress, LogBatch, Offset, ReadOptions, TokenLog } from '@kagami/core/contract'
import type { SimProcess } from '../kernel/process.js'
import type { LogServer, StoredLog } from './log-server.js'
import { Call, Scope, Wire, type World } from './wire.js'

/** A reader rides out an outage of so long by itself. */
const outageMs = 60_000

export function simCommitLog(world: World, process: SimProcess, server: LogServer): CommitLog {
  return new SimCommitLog(world, process, server)
}

class SimCommitLog implements CommitLog {
  readonly name = 'simulated'
  readonly maxRecordBytes = 1_048_576
  readonly appendsInFlight: number
  readonly #wire: Wire
  readonly #server: LogServer
  readonly #scope = new Scope()

  constructor(world: World, process: SimProcess, server: LogServer) {
    this.#wire = new Wire(world, process, unavailable)
    this.#server = server
    this.appendsInFlight = 1 + world.chance.below(4)
  }

  async start(context: { readonly signal: AbortSignal }): Promise<void> {
    await this.#request(context, () => undefined)
  }

  async stop(): Promise<void> {
    this.#scope.end(stopped())
  }

  allocate(token: string, inUse: ReadonlySet<LogAddress>, options: CallOptions): Promise<LogAddress> {
    return this.#request(options, () => this.#server.allocate(token, inUse))
  }

  find(token: string, inUse: ReadonlySet<LogAddress>, options: CallOptions): Promise<readonly LogAddress[]> {
    return this.#request(options, () => this.#server.find(token, inUse))
  }

  async open(address: LogAddress, options: CallOptions & { readonly token: string }): Promise<TokenLog> {
    return this.#request(options, () => {
      const log = this.#server.logs.get(address)
      if (log === undefined) throw new KagamiError('KAGAMI_LOG_REPLACED', `no log is at ${address}`)
      return new SimTokenLog(this.#wire, this.#server, this.#scope, log, options.token)
    })
  }

  release(address: LogAddress, before: Offset, options: CallOptions): Promise<void> {
    return this.#request(options, () => {
      const log = this.#server.logs.get(address)
      if (log !== undefined) this.#server.drop(log, before, 'release')
    })
  }

  #request<T>(options: CallOptions, serve: () => T): Promise<T> {
    return request(this.#wire, this.#scope, options, serve)
  }
}

class SimTokenLog implements TokenLog {
  readonly address: LogAddress
  readonly identity: string
  readonly #wire: Wire
  readonly #server: LogServer
  readonly #adapter: Scope
  readonly #scope = new Scope()
  readonly #log: StoredLog
  readonly #token: string

  constructor(wire: Wire, server: LogServer, adapter: Scope, log: StoredLog, token: string) {
    this.#wire = wire
    this.#server = server
    this.#adapter = adapter
    this.#log = log
    this.#token = token
    this.address = log.address
    this.identity = log.identity
    adapter.add((error) => this.#scope.end(error))
  }

  async append(record: Uint8Array, options: CallOptions): Promise<Offset> {
    options.signal.throwIfAborted()
    this.#adapter.throwIfOver()
    this.#scope.throwIfOver()
    const { world, process } = this.#wire
    const { chance, trace } = world
    const call = new Call<Offset>(options.signal, this.#scope)
    // Some land after the call has settled, when the bytes are the caller's again.
    const bytes = Uint8Array.from(record)
    const fate = this.#fate()
    if (fate.name !== 'usual') trace.count(`fault.${fate.name}`)
    const fail = (afterMs: number): void => void process.after(afterMs, () => call.reject(fate.error ?? unavailable()))
    fate.landsMs.forEach((landsMs, i) =>
      world.scheduler.after(landsMs, undefined, () => {
        // What has not left a killed process's socket is lost with it.
        if (process.state === 'dead' && i === 0 && landsMs < 50 && chance.happens(0.3)) return
        const offset = this.#server.append(this.#log, this.#token, bytes)
        if (i === 0 && fate.failsMs === undefined) {
          process.after(this.#wire.wayMs(), () => {
            if (process.isCutFrom('log')) fail(chance.between(20, 400))
            else call.resolve(offset)
          })
        }
      }),
    )
    if (fate.failsMs !== undefined) fail(fate.failsMs)
    // An answer that does not come is given up.
    process.after(800, () => call.reject(unavailable()))
    return call.promise
  }

  #fate(): { name: string; landsMs: number[]; failsMs?: number; error?: KagamiError } {
    const { world, process } = this.#wire
    const { faults, chance } = world
    const wayMs = this.#wire.wayMs()
    if (!process.reaches('log')) {
      // A connection that is cut may have let the request through just before.
      return { name: 'usual', landsMs: chance.happens(0.1) ? [wayMs] : [], failsMs: chance.between(20, 400) }
    }
    if (faults.happens('appendDelayed'))
      return { name: 'appendDelayed', landsMs: [chance.between(5, chance.happens(0.3) ? 4000 : 300)] }
    if (faults.happens('appendAnswerLost'))
      return { name: 'appendAnswerLost', landsMs: [wayMs], failsMs: wayMs + chance.between(0, 50) }
    if (faults.happens('appendLandsLate')) {
      const failsMs = chance.between(0, 20)
      return {
        name: 'appendLandsLate',
        landsMs: [failsMs + chance.between(0, chance.happens(0.3) ? 4000 : 200)],
        failsMs,
      }
    }
    if (faults.happens('appendDuplicated')) {
      return { name: 'appendDuplicated', landsMs: [wayMs, wayMs + chance.between(0, chance.happens(0.3) ? 4000 : 100)] }
    }
    if (faults.happens('appendDropped')) return { name: 'appendDropped', landsMs: [], failsMs: chance.between(0, 50) }
    if (faults.happens('appendFull')) {
      const error = new KagamiError('KAGAMI_STORE_FULL', 'the log has no room left', { retryable: true })
      return { name: 'appendFull', landsMs: [], failsMs: wayMs, error }
    }
    if (faults.happens('appendRefused')) {
      const error = new KagamiError('KAGAMI_LOG_REFUSED', 'the log does not take this from this node')
      return { name: 'appendRefused', landsMs: chance.happens(0.3) ? [wayMs] : [], failsMs: wayMs, error }
    }
    return { name: 'usual', landsMs: [wayMs] }
  }

  async *read(from: Offset, options: ReadOptions): AsyncGenerator<LogBatch, void, void> {
    let next = from
    let atEnd = false
    for (;;) {
      const batch: LogBatch = await this.#fetch(next, atEnd, options)
      next = batch.next
      atEnd = batch.next === batch.end
      yield batch
    }
  }

  /** The records from `from` on; at the end, waits for more, but answers in time. */
  async #fetch(from: Offset, wait: boolean, options: ReadOptions): Promise<LogBatch> {
    options.signal.throwIfAborted()
    this.#adapter.throwIfOver()
    this.#scope.throwIfOver()
    const { world, process } = this.#wire
    const { scheduler, chance, faults, trace } = world
    const call = new Call<LogBatch>(options.signal, this.#scope)
    const startedMs = scheduler.nowMs
    let slowMs = 0
    if (faults.happens('readSlow')) {
      slowMs = chance.between(10, 1500)
      trace.count('fault.readSlow')
    }
    const ask = (waits: boolean): void =>
      void scheduler.after(this.#wire.wayMs(), undefined, () => {
        if (call.settled) return
        if (!process.reaches('log')) return retry()
        if (waits && this.#log.end === from) {
          const timer = scheduler.after(options.lookMs, undefined, () => {
            forget()
            answer()
          })
          const forget = this.#log.onChange(() => {
            timer.cancel()
            answer()
          })
        } else answer()
      })
    const retry = (): void =>
      void process.after(chance.between(20, 200), () => {
        if (call.settled) return
        if (scheduler.nowMs > startedMs + outageMs) call.reject(unavailable())
        else ask(false)
      })
    const answer = (): void => {
      if (call.settled) return
      let settle: () => void
      try {
        const batch = this.#take(from, options.maxBatchBytes)
        settle = () => call.resolve(batch)
      } catch (error) {
        settle = () => call.reject(error)
      }
      process.after(this.#wire.wayMs() + slowMs, () => (process.isCutFrom('log') ? retry() : settle()))
    }
    ask(wait)
    return call.promise
  }

  #take(from: Offset, maxBytes: number): LogBatch {
    const log = this.#log
    if (from < log.start)
      throw new KagamiError('KAGAMI_LOG_TRUNCATED', `offset ${from} is gone; ${log.address} starts at ${log.start}`)
    if (from > log.end)
      throw new KagamiError('KAGAMI_LOG_LOST_TAIL', `offset ${from} lies above the end of ${log.address}, ${log.end}`)
    const { chance } = this.#wire.world
    const first = log.indexOf(from)
    const most = chance.happens(0.3) ? 1 + chance.below(3) : 200
    const records = []
    let bytes = 0
    for (let i = first; i < log.records.length && records.length < most; i++) {
      const record = log.records[i]!
      bytes += record.bytes.length
      if (records.length > 0 && bytes > maxBytes) break
      records.push({ offset: record.offset, bytes: Uint8Array.from(record.bytes) })
    }
    const last = first + records.length
    return { records, next: last === log.records.length ? log.end : records.at(-1)!.offset + 1n, end: log.end }
  }

  range(options: CallOptions): Promise<{ readonly start: Offset; readonly end: Offset }> {
    return this.#request(options, () => ({ start: this.#log.start, end: this.#log.end }))
  }

  truncate(before: Offset, options: CallOptions): Promise<void> {
    return this.#request(options, () => this.#server.drop(this.#log, before, 'truncate'))
  }

  async close(): Promise<void> {
    this.#scope.end(stopped())
  }

  async #request<T>(options: CallOptions, serve: () => T): Promise<T> {
    this.#adapter.throwIfOver()
    return request(this.#wire, this.#scope, options, serve)
  }
}

function request<T>(wire: Wire, scope: Scope, options: CallOptions, serve: () => T): Promise<T> {
  const { faults, chance, trace } = wire.world
  const failed = faults.happens('logCallFailed')
  if (failed) trace.count('fault.logCallFailed')
  const refused = failed && chance.happens(0.5)
  return wire.request(serve, scope, { to: 'log', signal: options.signal, refused, unanswered: failed && !refused })
}

function unavailable(): KagamiError {
  return new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'the log can not be reached now; try again', { retryable: true })
}

function stopped(): KagamiError {
  return new KagamiError('KAGAMI_STOPPED', 'the log is closed')
}
