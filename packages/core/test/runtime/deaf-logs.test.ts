/** Logs that are out of reach, or say nothing any more: how that is noticed, told, and got over. */
import { expect, test } from 'vitest'
import type { CommitLog, ReadOptions, TokenLog } from '../../src/contract/index.js'
import { isKagamiError, KagamiError, systemSeams, type Entry, type Kagami } from '../../src/index.js'
import type { LimitOptions } from '../../src/runtime/api.js'
import { keeping } from './adapters.js'
import { bytes, delegate, eventually, Ledger, TEN_YEARS_MS, TestCluster } from './harness.js'

const limits: LimitOptions = { lookMs: 50, restoreTimeoutMs: 500, retryMs: { first: 5, longest: 20 } }

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (isKagamiError(error) ? error.code : String(error)),
  )

const readError = (kagami: Kagami<number>): string | undefined => kagami.health().copies[0]?.readError?.code

const whenAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))

/** A log whose readers stop without a word, while `deaf` says so of them, numbered by when they began. */
class DeafLog {
  deaf: (reader: number) => boolean = () => false
  /** They do not even end when they are told to. */
  stubborn: (reader: number) => boolean = () => false
  readers = 0
  /** Gives what a reader has kept to itself. */
  speak: () => void = () => undefined

  over(log: CommitLog): CommitLog {
    return delegate(log, {
      open: async (...args: Parameters<CommitLog['open']>) => {
        const opened = await log.open(...args)
        return delegate(opened, { read: (...call: Parameters<TokenLog['read']>) => this.#read(opened, ...call) })
      },
    })
  }

  async *#read(log: TokenLog, from: bigint, options: ReadOptions): ReturnType<TokenLog['read']> {
    const reader = ++this.readers
    for await (const batch of log.read(from, options)) {
      if (this.deaf(reader)) {
        const spoken = new Promise<void>((resolve) => (this.speak = resolve))
        await (this.stubborn(reader) ? spoken : Promise.race([spoken, whenAborted(options.signal)]))
      }
      yield batch
    }
  }
}

test('every node whose copy is out of reach of its log says so in health(), and none once it is mended', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  const orders = await a.token('orders', { primary: 'self', replicas: 1 })
  await orders.replicate(bytes('one'))
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  const mend = cluster.world.logs.cut()
  await eventually(() => [a, b].every((node) => readError(node) === 'KAGAMI_LOG_UNAVAILABLE'), 'both tell')
  for (const node of [a, b]) {
    expect(node.health().ok).toBe(false)
    expect(node.health().problems.join()).toMatch(
      /'orders' has heard nothing from its log for \d+ ms.*see that this node reaches/,
    )
  }
  mend()
  await eventually(() => [a, b].every((node) => node.health().ok), 'all is well')
})

test('a copy whose log is never opened says so in health(), tries again, and closes what is opened too late', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await (await a.token('orders', { primary: 'self', replicas: 0 })).replicate(bytes('one'))
  await cluster.stop('a')
  const log = cluster.world.commitLog()
  const closed: number[] = []
  let openLate: (() => void) | undefined
  let opens = 0
  const slow = delegate(log, {
    open: async (...[address, options]: Parameters<CommitLog['open']>) => {
      const nr = ++opens
      if (openLate === undefined) await new Promise<void>((resolve) => (openLate = resolve))
      // It heeds no signal.
      const opened = await log.open(address, { ...options, signal: new AbortController().signal })
      return delegate(opened, {
        close: () => {
          closed.push(nr)
          return opened.close()
        },
      })
    },
  })
  // Nobody else than the copy may open it.
  const b = await cluster.start('b')
  await eventually(() => b.health().controller, 'b rules')
  const { logger, messages } = keeping()
  const again = await cluster.start('a', { log: slow, limits: { ...limits, stallTimeoutMs: 2500 }, seams: { logger } })
  await eventually(() => readError(again) === 'KAGAMI_LOG_UNAVAILABLE', 'it tells')
  expect(again.health().problems.join()).toMatch(/the log of 'orders' at 'log-\d+' has not been opened for \d+ ms/)
  await eventually(() => again.get('orders')?.role === 'primary', 'it serves')
  expect(messages.join()).toMatch(/can't be read now/)
  expect(again.health().ok).toBe(true)
  openLate?.()
  await eventually(() => closed.length > 0, 'the late one is closed')
  expect(closed).toEqual([1])
})

