import { expect, test } from 'vitest'
import { isKagamiError } from '../../src/index.js'
import { bytes, closedLog, delegate, eventually, Ledger, TestCluster } from './harness.js'

test('apply that throws stops that copy only: committed, reported, and the other token goes on', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const other = await a.token('other', { replicas: 0, primary: 'self' })
  const failed: string[] = []
  a.on('failed', ({ token, position }) => failed.push(`${token}@${position?.index}`))
  await orders.replicate(bytes('fine'))
  const outcomes = await Promise.allSettled([
    orders.replicate(bytes('poison')),
    orders.replicate(bytes('behind the poison')),
  ])
  const codes = outcomes.map((outcome) =>
    outcome.status === 'rejected' && isKagamiError(outcome.reason) ? outcome.reason.code : 'resolved',
  )
  expect(codes).toEqual(['KAGAMI_APPLY_FAILED', 'KAGAMI_INDETERMINATE'])
  expect(failed).toEqual(['orders@1'])
  expect(orders.role).toBe('failed')
  expect(() => orders.state).toThrow(/has failed/)
  await expect(orders.replicate(bytes('x'))).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
  await expect(orders.sync()).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
  expect(a.health().ok).toBe(false)
  expect(a.health().problems.join()).toMatch(/orders.*can't take poison/)
  await other.replicate(bytes('still here'))
  expect((other.state as Ledger).lines).toEqual(['still here'])
})

test('nothing that follows what apply refused is applied, also in frames of their own, and all of it is settled', async () => {
  await using cluster = new TestCluster()
  const applied: string[] = []
  class Noting extends Ledger {
    override apply(entry: Parameters<Ledger['apply']>[0]): number {
      applied.push(Buffer.from(entry.value).toString())
      return super.apply(entry)
    }
  }
  // Each entry has a frame of its own, and all are on their way before the first is read.
  const a = await cluster.start('a', {
    stateMachine: () => new Noting(),
    log: delegate(cluster.world.commitLog(), { appendsInFlight: 4 }),
    limits: { lookMs: 50, maxFrameEntries: 1 },
  })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const calls = ['fine', 'poison', 'behind', 'far behind'].map((text) => orders.replicate(bytes(text)))
  const outcomes = await Promise.allSettled(calls)
  const codes = outcomes.map((outcome) =>
    outcome.status === 'rejected' && isKagamiError(outcome.reason) ? outcome.reason.code : 'resolved',
  )
  expect(codes).toEqual(['resolved', 'KAGAMI_APPLY_FAILED', 'KAGAMI_INDETERMINATE', 'KAGAMI_INDETERMINATE'])
  expect(applied).toEqual(['fine', 'poison'])
})

