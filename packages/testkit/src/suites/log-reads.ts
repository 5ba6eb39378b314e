/** The clauses on reading: gap-free, waiting at the end, looking, and ending. */
import assert from 'node:assert/strict'
import type { Offset } from '@kagami/core/contract'
import type { CommitLogWorld } from './commit-log-world.js'
import { iterate, nextOf, rejectsWith, rejectsWithReason, until } from './expect.js'
import { appendAll, checked, lookMs, neverMs, numbered, openOn, openOne, readCount, texts } from './log-support.js'
import { sleep } from './runner.js'
import type { Case } from './runner.js'

export function readCases(test: Case<CommitLogWorld>): void {
  positionCases(test)
  waitCases(test)
  endCases(test)

  test('range bounds every readable record, and is empty when there is none', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const empty = await handle.range(scope.options)
    assert.equal(empty.start, empty.end)
    for (const text of numbered(20)) {
      const [offset] = await appendAll(scope, handle, [text])
      const { start, end } = await handle.range(scope.options)
      assert.ok(start <= offset! && offset! < end, `${offset} is not within ${start} and ${end}`)
    }
    const { start, end } = await handle.range(scope.options)
    for (const { offset } of await readCount(scope, handle, start, 20)) assert.ok(start <= offset && offset < end)
  })
}

function positionCases(test: Case<CommitLogWorld>): void {
  test('the first record read is the one with the smallest offset at or above `from`', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(12))
    const { start, end } = await handle.range(scope.options)
    const froms = new Set<Offset>([start, ...offsets.flatMap((offset) => [offset, offset + 1n])])
    for (const from of froms) {
      if (from < start || from > end) continue
      const expected = numbered(12).filter((_, i) => offsets[i]! >= from)
      const records = await readCount(scope, handle, from, expected.length)
      assert.deepEqual(texts(records), expected, `reading from ${from}`)
    }
  })

  test('a reading that goes on at `next` leaves nothing out and repeats nothing', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    await appendAll(scope, handle, numbered(60, 'record-'))
    let { start: from } = await handle.range(scope.options)
    const read: string[] = []
    while (read.length < 60) {
      const reading = iterate(scope, checked(handle, from, scope, { maxBatchBytes: 40 }))
      const batch = await nextOf(scope, reading, `a batch from ${from}`)
      assert.ok(batch.next > from, `the first batch from ${from} goes nowhere, though records lie there`)
      read.push(...texts(batch.records))
      from = batch.next
      await reading.return?.()
      await scope.turn()
    }
    assert.deepEqual(read, numbered(60, 'record-'))
  })

  test('batches stay about as small as asked, and a larger record comes alone', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const sizes = [100, 100, 100, 20_000, 100, 5_000, 5_000, 100, 40_000, 100]
    await appendAll(
      scope,
      handle,
      sizes.map((size) => 'x'.repeat(size)),
    )
    const { start } = await handle.range(scope.options)
    const records = await readCount(scope, handle, start, sizes.length, { maxBatchBytes: 4_096 })
    assert.deepEqual(
      records.map((record) => record.bytes.byteLength),
      sizes,
    )
  })

  test('`next` equals `end` when nothing more is there, and `end` lies above every record', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(30))
    const reading = iterate(scope, checked(handle, offsets[0]!, scope, { maxBatchBytes: 20 }))
    let read = 0
    const last = await until(
      scope,
      reading,
      (batch) => {
        read += batch.records.length
        if (read < 30) assert.ok(batch.next < batch.end, 'a batch says that nothing more is there, and more is')
        return batch.next === batch.end
      },
      'a batch at the end',
    )
    assert.equal(read, 30, 'the reader believed to be at the end before it was')
    assert.ok(last.end > offsets[29]!)
  })

  test('reading above the end is KAGAMI_LOG_LOST_TAIL', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    await appendAll(scope, handle, numbered(3))
    const { end } = await handle.range(scope.options)
    for (const from of [end + 1n, end + 1000n]) {
      const reading = iterate(scope, checked(handle, from, scope))
      await rejectsWith(scope, reading.next(), 'KAGAMI_LOG_LOST_TAIL', `reading from ${from}, the end is ${end}`)
    }
  })

  test('two readings of one handle do not disturb each other', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(30))
    const [whole, half] = await Promise.all([
      readCount(scope, handle, offsets[0]!, 30, { maxBatchBytes: 10 }),
      readCount(scope, handle, offsets[15]!, 15, { maxBatchBytes: 30 }),
    ])
    assert.deepEqual(texts(whole), numbered(30))
    assert.deepEqual(texts(half), numbered(30).slice(15))
  })
}

