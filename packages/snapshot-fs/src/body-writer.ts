/**
 * Writes a blob's bytes as blocks: fills one block while the one before is being written, so it holds two at most, however large
 * the chunks are. Knows nothing of names or of publishing.
 */
import type { FileHandle } from './file-system.js'
import { writeFully } from './file-system.js'
import { blockCrc, CRC_BYTES, encodeTrailer } from './format.js'
import type { Header } from './format.js'

/**
 * Bytes between two syncs of the file. Without them the kernel gathers the whole file and writes it back in one burst at the
 * last sync, while every other sync on that disk, such as a log's, waits.
 */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024

export class BodyWriter {
  readonly #handle: FileHandle
  readonly #header: Header
  #block: Buffer
  #spare: Buffer
  #filled = 0
  #index = 0
  #bytes = 0
  #position: number
  #unsynced = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(handle: FileHandle, header: Header) {
    this.#handle = handle
    this.#header = header
    this.#position = header.end
    this.#block = Buffer.allocUnsafeSlow(CRC_BYTES + header.blockBytes)
    this.#spare = Buffer.allocUnsafeSlow(CRC_BYTES + header.blockBytes)
  }

  /** When it resolves, the chunk is copied. */
  async add(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let from = 0; from < chunk.byteLength;) {
      const part = chunk.subarray(from, from + this.#header.blockBytes - this.#filled)
      this.#block.set(part, CRC_BYTES + this.#filled)
      this.#filled += part.byteLength
      from += part.byteLength
      if (this.#filled < this.#header.blockBytes) continue
      await this.#flush()
      signal.throwIfAborted()
    }
  }

  /** Writes what is left and the trailer; gives the blob's size. Syncing is the caller's. */
  async finish(): Promise<number> {
    if (this.#filled > 0) await this.#flush()
    await this.#writing
    await writeFully(this.#handle, encodeTrailer(this.#header, this.#bytes, this.#index), this.#position)
    return this.#bytes
  }

  async #flush(): Promise<void> {
    await this.#writing
    if (this.#unsynced >= SYNC_EVERY_BYTES) {
      await this.#handle.datasync()
      this.#unsynced = 0
    }
    const block = this.#block.subarray(0, CRC_BYTES + this.#filled)
    block.writeUInt32LE(blockCrc(this.#header, this.#index, block.subarray(CRC_BYTES)), 0)
    this.#writing = writeFully(this.#handle, block, this.#position)
    // Awaited at the next block; until then a failure must not count as unhandled.
    this.#writing.catch(() => undefined)
    ;[this.#block, this.#spare] = [this.#spare, this.#block]
    this.#index += 1
    this.#bytes += this.#filled
    this.#position += block.byteLength
    this.#unsynced += block.byteLength
    this.#filled = 0
  }
}
