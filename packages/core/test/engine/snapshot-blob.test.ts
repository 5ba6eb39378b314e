/** The layout of a snapshot's blob: "a torn, corrupt or partial snapshot is never restored". Whatever is done to its bytes, the reader notices. */
import fc from 'fast-check'
import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { BLOCK_BYTES, BlobReader, dataBlock, endBlock, headerBlock } from '../../src/engine/snapshot-blob.js'
import { codeOf, forAll, fromHex, hex } from './support.js'
import { metaOf } from './snapshots.js'

const META = metaOf()

function blocksOf(data: readonly Uint8Array[]): Uint8Array[] {
  const bytes = data.reduce((sum, one) => sum + one.length, 0)
  return [headerBlock(META), ...data.map((one, at) => dataBlock(one, at)), endBlock(data.length, bytes)]
}

function readAll(chunks: readonly Uint8Array[]): { readonly reader: BlobReader; readonly data: Buffer } {
  const reader = new BlobReader()
  const data = chunks.flatMap((chunk) => reader.push(chunk))
  reader.finish()
  return { reader, data: Buffer.concat(data) }
}

/** Cuts bytes at the given places, in any order, also empty chunks. */
function chunked(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => bytes.slice(at[i], end))
}

const read = (...parts: readonly Uint8Array[]): unknown => codeOf(() => readAll([Buffer.concat(parts)]))
const one = fc.uint8Array({ maxLength: 60 })
const someData = fc.array(one, { maxLength: 6 })
const DATA = [Buffer.from('first'), Buffer.from(''), Buffer.from('third and last')]

describe('a blob is read back', () => {
  test('whatever the chunks that it comes in', () => {
    let empty = 0
    forAll(fc.tuple(someData, fc.array(fc.nat(), { maxLength: 30 })), 1_000, ([data, cuts]) => {
      const { reader, data: back } = readAll(chunked(Buffer.concat(blocksOf(data)), cuts))
      expect(hex(back)).toBe(hex(Buffer.concat(data)))
      expect([reader.meta, reader.whole]).toEqual([META, true])
      if (data.length === 0) empty += 1
    })
    expect(empty).toBeGreaterThan(10)
  })

  test('byte by byte, with the metadata known after the header and the whole only at the end', () => {
    const bytes = Buffer.concat(blocksOf(DATA))
    const header = headerBlock(META).length
    const reader = new BlobReader()
    for (let i = 0; i < bytes.length; i++) {
      expect([reader.meta !== undefined, reader.whole]).toEqual([i >= header, false])
      reader.push(bytes.subarray(i, i + 1))
    }
    expect(reader.whole).toBe(true)
    reader.finish()
  })

  test('with blocks of full size', () => {
    const full = Buffer.alloc(BLOCK_BYTES, 0x5a)
    const { data } = readAll(chunked(Buffer.concat(blocksOf([full, full])), [65_536, 131_072, 300_000]))
    expect(data.equals(Buffer.concat([full, full]))).toBe(true)
  })
})

