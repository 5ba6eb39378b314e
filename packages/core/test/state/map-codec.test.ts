/** Checks that a map comes back from its bytes, and that nothing else comes back from anything else. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { persistMap, restoreMap, snapshotMap } from '../../src/state/index.js'
import type { SnapshotMap } from '../../src/state/index.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const encodeEntry = (key: string, value: string) => encoder.encode(JSON.stringify([key, value]))
const decodeEntry = (bytes: Uint8Array) => JSON.parse(decoder.decode(bytes)) as [string, string]
const corrupt = expect.objectContaining({ name: 'KagamiError', code: 'KAGAMI_SNAPSHOT_CORRUPT' }) as Error

function mapOf(entries: Iterable<readonly [string, string]>): SnapshotMap<string> {
  const map = snapshotMap<string>()
  for (const [key, value] of entries) map.set(key, value)
  return map
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const collected: Uint8Array[] = []
  for await (const chunk of chunks) collected.push(chunk)
  return collected
}

async function bytesOf(map: SnapshotMap<string>): Promise<Buffer> {
  return Buffer.concat(await collect(persistMap(map.capture(), encodeEntry)))
}

async function* pieces(bytes: Uint8Array, ...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.byteLength; turn += 1) {
    const size = sizes[turn % sizes.length]!
    yield bytes.slice(at, at + size)
    at += size
  }
}

const small = mapOf(Array.from({ length: 50 }, (_, index) => [`key-${index}`, `value ${index}`]))

describe('persistMap and restoreMap', () => {
  test('give the map back, whatever the borders of the chunks', async () => {
    const entries = fc.uniqueArray(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ maxLength: 200 })), {
      selector: ([key]) => key,
    })
    const sizes = fc
      .array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 5 })
      .filter((list) => list.some((size) => size > 0))
    await fc.assert(
      fc.asyncProperty(entries, sizes, async (list, borders) => {
        const map = mapOf(list)
        const restored = await restoreMap(pieces(await bytesOf(map), ...borders), decodeEntry)
        expect([...restored]).toEqual([...map])
        expect(restored.size).toBe(map.size)
      }),
      { numRuns: 200 },
    )
  })

  test('write equal bytes for equal maps', async () => {
    const entries = Array.from({ length: 5000 }, (_, index) => [`key-${(index * 7919) % 5000}`, String(index)] as const)
    const reversed = mapOf([...entries].reverse())
    expect(await bytesOf(reversed)).toEqual(await bytesOf(mapOf(entries)))
  })

  test('write chunks of about 64 KiB, however small or large the entries are', async () => {
    const map = mapOf(Array.from({ length: 20_000 }, (_, index) => [`key-${index}`, 'v'.repeat(index % 100)]))
    map.set('large', 'x'.repeat(1_000_000))
    const chunks = await collect(persistMap(map.capture(), encodeEntry))
    const sizes = chunks.map((chunk) => chunk.byteLength)
    expect(sizes.filter((size) => size > 64 * 1024).length).toBe(1)
    expect(sizes.filter((size) => size < 60 * 1024).length).toBeLessThanOrEqual(2)
    expect([...(await restoreMap(pieces(Buffer.concat(chunks), 1000), decodeEntry))]).toEqual([...map])
  })

  test('show the map as it was captured, while writes go on between the chunks', async () => {
    const map = mapOf(Array.from({ length: 20_000 }, (_, index) => [`key-${index}`, 'before']))
    const expected = [...map]
    const view = map.capture()
    const chunks: Uint8Array[] = []
    let turn = 0
    for await (const chunk of persistMap(view, encodeEntry)) {
      chunks.push(chunk)
      for (let index = turn; index < 20_000; index += 5) {
        if (turn % 2 === 0) map.set(`key-${index}`, 'after')
        else map.delete(`key-${index}`)
      }
      turn += 1
    }
    expect(turn).toBeGreaterThan(5)
    expect([...(await restoreMap(pieces(Buffer.concat(chunks), 65_536), decodeEntry))]).toEqual(expected)
  })

  test("give chunks that are the caller's own", async () => {
    const map = mapOf(Array.from({ length: 20_000 }, (_, index) => [`key-${index}`, 'value']))
    const copies: Buffer[] = []
    for await (const chunk of persistMap(map.capture(), encodeEntry)) {
      copies.push(Buffer.from(chunk))
      chunk.fill(0xff)
    }
    expect(Buffer.concat(copies)).toEqual(await bytesOf(map))
  })

  test('take an encoder that uses one buffer for all entries', async () => {
    const shared = new Uint8Array(256)
    const reusing = (key: string, value: string) =>
      shared.subarray(0, encoder.encodeInto(JSON.stringify([key, value]), shared).written)
    const bytes = Buffer.concat(await collect(persistMap(small.capture(), reusing)))
    expect(bytes).toEqual(await bytesOf(small))
  })

  test("end with the signal's reason when it aborts, before and between chunks", async () => {
    const map = mapOf(Array.from({ length: 20_000 }, (_, index) => [`key-${index}`, 'value']))
    const reason = new Error('enough')
    await expect(collect(persistMap(map.capture(), encodeEntry, { signal: AbortSignal.abort(reason) }))).rejects.toBe(
      reason,
    )
    const controller = new AbortController()
    const chunks = persistMap(map.capture(), encodeEntry, { signal: controller.signal })
    await chunks.next()
    controller.abort(reason)
    await expect(chunks.next()).rejects.toBe(reason)
  })

  test('pass on what the encoder and the source throw', async () => {
    const error = new Error('theirs')
    const failing = () => {
      throw error
    }
    await expect(collect(persistMap(small.capture(), failing))).rejects.toBe(error)
    const bytes = await bytesOf(small)
    async function* breaking() {
      yield bytes.subarray(0, 100)
      throw error
    }
    await expect(restoreMap(breaking(), decodeEntry)).rejects.toBe(error)
  })

  test('refuse what an encoder gives instead of bytes, which could not be read back', async () => {
    for (const record of ['text', [1, 2], new ArrayBuffer(2), undefined]) {
      const encode = () => record as unknown as Uint8Array
      await expect(collect(persistMap(small.capture(), encode))).rejects.toMatchObject({
        code: 'KAGAMI_SNAPSHOT_FAILED',
      })
    }
  })

  test('refuse input that is cut short anywhere', async () => {
    const bytes = await bytesOf(small)
    for (let length = 0; length < bytes.byteLength; length += 1) {
      await expect(restoreMap(pieces(bytes.subarray(0, length), 64), decodeEntry)).rejects.toEqual(corrupt)
    }
  })

  test('refuse input that goes on after its end, in the same chunk or in another', async () => {
    const longer = Buffer.concat([await bytesOf(small), Buffer.of(0)])
    await expect(restoreMap(pieces(longer, longer.byteLength), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(pieces(longer, longer.byteLength - 1), decodeEntry)).rejects.toEqual(corrupt)
  })

  test('refuse a wrong head, a wrong count, an impossible length, a key that comes twice, and what can not be decoded', async () => {
    const bytes = await bytesOf(small)
    const changed = (at: number, ...values: number[]) => {
      const copy = Buffer.from(bytes)
      copy.set(values, at < 0 ? copy.byteLength + at : at)
      return pieces(copy, 100)
    }
    await expect(restoreMap(changed(0, 0), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(changed(5, 2), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(changed(-8, 49), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(changed(-1, 1), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(changed(9, 0x40), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(changed(10, 0xff), decodeEntry)).rejects.toEqual(corrupt)
    await expect(restoreMap(changed(0), () => ['always', 'the same'])).rejects.toEqual(corrupt)
    expect((await restoreMap(changed(0), decodeEntry)).size).toBe(50)
  })

  test('refuse an entry of which the length is larger than all that comes, without taking memory for it', async () => {
    const bytes = Buffer.from(await bytesOf(small))
    bytes.writeUInt32LE(0x3fff_ffff, 6)
    const before = process.memoryUsage().arrayBuffers
    await expect(restoreMap(pieces(bytes, 100), decodeEntry)).rejects.toEqual(corrupt)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024)
  })
})
