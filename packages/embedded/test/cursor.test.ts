/** Reading the records of a log, wherever what is read at once ends. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Cursor } from '../src/cursor.js'
import { Gate } from '../src/gate.js'
import { Journal } from '../src/journal.js'
import { OpenFiles } from '../src/open-files.js'
import { encodeRecord, recordTypes } from '../src/record.js'
import { encodeHeader, segmentHeaderBytes, segmentPath } from '../src/segment.js'
import type { LogStore } from '../src/store.js'
import { testFolder } from './support.js'
import { identity, longestPayload, seed, writtenLogs } from './written-logs.js'
import type { WrittenFile, WrittenRecord } from './written-logs.js'

/** Counts what is read of files that are open, near the log's end. */
class CountedFiles extends OpenFiles {
  bytes = 0

  override readNow(...args: Parameters<OpenFiles['readNow']>): number | undefined {
    const got = super.readNow(...args)
    this.bytes += got ?? 0
    return got
  }
}

async function opened(files: readonly Pick<WrittenFile, 'base' | 'bytes'>[]) {
  const dir = await testFolder()
  const folder = join(dir, 'log')
  await mkdir(folder)
  for (const { base, bytes } of files) await writeFile(segmentPath(folder, base), bytes)
  const open = new CountedFiles(100)
  onTestFinished(() => open.close())
  let scratches = 0
  const store = {
    files: open,
    syncs: new Gate(1),
    folder: { scratch: () => join(dir, `scratch-${scratches++}`) },
  } as unknown as LogStore
  const journal = await Journal.open(store, 'log', folder)
  await journal.settle()
  return { journal, open }
}

/** All up to `limit`, in batches of about `maxBytes`, by reads of `chunkBytes`. */
async function readAll(
  { journal, open }: Awaited<ReturnType<typeof opened>>,
  limit: number,
  {
    from = 0,
    chunkBytes,
    maxBytes,
  }: { readonly from?: number; readonly chunkBytes: number; readonly maxBytes: number },
): Promise<WrittenRecord[]> {
  const cursor = await Cursor.at(journal, open, from, chunkBytes)
  const found: WrittenRecord[] = []
  for (let next = from; next < limit;) {
    const batch = await cursor.read(limit, maxBytes)
    found.push(
      ...batch.records.map(({ offset, bytes }) => ({
        offset: Number(offset),
        text: Buffer.from(bytes).toString('hex'),
      })),
    )
    next = batch.next
  }
  return found
}

const data = (payload: Uint8Array, nonce: bigint, synced = 0): Buffer =>
  encodeRecord(payload, { type: recordTypes.data, nonce, synced, seed })

describe('a cursor', () => {
  it('gives the same records, whatever was cut where, and however much it reads at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        writtenLogs,
        fc.integer({ min: 1, max: 1200 }),
        fc.integer({ min: 1, max: 2000 }),
        fc.nat(),
        async ({ files, records, end }, chunkBytes, maxBytes, some) => {
          const log = await opened(files)
          expect(log.journal.end).toBe(end)
          expect(await readAll(log, end, { chunkBytes, maxBytes })).toEqual(records)
          const from = some % (end + 1)
          const after = records.filter(({ offset }) => offset >= from)
          expect(await readAll(log, end, { chunkBytes, maxBytes, from })).toEqual(after)
          // As a reader that follows the log sees it: up to one acknowledged record after the other.
          const cursor = await Cursor.at(log.journal, log.open, 0, chunkBytes)
          for (const [i, record] of records.entries()) {
            const limit = record.offset + 40 + record.text.length / 2
            const batch = await cursor.read(limit, maxBytes)
            expect(batch, `record ${i}`).toMatchObject({ records: [{ offset: BigInt(record.offset) }], next: limit })
          }
          log.open.close()
        },
      ),
      { numRuns: 150 },
    )
  })

  it('reads no byte more than a few times, also where one record after the other was cut at its beginning', async () => {
    const cuts = Array.from({ length: 300 }, (_, i) => data(new Uint8Array(longestPayload), BigInt(i)).subarray(0, 60))
    const file = Buffer.concat([encodeHeader({ identity, base: 0, dataEnd: 0 }), ...cuts, data(Buffer.from('x'), 999n)])
    const log = await opened([{ base: 0, bytes: file }])
    for (const chunkBytes of [1, 64, 100, 1000, 100_000]) {
      log.open.bytes = 0
      expect(await readAll(log, file.byteLength, { chunkBytes, maxBytes: 1000 })).toHaveLength(1)
      expect(log.open.bytes, `${chunkBytes} bytes at once`).toBeLessThan(4 * file.byteLength)
      expect(log.open.bytes).toBeGreaterThan(file.byteLength - segmentHeaderBytes - 1)
    }
  })

  it('gives what is there, then finds that a file has lost its tail, however much it reads at once', async () => {
    const expectLost = async (
      log: Awaited<ReturnType<typeof opened>>,
      end: number,
      chunkBytes: number,
      left: number,
    ) => {
      const cursor = await Cursor.at(log.journal, log.open, 0, chunkBytes)
      const texts: string[] = []
      const reading = (async () => {
        for (;;)
          texts.push(...(await cursor.read(end, 10_000)).records.map(({ bytes }) => Buffer.from(bytes).toString()))
      })()
      await expect(reading, `${left} left, ${chunkBytes} at once`).rejects.toMatchObject({
        code: 'KAGAMI_LOG_LOST_TAIL',
      })
      expect(texts[0]).toBe('one')
    }
    const [one, two] = [data(Buffer.from('one'), 1n), data(new Uint8Array(longestPayload), 2n)]
    const header = encodeHeader({ identity, base: 0, dataEnd: 0 })
    const limit = header.byteLength + one.byteLength + two.byteLength
    const dataEnd = limit
    const next = { base: limit + 40, bytes: encodeHeader({ identity, base: limit + 40, dataEnd }) }
    const last = data(Buffer.from('last'), 3n)
    for (const left of [0, 1, 8, 39, 40, 200, two.byteLength - 1, two.byteLength]) {
      const bytes = Buffer.concat([header, one, two.subarray(0, left)])
      for (const chunkBytes of [1, 50, 300, 100_000]) {
        if (left < two.byteLength) {
          await expectLost(await opened([{ base: 0, bytes }]), limit, chunkBytes, left)
          // As long as it was, and nobody has noticed since.
          const rotten = Buffer.concat([bytes, Buffer.alloc(two.byteLength - left, 0xff)])
          await expectLost(await opened([{ base: 0, bytes: rotten }]), limit, chunkBytes, left)
        }
        // Another file follows, and the seal is missing at least.
        const log = await opened([
          { base: 0, bytes },
          { ...next, bytes: Buffer.concat([next.bytes, last]) },
        ])
        const end = next.base + next.bytes.byteLength + last.byteLength
        expect(log.journal.end).toBe(end)
        await expectLost(log, end, chunkBytes, left)
      }
    }
  })
})
