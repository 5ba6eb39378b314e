/** A coordinator that has lost some of its documents, or has gone back to old ones: the log and the snapshots say what is there. */
import { expect, test } from 'vitest'
import type { CallOptions, Coordinator, Document } from '../../src/contract/index.js'
import { generationOf, type Spec } from '../../src/engine/documents.js'
import { isKagamiError, systemSeams, type Kagami, type Token } from '../../src/index.js'
import { bytes, closedLog, delegate, eventually, TestCluster, type Ledger } from './harness.js'

type Backup = ReturnType<TestCluster['world']['coordination']['backup']>

/** The backup, but without the documents whose names begin with `prefix`. */
function without({ documents, ...rest }: Backup, prefix: string): Backup {
  const kept = [...documents].map(
    ([cluster, named]) => [cluster, new Map([...named].filter(([name]) => !name.startsWith(prefix)))] as const,
  )
  return { ...rest, documents: new Map(kept) }
}

const lines = (token: Token<number> | undefined): readonly string[] => (token?.state as Ledger).lines

async function write(token: Token<number> | undefined, ...entries: string[]): Promise<void> {
  for (const entry of entries) await token?.replicate(bytes(entry))
}

async function twoCopies(cluster: TestCluster): Promise<readonly [Kagami<number>, Kagami<number>]> {
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  await a.token('orders', { replicas: 1, primary: 'self' })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica is in sync')
  return [a, b]
}

test('S1: a token whose assignment is lost goes on where it was, in the log that it had', async () => {
  await using cluster = new TestCluster()
  const { coordination } = cluster.world
  const [a] = await twoCopies(cluster)
  await write(a.get('orders'), 'one', 'two')
  const before = cluster.assignment('orders')
  coordination.restore(without(coordination.backup(), 'assignments/'))
  await eventually(() => cluster.assignment('orders')?.primary, 'an assignment again')
  const node = await cluster.serving('orders', 1)
  await write(node.get('orders'), 'three')
  expect(lines(node.get('orders'))).toEqual(['one', 'two', 'three'])
  expect(cluster.assignment('orders')).toMatchObject({ incarnation: 1, log: before?.log })
  expect(cluster.assignment('orders')?.epoch).toBeGreaterThan(before?.epoch ?? 0)
})

test('S1: the same when no node is left that remembers it', async () => {
  await using cluster = new TestCluster()
  const { coordination } = cluster.world
  const a = await cluster.start('a')
  await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'one', 'two')
  await cluster.stop('a')
  coordination.restore(without(coordination.backup(), 'assignments/'))
  const b = await cluster.start('b')
  await b.token('orders', { replicas: 0, primary: 'self' })
  const node = await cluster.serving('orders', 1)
  expect(lines(node.get('orders'))).toEqual(['one', 'two'])
})

test('S1: the same when the bytes of its assignment were damaged while no node ran', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'one', 'two')
  const before = cluster.assignment('orders')
  await cluster.stop('a')
  cluster.damageAssignment('orders')
  const errors: string[] = []
  const quiet = () => undefined
  const error = (message: string) => errors.push(message)
  await cluster.start('b', { seams: { logger: { debug: quiet, info: quiet, warn: quiet, error } } })
  const node = await cluster.serving('orders', 1)
  expect(lines(node.get('orders'))).toEqual(['one', 'two'])
  expect(cluster.assignment('orders')).toMatchObject({ incarnation: 1, log: before?.log })
  expect(errors.some((message) => /assignments.*can't be read/.test(message))).toBe(true)
})

test('assignments that are damaged while their controller rules are written anew by it, and a node that starts finds its tokens', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await eventually(() => a.get('orders')?.role === 'primary', 'it serves')
  const before = cluster.assignment('orders')
  const elected: boolean[] = []
  a.on('controller', (event) => elected.push(event.elected))
  cluster.damageAssignment('orders')
  await eventually(() => cluster.assignment('orders'), 'it is written anew', 2_000)
  expect(cluster.assignment('orders')).toEqual(before)
  const b = await cluster.start('b')
  await b.token('orders', { replicas: 0 })
  expect(b.locate('orders')?.primary?.id).toBe('a')
  expect(elected, 'the rule goes on').toEqual([])
})

