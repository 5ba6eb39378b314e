/**
 * The bytes of a log file: self-delimiting records, and how a reader finds its way where one was cut short. Pure: no
 * files, no clock.
 *
 * Any process may append at any time, with one write each, and may die within it. So a cut record can be followed by
 * whole ones. Every record begins with the mark, and nowhere else does a writer let the mark occur (it masks a payload that
 * holds it), nor does a record end as the mark begins, or the next one could complete it: so a mark inside what a record claims as
 * its own proves that the record was cut there, to every reader alike.
 * Damage of any other kind is what a power failure leaves of writes that were not synced, or a disk that rots. Each record tells
 * up to where its writer knew the log to be synced; so a later record may prove the second, and reading stops with an error. Else
 * the next writer vouches, by a void record, that nothing from the damage up to there was acknowledged. A writer that can't be
 * certain of where its record lies reads it back by these same rules before it acknowledges it.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** Its first byte does not come again in it: so no occurrence overlaps another, or begins in a cut record and ends in the next mark. */
const mark = Buffer.from([0xd1, 0x4b, 0x67, 0x6d, 0x52, 0x65, 0x63, 0x01])

export const headerBytes = 40

/** The largest payload that is written. Whoever reads keeps no more than this, and a header, to tell what a record is. */
export const maxPayloadBytes = 8 * 1024 * 1024

export const recordTypes = { data: 1, seal: 2, void: 3 } as const
export type RecordType = (typeof recordTypes)[keyof typeof recordTypes]

const maskedFlag = 1

export interface RecordInfo {
  readonly type: RecordType
  /** By which the writer finds its record again. Replaced by another where the payload must be masked. */
  readonly nonce: bigint
  /** The offset below which the writer knew everything to be synced. */
  readonly synced: number
  /** Of the log, so that a record copied from another log is none here. */
  readonly seed: number
}

/**
 * A record, ready to be written.
 * mark 8 · payload length 4 · type 1 · flags 1 · 0 0 · nonce 8 · synced 8 · payload CRC 4 · header CRC 4 · payload
 */
export function encodeRecord(payload: Uint8Array, info: RecordInfo): Buffer {
  const record = Buffer.allocUnsafe(headerBytes + payload.byteLength)
  record.set(payload, headerBytes)
  fillHeader(record, info, 0, info.nonce)
  while (record.indexOf(mark, 1) !== -1 || endsAsMarkBegins(record)) {
    record.set(payload, headerBytes)
    fillHeader(record, info, maskedFlag, randomBytes(8).readBigUInt64LE())
  }
  return record
}

function endsAsMarkBegins(record: Buffer): boolean {
  const tail = record.subarray(1 - mark.byteLength)
  const begin = tail.lastIndexOf(mark[0]!)
  return begin !== -1 && begin + sharedBytes(tail, begin) === tail.byteLength
}

function fillHeader(record: Buffer, info: RecordInfo, flags: number, nonce: bigint): void {
  record.set(mark, 0)
  record.writeUInt32LE(record.byteLength - headerBytes, 8)
  record.writeUInt8(info.type, 12)
  record.writeUInt8(flags, 13)
  record.writeUInt16LE(0, 14)
  record.writeBigUInt64LE(nonce, 16)
  if ((flags & maskedFlag) !== 0) toggleMask(record)
  record.writeBigUInt64LE(BigInt(info.synced), 24)
  record.writeUInt32LE(crc32(record.subarray(headerBytes), info.seed), 32)
  record.writeUInt32LE(crc32(record.subarray(0, 36), info.seed), 36)
}

function toggleMask(record: Buffer): void {
  for (let i = headerBytes; i < record.byteLength; i++) record[i]! ^= record[16 + (i & 7)]!
}

/** The nonce that a written record carries. */
export function nonceOf(record: Buffer): bigint {
  return record.readBigUInt64LE(16)
}

/** The payload of a void record: where in the file the bytes begin that do not count; they end at the void record. */
export function voidPayload(from: number): Uint8Array {
  const payload = Buffer.alloc(8)
  payload.writeBigUInt64LE(BigInt(from))
  return payload
}

/** Whether a record begins here, as far as eight bytes tell. */
export function beginsRecord(buffer: Buffer): boolean {
  return buffer.byteLength >= mark.byteLength && buffer.compare(mark, 0, mark.byteLength, 0, mark.byteLength) === 0
}

export interface ParsedRecord {
  /** Where it begins and ends in the file. */
  readonly from: number
  readonly to: number
  readonly nonce: bigint
  /** A view on the buffer that was parsed. */
  readonly payload: Buffer
}

export interface Parsed {
  /** Data records only. */
  readonly records: readonly ParsedRecord[]
  /** Everything in the file before this is done with. */
  readonly position: number
  /**
   * How many bytes from `position` on are needed to go on for certain. A record that was cut claims bytes that are not there, so fewer do
   * where the next one follows: only who has given all that the file holds may take this for the end for now.
   */
  readonly need: number
  /** The seal was read: nothing behind it in this file counts. */
  readonly sealed: boolean
  /** Where damaged bytes begin that nobody has vouched for yet. */
  readonly badFrom: number | undefined
}

