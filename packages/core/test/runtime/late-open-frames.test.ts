/**
 * Frames that open an incarnation and come so late that the world has moved on: their log is another token's since, or its beginning is truncated, or the token has
 * lived on elsewhere. What was only opened holds nothing, so it hides nothing that does, and takes nobody's log.
 */
import { expect, test } from 'vitest'
import { encodeFrame } from '../../src/engine/frame.js'
import { KagamiError, type Token } from '../../src/index.js'
import { keeping } from './adapters.js'
import { bytes, delegate, eventually, TestCluster, type Ledger } from './harness.js'

const often = { snapshotting: { everyEntries: 50 } }

const lines = (token: Token<number> | undefined): readonly string[] => (token?.state as Ledger).lines

async function write(token: Token<number> | undefined, ...entries: string[]): Promise<void> {
  for (const entry of entries) await token?.replicate(bytes(entry))
}

function writeMany(token: Token<number>, count: number): Promise<void> {
  return write(token, ...Array.from({ length: count }, (_, i) => `${token.name} ${i}`))
}

const served = (cluster: TestCluster) => eventually(() => cluster.primary('orders'), 'a primary')

/** What a controller that was deposed long ago had under way: its open frame lands only now. */
async function landsLate(cluster: TestCluster, token: string, incarnation: number, address: string): Promise<void> {
  const { signal } = new AbortController()
  const log = cluster.world.commitLog()
  await log.start({ cluster: 'test', node: 'late', logger: console, signal })
  const opened = await log.open(address, { token, signal })
  const { identity } = opened
  const frame = encodeFrame({ kind: 'open', token, incarnation, deleted: false, address, identity, timeMs: 0 })
  await opened.append(frame, { signal })
  await log.stop()
}

/** The log that the token would be given beside the one that it has. */
async function emptyLog(cluster: TestCluster, inUse: string): Promise<string> {
  const { signal } = new AbortController()
  const log = cluster.world.commitLog()
  await log.start({ cluster: 'test', node: 'late', logger: console, signal })
  const address = await log.allocate('orders', new Set([inUse]), { signal })
  await log.stop()
  return address
}

/** A token that nothing is known of any more but what its log says. */
async function forgottenOrders(cluster: TestCluster): Promise<{ readonly address: string; forget(): Promise<void> }> {
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await write((await served(cluster)).get('orders'), 'one', 'two')
  const { address } = cluster.assignment('orders')!.log
  return {
    address,
    forget: async () => {
      await cluster.stop('a')
      cluster.world.coordination.wipe()
    },
  }
}

test('S1: an incarnation that was only opened hides none that was written to, though it is newer', async () => {
  await using cluster = new TestCluster()
  const { address, forget } = await forgottenOrders(cluster)
  await landsLate(cluster, 'orders', 7, await emptyLog(cluster, address))
  await forget()
  const b = await cluster.start('b')
  const orders = await b.token('orders', { replicas: 0, adopt: true })
  await orders.sync()
  expect(lines(orders)).toEqual(['one', 'two'])
  expect(cluster.assignment('orders')?.log.address).toBe(address)
})

test('S8: an open frame that landed late in the log of another token gives nobody that log', async () => {
  await using cluster = new TestCluster()
  const { address, forget } = await forgottenOrders(cluster)
  await landsLate(cluster, 'late', 7, address)
  await forget()
  const b = await cluster.start('b')
  const late = await b.token('late', { replicas: 0, primary: 'self', adopt: true })
  await write(late, 'of its own')
  expect(cluster.assignment('late')).toMatchObject({ incarnation: 9 })
  expect(cluster.assignment('late')?.log.address).not.toBe(address)
  const orders = await b.token('orders', { replicas: 0, adopt: true })
  await orders.sync()
  expect([lines(orders), lines(late)]).toEqual([['one', 'two'], ['of its own']])
})

test('S1: nor does it where documents that have gone back give that log to it', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('late', { replicas: 0 })
  const backup = cluster.world.coordination.backup()
  const { log, incarnation } = cluster.assignment('late')!
  await a.remove('late')
  await eventually(() => cluster.assignment('late')?.phase === 'gone', 'the other is gone')
  await a.token('orders', { replicas: 0 })
  await write((await served(cluster)).get('orders'), 'one', 'two')
  expect(cluster.assignment('orders')?.log).toEqual(log)
  await landsLate(cluster, 'late', incarnation, log.address)
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  const b = await cluster.start('b')
  await eventually(() => b.locate('late')?.primary?.id === 'b', 'the other is served again')
  expect(cluster.assignment('late')?.log.address).not.toBe(log.address)
  const orders = await b.token('orders', { replicas: 0, adopt: true })
  await orders.sync()
  expect(lines(orders)).toEqual(['one', 'two'])
})

test('S1, S3: documents that have gone back revive no incarnation of which only a late open frame is left', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  const backup = cluster.world.coordination.backup()
  const before = cluster.assignment('orders')!
  await a.remove('orders')
  await eventually(() => cluster.assignment('orders')?.phase === 'gone', 'the token is gone')
  await landsLate(cluster, 'orders', before.incarnation, before.log.address)
  await a.token('orders', { replicas: 0 })
  await write((await served(cluster)).get('orders'), 'one', 'two')
  const { incarnation, log } = cluster.assignment('orders')!
  expect(log.address).not.toBe(before.log.address)
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  const promoted: number[] = []
  const b = await cluster.start('b')
  b.on('promoted', (event) => promoted.push(event.incarnation))
  const node = await cluster.serving('orders', incarnation)
  expect(node).toBe(b)
  expect(lines(b.get('orders'))).toEqual(['one', 'two'])
  expect(promoted).toEqual([incarnation])
})

