/** How long a copy that is not in sync holds one of its node's places for restores. */
import { describe, expect, test } from 'vitest'
import type { CopyReport } from '../../src/engine/documents.js'
import { isStalled, lookedAt, type Attempt } from '../../src/engine/restore-places.js'
import { REPORT } from './scenario.js'

const STALL_MS = 100

/** When a copy was found stalled, of looks every 10 ms for as long as there are reports: a change of what was reported before, or undefined where there is none. */
function stalledAtMs(looks: number, report: (atMs: number) => Partial<CopyReport> | undefined, member = () => 'a1') {
  let attempt: Attempt | undefined
  for (let atMs = 0; atMs < looks * 10; atMs += 10) {
    const change = report(atMs)
    const said = change === undefined ? undefined : { ...REPORT, inSync: false, ...change }
    attempt = lookedAt(attempt, member(), said, atMs)
    if (isStalled(attempt, atMs, STALL_MS)) return atMs
  }
  return undefined
}

describe('a copy holds its place', () => {
  test('until it has not come on for a while, also where it never reports anything', () => {
    expect(stalledAtMs(50, () => ({ nextIndex: 7 }))).toBe(100)
    expect(stalledAtMs(50, () => undefined)).toBe(100)
    expect(stalledAtMs(50, (atMs) => ({ nextIndex: Math.min(atMs, 50) }))).toBe(150)
  })

  test('as long as it comes on: in its log, from one phase to the next, to another incarnation', () => {
    expect(stalledAtMs(90, (atMs) => ({ nextIndex: Math.floor(atMs / 90) }))).toBeUndefined()
    expect(stalledAtMs(50, (atMs) => ({ phase: atMs < 60 ? 'restoring' : 'running' }))).toBe(160)
    expect(stalledAtMs(50, (atMs) => ({ incarnation: atMs < 60 ? 1 : 3 }))).toBe(160)
    expect(stalledAtMs(50, (atMs) => (atMs < 60 ? undefined : {}))).toBe(160)
  })

  test('but not for ever: one that is too slow ever to arrive gives it up as well', () => {
    expect(stalledAtMs(500, (atMs) => ({ nextIndex: atMs }))).toBe(1_000)
  })

  test('anew where its node runs anew', () => {
    let looks = 0
    expect(
      stalledAtMs(
        500,
        (atMs) => ({ nextIndex: atMs }),
        () => (++looks <= 51 ? 'a1' : 'a2'),
      ),
    ).toBe(1_510)
  })
})
