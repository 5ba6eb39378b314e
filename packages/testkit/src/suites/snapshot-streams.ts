/** What a snapshot store does with the streams it is given and gives: all or nothing, at the pace of the slower side. */
import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { bytesOf, iterate, nextOf, rejectsWith, rejectsWithReason } from './expect.js'
import type { Case, Scope } from './runner.js'
import type { SnapshotStoreWorld } from './snapshot-store-world.js'
import { contents, metaOf, source, steps } from './snapshot-support.js'

export function snapshotStreamCases(
  test: Case<SnapshotStoreWorld>,
  subject: { readonly boundedMemory: boolean; readonly largeBytes: number },
): void {
  abortCases(test)
  sourceCases(test)
  readCases(test)
  if (subject.boundedMemory) memoryCases(test, subject.largeBytes)
}

/** Nothing of this snapshot can be seen, by the node that tried or by another, and its id is free. */
async function leftNothing(scope: Scope, world: SnapshotStoreWorld, id: string): Promise<void> {
  const store = await scope.start(world.open('c'), 'c')
  assert.deepEqual(await store.list('orders', scope.options), [], 'a snapshot that was not published is listed')
  const opened = contents(store, 'orders', id, scope.options)
  await rejectsWith(scope, opened, 'KAGAMI_SNAPSHOT_MISSING', 'open() of what was not published')
  await store.create(metaOf('orders', id), source(['second try']), scope.options)
  assert.equal(await contents(store, 'orders', id, scope.options), 'second try')
}

function abortCases(test: Case<SnapshotStoreWorld>): void {
  test('a snapshot is neither listed nor opened until create resolves', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    const peeks: string[] = []
    const peek = async (): Promise<Uint8Array> => {
      for (const store of [a, b]) {
        for (const { meta } of await store.list('orders', scope.options)) peeks.push(`listed ${meta.id}`)
        const opened = contents(store, 'orders', 'one', scope.options)
        await opened.then(
          (text) => peeks.push(`opened ${text.length} characters`),
          () => undefined,
        )
      }
      return new Uint8Array(300_000).fill(120)
    }
    await a.create(metaOf('orders', 'one'), steps([peek, peek, peek, peek]), scope.options)
    assert.deepEqual(peeks, [], 'a partial snapshot was visible')
    for (const store of [a, b]) {
      assert.equal((await contents(store, 'orders', 'one', scope.options)).length, 1_200_000)
    }
  })

  test('a stream that throws leaves nothing, and create rejects with that very error', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const reason = new Error('the state machine failed half-way')
    const fails = (): never => {
      throw reason
    }
    const half = (): Uint8Array => new Uint8Array(700_000)
    for (const stream of [[fails], [half, fails], [half, half, fails]]) {
      const created = store.create(metaOf('orders', 'one'), steps(stream), scope.options)
      await rejectsWithReason(scope, created, reason, `create() of a stream of ${stream.length} steps`)
    }
    await leftNothing(scope, world, 'one')
  })

  test('an abort leaves nothing, rejects with the reason, and ends the stream', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const controller = scope.controller()
    const reason = new Error('enough')
    let ended = false
    async function* stream(): AsyncGenerator<Uint8Array, void, void> {
      try {
        yield new Uint8Array(700_000)
        controller.abort(reason)
        yield new Uint8Array(700_000)
        // Far more than a store that listens will ask for, and yet an end for one that does not.
        for (let i = 0; i < 1000; i++) {
          await new Promise((resolve) => setImmediate(resolve))
          yield new Uint8Array(1000)
        }
      } finally {
        ended = true
      }
    }
    const created = store.create(metaOf('orders', 'one'), stream(), { signal: controller.signal })
    await rejectsWithReason(scope, created, reason, 'create()')
    await leftNothing(scope, world, 'one')
    assert.ok(ended, 'the stream was left open')
  })

  test('an abort ends a create whose stream hangs', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const controller = scope.controller()
    const reason = new Error('enough')
    const hang = (): Promise<Uint8Array> => {
      setTimeout(() => controller.abort(reason), 10)
      return new Promise(() => undefined)
    }
    const chunk = (): Uint8Array => bytesOf('some bytes')
    const created = store.create(metaOf('orders', 'one'), steps([chunk, hang]), { signal: controller.signal })
    await rejectsWithReason(scope, created, reason, 'create()')
    await leftNothing(scope, world, 'one')
  })

  test('every call whose signal has aborted rejects with the reason', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['1']), scope.options)
    const reason = new Error('enough')
    const options = { signal: AbortSignal.abort(reason) }
    await rejectsWithReason(scope, store.create(metaOf('orders', 'two'), source(['2']), options), reason, 'create()')
    await rejectsWithReason(scope, store.list('orders', options), reason, 'list()')
    await rejectsWithReason(scope, contents(store, 'orders', 'one', options), reason, 'open()')
    await rejectsWithReason(scope, store.delete('orders', 'one', options), reason, 'delete()')
    const listed = await store.list('orders', scope.options)
    assert.deepEqual(
      listed.map(({ meta }) => meta.id),
      ['one'],
    )
  })

  test('a stop ends a create under way, which leaves nothing', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    let reached = (): void => undefined
    const waiting = new Promise<void>((resolve) => (reached = resolve))
    const chunk = (): Uint8Array => bytesOf('some bytes')
    const hang = (): Promise<Uint8Array> => {
      reached()
      return new Promise(() => undefined)
    }
    const created = store.create(metaOf('orders', 'one'), steps([chunk, hang]), scope.options)
    const outcome = created.then(
      () => 'resolved',
      () => 'rejected',
    )
    await scope.within(waiting, 'asking for the second chunk')
    await scope.within(store.stop(), 'stop()')
    assert.equal(await scope.within(outcome, 'create()'), 'rejected')
    await leftNothing(scope, world, 'one')
  })
}