describe('damage is noticed', () => {
  test('any single flipped bit', () => {
    const bytes = Buffer.concat(blocksOf(DATA))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const before = bytes[bit >> 3] as number
      bytes[bit >> 3] = before ^ (1 << (bit & 7))
      expect(read(bytes), `bit ${bit}`).toBe('KAGAMI_SNAPSHOT_CORRUPT')
      bytes[bit >> 3] = before
    }
    expect(read(bytes)).toBe('nothing')
    expect(bytes.length).toBeGreaterThan(400)
  })

  test('any cut, at the end or at the beginning, and anything that follows', () => {
    const bytes = Buffer.concat(blocksOf(DATA))
    for (let length = 0; length < bytes.length; length++) {
      expect(read(bytes.subarray(0, length))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
      expect(read(bytes.subarray(bytes.length - length))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    }
    expect(read(bytes, new Uint8Array(1))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    expect(read(bytes, bytes)).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    expect(codeOf(() => readAll([bytes, new Uint8Array(0)]))).toBe('nothing')
    expect(codeOf(() => readAll([bytes, new Uint8Array(1)]))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
  })

  test('a block that is missing, repeated, or in another place', () => {
    const order = fc.array(fc.nat({ max: 4 }), { maxLength: 8 })
    let wrong = 0
    forAll(order, 2_000, (order) => {
      const blocks = blocksOf(DATA)
      const right = order.join() === '0,1,2,3,4'
      if (!right) wrong += 1
      expect(read(...order.map((at) => blocks[at] as Uint8Array))).toBe(right ? 'nothing' : 'KAGAMI_SNAPSHOT_CORRUPT')
    })
    expect(wrong).toBeGreaterThan(1_900)
    const [header, first, second, third, end] = blocksOf(DATA) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    for (const order of [
      [first, second, third, end],
      [header, second, first, third, end],
      [header, first, first, second, third, end],
      [header, first, third, end],
      [header, header, first, second, third, end],
      [header, first, second, third],
      [header, first, second, third, end, end],
      [header, end],
      [],
    ]) {
      expect(read(...order)).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    }
  })

  test('an end that tells of other totals', () => {
    const blocks = blocksOf(DATA).slice(0, -1)
    const total = Buffer.concat(DATA).length
    expect(read(...blocks, endBlock(3, total))).toBe('nothing')
    for (const end of [endBlock(3, total + 1), endBlock(3, total + 2 ** 32), endBlock(2, total), endBlock(4, total)]) {
      expect(read(...blocks, end)).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    }
  })

  test('a block of one snapshot within another of the same shape', () => {
    const other = blocksOf([Buffer.from('FIRST'), Buffer.from('x'), Buffer.from('third and last')])
    const [header, first, , third, end] = blocksOf(DATA) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
    expect(read(header, first, other[2] as Uint8Array, third, end)).toBe('KAGAMI_SNAPSHOT_CORRUPT')
  })

  test('a length beyond all blocks, before anything so large is gathered', () => {
    const reader = new BlobReader()
    const block = Buffer.from(headerBlock(META))
    block.writeUInt32BE(0xffff_ffff, 4)
    expect(codeOf(() => reader.push(block.subarray(0, 12)))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
  })
})

/** A block with changed bytes and the right checksum. */
function resealed(block: Uint8Array, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(block)
  change(bytes)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

describe('what another version wrote', () => {
  test('is refused as unknown, not as corrupt', () => {
    const [header, ...rest] = blocksOf(DATA) as [Uint8Array, ...Uint8Array[]]
    expect(
      read(
        resealed(header, (bytes) => bytes.writeUInt8(2, 2)),
        ...rest,
      ),
    ).toBe('KAGAMI_UNKNOWN_FORMAT')
  })

  test('a block of an unknown kind is not passed over', () => {
    const [header, first, ...rest] = blocksOf(DATA) as [Uint8Array, Uint8Array, ...Uint8Array[]]
    expect(
      read(
        header,
        resealed(first, (bytes) => bytes.writeUInt8(5, 3)),
        ...rest,
      ),
    ).toBe('KAGAMI_SNAPSHOT_CORRUPT')
  })

  test('blocks of request ids, reserved for later, are counted and passed over', () => {
    const requestIds = (sequence: number): Uint8Array =>
      resealed(dataBlock(Buffer.from('ids'), sequence), (bytes) => bytes.writeUInt8(4, 3))
    const [header, first] = blocksOf(DATA) as [Uint8Array, Uint8Array]
    const second = dataBlock(Buffer.from('second'), 2)
    const whole = [header, first, requestIds(1), second, requestIds(3), endBlock(4, 11)]
    expect(readAll(whole).data.toString()).toBe('firstsecond')
    for (const missing of [2, 4]) {
      expect(read(...whole.filter((_, at) => at !== missing))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    }
  })

  test.each(['not JSON at all', 'null', '7'])(
    'a header that holds %s is corrupt, also under a right checksum',
    (content) => {
      const bytes = Buffer.from(content)
      const header = resealed(dataBlock(bytes, 0), (block) => block.writeUInt8(1, 3))
      expect(read(header, endBlock(0, 0))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
    },
  )

  test('data that looks like metadata is not taken for a header', () => {
    expect(read(dataBlock(Buffer.from(JSON.stringify(META)), 0), endBlock(0, 0))).toBe('KAGAMI_SNAPSHOT_CORRUPT')
  })

  test('format 1 never changes', () => {
    // Magic, version, kind, length, sequence | content | checksum.
    expect(hex(dataBlock(Buffer.from('hi'), 5))).toBe(hex(fromHex('4b73 01 02 00000002 00000005  6869  13d3bbae')))
    expect(hex(endBlock(6, 2 ** 32 + 1))).toBe(hex(fromHex('4b73 01 03 00000008 00000006  0000000100000001  0c71d9d8')))
    const json =
      '{"format":1,"id":"1-10-a-00","token":"orders","incarnation":1,"epoch":3,"term":"00000000000000ff","nextSeq":4,"nextIndex":10,' +
      '"chain":"0123456789abcdef","level":0,"anchor":{"offset":"100","checksum":123456},"log":{"address":"log-1","identity":"uuid-1"},' +
      '"schemaVersion":2,"takenAtMs":1700000000000,"member":"a-1"}'
    const header = Buffer.from(headerBlock(META))
    expect(hex(header.subarray(0, 12))).toBe(
      hex(fromHex('4b73 01 01', json.length.toString(16).padStart(8, '0'), '00000000')),
    )
    expect(header.subarray(12, -4).toString()).toBe(json)
    expect(header.readUInt32BE(header.length - 4)).toBe(crc32(header.subarray(0, -4)))
  })
})
