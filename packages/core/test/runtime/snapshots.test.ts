import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { KagamiError, snapshotMap, type KagamiEvents } from '../../src/index.js'
import { bytes, delegate, eventually, Ledger, TestCluster } from './harness.js'

const often = { snapshotting: { everyEntries: 50 } }

function phases(kagami: {
  on(event: 'snapshot', listener: (payload: KagamiEvents['snapshot']) => void): unknown
}): string[] {
  const seen: string[] = []
  kagami.on('snapshot', ({ phase }) => seen.push(phase))
  return seen
}

function thrownBy(call: () => void): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

async function fill(
  token: { replicate(value: Uint8Array): Promise<unknown> },
  from: number,
  to: number,
): Promise<void> {
  for (let i = from; i < to; i++) await token.replicate(bytes(`entry ${i}`))
}

/** Writes 230 entries, and waits for three snapshots on the way: how many entries go by while one is persisted is up to the machine. */
async function fillThroughSnapshots(token: Parameters<typeof fill>[0], seen: readonly string[]): Promise<void> {
  for (let taken = 1; taken <= 3; taken++) {
    await fill(token, (taken - 1) * 70, taken * 70)
    await eventually(() => seen.filter((phase) => phase === 'verified').length >= taken, 'a verified snapshot')
  }
  await fill(token, 210, 230)
}

/** A token with two verified snapshots and a truncated log, on node a. */
async function truncated(cluster: TestCluster) {
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  await fillThroughSnapshots(orders, seen)
  await eventually(() => seen.includes('truncated'), 'a truncation')
  return a
}

test('the designated replica takes the snapshots, and the log is truncated only once two are verified', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', often)
  const b = await cluster.start('b', often)
  const onA = phases(a)
  const onB = phases(b)
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  // Until the controller has heard that the replica is in sync, the primary is the one.
  await eventually(() => cluster.assignment('orders')?.snapshotter === 'b', 'a designated replica')
  const records = () => cluster.world.logs.records(cluster.world.logs.addresses()[0] as string)
  const first = records()[0]?.offset
  await fill(orders, 0, 60)
  await eventually(() => onB.includes('verified'), 'a verified snapshot')
  expect(records()[0]?.offset).toBe(first)
  await fill(orders, 60, 200)
  await eventually(() => onB.includes('truncated'), 'a truncation')
  expect(records()[0]?.offset).toBeGreaterThan(first as bigint)
  expect(onA).toEqual([])
  expect(onB.slice(0, 3)).toEqual(['captured', 'published', 'verified'])
})

test('a snapshot is due after so many bytes, too, however few the entries', async () => {
  await using cluster = new TestCluster()
  const hour = 3_600_000
  const a = await cluster.start('a', { snapshotting: { everyEntries: 1000, everyBytes: 4000, everyMs: hour } })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  await orders.replicate(bytes('x'.repeat(3000)))
  await orders.sync()
  expect(seen).toEqual([])
  await orders.replicate(bytes('x'.repeat(1000)))
  await eventually(() => seen.includes('verified'), 'a snapshot')
  const [snapshot] = await cluster.snapshots('orders')
  expect(snapshot?.nextIndex).toBe(2)
})

test('a fresh copy restores from the newest snapshot plus the rest of the log', async () => {
  await using cluster = new TestCluster()
  const a = await truncated(cluster)
  const b = await cluster.start('b', often)
  let restored: KagamiEvents['restored'] | undefined
  b.on('restored', (event) => (restored = event))
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a copy on b')
  await copy.sync()
  expect(restored?.snapshot).toBeDefined()
  expect(restored?.next.index).toBeGreaterThan(0)
  expect((copy.state as Ledger).lines).toEqual(Array.from({ length: 230 }, (_, i) => `entry ${i}`))
})

test('a snapshot that is damaged when it is read back is deleted, told, and counts for nothing', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  let damaged: string | undefined
  const failed: string[] = []
  const verified: string[] = []
  a.on('snapshot', ({ phase, id, error }) => {
    if (phase === 'published' && damaged === undefined) cluster.world.snapshots.corrupt('orders', (damaged = id))
    if (phase === 'failed') failed.push(`${id} ${error?.code}`)
    if (phase === 'verified') verified.push(id)
  })
  await fill(orders, 0, 70)
  await eventually(() => failed.length > 0, 'it is told')
  expect(failed).toEqual([`${damaged} KAGAMI_SNAPSHOT_CORRUPT`])
  expect(verified).not.toContain(damaged)
  const store = cluster.world.snapshotStore()
  await store.start({ cluster: 'test', node: 'looker', logger: console, signal: new AbortController().signal })
  const kept = await store.list('orders', { signal: new AbortController().signal })
  expect(kept.map(({ meta }) => meta.id)).not.toContain(damaged)
})

