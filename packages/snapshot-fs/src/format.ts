/**
 * The bytes of a snapshot file. Pure: no I/O. Each part carries a CRC-32 that covers its place and the header too, so a part that is
 * torn, cut off, moved, or left over from another file is noticed.
 *
 *     prefix   'KGMSNAP' and the layout's version, 8 bytes · length of the header u32 · CRC-32 of the prefix so far and the header u32
 *     header   JSON: the metadata, and the size of a block
 *     blocks   each: CRC-32 u32, then the blob's bytes: a full block, but for the last
 *     trailer  'KGMEND1\n' · bytes of the blob u64 · blocks u32 · CRC-32 of the trailer so far u32
 *
 * Integers are little-endian. CRCs after the header's continue from it. The file's size alone tells the blob's.
 */
import { crc32 } from 'node:zlib'
import { badOption, KagamiError } from '@kagami/core/contract'
import type { SnapshotMeta } from '@kagami/core/contract'

export const PREFIX_BYTES = 16
export const TRAILER_BYTES = 24
export const CRC_BYTES = 4
export const BLOCK_BYTES = 256 * 1024
const MAX_HEADER_BYTES = 1024 * 1024
const MAX_BLOCK_BYTES = 1024 * 1024
const MAGIC = Buffer.from('KGMSNAP\x01', 'latin1')
const END_MAGIC = Buffer.from('KGMEND1\n', 'latin1')

export interface Header {
  readonly meta: SnapshotMeta
  /** Bytes of a full block. */
  readonly blockBytes: number
  /** Where the blocks begin. */
  readonly end: number
  readonly crc: number
}

export function encodeHeader(meta: SnapshotMeta): { readonly bytes: Uint8Array; readonly header: Header } {
  const json = Buffer.from(JSON.stringify({ meta, blockBytes: BLOCK_BYTES }), 'utf8')
  if (json.byteLength > MAX_HEADER_BYTES) {
    throw badOption('meta', `${json.byteLength} bytes of JSON`, `at most ${MAX_HEADER_BYTES} bytes`)
  }
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + json.byteLength)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(json.byteLength, 8)
  const crc = crc32(json, crc32(bytes.subarray(0, 12)))
  bytes.writeUInt32LE(crc, 12)
  json.copy(bytes, PREFIX_BYTES)
  return { bytes, header: { meta, blockBytes: BLOCK_BYTES, end: bytes.byteLength, crc } }
}

/** How long the header after this prefix is. @throws KAGAMI_SNAPSHOT_CORRUPT */
export function headerLength(prefix: Buffer): number {
  if (prefix.byteLength < PREFIX_BYTES) throw corrupt('it is shorter than a header')
  if (!prefix.subarray(0, 7).equals(MAGIC.subarray(0, 7))) throw corrupt('it does not begin like a snapshot')
  if (prefix[7] !== MAGIC[7])
    throw corrupt(`its layout has version ${prefix[7]}, this release reads 1: upgrade this node`)
  const length = prefix.readUInt32LE(8)
  if (length > MAX_HEADER_BYTES) throw corrupt('the length of its header is impossible')
  return length
}

/** @throws KAGAMI_SNAPSHOT_CORRUPT */
export function decodeHeader(prefix: Buffer, json: Buffer): Header {
  if (json.byteLength < headerLength(prefix)) throw corrupt('its header is cut short')
  const crc = crc32(json, crc32(prefix.subarray(0, 12)))
  if (crc !== prefix.readUInt32LE(12)) throw corrupt("its header's checksum is wrong")
  let parsed: { meta?: SnapshotMeta; blockBytes?: number }
  try {
    parsed = JSON.parse(json.toString('utf8')) as typeof parsed
  } catch (error) {
    throw corrupt('its header is not JSON', error)
  }
  const { meta, blockBytes } = parsed
  if (typeof meta !== 'object' || meta === null || typeof meta.token !== 'string' || typeof meta.id !== 'string') {
    throw corrupt('its header has no metadata')
  }
  if (!Number.isSafeInteger(blockBytes) || blockBytes! < 1 || blockBytes! > MAX_BLOCK_BYTES) {
    throw corrupt('the size of its blocks is impossible')
  }
  return { meta, blockBytes: blockBytes!, end: PREFIX_BYTES + json.byteLength, crc }
}

/** How many bytes the blob of a file of this size has. A size that no whole file has gives what is there of the blob. */
export function blobBytes(header: Header, fileBytes: number): number {
  const body = Math.max(0, fileBytes - header.end - TRAILER_BYTES)
  const blockSpan = header.blockBytes + CRC_BYTES
  const full = Math.floor(body / blockSpan)
  return full * header.blockBytes + Math.max(0, body - full * blockSpan - CRC_BYTES)
}

export function blockCrc(header: Header, index: number, payload: Uint8Array): number {
  const place = Buffer.allocUnsafe(8)
  place.writeUInt32LE(index, 0)
  place.writeUInt32LE(payload.byteLength, 4)
  return crc32(payload, crc32(place, header.crc))
}

export function encodeTrailer(header: Header, bytes: number, blocks: number): Buffer {
  const trailer = Buffer.alloc(TRAILER_BYTES)
  END_MAGIC.copy(trailer)
  trailer.writeBigUInt64LE(BigInt(bytes), 8)
  trailer.writeUInt32LE(blocks, 16)
  trailer.writeUInt32LE(crc32(trailer.subarray(0, 20), header.crc), 20)
  return trailer
}

/** Whether these are the last bytes of a whole file with that many bytes of blob in that many blocks. */
export function isTrailer(header: Header, trailer: Buffer, bytes: number, blocks: number): boolean {
  return trailer.equals(encodeTrailer(header, bytes, blocks))
}

export function corrupt(what: string, cause?: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_CORRUPT',
    `the snapshot's file is damaged: ${what}; use an older snapshot, and check the disk`,
    { cause },
  )
}
