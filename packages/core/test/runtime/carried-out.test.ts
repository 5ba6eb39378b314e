/** How what was asked for is followed: what a node hears, and what it is told when it asks again. */
import { expect, test } from 'vitest'
import { carriedOut, type Wish } from '../../src/runtime/carried-out.js'
import type { Directory } from '../../src/runtime/directory.js'
import { systemClock } from '../../src/runtime/system-seams.js'

test('what asking again has brought about is seen, though nothing more is heard of the token', async () => {
  const clock = systemClock()
  const fast = { ...clock, timer: (_: number, callback: () => void) => clock.timer(1, callback) }
  const silent = {
    until: (_token: string, _condition: () => boolean, signal: AbortSignal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  } as unknown as Directory
  let asked = 0
  const wish: Wish = {
    token: 'orders',
    ask: () => Promise.resolve((asked += 1)),
    stands: () => false,
    done: () => asked === 3,
  }
  await carriedOut(wish, { clock: fast, directory: silent }, new AbortController().signal)
  expect(asked).toBe(3)
})
