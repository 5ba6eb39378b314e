import { describe, it } from 'vitest'
import { commitLogSuite } from '../../src/suites/commit-log.js'
import { memoryLogSubject } from '../memory-subjects.js'

describe('the in-memory commit log', () => {
  commitLogSuite({ describe, it }, memoryLogSubject())
})

describe('the in-memory commit log, with gaps between offsets', () => {
  commitLogSuite({ describe, it }, memoryLogSubject({ offsets: { first: 1000n, step: 7n } }))
})
