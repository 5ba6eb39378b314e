/** The conformance suite of `SnapshotStore`: what is published is whole, immutable, and found again. */
import type { SnapshotStoreWorld } from './snapshot-store-world.js'
import assert from 'node:assert/strict'
import { adapterCases } from './adapter.js'
import { rejectsWith } from './expect.js'
import { suite } from './runner.js'
import type { Case, SuiteRunner, SuiteSubject } from './runner.js'
import { contents, metaOf, source } from './snapshot-support.js'
import { snapshotNameCases } from './snapshot-names.js'
import { snapshotStreamCases } from './snapshot-streams.js'

/** What a snapshot store, or its test, declares that it can and cannot do. */
export interface SnapshotStoreCapabilities {
  /** The world can make the store unreachable. */
  readonly outage: boolean
  /** The world can leave the store no room. */
  readonly fill: boolean
  /** The world can change a published blob. */
  readonly corrupt: boolean
  /** The world can cut a published blob short. */
  readonly tear: boolean
  /** The world can make the metadata of a published snapshot unreadable. @default false */
  readonly spoilMeta?: boolean
  /** Memory does not grow with the size of a blob. */
  readonly boundedMemory: boolean
  /** The longest name of a token, in UTF-8 bytes, that the store must take. @default 1024 */
  readonly longestTokenBytes?: number
}

/** A snapshot store to be tested, and what the suite must know of it. */
export interface SnapshotStoreSubject extends SuiteSubject<SnapshotStoreWorld> {
  /** What it can do: cases for what it can't are left out, and the first case names both. */
  readonly capabilities: SnapshotStoreCapabilities
  /** The size of the blob that the cases on memory use, in bytes. @default 64 MiB */
  readonly largeBytes?: number
}

/** Registers the suite with a runner. */
export function snapshotStoreSuite(runner: SuiteRunner, subject: SnapshotStoreSubject): void {
  const { capabilities } = subject
  const hooks = {
    outage: 'outage',
    fill: 'fill',
    corrupt: 'corrupt',
    tear: 'tear',
    spoilMeta: 'spoilMeta',
  } as const
  suite(runner, 'SnapshotStore', subject, capabilities, hooks, (test) => {
    adapterCases(test, capabilities)
    publishCases(test)
    listCases(test)
    snapshotNameCases(test, capabilities.longestTokenBytes ?? 1024)
    snapshotStreamCases(test, { ...capabilities, largeBytes: subject.largeBytes ?? 64 * 1024 * 1024 })
    faultCases(test, capabilities)
  })
}

