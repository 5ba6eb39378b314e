/** The clauses on appending: durable and readable by everyone on return, exactly once, in one order. */
import assert from 'node:assert/strict'
import type { CommitLogWorld } from './commit-log-world.js'
import { bytesOf, equalBytes, iterate, nextOf, rejectsWith, rejectsWithReason, textOf } from './expect.js'
import {
  allRecords,
  appendAll,
  checked,
  neverMs,
  numbered,
  openAt,
  openOn,
  openOne,
  readCount,
  texts,
} from './log-support.js'
import { seededRandom } from './random.js'
import { sleep } from './runner.js'
import type { Case } from './runner.js'

export function appendCases(test: Case<CommitLogWorld>): void {
  orderCases(test)
  sizeCases(test)
  endCases(test)
}

function orderCases(test: Case<CommitLogWorld>): void {
  test('records come back as they were appended, in order, at the offsets that were returned', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(50))
    for (const handle of handles) {
      const records = await readCount(scope, handle, offsets[0]!, 50)
      assert.deepEqual(texts(records), numbered(50))
      assert.deepEqual(
        records.map((record) => record.offset),
        offsets,
      )
    }
  })

  test('an acknowledged record is readable at once by everyone', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    for (let i = 0; i < 20; i++) {
      const offset = await handles[0]!.append(bytesOf(`r${i}`), scope.options)
      for (const handle of handles) {
        const reading = iterate(scope, checked(handle, offset, scope, { lookMs: neverMs }))
        const batch = await nextOf(scope, reading, `the record at ${offset}`)
        assert.deepEqual(texts(batch.records), [`r${i}`], 'the first look did not show an acknowledged record')
        await reading.return?.()
      }
    }
  })

  test('what was acknowledged outlives every adapter', async (scope, world) => {
    const { logs, handles } = await openOn(scope, world, ['a', 'b'])
    await appendAll(scope, handles[0]!, numbered(20))
    for (const log of logs) await log.stop()
    const again = await openAt(scope, await scope.start(world.open('a'), 'a'), handles[0]!.address)
    assert.deepEqual(texts(await allRecords(scope, again)), numbered(20))
    await appendAll(scope, again, ['after'])
    assert.deepEqual(texts(await allRecords(scope, again)), [...numbered(20), 'after'])
  })

  test('concurrent appends of one handle land once each, at the offsets that were returned', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const appended = numbered(200)
    const offsets = await scope.within(
      Promise.all(appended.map((text) => handle.append(bytesOf(text), scope.options))),
      '200 appends',
    )
    const records = await allRecords(scope, handle)
    assert.deepEqual(texts(records).sort(), [...appended].sort())
    for (const record of records) {
      assert.equal(record.offset, offsets[appended.indexOf(textOf(record.bytes))], 'a record lies at another offset')
    }
  })

  test('appends of several nodes land once each, in one order for all readers', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b', 'c'])
    const { start } = await handles[0]!.range(scope.options)
    const following = handles.map((handle) => scope.later(readCount(scope, handle, start, 150)))
    await scope.within(
      Promise.all(handles.map((handle, i) => appendAll(scope, handle, numbered(50, `${'abc'[i]}`)))),
      'three appenders',
      scope.patienceMs * 2,
    )
    const orders = (await Promise.all(following)).map(texts)
    const expected = ['a', 'b', 'c'].flatMap((prefix) => numbered(50, prefix))
    for (const order of orders) {
      assert.deepEqual([...order].sort(), [...expected].sort())
      assert.deepEqual(order, orders[0], 'two readers saw two orders')
    }
    for (const prefix of ['a', 'b', 'c']) {
      const own = orders[0]!.filter((text) => text.startsWith(prefix))
      assert.deepEqual(own, numbered(50, prefix), 'appends that waited for one another changed places')
    }
    assert.deepEqual(texts(await allRecords(scope, handles[1]!)), orders[0], 'a later reader saw another order')
  })

  test('offsets grow from one append to the next, across nodes', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    let last = (await handles[0]!.range(scope.options)).start - 1n
    for (let i = 0; i < 20; i++) {
      const offset = await handles[i % 2]!.append(bytesOf(`r${i}`), scope.options)
      assert.ok(offset > last, `offset ${offset} after ${last}`)
      last = offset
    }
  })
}

