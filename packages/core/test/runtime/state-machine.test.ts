/** What a state machine is told besides the bytes: with each entry the time and the level, with a snapshot who wrote it. */
import { expect, test } from 'vitest'
import { decodeFrame, encodeFrame, type BarrierFrame } from '../../src/engine/frame.js'
import { systemSeams, type Entry, type KagamiOptions, type RestoreInfo } from '../../src/index.js'
import { bytes, eventually, Ledger, TestCluster } from './harness.js'

/** A state machine that remembers what it is told. */
class Told extends Ledger {
  readonly entries: Pick<Entry, 'timeMs' | 'level'>[] = []
  readonly restored: (RestoreInfo | undefined)[] = []
  readonly schemaVersion: number

  constructor(schemaVersion: number) {
    super()
    this.schemaVersion = schemaVersion
  }

  override apply(entry: Entry): number {
    const { timeMs, level } = entry
    this.entries.push({ timeMs, level })
    return super.apply(entry)
  }

  override restore(chunks: AsyncIterable<Uint8Array>, info?: RestoreInfo): Promise<void> {
    this.restored.push(info)
    return super.restore(chunks)
  }
}

interface Own extends Partial<KagamiOptions<number>> {
  readonly schemaVersion?: number
}

/** Gives what this node's copy of the token was told. */
async function start(cluster: TestCluster, id: string, { schemaVersion = 0, ...own }: Own = {}) {
  const node = await cluster.start(id, { stateMachine: () => new Told(schemaVersion), ...own })
  const told = async (): Promise<Told> => {
    const copy = await eventually(() => node.get('orders')?.lag.caughtUp && node.get('orders'), `a copy on ${id}`)
    await copy.sync()
    return copy.state as Told
  }
  return { node, told }
}

/** Raises the level, as a later version of a primary will. */
async function raise(cluster: TestCluster, level: number): Promise<void> {
  const { signal } = new AbortController()
  const log = cluster.world.commitLog()
  const quiet = () => undefined
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  await log.start({ cluster: 'test', node: 'stranger', logger, signal })
  const [address] = cluster.world.logs.addresses() as [string]
  const frames = cluster.world.logs.records(address).map((record) => decodeFrame(record.bytes))
  const { token, incarnation, epoch, term } = frames.findLast(({ kind }) => kind === 'barrier') as BarrierFrame
  const opened = await log.open(address, { token, signal })
  await opened.append(encodeFrame({ kind: 'level', token, incarnation, epoch, term, level, timeMs: 1 }), { signal })
  await log.stop()
}

/** A node with a copy that was restored from a snapshot, taken on another one after two entries: the first at level 0, the second at level 4. */
async function restoredCopy(cluster: TestCluster) {
  const often = { snapshotting: { everyEntries: 2 } }
  const a = await start(cluster, 'a', { ...often, schemaVersion: 3 })
  const orders = await a.node.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  await raise(cluster, 4)
  await orders.replicate(bytes('two'))
  await eventually(() => a.node.health().copies[0]?.snapshot?.nextIndex === 2, 'a snapshot')
  const b = await start(cluster, 'b', { schemaVersion: 5 })
  await a.node.alter('orders', { replicas: 1 })
  await b.told()
  return { ...b, write: (line: string) => orders.replicate(bytes(line)) }
}

test("S2: apply is told the time of the primary's clock, at every copy", async () => {
  await using cluster = new TestCluster()
  const at = (timeMs: number) => ({ seams: { clock: { ...systemSeams().clock, now: () => timeMs } } })
  const a = await start(cluster, 'a', at(1_000))
  const b = await start(cluster, 'b', at(2_000))
  const orders = await a.node.token('orders', { replicas: 1, primary: 'self' })
  await orders.replicate(bytes('one'))
  for (const { told } of [a, b]) expect((await told()).entries).toMatchObject([{ timeMs: 1_000 }])
})

test('S2: apply is told the level that is in force at the entry, at every copy', async () => {
  await using cluster = new TestCluster()
  const a = await start(cluster, 'a')
  const b = await start(cluster, 'b')
  const orders = await a.node.token('orders', { replicas: 1, primary: 'self' })
  await orders.replicate(bytes('one'))
  await raise(cluster, 4)
  await orders.replicate(bytes('two'))
  for (const { told } of [a, b]) expect((await told()).entries).toMatchObject([{ level: 0 }, { level: 4 }])
})

test('S7: a copy that is restored from a snapshot goes on at the level that was in force there', async () => {
  await using cluster = new TestCluster()
  const { told, write } = await restoredCopy(cluster)
  await write('three')
  expect((await told()).entries).toMatchObject([{ level: 4 }])
})

test('restore is told the schema version of the state machine that took the snapshot, and where the snapshot ends', async () => {
  await using cluster = new TestCluster()
  const { told } = await restoredCopy(cluster)
  const next = { incarnation: 1, index: 2 }
  expect((await told()).restored).toEqual([{ token: 'orders', next, schemaVersion: 3 }])
})
