/** What the end of a run takes for something that people must clear up, and for what it waits longer. */
import { expect, test } from 'vitest'
import { isForPeople } from '../src/check/finale.js'
import { simulate } from '../src/index.js'
import { mutant } from './mutant.js'

const failed = [{ phase: 'failed' }, { phase: 'running' }]

test('a token that the log shows nothing of, or less than the documents say, is for people where its copies fail', () => {
  expect(isForPeople(undefined, 123, failed)).toBe(true)
  // A late copy of the frame that opened an older incarnation.
  expect(isForPeople({ incarnation: 121, length: 0 }, 123, failed)).toBe(true)
})

test('a token that the log shows alive is for its nodes to serve', () => {
  expect(isForPeople({ incarnation: 121, length: 7 }, 123, failed)).toBe(false)
  expect(isForPeople({ incarnation: 123, length: 0 }, 123, failed)).toBe(false)
  expect(isForPeople({ incarnation: 125, length: 0 }, 123, failed)).toBe(false)
})

test('a token that nobody is told of, or of which no copy has failed, is to be asked for', () => {
  expect(isForPeople(undefined, 0, failed)).toBe(false)
  expect(isForPeople(undefined, 123, [{ phase: 'restoring' }])).toBe(false)
})

/** A copy is cut off while its token is removed and the log is released. */
const cutOff = { seed: 410_371, nodes: 2, tokens: 4, seconds: 20 }

test('a copy that looks for a beginning that is gone is waited for longer', async () => {
  const { violations, counts } = await simulate(cutOff)
  expect(violations).toEqual([])
  expect(counts['convergeMs']).toBeGreaterThan(3000)
})

test('a copy that looks for it longer than core says is noticed', async () => {
  const guard = 'const UNBEGUN_MS = 2_000'
  const { createNode, remove } = await mutant([
    { file: 'runtime/restorer.js', guard, instead: 'const UNBEGUN_MS = 5_000' },
  ])
  const { violations } = await simulate({ ...cutOff, createNode }).finally(remove)
  expect(violations[0]).toMatchObject({ promise: 'L', message: expect.stringMatching(/^converge: a's copy of t0/) })
})
