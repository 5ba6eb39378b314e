import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { isKagamiError, KagamiError, type Kagami, type KagamiOptions, type Token } from '../../src/index.js'
import type { LimitOptions } from '../../src/runtime/api.js'
import { bytes, delegate, eventually, TestCluster, type Ledger } from './harness.js'

const limits: LimitOptions = { lookMs: 50, restoreTimeoutMs: 500, retryMs: { first: 5, longest: 20 } }

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (isKagamiError(error) ? error.code : String(error)),
  )

async function mirrored(cluster: TestCluster, own: LimitOptions = {}, log = cluster.world.commitLog()) {
  const a = await cluster.start('a', { limits: { ...limits, ...own }, log })
  const b = await cluster.start('b', { limits: { ...limits, ...own } })
  // What is told, and what becomes of entries: nobody takes over meanwhile.
  const primary = await a.token('orders', { replicas: 1, primary: 'self', failover: 'hold' })
  const replica = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a replica in sync')
  return { a, b, primary, replica }
}

const lines = (token: Token<number>): readonly string[] => (token.state as Ledger).lines

function problem(kagami: Kagami<number>): string | undefined {
  const { ok, problems } = kagami.health()
  expect(ok).toBe(problems.length === 0)
  return problems.find((text) => text.includes("'orders'"))
}

test('a full log: what was sealed waits for room, what comes later is refused for certain, and health says why', async () => {
  await using cluster = new TestCluster()
  const { a, primary, replica } = await mirrored(cluster)
  const mend = cluster.world.logs.fill()
  const sealed = primary.replicate(bytes('sealed'))
  await eventually(() => problem(a), 'health tells of it')
  expect(problem(a)).toMatch(/KAGAMI_STORE_FULL/)
  expect(a.health().copies[0]?.appendError?.code).toBe('KAGAMI_STORE_FULL')
  for (let i = 0; i < 5; i++) {
    const error: unknown = await primary.replicate(bytes(`refused ${i}`)).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'KAGAMI_STORE_FULL', retryable: true, details: { token: 'orders' } })
  }
  expect(await code(replica.sync())).toBe('KAGAMI_STORE_FULL')
  mend()
  await sealed
  await primary.replicate(bytes('after'))
  await replica.sync()
  expect(lines(replica)).toEqual(['sealed', 'after'])
  expect(problem(a)).toBeUndefined()
})

test('calls that wait for a place in flight are refused for certain as soon as the log is full', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await mirrored(cluster, { maxInFlightEntries: 1 })
  const mend = cluster.world.logs.fill()
  const outcomes = Array.from({ length: 4 }, (_, i) => code(primary.replicate(bytes(`entry ${i}`))))
  expect(await Promise.all(outcomes.slice(1))).toEqual(Array(3).fill('KAGAMI_STORE_FULL'))
  mend()
  expect(await outcomes[0]).toBe('resolved')
  await replica.sync()
  expect(lines(replica)).toEqual(['entry 0'])
})

