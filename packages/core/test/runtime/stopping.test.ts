import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { CommitLog, Coordinator, Session, SnapshotStore } from '../../src/contract/index.js'
import type { Kagami } from '../../src/index.js'
import { forever, isGone, keeping, kinds, noted, silenceable } from './adapters.js'
import { bytes, delegate, eventually, Ledger, TestCluster } from './harness.js'

/** Far above every deadline here, for slow machines; far below the time after which anything else would end. */
const LATE_MS = 10_000
/** A member that does not leave is seen for so long, which is longer than any test. */
const LONG_SESSION_MS = 60_000

/** Stops a node within a deadline, which it must keep. */
async function stopInTime(node: Kagami<number>, deadlineMs = 200): Promise<void> {
  const beganMs = performance.now()
  await node.stop({ deadlineMs })
  expect(performance.now() - beganMs).toBeLessThan(LATE_MS)
  expect(node.health().status).toBe('stopped')
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

describe('a stop settles within its deadline, and says what it did not wait for', () => {
  test.each(kinds)('where the stop of the %s hangs: the other adapters are stopped', async (hanging) => {
    await using cluster = new TestCluster()
    const { logger, errors } = keeping()
    const { node, calls } = noted(cluster, { [hanging]: { stop: forever } }, logger)
    await node.start()
    await stopInTime(node)
    expect(calls.slice(-3)).toEqual(['stop snapshots', 'stop log', 'stop coordinator'])
    expect(errors).toContainEqual(expect.objectContaining({ code: 'KAGAMI_TIMEOUT' }))
    expect(node.health().problems).toContainEqual(expect.stringContaining('stopping the adapter'))
    await isGone(cluster)
  })

  /** Neither an expiry nor the adapter's own stop lets the others see a member go: only that its node leaves. */
  const onlyLeaves = (cluster: TestCluster): Coordinator =>
    delegate(cluster.world.coordinator({ sessionTimeoutMs: LONG_SESSION_MS }), { stop: forever })

  test.each(['log', 'snapshots'] as const)(
    'where the %s answers nothing any more: the member is gone',
    async (kind) => {
      await using cluster = new TestCluster()
      let silent = false
      const adapters = { log: cluster.world.commitLog(), snapshots: cluster.world.snapshotStore() }
      const node = cluster.make('a', {
        ...adapters,
        [kind]: silenceable<CommitLog | SnapshotStore>(adapters[kind], () => silent),
        coordinator: onlyLeaves(cluster),
        snapshotting: { everyEntries: 5 },
      })
      await node.start()
      await eventually(() => node.health().controller, 'the node is the controller')
      const b = await cluster.start('b')
      const orders = await node.token('orders', { replicas: 1, primary: 'self' })
      await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
      const gone = await node.token('gone', { replicas: 0, primary: 'self' })
      await gone.replicate(bytes('one'))
      silent = true
      // Work of the controller, of a copy and of its snapshots, which has no answer.
      await b.remove('gone', { signal: AbortSignal.timeout(200) }).catch(() => undefined)
      const writes = Promise.allSettled(Array.from({ length: 10 }, (_, i) => orders.replicate(bytes(`${i}`))))
      await turns(20)
      await stopInTime(node, 400)
      await writes
      await eventually(() => b.members().length === 1, 'the others see it go')
      const { problems } = node.health()
      if (kind === 'log') expect(problems).toContainEqual(expect.stringContaining('closing the copies of'))
      // What the controller has asked nobody waits for.
      expect(problems.join()).not.toMatch(/leaving the cluster/)
    },
  )

  test('where the coordinator answers nothing any more, so that nothing can be handed over', async () => {
    await using cluster = new TestCluster()
    let silent = false
    const coordinator = silenceable<Coordinator>(cluster.world.coordinator({ sessionTimeoutMs: 500 }), () => silent)
    const node = cluster.make('a', { coordinator })
    await node.start()
    const b = await cluster.start('b')
    const orders = await node.token('orders', { replicas: 1, primary: 'self' })
    await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
    silent = true
    await stopInTime(node)
    expect(orders.role).toBe('none')
    expect(node.health().problems).toContainEqual(expect.stringContaining('leaving the cluster'))
  })

  test('where only the handover does not come about: the other node serves all the same', async () => {
    await using cluster = new TestCluster()
    const coordinator = cluster.world.coordinator({ sessionTimeoutMs: LONG_SESSION_MS })
    const node = cluster.make('a', {
      coordinator: delegate<Coordinator>(coordinator, {
        connect: async (options: Parameters<Coordinator['connect']>[0]) =>
          delegate<Session>(await coordinator.connect(options), { update: forever }),
      }),
    })
    await node.start()
    const b = await cluster.start('b')
    await node.token('orders', { replicas: 1, primary: 'self' })
    await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
    await stopInTime(node)
    expect(node.health().problems).toContainEqual(expect.stringContaining('handing the primaries over'))
    await eventually(() => b.get('orders')?.role === 'primary', 'the other node serves')
  })

  test('where a state machine does not end its restore: its copy is named, and the member is gone', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a', { snapshotting: { everyEntries: 5 } })
    const verified = new Promise<void>((resolve) => {
      a.on('snapshot', ({ phase }) => phase === 'verified' && resolve())
    })
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    for (let i = 0; i < 20; i++) await orders.replicate(bytes(`${i}`))
    await verified
    let restoring = false
    class Stuck extends Ledger {
      override restore(): Promise<never> {
        restoring = true
        return forever()
      }
    }
    const { logger, messages } = keeping()
    const b = cluster.make('b', {
      coordinator: onlyLeaves(cluster),
      stateMachine: () => new Stuck(),
      seams: { logger },
    })
    await b.start()
    await a.alter('orders', { replicas: 1 })
    await eventually(() => restoring, 'a restore')
    await stopInTime(b)
    await eventually(() => a.members().length === 1, 'the others see it go')
    expect(messages).toContainEqual(expect.stringContaining('closing the copies of orders'))
    expect(b.health().problems).toContainEqual(expect.stringContaining('closing the copies of orders'))
  })

  test('where an entry is under way that the log does not take: it ends as indeterminate', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    cluster.world.logs.cut()
    const sealed = orders.replicate(bytes('sealed'))
    sealed.catch(() => undefined)
    await turns(1)
    await stopInTime(a)
    await expect(sealed).rejects.toMatchObject({ code: 'KAGAMI_INDETERMINATE' })
  })

  test('where nothing else keeps the process alive: it does not end before', async () => {
    const script = `
      import { createKagami } from '@kagami/core'
      import { evenPlacement } from '@kagami/placement-even'
      import { memoryCluster } from '@kagami/testkit'
      const world = memoryCluster()
      const log = world.commitLog()
      log.stop = () => new Promise(() => undefined)
      const node = createKagami({
        cluster: 'test', node: { id: 'a' }, log, coordinator: world.coordinator(), snapshots: world.snapshotStore(),
        placement: evenPlacement(), stateMachine: () => { throw new Error('no token is opened here') },
      })
      await node.start()
      await node.stop({ deadlineMs: 200 })
      console.log(node.health().status)`
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: new URL('../..', import.meta.url),
      timeout: LATE_MS,
    })
    await expect(run).resolves.toMatchObject({ stdout: 'stopped\n' })
  })
})

