import { expect, test } from 'vitest'
import { simulate } from '../src/index.js'
import { runSeeds } from './seeds.js'

const SEEDS = 600

test('a seed gives the same trace twice', async () => {
  const first = await simulate({ seed: 7 })
  const second = await simulate({ seed: 7 })
  const other = await simulate({ seed: 8 })
  expect(second.traceHash).toBe(first.traceHash)
  expect(other.traceHash).not.toBe(first.traceHash)
})

test(`${SEEDS} seeds of faults break none of the promises`, { timeout: 900_000 }, async () => {
  const { broken, sums } = await runSeeds(1, SEEDS)
  console.log(JSON.stringify(sums))
  expect(broken).toEqual([])
  for (const kind of [
    'operations',
    'promotions',
    'snapshots',
    'truncations',
    'restores',
    'indeterminate',
    'rejected',
  ]) {
    expect(sums[kind], kind).toBeGreaterThan(0)
  }
})
