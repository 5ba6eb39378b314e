/** The clauses on documents: compare-and-set, growing versions, and watches that end at the truth. */
import assert from 'node:assert/strict'
import { isKagamiError } from '@kagami/core/contract'
import type { Document, Session } from '@kagami/core/contract'
import type { CoordinatorWorld } from './coordinator-world.js'
import { connectOn, sessionsOf } from './coordinator-support.js'
import { bytesOf, equalBytes, iterate, nextOf, rejectsWith, textOf, until } from './expect.js'
import { seededRandom } from './random.js'
import { sleep } from './runner.js'
import type { Case } from './runner.js'

export function documentCases(test: Case<CoordinatorWorld>): void {
  writeCases(test)
  sizeCases(test)
  watchCases(test)
}

function writeCases(test: Case<CoordinatorWorld>): void {
  test('a document that was never written is undefined', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    assert.equal(await session.read('nothing/here', scope.options), undefined)
  })

  test('what was written is visible to everyone at once, with the version that write gave', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'b', 'c'])
    let version: number | undefined
    for (let i = 0; i < 20; i++) {
      version = await sessions[i % 3]!.write('x/1', bytesOf(`v${i}`), version, scope.options)
      for (const session of sessions) {
        const document = await session.read('x/1', scope.options)
        assert.deepEqual(
          document && { ...document, bytes: textOf(document.bytes) },
          { name: 'x/1', version, bytes: `v${i}` },
          'a reader saw something else',
        )
      }
    }
  })

  test('versions grow with every write', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    let version = await a!.write('x/1', bytesOf('same'), undefined, scope.options)
    for (let i = 0; i < 10; i++) {
      const next = await (i % 2 === 0 ? b! : a!).write('x/1', bytesOf('same'), version, scope.options)
      assert.ok(next > version, `version ${next} after ${version}`)
      version = next
    }
  })

  test('a write with another version than the document’s is a conflict, and writes nothing', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const first = await a!.write('x/1', bytesOf('one'), undefined, scope.options)
    const second = await b!.write('x/1', bytesOf('two'), first, scope.options)
    for (const session of [a!, b!]) {
      for (const expected of [undefined, first, first - 1, second + 1]) {
        const write = session.write('x/1', bytesOf('wrong'), expected, scope.options)
        await rejectsWith(scope, write, 'KAGAMI_VERSION_CONFLICT', `write() expecting ${expected}, at ${second}`)
      }
      const absent = session.write('x/2', bytesOf('wrong'), first, scope.options)
      await rejectsWith(scope, absent, 'KAGAMI_VERSION_CONFLICT', 'write() of an absent document, expecting a version')
    }
    const document = await a!.read('x/1', scope.options)
    assert.deepEqual([document!.version, textOf(document!.bytes)], [second, 'two'])
    assert.equal(await b!.read('x/2', scope.options), undefined)
  })

  test('of many writers that expect one version, one wins and the others conflict', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'b', 'c', 'd'])
    let version: number | undefined
    for (let round = 0; round < 5; round++) {
      const writes = Array.from({ length: 12 }, (_, i) =>
        sessions[i % 4]!.write('x/1', bytesOf(`${round} ${i}`), version, scope.options).then((given) => ({ given, i })),
      )
      const outcomes = await scope.within(Promise.allSettled(writes), 'twelve writes')
      const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
      assert.equal(won.length, 1, `${won.length} writers won`)
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue
        await rejectsWith(scope, Promise.reject(outcome.reason), 'KAGAMI_VERSION_CONFLICT', 'a write() that lost')
      }
      const document = await sessions[round % 4]!.read('x/1', scope.options)
      assert.deepEqual([document!.version, textOf(document!.bytes)], [won[0]!.given, `${round} ${won[0]!.i}`])
      version = won[0]!.given
    }
  })

  test('concurrent increments by compare-and-set lose none', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'b', 'c', 'd'])
    const increment = async (session: Session): Promise<void> => {
      for (;;) {
        const document = await session.read('count', scope.options)
        const count = document === undefined ? 0 : Number(textOf(document.bytes))
        try {
          await session.write('count', bytesOf(String(count + 1)), document?.version, scope.options)
          return
        } catch (error) {
          if (!isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')) throw error
        }
        await scope.turn()
      }
    }
    const all = sessions.map(async (session) => {
      for (let i = 0; i < 10; i++) await increment(session)
    })
    await scope.within(Promise.all(all), '40 increments', scope.patienceMs * 3)
    assert.equal(textOf((await sessions[0]!.read('count', scope.options))!.bytes), '40')
  })

  test('documents outlive the session that wrote them', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    const version = await session.write('x/1', bytesOf('kept'), undefined, scope.options)
    await coordinator.stop()
    const { session: later } = await connectOn(scope, world, 'b')
    const document = await later.read('x/1', scope.options)
    assert.deepEqual([document!.version, textOf(document!.bytes)], [version, 'kept'])
  })

  test('the bytes that were written are the writer’s again once the write has settled', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    // A Buffer too: its `slice` is a view.
    for (const [name, bytes] of Object.entries({ 'x/1': bytesOf('kept'), 'x/2': Buffer.from('kept') })) {
      const watch = iterate(scope, b!.watch(name, scope.options))
      await nextOf(scope, watch, 'the present state')
      await a!.write(name, bytes, undefined, scope.options)
      bytes.fill(0)
      const documents = await until(scope, watch, (state) => state.size === 1, 'the document')
      assert.equal(textOf(documents.get(name)!.bytes), 'kept')
      for (const session of [a!, b!]) assert.equal(textOf((await session.read(name, scope.options))!.bytes), 'kept')
    }
  })

  test('a write that is aborted under way writes what it was given, or nothing', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const controller = scope.controller()
    const names = Array.from({ length: 20 }, (_, i) => `x/${i}`)
    const given = names.map(() => bytesOf('given'))
    const writes = names.map((name, i) => session.write(name, given[i]!, undefined, { signal: controller.signal }))
    controller.abort(new Error('enough'))
    await scope.within(Promise.allSettled(writes), '20 writes')
    for (const bytes of given) bytes.fill(0)
    await sleep(scope.quietMs)
    for (const name of names) {
      const document = await session.read(name, scope.options)
      if (document !== undefined) assert.equal(textOf(document.bytes), 'given')
    }
  })

  test('names may use their whole alphabet, and a name may be the beginning of another', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const names = ['a', 'a/b', 'a/b/c', 'ab', 'A', 'A-Z_0.9/x.y', '0/1', 'a.b', `long/${'n'.repeat(150)}`]
    for (const name of names) await session.write(name, bytesOf(`of ${name}`), undefined, scope.options)
    for (const name of names) assert.equal(textOf((await session.read(name, scope.options))!.bytes), `of ${name}`)
    const all = await nextOf(scope, iterate(scope, session.watch('', scope.options)), 'all documents')
    assert.deepEqual([...all.keys()], [...names].sort())
  })

  test('clusters do not share documents', async (scope, world) => {
    const one = await connectOn(scope, world, 'a', 'one')
    const two = await connectOn(scope, world, 'a', 'two')
    await one.session.write('x/1', bytesOf('one'), undefined, scope.options)
    assert.equal(await two.session.read('x/1', scope.options), undefined)
    assert.equal((await nextOf(scope, iterate(scope, two.session.watch('', scope.options)), 'the documents')).size, 0)
    await two.session.write('x/1', bytesOf('two'), undefined, scope.options)
    assert.equal(textOf((await one.session.read('x/1', scope.options))!.bytes), 'one')
  })
}

