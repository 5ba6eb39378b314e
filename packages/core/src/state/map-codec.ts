/**
 * A captured map as a snapshot's bytes, and back. The entries' own format is the caller's; this one frames them. It holds no
 * checksums: core adds its own to every snapshot. Input that is cut short or was not written here is refused, never guessed at.
 *
 *     head     'KGMAP' and the format's version, 6 bytes
 *     records  each: its length u32, then the encoded entry
 *     end      0xffffffff · number of records u64
 *
 * Integers are little-endian.
 */
import { types } from 'node:util'
import { KagamiError } from '../contract/index.js'
import { snapshotMap } from './snapshot-map.js'
import type { ReadonlySnapshotMap, SnapshotMap } from './snapshot-map.js'

/** Large enough to be worth a write, small enough that making one holds nothing else up: well under a millisecond of work. */
const CHUNK_BYTES = 64 * 1024
/** Longer ones are a mistake of the encoder, or damage. */
const MAX_RECORD_BYTES = 0x3fff_ffff
const HEAD = [0x4b, 0x47, 0x4d, 0x41, 0x50, 1] as const
const LENGTH_BYTES = 4
const END = 0xffff_ffff
const END_BYTES = 12

/**
 * The view as bytes, in chunks of about 64 KiB: what a state machine's `persist` gives. A chunk is made when it is asked for, and
 * belongs to the caller; what `encodeEntry` gives is copied before the next entry. Releasing the view is the caller's.
 * @throws KAGAMI_SNAPSHOT_FAILED where `encodeEntry` gives no bytes, or more than 1 GiB; what it throws; the signal's reason when it aborts
 */
export async function* persistMap<V>(
  view: ReadonlySnapshotMap<V>,
  encodeEntry: (key: string, value: V) => Uint8Array,
  options: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { signal } = options
  signal?.throwIfAborted()
  let chunk = new ChunkWriter(CHUNK_BYTES)
  chunk.bytes(HEAD)
  let count = 0
  for (const [key, value] of view) {
    const record = encodeEntry(key, value)
    if (!types.isUint8Array(record)) {
      // Anything else has no length, or not in bytes, and would be written as something that can't be read.
      const message = 'encodeEntry did not give a Uint8Array: mend what was passed to persistMap'
      throw new KagamiError('KAGAMI_SNAPSHOT_FAILED', message)
    }
    if (record.byteLength > MAX_RECORD_BYTES) {
      const message = `the entry of a map takes ${record.byteLength} bytes: split it, at most ${MAX_RECORD_BYTES} fit`
      throw new KagamiError('KAGAMI_SNAPSHOT_FAILED', message)
    }
    const bytes = LENGTH_BYTES + record.byteLength
    if (bytes > chunk.room) {
      yield chunk.take()
      signal?.throwIfAborted()
      chunk = new ChunkWriter(Math.max(CHUNK_BYTES, bytes))
    }
    chunk.uint32(record.byteLength)
    chunk.bytes(record)
    count += 1
  }
  if (END_BYTES > chunk.room) {
    yield chunk.take()
    signal?.throwIfAborted()
    chunk = new ChunkWriter(END_BYTES)
  }
  chunk.uint32(END)
  chunk.uint64(count)
  yield chunk.take()
}

/**
 * Makes a map of what {@link persistMap} wrote, in chunks of any size: what a state machine's `restore` does. The bytes given to
 * `decodeEntry` are a part of a chunk: copy what is to be kept of them.
 * @throws KAGAMI_SNAPSHOT_CORRUPT where the input is cut short, is something else, or an entry can't be decoded; what `chunks` throws
 */
export async function restoreMap<V>(
  chunks: AsyncIterable<Uint8Array>,
  decodeEntry: (bytes: Uint8Array) => readonly [key: string, value: V],
): Promise<SnapshotMap<V>> {
  const reader = new RecordReader<V>(decodeEntry)
  for await (const chunk of chunks) reader.push(chunk)
  return reader.end()
}

type Part = 'head' | 'length' | 'record' | 'count' | 'nothing'

/** Takes the format apart, whatever the borders of the chunks. Holds the part of a record that has come so far, and the map. */
class RecordReader<V> {
  readonly #decodeEntry: (bytes: Uint8Array) => readonly [key: string, value: V]
  readonly #map = snapshotMap<V>()
  readonly #feed = new Feed()
  #records = 0
  /** What comes next, and how many bytes that is. */
  #next: Part = 'head'
  #wanted: number = HEAD.length