test('a log that can not be reached is waited for in silence for a while, then calls are refused for certain', async () => {
  await using cluster = new TestCluster()
  const { a, primary, replica } = await mirrored(cluster, { appendTimeoutMs: 100 })
  const mend = cluster.world.logs.cut('a')
  const sealed = primary.replicate(bytes('sealed'))
  const outcomes: string[] = []
  while (outcomes.at(-1) !== 'KAGAMI_LOG_UNAVAILABLE') {
    const early = new AbortController()
    const write = code(primary.replicate(bytes(`refused ${outcomes.length}`), { signal: early.signal }))
    // Taken back before it is sealed, where it was not refused.
    early.abort(new Error('taken back'))
    outcomes.push(await write)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(outcomes[0]).toBe('Error: taken back')
  expect(problem(a)).toMatch(/KAGAMI_LOG_UNAVAILABLE/)
  mend()
  await sealed
  await primary.replicate(bytes('after'))
  await replica.sync()
  expect(lines(replica)).toEqual(['sealed', 'after'])
})

/** A log whose next appends are never answered: `plan` says of each whether it lands all the same. */
class Swallowing {
  readonly swallowed: Uint8Array[] = []
  plan: ('lands' | 'lost')[] = []

  over(log: CommitLog): CommitLog {
    return delegate(log, {
      open: async (...args: Parameters<CommitLog['open']>) => {
        const opened = await log.open(...args)
        return delegate(opened, { append: (...call: Parameters<TokenLog['append']>) => this.#append(opened, call) })
      },
    })
  }

  #append(log: TokenLog, call: Parameters<TokenLog['append']>): ReturnType<TokenLog['append']> {
    const fate = this.plan.shift()
    if (fate === undefined) return log.append(...call)
    this.swallowed.push(call[0].slice())
    if (fate === 'lands') log.append(...call).catch(() => undefined)
    return new Promise(() => undefined)
  }
}

test('an append that is never answered is repeated with the same bytes, and takes effect once', async () => {
  await using cluster = new TestCluster()
  const swallowing = new Swallowing()
  const { primary, replica } = await mirrored(
    cluster,
    { appendTimeoutMs: 100 },
    swallowing.over(cluster.world.commitLog()),
  )
  const plans = [['lost'], ['lost', 'lost'], ['lost', 'lands'], ['lands']] as const
  for (const [round, plan] of plans.entries()) {
    swallowing.plan = [...plan]
    await primary.replicate(bytes(`round ${round}`))
    expect(swallowing.plan).toEqual([])
    const [first, ...others] = swallowing.swallowed.splice(0)
    for (const other of others) expect(other).toEqual(first)
  }
  swallowing.plan = ['lost']
  await primary.sync()
  expect(swallowing.plan).toEqual([])
  await replica.sync()
  expect(lines(replica)).toEqual(['round 0', 'round 1', 'round 2', 'round 3'])
})

test('calls that wait are bounded in bytes as well as in number, and one always may', async () => {
  await using cluster = new TestCluster()
  const { primary, replica } = await mirrored(cluster, { maxInFlightEntries: 1, maxWaitingBytes: 100, maxWaiting: 5 })
  const mend = cluster.world.logs.cut('a')
  const write = (size: number): Promise<string> => code(primary.replicate(new Uint8Array(size)))
  const outcomes = [write(1), write(200), write(1)]
  expect(await outcomes[2]).toBe('KAGAMI_OVERLOADED')
  mend()
  expect(await Promise.all(outcomes)).toEqual(['resolved', 'resolved', 'KAGAMI_OVERLOADED'])

  const again = cluster.world.logs.cut('a')
  const small = [write(1), ...Array.from({ length: 8 }, () => write(30))]
  expect(await Promise.all(small.slice(4))).toEqual(Array(5).fill('KAGAMI_OVERLOADED'))
  again()
  expect(await Promise.all(small.slice(0, 4))).toEqual(Array(4).fill('resolved'))
  await replica.sync()
  expect(lines(replica).length).toBe(6)
})

test('readers that wait are bounded, and those that gave up take no place', async () => {
  await using cluster = new TestCluster()
  const { primary } = await mirrored(cluster, { maxWaiting: 3 })
  const mend = cluster.world.logs.cut('a')
  for (const wait of [
    (signal: AbortSignal) => primary.sync({ signal }),
    (signal: AbortSignal) => primary.waitFor({ incarnation: 1, index: 9 }, { signal }),
  ]) {
    for (let round = 0; round < 10; round++) {
      const end = new AbortController()
      const outcomes = Array.from({ length: 3 }, () => code(wait(end.signal)))
      end.abort(new Error('gave up'))
      expect(await Promise.all(outcomes)).toEqual(Array(3).fill('Error: gave up'))
    }
    const end = new AbortController()
    // One marker is under way besides those that wait for the next.
    const outcomes = Array.from({ length: 6 }, () => code(wait(end.signal)))
    expect(await outcomes[5]).toBe('KAGAMI_OVERLOADED')
    end.abort(new Error('gave up'))
    expect((await Promise.all(outcomes)).filter((outcome) => outcome === 'Error: gave up').length).toBeGreaterThan(2)
  }
  mend()
  await primary.sync()
})

test('an append that the log refuses for good ends the term, not the copy: what is small enough goes on', async () => {
  await using cluster = new TestCluster()
  const refusing = (): CommitLog => refusingLog(cluster, (record) => Buffer.from(record).includes('too large'))
  const nodes = await Promise.all(['a', 'b', 'c'].map((id) => cluster.start(id, { log: refusing() })))
  const [a] = nodes as [Kagami<number>]
  await a.token('orders', { replicas: 2 })
  await eventually(() => nodes.every((node) => node.get('orders')?.lag.caughtUp), 'three copies')
  for (let i = 0; i < 5; i++) {
    const node = await eventually(() => cluster.primary('orders'), 'a primary')
    const orders = node.get('orders')
    const outcomes = await Promise.allSettled([
      orders?.replicate(bytes(`before ${i}`)),
      orders?.replicate(bytes('too large')),
    ])
    const refused = outcomes[1]
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'KAGAMI_INDETERMINATE' } })
    expect((refused as PromiseRejectedResult).reason).toMatchObject({ cause: { code: 'KAGAMI_LOG_REFUSED' } })
    expect(node.health().problems.join()).toMatch(/KAGAMI_LOG_REFUSED/)
  }
  const node = await eventually(() => cluster.primary('orders'), 'a primary')
  await node.get('orders')?.replicate(bytes('after'))
  expect((node.get('orders')?.state as Ledger).lines.at(-1)).toBe('after')
  expect((node.get('orders')?.state as Ledger).lines).not.toContain('too large')
  expect(node.health().problems).toEqual([])
})

