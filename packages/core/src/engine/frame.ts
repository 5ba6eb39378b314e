/**
 * The bytes of a frame, format 1: what one log record holds. Encodes and decodes; never decides whether a frame counts
 * (see admission.ts). ARCHITECTURE.md, "Frames", draws the layout.
 */
import { crc32 } from 'node:zlib'
import { KagamiError } from '../contract/index.js'

/** The version of the layout, which the third byte of every frame tells. */
export const FRAME_FORMAT = 1

const MAGIC = 0x4b67
const KINDS = ['open', 'barrier', 'data', 'marker', 'level'] as const
const FLAG_SKIPPABLE = 1
const FLAG_DELETED = 2
const HEADER_BYTES = 72
const CHECKSUM_BYTES = 4

interface FrameHead {
  readonly token: string
  readonly incarnation: number
  /** Wall clock of the writer, milliseconds since 1970. */
  readonly timeMs: number
}

/** Opens an incarnation; where `deleted`, it ends the one before and opens none that could be written to. */
export interface OpenFrame extends FrameHead {
  readonly kind: 'open'
  /** It ends the incarnation before, and nothing can be written to the one that it opens. */
  readonly deleted: boolean
  /** Of the log that it was written for: a copy that reads it in another one fails with KAGAMI_LOG_REPLACED. */
  readonly address: string
  /** Of the same log; see {@link OpenFrame.address}. */
  readonly identity: string
}

/** Opens an epoch. */
export interface BarrierFrame extends FrameHead {
  readonly kind: 'barrier'
  /** The one that begins here. */
  readonly epoch: number
  /** Drawn at random for each promotion, so that two writers of one epoch are told apart. */
  readonly term: bigint
  /** Entries of the incarnation that its writer had read before: who finds fewer in front of it lacks records. */
  readonly nextIndex: number
}

/** A run of entries. `body` holds them encoded; see {@link decodeEntries}. */
export interface DataFrame extends FrameHead {
  readonly kind: 'data'
  /** Of the barrier before it. */
  readonly epoch: number
  /** Of the barrier before it: frames of another writer are passed over. */
  readonly term: bigint
  /** The seq of its first entry; seqs count from 0 in each epoch. */
  readonly firstSeq: number
  /** The index of its first entry in the incarnation. */
  readonly firstIndex: number
  /** How many entries the body holds. At most 2^32 − 1. */
  readonly count: number
  /** The chain before this frame. */
  readonly chain: bigint
  /** What {@link encodeEntries} gave. */
  readonly body: Uint8Array
}

/** Changes nothing; whoever wrote it learns that it has read up to here. */
export interface MarkerFrame extends FrameHead {
  readonly kind: 'marker'
  /** Drawn at random, so that its writer knows it again. */
  readonly nonce: bigint
}

/** Raises the state machine's level. */
export interface LevelFrame extends FrameHead {
  readonly kind: 'level'
  /** Of the barrier before it. */
  readonly epoch: number
  /** Of the barrier before it: frames of another writer are passed over. */
  readonly term: bigint
  /** The one that is in force from here on, where it is above the one before. */
  readonly level: number
}

/** A frame of a kind or version that this version doesn't know and may pass over. */
export interface SkippedFrame {
  readonly kind: 'skipped'
}

/** What a log record holds, told apart by `kind`. */
export type Frame = OpenFrame | BarrierFrame | DataFrame | MarkerFrame | LevelFrame
/** What {@link decodeFrame} gives. */
export type DecodedFrame = Frame | SkippedFrame

/** Room that a data frame of one entry needs besides the entry, at most, for a token name of `tokenBytes`. */
export function frameOverhead(tokenBytes: number): number {
  return HEADER_BYTES + CHECKSUM_BYTES + tokenBytes + ENTRY_OVERHEAD_BYTES
}

/** The most that an entry's own header takes. */
export const ENTRY_OVERHEAD_BYTES = 6

