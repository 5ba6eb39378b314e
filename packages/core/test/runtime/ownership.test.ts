import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { decodeFrame } from '../../src/engine/frame.js'
import { KagamiError } from '../../src/index.js'
import { keeping } from './adapters.js'
import { bytes, closedLog, delegate, eventually, TestCluster, type Ledger } from './harness.js'

test('a second claim while the owner lives is refused', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  await a.token('orders', { primary: 'self' })
  await expect(b.token('orders', { primary: 'self' })).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_OWNED' })
})

test('a token that exists with other options is refused, and says which', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 1 })
  await expect(a.token('orders', { replicas: 2 })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_OPTIONS',
    details: { option: 'replicas' },
  })
  await expect(a.token('orders', { replicas: 1 })).resolves.toMatchObject({ name: 'orders' })
})

test('two nodes with one id: the second is refused while the first lives, once, by what start() rejects with', async () => {
  await using cluster = new TestCluster()
  await cluster.start('a')
  const { logger, messages } = keeping()
  const twin = cluster.make('a', { seams: { logger } })
  await expect(twin.start()).rejects.toMatchObject({ code: 'KAGAMI_NODE_ID_TAKEN' })
  expect(messages).toEqual([])
})

test("failover 'hold' waits for the owner, and gives it a new epoch when it is back", async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { primary: 'self', failover: 'hold', replicas: 1 })
  await orders.replicate(bytes('one'))
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  await cluster.stop('a')
  await eventually(() => b.locate('orders')?.primary === undefined, 'no primary')
  const held = /'orders' is held for its owner, node 'a', which is gone/
  await eventually(() => held.test(b.health().problems.join()), 'the controller tells')
  expect(b.health().ok).toBe(false)
  const back = await cluster.start('a')
  await eventually(() => back.get('orders')?.role === 'primary', 'the owner serves')
  expect(back.get('orders')?.epoch).toBeGreaterThan(1)
  expect((back.get('orders')?.state as Ledger).lines).toEqual(['one'])
  await eventually(() => b.health().ok, 'all is well')
})

test("a token that is altered to failover 'hold' comes back to its owner, though it was handed over before", async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { primary: 'self', replicas: 1 })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  await a.handover('orders', { to: 'b' })
  await a.alter('orders', { failover: 'hold' })
  await eventually(() => orders.role === 'primary', 'it is back')
  // What was asked for before is over.
  const { epoch } = orders
  await a.alter('orders', { failover: 'promote', replicas: 0 })
  await eventually(() => b.health().copies.length === 0, 'the other copy is dropped')
  expect(orders).toMatchObject({ role: 'primary', epoch })
})

test('a returning owner becomes a replica, and regains the token only with failback', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const keeps = await a.token('keeps', { primary: 'self', replicas: 1 })
  const returns = await a.token('returns', { primary: 'self', replicas: 1, failback: true })
  await eventually(() => ['keeps', 'returns'].every((token) => b.get(token)?.lag.caughtUp), 'replicas in sync')
  await keeps.replicate(bytes('k'))
  await returns.replicate(bytes('r'))
  await cluster.stop('a')
  await eventually(() => ['keeps', 'returns'].every((token) => b.get(token)?.role === 'primary'), 'failover')
  const back = await cluster.start('a')
  await eventually(() => back.get('returns')?.role === 'primary', 'failback')
  await eventually(() => back.get('keeps')?.lag.caughtUp, 'the other is a replica')
  expect(b.get('keeps')?.role).toBe('primary')
  expect((back.get('returns')?.state as Ledger).lines).toEqual(['r'])
})

test('a claim by self resolves when this node serves, and calls onPromote with the fence', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const calls: string[] = []
  const orders = await a.token('orders', {
    primary: 'self',
    replicas: 0,
    onPromote: ({ signal, fence }) => {
      calls.push(`promote ${fence.incarnation}/${fence.epoch} ${signal.aborted}`)
      signal.addEventListener('abort', () => calls.push('aborted'))
    },
    onDemote: () => void calls.push('demote'),
  })
  expect(orders.role).toBe('primary')
  expect(calls).toEqual(['promote 1/1 false'])
  await cluster.stop('a')
  expect(calls).toEqual(['promote 1/1 false', 'aborted', 'demote'])
})

test('an owner that starts again serves its token as soon as the claim resolves', async () => {
  await using cluster = new TestCluster()
  for (let run = 0; run < 3; run++) {
    const a = await cluster.start('a')
    const orders = await a.token('orders', { primary: 'self', replicas: 1 })
    expect(orders.role).toBe('primary')
    await orders.replicate(bytes(`run ${run}`))
    expect((orders.state as Ledger).lines).toEqual(Array.from({ length: run + 1 }, (_, i) => `run ${i}`))
    await cluster.stop('a')
  }
})

test('a claim whose node never comes to serve settles where the token has failed over to', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  const refused = new KagamiError('KAGAMI_LOG_REFUSED', 'this client may not write')
  let asked = 0
  const readOnly = delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        append: (record: Uint8Array, options: Parameters<TokenLog['append']>[1]) => {
          if (decodeFrame(record).kind !== 'barrier') return opened.append(record, options)
          asked += 1
          return Promise.reject(refused)
        },
      })
    },
  })
  const a = await cluster.start('a', { log: readOnly })
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  expect(asked).toBeGreaterThan(0)
  expect(orders.role).toBe('replica')
  await eventually(() => b.get('orders')?.role === 'primary', 'the other serves')
})

test('who adopts a token as its owner becomes its primary, wherever that would have been otherwise', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await (await a.token('orders', { replicas: 0, primary: 'self' })).replicate(bytes('one'))
  await cluster.stop('a')
  cluster.world.coordination.wipe()
  await cluster.start('b')
  const c = await cluster.start('c')
  await cluster.start('d')
  const orders = await c.token('orders', { replicas: 1, primary: 'self', adopt: true })
  expect(orders.role).toBe('primary')
  expect((orders.state as Ledger).lines).toEqual(['one'])
})

test.each([{ failover: 'hold' as const }, { failback: true }])(
  'who waits to serve its token hears of it that another has claimed it meanwhile: %j',
  async (how) => {
    await using cluster = new TestCluster()
    const b = await cluster.start('b')
    // Its copy does not open, so it never serves.
    const a = await cluster.start('a', { log: closedLog(cluster) })
    const owned = { replicas: 0, primary: 'self', ...how } as const
    const waits = a.token('orders', owned)
    waits.catch(() => undefined)
    await eventually(() => cluster.assignment('orders')?.primary?.node === 'a', 'it is to serve it')
    const mend = cluster.world.coordination.cut('a')
    await eventually(() => b.members().length === 1, 'it is lost')
    expect((await b.token('orders', owned)).role).toBe('primary')
    mend()
    await expect(waits).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_OWNED' })
  },
)
