/**
 * The end of a log as this process knows it: parses what has been appended, by whomever, follows seals into the next file,
 * and creates that file where it is missing. Every call is made one at a time, by the journal.
 */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { Chain } from './chain.js'
import { read, sync } from './disk.js'
import type { Gate } from './gate.js'
import { gone, stateOf } from './open-files.js'
import type { OpenFiles } from './open-files.js'
import { DamagedRecord, parse } from './record.js'
import type { ParsedRecord } from './record.js'
import { segmentHeaderBytes } from './segment.js'
import type { Segment } from './segment.js'

/** How much is read at once, unless a single record takes more. */
const mostChunkBytes = 1024 * 1024

export class Tail {
  readonly #chain: Chain
  readonly #files: OpenFiles
  readonly #syncs: Gate
  readonly #seed: number
  readonly #chunkBytes: number
  segment: Segment
  /** Everything in the file before this has been parsed. */
  position = segmentHeaderBytes
  /** The file's size when it was looked at last. Beyond `position` lies what is cut short, or damaged. */
  size = segmentHeaderBytes
  /** Where damaged bytes begin at the file's end, that the next writer must vouch for. */
  badFrom: number | undefined
  /** The end of the last data record. */
  dataEnd: number
  /** The file's seal has been read, and the next file not entered yet. */
  #sealed = false

  /** `chunkBytes` is how much is read at once; it changes nothing of what is found. */
  constructor(chain: Chain, files: OpenFiles, syncs: Gate, seed: number, chunkBytes = mostChunkBytes) {
    this.#chain = chain
    this.#files = files
    this.#syncs = syncs
    this.#seed = seed
    this.#chunkBytes = chunkBytes
    this.segment = chain.last
    this.dataEnd = chain.last.dataEnd
  }

  /**
   * Parses up to the end of the last file. `found` is told of each data record and its offset's base.
   * @throws KAGAMI_LOG_REPLACED, KAGAMI_LOG_LOST_TAIL
   */
  async advance(found?: (record: ParsedRecord, segment: Segment) => void): Promise<void> {
    for (;;) {
      try {
        if (!this.#sealed) await this.#files.use(this.segment, (fd) => this.#parseFile(fd, found))
        if (!this.#sealed) return
        await this.#follow()
      } catch (error) {
        if (!isKagamiError(error, 'KAGAMI_LOG_REPLACED')) throw error
        // Or it was sealed and truncated away before this process could read the seal.
        if (!(await this.#enterLast())) throw error
      }
    }
  }

  /** A reader has come further than this, so that needn't be parsed again. */
  skipTo(segment: Segment, position: number): void {
    if (segment.base < this.segment.base || (segment.base === this.segment.base && position <= this.position)) return
    this.segment = segment
    this.position = position
    this.size = position
    this.badFrom = undefined
    this.#sealed = false
    this.dataEnd = segment.base + position
  }

  async #parseFile(fd: number, found?: (record: ParsedRecord, segment: Segment) => void): Promise<void> {
    const { size, named } = stateOf(fd)
    if (size < this.position) throw lostTail(this.segment, this.position)
    let want = this.#chunkBytes
    while (this.position < size) {
      const buffer = Buffer.allocUnsafe(Math.min(want, size - this.position))
      const seen = this.position + buffer.byteLength
      // A local file gives fewer bytes than it is asked for only where it has no more: it was shortened just now.
      if ((await read(fd, buffer, this.position)) < buffer.byteLength) throw lostTail(this.segment, seen)
      const file = { base: this.segment.base, seed: this.#seed }
      const parsed = parseOrTell(this.segment, buffer, this.position, this.badFrom, file)
      this.position = parsed.position
      this.badFrom = parsed.badFrom
      for (const record of parsed.records) {
        this.dataEnd = this.segment.base + record.to
        found?.(record, this.segment)
      }
      if (parsed.sealed) {
        this.#sealed = true
        return
      }
      // A record that was cut may claim more than the file has, and others follow it: only here is it certain that none does.
      if (seen === size) break
      want = Math.max(this.#chunkBytes, parsed.need)
    }
    this.size = size
    // A file without a name was deleted; one that is sealed, by truncation, any other, by a stranger.
    if (!named) throw gone(this.segment)
  }

  /** Goes on in the log's last file: those between hold nothing of this process's, and are durable. Begins it where there is none behind the seal. */
  async #follow(): Promise<void> {
    const left = this.segment
    if (!(await this.#enterLast())) {
      const header = { identity: left.identity, base: left.base + this.position, dataEnd: this.dataEnd }
      const last = await this.#files.use(left, async (fd) => {
        // Whatever lies in a file that has a successor must be durable: nobody syncs it again.
        await this.#syncs.run(() => sync(fd))
        return this.#chain.extend(header, () => stateOf(fd).named)
      })
      this.#enter(last)
    }
    this.#files.forget(left)
  }

  /** False where there is no file behind this one. */
  async #enterLast(): Promise<boolean> {
    await this.#chain.load()
    const { last } = this.#chain
    if (last.base <= this.segment.base) return false
    this.#enter(last)
    return true
  }

  #enter(segment: Segment): void {
    this.segment = segment
    this.position = segmentHeaderBytes
    this.size = segmentHeaderBytes
    this.badFrom = undefined
    this.#sealed = false
    this.dataEnd = segment.dataEnd
  }
}

/** Parses, with the damage told as the contract's error. */
export function parseOrTell(
  segment: Segment,
  buffer: Buffer,
  position: number,
  badFrom: number | undefined,
  file: { readonly base: number; readonly seed: number },
  maxBytes = Number.POSITIVE_INFINITY,
): ReturnType<typeof parse> {
  try {
    return parse(buffer, position, badFrom, file, maxBytes)
  } catch (error) {
    if (!(error instanceof DamagedRecord)) throw error
    throw new KagamiError(
      'KAGAMI_LOG_LOST_TAIL',
      `${segment.path} is damaged at byte ${error.position}, below records that were acknowledged later: restore the file from a backup, or remove the token and create it anew`,
      { details: { path: segment.path, position: error.position } },
    )
  }
}

export function lostTail(segment: Segment, position: number): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_LOST_TAIL',
    `${segment.path} ends before byte ${position}, up to where it had been read: it lost records that were acknowledged`,
    { details: { path: segment.path, position } },
  )
}
