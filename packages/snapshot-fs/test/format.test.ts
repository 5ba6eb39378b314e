/** Checks that no damage to a file passes for a snapshot. */
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isKagamiError } from '@kagami/core/contract'
import { BLOCK_BYTES, CRC_BYTES, TRAILER_BYTES } from '../src/format.js'
import type { FsSnapshotStore } from '../src/store.js'
import { chunksOf, folder, metaOf, noise, options, read, started } from './support.js'

const sizes = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES]

async function published(
  content: Uint8Array,
  token = 'orders',
): Promise<{ store: FsSnapshotStore; file: string; bytes: Buffer }> {
  const dir = await folder()
  const store = await started(dir)
  await store.create(metaOf(token, 'one'), chunksOf(content), options)
  const file = join(
    dir,
    (await readdir(dir, { recursive: true })).find((name) => name.endsWith('.snap'))!,
  )
  return { store, file, bytes: await readFile(file) }
}

/** What reading gives: the content, or that it is damaged. Anything else is thrown. */
async function outcome(store: FsSnapshotStore): Promise<Buffer | 'corrupt' | 'missing'> {
  try {
    return await read(store, 'orders', 'one')
  } catch (error) {
    if (isKagamiError(error, 'KAGAMI_SNAPSHOT_CORRUPT')) return 'corrupt'
    if (isKagamiError(error, 'KAGAMI_SNAPSHOT_MISSING')) return 'missing'
    throw error
  }
}

describe('the file of a snapshot', () => {
  test.each(sizes)('gives %i bytes back, and tells how many they are without reading them', async (size) => {
    const content = noise(size)
    const { store } = await published(content)
    expect((await read(store, 'orders', 'one')).equals(content)).toBe(true)
    expect((await store.list('orders', options))[0]?.bytes).toBe(size)
  })

  test('with any one bit flipped is refused', async () => {
    const { store, file, bytes } = await published(noise(300))
    for (let at = 0; at < bytes.byteLength; at += 1) {
      const damaged = Buffer.from(bytes)
      damaged[at] = damaged[at]! ^ (1 << (at % 8))
      await writeFile(file, damaged)
      expect(await outcome(store)).toBe('corrupt')
    }
  })

  test('cut short at any byte is refused before any of it is given', async () => {
    const { store, file, bytes } = await published(noise(300))
    for (let length = 0; length < bytes.byteLength; length += 1) {
      await writeFile(file, bytes.subarray(0, length))
      const reader = store.open('orders', 'one', options)
      await expect(reader.next()).rejects.toMatchObject({ code: 'KAGAMI_SNAPSHOT_CORRUPT' })
    }
  })

  test.each([0, 300, BLOCK_BYTES])('of %i bytes that goes on after its end is refused', async (size) => {
    const { store, file, bytes } = await published(noise(size))
    for (const extra of [1, CRC_BYTES, CRC_BYTES + 1, TRAILER_BYTES, BLOCK_BYTES]) {
      await writeFile(file, Buffer.concat([bytes, Buffer.alloc(extra)]))
      expect(await outcome(store)).toBe('corrupt')
    }
  })

  test('with damage in a later block gives the blocks before, then KAGAMI_SNAPSHOT_CORRUPT', async () => {
    const content = noise(5 * BLOCK_BYTES)
    const { store, file, bytes } = await published(content)
    bytes[bytes.byteLength - TRAILER_BYTES - 1]! ^= 1
    await writeFile(file, bytes)
    const parts: Uint8Array[] = []
    const reading = async () => {
      for await (const part of store.open('orders', 'one', options)) parts.push(part)
    }
    await expect(reading()).rejects.toMatchObject({ code: 'KAGAMI_SNAPSHOT_CORRUPT' })
    expect(Buffer.concat(parts).equals(content.subarray(0, 4 * BLOCK_BYTES))).toBe(true)
    expect((await store.list('orders', options)).length).toBe(1)
  })

  test('with two equal-sized blocks exchanged, or one repeated, is refused', async () => {
    const { store, file, bytes } = await published(noise(3 * BLOCK_BYTES))
    const span = BLOCK_BYTES + CRC_BYTES
    const start = bytes.byteLength - TRAILER_BYTES - 3 * span
    const block = (index: number) => bytes.subarray(start + index * span, start + (index + 1) * span)
    const [head, tail] = [bytes.subarray(0, start), bytes.subarray(bytes.byteLength - TRAILER_BYTES)]
    await writeFile(file, Buffer.concat([head, block(1), block(0), block(2), tail]))
    expect(await outcome(store)).toBe('corrupt')
    await writeFile(file, Buffer.concat([head, block(0), block(0), block(2), tail]))
    expect(await outcome(store)).toBe('corrupt')
    await writeFile(file, Buffer.concat([head, block(0), block(2), tail]))
    expect(await outcome(store)).toBe('corrupt')
    await writeFile(file, Buffer.concat([head, block(0), block(1), block(2), tail]))
    expect((await read(store, 'orders', 'one')).equals(noise(3 * BLOCK_BYTES))).toBe(true)
  })

  test('with the body of another snapshot of the same size is refused', async () => {
    const one = await published(noise(300, 1))
    const other = await published(noise(300, 2), 'orderz')
    const [from, to] = [one.bytes.byteLength - TRAILER_BYTES - 300 - CRC_BYTES, one.bytes.byteLength - TRAILER_BYTES]
    const spliced = [one.bytes.subarray(0, from), other.bytes.subarray(from, to), one.bytes.subarray(to)]
    await writeFile(one.file, Buffer.concat(spliced))
    expect(await outcome(one.store)).toBe('corrupt')
  })

  test('of another snapshot in its place is not taken for it', async () => {
    const one = await published(noise(300))
    const other = await published(noise(300), 'carts')
    await writeFile(one.file, other.bytes)
    expect(await outcome(one.store)).toBe('missing')
  })

  test('is deleted however damaged it is', async () => {
    const { store, file, bytes } = await published(noise(300))
    await writeFile(file, bytes.subarray(0, 10))
    await store.delete('orders', 'one', options)
    expect(await outcome(store)).toBe('missing')
  })

  test('takes metadata of a megabyte at most', async () => {
    const store = await started(await folder())
    const meta = (length: number) => metaOf('orders', 'one', { log: { address: 'x'.repeat(length), identity: '' } })
    await expect(store.create(meta(1024 * 1024), chunksOf('1'), options)).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
    })
    const large = meta(1024 * 1024 - 1000)
    await store.create(large, chunksOf('1'), options)
    expect(await store.list('orders', options)).toEqual([{ meta: large, bytes: 1 }])
  })
})
