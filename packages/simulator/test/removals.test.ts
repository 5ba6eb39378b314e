/** The check that nothing is ended which nobody has asked to remove; `guards` shows that it notices a core which does so. */
import { expect, test } from 'vitest'
import { Removals } from '../src/check/removals.js'
import { Trace } from '../src/kernel/trace.js'

function setup() {
  const trace = new Trace()
  const time = { ms: 0 }
  trace.nowMs = () => time.ms
  return { trace, time, removals: new Removals(trace) }
}

test('what was asked for since the incarnation began, or may still be under way, is no violation', () => {
  const { trace, time, removals } = setup()
  removals.began('t0', 1)
  time.ms = 50
  removals.asked('t0', 1000)
  time.ms = 60_000
  removals.ended('t0', 1, 3)
  removals.asked('t0', 1000)
  time.ms += 900
  removals.began('t0', 3)
  removals.ended('t0', 3, 3)
  expect(trace.violations).toEqual([])
  expect(trace.counts['removals']).toBe(2)
})

test('what was asked for before the incarnation began, or of another token, is a violation of S1', () => {
  const { trace, time, removals } = setup()
  removals.asked('t0', 1000)
  time.ms = 1001
  removals.began('t0', 3)
  removals.asked('t1', 1000)
  removals.ended('t0', 3, 3)
  expect(trace.violations).toMatchObject([{ promise: 'S1', atMs: 1001 }])
})

test('an incarnation that holds nothing may be ended by anybody', () => {
  const { trace, removals } = setup()
  removals.began('t0', 1)
  removals.ended('t0', 1, 0)
  expect(trace.violations).toEqual([])
})

test('a late copy of its open frame does not make an incarnation younger', () => {
  const { trace, time, removals } = setup()
  removals.began('t0', 1)
  removals.asked('t0', 1000)
  time.ms = 5000
  removals.began('t0', 1)
  removals.ended('t0', 1, 3)
  expect(trace.violations).toEqual([])
})
