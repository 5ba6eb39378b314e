/** How long a copy rests whose log refuses it for good. */
import { expect, test } from 'vitest'
import type { Clock } from '../../src/contract/index.js'
import { KagamiError } from '../../src/index.js'
import { Refusals } from '../../src/runtime/refusals.js'

const error = new KagamiError('KAGAMI_LOG_REFUSED', 'the log does not take this')

/** Refusals by a clock that goes where it is told, and without chance. */
function resting(signal: AbortSignal = new AbortController().signal) {
  const pauses: number[] = []
  let rested = 0
  let fire: (() => void) | undefined
  const clock = {
    timer: (ms: number, callback: () => void) => {
      pauses.push(ms)
      fire = callback
      return { cancel: () => undefined }
    },
  } as unknown as Clock
  const refusals = new Refusals({
    clock,
    random: { uint64: () => 0n, fraction: () => 1 },
    retryMs: { first: 5, longest: 20 },
    onRested: () => (rested += 1),
    signal,
  })
  return { refusals, pauses, rested: () => rested, wait: () => fire?.() }
}

test('each refusal in a row makes the rest longer, up to the longest, and an entry that the log takes makes it short again', () => {
  const { refusals, pauses, rested, wait } = resting()
  expect([refusals.resting, refusals.error]).toEqual([false, undefined])
  for (let i = 0; i < 4; i++) {
    refusals.refused(error)
    expect([refusals.resting, rested()]).toEqual([true, i])
    wait()
    expect([refusals.resting, rested()]).toEqual([false, i + 1])
    expect(refusals.error).toBe(error)
  }
  expect(pauses).toEqual([5, 10, 20, 20])
  refusals.over()
  expect(refusals.error).toBeUndefined()
  refusals.refused(error)
  expect(pauses.at(-1)).toBe(5)
})

test('a copy that is closed while it rests is not called any more', () => {
  const controller = new AbortController()
  const { refusals, rested, wait } = resting(controller.signal)
  refusals.refused(error)
  controller.abort()
  wait()
  expect(rested()).toBe(0)
})
