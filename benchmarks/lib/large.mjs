/** A large state: a snapshot map of values that come by the hundred in one entry, so that filling it takes no time. */
import { persistMap, restoreMap, snapshotMap } from 'kagami'

export const valueBytes = 1024
const keyBytes = 8

export class Large {
  map = snapshotMap()

  /** A first number, and values for the keys from there on. An entry without values changes nothing. */
  apply({ value }) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    let key = bytes.readUInt32LE(0)
    for (let at = 4; at < bytes.length; at += valueBytes, key++) {
      this.map.set(key.toString(16).padStart(keyBytes, '0'), bytes.subarray(at, at + valueBytes))
    }
    return this.map.size
  }

  snapshot() {
    const captured = this.map.capture()
    return {
      persist: ({ signal }) => persistMap(captured, encode, { signal }),
      release: () => captured.release(),
    }
  }

  async restore(chunks) {
    this.map = await restoreMap(chunks, decode)
  }
}

/** An entry of {@link Large}. @param {number} first @param {number} values */
export function largeEntry(first, values) {
  const bytes = Buffer.alloc(4 + values * valueBytes, first & 0xff)
  bytes.writeUInt32LE(first, 0)
  return bytes
}

function encode(key, value) {
  const bytes = Buffer.allocUnsafe(keyBytes + value.byteLength)
  bytes.write(key, 0, 'latin1')
  bytes.set(value, keyBytes)
  return bytes
}

function decode(bytes) {
  const buffer = Buffer.from(bytes)
  return [buffer.toString('latin1', 0, keyBytes), buffer.subarray(keyBytes)]
}
