/** The bytes of a frame: "immutable: same bytes for ever", and "unknown version or kind without the skip bit, or a bad checksum, stops the copy". */
import fc from 'fast-check'
import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  decodeEntries,
  decodeFrame,
  encodeEntries,
  encodeFrame,
  ENTRY_OVERHEAD_BYTES,
  frameOverhead,
  recordChecksum,
} from '../../src/engine/frame.js'
import type { DataFrame, Frame } from '../../src/engine/frame.js'
import {
  anyFrame,
  barrierFrame,
  dataFrame,
  entryList,
  LARGEST_COUNT,
  LARGEST_TERM,
  levelFrame,
  LONGEST_NAME,
  markerFrame,
  oneOfEachKind,
  openFrame,
  text,
} from './frames.js'
import { codeOf, forAll, fromHex, hex, Tally } from './support.js'

/** Decoded bodies are views of the record; plain arrays compare by content. */
function comparable(frame: object): object {
  return 'body' in frame ? { ...frame, body: [...(frame.body as Uint8Array)] } : frame
}

/** Puts the right checksum behind changed bytes. */
function resealed(record: Uint8Array, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(record)
  change(bytes)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

describe('a frame is read back as it was written', () => {
  test('whatever its kind and its fields', () => {
    const tally = new Tally()
    forAll(anyFrame, 2_000, (frame) => {
      tally.add(frame.kind)
      expect(comparable(decodeFrame(encodeFrame(frame)))).toEqual(comparable(frame))
    })
    tally.expectAll('open', 'barrier', 'data', 'marker', 'level')
  })

  test('when every field is as large as it may be', () => {
    const largest = { token: LONGEST_NAME, incarnation: LARGEST_COUNT, timeMs: LARGEST_COUNT }
    const role = { ...largest, epoch: LARGEST_COUNT, term: LARGEST_TERM }
    const frames: Frame[] = [
      openFrame({ ...largest, address: '鏡'.repeat(66), identity: '鏡'.repeat(66) }),
      barrierFrame(role),
      dataFrame([text('x')], { ...role, firstSeq: LARGEST_COUNT, firstIndex: LARGEST_COUNT, chain: LARGEST_TERM }),
      markerFrame({ ...largest, nonce: LARGEST_TERM }),
      levelFrame({ ...role, level: 2 ** 32 - 1 }),
    ]
    expect(Buffer.byteLength(LONGEST_NAME)).toBe(200)
    for (const frame of frames) expect(comparable(decodeFrame(encodeFrame(frame)))).toEqual(comparable(frame))
  })

  test('when it lies inside a larger buffer', () => {
    for (const frame of oneOfEachKind) {
      const record = encodeFrame(frame)
      const around = new Uint8Array(record.length + 20).fill(0xee)
      around.set(record, 7)
      const inside = around.subarray(7, 7 + record.length)
      expect(comparable(decodeFrame(inside))).toEqual(comparable(frame))
      expect(recordChecksum(inside)).toBe(recordChecksum(record))
    }
  })

  test('a fractional or negative time is written as the whole number below, and not before 1970', () => {
    expect(decodeFrame(encodeFrame(markerFrame({ timeMs: 12.75 })))).toMatchObject({ timeMs: 12 })
    expect(decodeFrame(encodeFrame(markerFrame({ timeMs: -5 })))).toMatchObject({ timeMs: 0 })
  })
})

describe('format 1 never changes', () => {
  // magic, version, kind, flags, 0, name length | incarnation | epoch | term | first seq | first index | count | body length | time | chain
  test.each<[string, Frame, string[]]>([
    [
      'open',
      openFrame(),
      [
        '4b67 01 01 00 00 0006   0000000000000001 0000000000000000 0000000000000000',
        '0000000000000000 0000000000000000 00000000 0000002b 0000018bcfe56800 0000000000000000',
        '6f7264657273',
        hex(text('{"address":"log-1","identity":"uuid-1"}')).padEnd(0),
      ],
    ],
    [
      'open, deleted',
      openFrame({ deleted: true, incarnation: 2 }),
      [
        '4b67 01 01 02 00 0006   0000000000000002 0000000000000000 0000000000000000',
        '0000000000000000 0000000000000000 00000000 00000027 0000018bcfe56800 0000000000000000',
        '6f7264657273',
        hex(text('{"address":"log-1","identity":"uuid-1"}')),
      ],
    ],
  ])('%s', (_kind, frame, fields) => {
    expect(hex(encodeFrame(frame))).toBe(hex(fromHex(...fields)))
  })
})
