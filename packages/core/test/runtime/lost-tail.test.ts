/** "Where the log loses an acknowledged tail, that is noticed and the token stops": also where no copy lives through it that has read the tail. */
import { expect, test } from 'vitest'
import type { CommitLog, Coordinator, Session, TokenLog } from '../../src/contract/index.js'
import { reportDocument } from '../../src/engine/documents.js'
import { encodeFrame } from '../../src/engine/frame.js'
import type { CopyHealth } from '../../src/index.js'
import { bytes, delegate, eventually, TestCluster, type Ledger } from './harness.js'

const ENTRIES = 20

/** Writes entries with a copy on each of the nodes, and waits until it is told how far they have come. */
async function written(cluster: TestCluster, ...nodes: readonly string[]): Promise<void> {
  for (const node of nodes) await cluster.start(node)
  await cluster.node(nodes[0] as string).token('orders', { replicas: nodes.length - 1 })
  const primary = (await cluster.serving('orders', 1)).get('orders')
  for (let i = 0; i < ENTRIES; i++) await primary?.replicate(bytes(`${i}`))
  await eventually(
    () => nodes.every((node) => cluster.report(node, 'orders')?.nextIndex === ENTRIES),
    'every node has told it',
  )
}

/** The log loses everything behind some of the entries. */
function loseTail(cluster: TestCluster): void {
  const address = cluster.assignment('orders')?.log.address ?? ''
  cluster.world.logs.loseTail(address, ENTRIES / 2)
}

/** A coordinator that is told nothing of progress while `stale` holds, as reports of it may be seconds old. */
function behind(coordinator: Coordinator, stale: () => boolean): Coordinator {
  const old = (bytes: Uint8Array): Uint8Array => {
    const { member, tokens } = reportDocument.decode(bytes, '')
    const none = { nextIndex: 0, reached: { incarnation: 1, index: 0 } }
    return reportDocument.encode({ member, tokens: tokens.map((report) => ({ ...report, ...none })) })
  }
  return delegate<Coordinator>(coordinator, {
    connect: async (...call: Parameters<Coordinator['connect']>) => {
      const session = await coordinator.connect(...call)
      return delegate<Session>(session, {
        write: (...[name, bytes, ...rest]: Parameters<Session['write']>) =>
          session.write(name, stale() && name.startsWith('reports/') ? old(bytes) : bytes, ...rest),
      })
    },
  })
}

function copyOf(cluster: TestCluster, node: string): CopyHealth | undefined {
  return cluster.node(node).health().copies[0]
}

/** What keeps the token from going on, at every node. */
function failures(cluster: TestCluster): readonly (string | undefined)[] {
  return [...cluster.nodes.values()].map((node) => node.health().copies[0]?.error?.code)
}

test('while all nodes are down: who is made the primary finds less than the nodes had told, and fails', async () => {
  await using cluster = new TestCluster()
  await written(cluster, 'a', 'b')
  for (const node of ['a', 'b']) await cluster.stop(node)
  loseTail(cluster)
  for (const node of ['a', 'b']) await cluster.start(node)
  await eventually(() => failures(cluster).includes('KAGAMI_LOG_LOST_TAIL'), 'it is noticed')
  await eventually(() => cluster.assignment('orders')?.primary === null, 'nobody else is tried')
  for (const node of cluster.nodes.values()) {
    expect(node.get('orders')?.role).not.toBe('primary')
    await expect(node.get('orders')?.sync()).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
  }
  expect(failures(cluster)).toEqual(['KAGAMI_LOG_LOST_TAIL', 'KAGAMI_LOG_LOST_TAIL'])
})

test('with other nodes than those that have applied it', async () => {
  await using cluster = new TestCluster()
  await written(cluster, 'a', 'b')
  for (const node of ['a', 'b']) await cluster.stop(node)
  loseTail(cluster)
  await cluster.start('c')
  await eventually(() => failures(cluster).includes('KAGAMI_LOG_LOST_TAIL'), 'it is noticed')
})

test('nodes that have noticed it are started anew: the token stays stopped, as often as that is tried', async () => {
  await using cluster = new TestCluster()
  await written(cluster, 'a', 'b')
  loseTail(cluster)
  await eventually(() => failures(cluster).every((code) => code === 'KAGAMI_LOG_LOST_TAIL'), 'both notice it')
  for (const node of ['a', 'b', 'a', 'b']) {
    await cluster.stop(node)
    await cluster.start(node)
    await eventually(() => ['running', 'failed'].includes(copyOf(cluster, node)?.phase ?? ''), 'it has a copy again')
  }
  await eventually(() => cluster.assignment('orders')?.primary === null, 'it stops')
  expect([...cluster.nodes.values()].some((node) => node.get('orders')?.role === 'primary')).toBe(false)
})

test('a log that is brought back whole lets the token go on where it was', async () => {
  await using cluster = new TestCluster()
  await written(cluster, 'a', 'b')
  for (const node of ['a', 'b']) await cluster.stop(node)
  for (const node of ['b', 'a']) await cluster.start(node)
  const serving = await cluster.serving('orders', 1)
  expect(await serving.get('orders')?.replicate(bytes('more'))).toMatchObject({ position: { index: ENTRIES } })
})

