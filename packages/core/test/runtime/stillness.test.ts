import { expect, test } from 'vitest'
import { Stillness } from '../../src/runtime/stillness.js'
import { ManualClock } from './manual-clock.js'

test('it grows until something moves, and not while a turn is waited for', async () => {
  const clock = new ManualClock()
  const stillness = new Stillness(clock)
  await clock.advance(100)
  expect(stillness.ms).toBe(100)
  let take: () => void = () => undefined
  const turn = stillness.whileWaiting(new Promise<void>((resolve) => (take = resolve)))
  await clock.advance(1000)
  expect(stillness.ms).toBe(100)
  take()
  await turn
  await clock.advance(10)
  expect(stillness.ms).toBe(110)
  stillness.moved()
  expect(stillness.ms).toBe(0)
})

test('a turn that never comes is over too', async () => {
  const clock = new ManualClock()
  const stillness = new Stillness(clock)
  await expect(stillness.whileWaiting(Promise.reject(new Error('stop')))).rejects.toThrow('stop')
  await clock.advance(10)
  expect(stillness.ms).toBe(10)
})
