/** The files of one log, where what changes them is cut short. */
import { appendFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { Chain } from '../src/chain.js'
import type * as diskModule from '../src/disk.js'
import { createSegment, segmentPath, type Segment } from '../src/segment.js'
import { testFolder } from './support.js'

const identity = '0123456789abcdef'.repeat(2)

/** What others do once a folder has been listed, and before anything is done with the names. */
const afterListing: (() => Promise<void>)[] = []

vi.mock('../src/disk.js', async (original) => {
  const disk = await original<typeof diskModule>()
  const namesIn = async (path: string): Promise<string[] | undefined> => {
    const names = await disk.namesIn(path)
    await afterListing.pop()?.()
    return names
  }
  return { ...disk, namesIn }
})

/** A log of four files, in a folder of its own. */
async function fourFiles() {
  const dir = await testFolder()
  const folder = join(dir, 'log')
  await mkdir(folder)
  let scratches = 0
  const scratch = (): string => join(dir, `scratch-${scratches++}`)
  for (const base of [0, 1000, 2000, 3000])
    await createSegment(folder, scratch(), { base, dataEnd: Math.max(0, base - 10), identity })
  const loaded = async (dropped: (segment: Segment) => void = () => undefined): Promise<Chain> => {
    const chain = new Chain(folder, scratch, dropped)
    await chain.load()
    return chain
  }
  return { folder, loaded }
}

it('a truncation that is cut short between two files has moved the start all the way', async () => {
  const { loaded } = await fourFiles()
  const chain = await loaded(() => {
    throw new Error('killed')
  })
  await expect(chain.truncate(2500)).rejects.toThrow('killed')
  const after = await loaded()
  expect(after.segments.map(({ base }) => base)).toEqual([1000, 2000, 3000])
  expect(after.start).toBe(2500)
})

it('a truncation deletes what lies below, and one that is repeated goes on where the first was cut short', async () => {
  const { loaded } = await fourFiles()
  const cut = await loaded(() => {
    throw new Error('killed')
  })
  await expect(cut.truncate(2500)).rejects.toThrow('killed')
  await (await loaded()).truncate(2500)
  const after = await loaded()
  expect(after.segments.map(({ base }) => base)).toEqual([2000, 3000])
  expect(after.start).toBe(2500)
})

it('a look in whose middle a file is begun, and the one before deleted, does not take the log to be gone', async () => {
  const { loaded } = await fourFiles()
  const other = await loaded()
  await other.truncate(2990)
  afterListing.push(async () => {
    await other.extend({ base: 4000, dataEnd: 3990, identity }, () => true)
    await other.truncate(3990)
  })
  const { segments } = await loaded()
  expect(afterListing).toEqual([])
  expect(segments.map(({ base }) => base)).toEqual([4000])
})

it('a name that leads nowhere is no file of the log, and holds no look up', async () => {
  const { folder, loaded } = await fourFiles()
  await symlink(join(folder, 'nowhere'), segmentPath(folder, 4000))
  expect((await loaded()).segments.map(({ base }) => base)).toEqual([0, 1000, 2000, 3000])
})

/** A log that has gone on behind the file at 4000, which a process begins that has not heard of it. */
async function goneOn() {
  const { folder, loaded } = await fourFiles()
  const other = await loaded()
  const late = await loaded()
  await other.extend({ base: 4000, dataEnd: 3990, identity }, () => true)
  await appendFile(segmentPath(folder, 4000), 'records and a seal')
  await other.extend({ base: 5000, dataEnd: 4990, identity }, () => true)
  return { other, late, begin: () => late.extend({ base: 4000, dataEnd: 3990, identity }, () => false) }
}

it('S1: a file that had come and gone before it was begun once more is taken back', async () => {
  const { other, late, begin } = await goneOn()
  await other.truncate(4990)
  expect((await begin()).base).toBe(5000)
  expect(late.segments.map(({ base }) => base)).toEqual([5000])
  await other.load()
  expect(other.segments.map(({ base }) => base)).toEqual([5000])
})

it('one that was there already, and was sealed, is left where it is', async () => {
  const { late, begin } = await goneOn()
  expect((await begin()).base).toBe(5000)
  expect(late.segments.map(({ base }) => base)).toEqual([0, 1000, 2000, 3000, 4000, 5000])
})

it('so is one behind which nothing has been begun, though the file before it has been deleted since', async () => {
  const { loaded } = await fourFiles()
  const chain = await loaded()
  expect((await chain.extend({ base: 4000, dataEnd: 3990, identity }, () => false)).base).toBe(4000)
  expect((await loaded()).last.base).toBe(4000)
})
