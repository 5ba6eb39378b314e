import { expect, test } from 'vitest'
import { Turns, type Turn } from '../../src/runtime/turns.js'
import { ManualClock, rest } from './manual-clock.js'

const { signal } = new AbortController()

/** Asks for so many turns at once, and notes which have begun. */
function ask(turns: Turns, count: number): { readonly begun: Map<number, Turn> } {
  const begun = new Map<number, Turn>()
  for (let i = 0; i < count; i++) void turns.begin(signal).then((turn) => begun.set(i, turn))
  return { begun }
}

test('so many work at once, and who ends makes room for one', async () => {
  const turns = new Turns(new ManualClock(), { atOnce: 2, lent: 0, stillMs: 1000 })
  const { begun } = ask(turns, 5)
  await rest()
  expect([...begun.keys()]).toEqual([0, 1])
  begun.get(1)?.end()
  await rest()
  expect([...begun.keys()]).toEqual([0, 1, 2])
})

test('who stands still lends its place, who comes on keeps it, and neither gives it away twice', async () => {
  const clock = new ManualClock()
  const turns = new Turns(clock, { atOnce: 2, lent: 10, stillMs: 1000 })
  const { begun } = ask(turns, 6)
  for (let step = 0; step < 4; step++) {
    await clock.advance(400)
    begun.get(0)?.moved()
  }
  // The second has stood still for as long, and so has not who came in its place.
  expect([...begun.keys()]).toEqual([0, 1, 2])
  begun.get(2)?.moved()
  begun.get(1)?.end()
  await rest()
  expect([...begun.keys()]).toEqual([0, 1, 2])
  begun.get(0)?.end()
  begun.get(2)?.end()
  await rest()
  expect([...begun.keys()]).toEqual([0, 1, 2, 3, 4])
  for (const i of [3, 4, 5]) {
    begun.get(i)?.end()
    await rest()
  }
  // Both places are free again, and no more than those.
  const again = ask(turns, 3).begun
  await rest()
  expect(again.size).toBe(2)
})

test('no more than a limit are under way that stand still; the next lends its place once one of them has ended', async () => {
  const clock = new ManualClock()
  const turns = new Turns(clock, { atOnce: 1, lent: 2, stillMs: 1000 })
  const { begun } = ask(turns, 10)
  await clock.advance(60_000)
  expect(begun.size).toBe(3)
  begun.get(0)?.end()
  await clock.advance(1000)
  expect(begun.size).toBe(4)
})

test('who is ended has no timer left', async () => {
  const clock = new ManualClock()
  const turns = new Turns(clock, { atOnce: 1, lent: 1, stillMs: 1000 })
  const turn = await turns.begin(signal)
  turn.end()
  let looked = 0
  clock.timer = () => {
    looked += 1
    return { cancel: () => undefined }
  }
  await clock.advance(10_000)
  expect(looked).toBe(0)
})
