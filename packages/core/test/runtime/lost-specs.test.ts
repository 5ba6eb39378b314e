/** Tokens that are assigned, and of which the coordinator does not say any more what is wanted: they are told of, and kept as they were. */
import { expect, test } from 'vitest'
import type { Coordinator, Session } from '../../src/contract/index.js'
import type { Spec } from '../../src/engine/documents.js'
import { KagamiError, type Kagami, type Token } from '../../src/index.js'
import { bytes, closedLog, delegate, eventually, TestCluster, type Ledger } from './harness.js'

type Options = Parameters<Kagami<number>['token']>[1]

const lines = (token: Token<number> | undefined): readonly string[] => (token?.state as Ledger).lines

const told = (node: Kagami<number>): string | undefined =>
  node.health().problems.find((problem) => problem.includes('KAGAMI_SPEC_LOST'))

/** What a node logs as an error. */
function recorder(): { readonly errors: string[]; readonly seams: object } {
  const errors: string[] = []
  const quiet = () => undefined
  const logger = { debug: quiet, info: quiet, warn: quiet, error: (message: string) => errors.push(message) }
  return { errors, seams: { logger } }
}

/** A cluster whose nodes were all stopped, and whose spec of the token was lost then. */
async function allStopped(options: Options, nodes: readonly string[] = ['a', 'b']): Promise<TestCluster> {
  const cluster = new TestCluster()
  for (const node of nodes) await cluster.start(node)
  const orders = await cluster.node(nodes[0]!).token('orders', options)
  await eventually(() => orders.role === 'primary', 'it serves')
  await orders.replicate(bytes('one'))
  for (const node of nodes.slice(1))
    await eventually(() => cluster.report(node, 'orders')?.inSync, 'the copies are in sync')
  for (const node of nodes) await cluster.stop(node)
  cluster.damageSpec('orders')
  return cluster
}

test('a token whose spec no node remembers is told of once, kept by what it was assigned by, and its spec is put back', async () => {
  const wanted = { replicas: 1, primary: 'self', failback: true } as const
  await using cluster = await allStopped(wanted)
  const { errors, seams } = recorder()
  const a = cluster.make('a', { seams })
  cluster.nodes.set('a', a)
  const events: unknown[] = []
  a.on('spec-lost', (event) => events.push(event))
  await a.start()
  const problem = await eventually(() => told(a), 'health tells')
  expect(problem).toMatch(/lost what is wanted of token 'orders'.*write down again/)
  const b = await cluster.start('b')
  await eventually(() => cluster.spec('orders'), 'the spec is put back')
  expect(cluster.spec('orders')).toMatchObject({ ...wanted, owner: 'a', removed: false, generation: 1 })
  await eventually(() => told(a) === undefined, 'the problem is over')
  expect(events).toEqual([{ token: 'orders', error: expect.objectContaining({ code: 'KAGAMI_SPEC_LOST' }) }])
  expect(errors.filter((message) => message.includes('has lost what is wanted'))).toHaveLength(1)
  await eventually(() => b.get('orders')?.lag.caughtUp && a.get('orders')?.role === 'primary', 'both copies')
  await cluster.stop('a')
  await eventually(() => b.get('orders')?.role === 'primary', 'the replica takes over')
  expect(lines(b.get('orders'))).toEqual(['one'])
})

test('a token fails over though its spec is lost and all of its copies with it', async () => {
  await using cluster = await allStopped({ replicas: 0 }, ['a'])
  const b = await cluster.start('b')
  await eventually(() => b.get('orders')?.role === 'primary', 'another node serves it')
  expect(lines(b.get('orders'))).toEqual(['one'])
  await eventually(() => cluster.spec('orders')?.replicas === 0, 'the spec is put back')
})

/** Takes no specs, as if there were no room. */
function withoutRoom(coordinator: Coordinator): Coordinator {
  const full = new KagamiError('KAGAMI_STORE_FULL', 'there is no room', { retryable: true })
  return delegate(coordinator, {
    connect: async (options: { signal: AbortSignal }) => {
      const session = await coordinator.connect(options)
      const write: Session['write'] = (name, ...rest) =>
        name.startsWith('specs/') ? Promise.reject(full) : session.write(name, ...rest)
      return delegate(session, { write })
    },
  })
}