test('while a copy that has applied it is out of reach, and another takes over with less: it stops once the first is back', async () => {
  await using cluster = new TestCluster()
  const patient = { limits: { lookMs: 50, restoreTimeoutMs: 2_000 } }
  let stale = true
  for (const node of ['a', 'c', 'd']) {
    const coordinator = behind(cluster.world.coordinator({ sessionTimeoutMs: 500 }), () => stale)
    await cluster.start(node, { ...patient, coordinator })
  }
  const orders = await cluster.node('a').token('orders', { primary: 'self', replicas: 2 })
  for (let i = 0; i < 8; i++) await orders.replicate(bytes(`old ${i}`))
  await cluster.stop('c')
  for (let i = 8; i < 10; i++) await orders.replicate(bytes(`lost ${i}`))
  const d = cluster.node('d')
  await eventually(() => (d.get('orders')?.state as Ledger | undefined)?.lines.length === 10, 'a copy has applied it')
  // Neither a nor d looks at the log while it loses its tail, and d's node is not heard of: its copy lives on.
  const mends = [cluster.world.logs.cut('a'), cluster.world.logs.cut('d'), cluster.world.cut('d')]
  cluster.world.coordination.expire('d')
  cluster.world.logs.loseTail(cluster.assignment('orders')?.log.address ?? '', 2)
  const c = await cluster.start('c', patient)
  await eventually(() => cluster.report('c', 'orders')?.inSync, 'another copy is in sync with what is left')
  await cluster.stop('a')
  await eventually(() => c.get('orders')?.role === 'primary', 'it takes over')
  for (let i = 8; i < 12; i++) await c.get('orders')?.replicate(bytes(`new ${i}`))
  stale = false
  for (const mend of mends) mend()
  await eventually(() => cluster.assignment('orders')?.primary === null, 'the token stops')
  await eventually(() => c.get('orders')?.role === 'replica', 'nobody serves it')
  const problems = () => [...cluster.nodes.values()].flatMap((node) => node.health().problems).join()
  await eventually(() => /'orders' has lost records that node 'd' had applied/.test(problems()), 'it is told')
  // It needs people: who starts the node anew goes on with what the others have.
  await cluster.stop('d')
  await cluster.start('d', patient)
  await eventually(() => cluster.primary('orders'), 'a primary')
  expect(problems()).not.toMatch(/has lost records/)
})

test.each([
  ['first', 1],
  ['second', 2],
])(
  'while the %s reader in a row waits long for what comes behind the anchor, and others take its place',
  async (_, nth) => {
    await using cluster = new TestCluster()
    const log = cluster.world.commitLog()
    let slow = false
    let readers = 0
    let lose: (() => Promise<unknown>) | undefined
    const fetching = delegate<CommitLog>(log, {
      open: async (...call: Parameters<CommitLog['open']>) => {
        const opened = await log.open(...call)
        return delegate<TokenLog>(opened, {
          async *read(...[from, options]: Parameters<TokenLog['read']>) {
            readers += slow ? 1 : 0
            for await (const batch of opened.read(from, options)) {
              if (!slow || batch.records.length === 0) yield batch
              else
                for (const { offset } of batch.records) {
                  // Four looks.
                  if (offset !== from) {
                    if (readers >= nth) await lose?.()
                    await new Promise((resolve) => setTimeout(resolve, 200))
                  }
                  options.signal.throwIfAborted()
                  // What is there by then.
                  const now = cluster.world.logs.records(opened.address).filter((record) => record.offset === offset)
                  yield { records: now, next: offset + 1n, end: batch.end }
                }
            }
          },
        })
      },
    })
    const a = await cluster.start('a')
    const b = await cluster.start('b', { log: fetching, limits: { lookMs: 50 } })
    const orders = await a.token('orders', { primary: 'self', replicas: 1 })
    await orders.replicate(bytes('one'))
    await eventually(() => b.get('orders')?.next?.index === 1, 'b has read it')
    const { address } = cluster.assignment('orders')!.log
    const { signal } = new AbortController()
    const direct = await log.open(address, { token: 'orders', signal })
    const { incarnation } = cluster.assignment('orders')!
    const marker = encodeFrame({ kind: 'marker', token: 'orders', incarnation, nonce: 1n, timeMs: 1 })
    lose = async () => {
      lose = undefined
      cluster.world.logs.loseTail(address, 2)
      for (let i = 0; i < 3; i++) await direct.append(marker, { signal })
    }
    slow = true
    void orders.replicate(bytes('two')).catch(() => undefined)
    await eventually(() => copyOf(cluster, 'b')?.error, 'b fails')
    expect(copyOf(cluster, 'b')?.error?.code).toBe('KAGAMI_LOG_LOST_TAIL')
    expect(readers).toBeGreaterThanOrEqual(nth)
  },
)