test('a restore that stands still is told in health()', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  const silent = delegate(log, {
    open: async (...call: Parameters<CommitLog['open']>) =>
      delegate(await log.open(...call), { range: ({ signal }: { signal: AbortSignal }) => whenAborted(signal) }),
  })
  const { logger, messages } = keeping()
  const a = await cluster.start('a', { seams: { logger } })
  const b = await cluster.start('b', { log: silent, limits: { ...limits, stallTimeoutMs: 100 } })
  await a.token('orders', { primary: 'self', replicas: 1 })
  await eventually(() => readError(b) === 'KAGAMI_TIMEOUT', 'it tells')
  expect(b.health().problems.join()).toMatch(
    /the restore of 'orders' has not moved on for \d+ ms.*asking for the bounds/,
  )
  // The other has had nothing to hear but that there is nothing, for longer than who is deaf is left alone.
  const stillMs = (): number => Number(/not moved on for (\d+) ms/.exec(b.health().problems.join())?.[1])
  await eventually(() => stillMs() > 3000, 'it goes on telling')
  expect(messages.join()).not.toMatch(/not heard from/)
})

test('a reader that hears nothing any more is begun anew where it was, and nothing is missed or applied twice', async () => {
  await using cluster = new TestCluster()
  const log = new DeafLog()
  const a = await cluster.start('a', { log: log.over(cluster.world.commitLog()), limits })
  const orders = await a.token('orders', { primary: 'self', replicas: 0 })
  await orders.replicate(bytes('one'))
  // The one that reads, and the next, which does not end either.
  const next = log.readers + 1
  log.deaf = (reader) => reader <= next
  log.stubborn = (reader) => reader === next
  await orders.replicate(bytes('two'))
  expect(log.readers).toBeGreaterThan(next)
  expect(orders.role).toBe('primary')
  await eventually(() => a.health().ok, 'all is well')
  // What it gives after all is nobody's.
  log.speak()
  await orders.replicate(bytes('three'))
  expect((orders.state as Ledger).lines).toEqual(['one', 'two', 'three'])
  expect(a.health().copies[0]?.ignored).toEqual({})
})

test('while its reader hears nothing a primary says so, and refuses for certain what is not sealed; what is sealed goes on', async () => {
  await using cluster = new TestCluster()
  const log = new DeafLog()
  const a = await cluster.start('a', {
    log: log.over(cluster.world.commitLog()),
    limits: { ...limits, appendTimeoutMs: 100, maxInFlightEntries: 1 },
  })
  const orders = await a.token('orders', { primary: 'self', replicas: 0 })
  await orders.replicate(bytes('one'))
  log.deaf = () => true
  const sealed = orders.replicate(bytes('sealed'))
  const waits = code(orders.replicate(bytes('waits')))
  const reads = code(orders.sync())
  expect(await waits).toBe('KAGAMI_LOG_UNAVAILABLE')
  expect(await reads).toBe('KAGAMI_LOG_UNAVAILABLE')
  await expect(orders.replicate(bytes('refused'))).rejects.toMatchObject({
    code: 'KAGAMI_LOG_UNAVAILABLE',
    retryable: true,
    message: expect.stringMatching(/^nothing was appended to 'orders'/) as string,
  })
  expect(readError(a)).toBe('KAGAMI_LOG_UNAVAILABLE')
  expect(a.health().problems.join()).toMatch(/was begun anew/)
  log.deaf = () => false
  log.speak()
  await sealed
  await orders.replicate(bytes('after'))
  expect((orders.state as Ledger).lines).toEqual(['one', 'sealed', 'after'])
  expect(a.health().ok).toBe(true)
})