test.each([[[]], [[{ kind: 'open', deleted: false }]]] as const)(
  'S3: late frames of an incarnation that another log shows to be over bring it back to nobody (%j)',
  async (opening) => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    await a.token('orders', { replicas: 0, primary: 'self' })
    const { log: first, incarnation } = cluster.assignment('orders')!
    await a.remove('orders')
    await eventually(() => cluster.assignment('orders')?.phase === 'gone', 'it is gone')
    const { signal } = new AbortController()
    const log = cluster.world.commitLog()
    await log.start({ cluster: 'test', node: 'late', logger: console, signal })
    const append = async ({ address }: { address: string }, ...frames: Parameters<typeof encodeFrame>[0][]) => {
      const opened = await log.open(address, { token: 'orders', signal })
      for (const frame of frames) await opened.append(encodeFrame(frame), { signal })
      await opened.close()
    }
    const of = { token: 'orders', incarnation, timeMs: 0 }
    const barrier = { kind: 'barrier', ...of, epoch: 1, term: 7n, nextIndex: 0 } as const
    await append(first, ...opening.map((frame) => ({ ...frame, ...of, ...first })), barrier)
    await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'new')
    const second = cluster.assignment('orders')!
    expect(second.log.address).not.toBe(first.address)
    await cluster.stop('a')
    // Its removal has come as far as the log when the documents are lost.
    const end = {
      kind: 'open',
      deleted: true,
      token: 'orders',
      incarnation: second.incarnation + 1,
      timeMs: 0,
    } as const
    await append(second.log, { ...end, ...second.log })
    await log.stop()
    cluster.world.coordination.wipe()
    const b = await cluster.start('b')
    const again = await b.token('orders', { replicas: 0, primary: 'self' })
    await write(again, 'anew')
    expect(lines(again)).toEqual(['anew'])
    expect(cluster.assignment('orders')?.incarnation).toBeGreaterThan(second.incarnation)
  },
)

test('S1: a token that only documents speak for is not given up for an incarnation that was only opened', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'one', 'two')
  const { address } = cluster.assignment('orders')!.log
  await landsLate(cluster, 'orders', 7, await emptyLog(cluster, address))
  await cluster.stop('a')
  const b = await cluster.start('b')
  await eventually(() => b.get('orders')?.role === 'primary', 'it is served')
  await b.get('orders')?.sync()
  expect(lines(b.get('orders'))).toEqual(['one', 'two'])
})

test.each(['logs', 'snapshots'] as const)(
  'a token that only documents speak for gets its primary also where its %s can not be looked for, and that is logged',
  async (what) => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'one')
    await cluster.stop('a')
    const { logger, messages } = keeping()
    const unable = (): Promise<never> =>
      Promise.reject(new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'not now', { retryable: true }))
    const b = await cluster.start('b', {
      log: delegate(cluster.world.commitLog(), what === 'logs' ? { find: unable } : {}),
      snapshots: delegate(cluster.world.snapshotStore(), what === 'snapshots' ? { list: unable } : {}),
      seams: { logger },
    })
    await eventually(() => b.get('orders')?.role === 'primary', 'it is served')
    await b.get('orders')?.sync()
    expect(lines(b.get('orders'))).toEqual(['one'])
    expect(messages).toContain("whether the documents of 'orders' have gone back can't be seen now")
  },
)

test('S7: a late open frame with which a log begins is not taken for the beginning while the snapshots can not be listed', async () => {
  await using cluster = new TestCluster()
  const late: { at?: bigint | undefined } = {}
  const log = cluster.world.commitLog()
  const cutShort = delegate(log, {
    open: async (...args: Parameters<typeof log.open>) => {
      const opened = await log.open(...args)
      return delegate(opened, {
        // Fails half way, each time.
        truncate: async (before: bigint, options: { signal: AbortSignal }) => {
          if (late.at === undefined || before <= late.at) return opened.truncate(before, options)
          await opened.truncate(late.at, options)
          throw new Error('cut short')
        },
      })
    },
  })
  const a = await cluster.start('a', { ...often, log: cutShort })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const seen: string[] = []
  a.on('snapshot', ({ phase }) => seen.push(phase))
  await writeMany(orders, 30)
  const { log: ref, incarnation } = cluster.assignment('orders')!
  await landsLate(cluster, 'orders', incarnation, ref.address)
  const records = () => cluster.world.logs.records(ref.address)
  late.at = records().at(-1)?.offset
  for (let taken = 1; taken <= 2; taken++) {
    await writeMany(orders, 60)
    await eventually(() => seen.filter((phase) => phase === 'verified').length >= taken, 'a verified snapshot')
  }
  await eventually(() => records()[0]?.offset === late.at, 'a log that begins with the late frame')
  const b = await cluster.start('b', often)
  const mend = cluster.world.snapshots.cut('b')
  const failed: string[] = []
  b.on('failed', ({ error }) => failed.push(error.code))
  await a.alter('orders', { replicas: 1 })
  await eventually(() => b.health().copies[0]?.error?.code === 'KAGAMI_STORE_UNAVAILABLE', 'it waits for the store')
  mend()
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica in sync')
  expect(lines(b.get('orders'))).toHaveLength(150)
  expect(failed).toEqual([])
})