test('while they can not be written anew the controller tells, and rules on', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0 })
  await eventually(() => a.get('orders')?.role === 'primary', 'it serves')
  const before = cluster.assignment('orders')
  const elected: boolean[] = []
  a.on('controller', (event) => elected.push(event.elected))
  const told = () => a.health().problems.find((problem) => problem.includes('the document assignments/'))
  const mend = cluster.world.coordination.fill()
  cluster.damageAssignment('orders')
  expect(await eventually(told, 'health tells')).toMatch(/damaged.*KAGAMI_STORE_FULL/)
  mend()
  // Whatever the controller hears of makes it try again.
  const b = await cluster.start('b')
  await eventually(() => told() === undefined, 'the problem is over')
  expect(cluster.assignment('orders')).toEqual(before)
  await eventually(() => b.locate('orders'), 'the other node hears of it')
  expect(elected, 'the rule goes on').toEqual([])
})

test('who can not read the bytes of assignments lets another node rule that can', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const seesDamage = withDamagedAssignments(cluster.world.coordinator({ sessionTimeoutMs: 500 }))
  const b = cluster.make('b', { coordinator: seesDamage })
  cluster.nodes.set('b', b)
  const elected: string[] = []
  b.on('controller', (event) => event.elected && elected.push('b'))
  await b.start()
  // Only then, so that it is elected after b.
  await new Promise((resolve) => setTimeout(resolve, 50))
  const c = await cluster.start('c')
  await a.token('orders', { replicas: 2, primary: 'self' })
  await eventually(() => cluster.report('c', 'orders')?.inSync, 'a copy in sync')
  const { epoch } = await eventually(() => cluster.assignment('orders'), 'an assignment')
  await cluster.stop('a')
  await eventually(() => c.health().controller, 'another one rules')
  expect(elected).toEqual(['b'])
  expect(cluster.assignment('orders')?.epoch).toBeGreaterThanOrEqual(epoch)
  await cluster.serving('orders', 1)
})

/** Shows the assignments without their bytes, as to a process that has come when they were damaged already. */
function withDamagedAssignments(coordinator: Coordinator): Coordinator {
  const damaged = (document: Document): Document =>
    document.name.startsWith('assignments/') ? { ...document, bytes: new Uint8Array(0) } : document
  return delegate(coordinator, {
    connect: async (options: CallOptions) => {
      const session = await coordinator.connect(options)
      return delegate(session, {
        watch: async function* (prefix: string, call: CallOptions) {
          for await (const documents of session.watch(prefix, call))
            yield new Map([...documents].map(([name, document]) => [name, damaged(document)]))
        },
        read: async (name: string, call: CallOptions) => {
          const document = await session.read(name, call)
          return document && damaged(document)
        },
      })
    },
  })
}

test('a token whose spec alone is lost fails over, because a node that holds it puts the spec back', async () => {
  await using cluster = new TestCluster()
  const { coordination } = cluster.world
  const [a, b] = await twoCopies(cluster)
  await write(a.get('orders'), 'one')
  coordination.restore(without(coordination.backup(), 'specs/'))
  await eventually(() => cluster.spec('orders'), 'the spec is put back')
  await cluster.stop('a')
  await eventually(() => b.get('orders')?.role === 'primary', 'the replica takes over')
  await write(b.get('orders'), 'two')
  expect(lines(b.get('orders'))).toEqual(['one', 'two'])
})

/** A token is created and removed on node a; the backup is from the given moment. */
async function createdAndRemoved(cluster: TestCluster, moment: (spec: Spec) => boolean): Promise<Backup> {
  const a = cluster.node('a')
  await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'old')
  let backup: Backup | undefined
  const take = (): void => {
    const spec = cluster.spec('orders')
    if (spec !== undefined && moment(spec)) backup ??= cluster.world.coordination.backup()
  }
  take()
  const removing = a.remove('orders')
  while (backup === undefined) {
    await Promise.resolve()
    take()
  }
  await removing
  await eventually(() => cluster.assignment('orders')?.phase === 'gone', 'the token is gone')
  return backup
}

/** A token is removed, and created again as incarnation 3; the backup is from the given moment of the first life. */
async function createdAgain(
  cluster: TestCluster,
  moment: (spec: Spec) => boolean,
  meanwhile?: () => Promise<unknown>,
): Promise<Backup> {
  const backup = await createdAndRemoved(cluster, moment)
  await meanwhile?.()
  await write(await cluster.node('a').token('orders', { replicas: 0, primary: 'self' }), 'one', 'two')
  expect(cluster.assignment('orders')?.incarnation).toBe(3)
  return backup
}