test('a primary that may not write gives way to a copy that may, and stays one', async () => {
  await using cluster = new TestCluster()
  let permitted = true
  const a = await cluster.start('a', { log: refusingLog(cluster, () => !permitted) })
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica is in sync')
  await orders.replicate(bytes('one'))
  permitted = false
  const lost = await orders.replicate(bytes('two')).catch((error: unknown) => error)
  expect(lost).toMatchObject({ code: 'KAGAMI_INDETERMINATE', cause: { code: 'KAGAMI_LOG_REFUSED' } })
  await eventually(() => b.get('orders')?.role === 'primary', 'the other takes over')
  await b.get('orders')?.replicate(bytes('three'))
  await expect(orders.sync()).rejects.toMatchObject({ code: 'KAGAMI_LOG_REFUSED' })
  await orders.waitFor({ incarnation: 1, index: 1 })
  expect((orders.state as Ledger).lines).toEqual(['one', 'three'])
  expect(orders.role).toBe('replica')
})

test('where nobody may write, primaries change with pauses, and serve as soon as they may', async () => {
  await using cluster = new TestCluster()
  let permitted = true
  let refused = 0
  // More than there may be: a cluster that does not pause would never let the test go on.
  const enough = 50
  const options = (): Partial<KagamiOptions<number>> => ({
    log: refusingLog(cluster, () => !permitted && ++refused <= enough),
    limits: { lookMs: 50, restoreTimeoutMs: 500, retryMs: { first: 5, longest: 200 } },
  })
  const a = await cluster.start('a', options())
  const b = await cluster.start('b', options())
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica is in sync')
  permitted = false
  const before = a.locate('orders')?.epoch ?? 0
  await expect(orders.replicate(bytes('one'))).rejects.toMatchObject({ code: 'KAGAMI_INDETERMINATE' })
  await eventually(() => (a.locate('orders')?.epoch ?? 0) >= before + 6 || refused > enough, 'both have tried')
  expect(refused).toBeLessThan(enough)
  await expect(orders.replicate(bytes('two'))).rejects.toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
  permitted = true
  const node = await eventually(() => cluster.primary('orders'), 'a primary')
  await node.get('orders')?.replicate(bytes('three'))
  expect((node.get('orders')?.state as Ledger).lines).toEqual(['three'])
})

/** A log that refuses some records for good. */
function refusingLog(cluster: TestCluster, refuses: (record: Uint8Array) => boolean): CommitLog {
  const log = cluster.world.commitLog()
  const open = log.open.bind(log)
  log.open = async (...call) => {
    const opened = await open(...call)
    const append = opened.append.bind(opened)
    opened.append = (record, options) =>
      refuses(record)
        ? Promise.reject(new KagamiError('KAGAMI_LOG_REFUSED', 'the log does not take this'))
        : append(record, options)
    return opened
  }
  return log
}

test('a log whose every batch comes late, with large records, still brings a copy on, one batch after the other', async () => {
  await using cluster = new TestCluster()
  // Entries of which two don't fit into one batch of a reader.
  const large = { ...limits, maxFrameBytes: 900_000 }
  const a = await cluster.start('a', { limits: large })
  const primary = await a.token('orders', { replicas: 0, primary: 'self' })
  for (let i = 0; i < 4; i++) await primary.replicate(bytes(`${i} ${'x'.repeat(600_000)}`))
  const log = cluster.world.commitLog()
  const slow = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate(opened, {
        async *read(...from: Parameters<TokenLog['read']>) {
          for await (const batch of opened.read(...from)) {
            // As long as a reader may miss its looks, and longer.
            if (batch.records.some((record) => record.bytes.length > 100_000)) await pause(4 * limits.lookMs!)
            yield batch
          }
        },
      })
    },
  })
  const b = await cluster.start('b', { limits: large, log: slow })
  await a.alter('orders', { replicas: 1 })
  await eventually(() => b.get('orders')?.next?.index === 4, 'the copy has applied all')
  expect(lines(b.get('orders')!)).toEqual(lines(primary))
})

test('a copy that is cut off again and again, with nothing to read, asks for no larger batches without end', async () => {
  await using cluster = new TestCluster()
  const asked: number[] = []
  const log = cluster.world.commitLog()
  const cutOff = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate(opened, {
        async *read(...from: Parameters<TokenLog['read']>) {
          asked.push(from[1].maxBatchBytes)
          for await (const batch of opened.read(...from)) {
            yield batch
            await pause(4 * limits.lookMs!)
          }
        },
      })
    },
  })
  const a = await cluster.start('a', { limits, log: cutOff })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  asked.length = 0
  await eventually(() => asked.length > 6, 'it begins again many times')
  expect(Math.max(...asked)).toBeLessThanOrEqual(2 * log.maxRecordBytes)
})

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
