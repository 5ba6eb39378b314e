/** "Where the log loses an acknowledged tail, that is noticed and the token stops": also where no copy lives through it that has read the tail. */
import { expect, test } from 'vitest'
import type { CopyHealth } from '../../src/index.js'
import { bytes, eventually, TestCluster } from './harness.js'

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
