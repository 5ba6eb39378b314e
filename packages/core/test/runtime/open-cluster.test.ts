/** A cluster that is looked at and changed by somebody who is no node. The `kagami` command's tests do the same with real processes. */
import { describe, expect, test } from 'vitest'
import type { CallOptions, Coordinator, Session, SnapshotStore } from '../../src/contract/index.js'
import {
  KagamiError,
  openCluster,
  type Cluster,
  type ClusterOptions,
  type ClusterStatus,
  type StatusOptions,
  type TokenStatus,
} from '../../src/index.js'
import { bytes, delegate, eventually, Ledger, TestCluster } from './harness.js'

const quiet = () => undefined
const seams = { logger: { debug: quiet, info: quiet, warn: quiet, error: quiet } }

function open(cluster: TestCluster, options: Partial<ClusterOptions> = {}): Promise<Cluster> {
  const { world } = cluster
  const coordinator = world.coordinator({ sessionTimeoutMs: 500 })
  return openCluster({ cluster: 'test', coordinator, snapshots: world.snapshotStore(), seams, ...options })
}

class Broken extends Ledger {
  override apply(): never {
    throw new Error('broken')
  }
}

/** The first status of which a condition holds. */
async function seen(
  door: Cluster,
  holds: (status: ClusterStatus) => boolean,
  options?: StatusOptions,
): Promise<ClusterStatus> {
  for await (const status of door.watch(options)) if (holds(status)) return status
  throw new Error('the watch ended by itself')
}

function token(status: ClusterStatus, name = 'orders'): TokenStatus {
  const found = status.tokens.find((each) => each.token === name)
  if (found === undefined) throw new Error(`there is no ${name} in ${JSON.stringify(status)}`)
  return found
}

test('a status tells of members, the controller, and each token with its copies and its newest snapshot', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { node: { id: 'a', zone: 'east', capacity: 2, meta: { url: 'http://a' } } })
  const b = await cluster.start('b', { snapshotting: { everyEntries: 3 } })
  await using door = await open(cluster)
  expect(await door.status()).toMatchObject({ cluster: 'test', ok: true, controller: null, tokens: [] })
  const orders = await a.token('orders', { replicas: 1, primary: 'self' })
  for (const line of ['one', 'two', 'three', 'four']) await orders.replicate(bytes(line))
  const status = await seen(door, ({ ok, tokens: [first] }) => ok && first?.snapshot?.verified === true)
  expect(status.controller).toBe(cluster.world.coordination.leader('test'))
  expect(status.members).toEqual([
    {
      node: 'a',
      member: a.health().member,
      zone: 'east',
      capacity: 2,
      draining: 'no',
      controller: status.controller === 'a',
      meta: { url: 'http://a' },
      primaries: 1,
      copies: 1,
    },
    {
      node: 'b',
      member: b.health().member,
      zone: null,
      capacity: 1,
      draining: 'no',
      controller: status.controller === 'b',
      meta: null,
      primaries: 0,
      copies: 1,
    },
  ])
  const { incarnation } = orders.next!
  expect(token(status)).toMatchObject({
    token: 'orders',
    phase: 'open',
    problems: [],
    incarnation,
    epoch: 1,
    wanted: { replicas: 1, primary: 'self', owner: 'a', weight: 1, failover: 'promote', failback: false },
    handover: null,
    copies: [
      { node: 'a', role: 'primary', state: 'serving', lag: 0, snapshotter: false, error: null },
      { node: 'b', role: 'replica', state: 'in-sync', lag: 0, snapshotter: true, snapshotFails: false, error: null },
    ],
    snapshot: { next: { incarnation }, epoch: 1, member: b.health().member, verified: true },
  })
  expect(token(status).copies.map(({ next }) => next?.incarnation)).toEqual([incarnation, incarnation])
  expect(JSON.parse(JSON.stringify(status))).toEqual(status)
})