test('a damaged snapshot is passed over for the next older one', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  await fillThroughSnapshots(orders, seen)
  await eventually(
    () => seen.filter((phase) => phase === 'truncated').length >= 1 && !seen.at(-1)?.includes('captured'),
    'snapshots',
  )
  const store = cluster.world.snapshotStore()
  await store.start({ cluster: 'test', node: 'looker', logger: console, signal: new AbortController().signal })
  const [newest, older] = await store.list('orders', { signal: new AbortController().signal })
  cluster.world.snapshots.corrupt('orders', newest?.meta.id as string)
  const b = await cluster.start('b', often)
  const used: (string | undefined)[] = []
  b.on('restored', ({ snapshot }) => used.push(snapshot))
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a copy on b')
  await copy.sync()
  expect(used).toEqual([older?.meta.id])
  expect((copy.state as Ledger).lines).toHaveLength(230)
})

test('without a usable snapshot for a truncated log the copy fails loudly, and nothing is deleted', async () => {
  await using cluster = new TestCluster()
  const a = await truncated(cluster)
  // Otherwise the primary would soon publish another that covers everything.
  cluster.world.snapshots.cut('a')
  cluster.world.snapshots.wipe()
  const before = cluster.world.logs.records(cluster.world.logs.addresses()[0] as string).length
  const b = await cluster.start('b', often)
  await a.alter('orders', { replicas: 1 })
  const error = await eventually(() => b.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_GAP')
  expect(cluster.world.logs.records(cluster.world.logs.addresses()[0] as string).length).toBeGreaterThanOrEqual(before)
})

test('an outage of the store stops no write and truncates nothing; health says so, and it catches up', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  const mend = cluster.world.snapshots.cut()
  await fill(orders, 0, 120)
  await eventually(() => seen.includes('failed'), 'a failed snapshot')
  expect(a.health().problems.join()).toMatch(/log is not truncated/)
  expect(cluster.world.logs.records(cluster.world.logs.addresses()[0] as string)[0]?.offset).toBe(0n)
  mend()
  await fill(orders, 120, 130)
  await eventually(() => seen.includes('verified'), 'a snapshot after the outage')
  expect(a.health().ok).toBe(true)
})

test('a state machine whose snapshot fails half-way goes on serving', async () => {
  await using cluster = new TestCluster()
  let broken = true
  class HalfWay extends Ledger {
    override snapshot(): ReturnType<Ledger['snapshot']> {
      const whole = super.snapshot()
      if (!broken) return whole
      return {
        async *persist() {
          yield Buffer.from('half')
          throw new Error('disk on fire')
        },
        release: () => whole.release(),
      }
    }
  }
  const a = await cluster.start('a', { ...often, stateMachine: () => new HalfWay() })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  await fill(orders, 0, 60)
  await eventually(() => seen.includes('failed'), 'a failed snapshot')
  expect(a.health().copies[0]?.snapshotError?.code).toBe('KAGAMI_SNAPSHOT_FAILED')
  broken = false
  await fill(orders, 60, 70)
  await eventually(() => seen.includes('verified'), 'a snapshot')
  expect((orders.state as Ledger).lines).toHaveLength(70)
})

test('S8: a snapshot that is listed otherwise than it is counts as damaged: nothing is truncated, and nobody loses its beginning', async () => {
  await using cluster = new TestCluster()
  const snapshots = cluster.world.snapshotStore()
  const list = snapshots.list.bind(snapshots)
  snapshots.list = async (...call) =>
    (await list(...call)).map((ref) => ({ ...ref, meta: { ...ref.meta, schemaVersion: ref.meta.schemaVersion + 1 } }))
  const a = await cluster.start('a', { ...often, snapshots })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  await fill(orders, 0, 230)
  await eventually(() => seen.includes('failed'), 'the first snapshot fails')
  expect(a.health().problems.join()).toMatch(/other metadata/)
  expect(seen).not.toContain('verified')
  const b = await cluster.start('b', often)
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a copy on b')
  await copy.sync()
  expect((copy.state as Ledger).lines).toHaveLength(230)
})

