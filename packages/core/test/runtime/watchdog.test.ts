import { expect, test } from 'vitest'
import { Watchdogs, type Watchdog, type WatchdogOptions } from '../../src/runtime/watchdog.js'
import { ManualClock, rest } from './manual-clock.js'

const { signal } = new AbortController()

function watchdogOf(options: WatchdogOptions): Watchdog {
  return new Watchdogs(options).watchdog()
}

/** Reads that never hear anything, one after another: when each was given up. */
async function deafTimes(watchdog: Watchdog, clock: ManualClock, reads: number): Promise<number[]> {
  const times: number[] = []
  const all = (async () => {
    for (let i = 0; i < reads; i++) {
      expect(await watchdog.guard(signal, () => new Promise(() => undefined))).toBe('deaf')
      times.push(clock.monotonicMs())
    }
  })()
  for (let step = 0; times.length < reads && step < 1000; step++) await clock.advance(250)
  await all
  return times
}

test('who hears nothing is given up, and given twice as long the next time, up to a limit', async () => {
  const clock = new ManualClock()
  const times = await deafTimes(watchdogOf({ clock, boundMs: 1000, longestMs: 4000 }), clock, 5)
  const took = times.map((atMs, i) => atMs - (times[i - 1] ?? 0))
  expect(took).toEqual([1250, 2250, 4250, 4250, 4250])
})

test('who hears goes on; its outcome is handed on, and no timer is left', async () => {
  const clock = new ManualClock()
  const watchdog = watchdogOf({ clock, boundMs: 1000, longestMs: 4000 })
  let finish: (outcome: string) => void = () => undefined
  const read = watchdog.guard(signal, () => new Promise<string>((resolve) => (finish = resolve)))
  for (let i = 0; i < 10; i++) {
    await clock.advance(900)
    watchdog.heard()
  }
  finish('done')
  expect(await read).toBe('done')
  let looked = 0
  const timer = clock.timer.bind(clock)
  clock.timer = (...call) => {
    looked += 1
    return timer(...call)
  }
  await clock.advance(10_000)
  expect(looked).toBe(0)
  await expect(watchdog.guard(signal, () => Promise.reject(new Error('ends')))).rejects.toThrow('ends')
})

test('what is new and comes slowly is waited for as long the next time, and what comes at once is not', async () => {
  const clock = new ManualClock()
  const slow = watchdogOf({ clock, boundMs: 1000, longestMs: 60_000 })
  await deafTimes(slow, clock, 3)
  slow.cameOn(5000)
  const sinceMs = clock.monotonicMs()
  expect((await deafTimes(slow, clock, 1))[0]! - sinceMs).toBe(8250)
  slow.cameOn(10)
  const againMs = clock.monotonicMs()
  expect((await deafTimes(slow, clock, 1))[0]! - againMs).toBe(1250)
})

test('the signal of who is given up aborts, and so does that of who is ended', async () => {
  const clock = new ManualClock()
  const watchdog = watchdogOf({ clock, boundMs: 1000, longestMs: 4000 })
  const reads: AbortSignal[] = []
  const deaf = watchdog.guard(signal, (own) => new Promise(() => reads.push(own)))
  await clock.advance(2000)
  expect(await deaf).toBe('deaf')
  const end = new AbortController()
  void watchdog.guard(end.signal, (own) => new Promise(() => reads.push(own)))
  await rest()
  end.abort(new Error('stop'))
  expect(reads.map(({ reason }) => (reason as Error).message)).toEqual(['nothing was heard from the log', 'stop'])
})

test('a process that was frozen is given its looks before anybody is called deaf', async () => {
  const clock = new ManualClock()
  const due: (() => void)[] = []
  clock.timer = (_, callback) => {
    due.push(callback)
    return { cancel: () => undefined }
  }
  const watchdog = watchdogOf({ clock, boundMs: 1000, longestMs: 4000 })
  let outcome: unknown
  void watchdog.guard(signal, () => new Promise(() => undefined)).then((value) => (outcome = value))
  await clock.advance(60_000)
  for (let look = 1; look <= 5; look++) {
    expect(outcome).toBeUndefined()
    due.shift()?.()
    await rest()
  }
  expect(outcome).toBe('deaf')
})

test('the readers of a node are looked after by one timer, which ends with the last of them', async () => {
  const clock = new ManualClock()
  let looks = 0
  const timer = clock.timer.bind(clock)
  clock.timer = (delayMs, callback) => {
    looks += 1
    return timer(delayMs, callback)
  }
  const watchdogs = new Watchdogs({ clock, boundMs: 1000, longestMs: 4000 })
  const finish: (() => void)[] = []
  const outcomes = Array.from({ length: 100 }, () =>
    watchdogs.watchdog().guard(signal, () => new Promise<string>((resolve) => finish.push(() => resolve('done')))),
  )
  await clock.advance(999)
  expect(looks).toBe(4)
  for (const end of finish.slice(1)) end()
  expect(await Promise.all(outcomes.slice(1))).toEqual(Array.from({ length: 99 }, () => 'done'))
  await clock.advance(251)
  expect(await outcomes[0]).toBe('deaf')
  const seen = looks
  await clock.advance(10_000)
  expect(looks).toBe(seen)
})