function sizeCases(test: Case<CoordinatorWorld>): void {
  test('documents of any size up to maxDocumentBytes come back whole', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    const { session: other } = await connectOn(scope, world, 'b')
    assert.ok(coordinator.maxDocumentBytes >= 262_144, `maxDocumentBytes is ${coordinator.maxDocumentBytes}`)
    const random = seededRandom(3)
    let version: number | undefined
    for (const size of [0, 1, 4096, 65_537, 262_144, coordinator.maxDocumentBytes]) {
      const bytes = random.bytes(size)
      version = await session.write('x/1', bytes, version, scope.options)
      equalBytes((await other.read('x/1', scope.options))!.bytes, bytes, `a document of ${size} bytes`)
    }
  })

  test('a document that is too large is refused, and nothing is written', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    const version = await session.write('x/1', bytesOf('fits'), undefined, scope.options)
    const large = new Uint8Array(coordinator.maxDocumentBytes + 1)
    for (const [name, expected] of [
      ['x/1', version],
      ['x/2', undefined],
    ] as const) {
      const write = session.write(name, large, expected, scope.options)
      await rejectsWith(scope, write, 'KAGAMI_DOCUMENT_TOO_LARGE', `write(${name})`)
    }
    const document = await session.read('x/1', scope.options)
    assert.deepEqual([document!.version, textOf(document!.bytes)], [version, 'fits'])
    assert.equal(await session.read('x/2', scope.options), undefined)
    await session.write('x/1', bytesOf('goes on'), version, scope.options)
  })
}