test.each([
  ['an error of its own', 'schema 7 is unknown to me', () => new TypeError('schema 7 is unknown to me')],
  ['that of a wrong key', 'option key is 7', () => thrownBy(() => snapshotMap().set(7 as unknown as string, 1))],
])('a state machine that refuses every snapshot with %s is told so by name', async (_, message, refusal) => {
  await using cluster = new TestCluster()
  const a = await truncated(cluster)
  class Refusing extends Ledger {
    override async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
      for await (const chunk of chunks) void chunk
      throw refusal()
    }
  }
  const b = await cluster.start('b', { ...often, stateMachine: () => new Refusing() })
  await a.alter('orders', { replicas: 1 })
  const error = await eventually(() => b.health().copies[0]?.error, 'the copy fails')
  expect(error).toMatchObject({ code: 'KAGAMI_SNAPSHOT_FAILED', cause: { message: expect.stringContaining(message) } })
  expect(error.message).toMatch(new RegExp(`${message}.*restore\\(\\)`))
  await a.get('orders')?.replicate(bytes('goes on'))
})

test('a state machine that swallows a damaged snapshot is not taken for restored: the next older is used', async () => {
  await using cluster = new TestCluster()
  class Careless extends Ledger {
    override restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
      return super.restore(chunks).catch(() => undefined)
    }
  }
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  await fillThroughSnapshots(orders, seen)
  await eventually(() => seen.filter((phase) => phase === 'truncated').length >= 2, 'truncations')
  const snapshots = cluster.world.snapshotStore()
  const read = snapshots.open.bind(snapshots)
  let damaged: string | undefined
  snapshots.open = async function* (token, id, options) {
    damaged ??= id
    for await (const chunk of read(token, id, options)) {
      if (id === damaged) chunk[chunk.length >> 1]! ^= 1
      yield chunk
    }
  }
  const b = await cluster.start('b', { ...often, snapshots, stateMachine: () => new Careless() })
  let restored: KagamiEvents['restored'] | undefined
  b.on('restored', (event) => (restored = event))
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a copy on b')
  await copy.sync()
  expect(damaged).toBeDefined()
  expect(restored?.snapshot).toBeDefined()
  expect(restored?.snapshot).not.toBe(damaged)
  expect((copy.state as Ledger).lines).toHaveLength(230)
})

test('an option stateMachine that throws fails that copy, by name, and no other', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const stateMachine = (token: string): Ledger => {
    if (token === 'orders') throw new Error('no licence')
    return new Ledger()
  }
  const b = await cluster.start('b', { stateMachine })
  await a.token('orders', { replicas: 1, primary: 'self' })
  await a.token('other', { replicas: 1, primary: 'self' })
  const failed = await eventually(() => b.health().copies.find(({ error }) => error !== undefined), 'the copy fails')
  expect(failed).toMatchObject({ token: 'orders', error: { code: 'KAGAMI_SNAPSHOT_FAILED' } })
  expect(failed.error?.message).toMatch(/no licence/)
  await eventually(() => b.get('other')?.lag.caughtUp, 'the other copy')
})

test('a snapshotter that has lost its store gives the job to a replica that has not', async () => {
  await using cluster = new TestCluster()
  const [a, b, c] = [await cluster.start('a', often), await cluster.start('b', often), await cluster.start('c', often)]
  const orders = await a.token('orders', { replicas: 2, primary: 'self' })
  await eventually(() => [b, c].every((node) => node.get('orders')?.lag.caughtUp), 'two replicas in sync')
  const first = await eventually(() => {
    const designated = cluster.assignment('orders')?.snapshotter
    return designated !== 'a' && (designated ?? undefined)
  }, 'a replica is designated')
  const other = first === 'b' ? c : b
  const seen = phases(other)
  const mend = cluster.world.snapshots.cut(first)
  // At once: it is told only for as long as the job is its own.
  const told: string[] = []
  cluster.node(first).on('snapshot', ({ phase }) => {
    if (phase === 'failed') told.push(cluster.node(first).health().problems.join())
  })
  await fill(orders, 0, 60)
  await eventually(() => told.length > 0, 'the first finds its store gone')
  expect(told[0]).toMatch(/snapshots of 'orders' fail/)
  await eventually(() => seen.includes('verified'), 'the other has taken a snapshot')
  expect(cluster.node(first).health().problems).toEqual([])
  mend()
})

