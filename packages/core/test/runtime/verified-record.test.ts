/** Which snapshots count as verified, across snapshotters and incarnations. */
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import type { Session } from '../../src/contract/index.js'
import { bucketOf } from '../../src/engine/documents.js'
import { VerifiedRecord } from '../../src/runtime/verified-record.js'

const { signal } = new AbortController()
const quiet = () => undefined
const warnings: string[] = []
const warn = (message: string): void => void warnings.push(message)
const logger = { debug: quiet, info: quiet, warn, error: quiet }

async function recordOf(node: string, world: ReturnType<typeof memoryCluster>) {
  const coordinator = world.coordinator()
  await coordinator.start({ cluster: 'test', node, logger, signal })
  const session = await coordinator.connect({ signal })
  const record = new VerifiedRecord(() => session, logger)
  const add = async (incarnation: number, id: string, token = 'orders'): Promise<readonly string[]> => [
    ...(await record.add(token, incarnation, id, 2, { signal })),
  ]
  return { add, stop: () => coordinator.stop() }
}

test('ids are added up by whoever takes snapshots, once each, for each token by itself, and the newest are kept', async () => {
  const world = memoryCluster()
  const [a, b] = [await recordOf('a', world), await recordOf('b', world)]
  expect(await a.add(1, 'one')).toEqual(['one'])
  expect(await b.add(1, 'two')).toEqual(['one', 'two'])
  expect(await a.add(1, 'one')).toEqual(['two', 'one'])
  expect(await a.add(1, 'another', 'other')).toEqual(['another'])
  for (const id of ['three', 'four', 'five']) await b.add(1, id)
  expect(await a.add(1, 'six')).toEqual(['one', 'three', 'four', 'five', 'six'])
  for (const { stop } of [a, b]) await stop()
})

test('S8: what was verified of an older incarnation does not count for a newer one', async () => {
  const { add, stop } = await recordOf('a', memoryCluster())
  await add(1, 'old')
  expect(await add(3, 'new')).toEqual(['new'])
  expect(await add(3, 'newer')).toEqual(['new', 'newer'])
  await stop()
})

test('S8, S9: a deposed snapshotter of an older incarnation relies on nothing, and takes nothing from the newer one', async () => {
  const world = memoryCluster()
  const [deposed, present] = [await recordOf('a', world), await recordOf('b', world)]
  await deposed.add(1, 'old')
  await present.add(3, 'new')
  expect(await deposed.add(1, 'late')).toEqual([])
  expect(await present.add(3, 'newer')).toEqual(['new', 'newer'])
  for (const { stop } of [deposed, present]) await stop()
})

test('S9: ids that two add at once are all kept', async () => {
  const world = memoryCluster()
  const [a, b] = [await recordOf('a', world), await recordOf('b', world)]
  await Promise.all([a.add(1, 'one'), b.add(1, 'two')])
  expect((await a.add(1, 'three')).toSorted()).toEqual(['one', 'three', 'two'])
  for (const { stop } of [a, b]) await stop()
})

test('S8: a record whose bytes are damaged counts as empty, and is written anew, with a warning', async () => {
  const world = memoryCluster()
  const { add, stop } = await recordOf('a', world)
  await add(1, 'one')
  await add(1, 'two')
  world.coordination.damage('test', `snapshots/${bucketOf('orders')}`)
  const warned = warnings.length
  expect(await add(1, 'three')).toEqual(['three'])
  expect(warnings.slice(warned)).toEqual([expect.stringMatching(/snapshots\/.. can't be read, and is written anew/)])
  expect(await add(1, 'four')).toEqual(['three', 'four'])
  await stop()
})

test('a record of a newer format is not written over', async () => {
  const bytes = Buffer.from(JSON.stringify({ format: 2, what: 'verified snapshots' }))
  const written: unknown[] = []
  const session = {
    read: (name: string) => Promise.resolve({ name, version: 1, bytes }),
    write: (...call: unknown[]) => Promise.resolve(written.push(call)),
  } as unknown as Session
  const record = new VerifiedRecord(() => session, logger)
  await expect(record.add('orders', 1, 'one', 2, { signal })).rejects.toMatchObject({ code: 'KAGAMI_UNKNOWN_FORMAT' })
  expect(written).toEqual([])
})