test('whoever only looks is no member, is given nothing, and is gone without a trace when it stops', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 1 })
  await eventually(() => cluster.report('a', 'orders'), 'the report of a')
  const documents = (): string[] => [...cluster.world.coordination.documents('test').keys()]
  const before = documents()
  const door = await open(cluster)
  // A second copy is wanted, and only a member could hold it.
  const status = await seen(door, ({ tokens }) => tokens[0]?.copies[0]?.state === 'serving')
  expect(status.members.map(({ node }) => node)).toEqual(['a'])
  expect(token(status)).toMatchObject({ ok: false, problems: ['0 of 1 replicas are in sync'] })
  expect(a.members().map(({ id }) => id)).toEqual(['a'])
  await cluster.stop('a')
  // The office is free, and nobody takes it.
  await seen(door, ({ members }) => members.length === 0)
  expect(cluster.world.coordination.leader('test')).toBeUndefined()
  await door.stop()
  await door.stop()
  expect(documents()).toEqual(before)
  await expect(door.status()).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
})

test('a lost primary, a lost replica and a copy that has failed are told, and what takes their place', async () => {
  await using cluster = new TestCluster()
  for (const id of ['a', 'b']) await cluster.start(id)
  const orders = await cluster.node('a').token('orders', { replicas: 1, primary: 'self' })
  await using door = await open(cluster)
  await seen(door, ({ ok }) => ok)
  cluster.world.cut('a')
  const lost = token(await seen(door, ({ ok }) => !ok))
  expect(lost.problems[0]).toMatch(
    /^its primary is lost with node 'a'$|^node 'b' does not serve it now$|replicas are in sync/,
  )
  const failedOver = token(
    await seen(door, (status) => token(status).copies[0]?.state === 'serving' && token(status).epoch > 1),
  )
  expect(failedOver).toMatchObject({ ok: false, problems: ['0 of 1 replicas are in sync'] })
  expect(failedOver.copies[0]).toMatchObject({ node: 'b', role: 'primary', state: 'serving' })
  await cluster.start('c')
  expect(token(await seen(door, ({ ok }) => ok)).copies.map(({ node, state }) => [node, state])).toEqual([
    ['b', 'serving'],
    ['c', 'in-sync'],
  ])
  expect(orders.role).not.toBe('primary')
  // Both copies fail at the same entry.
  const taken = cluster.node('b').get('orders')!
  await expect(taken.replicate(bytes('poison'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  const failed = token(
    await seen(door, (status) => token(status).copies.filter(({ state }) => state === 'failed').length === 2),
  )
  expect(failed.ok).toBe(false)
  expect(failed.copies.map(({ error }) => error)).toEqual(['KAGAMI_APPLY_FAILED', 'KAGAMI_APPLY_FAILED'])
})

test('a token without replicas is not fine while its primary is lost, and is again when it is back', async () => {
  await using cluster = new TestCluster()
  for (const id of ['a', 'b']) await cluster.start(id)
  await cluster.node('a').token('orders', { replicas: 0, primary: 'self', failover: 'hold' })
  await using door = await open(cluster)
  await seen(door, ({ ok }) => ok)
  const mend = cluster.world.cut('a')
  const lost = token(await seen(door, ({ ok, members }) => !ok && members.length === 1))
  expect(lost.problems).toHaveLength(1)
  expect(lost.problems[0]).toMatch(/^its primary is lost with node 'a'$|^it has no primary$/)
  mend()
  expect(token(await seen(door, ({ ok }) => ok)).copies).toMatchObject([{ node: 'a', state: 'serving' }])
})

test('a replica that is cut off from its log is told as that', async () => {
  await using cluster = new TestCluster()
  for (const id of ['a', 'b']) await cluster.start(id)
  await cluster.node('a').token('orders', { replicas: 1, primary: 'self' })
  await using door = await open(cluster)
  await seen(door, ({ ok }) => ok)
  cluster.world.logs.cut('b')
  const hindered = token(await seen(door, ({ ok }) => !ok))
  expect(hindered.copies[1]).toMatchObject({ node: 'b', role: 'replica', state: 'cut-off' })
  expect(hindered.problems).toEqual(['0 of 1 replicas are in sync'])
})

test('a failed copy that was replaced is shown with its code, and keeps its token from nothing', async () => {
  await using cluster = new TestCluster()
  await cluster.start('a')
  await cluster.start('b', {
    stateMachine: () => new Broken(),
  })
  const orders = await cluster.node('a').token('orders', { replicas: 1, primary: 'self' })
  await using door = await open(cluster)
  await seen(door, ({ ok }) => ok)
  await orders.replicate(bytes('one'))
  const failed = token(await seen(door, ({ ok }) => !ok))
  expect(failed.copies[1]).toMatchObject({ node: 'b', role: 'replica', state: 'failed', error: 'KAGAMI_APPLY_FAILED' })
  await cluster.start('c')
  const status = await seen(door, (found) => found.ok && token(found).copies[2]?.role === 'replaced')
  expect(token(status).copies).toMatchObject([
    { node: 'a', role: 'primary', state: 'serving' },
    { node: 'c', role: 'replica', state: 'in-sync' },
    { node: 'b', role: 'replaced', state: 'failed', error: 'KAGAMI_APPLY_FAILED' },
  ])
})

describe('what an administrator asks for is done', () => {
  test('a handover resolves when the other node serves, and one to a node that is not there names those that are', async () => {
    await using cluster = new TestCluster()
    for (const id of ['a', 'b']) await cluster.start(id)
    await cluster.node('a').token('orders', { replicas: 1, primary: 'self' })
    await using door = await open(cluster)
    await seen(door, ({ ok }) => ok)
    await door.handover('orders', { to: 'b' })
    expect(cluster.node('b').get('orders')?.role).toBe('primary')
    expect(token(await door.status())).toMatchObject({ epoch: 2, handover: null })
    await expect(door.handover('orders', { to: 'z' })).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
      message: 'option to is "z"; expected the id of a live node that is not being drained: a, b',
    })
    await expect(door.handover('carts', { to: 'a' })).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
  })

  test('an alteration is recorded, and carried out; what the token can not have is refused', async () => {
    await using cluster = new TestCluster()
    for (const id of ['a', 'b', 'c']) await cluster.start(id)
    await cluster.node('a').token('orders', { replicas: 1 })
    await using door = await open(cluster)
    await door.alter('orders', { replicas: 2 })
    const status = await seen(door, ({ ok, tokens }) => ok && tokens[0]?.wanted?.replicas === 2)
    expect(token(status).copies).toHaveLength(3)
    await expect(door.alter('orders', { failback: true })).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
    await expect(door.alter('carts', { replicas: 1 })).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
  })

  test('a removal resolves when it is in the log: the token is gone from the status, and may be created again', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    await a.token('orders', { replicas: 0 })
    await using door = await open(cluster)
    await seen(door, ({ ok, tokens }) => ok && tokens.length === 1)
    await door.remove('orders')
    expect((await door.status()).tokens).toEqual([])
    await expect(door.status({ token: 'orders' })).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
    await expect(door.remove('orders')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
    await a.token('orders', { replicas: 0 })
    await seen(door, ({ ok, tokens }) => ok && tokens.length === 1)
  })

  test('without a controller a creation and a removal are told as under way', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    await a.token('orders', { replicas: 0 })
    const mend = cluster.world.logs.fill()
    await using door = await open(cluster)
    const { signal } = new AbortController()
    const created = a.token('carts', { replicas: 0, signal }).catch(quiet)
    const removed = door.remove('orders').catch(quiet)
    const status = await seen(
      door,
      ({ tokens }) => tokens.length === 2 && tokens.every(({ phase }) => phase !== 'open'),
    )
    expect(token(status, 'carts')).toMatchObject({ phase: 'creating', ok: false, problems: ['it is not created yet'] })
    expect(token(status)).toMatchObject({ phase: 'removing', ok: false, problems: ['it is being removed'] })
    mend()
    await Promise.all([created, removed])
    expect((await seen(door, ({ ok }) => ok)).tokens.map((each) => each.token)).toEqual(['carts'])
  })
})

