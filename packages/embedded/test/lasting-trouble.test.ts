import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LastingTrouble } from '../src/lasting-trouble.js'

let nowMs = 0
let told: unknown[]
let trouble: LastingTrouble

beforeEach(() => {
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  told = []
  trouble = new LastingTrouble((error) => told.push(error))
})

afterEach(() => vi.restoreAllMocks())

function failAt(ms: number): void {
  nowMs = ms
  trouble.failed(`failed at ${ms}`)
}

test('a trouble that passes within two seconds is not told, however often it comes back', () => {
  for (let ms = 0; ms < 60_000; ms += 1_500) {
    failAt(ms)
    failAt(ms + 500)
    trouble.passed()
  }
  expect(told).toEqual([])
})

test('one that lasts is told once, and once more only after it has passed', () => {
  for (let ms = 0; ms <= 10_000; ms += 500) failAt(ms)
  expect(told).toEqual(['failed at 2000'])
  trouble.passed()
  for (let ms = 20_000; ms <= 30_000; ms += 500) failAt(ms)
  expect(told).toEqual(['failed at 2000', 'failed at 22000'])
})