function publishCases(test: Case<SnapshotStoreWorld>): void {
  test('what was created is read back, byte for byte, also by another node', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    const meta = metaOf('orders', 'one')
    const ref = await a.create(meta, source(['hello ', '', 'world']), scope.options)
    assert.deepEqual(ref, { meta, bytes: 11 })
    for (const store of [a, b]) assert.equal(await contents(store, 'orders', 'one', scope.options), 'hello world')
  })

  test('an empty blob is a snapshot too', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const ref = await store.create(metaOf('orders', 'one'), source([]), scope.options)
    assert.equal(ref.bytes, 0)
    assert.equal(await contents(store, 'orders', 'one', scope.options), '')
    assert.equal((await store.list('orders', scope.options)).length, 1)
  })

  test('metadata comes back equal', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    const meta = metaOf('orders "é" 鏡\n', 'm', {
      incarnation: 7,
      epoch: Number.MAX_SAFE_INTEGER,
      term: 'ffffffffffffffff',
      nextIndex: 2 ** 40,
      anchor: { offset: '18446744073709551615', checksum: 4_294_967_295 },
      log: { address: 'topic/3 "quoted"', identity: 'ü' },
      member: 'node.a-鏡',
    })
    await a.create(meta, source(['x']), scope.options)
    assert.deepEqual(await b.list(meta.token, scope.options), [{ meta, bytes: 1 }])
  })

  test('a published snapshot outlives the adapter that published it', async (scope, world) => {
    const a = await scope.start(world.open('a'), 'a')
    await a.create(metaOf('orders', 'one'), source(['kept']), scope.options)
    await a.stop()
    const again = await scope.start(world.open('a'), 'a')
    assert.equal((await again.list('orders', scope.options)).length, 1)
    assert.equal(await contents(again, 'orders', 'one', scope.options), 'kept')
  })

  test('an id that is published is never overwritten', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    await a.create(metaOf('orders', 'one'), source(['first']), scope.options)
    for (const store of [a, b]) {
      const second = store.create(metaOf('orders', 'one', { nextIndex: 99 }), source(['second']), scope.options)
      await rejectsWith(scope, second, 'KAGAMI_SNAPSHOT_EXISTS', 'a second create() of one id')
    }
    assert.equal(await contents(b, 'orders', 'one', scope.options), 'first')
    const listed = await b.list('orders', scope.options)
    assert.deepEqual(
      listed.map(({ meta }) => meta.nextIndex),
      [metaOf('orders', 'one').nextIndex],
    )
  })

  test('of twenty publishers of one id, one wins and the blob is the winner’s', async (scope, world) => {
    const stores = await Promise.all(['a', 'b', 'c', 'd'].map((node) => scope.start(world.open(node), node)))
    const attempts = Array.from({ length: 20 }, (_, i) => {
      const text = `writer ${i} `.repeat(1000)
      return stores[i % stores.length]!.create(
        metaOf('orders', 'one', { member: `m${i}` }),
        source([text, text, text]),
        scope.options,
      ).then((ref) => ({ ref, text: text.repeat(3) }))
    })
    const outcomes = await scope.within(Promise.allSettled(attempts), 'twenty create()s', scope.patienceMs * 2)
    const winners = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
    assert.equal(winners.length, 1, `${winners.length} publishers won`)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        await rejectsWith(scope, Promise.reject(outcome.reason), 'KAGAMI_SNAPSHOT_EXISTS', 'a create() that lost')
      }
    }
    const [winner] = winners
    for (const store of stores) {
      assert.equal(await contents(store, 'orders', 'one', scope.options), winner!.text)
      assert.deepEqual(await store.list('orders', scope.options), [winner!.ref])
    }
  })

  test('two snapshots of one token may be written at once, each whole', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    const texts = ['x'.repeat(100_000), 'y'.repeat(100_000)]
    await Promise.all([
      a.create(metaOf('orders', 'one'), source([texts[0]!, texts[0]!]), scope.options),
      b.create(metaOf('orders', 'two'), source([texts[1]!, texts[1]!]), scope.options),
    ])
    assert.equal(await contents(b, 'orders', 'one', scope.options), texts[0]!.repeat(2))
    assert.equal(await contents(a, 'orders', 'two', scope.options), texts[1]!.repeat(2))
  })

  test('two tokens may use one id', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['orders']), scope.options)
    await store.create(metaOf('carts', 'one'), source(['carts']), scope.options)
    assert.equal(await contents(store, 'orders', 'one', scope.options), 'orders')
    assert.equal(await contents(store, 'carts', 'one', scope.options), 'carts')
  })

  test('a deleted snapshot is neither listed nor opened, and deleting it again is no error', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    await a.create(metaOf('orders', 'one'), source(['1']), scope.options)
    await a.create(metaOf('orders', 'two'), source(['2']), scope.options)
    await b.delete('orders', 'one', scope.options)
    await a.delete('orders', 'one', scope.options)
    await a.delete('orders', 'never-there', scope.options)
    await a.delete('nobody', 'never-there', scope.options)
    for (const store of [a, b]) {
      const listed = await store.list('orders', scope.options)
      assert.deepEqual(
        listed.map(({ meta }) => meta.id),
        ['two'],
      )
      const opened = contents(store, 'orders', 'one', scope.options)
      await rejectsWith(scope, opened, 'KAGAMI_SNAPSHOT_MISSING', 'open() of a deleted snapshot')
    }
    assert.equal(await contents(b, 'orders', 'two', scope.options), '2')
  })

  test('opening what was never there is KAGAMI_SNAPSHOT_MISSING', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['1']), scope.options)
    for (const [token, id] of [
      ['orders', 'two'],
      ['carts', 'one'],
    ] as const) {
      const opened = contents(store, token, id, scope.options)
      await rejectsWith(scope, opened, 'KAGAMI_SNAPSHOT_MISSING', `open(${token}, ${id})`)
    }
  })

  test('clusters do not see one another’s snapshots', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a', 'one'), await scope.start(world.open('a'), 'a', 'two')]
    await a.create(metaOf('orders', 'x'), source(['one']), scope.options)
    assert.deepEqual(await b.list('orders', scope.options), [])
    await b.create(metaOf('orders', 'x'), source(['two']), scope.options)
    assert.equal(await contents(a, 'orders', 'x', scope.options), 'one')
    await b.delete('orders', 'x', scope.options)
    assert.equal(await contents(a, 'orders', 'x', scope.options), 'one')
  })
}

