/** How far behind a copy says that it is. */
import { expect, test } from 'vitest'
import { encodeEntries, encodeFrame } from '../../src/engine/frame.js'
import { CopyProgress } from '../../src/runtime/copy-progress.js'
import { bytes } from './harness.js'
import { ManualClock } from './manual-clock.js'

const LOOK_MS = 100
const CUT_OFF_MS = 2_000

/** A record of so many entries from an index on. */
function record(firstIndex: number, count: number): { readonly offset: bigint; readonly bytes: Uint8Array } {
  const body = encodeEntries(Array.from({ length: count }, () => bytes('x')))
  const of = { token: 'orders', incarnation: 1, epoch: 1, term: 7n, firstSeq: firstIndex, chain: 0n, timeMs: 1 }
  return { offset: BigInt(firstIndex), bytes: encodeFrame({ kind: 'data', ...of, firstIndex, count, body }) }
}

test('a copy that has not looked at its log yet, or is cut off from it, does not say that it is 0 entries behind', async () => {
  const clock = new ManualClock()
  const progress = new CopyProgress(clock, LOOK_MS)
  expect(progress.lag).toMatchObject({ entries: Infinity, caughtUp: false, lookAgeMs: Infinity })
  const look = { records: [], next: 0n, end: 0n }
  progress.looked(look, 'orders', 1)
  progress.finished(look)
  expect(progress.lag).toEqual({ entries: 0, caughtUp: true, timeMs: 0, lookAgeMs: 0 })
  await clock.advance(CUT_OFF_MS - 1)
  expect(progress.lag).toEqual({ entries: 0, caughtUp: true, timeMs: 0, lookAgeMs: CUT_OFF_MS - 1 })
  await clock.advance(1)
  expect(progress.lag).toEqual({ entries: Infinity, caughtUp: false, timeMs: CUT_OFF_MS, lookAgeMs: CUT_OFF_MS })
  progress.looked(look, 'orders', 1)
  progress.finished(look)
  expect(progress.lag).toEqual({ entries: 0, caughtUp: true, timeMs: 0, lookAgeMs: 0 })
})

test('a copy that is behind says by how many entries, as far as it has seen, and how old the newest is that it has applied', async () => {
  const clock = new ManualClock()
  await clock.advance(10_000)
  const progress = new CopyProgress(clock, LOOK_MS)
  const batch = { records: [record(0, 10), record(10, 90)], next: 11n, end: 500n }
  progress.looked(batch, 'orders', 1)
  expect(progress.lag).toMatchObject({ entries: 100, caughtUp: false })
  progress.advance(10, 7_000)
  expect(progress.lag).toMatchObject({ entries: 90, caughtUp: false, timeMs: 3_000, lookAgeMs: 0 })
  progress.advance(100, 9_000)
  progress.finished(batch)
  // There is more, of which nobody here has seen anything.
  expect(progress.lag).toMatchObject({ caughtUp: false, timeMs: 1_000 })
})