test('while its spec can not be put back, a node that stops hands it over, one that is lost is replaced, and health goes on telling', async () => {
  await using cluster = await allStopped({ replicas: 2, primary: 'self' }, ['a', 'b', 'c'])
  const start = (id: string): Promise<Kagami<number>> =>
    cluster.start(id, { coordinator: withoutRoom(cluster.world.coordinator({ sessionTimeoutMs: 500 })) })
  const [a, b, c] = [await start('a'), await start('b'), await start('c')]
  const first = await eventually(() => cluster.primary('orders'), 'a primary')
  const inSync = (node: string) => cluster.report(node, 'orders')?.inSync === true
  await eventually(() => ['a', 'b', 'c'].every(inSync), 'three copies in sync')
  const heard: unknown[] = []
  first.on('assigned', ({ primary }) => heard.push(primary))
  const id = (node: Kagami<number>): string => node.health().node
  await cluster.stop(id(first))
  expect(heard.filter((primary) => primary !== id(first))).toHaveLength(1)
  const second = await eventually(() => cluster.primary('orders'), 'the next primary')
  cluster.world.coordination.cut(id(second))
  const last = [a, b, c].find((node) => node !== first && node !== second)!
  await eventually(() => last.get('orders')?.role === 'primary', 'the last one takes over')
  expect(lines(last.get('orders'))).toEqual(['one'])
  await eventually(() => told(last), 'health tells')
  expect(cluster.spec('orders')).toBeUndefined()
})

test('a token that is held for its owner is given to nobody else though its spec is lost', async () => {
  await using cluster = await allStopped({ replicas: 1, primary: 'self', failover: 'hold' })
  const b = await cluster.start('b')
  const promotions: unknown[] = []
  b.on('promoting', (event) => promotions.push(event))
  await eventually(() => cluster.spec('orders'), 'the spec is put back')
  expect(cluster.spec('orders')).toMatchObject({ failover: 'hold', owner: 'a' })
  const a = await cluster.start('a')
  await eventually(() => a.get('orders')?.role === 'primary', 'the owner has it again')
  expect(promotions).toEqual([])
})

test('a token of which the assignment does not say what was wanted is left as it is, and health says how it is kept again', async () => {
  const wanted = { replicas: 0, weight: 2 }
  await using cluster = await allStopped(wanted, ['a'])
  cluster.reassign('orders', ({ wanted: _, ...assignment }) => assignment)
  const before = cluster.assignment('orders')
  const b = await cluster.start('b')
  const problem = await eventually(() => told(b), 'health tells')
  expect(problem).toMatch(/left as it is.*adopt: true/)
  expect(cluster.assignment('orders')).toEqual(before)
  const backup = cluster.world.coordination.backup()
  const documents = [...(backup.documents.get('test') ?? [])].filter(([name]) => !name.startsWith('specs/'))
  cluster.world.coordination.restore({ ...backup, documents: new Map([['test', new Map(documents)]]) })
  await eventually(() => b.health().status === 'running', 'a session again')
  const orders = await b.token('orders', { ...wanted, adopt: true })
  await eventually(() => orders.role === 'primary' && told(b) === undefined, 'it is served, and nothing is told')
  expect(lines(orders)).toEqual(['one'])
})

test('a removal that has begun is carried out though the spec is lost, and leaves no wishes', async () => {
  await using cluster = await allStopped({ replicas: 0 }, ['a'])
  cluster.reassign('orders', (assignment) => ({ ...assignment, phase: 'deleting' }))
  const b = await cluster.start('b')
  await eventually(() => cluster.assignment('orders')?.phase === 'gone', 'it is gone')
  expect(cluster.assignment('orders')?.wanted).toBeUndefined()
  expect(told(b)).toBeUndefined()
})

test('a damaged document of specs is told by health, and written anew by the nodes that remember, before anybody changes it', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('orders', { replicas: 0, weight: 3 })
  const documents = () => cluster.world.coordination.documents('test')
  const [name, { version }] = [...documents()].find(([key]) => key.startsWith('specs/'))!
  cluster.damageSpec('orders')
  const tells = () => a.health().problems.find((problem) => problem.includes(name))
  expect(await eventually(tells, 'health tells')).toContain('KAGAMI_BAD_DOCUMENT')
  const altered = a.alter('orders', { replicas: 1 })
  await eventually(() => cluster.spec('orders'), 'it is written anew')
  expect(cluster.spec('orders')).toMatchObject({ weight: 3, removed: false })
  await altered
  expect(cluster.spec('orders')).toMatchObject({ replicas: 1, weight: 3, removed: false })
  expect(documents().get(name)?.version).toBe(version + 2)
  await eventually(() => a.health().ok, 'all is well')
})

