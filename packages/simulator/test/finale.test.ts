/** What the end of a run takes for something that people must clear up, instead of waiting for it in vain. */
import { expect, test } from 'vitest'
import { isForPeople } from '../src/check/finale.js'

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
