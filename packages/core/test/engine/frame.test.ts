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
  resealed,
  text,
} from './frames.js'
import { codeOf, forAll, fromHex, hex, Tally } from './support.js'

/** Decoded bodies are views of the record; plain arrays compare by content. */
function comparable(frame: object): object {
  return 'body' in frame ? { ...frame, body: [...(frame.body as Uint8Array)] } : frame
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
  const role = { incarnation: 3, epoch: 7, term: 0x0123456789abcdefn }
  const log = '7b2261646472657373223a226c6f672d31222c226964656e74697479223a22757569642d31227d'
  // Magic, version, kind, flags, 0, name's length; incarnation; epoch; term | first seq; first index; count; body's length; time; chain | name; body; checksum.
  test.each<[string, Frame, string[]]>([
    [
      'open',
      openFrame(),
      [
        '4b67 01 01 00 00 0006  0000000000000001 0000000000000000 0000000000000000',
        '0000000000000000 0000000000000000 00000000 00000027 0000018bcfe56800 0000000000000000',
        `6f7264657273 ${log} 19c3be9b`,
      ],
    ],
    [
      'open, deleted',
      openFrame({ deleted: true, incarnation: 2 }),
      [
        '4b67 01 01 02 00 0006  0000000000000002 0000000000000000 0000000000000000',
        '0000000000000000 0000000000000000 00000000 00000027 0000018bcfe56800 0000000000000000',
        `6f7264657273 ${log} ae553e56`,
      ],
    ],
    [
      'barrier',
      barrierFrame({ ...role, nextIndex: 9 }),
      [
        '4b67 01 02 00 00 0006  0000000000000003 0000000000000007 0123456789abcdef',
        '0000000000000000 0000000000000009 00000000 00000000 0000018bcfe56800 0000000000000000',
        '6f7264657273 6fb837fc',
      ],
    ],
    [
      'data',
      dataFrame([text('hi'), text(''), new Uint8Array(130).fill(0x2a)], {
        ...role,
        firstSeq: 4,
        firstIndex: 0x123456789ab,
        chain: 0xfedcba9876543210n,
      }),
      [
        '4b67 01 03 00 00 0006  0000000000000003 0000000000000007 0123456789abcdef',
        '0000000000000004 00000123456789ab 00000003 0000008b 0000018bcfe56800 fedcba9876543210',
        `6f7264657273 00 02 6869  00 00  00 8201 ${'2a'.repeat(130)} 630282d2`,
      ],
    ],
    [
      'marker',
      markerFrame({ incarnation: 3, nonce: 0x1122334455667788n }),
      [
        '4b67 01 04 00 00 0006  0000000000000003 0000000000000000 0000000000000000',
        '0000000000000000 0000000000000000 00000000 00000008 0000018bcfe56800 0000000000000000',
        '6f7264657273 1122334455667788 4226bf28',
      ],
    ],
    [
      'level',
      levelFrame({ ...role, level: 4 }),
      [
        '4b67 01 05 00 00 0006  0000000000000003 0000000000000007 0123456789abcdef',
        '0000000000000000 0000000000000000 00000000 00000004 0000018bcfe56800 0000000000000000',
        '6f7264657273 00000004 76a98608',
      ],
    ],
  ])('%s', (_kind, frame, fields) => {
    expect(hex(encodeFrame(frame))).toBe(hex(fromHex(...fields)))
    expect(comparable(decodeFrame(fromHex(...fields)))).toEqual(comparable(frame))
  })
})

