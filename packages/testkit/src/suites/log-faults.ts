/** The clauses on outages, full disks, lost tails and logs that were deleted and created anew. */
import assert from 'node:assert/strict'
import type { CommitLogCapabilities } from './commit-log-capabilities.js'
import type { CommitLogWorld } from './commit-log-world.js'
import { bytesOf, isError, iterate, nextOf, rejectsWith, unanswered, until } from './expect.js'
import { allRecords, appendAll, checked, none, numbered, openAt, openOn, openOne, texts } from './log-support.js'
import type { Case } from './runner.js'

export function logFaultCases(test: Case<CommitLogWorld>, capabilities: CommitLogCapabilities): void {
  if (capabilities.outage) outageCases(test)
  if (capabilities.recreate) recreateCases(test)
  if (capabilities.fill) {
    test('a full log rejects appends with KAGAMI_STORE_FULL, keeps what it has, and recovers', async (scope, world) => {
      const { handle } = await openOne(scope, world)
      await appendAll(scope, handle, ['before'])
      const end = await scope.fault(() => world.fill!())
      await rejectsWith(scope, handle.append(new Uint8Array(60_000), scope.options), 'KAGAMI_STORE_FULL', 'append()')
      assert.equal(texts(await allRecords(scope, handle))[0], 'before')
      await end()
      await appendAll(scope, handle, ['after'])
      assert.equal(texts(await allRecords(scope, handle)).at(-1), 'after')
    })
  }
  if (capabilities.loseTail) {
    test('a reader above the end of a log that lost its tail is told KAGAMI_LOG_LOST_TAIL', async (scope, world) => {
      const { handle } = await openOne(scope, world)
      const offsets = await appendAll(scope, handle, numbered(10))
      const reading = iterate(scope, checked(handle, offsets[0]!, scope))
      await until(scope, reading, (batch) => batch.next === batch.end, 'the end')
      await world.loseTail!(handle.address, 4)
      const rest = until(scope, reading, (batch) => batch.records.length > 0, 'the loss')
      await rejectsWith(scope, rest, 'KAGAMI_LOG_LOST_TAIL', 'a reader at the former end')
    })
  }
}

function outageCases(test: Case<CommitLogWorld>): void {
  test('during an outage an append is not acknowledged: it waits, or rejects with KAGAMI_LOG_UNAVAILABLE', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    await appendAll(scope, handle, ['before'])
    const end = await scope.fault(() => world.outage!())
    const append = handle.append(bytesOf('during'), scope.options)
    await scope.staysPending(append, 'an append during an outage')
    await end()
    const outcome = await scope.within(
      append.catch((error: unknown) => error),
      'the append',
    )
    if (typeof outcome !== 'bigint') isError(outcome, 'KAGAMI_LOG_UNAVAILABLE', 'the append rejected')
    await appendAll(scope, handle, ['after'])
    const read = texts(await allRecords(scope, handle))
    assert.deepEqual([read[0], read.at(-1)], ['before', 'after'])
  })

  test('a reader rides out an outage without yielding, and goes on without a gap', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(3))
    const reading = iterate(scope, checked(handle, offsets[0]!, scope))
    const read: string[] = []
    await until(
      scope,
      reading,
      (batch) => read.push(...texts(batch.records)) === 3 && batch.next === batch.end,
      'the end',
    )
    const end = await scope.fault(() => world.outage!())
    const next = reading.next()
    await scope.staysPending(next, 'a look during an outage')
    await end()
    const step = await scope.within(next, 'reading on')
    assert.ok(step.done !== true)
    read.push(...texts(step.value.records))
    await appendAll(scope, handle, ['after'])
    while (read.length < 4) read.push(...texts((await nextOf(scope, reading, 'the append')).records))
    assert.deepEqual(read, [...numbered(3), 'after'])
  })

  test('during an outage nothing is made up: no other call resolves, and each may be tried again', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(3))
    await scope.fault(() => world.outage!())
    for (const [what, call] of [
      ['range()', () => handle.range(scope.options)],
      ['find()', () => log.find('orders', none, scope.options)],
      ['allocate()', () => log.allocate('carts', none, scope.options)],
      ['open()', () => log.open(handle.address, { ...scope.options, token: 'orders' })],
      ['truncate()', () => handle.truncate(offsets[1]!, scope.options)],
      ['release()', () => log.release(handle.address, offsets[1]!, scope.options)],
    ] as const) {
      await unanswered(scope, call(), 'KAGAMI_LOG_UNAVAILABLE', what)
    }
  })
}

function recreateCases(test: Case<CommitLogWorld>): void {
  test('a log that was deleted and created anew has another identity and none of the old records', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    await appendAll(scope, handle, numbered(5))
    await world.recreate!(handle.address)
    const anew = await openAt(scope, log, handle.address)
    assert.notEqual(anew.identity, handle.identity)
    await appendAll(scope, anew, ['new'])
    assert.deepEqual(texts(await allRecords(scope, anew)), ['new'])
  })

  test('a handle on the former log is told KAGAMI_LOG_REPLACED, and changes nothing in the new one', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    await appendAll(scope, handles[0]!, numbered(5))
    const { end } = await handles[0]!.range(scope.options)
    const reading = iterate(scope, checked(handles[1]!, end, scope))
    const told = scope.later(
      rejectsWith(
        scope,
        until(scope, reading, () => false, 'the news'),
        'KAGAMI_LOG_REPLACED',
        'a waiting reader',
      ),
    )
    await world.recreate!(handles[0]!.address)
    await rejectsWith(scope, handles[0]!.append(bytesOf('late'), scope.options), 'KAGAMI_LOG_REPLACED', 'append()')
    await told
    const anew = await openAt(scope, logs[0]!, handles[0]!.address)
    assert.deepEqual(await allRecords(scope, anew), [])
    await appendAll(scope, anew, ['new'])
    for (const handle of handles) {
      await rejectsWith(scope, handle.range(scope.options), 'KAGAMI_LOG_REPLACED', 'range()')
      await rejectsWith(scope, handle.truncate(end, scope.options), 'KAGAMI_LOG_REPLACED', 'truncate()')
    }
    assert.deepEqual(texts(await allRecords(scope, anew)), ['new'])
  })
}
