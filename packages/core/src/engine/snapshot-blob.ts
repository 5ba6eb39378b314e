/**
 * The layout of a snapshot's blob, format 1: what core puts around the state's bytes, so that damage anywhere is noticed whatever store kept them.
 * A header block with the metadata, data blocks, and an end block with the totals; each block carries its kind, length and CRC-32. Blocks of a table of
 * request ids, which nobody writes yet, may stand among the data.
 */
import { crc32 } from 'node:zlib'
import { KagamiError, type SnapshotMeta } from '../contract/index.js'

const MAGIC = 0x4b73
const BLOCK_HEAD_BYTES = 12
const HEADER = 1
const DATA = 2
const END = 3
/** Reserved: counted like data, and passed over. */
const REQUEST_IDS = 4

/** Data is cut into blocks of this size, so a reader's memory is bounded. */
export const BLOCK_BYTES = 262_144

export function headerBlock(meta: SnapshotMeta): Uint8Array {
  return block(HEADER, Buffer.from(JSON.stringify(meta), 'utf8'), 0)
}

/** `sequence` counts the blocks between header and end from 0, so that a lost or repeated block is noticed. */
export function dataBlock(bytes: Uint8Array, sequence: number): Uint8Array {
  return block(DATA, bytes, sequence)
}

export function endBlock(blocks: number, bytes: number): Uint8Array {
  const body = Buffer.alloc(8)
  body.writeUInt32BE(Math.floor(bytes / 2 ** 32), 0)
  body.writeUInt32BE(bytes % 2 ** 32, 4)
  return block(END, body, blocks)
}

function block(kind: number, body: Uint8Array, sequence: number): Uint8Array {
  const out = Buffer.allocUnsafe(BLOCK_HEAD_BYTES + body.length + 4)
  out.writeUInt16BE(MAGIC, 0)
  out.writeUInt8(1, 2)
  out.writeUInt8(kind, 3)
  out.writeUInt32BE(body.length, 4)
  out.writeUInt32BE(sequence, 8)
  out.set(body, BLOCK_HEAD_BYTES)
  const end = out.length - 4
  out.writeUInt32BE(crc32(out.subarray(0, end)), end)
  return out
}

/**
 * Reads a blob from chunks of any size. Feed it with {@link push}; it gives the data blocks' bytes back. The metadata is known
 * after the header, and the blob is whole only when {@link finish} returns.
 */
export class BlobReader {
  #rest: Buffer = Buffer.alloc(0)
  #meta: SnapshotMeta | undefined
  #blocks = 0
  #bytes = 0
  #ended = false

  get meta(): SnapshotMeta | undefined {
    return this.#meta
  }

  /** Whether everything was seen and found right. */
  get whole(): boolean {
    return this.#ended
  }

  /**
   * Takes a chunk and gives what it completes. The results are the caller's as long as the chunk is not changed.
   * @throws KAGAMI_SNAPSHOT_CORRUPT, KAGAMI_UNKNOWN_FORMAT
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const data: Uint8Array[] = []
    for (;;) {
      const body = this.#takeBlock(rest)
      if (body === undefined) break
      if (body.data !== undefined) data.push(body.data)
      rest = rest.subarray(body.size)
    }
    this.#rest = rest
    return data
  }

  /** @throws KAGAMI_SNAPSHOT_CORRUPT unless the whole blob was seen */
  finish(): void {
    if (!this.#ended) throw corrupt('it ends too early')
  }

  #takeBlock(rest: Buffer): { readonly size: number; readonly data: Uint8Array | undefined } | undefined {
    if (rest.length > 0 && this.#ended) throw corrupt('bytes follow its end')
    if (rest.length < BLOCK_HEAD_BYTES) return undefined
    const length = rest.readUInt32BE(4)
    if (rest.readUInt16BE(0) !== MAGIC || length > 16 * BLOCK_BYTES) throw corrupt('a block does not start like one')
    const size = BLOCK_HEAD_BYTES + length + 4
    if (rest.length < size) return undefined
    if (crc32(rest.subarray(0, size - 4)) !== rest.readUInt32BE(size - 4)) throw corrupt("a block's checksum is wrong")
    if (rest.readUInt8(2) !== 1) {
      throw new KagamiError(
        'KAGAMI_UNKNOWN_FORMAT',
        `the snapshot is of format ${rest.readUInt8(2)}, which this version of Kagami can't read; upgrade this node`,
      )
    }
    const body = rest.subarray(BLOCK_HEAD_BYTES, size - 4)
    return { size, data: this.#accept(rest.readUInt8(3), rest.readUInt32BE(8), body) }
  }

  #accept(kind: number, sequence: number, body: Buffer): Uint8Array | undefined {
    if (this.#meta === undefined) {
      if (kind !== HEADER) throw corrupt('it does not start with a header')
      this.#meta = metaOf(body)
      return undefined
    }
    if (sequence !== this.#blocks) throw corrupt('a block is missing or repeated')
    if (kind === DATA) {
      this.#blocks += 1
      this.#bytes += body.length
      return body
    }
    if (kind === REQUEST_IDS) {
      this.#blocks += 1
      return undefined
    }
    if (kind !== END) throw corrupt(`a block of kind ${kind}`)
    if (body.length !== 8 || body.readUInt32BE(0) * 2 ** 32 + body.readUInt32BE(4) !== this.#bytes) {
      throw corrupt('its size is not what its end says')
    }
    this.#ended = true
    return undefined
  }
}

function metaOf(header: Buffer): SnapshotMeta {
  let value: unknown
  try {
    value = JSON.parse(header.toString('utf8'))
  } catch {
    // Not JSON: the same answer as for JSON of another shape.
  }
  if (typeof value !== 'object' || value === null) throw corrupt('its header holds no metadata')
  return value as SnapshotMeta
}

function corrupt(why: string): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_CORRUPT',
    `the snapshot is damaged: ${why}. The next older one is used instead`,
  )
}
