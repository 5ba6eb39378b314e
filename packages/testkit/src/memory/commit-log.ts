/** The in-memory commit log: one node's adapter to the logs of a world. It keeps no record itself. */
import { badOption, KagamiError, refuseUnknownOptions } from '@kagami/core/contract'
import type {
  AdapterContext,
  CallOptions,
  Clock,
  CommitLog,
  LogAddress,
  LogBatch,
  LogRecord,
  Offset,
  ReadOptions,
  TokenLog,
} from '@kagami/core/contract'
import { Life } from './life.js'
import type { LogServer, StoredLog } from './log-server.js'
import { sharedController, throwIfAny, wait } from './waiting.js'

/** How one node's adapter behaves. */
export interface MemoryCommitLogOptions {
  /** The largest record, in bytes. At least 65_536. @default 1_048_576 */
  readonly maxRecordBytes?: number
  /** Told to core, which keeps so many appends under way. @default 1 */
  readonly appendsInFlight?: number
  /** How long an append takes, by the world's clock, in milliseconds. @default 0 */
  readonly appendMs?: number
}

const names: Readonly<Record<keyof MemoryCommitLogOptions, true>> = {
  maxRecordBytes: true,
  appendsInFlight: true,
  appendMs: true,
}

/** A reader rides out an outage of so long by itself. */
const outageMs = 60_000

export class MemoryCommitLog implements CommitLog {
  readonly name = 'memory'
  readonly maxRecordBytes: number
  readonly appendsInFlight: number
  readonly #server: LogServer
  readonly #clock: Clock
  readonly #appendMs: number
  readonly #life = new Life('commit log')
  readonly #open = new Set<MemoryTokenLog>()