test.each([
  ['that knew nothing of the removal', (spec: Spec) => !spec.removed],
  ['of the moment when it was to be removed', (spec: Spec) => spec.removed],
])('S1: documents %s take nothing from what was created since, while its node lives', async (_, moment) => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const backup = await createdAgain(cluster, moment)
  const copies: boolean[] = []
  a.on('copy', ({ opened }) => copies.push(opened))
  cluster.world.coordination.restore(backup)
  await eventually(() => cluster.assignment('orders')?.incarnation === 3, 'the assignment is healed')
  await eventually(() => cluster.spec('orders')?.generation === 2, 'the spec is put back')
  const node = await cluster.serving('orders', 3)
  expect(copies, 'the copy is neither dropped nor opened again').toEqual([])
  await write(node.get('orders'), 'three')
  expect(lines(node.get('orders'))).toEqual(['one', 'two', 'three'])
  await a.remove('orders')
  expect(cluster.assignment('orders')?.incarnation).toBe(4)
})

test.each([
  ['that knew nothing of the removal', (spec: Spec) => !spec.removed],
  ['of the moment when it was to be removed', (spec: Spec) => spec.removed],
])('S1: documents %s take nothing from what was created since, when all nodes start anew', async (_, moment) => {
  await using cluster = new TestCluster()
  await cluster.start('a')
  const backup = await createdAgain(cluster, moment)
  const address = cluster.assignment('orders')?.log.address ?? ''
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  const a = await cluster.start('a')
  await eventually(() => cluster.assignment('orders')?.incarnation === 3, 'the assignment is healed')
  expect(cluster.world.logs.records(address).length).toBeGreaterThan(3)
  await eventually(() => cluster.spec('orders')?.removed === false, 'the spec follows the log')
  await a.token('orders', { replicas: 0, primary: 'self' })
  const node = await cluster.serving('orders', 3)
  await write(node.get('orders'), 'three')
  expect(lines(node.get('orders'))).toEqual(['one', 'two', 'three'])
})

test.each([
  ['that knew nothing of the removal', (spec: Spec) => !spec.removed],
  ['of the moment when it was to be removed', (spec: Spec) => spec.removed],
])('S1: documents %s take nothing from what was created after all of them had been lost', async (_, moment) => {
  await using cluster = new TestCluster()
  const at = (ms: number) => ({ seams: { clock: { ...systemSeams().clock, now: () => Date.UTC(2027) + ms } } })
  await cluster.start('a', at(0))
  const backup = await createdAndRemoved(cluster, moment)
  await cluster.stop('a')
  cluster.world.coordination.wipe()
  const a = await cluster.start('a', at(60_000))
  await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'one', 'two')
  const { incarnation } = cluster.assignment('orders') ?? { incarnation: 0 }
  cluster.world.coordination.restore(backup)
  await eventually(() => cluster.assignment('orders')?.incarnation === incarnation, 'the assignment is healed')
  const node = await cluster.serving('orders', incarnation)
  await write(node.get('orders'), 'three')
  expect(lines(node.get('orders'))).toEqual(['one', 'two', 'three'])
  await eventually(() => cluster.spec('orders')?.removed === false, 'the spec is put back')
})

test('S1: documents from before a token was removed and created again elsewhere are corrected, when all nodes start anew', async () => {
  await using cluster = new TestCluster()
  const first = await cluster.start('a')
  let address: string | undefined
  const backup = await createdAgain(
    cluster,
    (spec) => {
      address = cluster.assignment('orders')?.log.address
      return !spec.removed
    },
    // Another token is given the log that has become free.
    () => first.token('other', { replicas: 0, primary: 'self' }),
  )
  expect(cluster.assignment('other')?.log.address).toBe(address)
  expect(cluster.assignment('orders')?.log.address).not.toBe(address)
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  const a = await cluster.start('a')
  await eventually(() => cluster.assignment('orders')?.incarnation === 3, 'the assignment is healed')
  await a.token('orders', { replicas: 0, primary: 'self' })
  const node = await cluster.serving('orders', 3)
  expect(lines(node.get('orders'))).toEqual(['one', 'two'])
})

test('a copy is not given up for another log of its incarnation: it is told, and nothing is written to either by it', async () => {
  await using cluster = new TestCluster()
  const [a, b] = await twoCopies(cluster)
  await write(a.get('orders'), 'one')
  cluster.reassign('orders', (assignment) => ({ ...assignment, log: { address: 'elsewhere', identity: 'another' } }))
  for (const node of [a, b]) {
    await eventually(() => node.health().copies[0]?.error?.code === 'KAGAMI_LOG_REPLACED', 'the contradiction is told')
    expect(node.health().ok).toBe(false)
    expect(lines(node.get('orders'))).toEqual(['one'])
  }
  await expect(a.get('orders')?.replicate(bytes('two'))).rejects.toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
})