describe('damage is noticed', () => {
  test('any single flipped bit of a frame is refused, whatever it would turn the frame into', () => {
    let flips = 0
    for (const frame of oneOfEachKind) {
      const record = Buffer.from(encodeFrame(frame))
      for (let bit = 0; bit < record.length * 8; bit++) {
        const byte = record[bit >> 3] as number
        record[bit >> 3] = byte ^ (1 << (bit & 7))
        expect(
          codeOf(() => decodeFrame(record)),
          `${frame.kind}, bit ${bit}`,
        ).toBe('KAGAMI_BAD_FRAME')
        record[bit >> 3] = byte
        flips += 1
      }
      expect(comparable(decodeFrame(record))).toEqual(comparable(frame))
    }
    expect(flips).toBeGreaterThan(4_000)
  })

  test('a flipped bit in a random frame is refused', () => {
    forAll(fc.tuple(anyFrame, fc.nat()), 500, ([frame, at]) => {
      const record = Buffer.from(encodeFrame(frame))
      const bit = at % (record.length * 8)
      record[bit >> 3] = (record[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(codeOf(() => decodeFrame(record))).toBe('KAGAMI_BAD_FRAME')
    })
  })

  test('a frame that is cut short at either end, or continued, is refused', () => {
    for (const frame of oneOfEachKind) {
      const record = encodeFrame(frame)
      for (let length = 0; length < record.length; length++) {
        expect(codeOf(() => decodeFrame(record.subarray(0, length)))).toBe('KAGAMI_BAD_FRAME')
        expect(codeOf(() => decodeFrame(record.subarray(record.length - length)))).toBe('KAGAMI_BAD_FRAME')
      }
      for (const more of [1, 4, 72]) {
        expect(codeOf(() => decodeFrame(Buffer.concat([record, new Uint8Array(more)])))).toBe('KAGAMI_BAD_FRAME')
      }
    }
  })

  test('what was never a frame is refused, also under a right checksum', () => {
    const notFrames = [text(''), text('{"format":1}'), new Uint8Array(80), text('x'.repeat(200))]
    for (const bytes of notFrames) expect(codeOf(() => decodeFrame(bytes))).toBe('KAGAMI_BAD_FRAME')
    const marker = encodeFrame(markerFrame())
    expect(codeOf(() => decodeFrame(resealed(marker, (bytes) => bytes.writeUInt16BE(0x4b68, 0))))).toBe(
      'KAGAMI_BAD_FRAME',
    )
  })

  test('what a later version puts behind the nonce of a marker is passed over', () => {
    const frame = markerFrame({ nonce: 7n })
    const bytes = encodeFrame(frame)
    const longer = Buffer.concat([bytes.subarray(0, -4), text('a digest'), bytes.subarray(-4)])
    const resized = resealed(longer, (out) => out.writeUInt32BE(8 + 8, 52))
    expect(decodeFrame(resized)).toEqual(frame)
  })

  test.each<[string, Frame, (bytes: Buffer) => void]>([
    ['the length of the name', markerFrame(), (bytes) => bytes.writeUInt16BE(7, 6)],
    ['the length of the body', markerFrame(), (bytes) => bytes.writeUInt32BE(9, 52)],
    ['an incarnation beyond 2^53', markerFrame(), (bytes) => bytes.writeUInt32BE(2 ** 21, 8)],
    ['an epoch beyond 2^53', barrierFrame(), (bytes) => bytes.writeUInt32BE(2 ** 21, 16)],
    ['a seq beyond 2^53', dataFrame([text('x')]), (bytes) => bytes.writeUInt32BE(2 ** 31, 32)],
    ['a log that is not named', openFrame(), (bytes) => bytes.fill(0x20, 78, bytes.length - 4)],
    ['JSON of another shape', openFrame({ address: '', identity: '' }), (bytes) => bytes.write('null'.padEnd(28), 78)],
    ['a log without its identity', openFrame(), (bytes) => bytes.write('IDENTITY', bytes.indexOf('identity'))],
    ['an address that is no text', openFrame({ address: 'ab' }), (bytes) => bytes.write('1234', bytes.indexOf('"ab"'))],
  ])('%s is refused under a right checksum', (_what, frame, change) => {
    const record = encodeFrame(frame)
    expect(codeOf(() => decodeFrame(record))).toBe('nothing')
    expect(codeOf(() => decodeFrame(resealed(record, change)))).toBe('KAGAMI_BAD_FRAME')
  })

  test.each([
    ['a marker without its nonce', markerFrame()],
    ['a level frame without its level', levelFrame()],
  ])('%s is refused under a right checksum', (_what, frame) => {
    const record = Buffer.from(encodeFrame(frame)).subarray(0, -1)
    expect(
      codeOf(() => decodeFrame(resealed(record, (bytes) => bytes.writeUInt32BE(bytes.readUInt32BE(52) - 1, 52)))),
    ).toBe('KAGAMI_BAD_FRAME')
  })
})

describe('a frame of a newer version', () => {
  const skippable = (bytes: Buffer): void => void (bytes[4] = (bytes[4] as number) | 1)

  test.each<[string, (bytes: Buffer) => void]>([
    ['of an unknown version', (bytes) => bytes.writeUInt8(2, 2)],
    ['of version 0', (bytes) => bytes.writeUInt8(0, 2)],
    ['of an unknown kind', (bytes) => bytes.writeUInt8(6, 3)],
    ['of kind 0', (bytes) => bytes.writeUInt8(0, 3)],
  ])('%s stops the copy, unless the frame says that it may be skipped', (_what, change) => {
    for (const frame of oneOfEachKind) {
      const newer = resealed(encodeFrame(frame), change)
      expect(codeOf(() => decodeFrame(newer))).toBe('KAGAMI_UNKNOWN_FORMAT')
      expect(decodeFrame(resealed(newer, skippable))).toEqual({ kind: 'skipped' })
    }
  })

  test('may be shorter than any frame of this version', () => {
    const short = fromHex('4b67 02 01 01 00 00 00', '00000000')
    expect(decodeFrame(resealed(short, () => undefined))).toEqual({ kind: 'skipped' })
    expect(codeOf(() => decodeFrame(resealed(short, (bytes) => bytes.writeUInt8(0, 4))))).toBe('KAGAMI_UNKNOWN_FORMAT')
    expect(codeOf(() => decodeFrame(resealed(short, (bytes) => bytes.writeUInt8(1, 2))))).toBe('KAGAMI_BAD_FRAME')
  })

  test('is refused, not skipped, when it is damaged', () => {
    const newer = resealed(encodeFrame(markerFrame()), (bytes) => {
      bytes.writeUInt8(2, 2)
      skippable(bytes)
    })
    newer.writeUInt8(9, 40)
    expect(codeOf(() => decodeFrame(newer))).toBe('KAGAMI_BAD_FRAME')
  })

  test('the skip bit changes nothing for a kind that is known', () => {
    const frame = markerFrame({ nonce: 5n })
    expect(decodeFrame(resealed(encodeFrame(frame), skippable))).toEqual(frame)
  })
})

describe('entries', () => {
  test('are read back in order and byte for byte, empty ones too', () => {
    const tally = new Tally()
    forAll(entryList, 1_000, (entries) => {
      tally.add(entries.length === 0 ? 'no entry' : 'some')
      if (entries.some((entry) => entry.length === 0)) tally.add('an empty entry')
      if (entries.some((entry) => entry.length > 16_383)) tally.add('a long entry')
      expect(decodeEntries(encodeEntries(entries), entries.length).map(hex)).toEqual(entries.map(hex))
    })
    tally.expectAll('no entry', 'an empty entry', 'a long entry')
  })

  test('are read back through a frame', () => {
    forAll(entryList, 200, (entries) => {
      const frame = decodeFrame(encodeFrame(dataFrame(entries))) as DataFrame
      expect(decodeEntries(frame.body, frame.count).map(hex)).toEqual(entries.map(hex))
    })
  })

  test('a body that holds fewer or more entries than the frame counts is refused', () => {
    forAll(fc.tuple(entryList, fc.integer({ min: -8, max: 8 })), 500, ([entries, off]) => {
      const count = Math.max(0, entries.length + off)
      const expected = count === entries.length ? 'nothing' : 'KAGAMI_BAD_FRAME'
      expect(codeOf(() => decodeEntries(encodeEntries(entries), count))).toBe(expected)
    })
    expect(codeOf(() => decodeEntries(encodeEntries([text('x')]), 2 ** 32 - 1))).toBe('KAGAMI_BAD_FRAME')
  })

  test('a body that is cut anywhere is refused', () => {
    const entries = [text('first'), text(''), new Uint8Array(200)]
    const body = encodeEntries(entries)
    for (let length = 0; length < body.length; length++) {
      expect(codeOf(() => decodeEntries(body.subarray(0, length), 3))).toBe('KAGAMI_BAD_FRAME')
    }
  })

  test('a length without an end, or of more than five bytes, is refused', () => {
    expect(codeOf(() => decodeEntries(fromHex('00 ff ff ff ff ff ff 00'), 1))).toBe('KAGAMI_BAD_FRAME')
    expect(codeOf(() => decodeEntries(fromHex('00 80 80 80 80 80 00'), 1))).toBe('KAGAMI_BAD_FRAME')
  })

  test('a header of an entry, reserved for request ids, is passed over', () => {
    expect(decodeEntries(fromHex('03 aabbcc 02 6869'), 1).map(hex)).toEqual(['6869'])
  })

  test('need no more room than is reckoned for them', () => {
    for (const length of [0, 127, 128, 16_384, 1_000_000, 2_100_000]) {
      const entry = new Uint8Array(length)
      expect(encodeEntries([entry]).length).toBeLessThanOrEqual(length + ENTRY_OVERHEAD_BYTES)
      const record = encodeFrame(dataFrame([entry], { token: LONGEST_NAME }))
      expect(record.length).toBeLessThanOrEqual(length + frameOverhead(200))
    }
  })
})

test('the checksum of a record tells two records apart, of any length', () => {
  const records = [text(''), text('a'), text('abc'), ...oneOfEachKind.map(encodeFrame)]
  expect(new Set(records.map(recordChecksum)).size).toBe(records.length)
  for (const record of oneOfEachKind.map(encodeFrame))
    expect(recordChecksum(record)).toBe(crc32(record.subarray(0, -4)))
})
