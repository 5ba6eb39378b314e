/**
 * Reads the records of a log in order, from one place up to a limit that is known to be synced. Follows seals from file to
 * file; tells where the log's start has overtaken it, and never jumps.
 */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { LogRecord } from '@kagami/core/contract'
import { read } from './disk.js'
import type { Journal } from './journal.js'
import type { OpenFiles } from './open-files.js'
import { beginsRecord } from './record.js'
import type { Parsed } from './record.js'
import { segmentHeaderBytes } from './segment.js'
import type { Segment } from './segment.js'
import { lostTail, parseOrTell } from './tail.js'

const leastChunkBytes = 64 * 1024
const mostChunkBytes = 1024 * 1024

/** What records add to their payloads, about: for the size of a first read. */
const overheadBytes = 4096

const beginBytes = 8

/** What lies this near to the log's end was written a moment ago, and is in the system's memory. */
const freshBytes = 256 * 1024

/** What lies in the file at the cursor's position. */
interface Glimpse {
  readonly bytes: Buffer
  /** The file has no more. */
  readonly ended: boolean
}

export interface CursorBatch {
  readonly records: readonly LogRecord[]
  readonly next: number
}

export class Cursor {
  readonly #journal: Journal
  readonly #files: OpenFiles
  readonly #from: number
  readonly #chunkBytes: number
  /** Everything below has been given out. */
  #next: number
  #segment: Segment
  /** Everything in the file before this has been parsed. */
  #position: number
  #badFrom: number | undefined
  /** The file's seal has been read, and the next file not entered yet. */
  #sealed = false
  /** Read from `#position` on, and not parsed yet. */
  #rest: Buffer = Buffer.alloc(0)

  private constructor(journal: Journal, files: OpenFiles, from: number, chunkBytes: number) {
    this.#journal = journal
    this.#files = files
    this.#from = from
    this.#chunkBytes = chunkBytes
    this.#next = from
    this.#segment = journal.chain.holding(from)
    this.#position = Math.max(segmentHeaderBytes, from - this.#segment.base)
  }

