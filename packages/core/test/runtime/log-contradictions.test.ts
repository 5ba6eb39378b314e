/** A log that contradicts what a copy has read, what the documents say, or what a snapshot holds: noticed, and never gone on with in silence. */
import { expect, test } from 'vitest'
import { KagamiError, type CommitLog, type SnapshotStore, type TokenLog } from '../../src/contract/index.js'
import type { Assignment } from '../../src/engine/documents.js'
import { encodeFrame, type Frame } from '../../src/engine/frame.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'

const { signal } = new AbortController()
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

/** Writes to logs as something that is no node of the cluster. */
async function stranger(cluster: TestCluster): Promise<CommitLog> {
  const log = cluster.world.commitLog()
  await log.start({ cluster: 'test', node: 'stranger', logger, signal })
  return log
}

async function opened(cluster: TestCluster, { log: { address } }: Assignment): Promise<TokenLog> {
  return (await stranger(cluster)).open(address, { token: 'orders', signal })
}

function assigned(cluster: TestCluster): Assignment {
  const assignment = cluster.assignment('orders')
  if (assignment === undefined) throw new Error('orders is not assigned')
  return assignment
}

const often = { snapshotting: { everyEntries: 50 } }

test('a log with another identity than the documents name is not opened', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0 })
  await eventually(() => orders.role === 'primary', 'it serves')
  await cluster.stop('a')
  cluster.world.logs.recreate(assigned(cluster).log.address)
  const again = await cluster.start('a')
  const error = await eventually(() => again.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_REPLACED')
})

test('a handle of a log with another identity that does not come to be closed keeps nobody', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await (await a.token('orders', { replicas: 0, primary: 'self' })).replicate(bytes('one'))
  await cluster.stop('a')
  cluster.world.logs.recreate(assigned(cluster).log.address)
  const log = cluster.world.commitLog()
  const stuck = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) =>
      delegate(await log.open(...args), { close: () => new Promise<never>(() => undefined) }),
  })
  const again = await cluster.start('a', { log: stuck, limits: { stallTimeoutMs: 200 } })
  const error = await eventually(() => again.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_REPLACED')
})

test('a copy whose restores are overtaken by truncation again and again, so that it never comes on, is told', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  let truncations = 0
  a.on('snapshot', ({ phase }) => (truncations += phase === 'truncated' ? 1 : 0))
  for (let i = 0; truncations === 0; i++) await orders.replicate(bytes(`${i}`))
  await cluster.stop('a')
  const [log, store] = [cluster.world.commitLog(), cluster.world.snapshotStore()]
  let reads = 0
  let overtakes: 'always' | 'once' | 'never' = 'always'
  // What its bounds say is there can't be read.
  const stale = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...call: Parameters<TokenLog['read']>) {
          reads += 1
          for await (const batch of opened.read(...call)) {
            if (overtakes !== 'never') {
              if (overtakes === 'once') overtakes = 'never'
              throw new KagamiError('KAGAMI_LOG_TRUNCATED', 'it was truncated')
            }
            yield batch
          }
        },
      })
    },
  })
  let slow = false
  const slowly = delegate(store, {
    async *open(...call: Parameters<SnapshotStore['open']>) {
      for await (const chunk of store.open(...call)) {
        for (let from = 0, size = Math.ceil(chunk.byteLength / 4); from < chunk.byteLength; from += size) {
          if (slow) await new Promise((resolve) => setTimeout(resolve, 300))
          yield chunk.subarray(from, from + size)
        }
      }
    },
  })
  const limits = { lookMs: 50, stallTimeoutMs: 1000, retryMs: { first: 5, longest: 20 } }
  const again = await cluster.start('a', { ...often, log: stale, snapshots: slowly, limits })
  const told = (): string => again.health().problems.join()
  await eventually(() => again.health().copies[0]?.readError, 'it tells')
  expect(told()).toMatch(/'orders'.*truncated/)
  const before = reads
  await eventually(() => reads > before + 10, 'it goes on trying')
  expect(again.health().copies[0]?.readError).toBeDefined()
  overtakes = 'never'
  await eventually(() => again.get('orders')?.role === 'primary', 'it serves')
  expect(again.health().ok).toBe(true)
  // Once more is nothing to tell, however long the restore takes.
  const errors = new Set<unknown>()
  let restored = false
  again.on('restored', () => (restored = true))
  slow = true
  overtakes = 'once'
  await eventually(() => {
    errors.add(again.health().copies[0]?.readError?.code)
    return restored
  }, 'it is restored')
  expect([...errors]).toEqual([undefined])
})