/** Bytes in the middle of a file that are not what was written, and that no writer has vouched for. */
export class DamagedRecord extends Error {
  readonly position: number
  constructor(position: number) {
    super(`damaged bytes at ${position}`)
    this.position = position
  }
}

/**
 * Parses what lies in `buffer`, which begins at `position` of the file, up to about `maxBytes` of payload (but at least one
 * record). `badFrom` is what the previous call gave. Wherever the buffers of several calls end, they give the same as one of the whole file.
 * @throws DamagedRecord
 */
export function parse(
  buffer: Buffer,
  position: number,
  badFrom: number | undefined,
  file: { readonly base: number; readonly seed: number },
  maxBytes: number,
): Parsed {
  const records: ParsedRecord[] = []
  let bad = badFrom
  let bytes = 0
  let at = 0
  const result = (need: number, sealed = false): Parsed => ({
    records,
    position: position + at,
    need,
    sealed,
    badFrom: bad,
  })
  for (;;) {
    if (bad !== undefined) {
      const next = buffer.indexOf(mark, at)
      if (next === -1) {
        // The mark may be half there.
        at = Math.max(at, buffer.byteLength - mark.byteLength + 1)
        return result(buffer.byteLength - at + headerBytes)
      }
      at = next
    }
    const step = stepAt(buffer, at, file.seed)
    if (step.kind === 'short') return result(step.need)
    if (step.kind === 'cut') {
      at = step.to
      continue
    }
    if (step.kind === 'bad') {
      bad ??= position + at
      at++
      continue
    }
    const { to, type, payload } = step
    if (bad !== undefined) {
      if (type === recordTypes.void && Number(payload.readBigUInt64LE()) === bad) bad = undefined
      else if (buffer.readBigUInt64LE(at + 24) > file.base + bad) throw new DamagedRecord(bad)
      at = to
      continue
    }
    if (type === recordTypes.data) {
      if (records.length > 0 && bytes + payload.byteLength > maxBytes) return result(0)
      records.push({ from: position + at, to: position + to, nonce: buffer.readBigUInt64LE(at + 16), payload })
      bytes += payload.byteLength
    }
    at = to
    if (type === recordTypes.seal) return result(0, true)
    if (bytes >= maxBytes) return result(0)
  }
}

type Step =
  | { readonly kind: 'record'; readonly type: number; readonly to: number; readonly payload: Buffer }
  /** Cut short by the record that begins at `to`. */
  | { readonly kind: 'cut'; readonly to: number }
  | { readonly kind: 'short'; readonly need: number }
  | { readonly kind: 'bad' }

function stepAt(buffer: Buffer, at: number, seed: number): Step {
  const here = buffer.byteLength - at
  const same = sharedBytes(buffer, at)
  if (same < Math.min(here, mark.byteLength)) {
    // Cut within its mark, and followed by the next.
    return same > 0 && buffer[at + same] === mark[0] ? { kind: 'cut', to: at + same } : { kind: 'bad' }
  }
  if (here < headerBytes) return cutBefore(buffer, at, headerBytes) ?? { kind: 'short', need: headerBytes }
  if (crc32(buffer.subarray(at, at + 36), seed) !== buffer.readUInt32LE(at + 36)) {
    return cutBefore(buffer, at, headerBytes) ?? { kind: 'bad' }
  }
  const length = headerBytes + buffer.readUInt32LE(at + 8)
  if (length > headerBytes + maxPayloadBytes) return { kind: 'bad' }
  if (here < length) return cutBefore(buffer, at, length) ?? { kind: 'short', need: length }
  const payload = buffer.subarray(at + headerBytes, at + length)
  if (crc32(payload, seed) !== buffer.readUInt32LE(at + 32)) return cutBefore(buffer, at, length) ?? { kind: 'bad' }
  if ((buffer.readUInt8(at + 13) & maskedFlag) !== 0) return unmasked(buffer, at, length)
  return { kind: 'record', type: buffer.readUInt8(at + 12), to: at + length, payload }
}

/** How many bytes at `at` are those of the mark. */
function sharedBytes(buffer: Buffer, at: number): number {
  let same = 0
  while (same < mark.byteLength && at + same < buffer.byteLength && buffer[at + same] === mark[same]) same++
  return same
}

/** The next record, where it begins within the first `length` bytes of this one. */
function cutBefore(buffer: Buffer, at: number, length: number): Step | undefined {
  const end = at + length
  const next = buffer.subarray(0, end + mark.byteLength - 1).indexOf(mark, at + 1)
  if (next !== -1 && next < end) return { kind: 'cut', to: next }
  // The next mark may be there in part only, at the end of what has been read so far. Bytes that look like it are no reason to ask for less than the whole.
  const half = buffer.lastIndexOf(mark[0]!)
  const isHalf = half > at && half < end && half + sharedBytes(buffer, half) === buffer.byteLength
  return isHalf ? { kind: 'short', need: Math.max(length, half - at + mark.byteLength) } : undefined
}

function unmasked(buffer: Buffer, at: number, length: number): Step {
  // A copy: the buffer may be parsed again.
  const record = Buffer.from(buffer.subarray(at, at + length))
  toggleMask(record)
  return { kind: 'record', type: buffer.readUInt8(at + 12), to: at + length, payload: record.subarray(headerBytes) }
}