test('a removal settles though the token was never given a log, and so does the call that wanted the token', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let held = true
  const allocate = log.allocate.bind(log)
  log.allocate = async (token, inUse, options) => {
    while (held) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      options.signal.throwIfAborted()
    }
    return allocate(token, inUse, options)
  }
  const a = await cluster.start('a', { log })
  const wanted = a.token('orders', { replicas: 0 }).catch((error: unknown) => error)
  await eventually(() => cluster.spec('orders'), 'the spec')
  const removed = a.remove('orders')
  await eventually(() => cluster.spec('orders')?.removed, 'it is to be removed')
  cluster.world.coordination.expire('a')
  await eventually(() => a.health().status === 'running' && a.health().controller, 'another rule')
  held = false
  await removed
  const error = await wanted
  expect(isKagamiError(error, 'KAGAMI_TOKEN_UNKNOWN')).toBe(true)
  await write(await a.token('orders', { replicas: 0, primary: 'self' }), 'one')
  expect(cluster.assignment('orders')?.incarnation).toBe(3)
})

/** Creates a token on a new node, and gives the documents as they were before its first incarnation was opened. */
async function beforeOpened(cluster: TestCluster, token: string): Promise<Backup> {
  const log = cluster.world.commitLog()
  const open = log.open.bind(log)
  let goOn: () => void = () => undefined
  const held = new Promise<void>((resolve) => (goOn = resolve))
  log.open = async (...call) => {
    const opened = await open(...call)
    return delegate(opened, {
      append: (...append: Parameters<typeof opened.append>) => held.then(() => opened.append(...append)),
    })
  }
  const a = await cluster.start('a', { log })
  const created = a.token(token, { replicas: 0, primary: 'self' })
  await eventually(() => cluster.assignment(token)?.phase === 'opening', 'the token is to be opened')
  const backup = cluster.world.coordination.backup()
  goOn()
  await write(await created, 'old')
  return backup
}

async function removed(cluster: TestCluster, token: string): Promise<void> {
  await cluster.node('a').remove(token)
  await eventually(() => cluster.assignment(token)?.phase === 'gone', 'the token is gone')
}

/** Ends all processes, goes back to the backup, and starts another. */
async function goneBack(cluster: TestCluster, backup: Backup): Promise<Kagami<number>> {
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  return cluster.start('a')
}

test('S1: documents of the moment when a token was to be opened take nothing from what was created since', async () => {
  await using cluster = new TestCluster()
  const backup = await beforeOpened(cluster, 'orders')
  await removed(cluster, 'orders')
  // Has the first log while the token is created again, and leaves it empty.
  await cluster.node('a').token('other', { replicas: 0, primary: 'self' })
  await write(await cluster.node('a').token('orders', { replicas: 0, primary: 'self' }), 'one', 'two')
  await removed(cluster, 'other')
  const { log } = cluster.assignment('orders') ?? {}
  const a = await goneBack(cluster, backup)
  const node = await cluster.serving('orders', 3)
  expect(node).toBe(a)
  expect(lines(node.get('orders'))).toEqual(['one', 'two'])
  expect(cluster.assignment('orders')).toMatchObject({ incarnation: 3, log })
})

test('S1: nor from another token that was given the log since', async () => {
  await using cluster = new TestCluster()
  const backup = await beforeOpened(cluster, 'orders')
  const { address } = cluster.assignment('orders')?.log ?? {}
  await removed(cluster, 'orders')
  await write(await cluster.node('a').token('other', { replicas: 0, primary: 'self' }), 'precious')
  expect(cluster.assignment('other')?.log.address).toBe(address)
  const a = await goneBack(cluster, backup)
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await write(orders, 'new')
  expect(cluster.assignment('orders')?.log.address).not.toBe(address)
  await expect(a.token('other', { replicas: 0, primary: 'self' })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_EXISTS',
  })
  const other = await a.token('other', { replicas: 0, primary: 'self', adopt: true })
  expect(lines(other)).toEqual(['precious'])
  expect(lines(orders)).toEqual(['new'])
})

test('a token that was asked for again is found where documents would give its log away', async () => {
  await using cluster = new TestCluster()
  const backup = await beforeOpened(cluster, 'orders')
  await removed(cluster, 'orders')
  await write(await cluster.node('a').token('other', { replicas: 0, primary: 'self' }), 'precious')
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  const a = await cluster.start('a', { log: closedLog(cluster) })
  await eventually(() => a.health().controller, 'a controller that gets no further')
  const b = await cluster.start('b')
  await expect(b.token('other', { replicas: 0, primary: 'self' })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_EXISTS',
  })
})

/** The clock as it is, where creations are counted in seconds, moved by so much. */
const clockAt = (aheadMs: number) => ({ seams: { clock: { ...systemSeams().clock, now: () => Date.now() + aheadMs } } })

