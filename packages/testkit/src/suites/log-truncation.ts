/** The clauses on truncation: it drops what lies below, never more, and no reader jumps over what is gone. */
import assert from 'node:assert/strict'
import { isKagamiError } from '@kagami/core/contract'
import type { LogRecord, TokenLog } from '@kagami/core/contract'
import type { CommitLogWorld } from './commit-log-world.js'
import { iterate, nextOf, rejectsWith } from './expect.js'
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
import type { Case, Scope } from './runner.js'

export function truncateCases(test: Case<CommitLogWorld>): void {
  dropCases(test)
  readerCases(test)
}

function dropCases(test: Case<CommitLogWorld>): void {
  test('truncate drops what lies below, and never a record at or above', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(20))
    for (const at of [0, 1, 7, 7, 3, 19]) {
      await handles[0]!.truncate(offsets[at]!, scope.options)
      const kept = Math.max(at, at === 3 ? 7 : 0)
      for (const handle of handles) {
        assert.deepEqual(
          texts(await allRecords(scope, handle)),
          numbered(20).slice(kept),
          `truncated below record ${at}`,
        )
      }
    }
  })

  test('truncating at an offset between two records keeps the upper one', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(5))
    await handle.truncate(offsets[2]! + 1n, scope.options)
    assert.deepEqual(texts(await allRecords(scope, handle)), numbered(5).slice(3))
  })

  test('truncate is a no-op where the records are gone already', async (scope, world) => {
    const { handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(5))
    await handle.truncate(offsets[3]!, scope.options)
    const before = await handle.range(scope.options)
    for (const offset of [offsets[3]!, offsets[1]!, offsets[0]!]) await handle.truncate(offset, scope.options)
    assert.deepEqual(await handle.range(scope.options), before)
  })

  test('a log that was truncated at its end is empty, and goes on above', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(5))
    const { end } = await handles[0]!.range(scope.options)
    await handles[0]!.truncate(end, scope.options)
    const range = await handles[1]!.range(scope.options)
    assert.equal(range.start, range.end)
    const [next] = await appendAll(scope, handles[1]!, ['next'])
    assert.ok(next! > offsets[4]!, `offset ${next} was given again`)
    assert.deepEqual(texts(await allRecords(scope, handles[0]!)), ['next'])
    assert.deepEqual(texts(await readCount(scope, handles[0]!, end, 1)), ['next'], 'a reader that was at the end')
  })

  test('truncation is durable, and offsets go on, when every adapter has been stopped', async (scope, world) => {
    const { log, handle } = await openOne(scope, world)
    const offsets = await appendAll(scope, handle, numbered(10))
    await handle.truncate(offsets[6]!, scope.options)
    await log.stop()
    const again = await openAt(scope, await scope.start(world.open('b'), 'b'), handle.address)
    assert.deepEqual(texts(await allRecords(scope, again)), numbered(10).slice(6))
    const [next] = await appendAll(scope, again, ['next'])
    assert.ok(next! > offsets[9]!)
    const reading = iterate(scope, checked(again, offsets[5]!, scope))
    await rejectsWith(scope, reading.next(), 'KAGAMI_LOG_TRUNCATED', 'reading below the start')
  })

  test('a truncation that is cut short has dropped the lowest records, or none, and leaves no gap', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(20))
    for (const at of [3, 4, 11, 19]) {
      const cut = scope.controller()
      const truncating = handles[0]!.truncate(offsets[at]!, { signal: cut.signal }).catch(() => undefined)
      cut.abort(new Error('cut short'))
      await scope.within(truncating, 'the truncation')
      const left = texts(await settledRecords(scope, handles[1]!))
      assert.deepEqual(left, numbered(20).slice(20 - left.length), 'a record is missing between others')
      assert.ok(left.length >= 20 - at, `only ${left.length} records are left of those from ${at} on`)
    }
    await handles[0]!.truncate(offsets[19]!, scope.options)
    assert.deepEqual(texts(await allRecords(scope, handles[1]!)), ['r19'])
  })

  test('truncation while appends go on loses none of them', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const first = await appendAll(scope, handles[0]!, numbered(20))
    const appending = scope.later(appendAll(scope, handles[0]!, numbered(100, 'new')))
    for (const offset of first) await handles[1]!.truncate(offset, scope.options)
    await scope.within(appending, '100 appends')
    assert.deepEqual(texts(await allRecords(scope, handles[1]!)), ['r19', ...numbered(100, 'new')])
  })
}

/** The records that are left, though what was given up may still go on while they are read. */
function settledRecords(scope: Scope, handle: TokenLog): Promise<LogRecord[]> {
  const reading = async (): Promise<LogRecord[]> => {
    for (;;) {
      try {
        return await allRecords(scope, handle)
      } catch (error) {
        if (!isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')) throw error
      }
      await scope.turn()
    }
  }
  return scope.within(reading(), 'reading from where the log says that it begins')
}

function readerCases(test: Case<CommitLogWorld>): void {
  test('reading below the start is KAGAMI_LOG_TRUNCATED, on every node, never a jump', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(10))
    await handles[0]!.truncate(offsets[4]!, scope.options)
    for (const handle of handles) {
      for (const from of [offsets[0]!, offsets[3]!]) {
        const reading = iterate(scope, checked(handle, from, scope))
        await rejectsWith(scope, reading.next(), 'KAGAMI_LOG_TRUNCATED', `reading from ${from}`)
      }
      assert.deepEqual(texts(await readCount(scope, handle, offsets[4]!, 6)), numbered(10).slice(4))
    }
  })

  test('a reader that truncation overtakes is told so, and skips nothing in silence', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const appended = numbered(300).map((text) => text.padEnd(1000, '.'))
    const offsets = await appendAll(scope, handles[0]!, appended)
    const reading = iterate(scope, checked(handles[1]!, offsets[0]!, scope, { maxBatchBytes: 2_000 }))
    const read = texts((await nextOf(scope, reading, 'the first batch')).records)
    await handles[0]!.truncate(offsets[290]!, scope.options)
    // What the reader had fetched before may still come, but then either everything does or it is told.
    const follow = async (): Promise<string> => {
      try {
        while (read.length < appended.length) {
          read.push(...texts((await nextOf(scope, reading, 'reading on')).records))
          assert.deepEqual(read, appended.slice(0, read.length), 'the reader skipped records')
        }
        return 'read everything'
      } catch (error) {
        if (isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')) return 'told'
        throw error
      }
    }
    assert.match(await scope.within(follow(), 'reading on'), /^(told|read everything)$/)
  })

  test('truncation below a reader does not disturb it', async (scope, world) => {
    const { handles } = await openOn(scope, world, ['a', 'b'])
    const offsets = await appendAll(scope, handles[0]!, numbered(20))
    const reading = iterate(scope, checked(handles[1]!, offsets[10]!, scope, { maxBatchBytes: 1, lookMs: neverMs }))
    const read: string[] = []
    while (read.length < 20) {
      if (read.length === 3) await handles[0]!.truncate(offsets[12]!, scope.options)
      if (read.length === 10) await appendAll(scope, handles[0]!, numbered(10, 'new'))
      read.push(...texts((await nextOf(scope, reading, 'reading on')).records))
    }
    assert.deepEqual(read, [...numbered(20).slice(10), ...numbered(10, 'new')])
  })
}
