import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import type { CallOptions, CommitLog, Coordinator, Session, TokenLog } from '../../src/contract/index.js'
import type { Kagami, Token } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { untilAborted } from './adapters.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'

interface Scene {
  readonly cluster: TestCluster
  /** Serves 'orders'. */
  readonly owner: Kagami<number>
  readonly orders: Token<number>
  /** 'orders' on the node that holds its replica. */
  readonly copy: Token<number>
  readonly replica: string
  /** The node that holds no copy. */
  readonly spare: string
}

interface Case {
  /** Takes away what the call needs, until the returned function is called. */
  block(scene: Scene): () => void
  call(scene: Scene, signal: AbortSignal): Promise<unknown>
  /** Whether the call has come as far as it can. */
  readonly stuck?: (scene: Scene) => boolean | undefined
}

const reason = new Error('changed my mind')
const nothing = (): void => undefined
const never = { incarnation: 1, index: 99 }
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

/** Every method that waits, but for `start` and `replicate`, with what it waits for in vain. */
const cases: Readonly<Record<string, Case>> = {
  // The frame that opens the token can't be appended.
  token: {
    block: ({ cluster }) => cluster.world.logs.fill(),
    call: ({ owner }, signal) => owner.token('late', { signal }),
  },
  'waitFor on the primary': { block: () => nothing, call: ({ orders }, signal) => orders.waitFor(never, { signal }) },
  'waitFor on a replica': { block: () => nothing, call: ({ copy }, signal) => copy.waitFor(never, { signal }) },
  // The marker can't be appended.
  'sync on the primary': {
    block: ({ cluster }) => cluster.world.logs.cut(),
    call: ({ orders }, signal) => orders.sync({ signal }),
  },
  'sync on a replica': {
    block: ({ cluster, replica }) => cluster.world.logs.cut(replica),
    call: ({ copy }, signal) => copy.sync({ signal }),
  },
  // The coordinator is down for all: no session expires, and nobody takes over.
  alter: {
    block: ({ cluster }) => cluster.world.coordination.cut(),
    call: ({ owner }, signal) => owner.alter('orders', { weight: 2, signal }),
  },
  // The copy there never comes to be in sync.
  'handover to a node that has no copy': {
    block: ({ cluster, spare }) => cluster.world.logs.cut(spare),
    call: ({ owner, spare }, signal) => owner.handover('orders', { to: spare, signal }),
    stuck: ({ owner, spare }) => owner.locate('orders')?.replicas.some(({ id }) => id === spare),
  },
  // The replica is given the primary, but can't append its barrier.
  'handover to a node that does not come to serve': {
    block: ({ cluster, replica }) => cluster.world.logs.cut(replica),
    call: ({ owner, replica }, signal) => owner.handover('orders', { to: replica, signal }),
    stuck: ({ owner, replica }) => owner.locate('orders')?.primary?.id === replica,
  },
  // The primary goes to the replica, but the copy that is to replace this node's never comes to be in sync.
  drain: {
    block: ({ cluster, spare }) => cluster.world.logs.cut(spare),
    call: ({ owner }, signal) => owner.drain({ signal }),
    stuck: ({ owner, replica }) => owner.locate('orders')?.primary?.id === replica,
  },
  // The end can't be written into the log.
  remove: {
    block: ({ cluster }) => cluster.world.logs.cut(),
    call: ({ owner }, signal) => owner.remove('orders', { signal }),
  },
}

async function scene(cluster: TestCluster): Promise<Scene> {
  const [owner] = [await cluster.start('a'), await cluster.start('b'), await cluster.start('c')]
  const orders = await owner.token('orders', { replicas: 1, primary: 'self' })
  const replica = await eventually(() => owner.locate('orders')?.replicas[0]?.id, 'a replica')
  const copy = await eventually(() => {
    const found = cluster.node(replica).get('orders')
    return found?.lag.caughtUp && found
  }, 'a replica in sync')
  return { cluster, owner, orders, copy, replica, spare: replica === 'b' ? 'c' : 'b' }
}