function waitCases(test: Case<CommitLogWorld>): void {
  test('a reader that waits at the end is woken by an append, of its own node or another', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const { end } = await handles[0]!.range(scope.options)
    const reading = iterate(scope, checked(handles[1]!, end, scope, { lookMs: neverMs }))
    const read: string[] = []
    const step = (): Promise<unknown> =>
      until(scope, reading, (batch) => read.push(...texts(batch.records)) > 0 && batch.records.length > 0, 'the append')
    for (let i = 0; i < 6; i++) {
      const woken = step()
      await scope.staysPending(woken, 'a read at the end')
      await appendAll(scope, handles[i % 2]!, [`r${i}`])
      await woken
    }
    assert.deepEqual(read, numbered(6))
  })

  test('a reader that waits at the end looks again at least every lookMs', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    await appendAll(scope, handle, numbered(3))
    const { start, end } = await handle.range(scope.options)
    const reading = iterate(scope, checked(handle, start, scope))
    await until(scope, reading, (batch) => batch.next === batch.end, 'the end')
    for (let i = 0; i < 5; i++) {
      const look = await scope.within(nextOf(scope, reading, 'a look'), 'a look', lookMs + scope.patienceMs / 2)
      assert.deepEqual(look, { records: [], next: end, end })
    }
  })

  test('looks do not flood: a waiting reader is asleep between them', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const { end } = await handle.range(scope.options)
    let looks = 0
    const counting = async (): Promise<void> => {
      for await (const batch of checked(handle, end, scope, { lookMs: 100 })) looks += batch.records.length + 1
    }
    const looking = scope.later(counting())
    await scope.staysPending(looking, 'a reading at the end')
    await sleep(500)
    assert.ok(looks >= 1 && looks <= 12, `${looks} looks in half a second, at one in 100 ms`)
  })

  test('a log that was empty is followed from its first record', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const { start } = await handles[1]!.range(scope.options)
    const following = scope.later(readCount(scope, handles[1]!, start, 40))
    await appendAll(scope, handles[0]!, numbered(40))
    assert.deepEqual(texts(await following), numbered(40))
  })
}

function endCases(test: Case<CommitLogWorld>): void {
  test('an abort ends a reading with the reason, before it begins and while it waits', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const { end } = await handle.range(scope.options)
    const reason = new Error('enough')
    const early = iterate(scope, checked(handle, end, scope, { signal: AbortSignal.abort(reason) }))
    await rejectsWithReason(scope, early.next(), reason, 'a reading whose signal has aborted')
    const controller = scope.controller()
    const reading = iterate(scope, checked(handle, end, scope, { lookMs: neverMs, signal: controller.signal }))
    const waiting = until(scope, reading, () => false, 'the abort')
    setImmediate(() => controller.abort(reason))
    await rejectsWithReason(scope, waiting, reason, 'a reading at the end')
  })

  test('closing the handle ends its readings with KAGAMI_STOPPED', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const { end } = await handle.range(scope.options)
    const readings = [1, 2].map(() => {
      return until(scope, iterate(scope, checked(handle, end, scope, { lookMs: neverMs })), () => false, 'the close')
    })
    const rejected = readings.map((reading) =>
      scope.later(rejectsWith(scope, reading, 'KAGAMI_STOPPED', 'a reading at the end')),
    )
    await scope.staysPending(Promise.race(readings), 'a reading at the end')
    await scope.within(handle.close(), 'close()')
    await Promise.all(rejected)
    const late = iterate(scope, checked(handle, end, scope))
    await rejectsWith(scope, late.next(), 'KAGAMI_STOPPED', 'a reading after close()')
  })

  test('stopping the adapter ends its readings with KAGAMI_STOPPED', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const { end } = await handle.range(scope.options)
    const reading = until(
      scope,
      iterate(scope, checked(handle, end, scope, { lookMs: neverMs })),
      () => false,
      'the stop',
    )
    const rejected = scope.later(rejectsWith(scope, reading, 'KAGAMI_STOPPED', 'a reading at the end'))
    await scope.staysPending(reading, 'a reading at the end')
    await scope.within(log.stop(), 'stop()')
    await rejected
  })

  test('a reader may return early, again and again', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(10))
    for (let i = 0; i < 200; i++) {
      for await (const batch of checked(handle, offsets[i % 10]!, scope, { maxBatchBytes: 1 })) {
        assert.equal(batch.records[0]?.offset, offsets[i % 10])
        break
      }
    }
    await appendAll(scope, handle, ['after'])
    await scope.within(log.stop(), 'stop()')
  })
}