test('a copy that fails on one node is replaced by one on another, which is promoted', async () => {
  await using cluster = new TestCluster()
  class Fragile extends Ledger {
    override apply(entry: Parameters<Ledger['apply']>[0]): number {
      if (Buffer.from(entry.value).toString() === 'weak') throw new Error('only here')
      return super.apply(entry)
    }
  }
  const a = await cluster.start('a', { stateMachine: () => new Fragile() })
  const b = await cluster.start('b')
  const c = await cluster.start('c')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => [b, c].some((node) => node.get('orders')?.lag.caughtUp), 'a replica in sync')
  await orders.replicate(bytes('one'))
  await expect(orders.replicate(bytes('weak'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  const next = await eventually(() => cluster.primary('orders'), 'another primary')
  expect(next).not.toBe(a)
  const handle = next.get('orders')
  await handle?.replicate(bytes('two'))
  expect((handle?.state as Ledger).lines).toEqual(['one', 'weak', 'two'])
  await eventually(() => [b, c].every((node) => node.get('orders')?.lag.caughtUp), 'both others hold a copy')
  expect(a.get('orders')?.role).not.toBe('primary')
})

test('the owner that a token is held for, and whose copy has failed, hears so, also once it was made elsewhere', async () => {
  await using cluster = new TestCluster()
  class Fragile extends Ledger {
    override apply(entry: Parameters<Ledger['apply']>[0]): number {
      if (Buffer.from(entry.value).toString() === 'bad here') throw new Error('out of memory')
      return super.apply(entry)
    }
  }
  const a = await cluster.start('a', { stateMachine: () => new Fragile() })
  for (const id of ['b', 'c']) await cluster.start(id)
  const owned = { replicas: 1, primary: 'self', failover: 'hold' } as const
  const orders = await a.token('orders', owned)
  await expect(orders.replicate(bytes('bad here'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  await expect(a.token('orders', owned)).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
  await eventually(() => !a.health().copies.some(({ token }) => token === 'orders'), 'its copy is dropped')
  await expect(a.token('orders', owned)).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
})

test('a copy that has failed is not opened again by the same member, though an assignment gives it one', async () => {
  await using cluster = new TestCluster()
  let weak = ''
  const fragile = (id: string) => () => {
    const ledger = new Ledger()
    const apply = ledger.apply.bind(ledger)
    ledger.apply = (entry) => {
      if (id === weak) throw new Error('only here')
      return apply(entry)
    }
    return ledger
  }
  const ids = ['a', 'b', 'c']
  for (const id of ids) await cluster.start(id, { stateMachine: fragile(id) })
  const orders = await cluster.node('a').token('orders', { replicas: 1, primary: 'self' })
  const replica = (): string | undefined =>
    ids.find((id) => id !== weak && orders.role === 'primary' && cluster.assignment('orders')?.replicas[0] === id)
  const first = await eventually(() => {
    const id = replica()
    return id !== undefined && cluster.node(id).get('orders')?.lag.caughtUp && id
  }, 'a replica in sync')
  const node = cluster.node(first)
  const heard: string[] = []
  node.on('copy', ({ opened }) => heard.push(opened ? 'opened' : 'closed'))
  node.on('assigned', ({ replicas }) => replicas.includes(first) && heard.push('assigned'))
  weak = first
  await orders.replicate(bytes('one'))
  await eventually(() => heard.includes('closed') && replica() !== undefined, 'it is replaced')
  heard.splice(0)
  await cluster.overwrite('orders', (assignment) => ({ ...assignment, replicas: [...assignment.replicas, first] }))
  await eventually(() => heard.length > 0, 'it hears of the assignment')
  expect(heard).toEqual(['assigned'])
  expect(node.health().problems.join()).toMatch(/has failed here with KAGAMI_APPLY_FAILED/)
  await eventually(() => cluster.assignment('orders')?.replicas.includes(first) === false, 'it is taken back')
})

test('an asynchronous apply is refused as a failure, not half accepted', async () => {
  await using cluster = new TestCluster()
  class Async extends Ledger {
    override apply(): number {
      return Promise.resolve(1) as unknown as number
    }
  }
  const a = await cluster.start('a', { stateMachine: () => new Async() })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await expect(orders.replicate(bytes('x'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
})

test('a log that loses its acknowledged tail is noticed: the copies stop instead of diverging', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  for (let i = 0; i < 10; i++) await orders.replicate(bytes(`${i}`))
  await b.get('orders')?.sync()
  const [address] = cluster.world.logs.addresses()
  cluster.world.logs.loseTail(address as string, 3)
  await eventually(() => a.health().copies[0]?.error && b.health().copies[0]?.error, 'both copies fail')
  expect([a, b].map((node) => node.health().copies[0]?.error?.code)).toEqual([
    'KAGAMI_LOG_LOST_TAIL',
    'KAGAMI_LOG_LOST_TAIL',
  ])
})

test('a log that was deleted and created anew is refused', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  cluster.world.logs.recreate(cluster.world.logs.addresses()[0] as string)
  const error = await eventually(() => a.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_REPLACED')
})

test('a damaged record stops the copy', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  const [address] = cluster.world.logs.addresses()
  const record = cluster.world.logs.records(address as string).at(-1)
  if (record?.bytes[60] !== undefined) record.bytes[60] ^= 1
  const b = await cluster.start('b')
  await a.alter('orders', { replicas: 1 })
  const error = await eventually(() => b.health().copies[0]?.error, 'the new copy fails')
  expect(error.code).toBe('KAGAMI_BAD_FRAME')
})

test('a primary that has lost the log, but not the coordinator, is replaced', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  await orders.replicate(bytes('one'))
  const mend = cluster.world.logs.cut('a')
  const lost = orders.replicate(bytes('two')).then(
    () => 'acknowledged',
    (error: unknown) => (isKagamiError(error) ? error.code : String(error)),
  )
  await eventually(() => b.get('orders')?.role === 'primary', 'the other takes over')
  expect(orders.lag).toMatchObject({ caughtUp: false })
  expect(orders.lag.timeMs).toBeGreaterThan(0)
  await b.get('orders')?.replicate(bytes('three'))
  mend()
  expect(await lost).toBe('KAGAMI_NOT_PRIMARY')
  await orders.sync()
  expect((orders.state as Ledger).lines).toEqual(['one', 'three'])
})

test('a document of the assignments that cannot be read is told by health, and written anew where no node can read it', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0, primary: 'self' })
  const backup = cluster.world.coordination.backup()
  const documents = new Map(backup.documents.get('test'))
  documents.set('assignments/00', { name: 'assignments/00', version: 1, bytes: bytes('garbage') })
  cluster.world.coordination.restore({ ...backup, documents: new Map([['test', documents]]) })
  const problem = await eventually(
    () => a.health().problems.find((text) => text.includes('assignments/00')),
    'the problem is told',
  )
  expect(problem).toMatch(/can't be the controller.*remove it while they run/)
  await eventually(() => a.health().controller && a.health().problems.length === 0, 'a controller without problems')
})

test('a token is not given out while its primary is a node that died', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await cluster.stop('a')
  const again = await cluster.start('a')
  const orders = await again.token('orders', { replicas: 0 })
  expect(cluster.assignment('orders')?.primary?.member).toBe(again.health().member)
  await eventually(() => orders.role === 'primary', 'it serves')
  await orders.replicate(bytes('one'))
})

test('S5: what is pending at a copy that has failed settles also when it can no longer read how that ends', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog({ appendsInFlight: 4, appendMs: 50 })
  const a = await cluster.start('a', { log })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  const poison = orders.replicate(bytes('poison'))
  // The first frame is sealed within this turn, so the next entry gets one of its own.
  await new Promise((resolve) => setImmediate(resolve))
  const pending = orders.replicate(bytes('two'))
  a.on('failed', () => cluster.world.logs.recreate(cluster.world.logs.addresses()[0] as string))
  await expect(poison).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  await expect(pending).rejects.toMatchObject({ code: 'KAGAMI_INDETERMINATE' })
})

test('a primary that has never reached its log gives way to a replica that is in sync', async () => {
  await using cluster = new TestCluster()
  const b = await cluster.start('b')
  const a = await cluster.start('a', { log: closedLog(cluster) })
  await b.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => a.health().copies[0]?.phase === 'opening', 'a copy that does not get ready')
  await cluster.stop('b')
  await eventually(() => a.locate('orders')?.primary?.id === 'a', 'the only node is the primary')
  const again = await cluster.start('b')
  await eventually(() => again.get('orders')?.role === 'primary', 'the other one serves')
})

