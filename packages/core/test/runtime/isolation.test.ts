import { describe, expect, test } from 'vitest'
import type { CommitLog, LogBatch, SnapshotStore, TokenLog } from '../../src/contract/index.js'
import type { Kagami, Token } from '../../src/index.js'
import { bytes, delegate, eventually, Ledger, TestCluster } from './harness.js'

/** Far more than may be under way at once: whoever waits for something that stalls can't acknowledge so many. */
const WRITES = 300
const limits = { maxInFlightEntries: 10, lookMs: 50, restoreTimeoutMs: 500 }

/** Writes through one token, and gives what was acknowledged. */
async function write(token: Token<number>, text: string): Promise<readonly string[]> {
  const lines = Array.from({ length: WRITES }, (_, i) => `${text} ${i}`)
  await Promise.all(lines.map((line) => token.replicate(bytes(line))))
  return lines
}

const lines = (token: Token<number> | undefined): readonly string[] => (token?.state as Ledger).lines

/** A token whose primary is on one node and whose replica is on another, and in sync. */
async function mirrored(a: Kagami<number>, b: Kagami<number>, name: string): Promise<Token<number>> {
  const token = await a.token(name, { replicas: 1, primary: 'self' })
  await eventually(() => b.get(name)?.lag.caughtUp, `a replica of ${name} in sync`)
  return token
}

describe('one slow replica delays no other token, nor its own primary', () => {
  /** A log whose reader of one token stands still once `stall` was called. */
  function stalling(log: CommitLog, name: string): { readonly log: CommitLog; readonly stall: () => void } {
    let stalled = false
    async function* slowly(batches: AsyncIterable<LogBatch>, signal: AbortSignal): AsyncGenerator<LogBatch> {
      for await (const batch of batches) {
        if (stalled) await hang(signal)
        yield batch
      }
    }
    const slow = delegate<CommitLog>(log, {
      open: async (address: string, options: Parameters<CommitLog['open']>[1]) => {
        const opened = await log.open(address, options)
        if (options.token !== name) return opened
        return delegate<TokenLog>(opened, {
          read: (...[from, read]: Parameters<TokenLog['read']>) => slowly(opened.read(from, read), read.signal),
        })
      },
    })
    return { log: slow, stall: () => (stalled = true) }
  }

  test('while its reader stands still, everything else is written, read, created and taken over', async () => {
    await using cluster = new TestCluster()
    const { log, stall } = stalling(cluster.world.commitLog(), 'slow')
    const a = await cluster.start('a', { limits })
    const b = await cluster.start('b', { limits, log })
    const slow = await mirrored(a, b, 'slow')
    const other = await mirrored(a, b, 'other')
    await slow.replicate(bytes('before'))
    await b.get('slow')?.sync()
    stall()
    const [toSlow, toOther] = await Promise.all([write(slow, 'slow'), write(other, 'other')])
    expect(lines(slow)).toEqual(['before', ...toSlow])
    await b.get('other')?.sync()
    expect(lines(b.get('other'))).toEqual(toOther)
    const late = await mirrored(a, b, 'late')
    const toLate = await write(late, 'late')
    await a.handover('other', { to: 'b' })
    const onB = await write(b.get('other')!, 'on b')
    expect(lines(b.get('other'))).toEqual([...toOther, ...onB])
    await b.get('late')?.sync()
    expect(lines(b.get('late'))).toEqual(toLate)
    // It stood still all the while.
    expect(lines(b.get('slow'))).toEqual(['before'])
  })
})

describe('poisoned tokens delay no other', () => {
  /** More than the copies that a node is given at once. */
  const names = Array.from({ length: 6 }, (_, i) => `poisoned-${i}`)

  test('while every copy of them fails, wherever it is made, the others are written, read, created, copied and taken over', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a', { limits })
    const b = await cluster.start('b', { limits })
    const c = await cluster.start('c', { limits })
    const failed = new Set<string>()
    for (const [id, node] of cluster.nodes) node.on('failed', ({ token }) => failed.add(`${token} on ${id}`))
    const other = await a.token('other', { replicas: 0, primary: 'self' })
    for (const name of names) {
      const poisoned = await a.token(name, { replicas: 1, primary: 'self' })
      await expect(poisoned.replicate(bytes('poison'))).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
    }
    const acknowledged = await write(other, 'other')
    await eventually(() => failed.size === 3 * names.length, 'the poisoned tokens have failed everywhere')
    await a.alter('other', { replicas: 2 })
    const late = await a.token('late', { replicas: 2, primary: 'self' })
    for (const name of ['other', 'late']) {
      await eventually(() => [b, c].every((node) => node.get(name)?.lag.caughtUp), 'replicas in sync')
    }
    const toLate = await write(late, 'late')
    await a.handover('other', { to: 'b' })
    const onB = await write(b.get('other')!, 'on b')
    for (const node of [a, b, c]) {
      await node.get('other')?.sync()
      await node.get('late')?.sync()
      expect(lines(node.get('other'))).toEqual([...acknowledged, ...onB])
      expect(lines(node.get('late'))).toEqual(toLate)
    }
    const everywhere = names.flatMap((name) => ['a', 'b', 'c'].map((id) => `${name} on ${id}`))
    expect([...failed].sort()).toEqual(everywhere)
  })
})

