import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tokenNames, tokenOf } from '../../src/service/partition.js'
import { eventually, get, put, TestCluster } from '../support.js'

describe('request ids', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await TestCluster.of(['a', 'b', 'c'])
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  test('a retry with the same request id takes effect once, and is answered like the first try', async () => {
    const id = { 'request-id': 'alice:1' }
    const first = await put(cluster.node('a'), 'once', 'first', id)
    await put(cluster.node('b'), 'once', 'between')
    const again = await put(cluster.node('c'), 'once', 'first', id)
    expect(again.status).toBe(first.status)
    expect(again.body).toEqual({ ...first.body, repeated: true })
    expect(await (await get(cluster.node('a'), 'once', 'linearizable')).text()).toBe('between')
  })

  test('also a refusal is answered again, though its condition would hold by now', async () => {
    const id = { 'request-id': 'bob:1', 'if-match': '*' }
    expect((await put(cluster.node('a'), 'later', 'x', id)).status).toBe(412)
    await put(cluster.node('a'), 'later', 'y')
    const again = await put(cluster.node('a'), 'later', 'x', id)
    expect([again.status, again.body.repeated]).toEqual([412, true])
  })

  test('a number older than those that are remembered is refused, as of unknown effect', async () => {
    const ids = Array.from({ length: 65 }, (_, i) => `carol:${i + 1}`)
    for (const id of ids)
      expect((await put(cluster.node('a'), 'many', id, { 'request-id': id })).status).toBeLessThan(300)
    const old = await put(cluster.node('b'), 'many', 'x', { 'request-id': 'carol:1' })
    expect([old.status, old.body.error, old.body.applied]).toEqual([409, 'KV_REQUEST_FORGOTTEN', 'unknown'])
    expect((await put(cluster.node('b'), 'many', 'x', { 'request-id': 'carol:2' })).body.repeated).toBe(true)
  })

  test('a retry after a failover takes effect once: the ids are part of what the replica has', async () => {
    const token = tokenOf('surviving', tokenNames(4))
    const { primary, replica } = await cluster.placesOf(token)
    const id = { 'request-id': 'dave:7' }
    const first = await put(primary, 'surviving', 'kept', id)
    await put(primary, 'surviving', 'newer')
    const lost = [...cluster.nodes].find(([, node]) => node === primary)![0]
    const mend = cluster.world.cut(lost)
    await eventually(() => replica.kagami.get(token)?.role === 'primary', 'the replica is promoted')
    const again = await put(replica, 'surviving', 'kept', id)
    expect(again.body).toEqual({ ...first.body, repeated: true })
    expect(await (await get(replica, 'surviving', 'linearizable')).text()).toBe('newer')
    mend()
  })
})

test('while a token has no primary a write is refused as of no effect once its time is over', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c'], { patienceMs: 300 })
  const token = tokenOf('nowhere', tokenNames(4))
  const { primary, other } = await cluster.placesOf(token)
  const lost = [...cluster.nodes].find(([, node]) => node === primary)![0]
  const mend = cluster.world.cut(lost)
  // The node that was cut off still listens; its peers still send to it until it is lost.
  const answer = await put(other, 'nowhere', 'x', { 'request-id': 'erin:1' })
  expect([201, 503, 504]).toContain(answer.status)
  if (answer.status !== 201) expect(['no', 'unknown']).toContain(answer.body.applied)
  const later = await eventually(async () => {
    const retry = await put(other, 'nowhere', 'x', { 'request-id': 'erin:1' })
    return retry.status === 201 && retry
  }, 'the retry is carried out by the promoted replica')
  expect(later.body.token).toBe(token)
  mend()
})
