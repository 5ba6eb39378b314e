import { describe, it } from 'vitest'
import { coordinatorSuite } from '../../src/suites/coordinator.js'
import { expectCaught, outcomes } from '../collect.js'
import { allCoordinators } from '../doubles/catalogue.js'
import { memoryCoordinatorSubject } from '../memory-subjects.js'

const timing = { patienceMs: 500, quietMs: 30, caseMs: 3_000 }

describe('the suite of Coordinator catches a coordinator that', () => {
  for (const { fault, wrap, caught, claims, sessionTimeoutMs } of allCoordinators) {
    it(fault, { timeout: 30_000 }, async () => {
      const subject = memoryCoordinatorSubject({ wrap, sessionTimeoutMs })
      const claimed = { ...subject, timing, capabilities: { ...subject.capabilities, ...claims } }
      expectCaught(await outcomes((runner) => coordinatorSuite(runner, claimed), caught), caught)
    })
  }
})