test('a token whose spec alone is lost is found by whoever asks for it, changed by whoever alters it, and nobody else takes it', async () => {
  const wanted = { replicas: 0, primary: 'self' } as const
  await using cluster = await allStopped(wanted, ['a'])
  const { coordination } = cluster.world
  const forget = (): void => {
    const backup = coordination.backup()
    const documents = [...(backup.documents.get('test') ?? [])].filter(([name]) => !name.startsWith('specs/'))
    coordination.restore({ ...backup, documents: new Map([['test', new Map(documents)]]) })
  }
  forget()
  // None of them holds a copy, and puts it back by itself.
  const lost = { coordinator: cluster.world.coordinator({ sessionTimeoutMs: 500 }), log: closedLog(cluster) }
  const b = await cluster.start('b', lost)
  await expect(b.token('orders', { replicas: 1, primary: 'self' })).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_OPTIONS',
  })
  expect(cluster.spec('orders')).toBeUndefined()
  // The same again, so that the rest of the test does not depend on whether it was carried out.
  await b.alter('orders', { weight: 1 })
  expect(cluster.spec('orders')).toMatchObject({ ...wanted, owner: 'a' })
  await cluster.stop('b')
  forget()
  const a = await cluster.start('a')
  const orders = await a.token('orders', wanted).catch((error: unknown) => error)
  expect(orders).toMatchObject({ name: 'orders' })
  expect(lines(orders as Token<number>)).toEqual(['one'])
})

test('a document of specs of a newer format is told by health, and left alone by nodes that remember what it held', async () => {
  await using cluster = new TestCluster()
  const warnings: string[] = []
  const quiet = () => undefined
  const logger = { debug: quiet, info: quiet, warn: (message: string) => warnings.push(message), error: quiet }
  const a = await cluster.start('a', { seams: { logger } })
  await a.token('orders', { replicas: 0 })
  const { coordination } = cluster.world
  const backup = coordination.backup()
  const documents = new Map(backup.documents.get('test'))
  const [name, document] = [...documents].find(([key]) => key.startsWith('specs/'))!
  const newer = { ...document, bytes: bytes(JSON.stringify({ format: 2, what: 'specs' })) }
  coordination.restore({ ...backup, documents: new Map([['test', documents.set(name, newer)]]) })
  await eventually(() => a.health().problems.find((problem) => problem.includes('KAGAMI_UNKNOWN_FORMAT')), 'it is told')
  // Longer than a node waits before it puts back what is lost.
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  expect(coordination.documents('test').get(name)).toEqual(newer)
  expect(warnings.filter((message) => message.includes('put back') || message.includes('putting it back'))).toEqual([])
})

test('a node that is drained says which tokens are held for it, also of those whose spec is lost', async () => {
  await using cluster = await allStopped({ replicas: 0, primary: 'self', failover: 'hold' }, ['a'])
  const coordinator = (): Coordinator => withoutRoom(cluster.world.coordinator({ sessionTimeoutMs: 500 }))
  const a = await cluster.start('a', { coordinator: coordinator() })
  await cluster.start('b', { coordinator: coordinator() })
  await eventually(() => a.get('orders')?.role === 'primary', 'it serves')
  await expect(a.drain({ signal: AbortSignal.timeout(3_000) })).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_OWNED' })
  expect(cluster.spec('orders')).toBeUndefined()
})

/** A token that its owner wants back, and that people have handed over to b. */
async function handedOver(cluster: TestCluster): Promise<Spec['handover']> {
  const a = await cluster.start('a')
  await cluster.start('b')
  await a.token('orders', { replicas: 1, primary: 'self', failback: true })
  await eventually(() => cluster.report('b', 'orders')?.inSync, 'the copies are in sync')
  await a.handover('orders', { to: 'b' })
  return cluster.spec('orders')?.handover ?? null
}

test('a token that people have handed over stays where it is though its spec is damaged', async () => {
  await using cluster = new TestCluster()
  const handover = await handedOver(cluster)
  const promoted: unknown[] = []
  cluster.node('a').on('promoted', (event) => promoted.push(event))
  cluster.damageSpec('orders')
  await eventually(() => cluster.spec('orders'), 'the spec is put back')
  expect(cluster.spec('orders')).toMatchObject({ failback: true, owner: 'a', handover })
  await eventually(() => cluster.node('a').health().problems.length === 0, 'all is well')
  expect(cluster.assignment('orders')).toMatchObject({ epoch: 2, primary: { node: 'b' }, wanted: { handover } })
  expect(promoted).toEqual([])
})

test('it goes back there where the spec is lost, and all sessions with it', async () => {
  await using cluster = new TestCluster()
  const handover = await handedOver(cluster)
  const { coordination } = cluster.world
  const { documents, ...rest } = coordination.backup()
  const kept = [...(documents.get('test') ?? [])].filter(([name]) => !name.startsWith('specs/'))
  coordination.restore({ ...rest, documents: new Map([['test', new Map(kept)]]) })
  await eventually(() => cluster.spec('orders'), 'the spec is put back')
  expect(cluster.spec('orders')).toMatchObject({ failback: true, owner: 'a', handover })
  await eventually(() => cluster.node('b').get('orders')?.role === 'primary', 'it is where it was asked to be')
})