test('a log whose open frame names another log is a copy of that one, and is not followed', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  await cluster.stop('a')
  const log = await stranger(cluster)
  const address = await log.allocate('orders', new Set(), { signal })
  const copy = await log.open(address, { token: 'orders', signal })
  for (const record of cluster.world.logs.records(assigned(cluster).log.address))
    await copy.append(record.bytes, { signal })
  cluster.reassign('orders', (assignment) => ({ ...assignment, log: { address, identity: copy.identity } }))
  const again = await cluster.start('a')
  const error = await eventually(() => again.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_REPLACED')
})

/** Stops the only node, and lets the log lose everything from the newest snapshot's anchor on; gives where that was. */
async function losesWhatASnapshotHas(cluster: TestCluster): Promise<bigint> {
  const a = await cluster.start('a', often)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  let truncations = 0
  a.on('snapshot', ({ phase }) => (truncations += phase === 'truncated' ? 1 : 0))
  for (let i = 0; truncations === 0; i++) await orders.replicate(bytes(`${i}`))
  await cluster.stop('a')
  const anchors = (await cluster.snapshots('orders')).map((meta) => BigInt(meta.anchor.offset))
  const newest = anchors[0] as bigint
  expect(anchors.some((anchor) => anchor < newest)).toBe(true)
  const { address } = assigned(cluster).log
  const lost = cluster.world.logs.records(address).filter(({ offset }) => offset >= newest)
  cluster.world.logs.loseTail(address, lost.length)
  return newest
}

test('a snapshot that holds more than the log is not passed over for an older one', async () => {
  await using cluster = new TestCluster()
  await losesWhatASnapshotHas(cluster)
  const b = await cluster.start('b', often)
  const error = await eventually(() => b.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_LOST_TAIL')
})

test("another record in the place of a snapshot's anchor means that the log has lost its tail", async () => {
  await using cluster = new TestCluster()
  const anchor = await losesWhatASnapshotHas(cluster)
  const log = await opened(cluster, assigned(cluster))
  for (let nonce = 1n; (await log.range({ signal })).end <= anchor + 3n; nonce++)
    await log.append(encodeFrame({ kind: 'marker', token: 'orders', incarnation: 1, nonce, timeMs: 1 }), { signal })
  const b = await cluster.start('b', often)
  const error = await eventually(() => b.health().copies[0]?.error, 'the copy fails')
  expect(error.code).toBe('KAGAMI_LOG_LOST_TAIL')
})

test('entries that wait for a barrier are refused as soon as another barrier of the same epoch is in force', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let hangs = false
  const open = log.open.bind(log)
  log.open = async (...call) => {
    const own = await open(...call)
    return delegate(own, {
      append: (...append: Parameters<TokenLog['append']>) => (hangs ? new Promise(quiet) : own.append(...append)),
    })
  }
  const a = await cluster.start('a', { log, limits: { lookMs: 50, appendTimeoutMs: 60_000 } })
  const b = await cluster.start('b')
  await b.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => a.get('orders')?.lag.caughtUp, 'the replica is in sync')
  hangs = true
  const handover = b.handover('orders', { to: 'a' }).catch((error: unknown) => error)
  await eventually(() => a.get('orders')?.role === 'promoting', 'a is to be the primary')
  const entry = a.get('orders')?.replicate(bytes('one'))
  const { incarnation, epoch } = assigned(cluster)
  const barrier: Frame = { kind: 'barrier', token: 'orders', incarnation, epoch, term: 77n, nextIndex: 0, timeMs: 1 }
  await (await opened(cluster, assigned(cluster))).append(encodeFrame(barrier), { signal })
  await expect(entry).rejects.toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
  hangs = false
  await handover
})

test('a record that no copy can read keeps none from what stands before it', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  for (const line of ['one', 'two']) await orders.replicate(bytes(line))
  await (await opened(cluster, assigned(cluster))).append(bytes('no frame'), { signal })
  const b = await cluster.start('b')
  await a.alter('orders', { replicas: 1 })
  const copy = await eventually(() => b.health().copies.find(({ phase }) => phase === 'failed'), 'the copy fails')
  expect(copy.error?.code).toBe('KAGAMI_BAD_FRAME')
  expect(copy.next?.index).toBe(2)
})