function sourceCases(test: Case<SnapshotStoreWorld>): void {
  test('a chunk may be reused once the next is asked for', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const expected = ['a', 'b', 'c'].map((letter) => letter.repeat(100_000)).join('')
    // A Buffer too: its `slice` is a view.
    for (const [id, buffer] of Object.entries({ one: new Uint8Array(100_000), two: Buffer.alloc(100_000) })) {
      const fill = (letter: string) => (): Uint8Array => buffer.fill(letter.charCodeAt(0))
      await store.create(metaOf('orders', id), steps(['a', 'b', 'c'].map(fill)), scope.options)
      buffer.fill(0)
      assert.equal(await contents(store, 'orders', id, scope.options), expected)
    }
  })

  test('chunks are asked for one at a time', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    let asked = 0
    let most = 0
    let left = 20
    const chunks: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          asked += 1
          most = Math.max(most, asked)
          await new Promise((resolve) => setImmediate(resolve))
          asked -= 1
          left -= 1
          return left < 0 ? { done: true, value: undefined } : { done: false, value: new Uint8Array(10_000) }
        },
      }),
    }
    const ref = await store.create(metaOf('orders', 'one'), chunks, scope.options)
    assert.equal(ref.bytes, 200_000)
    assert.equal(most, 1, 'the next chunk was asked for before the last had come')
  })

  test('chunks of any size are kept in order', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const sizes = [0, 1, 65_535, 65_536, 65_537, 1, 0, 1_048_576, 3_000_000, 1]
    const parts = sizes.map((size, i) => String.fromCharCode(97 + i).repeat(size))
    const ref = await store.create(metaOf('orders', 'one'), source(parts), scope.options)
    assert.equal(ref.bytes, parts.join('').length)
    assert.ok((await contents(store, 'orders', 'one', scope.options)) === parts.join(''), 'the bytes differ')
  })
}