  /** At the first record at or above `from`, which lies within the log. `chunkBytes` is how much is read at once at most, but for a single record that takes more. */
  static async at(journal: Journal, files: OpenFiles, from: number, chunkBytes = mostChunkBytes): Promise<Cursor> {
    const cursor = new Cursor(journal, files, from, chunkBytes)
    if (from >= journal.end || cursor.#position === segmentHeaderBytes) return cursor
    // An offset need not be where a record begins. Only the way from the file's beginning tells for certain where one does.
    const seen = await cursor.#look(beginBytes)
    if (seen !== undefined && !beginsRecord(seen.bytes)) cursor.#position = segmentHeaderBytes
    return cursor
  }

  /**
   * The next records, about `maxBytes` of them; none only when nothing more lies below `limit`.
   * @throws KAGAMI_LOG_TRUNCATED, KAGAMI_LOG_LOST_TAIL, KAGAMI_LOG_REPLACED
   */
  async read(limit: number, maxBytes: number): Promise<CursorBatch> {
    await this.#journal.refresh()
    const wanted = Math.min(this.#chunkBytes, Math.max(leastChunkBytes, maxBytes + overheadBytes))
    let need = 1
    for (;;) {
      this.#refuseTruncated()
      const left = limit - this.#segment.base - this.#position
      if (left <= 0) return this.#done([], limit)
      if (this.#sealed) {
        // Before anything else is read, also where this failed before: nothing behind a seal counts.
        await this.#follow()
        need = 1
        continue
      }
      let ended = false
      if (this.#rest.byteLength < need) {
        const seen = await this.#look(Math.min(left, Math.max(need, wanted)))
        if (seen === undefined) {
          need = 1
          continue
        }
        this.#rest = seen.bytes
        ended = seen.ended
      }
      const parsed = parseOrTell(this.#segment, this.#rest, this.#position, this.#badFrom, this.#file(), maxBytes)
      this.#rest = this.#rest.subarray(parsed.position - this.#position)
      this.#position = parsed.position
      this.#badFrom = parsed.badFrom
      const records = this.#recordsOf(parsed)
      need = Math.max(1, parsed.need)
      this.#sealed = parsed.sealed
      if (records.length === 0 && parsed.need > this.#rest.byteLength) this.#refuseLost(limit, ended)
      if (records.length > 0) return this.#done(records, limit)
    }
  }

  /**
   * The limit is where a record ends. That it can't be reached is certain only once all bytes up to there have been seen, or all that the file holds: a record that was
   * cut may claim more, and others follow it.
   */
  #refuseLost(limit: number, ended: boolean): void {
    const left = limit - this.#segment.base - this.#position
    if (left > 0 && (ended || this.#rest.byteLength >= left)) throw lostTail(this.#segment, this.#position + left)
  }

  #file(): { readonly base: number; readonly seed: number } {
    return { base: this.#segment.base, seed: this.#journal.seed }
  }

  #recordsOf(parsed: Parsed): LogRecord[] {
    const { base } = this.#segment
    const records: LogRecord[] = []
    for (const record of parsed.records) {
      this.#next = Math.max(this.#next, base + record.to)
      if (base + record.from >= this.#from) {
        records.push({ offset: BigInt(base + record.from), bytes: record.payload })
      }
    }
    return records
  }

  #done(records: readonly LogRecord[], limit: number): CursorBatch {
    if (records.length === 0) this.#next = limit
    if (this.#next >= limit && this.#segment.base + this.#position === limit) {
      this.#journal.passed(this.#segment, this.#position)
    }
    return { records, next: this.#next }
  }

  /** Goes on in the file behind the seal that was read just now. */
  async #follow(): Promise<void> {
    if (this.#enterNext()) return
    await this.#journal.chain.load()
    this.#refuseTruncated()
    if (!this.#enterNext()) throw lostTail(this.#segment, this.#position)
  }

  /** Goes on where all is that has not been given out; false where that is no later file, as far as is known. To be called when the present one has nothing more. */
  #enterNext(): boolean {
    const segment = this.#journal.chain.holding(this.#next)
    if (segment.base <= this.#segment.base) return false
    this.#files.forget(this.#segment)
    this.#segment = segment
    this.#position = segmentHeaderBytes
    this.#badFrom = undefined
    this.#sealed = false
    this.#rest = Buffer.alloc(0)
    return true
  }

  #refuseTruncated(): void {
    const { start } = this.#journal.chain
    if (this.#next < start) throw truncated(this.#journal, this.#next)
  }

  /**
   * What lies at the position, at most `length` bytes. Undefined where the file had been read, and was truncated away before its seal was: then it goes on in the next
   * one.
   */
  async #look(length: number): Promise<Glimpse | undefined> {
    const recent = this.#journal.recent
    if (recent?.segment.base === this.#segment.base && recent.position <= this.#position) {
      const at = this.#position - recent.position
      // A copy, because what is read belongs to the reader. Others may have written behind it, so it tells nothing of the file's end.
      if (at < recent.bytes.byteLength) {
        return { bytes: Buffer.from(recent.bytes.subarray(at, at + length)), ended: false }
      }
    }
    const buffer = Buffer.allocUnsafeSlow(length)
    // A local file gives fewer bytes than it is asked for only where it has no more.
    const glimpse = (got: number): Glimpse => ({ bytes: buffer.subarray(0, got), ended: got < length })
    const fresh = length <= freshBytes && this.#journal.end - this.#segment.base - this.#position <= freshBytes
    const got = fresh ? this.#files.readNow(this.#segment, buffer, this.#position) : undefined
    if (got !== undefined) return glimpse(got)
    try {
      return glimpse(await this.#files.use(this.#segment, (fd) => read(fd, buffer, this.#position)))
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_LOG_REPLACED')) throw error
      await this.#journal.chain.load()
      this.#refuseTruncated()
      // All that it held is below the log's start, and has been given out.
      if (!this.#enterNext()) throw error
      return undefined
    }
  }
}

export function truncated(journal: Journal, offset: number): KagamiError {
  const { start } = journal.chain
  return new KagamiError(
    'KAGAMI_LOG_TRUNCATED',
    `offset ${offset} of log ${journal.address} was truncated away, the log begins at ${start}: restore a snapshot`,
    { details: { offset: String(offset), start: String(start) } },
  )
}