describe('one dead store delays no token', () => {
  /** More than the snapshots, and than the restores, that a node has under way at once. */
  const names = Array.from({ length: 12 }, (_, i) => `token-${i}`)
  const often = { limits, snapshotting: { everyEntries: 20 } }

  /** A store that answers nothing any more once `die` was called. */
  function dying(store: SnapshotStore): { readonly store: SnapshotStore; readonly die: () => void; hung(): number } {
    let dead = false
    let hung = 0
    const orHang = <T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> => {
      if (!dead) return call()
      hung += 1
      return hang(signal)
    }
    const mortal = delegate<SnapshotStore>(store, {
      create: (...args: Parameters<SnapshotStore['create']>) => orHang(args[2].signal, () => store.create(...args)),
      list: (...args: Parameters<SnapshotStore['list']>) => orHang(args[1].signal, () => store.list(...args)),
      delete: (...args: Parameters<SnapshotStore['delete']>) => orHang(args[2].signal, () => store.delete(...args)),
      async *open(...args: Parameters<SnapshotStore['open']>) {
        await orHang(args[2].signal, () => Promise.resolve())
        yield* store.open(...args)
      },
    })
    return { store: mortal, die: () => (dead = true), hung: () => hung }
  }

  test('a store that does not answer: all are written, handed over and taken over', async () => {
    await using cluster = new TestCluster()
    const [first, second] = [dying(cluster.world.snapshotStore()), dying(cluster.world.snapshotStore())]
    const a = await cluster.start('a', { ...often, snapshots: first.store })
    const b = await cluster.start('b', { ...often, snapshots: second.store })
    const tokens = await Promise.all(names.map((name) => mirrored(a, b, name)))
    first.die()
    second.die()
    const acknowledged = await Promise.all(tokens.map((token) => write(token, token.name)))
    expect(first.hung() + second.hung()).toBeGreaterThan(0)
    await a.handover('token-0', { to: 'b' })
    const mend = cluster.world.cut('a')
    await eventually(() => names.every((name) => b.get(name)?.role === 'primary'), 'the other node serves all of them')
    for (const [i, name] of names.entries()) {
      const more = await write(b.get(name)!, 'taken over')
      expect(lines(b.get(name))).toEqual([...(acknowledged[i] ?? []), ...more])
    }
    mend()
  })

  test('a store that does not list: a node that starts anew restores all from the log alone, and asks for few at once', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a', { limits })
    const many = Array.from({ length: 112 }, (_, i) => `token-${i}`)
    const tokens = await Promise.all(many.map((name) => a.token(name, { replicas: 0, primary: 'self' })))
    await Promise.all(tokens.map((token) => token.replicate(bytes(token.name))))
    await cluster.stop('a')
    let asked = 0
    let most = 0
    const snapshots = delegate<SnapshotStore>(cluster.world.snapshotStore(), {
      list: (...[, { signal }]: Parameters<SnapshotStore['list']>) => {
        most = Math.max(most, ++asked)
        return hang(signal).finally(() => (asked -= 1))
      },
    })
    const again = cluster.make('a', { limits: { ...limits, stallTimeoutMs: 3_600_000 }, snapshots })
    cluster.nodes.set('a', again)
    const restored = new Set<string>()
    again.on('restored', ({ token }) => restored.add(token))
    await again.start()
    await eventually(() => restored.size === many.length, 'all are restored')
    // For restores, and for the controller's looks for newer incarnations.
    expect(most).toBeLessThanOrEqual(64 + 32)
  })

  test('a store that is out of reach: new tokens are refused, and new copies are made from the log alone', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a', often)
    const b = await cluster.start('b', often)
    const tokens = await Promise.all(names.map((name) => a.token(name, { replicas: 0, primary: 'self' })))
    cluster.world.snapshots.cut()
    const acknowledged = await Promise.all(tokens.map((token) => write(token, token.name)))
    await Promise.all(names.map((name) => a.alter(name, { replicas: 1 })))
    await eventually(() => names.every((name) => b.get(name)?.lag.caughtUp), 'replicas in sync')
    for (const [i, name] of names.entries()) {
      await b.get(name)?.sync()
      expect(lines(b.get(name))).toEqual(acknowledged[i])
    }
    // What it may have left behind can't be looked for.
    await expect(a.token('late')).rejects.toMatchObject({ code: 'KAGAMI_STORE_UNAVAILABLE', retryable: true })
  })
})

