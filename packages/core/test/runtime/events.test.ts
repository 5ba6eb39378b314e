import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import type { Kagami, KagamiEvents, KagamiOptions } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'
import { documented } from './public-options.js'

type Kind = keyof KagamiEvents

/** What a node has emitted. */
class Record {
  readonly order: Kind[] = []
  readonly #payloads = new Map<Kind, unknown[]>()

  constructor(node: Kagami<number>) {
    for (const kind of documented('KagamiEvents').keys() as Iterable<Kind>) {
      node.on(kind, (payload) => {
        this.order.push(kind)
        this.#payloads.set(kind, [...(this.#payloads.get(kind) ?? []), payload])
      })
    }
  }

  of<K extends Kind>(kind: K): readonly KagamiEvents[K][] {
    return (this.#payloads.get(kind) ?? []) as KagamiEvents[K][]
  }
}

/** Starts a node whose events are recorded from its beginning. */
async function recorded(
  cluster: TestCluster,
  id: string,
  options: Partial<KagamiOptions<number>> = {},
): Promise<{ readonly node: Kagami<number>; readonly events: Record }> {
  const node = cluster.make(id, options)
  const events = new Record(node)
  cluster.nodes.set(id, node)
  await node.start()
  return { node, events }
}

const memberOf = (id: string): unknown => expect.stringMatching(`^${id}\\.[0-9a-f]{16}$`)

test('a failover: the lost node tells of its lease and its session, the other of its promotion', async () => {
  await using cluster = new TestCluster()
  const a = await recorded(cluster, 'a')
  const b = await recorded(cluster, 'b')
  const orders = await a.node.token('orders', { replicas: 1, primary: 'self' })
  await orders.replicate(bytes('one'))
  await eventually(() => b.events.of('in-sync').length > 0, 'a replica in sync')
  const member = a.node.health().member as string
  const mend = cluster.world.cut('a')
  const taken = await eventually(() => b.node.get('orders')?.role === 'primary' && b.node.get('orders'), 'failover')
  await taken.replicate(bytes('two'))
  mend()
  await eventually(() => a.events.of('joined').length === 2, 'the lost node joins again')

  expect(a.events.of('joined')).toEqual([{ member }, { member: memberOf('a') }])
  expect(a.events.of('joined')[1]).not.toEqual({ member })
  expect(a.events.of('suspended')).toEqual([{ member }])
  expect(a.events.of('resumed')).toEqual([])
  expect(a.events.of('expired')).toEqual([{ member }])
  expect(a.events.of('controller').slice(0, 2)).toEqual([
    { elected: true, epoch: 1 },
    { elected: false, epoch: 1 },
  ])
  const first = { token: 'orders', incarnation: 1, epoch: 1 }
  expect(a.events.of('promoting')).toEqual([first])
  expect(a.events.of('promoted')).toEqual([first])
  expect(a.events.of('demoted')).toEqual([{ ...first, reason: 'the lease is suspended' }])
  const life = a.events.order.filter((kind) =>
    ['joined', 'copy', 'restored', 'promoting', 'promoted', 'suspended', 'demoted', 'expired'].includes(kind),
  )
  expect(life.slice(0, 8)).toEqual([
    'joined',
    'copy',
    'restored',
    'promoting',
    'promoted',
    'suspended',
    'demoted',
    'expired',
  ])

  expect(b.events.of('joined')).toEqual([{ member: memberOf('b') }])
  expect(b.events.of('controller')).toEqual([{ elected: true, epoch: 2 }])
  expect(b.events.of('copy')).toEqual([{ token: 'orders', opened: true }])
  expect(b.events.of('restored')).toEqual([
    { token: 'orders', snapshot: undefined, next: { incarnation: 0, index: 0 }, tookMs: expect.any(Number) },
  ])
  expect(b.events.of('in-sync')[0]).toEqual({ token: 'orders', next: { incarnation: 1, index: expect.any(Number) } })
  expect(b.events.of('promoting')).toEqual([{ ...first, epoch: 2 }])
  expect(b.events.of('promoted')).toEqual([{ ...first, epoch: 2 }])
  expect(b.events.of('demoted')).toEqual([])
  const assigned = b.events.of('assigned')
  expect(assigned).toContainEqual({ ...first, primary: 'a', replicas: ['b'] })
  expect(assigned.find(({ epoch }) => epoch === 2)).toMatchObject({ token: 'orders', incarnation: 1, primary: 'b' })
  const epochs = assigned.map(({ epoch }) => epoch)
  expect(epochs).toEqual(epochs.toSorted((x, y) => x - y))
})

test('a lease that is suspended and held again, and a handover', async () => {
  await using cluster = new TestCluster()
  const a = await recorded(cluster, 'a')
  const b = await recorded(cluster, 'b')
  const orders = await a.node.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.events.of('in-sync').length > 0, 'a replica in sync')
  const member = a.node.health().member as string
  const mend = cluster.world.coordination.cut()
  await eventually(() => orders.role === 'suspended', 'a suspended lease')
  mend()
  await eventually(() => orders.role === 'primary', 'the lease is held again')
  await a.node.handover('orders', { to: 'b' })

  expect(a.events.of('suspended')).toEqual([{ member }])
  expect(a.events.of('resumed')).toEqual([{ member }])
  expect(a.events.of('expired')).toEqual([])
  const first = { token: 'orders', incarnation: 1, epoch: 1 }
  expect(a.events.of('promoting')).toEqual([first])
  expect(a.events.of('promoted')).toEqual([first, first])
  expect(a.events.of('demoted')).toEqual([
    { ...first, reason: 'the lease is suspended' },
    { ...first, reason: 'another primary is assigned' },
  ])
  expect(b.events.of('promoted')).toEqual([{ ...first, epoch: 2 }])
  for (const { events } of [a, b]) expect(events.of('failed')).toEqual([])
})

