/**
 * One file of a log, and its header. A log is a chain of such files: each begins where its predecessor's seal ends, so that
 * whoever finds a seal knows the name and the whole contents of the next file's header, and may create it: no lock is needed.
 */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { KagamiError } from '@kagami/core/contract'
import { linkNew, removeFile, syncFolder, writeNew } from './disk.js'

export const segmentHeaderBytes = 64

const magic = Buffer.from('KGMSEG1\n', 'latin1')

export interface Segment {
  readonly path: string
  /** The offset of the file's first byte. */
  readonly base: number
  /** The end of the last data record before this file. */
  readonly dataEnd: number
  /** 32 hex digits, the same in each file of the log, and in no other log. */
  readonly identity: string
}

export function segmentPath(folder: string, base: number): string {
  return join(folder, `${base.toString(16).padStart(14, '0')}.log`)
}

/** The base that a file's name tells; undefined for other files. */
export function baseOf(name: string): number | undefined {
  return /^[0-9a-f]{14}\.log$/.test(name) ? Number.parseInt(name.slice(0, 14), 16) : undefined
}

/** magic 8 · identity 16 · base 8 · dataEnd 8 · zeros · CRC 4 */
export function encodeHeader(segment: Omit<Segment, 'path'>): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes)
  header.set(magic, 0)
  header.set(Buffer.from(segment.identity, 'hex'), 8)
  header.writeBigUInt64LE(BigInt(segment.base), 24)
  header.writeBigUInt64LE(BigInt(segment.dataEnd), 32)
  header.writeUInt32LE(crc32(header.subarray(0, 60)), 60)
  return header
}

/** @throws KAGAMI_UNKNOWN_FORMAT, KAGAMI_LOG_LOST_TAIL */
export function decodeHeader(path: string, header: Buffer): Segment {
  if (header.byteLength >= 8 && header.subarray(0, 6).equals(magic.subarray(0, 6)) && header[6] !== magic[6]) {
    throw new KagamiError('KAGAMI_UNKNOWN_FORMAT', `${path} is of a newer format: upgrade this node`)
  }
  const whole = header.byteLength === segmentHeaderBytes && header.subarray(0, 8).equals(magic)
  if (!whole || crc32(header.subarray(0, 60)) !== header.readUInt32LE(60)) {
    throw new KagamiError(
      'KAGAMI_LOG_LOST_TAIL',
      `the header of ${path} is damaged: restore the file from a backup, or remove the token`,
    )
  }
  return {
    path,
    identity: header.subarray(8, 24).toString('hex'),
    base: Number(header.readBigUInt64LE(24)),
    dataEnd: Number(header.readBigUInt64LE(32)),
  }
}

/** The CRC seed of a log's records. */
export function seedOf(identity: string): number {
  return crc32(identity)
}

/** Creates a file of a log, durably, unless somebody else has: both would write the same. `scratch` is a fresh path on the same disk. */
export async function createSegment(folder: string, scratch: string, header: Omit<Segment, 'path'>): Promise<void> {
  await writeNew(scratch, encodeHeader(header))
  try {
    await linkNew(scratch, segmentPath(folder, header.base))
    await syncFolder(folder)
  } finally {
    await removeFile(scratch)
  }
}
