import { expect, test } from 'vitest'
import type { Ledger } from './harness.js'
import { bytes, eventually, TestCluster } from './harness.js'

const names = Array.from({ length: 12 }, (_, i) => `token-${i}`)

function spread(cluster: TestCluster): { primaries: number[]; copies: number[]; complete: boolean } {
  const nodes = [...cluster.nodes.values()]
  const any = nodes[0]
  const located = names.map((name) => any?.locate(name))
  const ids = [...cluster.nodes.keys()]
  const primaries = ids.map((id) => located.filter((at) => at?.primary?.id === id).length)
  const copies = ids.map(
    (id) => located.filter((at) => at?.primary?.id === id || at?.replicas.some((ref) => ref.id === id)).length,
  )
  const complete = located.every((at) => at?.primary !== undefined && at.replicas.length === 1)
  return { primaries, copies, complete }
}

const even = (counts: number[]): boolean => Math.max(...counts) - Math.min(...counts) <= 1

const settledEvenly = (cluster: TestCluster): boolean => {
  const { primaries, copies, complete } = spread(cluster)
  const inSync = [...cluster.nodes.values()].every((node) => node.health().copies.every((copy) => copy.lag.caughtUp))
  return complete && even(primaries) && even(copies) && inSync
}

test('tokens spread evenly, follow a join and a leave, and lose nothing on the way', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await cluster.start('b')
  const tokens = await Promise.all(names.map((name) => a.token(name, { replicas: 1 })))
  await eventually(() => settledEvenly(cluster), 'an even spread over two')
  const write = async (text: string): Promise<void> => {
    for (const { name } of tokens) {
      const primary = await eventually(() => cluster.primary(name), `a primary of ${name}`)
      await primary.get(name)?.replicate(bytes(text))
    }
  }
  await write('two nodes')
  await cluster.start('c')
  await eventually(() => settledEvenly(cluster), 'an even spread over three')
  await write('three nodes')
  await cluster.stop('b')
  await eventually(() => settledEvenly(cluster), 'an even spread over the two that are left')
  await write('two again')
  for (const name of names) {
    for (const node of cluster.nodes.values()) {
      const copy = node.get(name)
      if (copy === undefined || copy.role === 'none') continue
      await copy.sync()
      expect((copy.state as Ledger).lines).toEqual(['two nodes', 'three nodes', 'two again'])
    }
  }
})

test('a handover moves the primary without losing or refusing for long', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1 })
  await eventually(
    () => cluster.primary('orders') && b.get('orders')?.lag.caughtUp && a.get('orders')?.lag.caughtUp,
    'both in sync',
  )
  const from = cluster.primary('orders') === a ? 'a' : 'b'
  const to = from === 'a' ? 'b' : 'a'
  await a.handover('orders', { to })
  expect(cluster.node(to).get('orders')?.role).toBe('primary')
  await cluster.node(to).get('orders')?.replicate(bytes('there'))
  expect(orders.name).toBe('orders')
  await expect(a.handover('orders', { to: 'nobody' })).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
})

test('a drained node holds nothing that can be elsewhere, and stays a member', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await cluster.start('b')
  await cluster.start('c')
  await Promise.all(names.map((name) => a.token(name, { replicas: 1 })))
  await eventually(() => settledEvenly(cluster), 'an even spread')
  await a.drain()
  expect(spread(cluster).copies[0]).toBe(0)
  expect(a.members().map(({ id }) => id)).toEqual(['a', 'b', 'c'])
})

test('an altered number of replicas is carried out, up and down', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await cluster.start('b')
  await cluster.start('c')
  await a.token('orders', { replicas: 0 })
  await a.alter('orders', { replicas: 2 })
  await eventually(() => a.locate('orders')?.replicas.length === 2, 'two replicas')
  await a.alter('orders', { replicas: 0 })
  await eventually(() => a.locate('orders')?.replicas.length === 0, 'no replica')
  await expect(a.alter('nothing', { replicas: 1 })).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
})

test('a removed token is gone, and a new one of its name starts empty in a higher incarnation', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { snapshotting: { everyEntries: 10 } })
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica')
  for (let i = 0; i < 30; i++) await orders.replicate(bytes('old'))
  await a.remove('orders')
  await expect(orders.replicate(bytes('late'))).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
  expect(a.locate('orders')).toBeUndefined()
  const again = await a.token('orders', { replicas: 1, primary: 'self' })
  const { position } = await again.replicate(bytes('new'))
  expect(position.incarnation).toBeGreaterThan(1)
  expect(position.index).toBe(0)
  expect((again.state as Ledger).lines).toEqual(['new'])
})