/** Removes a token that `b` holds a copy of. Out of touch with the coordinator, it must learn of that from the log. */
async function removeUnheard(
  cluster: TestCluster,
  token: string,
  a: Awaited<ReturnType<typeof recorded>>,
  b: Awaited<ReturnType<typeof recorded>>,
): Promise<void> {
  const mend = cluster.world.coordination.cut('b')
  await a.node.remove(token)
  await eventually(() => b.events.of('deleted').length > 0, 'the replica reads the end')
  mend()
}

test('a removal', async () => {
  await using cluster = new TestCluster()
  const a = await recorded(cluster, 'a')
  const b = await recorded(cluster, 'b')
  await a.node.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.events.of('in-sync').length > 0, 'a replica in sync')
  await removeUnheard(cluster, 'orders', a, b)
  await eventually(() => [a, b].every(({ events }) => events.of('copy').length === 2), 'both copies are dropped')
  expect(b.events.of('deleted')).toEqual([{ token: 'orders', incarnation: 2 }])
  expect(a.events.of('demoted')).toMatchObject([{ token: 'orders', incarnation: 1, epoch: 1 }])
  for (const { events } of [a, b]) {
    expect(events.of('copy')).toEqual([
      { token: 'orders', opened: true },
      { token: 'orders', opened: false },
    ])
  }
})

test('a removal is told once, also where the copy is closed before it has read of it', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const log = cluster.world.commitLog()
  const blind = delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        async *read(_from: bigint, { signal }: Parameters<TokenLog['read']>[1]) {
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
          yield* []
        },
      })
    },
  })
  const { node: b, events: told } = await recorded(cluster, 'b', { log: blind })
  await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders') !== undefined && told.of('copy').length > 0, 'a copy')
  await a.remove('orders')
  await eventually(() => told.of('copy').some(({ opened }) => !opened), 'it is closed')
  expect(told.of('deleted')).toEqual([{ token: 'orders', incarnation: 2 }])
})

