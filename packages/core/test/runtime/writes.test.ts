import { expect, test } from 'vitest'
import { isKagamiError } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { bytes, eventually, TestCluster } from './harness.js'

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (isKagamiError(error) ? error.code : String(error)),
  )

async function replicated(cluster: TestCluster) {
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const primary = await a.token('orders', { replicas: 1, primary: 'self' })
  const replica = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a replica in sync')
  return { a, b, primary, replica }
}

test('entries of one caller are applied in the order of its calls, on every copy', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await replicated(cluster)
  const wanted = Array.from({ length: 5_000 }, (_, i) => `entry ${i}`)
  const outcomes = await Promise.all(wanted.map((line) => primary.replicate(bytes(line))))
  expect(outcomes.map(({ position }) => position.index)).toEqual(wanted.map((_, i) => i))
  expect(outcomes.map(({ result }) => result)).toEqual(wanted.map((_, i) => i + 1))
  await replica.sync()
  expect((replica.state as Ledger).lines).toEqual(wanted)
})

test('an append that fails is repeated with the same bytes, and one whose answer is lost takes effect once', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await replicated(cluster)
  for (let round = 0; round < 20; round++) {
    cluster.world.logs.failAppends(2, { landed: round % 2 === 0, node: 'a' })
    await primary.replicate(bytes(`round ${round}`))
  }
  await replica.sync()
  expect((replica.state as Ledger).lines).toEqual(Array.from({ length: 20 }, (_, i) => `round ${i}`))
})

test('replicate on a replica is refused and names the primary', async () => {
  await using cluster = new TestCluster()
  const { replica } = await replicated(cluster)
  const error = await replica.replicate(bytes('x')).catch((caught: unknown) => caught)
  expect(isKagamiError(error, 'KAGAMI_NOT_PRIMARY')).toBe(true)
  expect((error as { details: unknown }).details).toMatchObject({ primary: { id: 'a' } })
})

test('replicate on a node without a copy is refused and names the primary', async () => {
  await using cluster = new TestCluster()
  await replicated(cluster)
  const c = await cluster.start('c')
  const handle = await eventually(() => c.get('orders'), 'c hears of the token')
  expect(handle.role).toBe('none')
  expect(await code(handle.replicate(bytes('x')))).toBe('KAGAMI_NOT_PRIMARY')
  expect(await code(handle.sync())).toBe('KAGAMI_NO_COPY')
  expect(() => handle.state).toThrow(/no readable copy/)
})

test('an entry above the limit is refused, and one at the limit is taken', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { limits: { maxEntryBytes: 1000 } })
  const orders = await a.token('orders', { replicas: 0 })
  const found = await eventually(() => orders.role === 'primary' && orders, 'serving')
  expect(await code(found.replicate(new Uint8Array(1001)))).toBe('KAGAMI_ENTRY_TOO_LARGE')
  expect(await code(found.replicate(new Uint8Array(1000)))).toBe('resolved')
})

test('replicate on a stopped node is refused for certain', async () => {
  await using cluster = new TestCluster()
  const { a, primary } = await replicated(cluster)
  await a.stop()
  expect(await code(primary.replicate(bytes('late')))).toBe('KAGAMI_STOPPED')
  expect(await code(a.token('orders'))).toBe('KAGAMI_STOPPED')
})

test('a node that was not started says so', async () => {
  await using cluster = new TestCluster()
  const a = cluster.make('a')
  expect(await code(a.token('orders'))).toBe('KAGAMI_NOT_STARTED')
})

test('an abort before sealing rejects with its reason and the entry is never applied; afterwards it is indeterminate', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await replicated(cluster)
  const early = new AbortController()
  const reason = new Error('changed my mind')
  const unsealed = primary.replicate(bytes('unsealed'), { signal: early.signal })
  early.abort(reason)
  await expect(unsealed).rejects.toBe(reason)

  const mend = cluster.world.logs.cut('a')
  const late = new AbortController()
  const sealed = primary.replicate(bytes('sealed'), { signal: late.signal })
  await new Promise((resolve) => setImmediate(resolve))
  late.abort(reason)
  const error = await sealed.catch((caught: unknown) => caught)
  expect(isKagamiError(error, 'KAGAMI_INDETERMINATE')).toBe(true)
  expect((error as Error).cause).toBe(reason)
  mend()
  await primary.replicate(bytes('after'))
  await replica.sync()
  // An abandoned wait is not a withdrawn entry: what was sealed is applied.
  expect((replica.state as Ledger).lines).toEqual(['sealed', 'after'])
})

test('a writer that is faster than the log waits, and above the bound is refused; nothing that was refused is applied', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { limits: { maxInFlightEntries: 10, maxWaiting: 20 } })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const mend = cluster.world.logs.cut('a')
  const outcomes = Array.from({ length: 100 }, (_, i) => code(orders.replicate(bytes(`entry ${i}`))))
  await new Promise((resolve) => setImmediate(resolve))
  mend()
  const counts = (await Promise.all(outcomes)).reduce<Record<string, number>>(
    (sum, outcome) => ({ ...sum, [outcome]: (sum[outcome] ?? 0) + 1 }),
    {},
  )
  expect(counts).toEqual({ resolved: 30, KAGAMI_OVERLOADED: 70 })
  expect((orders.state as Ledger).lines).toEqual(Array.from({ length: 30 }, (_, i) => `entry ${i}`))
})

test('waitFor resolves on a replica when the position is applied, and rejects when it is aborted', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await replicated(cluster)
  const future = { incarnation: 1, index: 2 }
  const reached = replica.waitFor(future)
  for (let i = 0; i < 3; i++) await primary.replicate(bytes(`${i}`))
  await reached
  expect(replica.next?.index).toBeGreaterThan(2)
  await expect(replica.waitFor({ incarnation: 1, index: 99 }, { signal: AbortSignal.timeout(20) })).rejects.toThrow(
    /timeout/i,
  )
})

test('waitFor resolves when the very position is applied, not with the one before it', async () => {
  await using cluster = new TestCluster()
  const { primary } = await replicated(cluster)
  const positions = [0, 1, 2].map((index) => ({ incarnation: 1, index }))
  const reached: number[] = []
  const waits = positions.map((position) => primary.waitFor(position).then(() => reached.push(position.index)))
  for (const { index } of positions) {
    // Whatever was to resolve has had its turn.
    await new Promise((resolve) => setImmediate(resolve))
    expect(reached).toEqual([0, 1, 2].slice(0, index))
    await primary.replicate(bytes(`${index}`))
  }
  await Promise.all(waits)
})

test('a write acknowledged on one node is seen by a sync that begins afterwards on any other', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await replicated(cluster)
  for (let i = 0; i < 200; i++) {
    const { position } = await primary.replicate(bytes(`${i}`))
    await replica.sync()
    expect(replica.next?.index).toBeGreaterThan(position.index)
  }
})

test('a copy that is cut off from the log shows it in the age of its last look', async () => {
  await using cluster = new TestCluster()
  const { replica } = await replicated(cluster)
  const mend = cluster.world.logs.cut('b')
  await eventually(() => replica.lag.lookAgeMs > 300, 'the look grows old')
  await eventually(() => replica.lag.entries === Infinity, 'it is cut off')
  expect(replica.lag).toMatchObject({ caughtUp: false })
  expect(replica.lag.timeMs).toBeGreaterThan(300)
  mend()
  await eventually(() => replica.lag.lookAgeMs < 100, 'the copy looks again')
  expect(replica.lag.entries).toBe(0)
})