const shown = (documents: ReadonlyMap<string, Document>): string =>
  [...documents].map(([name, { bytes }]) => `${name}=${textOf(bytes)}`).join(' ')

function watchCases(test: Case<CoordinatorWorld>): void {
  test('a watch begins with the present state, also when there is nothing', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const empty = await nextOf(scope, iterate(scope, a!.watch('x/', scope.options)), 'the present state')
    assert.equal(empty.size, 0)
    await b!.write('x/1', bytesOf('one'), undefined, scope.options)
    await b!.write('x/2', bytesOf('two'), undefined, scope.options)
    const present = await nextOf(scope, iterate(scope, a!.watch('x/', scope.options)), 'the present state')
    assert.equal(shown(present), 'x/1=one x/2=two')
  })

  test('a watch shows the documents whose names start with the prefix, by name, and no others', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    for (const name of ['t/10', 't/2', 't/1', 't', 'tt/1', 't/1/x', 'u/1', 'T/1', 't-1']) {
      await session.write(name, bytesOf('x'), undefined, scope.options)
    }
    for (const [prefix, expected] of [
      ['t/', 't/1 t/1/x t/10 t/2'],
      ['t/1', 't/1 t/1/x t/10'],
      ['t', 't t-1 t/1 t/1/x t/10 t/2 tt/1'],
      ['v/', ''],
    ] as const) {
      const documents = await nextOf(scope, iterate(scope, session.watch(prefix, scope.options)), 'the present state')
      assert.equal([...documents.keys()].join(' '), expected, `watching ${prefix}`)
      for (const [name, document] of documents) assert.equal(document.name, name)
    }
  })

  test('each change reaches every watch, of the writer’s node and of others, with the version that write gave', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'b'])
    const watches = sessions.map((session) => iterate(scope, session.watch('x/', scope.options)))
    for (const watch of watches) await nextOf(scope, watch, 'the present state')
    let version: number | undefined
    for (let i = 0; i < 10; i++) {
      version = await sessions[i % 2]!.write('x/1', bytesOf(`v${i}`), version, scope.options)
      for (const watch of watches) {
        const documents = await until(scope, watch, (state) => shown(state) === `x/1=v${i}`, `change ${i}`)
        assert.equal(documents.get('x/1')!.version, version)
      }
    }
  })

  test('after a burst of changes a watch ends at the last state, with fewer states than changes', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const watch = iterate(scope, b!.watch('x/', scope.options))
    await nextOf(scope, watch, 'the present state')
    const versions = new Map<string, number>()
    for (let i = 0; i < 100; i++) {
      const name = `x/${i % 5}`
      versions.set(name, await a!.write(name, bytesOf(`v${i}`), versions.get(name), scope.options))
      // Time for each change to be noticed: a watch that queues what nobody has asked for is to be found out.
      await new Promise((resolve) => setImmediate(resolve))
    }
    let states = 0
    const last = 'x/0=v95 x/1=v96 x/2=v97 x/3=v98 x/4=v99'
    await until(scope, watch, (state) => ++states > 0 && shown(state) === last, 'the last state')
    assert.ok(states < 100, `${states} states for 100 changes that nobody looked at: they should have been merged`)
  })

  test('a document that has not changed is the same object as before', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const version = await a!.write('x/1', bytesOf('one'), undefined, scope.options)
    await a!.write('x/2', bytesOf('two'), undefined, scope.options)
    const watch = iterate(scope, b!.watch('x/', scope.options))
    const before = await until(scope, watch, (state) => state.size === 2, 'both documents')
    await a!.write('x/1', bytesOf('changed'), version, scope.options)
    const after = await until(scope, watch, (state) => shown(state).startsWith('x/1=changed'), 'the change')
    assert.ok(after.get('x/2') === before.get('x/2'), 'an unchanged document came as another object')
    assert.ok(after.get('x/1') !== before.get('x/1'), 'a changed document came as the same object')
    assert.equal(textOf(before.get('x/1')!.bytes), 'one', 'a state that was yielded before has changed')
  })
}