/** Encodes a frame. The result is the caller's, and immutable from then on. */
export function encodeFrame(frame: Frame): Uint8Array {
  const token = Buffer.from(frame.token, 'utf8')
  const body = bodyOf(frame)
  const out = Buffer.allocUnsafe(HEADER_BYTES + token.length + body.length + CHECKSUM_BYTES)
  out.fill(0, 0, HEADER_BYTES)
  out.writeUInt16BE(MAGIC, 0)
  out.writeUInt8(FRAME_FORMAT, 2)
  out.writeUInt8(KINDS.indexOf(frame.kind) + 1, 3)
  out.writeUInt8(frame.kind === 'open' && frame.deleted ? FLAG_DELETED : 0, 4)
  out.writeUInt16BE(token.length, 6)
  writeCount(out, frame.incarnation, 8)
  writeCount(out, Math.max(0, Math.floor(frame.timeMs)), 56)
  out.writeUInt32BE(body.length, 52)
  if (frame.kind === 'barrier' || frame.kind === 'data' || frame.kind === 'level') {
    writeCount(out, frame.epoch, 16)
    out.writeBigUInt64BE(frame.term, 24)
  }
  if (frame.kind === 'barrier') writeCount(out, frame.nextIndex, 40)
  if (frame.kind === 'data') {
    writeCount(out, frame.firstSeq, 32)
    writeCount(out, frame.firstIndex, 40)
    out.writeUInt32BE(frame.count, 48)
    out.writeBigUInt64BE(frame.chain, 64)
  }
  token.copy(out, HEADER_BYTES)
  out.set(body, HEADER_BYTES + token.length)
  const end = out.length - CHECKSUM_BYTES
  out.writeUInt32BE(crc32(out.subarray(0, end)), end)
  return out
}

function bodyOf(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case 'data':
      return frame.body
    case 'open':
      return Buffer.from(JSON.stringify({ address: frame.address, identity: frame.identity }), 'utf8')
    case 'marker': {
      const body = Buffer.alloc(8)
      body.writeBigUInt64BE(frame.nonce)
      return body
    }
    case 'level': {
      const body = Buffer.alloc(4)
      body.writeUInt32BE(frame.level)
      return body
    }
    case 'barrier':
      return new Uint8Array(0)
  }
}

/**
 * Decodes a record. The result shares the record's bytes.
 * @throws KAGAMI_BAD_FRAME when it is no frame, cut short, or its checksum is wrong
 * @throws KAGAMI_UNKNOWN_FORMAT when its version or kind is unknown and may not be skipped
 */
export function decodeFrame(record: Uint8Array): DecodedFrame {
  const bytes = asBuffer(record)
  const end = bytes.length - CHECKSUM_BYTES
  if (bytes.length < 8 + CHECKSUM_BYTES || bytes.readUInt16BE(0) !== MAGIC)
    throw badFrame('it does not start like a frame')
  if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32BE(end)) throw badFrame('its checksum is wrong')
  const version = bytes.readUInt8(2)
  const kind = KINDS[bytes.readUInt8(3) - 1]
  const flags = bytes.readUInt8(4)
  if (version !== FRAME_FORMAT || kind === undefined) {
    if (flags & FLAG_SKIPPABLE) return { kind: 'skipped' }
    throw new KagamiError(
      'KAGAMI_UNKNOWN_FORMAT',
      `the log holds a frame of version ${version}, kind ${bytes.readUInt8(3)}, which this version of Kagami can't read; upgrade this node`,
      { details: { version, kind: bytes.readUInt8(3) } },
    )
  }
  const tokenEnd = HEADER_BYTES + bytes.readUInt16BE(6)
  if (end < HEADER_BYTES || tokenEnd + bytes.readUInt32BE(52) !== end)
    throw badFrame('its lengths contradict each other')
  const head = {
    token: bytes.toString('utf8', HEADER_BYTES, tokenEnd),
    incarnation: readCount(bytes, 8),
    timeMs: readCount(bytes, 56),
  }
  const body = bytes.subarray(tokenEnd, end)
  switch (kind) {
    case 'open':
      return { kind, ...head, deleted: (flags & FLAG_DELETED) !== 0, ...openBody(body) }
    case 'barrier':
      return {
        kind,
        ...head,
        epoch: readCount(bytes, 16),
        term: bytes.readBigUInt64BE(24),
        nextIndex: readCount(bytes, 40),
      }
    case 'data':
      return {
        kind,
        ...head,
        epoch: readCount(bytes, 16),
        term: bytes.readBigUInt64BE(24),
        firstSeq: readCount(bytes, 32),
        firstIndex: readCount(bytes, 40),
        count: bytes.readUInt32BE(48),
        chain: bytes.readBigUInt64BE(64),
        body,
      }
    case 'marker':
      if (body.length < 8) throw badFrame('a marker without a nonce')
      return { kind, ...head, nonce: body.readBigUInt64BE(0) }
    case 'level':
      if (body.length < 4) throw badFrame('a level frame without a level')
      return {
        kind,
        ...head,
        epoch: readCount(bytes, 16),
        term: bytes.readBigUInt64BE(24),
        level: body.readUInt32BE(0),
      }
  }
}