test('snapshots are listed newest first, and a token that has none is not one that is unknown', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { snapshotting: { everyEntries: 1, keep: 10 } })
  const orders = await a.token('orders', { replicas: 0 })
  await a.token('carts', { replicas: 0 })
  await using door = await open(cluster)
  expect(await door.snapshots('carts')).toEqual([])
  await expect(door.snapshots('nothing')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
  for (let i = 0; i < 9; i++) await orders.replicate(bytes(String(i)))
  await seen(door, (status) => token(status).snapshot?.next.index === 9 && token(status).snapshot?.verified === true)
  const found = await door.snapshots('orders')
  const stored = await cluster.snapshots('orders')
  expect(found.map(({ id }) => id)).toEqual(stored.map(({ id }) => id))
  expect(found.map(({ next }) => next.index)).toEqual(stored.map(({ nextIndex }) => nextIndex))
  expect(found.length).toBeGreaterThan(1)
  expect(found.every(({ bytes, verified }) => bytes > 0 && verified)).toBe(true)
})

test('a snapshot store that can not be asked is told, and hides nothing else', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await using door = await open(cluster)
  cluster.world.snapshots.cut()
  const status = await seen(door, ({ ok, tokens }) => ok && tokens.length === 1)
  expect(status.snapshotsError?.code).toBe('KAGAMI_STORE_UNAVAILABLE')
  expect(token(status).snapshot).toBeNull()
  await using without = await openCluster({ cluster: 'test', coordinator: cluster.world.coordinator(), seams })
  expect(await without.status()).toMatchObject({ snapshotsError: null, ok: true })
  await expect(without.snapshots('orders')).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
})