function listCases(test: Case<SnapshotStoreWorld>): void {
  test('the list of a token without snapshots is empty', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    assert.deepEqual(await store.list('nobody', scope.options), [])
  })

  test('the list is newest first: by incarnation, then nextIndex, then id, whatever the time says', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const inOrder = [
      metaOf('orders', 'a3', { incarnation: 10, nextIndex: 5, takenAtMs: 1 }),
      metaOf('orders', 'z1', { incarnation: 9, nextIndex: 1000, takenAtMs: 9 }),
      metaOf('orders', 'c', { incarnation: 9, nextIndex: 100, takenAtMs: 2 }),
      metaOf('orders', 'b', { incarnation: 9, nextIndex: 100, takenAtMs: 8 }),
      metaOf('orders', 'B', { incarnation: 9, nextIndex: 100, takenAtMs: 7 }),
      metaOf('orders', 'zz', { incarnation: 9, nextIndex: 20, takenAtMs: 50 }),
      metaOf('orders', 'zzz', { incarnation: 1, nextIndex: 999_999, takenAtMs: 60 }),
    ]
    for (const i of [3, 0, 6, 2, 5, 1, 4]) await store.create(inOrder[i]!, source(['x']), scope.options)
    const listed = await store.list('orders', scope.options)
    assert.deepEqual(
      listed.map(({ meta }) => meta.id),
      inOrder.map((meta) => meta.id),
    )
  })

  test('a process sees at once what it has published or deleted', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    for (let i = 0; i < 10; i++) {
      await store.create(metaOf('orders', `s${i}`, { nextIndex: i }), source(['x']), scope.options)
      assert.equal((await store.list('orders', scope.options))[0]?.meta.id, `s${i}`)
      if (i % 2 === 1) await store.delete('orders', `s${i - 1}`, scope.options)
      const listed = await store.list('orders', scope.options)
      assert.equal(listed.length, i % 2 === 1 ? (i + 1) / 2 : i / 2 + 1)
    }
  })
}

function faultCases(test: Case<SnapshotStoreWorld>, capabilities: SnapshotStoreCapabilities): void {
  if (capabilities.outage) {
    test('during an outage every call rejects: the list is never empty instead', async (scope, world) => {
      const store = await scope.start(world.open('a'), 'a')
      await store.create(metaOf('orders', 'one'), source(['1']), scope.options)
      const end = await scope.fault(() => world.outage!())
      const code = 'KAGAMI_STORE_UNAVAILABLE'
      await rejectsWith(scope, store.list('orders', scope.options), code, 'list()')
      await rejectsWith(scope, store.list('nobody', scope.options), code, 'list() of an unknown token')
      await rejectsWith(scope, contents(store, 'orders', 'one', scope.options), code, 'open()')
      await rejectsWith(scope, store.create(metaOf('orders', 'two'), source(['2']), scope.options), code, 'create()')
      await rejectsWith(scope, store.delete('orders', 'one', scope.options), code, 'delete()')
      await end()
      const listed = await store.list('orders', scope.options)
      assert.deepEqual(
        listed.map(({ meta }) => meta.id),
        ['one'],
      )
    })
  }
  if (capabilities.fill) {
    test('a full store rejects with KAGAMI_STORE_FULL, keeps what it has, and shows nothing new', async (scope, world) => {
      const store = await scope.start(world.open('a'), 'a')
      await store.create(metaOf('orders', 'one'), source(['1']), scope.options)
      const end = await scope.fault(() => world.fill!())
      const created = store.create(metaOf('orders', 'two'), source(['2'.repeat(1_000_000)]), scope.options)
      await rejectsWith(scope, created, 'KAGAMI_STORE_FULL', 'create()')
      assert.equal((await store.list('orders', scope.options)).length, 1)
      assert.equal(await contents(store, 'orders', 'one', scope.options), '1')
      await end()
      await store.create(metaOf('orders', 'two'), source(['2']), scope.options)
      assert.equal(await contents(store, 'orders', 'two', scope.options), '2')
    })
  }
  if (capabilities.spoilMeta === true) {
    test('a snapshot whose metadata can not be read is left out of the list, and logged', async (scope, world) => {
      const store = await scope.start(world.open('a'), 'a')
      await store.create(metaOf('orders', 'bad', { nextIndex: 2 }), source(['x']), scope.options)
      await store.create(metaOf('orders', 'good', { nextIndex: 1 }), source(['y']), scope.options)
      await world.spoilMeta!('orders', 'bad')
      const reader = await scope.start(world.open('b'), 'b')
      const before = scope.logged.length
      const listed = await reader.list('orders', scope.options)
      assert.deepEqual(
        listed.map(({ meta }) => meta.id),
        ['good'],
      )
      assert.ok(scope.logged.length > before, 'nothing was logged at warn or error')
      assert.equal(await contents(reader, 'orders', 'good', scope.options), 'y')
    })
  }
  for (const damage of ['corrupt', 'tear'] as const) {
    if (!capabilities[damage]) continue
    const name = damage === 'corrupt' ? 'a flipped bit' : 'a blob that was cut short'
    test(`${name} is KAGAMI_SNAPSHOT_CORRUPT, and other snapshots are untouched`, async (scope, world) => {
      const store = await scope.start(world.open('a'), 'a')
      const text = 'some state '.repeat(50_000)
      await store.create(metaOf('orders', 'bad', { nextIndex: 2 }), source([text, text]), scope.options)
      await store.create(metaOf('orders', 'good', { nextIndex: 1 }), source([text]), scope.options)
      await world[damage]!('orders', 'bad')
      const reader = await scope.start(world.open('b'), 'b')
      const opened = contents(reader, 'orders', 'bad', scope.options)
      await rejectsWith(scope, opened, 'KAGAMI_SNAPSHOT_CORRUPT', 'reading a damaged blob')
      assert.equal(await contents(reader, 'orders', 'good', scope.options), text)
    })
  }
}