describe('a store that does not answer for some tokens delays the life of no other', () => {
  const stuckNames = (count: number): string[] => Array.from({ length: count }, (_, i) => `stuck-${i}`)
  /** So many that the controller comes to some of them late. */
  const others = Array.from({ length: 16 }, (_, i) => `early-${i}`)

  /** A node whose store does not answer any more for so many tokens, all but the last `left` of which are on their way out. */
  async function stuck(cluster: TestCluster, stallTimeoutMs: number, count: number, left = 0) {
    const names = stuckNames(count)
    let dead = false
    let hung = 0
    const start = (id: string): Promise<Kagami<number>> => {
      const store = cluster.world.snapshotStore()
      const snapshots = delegate<SnapshotStore>(store, {
        list: (token: string, options: Parameters<SnapshotStore['list']>[1]) => {
          if (!dead || !token.startsWith('stuck')) return store.list(token, options)
          hung += 1
          return hang(options.signal)
        },
      })
      return cluster.start(id, { limits: { ...limits, stallTimeoutMs }, snapshots })
    }
    const a = await start('a')
    for (const name of [...names, ...others]) await a.token(name, { replicas: 0, primary: 'self' })
    for (const name of others) await a.get(name)?.replicate(bytes('early'))
    dead = true
    await Promise.all(names.slice(0, count - left).map((name) => a.remove(name)))
    const allHang = (): Promise<boolean> => {
      const before = hung
      return eventually(() => hung - before >= 32, 'as many as may are under way')
    }
    await eventually(() => hung >= 32, 'as many as may are under way')
    const hanging = (): number => hung
    return { a, start, allHang, hanging }
  }

  test('while they are being removed, others are created, and served by a node that starts anew, however long it may take', async () => {
    await using cluster = new TestCluster()
    const { a, start, allHang } = await stuck(cluster, 3_600_000, 64)
    expect(await write(await a.token('other', { replicas: 0, primary: 'self' }), 'other')).toHaveLength(WRITES)
    await cluster.stop('a')
    const again = await start('a')
    await allHang()
    await eventually(() => [...others, 'other'].every((name) => again.get(name)?.role === 'primary'), 'they are served')
  })

  test('while what some have left can not be cleaned up, others are removed, however long it may take', async () => {
    await using cluster = new TestCluster()
    // As many as the controller cleans up at once, and as may stand still besides.
    const { a, hanging } = await stuck(cluster, 3_600_000, 100, 4)
    await eventually(() => hanging() >= 96, 'all places are taken')
    await Promise.all(
      stuckNames(100)
        .slice(-4)
        .map((name) => a.remove(name)),
    )
    expect(hanging()).toBe(96)
  })

  test('it is told, and a new one of them is refused', async () => {
    await using cluster = new TestCluster()
    const { a } = await stuck(cluster, 100, 64)
    const other = await a.token('other', { replicas: 0, primary: 'self' })
    expect(await write(other, 'other')).toHaveLength(WRITES)
    await expect(a.token('stuck-new')).rejects.toMatchObject({ code: 'KAGAMI_TIMEOUT', retryable: true })
    expect(a.health().problems.join()).toMatch(/work on token 'stuck-\d+' fails.*listing the snapshots/)
  })
})

test('a log that says nothing to the controller: its tokens are served once it says something again, and it is told', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  let reads = 0
  let silentReads = 3
  const deaf = delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        async *read(...from: Parameters<TokenLog['read']>) {
          if (++reads <= silentReads) await hang(from[1].signal)
          yield* opened.read(...from)
        },
      })
    },
  })
  const impatient = { log: deaf, limits: { ...limits, stallTimeoutMs: 200 } }
  const a = await cluster.start('a', impatient)
  const told = eventually(
    () => /work on token 'orders' fails.*reading the log/.test(a.health().problems.join()),
    'it is told',
  )
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await told
  expect(reads).toBeGreaterThan(silentReads)
  await orders.replicate(bytes('one'))
  // Those of a node that starts anew: whether the documents have gone back is seen in the log.
  await cluster.stop('a')
  silentReads = reads + 3
  const again = await cluster.start('a', impatient)
  await eventually(() => again.get('orders')?.role === 'primary', 'it is served')
  expect(reads).toBeGreaterThan(silentReads)
})

