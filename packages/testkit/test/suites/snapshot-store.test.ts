import { describe, it } from 'vitest'
import { snapshotStoreSuite } from '../../src/suites/snapshot-store.js'
import type { SnapshotStoreWorld } from '../../src/suites/snapshot-store-world.js'
import { expectCaught, outcomes } from '../collect.js'
import { allStores } from '../doubles/catalogue.js'
import { memorySnapshotSubject } from '../memory-subjects.js'

const timing = { patienceMs: 500, quietMs: 30, caseMs: 3_000 }

describe('the suite of SnapshotStore catches a store that', () => {
  for (const { fault, wrap, caught, claims } of allStores) {
    it(fault, { timeout: 30_000 }, async () => {
      const subject = memorySnapshotSubject(wrap)
      // The time that a case has is shorter, but for the one that looks at memory.
      const limits = claims?.boundedMemory === true ? {} : { timing }
      const claimed = { ...subject, ...limits, capabilities: { ...subject.capabilities, ...claims } }
      expectCaught(await outcomes((runner) => snapshotStoreSuite(runner, claimed), caught), caught)
    })
  }

  it('declares a fault that it can not cause', async () => {
    const subject = memorySnapshotSubject()
    const setup = async (): Promise<SnapshotStoreWorld> => ({ open: (await subject.setup()).open })
    expectCaught(await outcomes((runner) => snapshotStoreSuite(runner, { ...subject, setup }), ['declares']), [
      'declares',
    ])
  })
})