describe('a stop during a start that heeds no signal: the start rejects, and nothing is begun after it', () => {
  test.each(kinds)('the start of the %s is answered late', async (kind) => {
    await using cluster = new TestCluster()
    let answer: () => void = () => undefined
    const answered = new Promise<void>((resolve) => (answer = resolve))
    // Those after it would start in spite of everything.
    const heedless = Object.fromEntries(kinds.map((each) => [each, { start: () => Promise.resolve() }]))
    const before = kinds.slice(0, kinds.indexOf(kind)).map((each) => [each, {}] as const)
    const { node, calls } = noted(cluster, {
      ...heedless,
      ...Object.fromEntries(before),
      [kind]: { start: () => answered },
    })
    const joined: string[] = []
    node.on('joined', ({ member }) => joined.push(member))
    const starting = node.start()
    starting.catch(() => undefined)
    await eventually(() => calls.length === kinds.indexOf(kind), 'the start waits')
    const stopping = node.stop({ deadlineMs: LATE_MS })
    await turns(10)
    answer()
    await stopping
    await expect(starting).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
    expect(node.health().status).toBe('stopped')
    expect(calls.filter((call) => call.startsWith('started'))).toHaveLength(kinds.indexOf(kind) + 1)
    // Whatever was started is stopped after it.
    expect(calls.slice(-3)).toEqual(['stop snapshots', 'stop log', 'stop coordinator'])
    expect(joined).toEqual([])
    await isGone(cluster)
  })

  test.each([
    { where: "the coordinator's start is never answered", instead: { coordinator: { start: forever } } },
    { where: 'the coordinator never gives a session', instead: { coordinator: { connect: forever } } },
    { where: "the log's start is never answered", instead: { log: { start: forever } } },
  ])('$where', async ({ instead }) => {
    await using cluster = new TestCluster()
    const { node } = noted(cluster, instead)
    const starting = node.start()
    starting.catch(() => undefined)
    await turns(10)
    await stopInTime(node)
    await expect(starting).rejects.toMatchObject({ code: 'KAGAMI_STOPPED' })
    await isGone(cluster)
  })
})

