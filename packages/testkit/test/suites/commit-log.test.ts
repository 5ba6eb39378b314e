import { describe, expect, it } from 'vitest'
import { commitLogSuite } from '../../src/suites/commit-log.js'
import { expectCaught, outcomes } from '../collect.js'
import { allLogs } from '../doubles/catalogue.js'
import { memoryLogSubject } from '../memory-subjects.js'

const timing = { patienceMs: 500, quietMs: 30, caseMs: 3_000 }

describe('the suite of CommitLog catches a log that', () => {
  for (const { fault, wrap, caught, claims } of allLogs) {
    it(fault, { timeout: 30_000 }, async () => {
      const subject = memoryLogSubject({ wrap })
      const claimed = { ...subject, timing, capabilities: { ...subject.capabilities, ...claims } }
      expectCaught(await outcomes((runner) => commitLogSuite(runner, claimed), caught), caught)
    })
  }
})

it(
  'a case that fails hides no other: a log that can not be found is found wanting in few',
  { timeout: 60_000 },
  async () => {
    const { wrap } = allLogs.find(({ fault }) => fault === 'finds nothing')!
    const results = await outcomes((runner) => commitLogSuite(runner, memoryLogSubject({ wrap })))
    const failed = [...results].filter(([, error]) => error !== undefined)
    expect(results.size).toBeGreaterThan(60)
    expect(failed.length).toBeGreaterThan(1)
    expect(failed.length).toBeLessThan(8)
  },
)