/** A token that is made now takes a write, and its replica reads it. */
async function goesOn({ cluster, owner }: Scene): Promise<void> {
  await owner.token('another', { replicas: 1 })
  const primary = await eventually(() => cluster.primary('another'), 'a primary')
  await primary.get('another')?.replicate(bytes('goes on'))
  const copy = await eventually(() => {
    const ids = owner.locate('another')?.replicas.map(({ id }) => id) ?? []
    return ids.map((id) => cluster.node(id).get('another')).find((token) => token?.lag.caughtUp)
  }, 'a replica in sync')
  await copy.sync()
  expect((copy.state as Ledger).lines).toEqual(['goes on'])
}

describe("an aborted call rejects with its signal's reason, leaves no listener, and the node goes on", () => {
  test.each(Object.entries(cases))('%s', async (_, { block, call, stuck }) => {
    await using cluster = new TestCluster()
    const set = await scene(cluster)
    const unblock = block(set)
    const controller = new AbortController()
    const { signal } = controller
    let settled = false
    const outcome = call(set, signal).finally(() => (settled = true))
    // A rejection before its time is shown by the expectations below.
    outcome.catch(nothing)
    await eventually(() => listeners(signal) > 0 && (stuck?.(set) ?? true), 'the call waits')
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(settled).toBe(false)
    controller.abort(reason)
    await expect(outcome).rejects.toBe(reason)
    expect(listeners(signal)).toBe(0)
    unblock()
    await goesOn(set)
  })
})

test('a call whose signal has aborted before does nothing', async () => {
  await using cluster = new TestCluster()
  const set = await scene(cluster)
  const signal = AbortSignal.abort(reason)
  for (const { call } of Object.values(cases)) await expect(call(set, signal)).rejects.toBe(reason)
  await expect(set.orders.replicate(bytes('x'), { signal })).rejects.toBe(reason)
  expect(listeners(signal)).toBe(0)
  await set.orders.replicate(bytes('one'))
  await set.copy.sync()
  expect((set.copy.state as Ledger).lines).toEqual(['one'])
  expect(set.owner.tokens()).toEqual(['orders'])
  expect(set.owner.members().every(({ draining }) => !draining)).toBe(true)
})

test('a call that succeeds leaves no listener on its signal', async () => {
  await using cluster = new TestCluster()
  const { signal } = new AbortController()
  const late = cluster.make('d')
  await late.start({ signal })
  cluster.nodes.set('d', late)
  const { owner, orders, copy, replica } = await scene(cluster)
  const { position } = await orders.replicate(bytes('one'), { signal })
  await copy.waitFor(position, { signal })
  await copy.sync({ signal })
  await owner.token('other', { signal })
  await owner.alter('orders', { weight: 2, signal })
  await owner.handover('orders', { to: replica, signal })
  await owner.remove('other', { signal })
  await late.drain({ signal })
  expect(listeners(signal)).toBe(0)
})

test('replicate that waits for a place in flight rejects with the reason, and the entry is never applied', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a', { limits: { maxInFlightEntries: 1 } })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  const mend = cluster.world.logs.cut()
  const first = orders.replicate(bytes('first'))
  const controller = new AbortController()
  const waiting = orders.replicate(bytes('waits'), { signal: controller.signal })
  const last = orders.replicate(bytes('last'))
  await eventually(() => listeners(controller.signal) === 1, 'the call waits')
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  expect(listeners(controller.signal)).toBe(0)
  mend()
  await Promise.all([first, last])
  expect((orders.state as Ledger).lines).toEqual(['first', 'last'])
})

test('an abort of a call that waits lets in what waits behind it, though nothing else happens', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog({ appendsInFlight: 2 })
  let hangs = false
  const hung: Buffer[] = []
  const a = await cluster.start('a', {
    log: delegate<CommitLog>(log, {
      open: async (...call: Parameters<CommitLog['open']>) => {
        const opened = await log.open(...call)
        const append = (...[record, options]: Parameters<TokenLog['append']>): Promise<bigint> => {
          if (!hangs) return opened.append(record, options)
          hung.push(Buffer.from(record))
          return untilAborted(options.signal)
        }
        return delegate<TokenLog>(opened, { append })
      },
    }),
    // No look at the log, and no repeated append, comes to the help of what waits.
    limits: { maxInFlightBytes: 100, lookMs: 600_000, appendTimeoutMs: 600_000 },
  })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  hangs = true
  const controller = new AbortController()
  const first = orders.replicate(bytes('first'.padEnd(60))).catch(nothing)
  const large = orders.replicate(bytes('large'.padEnd(60)), { signal: controller.signal })
  const small = orders.replicate(bytes('small')).catch(nothing)
  await eventually(() => hung.length === 1, 'the first is being appended')
  controller.abort(reason)
  await expect(large).rejects.toBe(reason)
  await eventually(() => hung.length === 2, 'what waited behind it is being appended')
  expect(hung.map((record) => record.includes('small'))).toEqual([false, true])
  await a.stop({ deadlineMs: 100 })
  await Promise.all([first, small])
})