  constructor(server: LogServer, clock: Clock, options: MemoryCommitLogOptions) {
    refuseUnknownOptions(options, Object.keys(names))
    this.#server = server
    this.#clock = clock
    this.maxRecordBytes = options.maxRecordBytes ?? 1_048_576
    this.appendsInFlight = options.appendsInFlight ?? 1
    this.#appendMs = options.appendMs ?? 0
    if (!Number.isInteger(this.maxRecordBytes) || this.maxRecordBytes < 65_536) {
      throw badOption('maxRecordBytes', options.maxRecordBytes, 'a whole number of at least 65536')
    }
    if (!Number.isInteger(this.appendsInFlight) || this.appendsInFlight < 1) {
      throw badOption('appendsInFlight', options.appendsInFlight, 'a whole number of at least 1')
    }
    if (!(this.#appendMs >= 0)) throw badOption('appendMs', options.appendMs, 'milliseconds, 0 or more')
  }

  async start(context: AdapterContext): Promise<void> {
    context.signal.throwIfAborted()
    if (!this.#server.reach.reaches(context.node)) throw unavailable()
    this.#life.start(context)
  }

  async stop(): Promise<void> {
    this.#life.stop()
    // Each by itself: thousands of readers that all listen to one signal would have to be looked through at every wait.
    for (const log of this.#open) log.end(this.#life.stopped.reason)
  }

  async allocate(_token: string, inUse: ReadonlySet<LogAddress>, options: CallOptions): Promise<LogAddress> {
    return this.#server.allocate(this.#reach(options), inUse)
  }

  async find(token: string, inUse: ReadonlySet<LogAddress>, options: CallOptions): Promise<readonly LogAddress[]> {
    return this.#server.find(this.#reach(options), token, inUse)
  }

  async open(address: LogAddress, options: CallOptions & { readonly token: string }): Promise<TokenLog> {
    const log = this.#server.get(this.#reach(options), address)
    if (log === undefined) throw replaced(address)
    const opened: MemoryTokenLog = new MemoryTokenLog({
      log,
      token: options.token,
      node: this.#life.context.node,
      server: this.#server,
      clock: this.#clock,
      maxRecordBytes: this.maxRecordBytes,
      appendMs: this.#appendMs,
      onEnded: () => this.#open.delete(opened),
    })
    this.#open.add(opened)
    return opened
  }

  async release(address: LogAddress, before: Offset, options: CallOptions): Promise<void> {
    this.#server.get(this.#reach(options), address)?.dropBelow(before)
  }

  /** The cluster, where the call may go on. */
  #reach(options: CallOptions): string {
    options.signal.throwIfAborted()
    const { cluster, node } = this.#life.context
    if (!this.#server.reach.reaches(node)) throw unavailable()
    return cluster
  }
}

interface Handle {
  readonly log: StoredLog
  readonly token: string
  readonly node: string
  readonly server: LogServer
  readonly clock: Clock
  readonly maxRecordBytes: number
  readonly appendMs: number
  readonly onEnded: () => void
}

class MemoryTokenLog implements TokenLog {
  readonly #handle: Handle
  readonly #end = sharedController()

  constructor(handle: Handle) {
    this.#handle = handle
  }

  get address(): LogAddress {
    return this.#handle.log.address
  }

  get identity(): string {
    return this.#handle.log.identity
  }

  async append(record: Uint8Array, options: CallOptions): Promise<Offset> {
    const { log, token, node, server, clock, maxRecordBytes, appendMs } = this.#handle
    const signals = this.#signals(options)
    throwIfAny(signals)
    if (record.byteLength > maxRecordBytes) {
      const message = `a record of ${record.byteLength} bytes; this log takes at most ${maxRecordBytes}`
      throw new KagamiError('KAGAMI_LOG_REFUSED', message)
    }
    if (appendMs > 0) await wait({ signals, clock, ms: appendMs })
    this.#check()
    if (server.full) throw new KagamiError('KAGAMI_STORE_FULL', 'the log has no room left', { retryable: true })
    const failure = server.takeFailure(node)
    if (failure !== undefined && !failure.landed) throw unavailable()
    const offset = log.append(token, record)
    if (failure !== undefined) throw unavailable()
    return offset
  }

  async *read(from: Offset, options: ReadOptions): AsyncGenerator<LogBatch, void, void> {
    const { log, server, node, clock } = this.#handle
    const signals = this.#signals(options)
    let next = from
    let looked = false
    let outageBegan: number | undefined
    for (;;) {
      throwIfAny(signals)
      if (log.replaced) throw replaced(this.address)
      if (!server.reach.reaches(node)) {
        outageBegan ??= clock.monotonicMs()
        const leftMs = outageBegan + outageMs - clock.monotonicMs()
        if (leftMs <= 0) throw unavailable()
        await wait({ signals, bells: [server.reach.changed, log.changed], clock, ms: leftMs })
        // The first look after an outage comes at once: the last one is old.
        looked = false
        continue
      }
      outageBegan = undefined
      const batch = this.#take(next, options.maxBatchBytes)
      if (batch.records.length > 0 || !looked) {
        next = batch.next
        looked = true
        yield batch
        continue
      }
      const end = log.end
      const due = clock.monotonicMs() + options.lookMs
      while (log.end === end && !log.replaced && log.start <= next && server.reach.reaches(node)) {
        const leftMs = due - clock.monotonicMs()
        if (leftMs <= 0) break
        await wait({ signals, bells: [server.reach.changed, log.changed], clock, ms: leftMs })
      }
      looked = false
    }
  }

  async range(options: CallOptions): Promise<{ readonly start: Offset; readonly end: Offset }> {
    throwIfAny(this.#signals(options))
    this.#check()
    return { start: this.#handle.log.start, end: this.#handle.log.end }
  }

  async truncate(before: Offset, options: CallOptions): Promise<void> {
    throwIfAny(this.#signals(options))
    this.#check()
    this.#handle.log.dropBelow(before)
  }

  async close(): Promise<void> {
    this.end(new KagamiError('KAGAMI_STOPPED', `the log ${this.address} is closed; open it again`))
  }

  end(reason: unknown): void {
    this.#end.abort(reason)
    this.#handle.onEnded()
  }

  #signals(options: CallOptions): readonly AbortSignal[] {
    return [options.signal, this.#end.signal]
  }

  #check(): void {
    const { log, server, node } = this.#handle
    if (log.replaced) throw replaced(this.address)
    if (!server.reach.reaches(node)) throw unavailable()
  }

  /** The records from `from` on, as they are now. */
  #take(from: Offset, maxBytes: number): LogBatch {
    const { log } = this.#handle
    if (from < log.start) {
      const message = `offset ${from} of the log ${log.address} was truncated; it starts at ${log.start}`
      throw new KagamiError('KAGAMI_LOG_TRUNCATED', message)
    }
    if (from > log.end) {
      const message = `offset ${from} of the log ${log.address} lies above its end, ${log.end}: it has lost records`
      throw new KagamiError('KAGAMI_LOG_LOST_TAIL', message)
    }
    const records: LogRecord[] = []
    let bytes = 0
    for (let i = log.indexOf(from); i < log.records.length; i++) {
      const record = log.records[i]!
      bytes += record.bytes.byteLength
      if (records.length > 0 && bytes > maxBytes) break
      records.push({ offset: record.offset, bytes: record.bytes.slice() })
    }
    const last = records.at(-1)
    return { records, next: last === undefined ? log.end : last.offset + 1n, end: log.end }
  }
}

function unavailable(): KagamiError {
  return new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'the log can not be reached now; try again', { retryable: true })
}

function replaced(address: LogAddress): KagamiError {
  return new KagamiError('KAGAMI_LOG_REPLACED', `the log that was opened at ${address} is not there any more`)
}