test('a copy whose readers do not end when they are told to is closed all the same', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  const never = new Promise<never>(() => undefined)
  let hung = false
  const stubborn = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...call: Parameters<TokenLog['read']>) {
          // Also one that is begun on a handle that is closed.
          if (hung) await never
          for await (const batch of opened.read(...call)) {
            yield batch
            if (hung) await never
          }
        },
      })
    },
  })
  const b = await cluster.start('b')
  const a = await cluster.start('a', { log: stubborn, limits: { ...limits, stallTimeoutMs: 2500 } })
  await b.token('orders', { primary: 'self', replicas: 1 })
  await eventually(() => a.get('orders')?.lag.caughtUp, 'a replica in sync')
  hung = true
  await eventually(() => readError(a) !== undefined, 'its reader has stopped')
  await b.alter('orders', { replicas: 0 })
  await eventually(() => a.health().copies.length === 0, 'the copy is closed')
})

test('a reader that works on what it has heard for long is not deaf', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { primary: 'self', replicas: 0 })
  for (let i = 0; i < 10; i++) await orders.replicate(bytes(`${i}`))
  const { logger, messages } = keeping()
  const system = systemSeams().clock
  // Ten times as fast, and others need half a second for each turn that they are given.
  const clock = {
    now: () => system.now() - TEN_YEARS_MS,
    monotonicMs: () => 10 * system.monotonicMs(),
    timer: (delayMs: number, callback: () => void) => system.timer(delayMs / 10, callback),
    yield: () => new Promise<void>((resolve) => system.timer(50, resolve)),
  }
  class Slow extends Ledger {
    override apply(entry: Entry): number {
      for (const untilMs = system.monotonicMs() + 1; system.monotonicMs() < untilMs;);
      return super.apply(entry)
    }
  }
  const b = await cluster.start('b', { stateMachine: () => new Slow(), seams: { logger, clock } })
  await a.alter('orders', { replicas: 1 })
  await eventually(() => b.get('orders')?.next?.index === 10, 'it has applied all')
  expect(messages.join()).not.toMatch(/not heard from/)
})

test('a primary whose readers fail behind what it has read, one after another, is told, refuses, and gives way', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let fails = false
  let readers = 0
  const failing = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...[from, options]: Parameters<TokenLog['read']>) {
          readers += 1
          for await (const { records, next, end } of opened.read(from, options)) {
            const known = records[0]
            if (fails && known?.offset === from) yield { records: [known], next: known.offset + 1n, end }
            if (fails)
              throw new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'what follows is out of reach', { retryable: true })
            yield { records, next, end }
          }
        },
      })
    },
  })
  const a = await cluster.start('a', { log: failing, limits: { ...limits, appendTimeoutMs: 500 } })
  const b = await cluster.start('b', { limits })
  const orders = await a.token('orders', { primary: 'self', replicas: 1 })
  await orders.replicate(bytes('one'))
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  fails = true
  const before = readers
  const write = code(orders.replicate(bytes('two')))
  const read = code(orders.sync())
  await eventually(() => readError(a) === 'KAGAMI_LOG_UNAVAILABLE', 'it tells')
  expect(a.health().problems.join()).toMatch(/'orders' has heard nothing from its log.*what follows is out of reach/)
  expect(await read).toBe('KAGAMI_LOG_UNAVAILABLE')
  await eventually(() => b.get('orders')?.role === 'primary', 'the other serves')
  expect(readers - before).toBeGreaterThan(3)
  fails = false
  await eventually(() => a.health().ok, 'all is well')
  expect(['resolved', 'KAGAMI_REPLICATION_UNKNOWN', 'KAGAMI_FENCED']).toContain(await write)
})

