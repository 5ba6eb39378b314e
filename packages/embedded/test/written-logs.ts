/** Random logs as processes would have written them that die, or whose power fails, within a write: their files, and what counts of them. */
import fc from 'fast-check'
import { encodeRecord, parse, recordTypes, voidPayload } from '../src/record.js'
import type { RecordType } from '../src/record.js'
import { encodeHeader, seedOf, segmentHeaderBytes } from '../src/segment.js'

export const identity = '0123456789abcdef'.repeat(2)
export const seed = seedOf(identity)
export const mark = encodeRecord(new Uint8Array(0), { type: recordTypes.data, nonce: 0n, synced: 0, seed }).subarray(
  0,
  8,
)

export interface WrittenFile {
  readonly base: number
  /** The end of the last data record before this file. */
  readonly dataEnd: number
  /** With its header. */
  bytes: Buffer
}

export interface WrittenRecord {
  readonly offset: number
  readonly text: string
}

export interface WrittenLog {
  /** The last one is not sealed. */
  readonly files: readonly WrittenFile[]
  /** What was acknowledged, and whatever else is whole. */
  readonly records: readonly WrittenRecord[]
  /** The end of the last of them. */
  readonly end: number
}

type Step =
  | { readonly kind: 'append'; readonly payload: Uint8Array }
  /** What is on the disk of a write: a share of it, in thousandths. */
  | { readonly kind: 'cut'; readonly payload: Uint8Array; readonly share: number }
  | { readonly kind: 'garbage'; readonly bytes: Uint8Array }
  /** Followed by what another process writes that has not read it yet. */
  | { readonly kind: 'seal'; readonly late: Uint8Array; readonly share: number }

export const longestPayload = 500

const payload = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc.uint8Array({ minLength: 200, maxLength: longestPayload }),
  fc.array(fc.constantFrom(...mark), { maxLength: 60 }).map((bytes) => Uint8Array.from(bytes)),
  fc.nat(300).map((length) => Buffer.alloc(length, mark[0])),
  fc.nat(300).map((length) => Buffer.concat([Buffer.alloc(length, mark[0]), Buffer.from('x')])),
)
const share = fc.integer({ min: 1, max: 1000 })

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('append'), payload }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('cut'), payload, share }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('garbage'), bytes: fc.uint8Array({ maxLength: 80 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('seal'), late: payload, share }) },
)

export const writtenLogs: fc.Arbitrary<WrittenLog> = fc.array(step, { maxLength: 14 }).map((steps) => {
  const log = new Writer()
  for (const one of steps) log.take(one)
  return log
})

/** What one parse of a whole file gives. */
export function parseWhole(file: Pick<WrittenFile, 'base' | 'bytes'>): ReturnType<typeof parse> {
  const bytes = file.bytes.subarray(segmentHeaderBytes)
  return parse(bytes, segmentHeaderBytes, undefined, { base: file.base, seed }, Number.POSITIVE_INFINITY)
}

class Writer implements WrittenLog {
  readonly files: WrittenFile[] = []
  readonly records: WrittenRecord[] = []
  end = 0
  #nonce = 0n

  constructor() {
    this.#begin(0)
  }

  take(step: Step): void {
    if (step.kind === 'append') this.#append(step.payload)
    else if (step.kind === 'cut') this.#write(part(this.#encode(recordTypes.data, step.payload), step.share))
    else if (step.kind === 'garbage') this.#leave(step.bytes)
    else this.#seal(part(this.#encode(recordTypes.data, step.late), step.share))
  }

  /** As a writer does that reads its record back: what does not count is written again, and vouched for. */
  #append(payload: Uint8Array): void {
    const file = this.files.at(-1)!
    for (let attempt = 0; attempt < 8; attempt++) {
      const { badFrom } = parseWhole(file)
      if (badFrom !== undefined) this.#write(this.#encode(recordTypes.void, voidPayload(badFrom)))
      this.#write(this.#encode(recordTypes.data, payload))
      if (this.#count(file)) return
    }
    throw new Error('a record can not be read back')
  }

  /** Very rarely it is just what a record lacked that was cut. */
  #leave(garbage: Uint8Array): void {
    this.#write(garbage)
    if (garbage.byteLength > 0) this.#count(this.files.at(-1)!)
  }

  /** Takes the record at the file's end for one that counts; false where none is there. */
  #count(file: WrittenFile): boolean {
    const found = parseWhole(file).records.at(-1)
    if (found?.to !== file.bytes.byteLength) return false
    this.records.push({ offset: file.base + found.from, text: found.payload.toString('hex') })
    this.end = file.base + found.to
    return true
  }

  #seal(late: Uint8Array): void {
    this.#write(this.#encode(recordTypes.seal, new Uint8Array(0)))
    const file = this.files.at(-1)!
    const { sealed, position } = parseWhole(file)
    if (!sealed) return
    this.#write(late)
    this.#begin(file.base + position)
  }

  #begin(base: number): void {
    const header = { base, dataEnd: this.end, identity }
    this.files.push({ ...header, bytes: encodeHeader(header) })
  }

  #encode(type: RecordType, payload: Uint8Array): Buffer {
    return encodeRecord(payload, { type, nonce: this.#nonce++, synced: this.end, seed })
  }

  #write(bytes: Uint8Array): void {
    const file = this.files.at(-1)!
    file.bytes = Buffer.concat([file.bytes, bytes])
  }
}

/** A record that is never whole. */
function part(record: Buffer, share: number): Buffer {
  return record.subarray(0, Math.ceil(((record.byteLength - 1) * share) / 1000))
}