test('of many tokens the store is asked again only for those whose snapshots have changed', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { snapshotting: { everyEntries: 1 } })
  const tokens = await Promise.all(['orders', 'carts'].map((name) => a.token(name, { replicas: 0 })))
  const asked: string[] = []
  const store = cluster.world.snapshotStore()
  const snapshots = delegate<SnapshotStore>(store, {
    list: (name: string, options: Parameters<SnapshotStore['list']>[1]) => {
      asked.push(name)
      return store.list(name, options)
    },
  })
  await using door = await open(cluster, { snapshots })
  await door.status()
  await door.status()
  expect(asked.sort()).toEqual(['carts', 'orders'])
  await tokens[0]!.replicate(bytes('one'))
  await seen(door, (status) => token(status).snapshot?.next.index === 1)
  expect(new Set(asked.slice(2))).toEqual(new Set(['orders']))
})

test('wrong options are refused by name, before anything is started', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  for (const [wrong, option] of [
    [{ cluster: 'no spaces' }, 'cluster'],
    [{ coordinator: {} }, 'coordinator'],
    [{ snapshots: {} }, 'snapshots'],
    [{ seams: { logger: {} } }, 'seams.logger'],
    [{ log: cluster.world.commitLog() }, 'log'],
  ] as const) {
    const refused = open(cluster, wrong as Partial<ClusterOptions>)
    await expect(refused).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION', details: { option } })
  }
  await using door = await open(cluster)
  const bad = (option: string) => ({ code: 'KAGAMI_BAD_OPTION', details: { option } })
  await expect(door.status({ tokens: 'orders' } as StatusOptions)).rejects.toMatchObject(bad('tokens'))
  await expect(door.status({ token: '' })).rejects.toMatchObject(bad('token'))
  await expect(door.alter('orders', { replicas: -1 })).rejects.toMatchObject(bad('replicas'))
  await expect(door.handover('orders', { to: 'no spaces' })).rejects.toMatchObject(bad('to'))
  await expect(door.remove('')).rejects.toMatchObject(bad('token'))
})

test('a session that is lost is followed by another: what was under way is told so, a watch goes on, and so do calls', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await using door = await open(cluster)
  const found = seen(door, ({ members }) => members.length === 2)
  // What it asks for can't be done, so it is under way when the session is lost.
  const mend = cluster.world.logs.fill()
  const removal = expect(door.remove('orders')).rejects.toMatchObject({ code: 'KAGAMI_SESSION_LOST', retryable: true })
  await eventually(() => cluster.spec('orders')?.removed, 'the removal is recorded')
  cluster.world.coordination.expire('administrator')
  await removal
  await cluster.start('b')
  expect((await found).members.map(({ node }) => node)).toEqual(['a', 'b'])
  mend()
  await eventually(() => a.locate('orders') === undefined, 'the removal is carried out all the same')
  await expect(door.remove('orders')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
})

