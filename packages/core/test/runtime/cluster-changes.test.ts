import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { isKagamiError, type Kagami } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { bytes, delegate, eventually, HeldClock, TestCluster } from './harness.js'

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

test('a handover moves the primary while it is written to: nothing is lost, and no refusal lasts until a timer', async () => {
  await using cluster = new TestCluster()
  const clock = new HeldClock()
  const a = await cluster.start('a', { seams: { clock } })
  const b = await cluster.start('b', { seams: { clock } })
  await a.token('orders', { replicas: 1 })
  await eventually(
    () => cluster.primary('orders') && b.get('orders')?.lag.caughtUp && a.get('orders')?.lag.caughtUp,
    'both in sync',
  )
  const from = cluster.primary('orders') === a ? 'a' : 'b'
  const to = from === 'a' ? 'b' : 'a'
  const acknowledged: { readonly line: string; readonly by: string }[] = []
  let refused = 0
  /** Writes to whoever serves, one entry after another. What is refused was not applied, so it is sent again. */
  const writing = (async () => {
    while (acknowledged.filter(({ by }) => by === to).length < 100) {
      const line = `entry ${acknowledged.length}`
      const [by, node] = [...cluster.nodes].find(([, kagami]) => kagami === cluster.primary('orders')) ?? []
      await node
        ?.get('orders')
        ?.replicate(bytes(line))
        .then(
          () => acknowledged.push({ line, by: by as string }),
          (error: unknown) => {
            if (!isKagamiError(error, 'KAGAMI_NOT_PRIMARY')) throw error
            refused += 1
          },
        )
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  await eventually(() => acknowledged.length >= 100, 'writes to the old primary')
  // Whatever waits for the clock now waits in vain: the handover must come about by events alone.
  clock.hold()
  await a.handover('orders', { to, signal: AbortSignal.timeout(20_000) })
  expect(cluster.node(to).get('orders')?.role).toBe('primary')
  await writing
  clock.release()
  const lines = acknowledged.map(({ line }) => line)
  for (const node of [a, b]) {
    await node.get('orders')?.sync()
    expect((node.get('orders')?.state as Ledger).lines).toEqual(lines)
  }
  expect(acknowledged.findLastIndex(({ by }) => by === from)).toBeLessThan(
    acknowledged.findIndex(({ by }) => by === to),
  )
  expect(refused).toBeLessThan(acknowledged.length)
})

test('a handover to a node that is not there is refused', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await expect(a.handover('orders', { to: 'nobody' })).rejects.toMatchObject({
    code: 'KAGAMI_BAD_OPTION',
    details: { option: 'to' },
  })
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
  await expect(cluster.node('b').handover('one', { to: 'a' })).rejects.toMatchObject({
    code: 'KAGAMI_BAD_OPTION',
    message: 'option to is "a"; expected the id of a live node that is not being drained: b, c',
  })
})

test('the replica of a lost node waits for its return, for as long as the grace period lasts, while its primary moves at once', async () => {
  await using cluster = new TestCluster()
  const patient = { placementLimits: { graceMs: 3_600_000 } }
  const a = await cluster.start('a', patient)
  for (const id of ['b', 'c']) await cluster.start(id, patient)
  const copies = (token: string): readonly string[] => cluster.assignment(token)?.replicas ?? []
  const inSync = (token: string): boolean | undefined =>
    copies(token).length === 1 && cluster.node(copies(token)[0] as string).get(token)?.lag.caughtUp
  await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => inSync('orders'), 'a replica')
  const [lost] = copies('orders') as [string]
  await cluster.node(lost).token('others', { replicas: 1, primary: 'self' })
  await eventually(() => inSync('others'), 'another replica')
  const elsewhere: (readonly string[])[] = []
  a.on('assigned', ({ token, replicas }) => {
    if (token === 'orders' && replicas.join() !== lost) elsewhere.push(replicas)
  })
  const mend = cluster.world.coordination.cut(lost)
  await eventually(() => cluster.primary('others') !== cluster.node(lost) && cluster.primary('others'), 'it is moved')
  // Another token is placed in a later round, which has had its chance to place the replica elsewhere.
  await a.token('late', { replicas: 0, primary: 'self' })
  expect(copies('orders')).toEqual([lost])
  mend()
  await eventually(() => a.members().length === 3 && inSync('orders'), 'it is back')
  expect(elsewhere).toEqual([])
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
  await a.token('orders', { replicas: 1 })
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
})

test('a coordinator restored from an old backup is overtaken by what the log says', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  await a.token('orders', { replicas: 1 })
  const inSync = (): Promise<unknown> =>
    eventually(() => a.get('orders')?.lag.caughtUp && b.get('orders')?.lag.caughtUp, 'both in sync')
  await inSync()
  await eventually(() => cluster.primary('orders'), 'a primary')
  const acknowledged: string[] = []
  const write = async (node: Kagami<number>, line: string): Promise<void> => {
    await node.get('orders')?.replicate(bytes(line))
    acknowledged.push(line)
  }
  const backup = cluster.world.coordination.backup()
  for (const to of ['b', 'a', 'b']) {
    await inSync()
    await a.handover('orders', { to })
    await write(cluster.node(to), `by ${to}`)
  }
  const epoch = b.get('orders')?.epoch ?? 0
  expect(epoch).toBeGreaterThan(2)
  cluster.world.coordination.restore(backup)
  const primary = await eventually(() => {
    const node = cluster.primary('orders')
    return node !== undefined && (node.get('orders')?.epoch ?? 0) > epoch && node
  }, 'a primary above the log')
  await write(primary, 'healed')
  await inSync()
  for (const node of [a, b]) {
    await node.get('orders')?.sync()
    expect((node.get('orders')?.state as Ledger).lines).toEqual(acknowledged)
  }
  expect(acknowledged).toEqual(['by b', 'by a', 'by b', 'healed'])
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

/** Node a's copy is taken away while its log answers nothing there, with an entry of which nobody there knows how it ends. */
async function takenAway(cluster: TestCluster, options: Parameters<TestCluster['start']>[1]) {
  const b = await cluster.start('b')
  const a = await cluster.start('a', options)
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  const mendLog = cluster.world.logs.cut('a')
  const pending = orders.replicate(bytes('one')).catch((error: unknown) => error)
  await b.handover('orders', { to: 'b' })
  await b.alter('orders', { replicas: 0 })
  await eventually(() => a.health().copies[0]?.phase === 'closing', 'the copy is taken away')
  return { a, b, pending, mendLog }
}

test('a copy that is given back while it still settles is opened again, also without a session', async () => {
  await using cluster = new TestCluster()
  const coordinator = cluster.world.coordinator({ sessionTimeoutMs: 500 })
  const connect = coordinator.connect.bind(coordinator)
  let mayConnect = Promise.resolve()
  coordinator.connect = async (options) => {
    await mayConnect
    return connect(options)
  }
  const { a, b, pending, mendLog } = await takenAway(cluster, { coordinator })
  await b.alter('orders', { replicas: 1 })
  await eventually(() => a.locate('orders')?.replicas.length === 1, 'it is given back')
  let goOn: () => void = () => undefined
  mayConnect = new Promise((resolve) => (goOn = resolve))
  cluster.world.coordination.expire('a')
  await eventually(() => a.health().member === undefined, 'the session has expired')
  mendLog()
  expect(await pending).toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
  await eventually(() => a.health().copies[0]?.phase === 'running', 'the copy is opened again')
  expect(a.health().member).toBeUndefined()
  goOn()
})

test('a copy that is taken away while its log says nothing is told of, and keeps the node from being given the token again for a while only', async () => {
  await using cluster = new TestCluster()
  const { a, b, pending, mendLog } = await takenAway(cluster, { limits: { lookMs: 100, stallTimeoutMs: 3000 } })
  await eventually(() => a.health().copies[0]?.readError !== undefined, 'it is told of')
  expect(a.health().ok).toBe(false)
  await b.alter('orders', { replicas: 1 })
  await eventually(() => a.locate('orders')?.replicas.length === 1, 'it is given back')
  expect(await pending).toMatchObject({ code: 'KAGAMI_INDETERMINATE' })
  await eventually(() => a.health().copies[0]?.phase === 'opening', 'the next copy looks for its log')
  mendLog()
  await eventually(() => a.get('orders')?.lag.caughtUp, 'it has caught up')
  await eventually(() => a.health().ok, 'all is well')
})

test('a handover to a node whose copy fails before it serves is given up, though nobody else can serve', async () => {
  await using cluster = new TestCluster()
  let letGo = (): void => undefined
  const held = new Promise<void>((resolve) => (letGo = resolve))
  let holds = false
  const log = cluster.world.commitLog()
  const slow = delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        append: async (...append: Parameters<TokenLog['append']>) => {
          if (holds) await held
          return opened.append(...append)
        },
      })
    },
  })
  const a = await cluster.start('a', { log: slow })
  const b = await cluster.start('b')
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica is in sync')
  holds = true
  const poison = orders.replicate(bytes('poison')).catch((error: unknown) => error)
  await eventually(() => cluster.report('a', 'orders')?.serving === 1, 'it serves')
  cluster.world.logs.failAppends(1000, { landed: false, node: 'b' })
  const handover = a.handover('orders', { to: 'b' })
  const refused = expect(handover).rejects.toMatchObject({ code: 'KAGAMI_NO_COPY', retryable: true })
  await eventually(() => cluster.assignment('orders')?.primary?.node === 'b', 'b is assigned')
  letGo()
  await poison
  await refused
})
