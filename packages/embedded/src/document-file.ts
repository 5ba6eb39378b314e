/** The bytes of one version of a document as a file, which can tell whether it is whole and whose it is. */
import { crc32 } from 'node:zlib'
import { KagamiError } from '@kagami/core/contract'

const magic = Buffer.from('KGMDOC1\n', 'latin1')
const headerBytes = 32

/** magic 8 · version 8 · CRC of the name 4 · length 4 · CRC of the bytes 4 · CRC of the header 4 · bytes */
export function encodeDocument(name: string, version: number, bytes: Uint8Array): Buffer {
  const file = Buffer.alloc(headerBytes + bytes.byteLength)
  file.set(magic, 0)
  file.writeBigUInt64LE(BigInt(version), 8)
  file.writeUInt32LE(crc32(name), 16)
  file.writeUInt32LE(bytes.byteLength, 20)
  file.writeUInt32LE(crc32(bytes), 24)
  file.writeUInt32LE(crc32(file.subarray(0, 28)), 28)
  file.set(bytes, headerBytes)
  return file
}

/** @throws KAGAMI_BAD_DOCUMENT */
export function decodeDocument(path: string, name: string, version: number, file: Buffer): Uint8Array {
  const bytes = file.subarray(headerBytes)
  const whole =
    file.byteLength >= headerBytes &&
    file.subarray(0, 8).equals(magic) &&
    crc32(file.subarray(0, 28)) === file.readUInt32LE(28) &&
    Number(file.readBigUInt64LE(8)) === version &&
    file.readUInt32LE(16) === crc32(name) &&
    file.readUInt32LE(20) === bytes.byteLength &&
    crc32(bytes) === file.readUInt32LE(24)
  if (!whole) {
    throw new KagamiError(
      'KAGAMI_BAD_DOCUMENT',
      `${path} is damaged: restore it from a backup, or remove it to lose the document`,
      {
        details: { path, name, version },
      },
    )
  }
  // A copy of its own: `readFile` may hand out a part of a shared pool.
  return new Uint8Array(bytes)
}