test('snapshots, and a restore from one with its progress', async () => {
  await using cluster = new TestCluster()
  const a = await recorded(cluster, 'a', { snapshotting: { everyEntries: 40 } })
  const orders = await a.node.token('orders', { replicas: 0, primary: 'self' })
  const snapshots = (): readonly KagamiEvents['snapshot'][] => a.events.of('snapshot')
  for (let i = 0; !snapshots().some(({ phase }) => phase === 'truncated'); i++) {
    await orders.replicate(bytes(`${i} `.padEnd(10_000, 'x')))
  }
  const ids = [...new Set(snapshots().map(({ id }) => id))]
  for (const [i, id] of ids.entries()) {
    const own = snapshots().filter((event) => event.id === id)
    const { bytes: size } = own[1] ?? { bytes: 0 }
    // Not before two are verified.
    const wanted = ['captured', 'published', 'verified', ...(i === 0 ? [] : ['truncated'])].slice(0, own.length)
    expect(own).toEqual(
      wanted.map((phase, at) => ({ token: 'orders', phase, id, bytes: at === 0 ? 0 : size, error: undefined })),
    )
    if (own.length > 1) expect(size).toBeGreaterThan(300_000)
  }
  expect(ids.length).toBeGreaterThanOrEqual(2)

  const mend = cluster.world.snapshots.cut()
  for (let i = 0; !snapshots().some(({ phase }) => phase === 'failed'); i++) await orders.replicate(bytes(`${i}`))
  expect(snapshots().at(-1)).toEqual({
    token: 'orders',
    phase: 'failed',
    id: expect.any(String),
    bytes: 0,
    error: expect.objectContaining({ code: 'KAGAMI_STORE_UNAVAILABLE' }),
  })
  mend()

  const b = await recorded(cluster, 'b')
  await a.node.alter('orders', { replicas: 1 })
  await eventually(() => b.events.of('in-sync').length > 0, 'a copy in sync')
  const [restored] = b.events.of('restored')
  expect(b.events.of('restored')).toEqual([
    {
      token: 'orders',
      snapshot: expect.any(String),
      next: { incarnation: 1, index: expect.any(Number) },
      tookMs: expect.any(Number),
    },
  ])
  const progress = b.events.of('restoring')
  const total = progress[0]?.totalBytes as number
  expect(progress.length).toBeGreaterThan(1)
  for (const event of progress) {
    expect(event).toEqual({
      token: 'orders',
      snapshot: restored?.snapshot,
      bytes: expect.any(Number),
      totalBytes: total,
    })
  }
  const sizes = progress.map((event) => event.bytes)
  expect(sizes).toEqual([...new Set(sizes)].toSorted((x, y) => x - y))
  expect(sizes.at(-1)).toBe(total)
  const own = b.events.order.filter((kind) => ['copy', 'restoring', 'restored', 'in-sync'].includes(kind))
  const wanted = ['copy', ...progress.map(() => 'restoring'), 'restored', 'in-sync']
  expect(own.slice(0, wanted.length)).toEqual(wanted)
  await b.node.get('orders')?.sync()
  expect((b.node.get('orders')?.state as Ledger).lines).toEqual((orders.state as Ledger).lines)
})

test('a poisoned copy', async () => {
  await using cluster = new TestCluster()
  const a = await recorded(cluster, 'a')
  const orders = await a.node.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('fine'))
  await expect(orders.replicate(bytes('poison'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  expect(a.events.of('failed')).toEqual([
    {
      token: 'orders',
      error: expect.objectContaining({ code: 'KAGAMI_APPLY_FAILED' }),
      position: { incarnation: 1, index: 1 },
    },
  ])
  const serving = { token: 'orders', incarnation: 1, epoch: 1 }
  expect(a.events.of('promoted')).toEqual([serving])
  expect(a.events.of('demoted')).toEqual([{ ...serving, reason: 'the copy has failed' }])
  expect(a.events.order.slice(-2)).toEqual(['demoted', 'failed'])
})

test('every event of the public type is emitted somewhere in the life of two nodes', async () => {
  await using cluster = new TestCluster()
  const a = await recorded(cluster, 'a', { snapshotting: { everyEntries: 5 } })
  const orders = await a.node.token('orders', { replicas: 0, primary: 'self' })
  for (let i = 0; !a.events.of('snapshot').some(({ phase }) => phase === 'verified'); i++) {
    await orders.replicate(bytes(`${i}`))
  }
  const b = await recorded(cluster, 'b')
  await a.node.token('gone', { replicas: 1, primary: 'self' })
  await eventually(() => b.node.get('gone')?.lag.caughtUp, 'a copy in sync')
  await removeUnheard(cluster, 'gone', a, b)
  await a.node.alter('orders', { replicas: 1 })
  await eventually(() => b.node.get('orders')?.lag.caughtUp, 'a copy in sync')
  const mend = cluster.world.coordination.cut()
  await eventually(() => orders.role === 'suspended', 'a suspended lease')
  mend()
  await eventually(() => orders.role === 'primary', 'the lease is held again')
  cluster.world.coordination.expire('a')
  await eventually(() => b.node.get('orders')?.role === 'primary', 'failover')
  await expect(b.node.get('orders')!.replicate(bytes('poison'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  const backup = cluster.world.coordination.backup()
  const documents = [...(backup.documents.get('test') ?? [])].filter(([name]) => !name.startsWith('specs/'))
  cluster.world.coordination.restore({ ...backup, documents: new Map([['test', new Map(documents)]]) })
  await eventually(() => [a, b].some(({ events }) => events.of('spec-lost').length > 0), 'a lost spec')
  const silent = [...documented('KagamiEvents').keys()].filter(
    (kind) => a.events.of(kind as Kind).length + b.events.of(kind as Kind).length === 0,
  )
  expect(silent).toEqual([])
})