test('a stop at any moment of a start comes after it or ends it: the node never runs again', async () => {
  let outcomes = ''
  for (let after = 0; after < 40; after++) {
    await using cluster = new TestCluster()
    const node = cluster.make('a')
    const outcome = node.start().then(
      () => 'started ',
      (error: unknown) => `${(error as { readonly code: string }).code} `,
    )
    for (let turn = 0; turn < after; turn++) await Promise.resolve()
    let isStopped = false
    const stopping = node.stop().finally(() => (isStopped = true))
    for (let turn = 0; turn < 500 && !isStopped; turn++) {
      expect(node.health().status).toMatch(/^stop/)
      await Promise.resolve()
    }
    await stopping
    expect(node.health()).toMatchObject({ status: 'stopped', problems: ['the node is stopped'] })
    outcomes += await outcome
    expect((await cluster.start('a')).members()).toHaveLength(1)
  }
  // So every moment was tried.
  expect(outcomes).toMatch(/^(KAGAMI_STOPPED ){5,}(started ){5,}$/)
})

describe('while a node stops', () => {
  test('it refuses new writes for certain, ends those it has, and can be read', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    const mend = cluster.world.logs.cut()
    const before = orders.replicate(bytes('before'))
    await turns(1)
    const stopping = a.stop()
    const stopped = { code: 'KAGAMI_STOPPED' }
    await expect(orders.replicate(bytes('after'))).rejects.toMatchObject(stopped)
    await expect(a.token('late')).rejects.toMatchObject(stopped)
    await expect(a.alter('orders', { weight: 2 })).rejects.toMatchObject(stopped)
    await expect(a.handover('orders', { to: 'a' })).rejects.toMatchObject(stopped)
    await expect(a.drain()).rejects.toMatchObject(stopped)
    await expect(a.remove('orders')).rejects.toMatchObject(stopped)
    const { state } = orders
    const read = orders.waitFor({ incarnation: 1, index: 0 })
    mend()
    await expect(before).resolves.toMatchObject({ result: 1 })
    await read
    await stopping
    expect((state as Ledger).lines).toEqual(['before'])
    expect(() => orders.state).toThrow(expect.objectContaining(stopped))
    await expect(orders.sync()).rejects.toMatchObject(stopped)
  })

  test('writers that never pause do not hold it up, and know how each of their entries has ended', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    let written = 0
    /** Ends with the first write that is refused. */
    const writer = async (): Promise<never> => {
      for (;;) {
        await orders.replicate(bytes('x'))
        written += 1
      }
    }
    const writers = Promise.allSettled([writer(), writer(), writer(), writer()])
    await eventually(() => written > 100, 'writes')
    const { state } = orders
    const beganMs = performance.now()
    await a.stop({ deadlineMs: 4 * LATE_MS })
    expect(performance.now() - beganMs).toBeLessThan(LATE_MS)
    for (const outcome of await writers) {
      expect(outcome).toMatchObject({ reason: { code: 'KAGAMI_STOPPED' } })
    }
    expect((state as Ledger).lines).toHaveLength(written)
  })
})