test.each([
  ['says that there is nothing', false],
  ['says that there is more', true],
])('a restore whose reader goes on looking, and %s where the bounds say that there is, is told', async (_, more) => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await (await a.token('orders', { replicas: 0, primary: 'self' })).replicate(bytes('one'))
  await cluster.stop('a')
  const log = cluster.world.commitLog()
  let blind = true
  const looking = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...[from, options]: Parameters<TokenLog['read']>) {
          const { end } = await opened.range(options)
          while (blind) {
            await new Promise((resolve) => setTimeout(resolve, 20))
            options.signal.throwIfAborted()
            yield { records: [], next: from, end: more ? end : from }
          }
          yield* opened.read(from, options)
        },
      })
    },
  })
  const again = await cluster.start('a', { log: looking, limits: { ...limits, stallTimeoutMs: 1000 } })
  await eventually(() => readError(again) === 'KAGAMI_TIMEOUT', 'it tells')
  expect(again.health().problems.join()).toMatch(/the restore of 'orders' has not moved on for \d+ ms/)
  blind = false
  await eventually(() => again.get('orders')?.role === 'primary', 'it serves')
  expect(again.health().ok).toBe(true)
})

test('a large record that each reader needs long for comes on in the end, though what was read before comes at once', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let readers = 0
  const fetching = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...call: Parameters<TokenLog['read']>) {
          readers += 1
          for await (const batch of opened.read(...call)) {
            if (batch.records.length === 0) yield batch
            for (const record of batch.records) {
              const slow = record.bytes.byteLength > 50_000
              if (slow)
                await Promise.race([new Promise((resolve) => setTimeout(resolve, 3000)), whenAborted(call[1].signal)])
              yield { records: [record], next: record.offset + 1n, end: batch.end }
            }
          }
        },
      })
    },
  })
  const a = await cluster.start('a', { log: fetching, limits: { ...limits, lookMs: 600 } })
  const orders = await a.token('orders', { primary: 'self', replicas: 0 })
  await orders.replicate(bytes('one'))
  const before = readers
  await orders.replicate(Buffer.alloc(100_000, 'x'))
  expect(readers).toBeGreaterThan(before)
  expect((orders.state as Ledger).lines).toHaveLength(2)
})

test('a reader that only looks, and says that there is more, is told, and begun anew in the end', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let stuck = false
  const sticking = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...call: Parameters<TokenLog['read']>) {
          let next = call[0]
          let sticks = false
          for await (const batch of opened.read(...call)) {
            // One that is begun when others are stuck already is not.
            sticks ||= stuck && batch.records.length > 0
            stuck &&= !sticks
            while (sticks) {
              await new Promise((resolve) => setTimeout(resolve, 50))
              call[1].signal.throwIfAborted()
              yield { records: [], next, end: batch.end }
            }
            yield batch
            next = batch.next
          }
        },
      })
    },
  })
  const a = await cluster.start('a', { log: sticking, limits: { ...limits, appendTimeoutMs: 3000 } })
  const orders = await a.token('orders', { primary: 'self', replicas: 0 })
  await orders.replicate(bytes('one'))
  stuck = true
  const sealed = orders.replicate(bytes('two'))
  await eventually(() => readError(a) === 'KAGAMI_LOG_UNAVAILABLE', 'it tells')
  await sealed
  await eventually(() => a.health().ok, 'all is well')
  expect((orders.state as Ledger).lines).toEqual(['one', 'two'])
})

test('a primary whose reader looks while it fetches what comes next, for however long, is not cut off', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let slow = false
  const fetching = delegate(log, {
    open: async (...args: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...args)
      return delegate<TokenLog>(opened, {
        async *read(...call: Parameters<TokenLog['read']>) {
          let next = call[0]
          for await (const batch of opened.read(...call)) {
            for (let looks = 0; slow && looks < 100 && batch.records.length > 0; looks++) {
              yield { records: [], next, end: batch.end }
              await new Promise((resolve) => setTimeout(resolve, 50))
            }
            yield batch
            next = batch.next
          }
        },
      })
    },
  })
  const a = await cluster.start('a', { log: fetching, limits })
  const b = await cluster.start('b', { limits })
  const orders = await a.token('orders', { primary: 'self', replicas: 1 })
  await orders.replicate(bytes('one'))
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica in sync')
  const epoch = b.get('orders')?.epoch
  slow = true
  await orders.replicate(bytes('two'))
  // The other hears of everything at once.
  expect(b.get('orders')?.epoch).toBe(epoch)
  expect((orders.state as Ledger).lines).toEqual(['one', 'two'])
  slow = false
  await eventually(() => a.health().ok, 'all is well')
})