  constructor(decodeEntry: (bytes: Uint8Array) => readonly [key: string, value: V]) {
    this.#decodeEntry = decodeEntry
  }

  push(chunk: Uint8Array): void {
    this.#feed.push(chunk)
    while (this.#next !== 'nothing' && this.#feed.available >= this.#wanted) this.#read(this.#feed.take(this.#wanted))
    if (this.#next === 'nothing' && this.#feed.available > 0) throw corrupt('it goes on after its end')
  }

  end(): SnapshotMap<V> {
    if (this.#next !== 'nothing') throw corrupt(`it is cut short after ${this.#records} entries`)
    return this.#map
  }

  #read(bytes: Uint8Array): void {
    switch (this.#next) {
      case 'head':
        if (HEAD.some((byte, index) => bytes[index] !== byte))
          throw corrupt('it does not begin like a map of this format')
        return this.#expect('length', LENGTH_BYTES)
      case 'length': {
        const length = uint32At(bytes, 0)
        if (length === END) return this.#expect('count', END_BYTES - LENGTH_BYTES)
        if (length > MAX_RECORD_BYTES) throw corrupt(`the length of entry ${this.#records} is impossible`)
        return this.#expect('record', length)
      }
      case 'record':
        this.#add(bytes)
        this.#records += 1
        return this.#expect('length', LENGTH_BYTES)
      case 'count': {
        const expected = uint32At(bytes, 0) + uint32At(bytes, 4) * 2 ** 32
        if (expected !== this.#records) throw corrupt(`it has ${this.#records} entries instead of ${expected}`)
        return this.#expect('nothing', 0)
      }
      case 'nothing':
    }
  }

  #expect(next: Part, wanted: number): void {
    this.#next = next
    this.#wanted = wanted
  }

  #add(record: Uint8Array): void {
    let entry: readonly [string, V]
    try {
      entry = this.#decodeEntry(record)
    } catch (error) {
      throw corrupt(`entry ${this.#records} can not be decoded`, error)
    }
    const before = this.#map.size
    this.#map.set(entry[0], entry[1])
    if (this.#map.size === before) throw corrupt(`entry ${this.#records} has a key that came before`)
  }
}

/** Bytes that came in chunks and leave in records. A record within one chunk is not copied. */
class Feed {
  #chunks: Uint8Array[] = []
  /** Where the first chunk's unread part begins. */
  #at = 0
  #available = 0

  get available(): number {
    return this.#available
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return
    this.#chunks.push(chunk)
    this.#available += chunk.byteLength
  }

  /** At most as many bytes as are available. */
  take(length: number): Uint8Array {
    this.#available -= length
    const first = this.#chunks[0]
    if (first !== undefined && first.byteLength - this.#at > length) {
      this.#at += length
      return first.subarray(this.#at - length, this.#at)
    }
    return this.#gather(length)
  }

  #gather(length: number): Uint8Array {
    const gathered = new Uint8Array(length)
    let filled = 0
    let used = 0
    while (filled < length) {
      const part = this.#chunks[used]!.subarray(this.#at, this.#at + length - filled)
      gathered.set(part, filled)
      filled += part.byteLength
      this.#at += part.byteLength
      if (this.#at < this.#chunks[used]!.byteLength) break
      this.#at = 0
      used += 1
    }
    this.#chunks.splice(0, used)
    return gathered
  }
}

class ChunkWriter {
  readonly #chunk: Uint8Array
  readonly #view: DataView
  #used = 0

  constructor(size: number) {
    this.#chunk = new Uint8Array(size)
    this.#view = new DataView(this.#chunk.buffer)
  }

  get room(): number {
    return this.#chunk.byteLength - this.#used
  }

  bytes(bytes: ArrayLike<number>): void {
    this.#chunk.set(bytes, this.#used)
    this.#used += bytes.length
  }

  uint32(value: number): void {
    this.#view.setUint32(this.#used, value, true)
    this.#used += 4
  }

  uint64(value: number): void {
    this.#view.setBigUint64(this.#used, BigInt(value), true)
    this.#used += 8
  }

  take(): Uint8Array {
    return this.#chunk.subarray(0, this.#used)
  }
}

function uint32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

function corrupt(what: string, cause?: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_CORRUPT',
    `the snapshot of a map is damaged: ${what}; use an older snapshot`,
    { cause },
  )
}
