/** The end of a log, where others move it on in the middle of a step. */
import { truncateSync } from 'node:fs'
import { appendFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { Chain } from '../src/chain.js'
import { Gate } from '../src/gate.js'
import { OpenFiles } from '../src/open-files.js'
import { encodeRecord, recordTypes } from '../src/record.js'
import { createSegment, encodeHeader, segmentHeaderBytes, segmentPath } from '../src/segment.js'
import { Tail } from '../src/tail.js'
import { testFolder } from './support.js'
import { identity, parseWhole, seed, writtenLogs } from './written-logs.js'
import type { WrittenFile } from './written-logs.js'

/** A gate that lets others do something before it lets the next task through. */
class HeldGate extends Gate {
  before: () => Promise<void> = () => Promise.resolve()

  override async run<T>(task: () => Promise<T>): Promise<T> {
    await this.before()
    return super.run(task)
  }
}

/** A log of one file, which holds a record and is sealed, as two processes see it: what the first does next is to begin the second file. */
async function sealed() {
  const dir = await testFolder()
  const folder = join(dir, 'log')
  await mkdir(folder)
  let scratches = 0
  const scratch = (): string => join(dir, `scratch-${scratches++}`)
  await createSegment(folder, scratch(), { base: 0, dataEnd: 0, identity })
  const record = encodeRecord(Buffer.from('one'), { type: recordTypes.data, nonce: 1n, synced: 0, seed })
  const seal = encodeRecord(new Uint8Array(0), { type: recordTypes.seal, nonce: 2n, synced: 0, seed })
  await appendFile(segmentPath(folder, 0), Buffer.concat([record, seal]))
  const dataEnd = segmentHeaderBytes + record.byteLength
  const base = dataEnd + seal.byteLength
  const files = new OpenFiles(10)
  onTestFinished(() => files.close())
  const process = async (): Promise<Chain> => {
    const chain = new Chain(folder, scratch, (segment) => files.forget(segment))
    await chain.load()
    return chain
  }
  const gate = new HeldGate(1)
  const tail = new Tail(await process(), files, gate, seed)
  const other = await process()
  /** The other process begins the file behind the last one. */
  const extend = (next: number): Promise<unknown> =>
    other.extend({ identity, base: next, dataEnd: next === base ? dataEnd : next - 10 }, () => true)
  const left = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.endsWith('.log')).sort()
  const name = (at: number): string => segmentPath('', at)
  return { tail, gate, other, base, extend, left, name }
}

it('S1: a file that has come and gone since is not begun again: what was appended to it would be lost', async () => {
  const { tail, gate, other, base, extend, left, name } = await sealed()
  gate.before = async () => {
    await extend(base)
    await extend(base + 1000)
    await other.truncate(base + 990)
  }
  await tail.advance()
  expect(tail.segment.base).toBe(base + 1000)
  expect(await left()).toEqual([name(base + 1000)])
})

it('one that others have begun, and whose predecessor is gone, is the end of the log', async () => {
  const { tail, gate, other, base, extend, left, name } = await sealed()
  gate.before = async () => {
    await extend(base)
    await other.truncate(base - 40)
  }
  await tail.advance()
  expect(tail.segment.base).toBe(base)
  expect(await left()).toEqual([name(base)])
})

it('one that others have begun, and gone on from, while its predecessor is there, is entered: its own seal leads on', async () => {
  const { tail, gate, base, extend, left, name } = await sealed()
  gate.before = async () => {
    await extend(base)
    await extend(base + 1000)
  }
  await tail.advance()
  expect(tail.segment.base).toBe(base)
  expect(await left()).toEqual([name(0), name(base), name(base + 1000)])
})

it('S1: a file that is left over below the log’s end is not taken for it', async () => {
  const { tail, other, base, extend } = await sealed()
  await extend(base)
  await extend(base + 1000)
  await other.truncate(base + 990)
  // Whoever made it was killed before it could be taken back.
  await extend(base)
  await tail.advance()
  expect(tail.segment.base).toBe(base + 1000)
})

/** A log of which this process has seen the first file only. */
async function firstSeen(files: readonly WrittenFile[]) {
  const dir = await testFolder()
  const write = ({ base, bytes }: WrittenFile): Promise<void> => writeFile(segmentPath(dir, base), bytes)
  await write(files[0]!)
  const open = new OpenFiles(10)
  const chain = new Chain(
    dir,
    () => join(dir, 'scratch'),
    () => undefined,
  )
  await chain.load()
  for (const file of files.slice(1)) await write(file)
  return { chain, open }
}

it('the end is found behind the same records, whatever was cut where, and however much is read at once', async () => {
  await fc.assert(
    fc.asyncProperty(writtenLogs, fc.integer({ min: 1, max: 1200 }), async ({ files, records, end }, chunkBytes) => {
      const { chain, open } = await firstSeen(files)
      const tail = new Tail(chain, open, new Gate(1), seed, chunkBytes)
      const found: { readonly offset: number; readonly text: string }[] = []
      await tail.advance(({ from, payload }, { base }) => {
        found.push({ offset: base + from, text: payload.toString('hex') })
      })
      const last = files.at(-1)!
      // It goes from the first file to the last one: what lies between is nothing to it.
      const [second = last] = files.slice(1)
      expect(found).toEqual(records.filter(({ offset }) => offset < second.base || offset >= last.base))
      const { position, badFrom } = parseWhole(last)
      expect(tail).toMatchObject({ position, badFrom, size: last.bytes.byteLength, dataEnd: end })
      expect(tail.segment.base).toBe(last.base)
      // Nothing has changed, so it stays.
      await tail.advance(() => expect.unreachable())
      expect(tail).toMatchObject({ position, badFrom, size: last.bytes.byteLength, dataEnd: end })
      open.close()
    }),
    { numRuns: 150 },
  )
})

it('a file that is shortened while it is read has lost its tail', async () => {
  const [one, two] = [1n, 2n].map((nonce) =>
    encodeRecord(Buffer.alloc(100), { type: recordTypes.data, nonce, synced: 0, seed }),
  )
  const bytes = Buffer.concat([encodeHeader({ identity, base: 0, dataEnd: 0 }), one!, two!])
  for (const left of [0, 20, 60]) {
    const { chain, open } = await firstSeen([{ base: 0, dataEnd: 0, bytes }])
    const tail = new Tail(chain, open, new Gate(1), seed, one!.byteLength)
    const advance = tail.advance(({ to }, { path }) => truncateSync(path, to + left))
    await expect(advance, `${left} bytes left`).rejects.toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
    open.close()
  }
})
