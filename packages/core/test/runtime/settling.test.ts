/** Calls settle whatever becomes of their token meanwhile: it is removed, kept for its owner, its log is gone, or an answer is lost. */
import { expect, test } from 'vitest'
import type { Clock } from '../../src/contract/index.js'
import { systemSeams } from '../../src/index.js'
import { bytes, closedLog, eventually, TestCluster, type Ledger } from './harness.js'

/** How a call has ended, or that it has not. */
function outcomeOf(call: Promise<unknown>): { text: string } {
  const outcome = { text: 'pending' }
  call.then(
    () => (outcome.text = 'resolved'),
    (error: unknown) => (outcome.text = (error as { code?: string }).code ?? String(error)),
  )
  return outcome
}

test('a token whose log is gone can be removed, and created again', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  cluster.world.logs.recreate(cluster.world.logs.addresses()[0] as string)
  await eventually(() => a.health().copies[0]?.error?.code === 'KAGAMI_LOG_REPLACED', 'the copy fails')
  await a.remove('orders')
  const again = await a.token('orders', { replicas: 0, primary: 'self' })
  await again.replicate(bytes('two'))
  expect((again.state as Ledger).lines).toEqual(['two'])
  expect(a.locate('orders')?.incarnation).toBe(3)
})

test('a removal whose answer is lost succeeds all the same, and so does a creation', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  cluster.world.coordination.failWrites(1, { landed: true, node: 'a' })
  await a.token('orders', { replicas: 0, primary: 'self' })
  cluster.world.coordination.failWrites(1, { landed: true, node: 'a' })
  await a.remove('orders')
  await eventually(() => a.locate('orders') === undefined, 'the token is gone')
  await expect(a.remove('orders')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
})

/** The replica on b never gets ready. */
async function waitingHandover(cluster: TestCluster) {
  const a = await cluster.start('a')
  const b = await cluster.start('b', { log: closedLog(cluster) })
  await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.health().copies[0]?.phase === 'opening', 'a copy on b')
  const handover = outcomeOf(a.handover('orders', { to: 'b' }))
  await eventually(() => cluster.spec('orders')?.handover ?? undefined, 'the handover is wanted')
  expect(handover.text).toBe('pending')
  return { a, handover }
}

test('a handover that waits ends when somebody removes the token', async () => {
  await using cluster = new TestCluster()
  const { a, handover } = await waitingHandover(cluster)
  await a.remove('orders')
  await eventually(() => handover.text !== 'pending', 'the handover ends')
  expect(handover.text).toBe('KAGAMI_TOKEN_UNKNOWN')
})

test('a handover that waits ends when the token is from now on held for its owner', async () => {
  await using cluster = new TestCluster()
  const { a, handover } = await waitingHandover(cluster)
  await a.alter('orders', { failover: 'hold' })
  await eventually(() => handover.text !== 'pending', 'the handover ends')
  expect(handover.text).toBe('KAGAMI_TOKEN_OWNED')
})

test('a handover that has been assigned, and does not come about, ends when somebody removes the token', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  const mend = cluster.world.logs.cut('b')
  const handover = outcomeOf(a.handover('orders', { to: 'b' }))
  await eventually(() => a.locate('orders')?.primary?.id === 'b', 'the handover is assigned')
  expect(handover.text).toBe('pending')
  await a.remove('orders')
  await eventually(() => handover.text !== 'pending', 'the handover ends')
  expect(handover.text).toBe('KAGAMI_TOKEN_UNKNOWN')
  mend()
})

test('a token that is held for its owner is handed to nobody else, and says what to do', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self', failover: 'hold' })
  const other = await a.token('other', { replicas: 1, primary: 'self' })
  await eventually(() => ['orders', 'other'].every((name) => b.get(name)?.lag.caughtUp), 'replicas in sync')
  await expect(a.handover('orders', { to: 'b' })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_OWNED',
    details: { tokens: ['orders'], owner: 'a' },
  })
  expect(cluster.spec('orders')?.handover).toBeNull()
  await expect(a.drain()).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_OWNED', details: { tokens: ['orders'] } })
  // A drain is over when nothing is assigned here any more: the other node may still be about to serve.
  await eventually(() => b.get('other')?.role === 'primary', 'the other token is served elsewhere')
  expect([orders.role, other.role]).toEqual(['primary', 'replica'])
  await a.alter('orders', { failover: 'promote' })
  await a.drain()
  await eventually(() => b.get('orders')?.role === 'primary', 'so is this one')
})

