import { describe, expect, test } from 'vitest'
import type { CallOptions, Coordinator, LeaseState, Session } from '../../src/contract/index.js'
import { keeping } from './adapters.js'
import { bytes, delegate, eventually, TestCluster, type Ledger } from './harness.js'

describe('a node whose lease is watched no more is no primary, leaves, and joins as a new member', () => {
  const broken = new Error('broken')
  test.each([
    ['the watch fails', () => Promise.reject(broken)],
    ['the watch ends by itself', () => Promise.resolve()],
  ] as const)('%s', async (_, end) => {
    await using cluster = new TestCluster()
    let cut: () => void = () => undefined
    const isCut = new Promise<void>((resolve) => (cut = resolve))
    let watches = 0
    async function* breaking(lease: AsyncIterable<LeaseState>): AsyncGenerator<LeaseState> {
      const states = lease[Symbol.asyncIterator]()
      for (;;) {
        const next = await Promise.race([states.next(), isCut.then(() => undefined)])
        if (next === undefined) return end()
        if (next.done === true) return
        yield next.value
      }
    }
    // Only the session's expiry would end it otherwise, and that is far off.
    const coordinator = cluster.world.coordinator({ sessionTimeoutMs: 60_000 })
    const { logger, errors } = keeping()
    const a = cluster.make('a', {
      seams: { logger },
      coordinator: delegate<Coordinator>(coordinator, {
        connect: async (options: CallOptions) => {
          const session = await coordinator.connect(options)
          const watchLease = (call: CallOptions): AsyncIterable<LeaseState> =>
            (watches += 1) === 1 ? breaking(session.watchLease(call)) : session.watchLease(call)
          return delegate<Session>(session, { watchLease })
        },
      }),
    })
    cluster.nodes.set('a', a)
    await a.start()
    const b = await cluster.start('b')
    const orders = await a.token('orders', { replicas: 1, primary: 'self' })
    await orders.replicate(bytes('one'))
    await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
    const seen: string[] = []
    for (const event of ['demoted', 'expired', 'joined'] as const) a.on(event, () => seen.push(event))
    const before = a.health().member
    cut()
    await eventually(() => seen.includes('joined'), 'it joins again')
    expect(seen).toEqual(['demoted', 'expired', 'joined'].toSorted((x, y) => seen.indexOf(x) - seen.indexOf(y)))
    expect(a.health().member).not.toBe(before)
    const taken = await eventually(() => cluster.primary('orders')?.get('orders'), 'a primary of a new epoch')
    expect(taken.epoch).toBeGreaterThan(1)
    await taken.replicate(bytes('two'))
    expect(errors.some((error) => error === broken || (error as Error).message.includes('ended by itself'))).toBe(true)
  })
})

test('while its lease is suspended a primary takes no writes, though its log would, and with the lease it does', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const mend = cluster.world.coordination.cut()
  await eventually(() => a.health().status === 'suspended', 'the lease is suspended')
  // Not this node, though the assignment names it: who is sent there would be refused again.
  const refused = { code: 'KAGAMI_NOT_PRIMARY', details: { primary: null } }
  await expect(orders.replicate(bytes('one'))).rejects.toMatchObject(refused)
  mend()
  await eventually(() => orders.role === 'primary', 'the same session goes on')
  await orders.replicate(bytes('two'))
  expect((orders.state as Ledger).lines).toEqual(['two'])
})