const served = (cluster: TestCluster) => eventually(() => cluster.primary('orders'), 'a primary')

test.each([false, true])(
  'S1: documents from between the removal of a token and its next creation do not end that one: adopt %s',
  async (adopt) => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a', clockAt(0))
    await a.token('orders', { replicas: 0 })
    await a.remove('orders')
    await eventually(() => cluster.assignment('orders')?.phase === 'gone', 'the token is gone')
    const backup = cluster.world.coordination.backup()
    await a.token('orders', { replicas: 0 })
    await write((await served(cluster)).get('orders'), 'one', 'two')
    await cluster.stop('a')
    cluster.world.coordination.restore(backup)
    const b = await cluster.start('b', clockAt(4000))
    const asked = b.token('orders', { replicas: 0, adopt })
    if (!adopt) await expect(asked).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_EXISTS' })
    const orders = adopt ? await asked : await b.token('orders', { replicas: 0, adopt: true })
    await orders.sync()
    expect(lines(orders)).toEqual(['one', 'two'])
    await b.remove('orders')
    await eventually(() => cluster.assignment('orders')?.phase === 'gone', 'it can be removed')
  },
)

test('S1: documents that give its log to a token that was removed before do not end the one that has it now', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', clockAt(0))
  await a.token('late', { replicas: 0 })
  const backup = cluster.world.coordination.backup()
  const { log } = cluster.assignment('late')!
  await a.remove('late')
  await eventually(() => cluster.assignment('late')?.phase === 'gone', 'the other is gone')
  await a.token('orders', { replicas: 0 })
  await write((await served(cluster)).get('orders'), 'one', 'two')
  expect(cluster.assignment('orders')?.log).toEqual(log)
  await cluster.stop('a')
  cluster.world.coordination.restore(backup)
  const b = await cluster.start('b', clockAt(4000))
  const deleted: string[] = []
  b.on('deleted', ({ token }) => deleted.push(token))
  const orders = await b.token('orders', { replicas: 0, adopt: true })
  await orders.sync()
  expect(lines(orders)).toEqual(['one', 'two'])
  await b.remove('orders')
  await eventually(() => deleted.length > 0, 'its end is told')
  expect(deleted).toEqual(['orders'])
})

test('S1: a creation that was lost before it was carried out does not end the one that was made in its stead', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', clockAt(5000))
  const b = await cluster.start('b', clockAt(0))
  const mend = cluster.world.logs.fill()
  const giveUp = new AbortController()
  const given = a.token('orders', { replicas: 1, signal: giveUp.signal }).catch((error: unknown) => error)
  await eventually(() => cluster.assignment('orders')?.phase === 'opening', 'it is begun')
  const lost = cluster.spec('orders')!.generation
  cluster.world.coordination.wipeDocuments()
  giveUp.abort(new Error('given up'))
  await given
  mend()
  const deleted: string[] = []
  for (const node of [a, b]) node.on('deleted', ({ token }) => deleted.push(token))
  await b.token('orders', { replicas: 1 })
  const primary = await served(cluster)
  await write(primary.get('orders'), 'one', 'two')
  expect(generationOf(cluster.assignment('orders')!.incarnation)).toBeLessThan(lost)
  await eventually(() => cluster.spec('orders')?.generation === lost, 'the lost spec is put back')
  for (let i = 0; i < 3; i++) await write(primary.get('orders'), `later ${i}`)
  expect(deleted).toEqual([])
  await b.remove('orders')
  await eventually(() => deleted.length > 0, 'its end is told')
})

test('an owner that returns while its token is handed elsewhere finds it there, though the spec was lost while the token was created', async () => {
  await using cluster = new TestCluster()
  const { coordination, logs } = cluster.world
  const owned = { replicas: 1, primary: 'self', failback: true } as const
  const a = await cluster.start('a')
  const mend = logs.fill()
  const creation = a.token('orders', owned)
  await eventually(() => cluster.assignment('orders')?.phase === 'opening', 'it is begun')
  coordination.restore(without(coordination.backup(), 'specs/'))
  await eventually(() => cluster.spec('orders'), 'it is asked for again')
  mend()
  await write(await creation, 'one')
  expect(cluster.spec('orders')?.generation).toBeGreaterThan(generationOf(cluster.assignment('orders')!.incarnation))
  const b = await cluster.start('b')
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica')
  await b.handover('orders', { to: 'b' })
  await cluster.stop('a')
  const again = await cluster.start('a')
  const orders = await again.token('orders', owned)
  expect([orders.role, b.get('orders')?.role]).toEqual(['replica', 'primary'])
})