test('replicate that was sealed rejects as indeterminate, with the reason as its cause, and the entry is applied', async () => {
  await using cluster = new TestCluster()
  const { orders, copy } = await scene(cluster)
  const mend = cluster.world.logs.cut()
  const controller = new AbortController()
  const sealed = orders.replicate(bytes('sealed'), { signal: controller.signal })
  await new Promise((resolve) => setImmediate(resolve))
  expect(listeners(controller.signal)).toBe(1)
  controller.abort(reason)
  await expect(sealed).rejects.toMatchObject({ code: 'KAGAMI_INDETERMINATE', cause: reason })
  expect(listeners(controller.signal)).toBe(0)
  mend()
  await orders.replicate(bytes('after'))
  await copy.sync()
  expect((copy.state as Ledger).lines).toEqual(['sealed', 'after'])
})

describe('a start that is aborted rejects with the reason, leaves no listener, and another node of that id can start', () => {
  let hung = false
  const hang = ({ signal }: CallOptions): Promise<never> => {
    hung = true
    return untilAborted(signal)
  }
  const hangs: Readonly<Record<string, (coordinator: Coordinator) => Coordinator>> = {
    "in the coordinator's start": (coordinator) => delegate(coordinator, { start: hang }),
    'while it connects': (coordinator) => delegate(coordinator, { connect: hang }),
    'while it joins': (coordinator) =>
      withSession(coordinator, { join: (_: unknown, options: CallOptions) => hang(options) }),
    'while it waits for the documents': (coordinator) =>
      withSession(coordinator, {
        watch: (_: unknown, options: CallOptions) => ({
          [Symbol.asyncIterator]: () => ({ next: () => hang(options) }),
        }),
      }),
  }
  const withSession = (coordinator: Coordinator, own: Partial<Record<keyof Session, unknown>>): Coordinator =>
    delegate(coordinator, {
      connect: async (options: CallOptions) => delegate<Session>(await coordinator.connect(options), own),
    })

  test.each(Object.entries(hangs))('%s', async (_, hanging) => {
    await using cluster = new TestCluster()
    const a = cluster.make('a', { coordinator: hanging(cluster.world.coordinator()) })
    const controller = new AbortController()
    hung = false
    const starting = a.start({ signal: controller.signal })
    starting.catch(nothing)
    await eventually(() => hung, 'the start waits')
    expect(a.health().status).toBe('starting')
    controller.abort(reason)
    await expect(starting).rejects.toBe(reason)
    expect(listeners(controller.signal)).toBe(0)
    const again = await cluster.start('a')
    expect(again.members().map(({ id }) => id)).toEqual(['a'])
  })

  test('before it began', async () => {
    await using cluster = new TestCluster()
    const signal = AbortSignal.abort(reason)
    await expect(cluster.make('a').start({ signal })).rejects.toBe(reason)
    expect(listeners(signal)).toBe(0)
    await cluster.start('a')
  })
})

test('one signal may be given to any number of calls at once', async () => {
  const warned: string[] = []
  const onWarning = ({ name }: Error): void => void warned.push(name)
  process.on('warning', onWarning)
  try {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    const { signal } = new AbortController()
    const names = Array.from({ length: 20 }, (_, i) => `token-${i}`)
    const tokens = await Promise.all(names.map((name) => a.token(name, { replicas: 0, primary: 'self', signal })))
    await Promise.all(tokens.flatMap((token) => [token.replicate(bytes('x'), { signal }), token.sync({ signal })]))
    await new Promise((resolve) => setImmediate(resolve))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  } finally {
    process.off('warning', onWarning)
  }
  expect(warned).toEqual([])
})