function sizeCases(test: Case<CommitLogWorld>): void {
  test('records of any size up to maxRecordBytes come back whole', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const random = seededRandom(7)
    const sizes = [1, 2, 255, 256, 4095, 4096, 4097, 65_535, 65_536, log.maxRecordBytes - 1, log.maxRecordBytes]
    const records = sizes.map((size) => random.bytes(size))
    for (const record of records) await handle.append(record, scope.options)
    const { start } = await handle.range(scope.options)
    const read = await readCount(scope, handle, start, sizes.length)
    for (const [i, record] of records.entries()) equalBytes(read[i]!.bytes, record, `the record of ${sizes[i]} bytes`)
  })

  test('a record above maxRecordBytes is refused, nothing of it lands, and the log goes on', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    await appendAll(scope, handle, ['before'])
    const append = handle.append(new Uint8Array(log.maxRecordBytes + 1), scope.options)
    await rejectsWith(scope, append, 'KAGAMI_LOG_REFUSED', 'append() of too large a record')
    await appendAll(scope, handle, ['after'])
    assert.deepEqual(texts(await allRecords(scope, handle)), ['before', 'after'])
  })

  test('the buffer may be reused once the append has settled', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    // A Buffer too: its `slice` is a view.
    const buffers = [new Uint8Array(4), Buffer.alloc(4)]
    for (let i = 1; i <= 10; i++) await handle.append(buffers[i % 2]!.fill(i), scope.options)
    for (const buffer of buffers) buffer.fill(0)
    const bytes = (await allRecords(scope, handle)).map((record) => [...record.bytes])
    assert.deepEqual(
      bytes,
      Array.from({ length: 10 }, (_, i) => Array.from({ length: 4 }, () => i + 1)),
    )
  })

  test('what is read belongs to the reader: changing it changes nothing for others', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    await appendAll(scope, handles[0]!, numbered(5))
    for (const record of await allRecords(scope, handles[0]!)) record.bytes.fill(0)
    for (const handle of handles) assert.deepEqual(texts(await allRecords(scope, handle)), numbered(5))
  })

  test('a view on a larger buffer is appended as the view, not as the buffer', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    await handle.append(new Uint8Array(bytesOf('..view..').buffer, 2, 4), scope.options)
    await handle.append(Buffer.from('of a pool'), scope.options)
    assert.deepEqual(texts(await allRecords(scope, handle)), ['view', 'of a pool'])
  })
}

function endCases(test: Case<CommitLogWorld>): void {
  test('an append, range or truncate whose signal has aborted rejects with the reason', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const reason = new Error('enough')
    const options = { signal: AbortSignal.abort(reason) }
    await rejectsWithReason(scope, handle.append(bytesOf('x'), options), reason, 'append()')
    await rejectsWithReason(scope, handle.range(options), reason, 'range()')
    await rejectsWithReason(scope, handle.truncate(0n, options), reason, 'truncate()')
  })

  test('an abort under way ends each append: acknowledged, or rejected with the reason, and landing as it was given', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const controller = scope.controller()
    const reason = new Error('enough')
    const given = numbered(100).map(bytesOf)
    const appends = given.map((bytes) => handle.append(bytes, { signal: controller.signal }))
    controller.abort(reason)
    const outcomes = await scope.within(Promise.allSettled(appends), '100 appends')
    for (const outcome of outcomes) if (outcome.status === 'rejected') assert.ok(outcome.reason === reason)
    for (const bytes of given) bytes.fill(0)
    // What was rejected may still land, and then as it was given.
    await sleep(scope.quietMs)
    const records = await allRecords(scope, handle)
    const landed = new Set(records.map((record) => record.offset))
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') assert.ok(landed.has(outcome.value), 'an acknowledged record is missing')
    }
    const known = new Set(numbered(100))
    for (const text of texts(records)) assert.ok(known.has(text), `${JSON.stringify(text)} was never appended`)
  })

  test('closing ends the appends under way, acknowledged or with KAGAMI_STOPPED, and refuses new ones', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const appends = numbered(100).map((text) => handle.append(bytesOf(text), scope.options))
    const settled = Promise.allSettled(appends)
    await scope.within(handle.close(), 'close()')
    await scope.within(handle.close(), 'a second close()')
    const landed = new Set((await allRecords(scope, await openAt(scope, log, handle.address))).map((r) => r.offset))
    for (const outcome of await scope.within(settled, '100 appends')) {
      if (outcome.status === 'fulfilled') assert.ok(landed.has(outcome.value), 'an acknowledged record is missing')
      else await rejectsWith(scope, Promise.reject(outcome.reason), 'KAGAMI_STOPPED', 'an append under way')
    }
    await rejectsWith(scope, handle.append(bytesOf('late'), scope.options), 'KAGAMI_STOPPED', 'append() after close()')
  })

  test('stopping the adapter ends the appends under way', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const settled = Promise.allSettled(numbered(100).map((text) => handle.append(bytesOf(text), scope.options)))
    await scope.within(log.stop(), 'stop()')
    const outcomes = await scope.within(settled, '100 appends')
    const again = await openAt(scope, await scope.start(world.open('b'), 'b'), handle.address)
    const landed = new Set((await allRecords(scope, again)).map((record) => record.offset))
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') assert.ok(landed.has(outcome.value), 'an acknowledged record is missing')
      else await rejectsWith(scope, Promise.reject(outcome.reason), 'KAGAMI_STOPPED', 'an append under way')
    }
  })
}
