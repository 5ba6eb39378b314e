/** The files of one log, where what changes them is cut short. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Chain } from '../src/chain.js'
import { createSegment, type Segment } from '../src/segment.js'
import { testFolder } from './support.js'

const identity = '0123456789abcdef'.repeat(2)

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
  return { loaded }
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