/** A token that was written to, on a node that is stopped, and whose log is damaged since. Gives the log's address. */
async function leftDamaged(cluster: TestCluster): Promise<string> {
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  const [address] = cluster.world.logs.addresses()
  await cluster.stop('a')
  const record = cluster.world.logs.records(address as string).at(-1)
  if (record?.bytes[60] !== undefined) record.bytes[60] ^= 1
  return address as string
}

test('a token whose log is damaged can be removed, and created again', async () => {
  await using cluster = new TestCluster()
  const address = await leftDamaged(cluster)
  const again = await cluster.start('a')
  await eventually(() => again.health().copies[0]?.error?.code === 'KAGAMI_BAD_FRAME', 'the copy fails')
  await again.remove('orders')
  const anew = await again.token('orders', { replicas: 0, primary: 'self' })
  await anew.replicate(bytes('two'))
  expect((anew.state as Ledger).lines).toEqual(['two'])
  expect(cluster.world.logs.records(address).length).toBeGreaterThan(0)
})

test('a token of which only a damaged log is left is not created anew in silence', async () => {
  await using cluster = new TestCluster()
  await leftDamaged(cluster)
  cluster.world.coordination.wipe()
  const again = await cluster.start('a')
  await expect(again.token('orders', { replicas: 0 })).rejects.toMatchObject({ code: 'KAGAMI_BAD_FRAME' })
})
