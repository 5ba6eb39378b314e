import { expect, test } from 'vitest'
import type { Ledger } from './harness.js'
import { bytes, eventually, TestCluster } from './harness.js'

test('a token is created, written and read on one node', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  expect(orders.role).toBe('primary')
  const first = await orders.replicate(bytes('one'))
  expect(first).toEqual({ position: { incarnation: 1, index: 0 }, result: 1 })
  await Promise.all([orders.replicate(bytes('two')), orders.replicate(bytes('three'))])
  expect((orders.state as Ledger).lines).toEqual(['one', 'two', 'three'])
})

test('a replica applies what the primary acknowledged, and sync reads it there', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await orders.replicate(bytes('one'))
  const copy = await eventually(() => b.get('orders')?.role === 'replica' && b.get('orders'), 'a replica on b')
  await eventually(() => copy.next, 'restored')
  const { position } = await orders.replicate(bytes('two'))
  await copy.waitFor(position)
  await copy.sync()
  expect((copy.state as Ledger).lines).toEqual(['one', 'two'])
})

test('after the primary is gone a replica serves, with everything that was acknowledged', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  for (let i = 0; i < 20; i++) await orders.replicate(bytes(`entry ${i}`))
  await eventually(() => a.health().copies.length === 1 && b.get('orders')?.lag.caughtUp, 'replica in sync')
  await cluster.stop('a')
  const taken = await eventually(() => b.get('orders')?.role === 'primary' && b.get('orders'), 'failover')
  await taken.replicate(bytes('after'))
  expect((taken.state as Ledger).lines).toHaveLength(21)
})