describe('state machines that never end delay no other token', () => {
  /** More than the restores that a node is given, and has under way, at once. */
  const names = Array.from({ length: 12 }, (_, i) => `stuck-${i}`)
  const impatient = { limits: { ...limits, stallTimeoutMs: 100 }, snapshotting: { everyEntries: 20, atOnce: 1 } }
  const never = new Promise<never>(() => undefined)

  test('in persist(): the others are snapshotted, what was captured is released, and health says so', async () => {
    await using cluster = new TestCluster()
    let captured = 0
    let released = 0
    class Stuck extends Ledger {
      override snapshot(): ReturnType<Ledger['snapshot']> {
        captured += 1
        return {
          async *persist() {
            yield Buffer.from('half')
            await never
          },
          release: () => (released += 1),
        }
      }
    }
    const stateMachine = (name: string): Ledger => (name === 'stuck' ? new Stuck() : new Ledger())
    const a = await cluster.start('a', { ...impatient, stateMachine })
    const verified: string[] = []
    a.on('snapshot', ({ token, phase }) => phase === 'verified' && verified.push(token))
    const stuck = await a.token('stuck', { replicas: 0, primary: 'self' })
    const other = await a.token('other', { replicas: 0, primary: 'self' })
    await write(stuck, 'stuck')
    await eventually(() => captured > 0, 'the one holds the only place')
    await write(other, 'other')
    await eventually(() => verified.includes('other'), 'the other is snapshotted')
    const failure = await eventually(
      () => a.health().copies.find(({ token }) => token === 'stuck')?.snapshotError,
      'health says so',
    )
    expect(failure).toMatchObject({ code: 'KAGAMI_TIMEOUT', retryable: true })
    expect(failure.message).toMatch(/persisting a snapshot of 'stuck' has not moved on for 100 ms/)
    expect(released).toBe(captured)
    expect(verified).not.toContain('stuck')
  })

  test('in persist(): the others are snapshotted soon, and not only once what stands still is given up', async () => {
    await using cluster = new TestCluster()
    class Stuck extends Ledger {
      override snapshot(): ReturnType<Ledger['snapshot']> {
        return {
          async *persist() {
            yield Buffer.from('half')
            await never
          },
          release: () => undefined,
        }
      }
    }
    const stateMachine = (name: string): Ledger => (name.startsWith('stuck') ? new Stuck() : new Ledger())
    const patient = { ...impatient, limits: { ...limits, stallTimeoutMs: 3_600_000 } }
    const a = await cluster.start('a', { ...patient, stateMachine })
    const phases = new Map<string, Set<string>>()
    a.on('snapshot', ({ token, phase }) => phases.set(token, (phases.get(token) ?? new Set()).add(phase)))
    for (const name of ['stuck-1', 'stuck-2', 'other']) {
      const token = await a.token(name, { replicas: 0, primary: 'self' })
      await write(token, name)
      await eventually(() => phases.get(name)?.has(name === 'other' ? 'verified' : 'captured'), `${name} has its turn`)
    }
    expect(phases.get('stuck-1')).toEqual(new Set(['captured']))
    expect(phases.get('stuck-2')).toEqual(new Set(['captured']))
  })

  test('in restore(): the others are restored, and health says of each that it is not', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a', impatient)
    const truncated = new Set<string>()
    a.on('snapshot', ({ token, phase }) => phase === 'truncated' && truncated.add(token))
    const all = [...names, 'other']
    const tokens = await Promise.all(all.map((name) => a.token(name, { replicas: 0, primary: 'self' })))
    for (const token of tokens) for (let i = 0; !truncated.has(token.name); i++) await token.replicate(bytes(String(i)))
    class Stuck extends Ledger {
      override restore(): Promise<void> {
        return never
      }
    }
    const stateMachine = (name: string): Ledger => (name === 'other' ? new Ledger() : new Stuck())
    const b = await cluster.start('b', { ...impatient, stateMachine })
    for (const name of all) await a.alter(name, { replicas: 1 })
    await eventually(() => b.get('other')?.lag.caughtUp, 'the other is restored')
    expect(lines(b.get('other'))).toEqual(lines(a.get('other')))
    const hindered = () => b.health().copies.filter(({ error }) => error?.code === 'KAGAMI_TIMEOUT')
    await eventually(() => hindered().length === names.length, 'health tells of the rest')
    expect(hindered().every(({ phase }) => phase === 'restoring')).toBe(true)
  })
})

function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
}
