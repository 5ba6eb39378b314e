/** How long a copy rests whose log refuses it for good, and until when it counts as one that can't write. */
import { describe, expect, test } from 'vitest'
import { KagamiError } from '../../src/index.js'
import { Refusals } from '../../src/runtime/refusals.js'
import { ManualClock, rest } from './manual-clock.js'

const error = new KagamiError('KAGAMI_LOG_REFUSED', 'the log does not take this')

/** Rests of 10, 20, 40 ms. The first trial comes 200 ms after a first refusal. */
const retryMs = { first: 10, longest: 40 }

/** Refusals without chance, by a clock that goes where it is told. `takes`: what the log does with what is tried. */
function refusals(signal: AbortSignal = new AbortController().signal) {
  const clock = new ManualClock()
  const log = { takes: true, triedAtMs: [] as number[], rested: 0, over: 0 }
  const refusals = new Refusals({
    clock,
    random: { uint64: () => 0n, fraction: () => 1 },
    retryMs,
    onRested: () => (log.rested += 1),
    tryOut: () => {
      log.triedAtMs.push(clock.now())
      return log.takes ? Promise.resolve() : Promise.reject(error)
    },
    onOver: () => (log.over += 1),
    signal,
  })
  return { refusals, clock, log }
}

describe('the rest after a refusal', () => {
  test('grows with each in a row, up to the longest, and is short again once the log has taken an entry', async () => {
    const { refusals: own, clock, log } = refusals()
    expect([own.resting, own.error]).toEqual([false, undefined])
    for (const [i, pauseMs] of [10, 20, 40, 40].entries()) {
      own.refused(error)
      await clock.advance(pauseMs - 1)
      expect([own.resting, log.rested]).toEqual([true, i])
      await clock.advance(1)
      expect([own.resting, log.rested]).toEqual([false, i + 1])
      expect(own.error).toBe(error)
    }
    own.over()
    expect(own.error).toBeUndefined()
    own.refused(error)
    await clock.advance(10)
    expect([own.resting, log.rested]).toEqual([false, 5])
  })

  test('of a copy that is closed meanwhile ends without a word', async () => {
    const controller = new AbortController()
    const { refusals: own, clock, log } = refusals(controller.signal)
    own.refused(error)
    controller.abort()
    await clock.advance(10_000)
    expect([log.rested, log.triedAtMs, log.over]).toEqual([0, [], 0])
  })
})

describe('a copy whose log has refused it counts as one that can not write', () => {
  test('until the log takes what is tried', async () => {
    const { refusals: own, clock, log } = refusals()
    log.takes = false
    own.refused(error)
    await clock.advance(199)
    expect(log.triedAtMs).toEqual([])
    await clock.advance(401)
    expect(log.triedAtMs).toEqual([200, 400, 600])
    expect([own.error, log.over]).toEqual([error, 0])
    log.takes = true
    await clock.advance(200)
    expect([own.error, log.over, log.triedAtMs.at(-1)]).toEqual([undefined, 1, 800])
    await clock.advance(10_000)
    expect([log.over, log.triedAtMs.length]).toEqual([1, 4])
  })

  test('for longer each time, where the log takes what is tried and refuses entries all the same', async () => {
    const { refusals: own, clock, log } = refusals()
    const waitedMs: number[] = []
    for (let i = 0; i < 5; i++) {
      own.refused(error)
      const fromMs = clock.now()
      while (own.error !== undefined) await clock.advance(10)
      waitedMs.push((log.triedAtMs.at(-1) as number) - fromMs)
    }
    expect(waitedMs).toEqual([200, 400, 800, 1600, 3200])
    own.refused(error)
    own.over()
    own.refused(error)
    await clock.advance(200)
    expect(own.error).toBeUndefined()
  })

  test('for no longer than it takes until the log has taken an entry: nothing is tried then', async () => {
    const { refusals: own, clock, log } = refusals()
    own.refused(error)
    await clock.advance(100)
    own.over()
    await clock.advance(10_000)
    expect([log.triedAtMs, log.over]).toEqual([[], 0])
  })

  test('also where it is refused again while something is tried', async () => {
    const { refusals: own, clock, log } = refusals()
    own.refused(error)
    await clock.advance(100)
    own.refused(error)
    await clock.advance(399)
    expect([own.error, log.triedAtMs]).toEqual([error, []])
    await clock.advance(1)
    await rest()
    expect([own.error, log.triedAtMs]).toEqual([undefined, [500]])
  })
})

describe('a copy whose log has long taken nothing', () => {
  const unreachable = new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'the log does not answer', { retryable: true })

  test('counts as one that can not write until the log takes what is tried, without a rest, and for longer each time', async () => {
    const { refusals: own, clock, log } = refusals()
    expect([own.unable(unreachable), own.unable(unreachable), own.resting]).toEqual([true, false, false])
    await clock.advance(199)
    expect(own.error).toBe(unreachable)
    await clock.advance(1)
    expect([own.error, log.over]).toEqual([undefined, 1])
    expect(own.unable(unreachable)).toBe(true)
    await clock.advance(399)
    expect(own.error).toBe(unreachable)
    await clock.advance(1)
    expect(own.error).toBeUndefined()
  })

  test('can write where the log has taken its barrier, and needs no trial; one that was refused has to show more', async () => {
    const { refusals: own, clock, log } = refusals()
    own.unable(unreachable)
    own.reached()
    expect(own.error).toBeUndefined()
    await clock.advance(1_000)
    expect(log.triedAtMs).toEqual([])
    own.refused(error)
    own.reached()
    expect(own.error).toBe(error)
  })
})