function readCases(test: Case<SnapshotStoreWorld>): void {
  test('a blob is read in chunks of at most about 1 MiB, which belong to the reader', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['x'.repeat(5_000_000)]), scope.options)
    for (let pass = 0; pass < 2; pass++) {
      let bytes = 0
      for await (const chunk of store.open('orders', 'one', scope.options)) {
        assert.ok(chunk.byteLength <= 1_200_000, `a chunk of ${chunk.byteLength} bytes`)
        assert.ok(
          chunk.every((byte) => byte === 120),
          'a chunk was not what was stored',
        )
        bytes += chunk.byteLength
        chunk.fill(0)
      }
      assert.equal(bytes, 5_000_000)
    }
  })

  test('a reader may return early, again and again, and the snapshot can then be deleted', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['x'.repeat(3_000_000)]), scope.options)
    for (let i = 0; i < 200; i++) {
      for await (const chunk of store.open('orders', 'one', scope.options)) {
        assert.ok(chunk.byteLength > 0)
        break
      }
    }
    await store.delete('orders', 'one', scope.options)
    assert.deepEqual(await store.list('orders', scope.options), [])
    await scope.within(store.stop(), 'stop()')
  })

  test('an abort ends a reading with the reason', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['x'.repeat(5_000_000)]), scope.options)
    const controller = scope.controller()
    const reason = new Error('enough')
    const reading = async (): Promise<void> => {
      for await (const chunk of store.open('orders', 'one', { signal: controller.signal })) {
        if (chunk.byteLength > 0) controller.abort(reason)
      }
    }
    await rejectsWithReason(scope, reading(), reason, 'reading on')
  })

  test('a stop ends a reading', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    await store.create(metaOf('orders', 'one'), source(['x'.repeat(5_000_000)]), scope.options)
    const iterator = iterate(scope, store.open('orders', 'one', scope.options))
    await nextOf(scope, iterator, 'the first chunk')
    await scope.within(store.stop(), 'stop()')
    const drain = async (): Promise<void> => {
      while ((await iterator.next()).done !== true) await scope.turn()
    }
    const outcome = await scope.within(
      drain().then(
        () => 'ended',
        () => 'rejected',
      ),
      'the reading',
    )
    assert.equal(outcome, 'rejected', 'a reading that was cut short must not look complete')
  })

  test('several readers read one snapshot at once', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    const text = 'some state '.repeat(100_000)
    await a.create(metaOf('orders', 'one'), source([text]), scope.options)
    const all = await Promise.all([a, b, a, b].map((store) => contents(store, 'orders', 'one', scope.options)))
    assert.ok(
      all.every((read) => read === text),
      'a reader got other bytes',
    )
  })
}

function memoryCases(test: Case<SnapshotStoreWorld>, largeBytes: number): void {
  const chunkBytes = 256 * 1024
  const count = Math.ceil(largeBytes / chunkBytes)

  test(`memory stays bounded while ${Math.round(largeBytes / 1_048_576)} MiB are written and read`, async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    const gauge = memoryGauge()
    const chunk = new Uint8Array(chunkBytes)
    async function* stream(): AsyncGenerator<Uint8Array, void, void> {
      for (let i = 0; i < count; i++) {
        if (i % 32 === 0) gauge.look()
        chunk.fill(i)
        yield chunk
      }
    }
    await store.create(metaOf('orders', 'one'), stream(), scope.options)
    const written = gauge.most()
    let bytes = 0
    let looks = 0
    for await (const part of store.open('orders', 'one', scope.options)) {
      const at = Math.floor(bytes / chunkBytes) % 256
      assert.equal(part[0], at, `byte ${bytes} of the blob`)
      bytes += part.byteLength
      if (bytes / (32 * chunkBytes) > looks) {
        looks += 1
        // Time for a store that reads ahead to do so.
        await new Promise((resolve) => setTimeout(resolve, 2))
        gauge.look()
      }
    }
    assert.equal(bytes, count * chunkBytes)
    const bound = largeBytes / 4
    assert.ok(written < bound, `writing held ${Math.round(written / 1024)} KiB`)
    assert.ok(gauge.most() < bound, `reading held ${Math.round(gauge.most() / 1024)} KiB`)
  })
}

/** The most memory that was in use at a look, above what was in use at first. Collects garbage at each look, so that only what is held counts. */
function memoryGauge(): { look(): void; most(): number } {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = (): number => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const first = held()
  let most = 0
  return {
    look: () => {
      most = Math.max(most, held() - first)
    },
    most: () => most,
  }
}
