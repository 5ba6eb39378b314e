/** A coordinator without room: what would change something is refused, what is there goes on, and health tells who can't do its work. */
import { expect, test } from 'vitest'
import type { Coordinator, Session } from '../../src/contract/index.js'
import { KagamiError } from '../../src/index.js'
import { bytes, delegate, eventually, TestCluster, type Ledger } from './harness.js'

const full = { code: 'KAGAMI_STORE_FULL', retryable: true }

/** A token on a, with a replica in sync on b, and from then on no room. */
async function filled(cluster: TestCluster) {
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica is in sync')
  return { a, b, orders, makeRoom: cluster.world.coordination.fill() }
}

test('calls that would write are refused, tokens go on, and with room the same calls succeed', async () => {
  await using cluster = new TestCluster()
  const { a, b, orders, makeRoom } = await filled(cluster)
  await expect(a.token('carts')).rejects.toMatchObject(full)
  await expect(a.alter('orders', { weight: 2 })).rejects.toMatchObject(full)
  await expect(a.handover('orders', { to: 'b' })).rejects.toMatchObject(full)
  await expect(a.remove('orders')).rejects.toMatchObject(full)
  await orders.replicate(bytes('one'))
  await b.get('orders')?.sync()
  expect((b.get('orders')?.state as Ledger).lines).toEqual(['one'])
  makeRoom()
  await a.token('carts')
  await a.alter('orders', { weight: 2 })
  await a.handover('orders', { to: 'b' })
  expect(b.get('orders')?.role).toBe('primary')
  await a.remove('orders')
})

test('a controller that has no room for its decisions says so until it has', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  await b.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => a.get('orders')?.lag.caughtUp, 'the replica is in sync')
  const makeRoom = cluster.world.coordination.fill()
  const mend = cluster.world.coordination.cut('b')
  const problem = /can't be the controller: .*no room/
  await eventually(() => a.health().problems.some((text) => problem.test(text)), 'the controller says so')
  expect(a.get('orders')?.role).toBe('replica')
  makeRoom()
  await eventually(() => a.get('orders')?.role === 'primary', 'the replica is promoted')
  await eventually(() => a.health().ok, 'nothing hinders the controller')
  mend()
})

test('a node that has no room for its reports says so until it has', async () => {
  await using cluster = new TestCluster()
  const { b, orders, makeRoom } = await filled(cluster)
  await expect(orders.replicate(bytes('poison'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  const problem = /the controller can't be told how the copies here are: .*no room/
  await eventually(() => b.health().problems.some((text) => problem.test(text)), 'the node says so')
  makeRoom()
  await eventually(() => !b.health().problems.some((text) => problem.test(text)), 'the report is written')
})

test('a creation whose assignment there is no room for is given one log, however often it is tried to be written', async () => {
  await using cluster = new TestCluster()
  const coordinator = cluster.world.coordinator({ sessionTimeoutMs: 500 })
  let refused: number | undefined
  const write = (session: Session, ...call: Parameters<Session['write']>): Promise<number> => {
    if (refused === undefined || !call[0].startsWith('assignments/')) return session.write(...call)
    refused += 1
    return Promise.reject(new KagamiError('KAGAMI_STORE_FULL', 'no room', { retryable: true }))
  }
  const roomless = delegate<Coordinator>(coordinator, {
    connect: async (options: Parameters<Coordinator['connect']>[0]) => {
      const session = await coordinator.connect(options)
      return delegate<Session>(session, { write: (...call: Parameters<Session['write']>) => write(session, ...call) })
    },
  })
  const a = await cluster.start('a', { coordinator: roomless })
  await a.token('orders', { replicas: 0 })
  refused = 0
  const carts = a.token('carts', { replicas: 0 })
  await eventually(() => (refused ?? 0) > 5, 'it is tried again and again')
  expect(a.health().problems.join()).toContain("work on token 'carts' fails: KagamiError: no room")
  refused = undefined
  await carts
  expect(cluster.world.logs.addresses()).toHaveLength(2)
})
