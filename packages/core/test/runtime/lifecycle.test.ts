import { describe, expect, test } from 'vitest'
import type { Ledger } from './harness.js'
import { bytes, eventually, TestCluster } from './harness.js'
import { isGone, keeping, kinds, noted, stopped, untilAborted } from './adapters.js'

const failing = (cause: Error) => () => Promise.reject(cause)

describe('a start that fails half-way rejects with the cause, and what it had started is stopped in the opposite order', () => {
  const cause = new Error('out of order')

  test.each([
    { what: 'the coordinator does not start', instead: { coordinator: { start: failing(cause) } }, started: [] },
    { what: 'the log does not start', instead: { log: { start: failing(cause) } }, started: ['coordinator'] },
    {
      what: 'the snapshot store does not start',
      instead: { snapshots: { start: failing(cause) } },
      started: ['coordinator', 'log'],
    },
    {
      what: 'the coordinator refuses a session',
      instead: { coordinator: { connect: failing(cause) } },
      started: ['coordinator', 'log', 'snapshots'],
    },
    {
      what: 'the log does not start, and the coordinator does not stop',
      instead: { log: { start: failing(cause) }, coordinator: { stop: failing(new Error('stuck')) } },
      started: ['coordinator'],
    },
  ])('$what', async ({ instead, started }) => {
    await using cluster = new TestCluster()
    const { node, calls } = noted(cluster, instead)
    await expect(node.start()).rejects.toBe(cause)
    expect(calls.filter((call) => call.startsWith('started'))).toEqual(started.map((kind) => `started ${kind}`))
    expect(stopped(calls)).toEqual(started.toReversed())
    await expect(node.token('orders')).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
    await node.stop()
    await isGone(cluster)
  })

  test('the id is taken by a node that lives', async () => {
    await using cluster = new TestCluster()
    const first = await cluster.start('a')
    const { node, calls } = noted(cluster)
    await expect(node.start()).rejects.toMatchObject({ code: 'KAGAMI_NODE_ID_TAKEN' })
    expect(stopped(calls)).toEqual(kinds.toReversed())
    const orders = await first.token('orders', { replicas: 0, primary: 'self' })
    await orders.replicate(bytes('undisturbed'))
  })
})

describe('a stop during the start ends it: the start rejects, and everything is stopped', () => {
  test.each([
    { where: "in the coordinator's start", instead: { coordinator: { start: untilAborted } } },
    { where: "in the log's start", instead: { log: { start: untilAborted } } },
    { where: "in the snapshot store's start", instead: { snapshots: { start: untilAborted } } },
    { where: 'while it connects', instead: { coordinator: { connect: untilAborted } } },
  ])('$where', async ({ instead }) => {
    await using cluster = new TestCluster()
    const { node, calls } = noted(cluster, instead)
    const starting = node.start()
    starting.catch(() => undefined)
    await new Promise((resolve) => setImmediate(resolve))
    expect(node.health().status).toBe('starting')
    await node.stop()
    await expect(starting).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
    expect(node.health().problems).toEqual(['the node is stopped'])
    expect(stopped(calls)).toEqual(kinds.filter((kind) => calls.includes(`started ${kind}`)).toReversed())
    await isGone(cluster)
  })
})

test('a stop hands over, leaves and stops the adapters in the opposite order; a second one is the same', async () => {
  await using cluster = new TestCluster()
  const b = await cluster.start('b')
  const { node, calls } = noted(cluster)
  await node.start()
  const orders = await node.token('orders', { replicas: 1, primary: 'self' })
  await orders.replicate(bytes('one'))
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  const stops = [node.stop(), node.stop(), node.stop({ deadlineMs: 1 })]
  expect(node.health().status).toBe('stopping')
  await Promise.race(stops)
  expect(node.health().status).toBe('stopped')
  expect(calls).toEqual([
    'started coordinator',
    'started log',
    'started snapshots',
    'stop snapshots',
    'stop log',
    'stop coordinator',
  ])
  await Promise.all(stops)
  await eventually(() => b.get('orders')?.role === 'primary', 'the other node serves')
  expect(b.members().map(({ id }) => id)).toEqual(['b'])
  await b.get('orders')?.replicate(bytes('two'))
  expect((b.get('orders')?.state as Ledger).lines).toEqual(['one', 'two'])
})

test('a node that was stopped before it was started can be stopped, and never starts', async () => {
  await using cluster = new TestCluster()
  const { node, calls } = noted(cluster)
  await node.stop()
  expect(node.health().status).toBe('stopped')
  await expect(node.start()).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
  expect(calls).not.toContain('started coordinator')
  expect(node.health().status).toBe('stopped')
  await isGone(cluster)
})

test('a node that was started starts no second time, and goes on; after its stop, neither', async () => {
  await using cluster = new TestCluster()
  const { node, calls } = noted(cluster)
  const starting = node.start()
  await expect(node.start()).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
  await starting
  await expect(node.start()).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
  const orders = await node.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('goes on'))
  await node.stop()
  await expect(node.start()).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
  expect(calls.filter((call) => call === 'started coordinator')).toHaveLength(1)
})

test('`await using` stops the node at the end of the block', async () => {
  await using cluster = new TestCluster()
  const { node, calls } = noted(cluster)
  {
    await using kagami = node
    await kagami.start()
    await kagami.token('orders', { replicas: 0, primary: 'self' })
  }
  expect(node.health().status).toBe('stopped')
  expect(stopped(calls)).toEqual(kinds.toReversed())
})

describe('a listener and a hook that fail are logged, and nothing else happens', () => {
  const broken = new Error('broken')
  test.each<readonly [string, () => unknown]>([
    [
      'throwing',
      () => {
        throw broken
      },
    ],
    ['rejecting', () => Promise.reject(broken)],
  ])('%s', async (_, fail) => {
    await using cluster = new TestCluster()
    const { logger, messages, errors } = keeping()
    const { node: a } = noted(cluster, {}, logger)
    cluster.nodes.set('a', a)
    const heard: string[] = []
    for (const event of ['joined', 'promoted', 'demoted', 'assigned'] as const) {
      a.on(event, fail)
      a.on(event, () => heard.push(event))
    }
    await a.start()
    const b = await cluster.start('b')
    const hook = fail as () => Promise<void>
    const orders = await a.token('orders', { replicas: 1, primary: 'self', onPromote: hook, onDemote: hook })
    await orders.replicate(bytes('one'))
    await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
    await a.handover('orders', { to: 'b' })
    await b.get('orders')?.replicate(bytes('two'))
    await orders.sync()
    expect((orders.state as Ledger).lines).toEqual(['one', 'two'])
    expect(a.health().ok).toBe(true)
    // A rejection is heard of a turn later.
    await eventually(() => messages.includes("onDemote of 'orders' failed"), 'all failures are logged')
    for (const event of ['joined', 'promoted', 'demoted', 'assigned']) {
      expect(messages).toContain(`a listener of '${event}' failed`)
      expect(heard).toContain(event)
    }
    expect(messages).toContain("onPromote of 'orders' failed")
    expect(errors.every((error) => error === broken)).toBe(true)
  })
})
