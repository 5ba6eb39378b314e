import { expect, test } from 'vitest'
import type { TokenOptions } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { bytes, eventually, TestCluster } from './harness.js'

/** Hooks that note when they are called. */
function noting(): { readonly hooks: Pick<TokenOptions, 'onPromote' | 'onDemote'>; readonly called: string[] } {
  const called: string[] = []
  const note = (name: string) => () => void called.push(name)
  return { hooks: { onPromote: note('onPromote'), onDemote: note('onDemote') }, called }
}

test('hooks of a call of token() that is refused are never called, and those of the one before still are', async () => {
  await using cluster = new TestCluster()
  const [a, b] = [await cluster.start('a'), await cluster.start('b')]
  const own = noting()
  const refused = noting()
  const orders = await a.token('orders', { replicas: 1, primary: 'self', ...own.hooks })
  expect(own.called).toEqual(['onPromote'])
  await expect(a.token('orders', { replicas: 3, primary: 'self', ...refused.hooks })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_OPTIONS',
  })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  await a.handover('orders', { to: 'b' })
  await eventually(() => orders.lag.caughtUp && own.called.length === 2, 'demotion')
  await a.handover('orders', { to: 'a' })
  expect(own.called).toEqual(['onPromote', 'onDemote', 'onPromote'])
  expect(refused.called).toEqual([])
})

test('hooks of a call of token() that was aborted are not called when the token comes to be', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const mend = cluster.world.logs.fill()
  const aborted = noting()
  const signal = AbortSignal.timeout(50)
  await expect(a.token('orders', { replicas: 0, signal, ...aborted.hooks })).rejects.toMatchObject({
    name: 'TimeoutError',
  })
  mend()
  const orders = await eventually(() => a.get('orders')?.role === 'primary' && a.get('orders'), 'the token serves')
  await orders.replicate(bytes('one'))
  expect(aborted.called).toEqual([])
  // The next call has hooks of its own, which hear that the node serves already.
  const next = noting()
  await a.token('orders', { replicas: 0, ...next.hooks })
  expect(next.called).toEqual(['onPromote'])
})

test('a token that is removed is there no more: get() gives nothing, and a handle says so until it is created again', async () => {
  await using cluster = new TestCluster()
  const [a, b] = [await cluster.start('a'), await cluster.start('b')]
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await orders.replicate(bytes('old'))
  const copy = await eventually(() => b.get('orders')?.lag.caughtUp && b.get('orders'), 'a replica in sync')
  await a.remove('orders')
  expect(a.get('orders')).toBeUndefined()
  expect(a.tokens()).toEqual([])
  expect(a.locate('orders')).toBeUndefined()
  await eventually(() => b.get('orders') === undefined, 'the other node hears of it')
  const unknown = { code: 'KAGAMI_TOKEN_UNKNOWN' }
  await expect(orders.replicate(bytes('late'))).rejects.toMatchObject(unknown)
  for (const handle of [orders, copy]) {
    await eventually(() => handle.role === 'none', 'the copies are dropped')
    await expect(handle.sync()).rejects.toMatchObject(unknown)
    await expect(handle.waitFor({ incarnation: 1, index: 0 })).rejects.toMatchObject(unknown)
    expect(() => handle.state).toThrow(expect.objectContaining(unknown))
  }
  await a.token('orders', { replicas: 1, primary: 'self' })
  expect(a.get('orders')).toBe(orders)
  await orders.replicate(bytes('new'))
  expect((orders.state as Ledger).lines).toEqual(['new'])
})

test('a copy that is of a later creation than what the coordinator has gone back to can be got all the while', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0, primary: 'self' })
  await a.remove('orders')
  await eventually(() => a.health().copies.length === 0, 'its copy is dropped')
  const backup = cluster.world.coordination.backup()
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  const missing: unknown[] = []
  a.on('assigned', (assigned) => {
    if (a.get('orders') !== orders) missing.push(assigned)
  })
  const older = new Promise<void>((resolve) => {
    const end = a.on('assigned', ({ incarnation }) => {
      if (incarnation > 2) return
      end()
      resolve()
    })
  })
  cluster.world.coordination.restore(backup)
  await older
  await eventually(() => orders.role === 'primary' && orders.epoch > 1, 'a primary above the log')
  expect(missing).toEqual([])
  expect((orders.state as Ledger).lines).toEqual(['one'])
})
