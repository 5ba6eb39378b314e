/** Reads snapshot files back, and checks all that it reads: not a byte of a block is given out before the block's checksum has been compared. */
import type { SnapshotRef } from '@kagami/core/contract'
import { orAborted } from './call.js'
import { inStore, readFully } from './file-system.js'
import type { FileHandle, FileSystem } from './file-system.js'
import {
  blobBytes,
  blockCrc,
  corrupt,
  CRC_BYTES,
  decodeHeader,
  headerLength,
  isTrailer,
  PREFIX_BYTES,
  TRAILER_BYTES,
} from './format.js'
import type { Header } from './format.js'

/** What one read gives of most headers, whole. */
const FIRST_READ_BYTES = 4096

/** What `list` shows of a file. Reads the header only. @throws KAGAMI_SNAPSHOT_CORRUPT, or the system's error */
export async function readRef(fileSystem: FileSystem, file: string): Promise<SnapshotRef> {
  const handle = await fileSystem.open(file, 'r')
  try {
    const header = await readHeader(handle)
    const { size } = await handle.stat()
    return { meta: header.meta, bytes: blobBytes(header, size) }
  } finally {
    await handle.close()
  }
}

async function readHeader(handle: FileHandle): Promise<Header> {
  const first = Buffer.allocUnsafe(FIRST_READ_BYTES)
  const head = first.subarray(0, await readFully(handle, first, 0))
  const length = headerLength(head)
  const prefix = head.subarray(0, PREFIX_BYTES)
  if (PREFIX_BYTES + length <= head.byteLength)
    return decodeHeader(prefix, head.subarray(PREFIX_BYTES, PREFIX_BYTES + length))
  const json = Buffer.allocUnsafe(length)
  return decodeHeader(prefix, json.subarray(0, await readFully(handle, json, PREFIX_BYTES)))
}

/** The blob of an open file, block by block. The handle stays the caller's. @throws KAGAMI_SNAPSHOT_CORRUPT, KAGAMI_STORE_UNAVAILABLE */
export async function* readBlob(
  handle: FileHandle,
  file: string,
  header: Header,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const read = <T>(work: () => Promise<T>) => orAborted(inStore(`read ${file}`, work), signal)
  const { size } = await read(() => handle.stat())
  const bytes = blobBytes(header, size)
  const blocks = Math.ceil(bytes / header.blockBytes)
  const end = header.end + bytes + blocks * CRC_BYTES
  const trailer = Buffer.alloc(TRAILER_BYTES)
  await read(() => readFully(handle, trailer, end))
  // Looked at first, so that a file that was cut short is refused before any of it is used.
  if (end + TRAILER_BYTES !== size || !isTrailer(header, trailer, bytes, blocks))
    throw corrupt('its end is missing, or wrong')
  for (let index = 0; index < blocks; index += 1) {
    const span = CRC_BYTES + Math.min(header.blockBytes, bytes - index * header.blockBytes)
    const block = Buffer.allocUnsafeSlow(span)
    const got = await read(() => readFully(handle, block, header.end + index * (CRC_BYTES + header.blockBytes)))
    if (got < span) throw corrupt(`block ${index} is cut short`)
    const payload = block.subarray(CRC_BYTES)
    if (blockCrc(header, index, payload) !== block.readUInt32LE(0))
      throw corrupt(`the checksum of block ${index} is wrong`)
    yield payload
  }
}

/** The header of an open file, which must be that of this snapshot. */
export async function readHeaderOf(handle: FileHandle, token: string, id: string): Promise<Header | undefined> {
  const header = await readHeader(handle)
  return header.meta.token === token && header.meta.id === id ? header : undefined
}