test('a coordinator that is out of reach when the session is lost is tried until it is there, and a stop ends that', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  const real = cluster.world.coordinator()
  let connected = 0
  let refused = 0
  let reachable = true
  let told = Promise.resolve()
  /** What is wanted of tokens is heard later than the rest. */
  async function* late<T>(watch: () => AsyncIterable<T>): AsyncGenerator<T> {
    await told
    yield* watch()
  }
  const door = await open(cluster, {
    coordinator: delegate<Coordinator>(real, {
      connect: async (options: CallOptions) => {
        if (!reachable) {
          refused += 1
          throw new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'not now', { retryable: true })
        }
        const session = await real.connect(options)
        connected += 1
        const watch: Session['watch'] = (prefix, call) =>
          prefix === 'specs/' ? late(() => session.watch(prefix, call)) : session.watch(prefix, call)
        return delegate<Session>(session, { watch })
      },
    }),
  })
  await seen(door, ({ ok }) => ok)
  const loses = async (): Promise<void> => {
    reachable = false
    const before = refused
    cluster.world.coordination.expire('administrator')
    await eventually(() => refused > before + 1, 'it is tried again')
  }
  await loses()
  let settled = false
  const status = door.status().finally(() => (settled = true))
  await expect(door.status({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
  await cluster.start('b')
  await a.alter('orders', { weight: 3 })
  let tell: () => void = () => undefined
  told = new Promise((resolve) => (tell = resolve))
  reachable = true
  await eventually(() => connected === 2, 'it is connected again')
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  // What was heard before is not taken for what is so.
  expect(settled).toBe(false)
  tell()
  const { members, tokens } = await status
  expect(members.map(({ node }) => node)).toEqual(['a', 'b'])
  expect(tokens[0]?.wanted?.weight).toBe(3)
  await loses()
  const stopped = expect(door.status()).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
  await door.stop()
  await stopped
})

test('a call ends with its signal and with the stop; a coordinator that is out of reach opens nothing', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  const door = await open(cluster)
  const reason = new Error('enough')
  const waiting = (options?: StatusOptions) => seen(door, () => false, options)
  const controller = new AbortController()
  const given = waiting({ signal: controller.signal })
  controller.abort(reason)
  await expect(given).rejects.toBe(reason)
  await door.stop()

  const other = await open(cluster)
  const stopped = expect(seen(other, () => false)).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
  await other.stop()
  await stopped

  cluster.world.coordination.cut('administrator')
  await expect(open(cluster)).rejects.toMatchObject({ code: 'KAGAMI_COORDINATOR_UNAVAILABLE' })
  await expect(open(cluster, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

test('an opening that fails, or is given up, undoes what it has begun', async () => {
  await using cluster = new TestCluster()
  const { world } = cluster
  let connected: Session | undefined
  const noticed = (): Coordinator => {
    const coordinator = world.coordinator()
    return delegate<Coordinator>(coordinator, {
      connect: async (options: CallOptions) => (connected = await coordinator.connect(options)),
      stop: () => {
        stopped += 1
        return coordinator.stop()
      },
    })
  }
  let stopped = 0
  const broken = new Error('broken')
  const snapshots = delegate<SnapshotStore>(world.snapshotStore(), { start: () => Promise.reject(broken) })
  await expect(open(cluster, { coordinator: noticed(), snapshots })).rejects.toBe(broken)
  expect(stopped).toBe(1)

  const controller = new AbortController()
  const beneath = noticed()
  const coordinator = delegate<Coordinator>(beneath, {
    connect: async (options: CallOptions) => {
      const session = await beneath.connect(options)
      controller.abort(broken)
      return session
    },
  })
  await expect(open(cluster, { coordinator, signal: controller.signal })).rejects.toBe(broken)
  expect(connected?.signal.aborted).toBe(true)
  expect(stopped).toBe(2)
})