test('a copy whose node does not reach the snapshots waits for them, says so, and lets one be the primary that does', async () => {
  await using cluster = new TestCluster()
  await truncated(cluster)
  await cluster.node('a').alter('orders', { replicas: 1 })
  await cluster.stop('a')
  const snapshots = cluster.world.snapshotStore()
  const list = snapshots.list.bind(snapshots)
  let reached = false
  const away = new KagamiError('KAGAMI_STORE_UNAVAILABLE', 'nobody answers', { retryable: true })
  snapshots.list = (...call) => (reached ? list(...call) : Promise.reject(away))
  const a = await cluster.start('a', { ...often, snapshots })
  const hindered = await eventually(
    () => a.health().copies.find(({ error }) => error !== undefined),
    'the copy says so',
  )
  expect(hindered).toMatchObject({ phase: 'restoring', error: { code: 'KAGAMI_STORE_UNAVAILABLE' } })
  expect(a.health().problems.join()).toMatch(/'orders' can't be restored now.*snapshots can't be had/)
  expect(a.locate('orders')?.primary?.id).toBe('a')
  const b = await cluster.start('b', often)
  await eventually(() => b.get('orders')?.role === 'primary', 'the other serves')
  expect((b.get('orders')?.state as Ledger).lines).toHaveLength(230)
  reached = true
  await eventually(() => a.get('orders')?.lag.caughtUp, 'the copy is restored')
  expect(a.health().problems).toEqual([])
})

test('a store that lists nothing at first is asked again before the token counts as lost', async () => {
  await using cluster = new TestCluster()
  const a = await truncated(cluster)
  const snapshots = cluster.world.snapshotStore()
  const list = snapshots.list.bind(snapshots)
  let stale = 0
  snapshots.list = (...call) => (stale++ === 0 ? Promise.resolve([]) : list(...call))
  const b = await cluster.start('b', { ...often, snapshots })
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a copy on b')
  expect(stale).toBeGreaterThan(1)
  expect((copy.state as Ledger).lines).toHaveLength(230)
})

test('a log whose bounds are a stale answer at first is asked again before the token counts as lost', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await fill(await a.token('orders', { replicas: 0, primary: 'self' }), 0, 5)
  const log = cluster.world.commitLog()
  let stale = 0
  const late = delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      const range = async (options: Parameters<TokenLog['range']>[0]) => {
        const { start, end } = await opened.range(options)
        return stale++ < 4 ? { start, end: start } : { start, end }
      }
      return delegate<TokenLog>(opened, { range })
    },
  })
  const b = await cluster.start('b', { log: late })
  const failed: string[] = []
  b.on('failed', ({ error }) => failed.push(error.code))
  await a.alter('orders', { replicas: 1 })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the copy is restored')
  expect(stale).toBeGreaterThan(4)
  expect(failed).toEqual([])
})

test('a snapshot that is listed otherwise than it is restores nothing: the next older one does', async () => {
  await using cluster = new TestCluster()
  const a = await truncated(cluster)
  const snapshots = cluster.world.snapshotStore()
  const list = snapshots.list.bind(snapshots)
  let lied: string | undefined
  snapshots.list = async (...call) => {
    const [newest, ...others] = await list(...call)
    if (newest === undefined || others.length === 0) throw new Error('there are two snapshots')
    lied ??= newest.meta.id
    if (newest.meta.id !== lied) return [newest, ...others]
    return [{ ...newest, meta: { ...newest.meta, nextSeq: newest.meta.nextSeq + 1 } }, ...others]
  }
  const b = await cluster.start('b', { ...often, snapshots })
  let restored: KagamiEvents['restored'] | undefined
  b.on('restored', (event) => (restored = event))
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a copy on b')
  expect(restored?.snapshot).toBeDefined()
  expect(restored?.snapshot).not.toBe(lied)
  expect((copy.state as Ledger).lines).toHaveLength(230)
})

test('a late copy of the open frame is never what a snapshot lets the log begin with', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { snapshotting: { everyMs: 100 } })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen = phases(a)
  const { address } = cluster.assignment('orders')?.log ?? { address: '' }
  const records = cluster.world.logs.records(address)
  const { signal } = new AbortController()
  const log = cluster.world.commitLog()
  const quiet = () => undefined
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  await log.start({ cluster: 'test', node: 'stranger', logger, signal })
  const late = await log.open(address, { token: 'orders', signal })
  await orders.replicate(bytes('one'))
  const again = await late.append(records[0]?.bytes as Uint8Array, { signal })
  await eventually(() => (orders.lag.lookAgeMs < 50 ? seen.includes('verified') : undefined), 'a snapshot')
  const [snapshot] = await cluster.snapshots('orders')
  expect(BigInt(snapshot?.anchor.offset ?? 0)).toBeLessThan(again)
  expect(snapshot?.nextIndex).toBe(1)
  expect(a.health().copies[0]?.ignored['old-incarnation']).toBe(1)
  await log.stop()
})