test('an expired session makes a new member that is promoted under a new epoch, with its state kept', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  const before = a.health().member
  cluster.world.coordination.expire('a')
  await eventually(
    () => a.health().member !== undefined && a.health().member !== before && orders.role === 'primary',
    'a new member serves',
  )
  expect(orders.epoch).toBe(2)
  await orders.replicate(bytes('two'))
  expect((orders.state as Ledger).lines).toEqual(['one', 'two'])
})

test('a lease that is suspended stops the service, and the same session resumes the same epoch', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const calls: string[] = []
  const orders = await a.token('orders', {
    replicas: 0,
    primary: 'self',
    onPromote: ({ fence }) => void calls.push(`promote ${fence.epoch}`),
    onDemote: () => void calls.push('demote'),
  })
  // Without a node the whole coordinator is down: leases are suspended, and nobody's session expires.
  const mend = cluster.world.coordination.cut()
  await eventually(() => orders.role === 'suspended', 'a suspended lease')
  await expect(orders.replicate(bytes('x'))).rejects.toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
  mend()
  await eventually(() => orders.role === 'primary', 'the lease is held again')
  expect(calls).toEqual(['promote 1', 'demote', 'promote 1'])
  await orders.replicate(bytes('y'))
})

test('a coordinator that was wiped is filled again by the nodes, and nothing is lost', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1 })
  await eventually(
    () => a.get('orders')?.lag.caughtUp && b.get('orders')?.lag.caughtUp && cluster.primary('orders'),
    'two copies',
  )
  await cluster.primary('orders')?.get('orders')?.replicate(bytes('before'))
  cluster.world.coordination.wipe()
  await eventually(() => a.locate('orders') === undefined, 'the wipe is noticed')
  const primary = await eventually(
    () => a.locate('orders')?.primary !== undefined && cluster.primary('orders'),
    'a primary again',
  )
  await primary.get('orders')?.replicate(bytes('after'))
  for (const node of [a, b]) {
    const copy = await eventually(() => node.get('orders')?.lag.caughtUp && node.get('orders'), 'a copy')
    await copy.sync()
    expect((copy.state as Ledger).lines).toEqual(['before', 'after'])
  }
  expect(orders.name).toBe('orders')
})

test('a coordinator restored from an old backup is overtaken by what the log says', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  await a.token('orders', { replicas: 1 })
  await eventually(
    () => a.get('orders')?.lag.caughtUp && b.get('orders')?.lag.caughtUp && cluster.primary('orders'),
    'two copies',
  )
  const backup = cluster.world.coordination.backup()
  for (const to of ['b', 'a', 'b']) {
    await eventually(() => a.get('orders')?.lag.caughtUp && b.get('orders')?.lag.caughtUp, 'both in sync')
    await a.handover('orders', { to })
    await b
      .get('orders')
      ?.replicate(bytes(to))
      .catch(() => undefined)
  }
  const epoch = b.get('orders')?.epoch ?? 0
  expect(epoch).toBeGreaterThan(2)
  cluster.world.coordination.restore(backup)
  const primary = await eventually(() => {
    const node = cluster.primary('orders')
    return node !== undefined && (node.get('orders')?.epoch ?? 0) > epoch && node
  }, 'a primary above the log')
  await primary.get('orders')?.replicate(bytes('healed'))
  await eventually(() => a.get('orders')?.lag.caughtUp && b.get('orders')?.lag.caughtUp, 'both in sync')
  for (const node of [a, b]) await node.get('orders')?.sync()
  expect((a.get('orders')?.state as Ledger).lines).toEqual((b.get('orders')?.state as Ledger).lines)
  expect((a.get('orders')?.state as Ledger).lines.at(-1)).toBe('healed')
})

test('creating a token whose log exists is refused unless it is adopted, and adopting keeps its state', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  await cluster.stop('a')
  cluster.world.coordination.wipe()
  const b = await cluster.start('b')
  await expect(b.token('orders', { replicas: 0, primary: 'self' })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_EXISTS',
  })
  const adopted = await b.token('orders', { replicas: 0, primary: 'self', adopt: true })
  await adopted.replicate(bytes('two'))
  expect((adopted.state as Ledger).lines).toEqual(['one', 'two'])
})
