/** Which snapshots count as verified, across snapshotters and incarnations. */
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import { VerifiedRecord } from '../../src/runtime/verified-record.js'

const { signal } = new AbortController()
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

async function recordOf(node: string, world: ReturnType<typeof memoryCluster>) {
  const coordinator = world.coordinator()
  await coordinator.start({ cluster: 'test', node, logger, signal })
  const session = await coordinator.connect({ signal })
  const record = new VerifiedRecord(() => session)
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
