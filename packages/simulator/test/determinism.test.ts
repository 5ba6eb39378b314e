/** "A seed replays to the byte." */
import { expect, test } from 'vitest'
import { simulate } from '../src/index.js'

test('the same seed gives the same run twice, to the hash of all that happened', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const first = await simulate({ seed })
    const second = await simulate({ seed })
    expect(second.timeline).toEqual(first.timeline)
    expect(second.counts).toEqual(first.counts)
    expect(second.traceHash).toBe(first.traceHash)
  }
})

test('another seed gives another run', async () => {
  const hashes = new Set<string>()
  for (let seed = 1; seed <= 5; seed++) hashes.add((await simulate({ seed, seconds: 3 })).traceHash)
  expect(hashes.size).toBe(5)
})

test('what a run before it did does not show in a run', async () => {
  const alone = await simulate({ seed: 77, seconds: 5 })
  await simulate({ seed: 78, seconds: 5 })
  expect((await simulate({ seed: 77, seconds: 5 })).traceHash).toBe(alone.traceHash)
})

test('without faults nothing is indeterminate, and every promise is kept', async () => {
  const { violations, counts } = await simulate({ seed: 3, faults: { all: 0 } })
  expect(violations).toEqual([])
  expect(counts['indeterminate'] ?? 0).toBe(0)
  expect(counts['acknowledged']).toBeGreaterThan(20)
  expect(Object.keys(counts).filter((name) => name.startsWith('fault.'))).toEqual([])
})

test.each([
  ['seed', { seed: 0.5 }],
  ['nodes', { seed: 1, nodes: 11 }],
  ['seconds', { seed: 1, seconds: 0 }],
  ['faults.crash', { seed: 1, faults: { crash: -1 } }],
])('a wrong %s is refused by its name', async (option, options) => {
  await expect(simulate(options)).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION', details: { option } })
})

test('so is an option that does not exist, with the nearest that does', async () => {
  await expect(simulate({ seed: 1, nodez: 4 } as { seed: number })).rejects.toMatchObject({
    code: 'KAGAMI_BAD_OPTION',
    message: 'there is no option nodez; did you mean nodes?',
    details: { option: 'nodez' },
  })
})