test('a drain that was refused is not announced by the next member', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const mend = cluster.world.coordination.cut('a')
  const giveUp = new AbortController()
  const drain = a.drain({ signal: giveUp.signal })
  drain.catch(() => giveUp.abort())
  await eventually(() => a.health().status !== 'running', 'the coordinator is out of reach')
  giveUp.abort(new Error('given up'))
  await expect(drain).rejects.toThrow()
  const former = a.health().member
  cluster.world.coordination.expire('a')
  mend()
  await eventually(() => a.health().status === 'running' && a.health().member !== former, 'another member')
  await eventually(() => b.members().find(({ id }) => id === 'a'), 'b sees it')
  expect(b.members().find(({ id }) => id === 'a')?.draining).toBe(false)
})

test('a call that waits for long is told in the log, with where to look, and none that is done', async () => {
  await using cluster = new TestCluster()
  const { clock } = systemSeams()
  const due = new Set<() => void>()
  const held: Clock = {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    yield: () => clock.yield(),
    timer: (delayMs, callback, options) => {
      if (delayMs !== 10_000) return clock.timer(delayMs, callback, options)
      due.add(callback)
      return { cancel: () => due.delete(callback) }
    },
  }
  const told: string[] = []
  const quiet = (): void => undefined
  const logger = { debug: quiet, info: quiet, error: quiet, warn: (message: string) => void told.push(message) }
  const a = await cluster.start('a', { seams: { clock: held, logger } })
  await cluster.start('b', { log: closedLog(cluster) })
  await a.token('orders', { replicas: 1, primary: 'self' })
  expect(due.size).toBe(0)
  const controller = new AbortController()
  const call = outcomeOf(a.handover('orders', { to: 'b', signal: controller.signal }))
  await eventually(() => due.size === 1, 'the call waits')
  for (const fire of due) fire()
  const slow = await eventually(() => told.find((text) => text.startsWith("handover('orders')")), 'it is told')
  expect(slow).toMatch(/still waits after 10 s.*health\(\)/)
  expect(call.text).toBe('pending')
  controller.abort(new Error('enough'))
  await eventually(() => call.text === 'Error: enough', 'the call ends')
  expect(due.size).toBe(0)
})

test('a handover that waits ends when somebody asks for one to another node, and goes on with one to the same', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  for (const id of ['b', 'c']) await cluster.start(id)
  await a.token('orders', { replicas: 2, primary: 'self' })
  const caughtUp = (id: string) => cluster.node(id).get('orders')?.lag.caughtUp === true
  await eventually(() => ['b', 'c'].every(caughtUp), 'replicas in sync')
  const designated = () => cluster.assignment('orders')?.snapshotter
  const behind = await eventually(() => ['b', 'c'].find((id) => id === designated()), 'a designated replica')
  const other = behind === 'b' ? 'c' : 'b'
  const mend = cluster.world.logs.cut(behind)
  // What a report says the controller may not have heard yet; that it designates another shows that it has.
  await eventually(() => designated() === other, 'a controller that knows of a replica behind')
  const first = outcomeOf(a.handover('orders', { to: behind }))
  const wanted = await eventually(() => cluster.spec('orders')?.handover ?? undefined, 'the handover is wanted')
  const same = outcomeOf(a.handover('orders', { to: behind }))
  await eventually(() => cluster.spec('orders')?.handover?.nonce !== wanted.nonce, 'and once more')
  expect([first.text, same.text]).toEqual(['pending', 'pending'])
  await cluster.node(other).handover('orders', { to: other })
  await eventually(() => first.text !== 'pending' && same.text !== 'pending', 'the handovers that waited end')
  expect([first.text, same.text]).toEqual(['KAGAMI_SUPERSEDED', 'KAGAMI_SUPERSEDED'])
  expect(cluster.node(other).get('orders')?.role).toBe('primary')
  mend()
  await eventually(() => caughtUp(behind), 'the replica is in sync again')
  await Promise.all([a.handover('orders', { to: behind }), a.handover('orders', { to: behind })])
  expect(cluster.node(behind).get('orders')?.role).toBe('primary')
})

/** Does something as soon as the next document of this kind is written, before anybody hears of it. */
function afterWrite(cluster: TestCluster, prefix: string, then: () => void): void {
  const server = cluster.world.coordination as unknown as { write: (...call: [string, string, ...unknown[]]) => number }
  const write = server.write.bind(server)
  server.write = (...call) => {
    const version = write(...call)
    if (call[1].startsWith(prefix)) {
      server.write = write
      then()
    }
    return version
  }
}

test('a creation that the coordinator forgets as soon as it is written is asked for again', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const { coordination } = cluster.world
  afterWrite(cluster, 'specs/', () => coordination.wipeDocuments())
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  expect(orders.role).toBe('primary')
})

test('so is a removal', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0, primary: 'self' })
  const { coordination } = cluster.world
  const backup = coordination.backup()
  afterWrite(cluster, 'specs/', () => coordination.restore(backup))
  await a.remove('orders')
  expect(cluster.assignment('orders')?.incarnation).toBe(2)
})