/** The checksum by which an anchor recognises a record: cheap, since a frame ends with it. */
export function recordChecksum(record: Uint8Array): number {
  if (record.length < CHECKSUM_BYTES) return crc32(record)
  return asBuffer(record).readUInt32BE(record.length - CHECKSUM_BYTES)
}

function openBody(body: Buffer): { readonly address: string; readonly identity: string } {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    const { address, identity } = value as { address: unknown; identity: unknown }
    if (typeof address === 'string' && typeof identity === 'string') return { address, identity }
  } catch {
    // Not JSON: the same answer as for JSON of another shape.
  }
  throw badFrame('an open frame that does not name its log')
}

/**
 * Encodes a run of entries. Each is: length of its header (for request ids, empty today), the header, length, bytes. Lengths are
 * little-endian base-128 numbers.
 */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const entry of entries) size += 1 + varintBytes(entry.length) + entry.length
  const out = Buffer.allocUnsafe(size)
  let at = 0
  for (const entry of entries) {
    out[at++] = 0
    at = writeVarint(out, entry.length, at)
    out.set(entry, at)
    at += entry.length
  }
  return out
}

/**
 * Decodes the entries of a data frame. They share the frame's bytes.
 * @throws KAGAMI_BAD_FRAME when the body does not hold exactly `count` entries
 */
export function decodeEntries(body: Uint8Array, count: number): Uint8Array[] {
  const entries: Uint8Array[] = []
  let at = 0
  const take = (): Uint8Array => {
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = body[at++]
      if (byte === undefined || shift > 28) throw badFrame('its entries are cut short')
      length += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    if (at + length > body.length) throw badFrame('its entries are cut short')
    at += length
    return body.subarray(at - length, at)
  }
  for (let i = 0; i < count; i++) {
    take()
    entries.push(take())
  }
  if (at !== body.length) throw badFrame('its body is longer than its entries')
  return entries
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5
}

function writeVarint(out: Buffer, value: number, at: number): number {
  while (value >= 0x80) {
    out[at++] = (value % 0x80) | 0x80
    value = Math.floor(value / 0x80)
  }
  out[at++] = value
  return at
}

/** Counts are whole numbers below 2^53, in 8 bytes. */
function writeCount(out: Buffer, value: number, at: number): void {
  out.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  out.writeUInt32BE(value % 2 ** 32, at + 4)
}

function readCount(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32BE(at)
  if (high >= 2 ** 21) throw badFrame('a count beyond 2^53')
  return high * 2 ** 32 + bytes.readUInt32BE(at + 4)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function badFrame(why: string): KagamiError {
  return new KagamiError(
    'KAGAMI_BAD_FRAME',
    `a log record is not a valid frame: ${why}. Something other than Kagami wrote to this log, or the log is damaged`,
  )
}
