/** One copy's handle of a log. Ends its own calls when it is closed, and leaves the journal to the other handles. */
import { KagamiError, listenForAbort, orAborted } from '@kagami/core/contract'
import type { CallOptions, LogAddress, LogBatch, Offset, ReadOptions, TokenLog } from '@kagami/core/contract'
import { stopped } from './errors.js'
import type { Alarm } from './alarm.js'
import type { Journal, QueuedAppend } from './journal.js'
import type { OpenFiles } from './open-files.js'
import { read } from './reading.js'

export interface TokenLogParts {
  readonly journal: Journal
  readonly files: OpenFiles
  readonly alarm: Alarm
  readonly maxRecordBytes: number
  /** Makes sure, before the first append, that the log is found under its token. */
  readonly label: () => Promise<void>
  readonly closed: () => void
}

export class EmbeddedTokenLog implements TokenLog {
  readonly address: LogAddress
  readonly identity: string
  readonly #parts: TokenLogParts
  readonly #end = new AbortController()
  #labelled: Promise<void> | undefined

  constructor(parts: TokenLogParts) {
    this.#parts = parts
    this.address = parts.journal.address
    this.identity = parts.journal.identity
  }

  async append(record: Uint8Array, { signal }: CallOptions): Promise<Offset> {
    this.#check(signal)
    const { journal, maxRecordBytes } = this.#parts
    if (record.byteLength > maxRecordBytes) {
      throw new KagamiError(
        'KAGAMI_LOG_REFUSED',
        `a record of ${record.byteLength} bytes; the log takes at most ${maxRecordBytes}`,
      )
    }
    // Encoded at once: whatever happens, the caller's bytes are not looked at again.
    const encoded = journal.encode(record)
    if (this.#labelled === undefined) {
      this.#labelled = this.#parts.label()
      this.#labelled.catch(() => {
        this.#labelled = undefined
      })
    }
    await orAborted(this.#labelled, signal)
    this.#check(signal)
    return BigInt(await this.#append(encoded, signal))
  }

  #append(record: Buffer, signal: AbortSignal): Promise<number> {
    const { journal } = this.#parts
    return new Promise((resolve, reject) => {
      const end = (): void => {
        unlisten()
        unlistenEnd()
      }
      const append: QueuedAppend = {
        record,
        resolve: (offset) => {
          end()
          resolve(offset)
        },
        reject: (error) => {
          end()
          reject(error)
        },
      }
      const abort = (): void => {
        journal.withdraw(append)
        append.reject(signal.aborted ? signal.reason : this.#end.signal.reason)
      }
      const unlisten = listenForAbort(signal, abort)
      const unlistenEnd = listenForAbort(this.#end.signal, abort)
      try {
        journal.enqueue(append)
      } catch (error) {
        append.reject(error)
      }
    })
  }

  read(from: Offset, options: ReadOptions): AsyncIterable<LogBatch> {
    const { journal, files, alarm } = this.#parts
    return read(journal, Number(from), options, { files, alarm, begin: () => this.#begin(options.signal) })
  }

  /** One signal for both ways to end, and nothing of it stays behind on the caller's. */
  #begin(signal: AbortSignal): { readonly signal: AbortSignal; readonly unlink: () => void } {
    this.#check(signal)
    const ending = new AbortController()
    const abort = (): void => ending.abort(signal.aborted ? signal.reason : this.#end.signal.reason)
    const unlisten = [signal, this.#end.signal].map((one) => listenForAbort(one, abort))
    const unlink = (): void => unlisten.forEach((stop) => stop())
    return { signal: ending.signal, unlink }
  }

  async range({ signal }: CallOptions): Promise<{ readonly start: Offset; readonly end: Offset }> {
    this.#check(signal)
    const { journal } = this.#parts
    await this.#until(journal.settle(), signal)
    return { start: BigInt(journal.chain.start), end: BigInt(journal.end) }
  }

  async truncate(before: Offset, { signal }: CallOptions): Promise<void> {
    this.#check(signal)
    await this.#until(this.#parts.journal.truncate(Number(before)), signal)
  }

  async close(): Promise<void> {
    if (this.#end.signal.aborted) return
    this.#end.abort(stopped(`the log at ${this.address}`))
    this.#parts.closed()
  }

  #check(signal: AbortSignal): void {
    if (this.#end.signal.aborted) throw this.#end.signal.reason
    signal.throwIfAborted()
  }

  #until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    return orAborted(orAborted(promise, signal), this.#end.signal)
  }
}
