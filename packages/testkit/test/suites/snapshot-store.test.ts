import { describe, it } from 'vitest'
import { snapshotStoreSuite } from '../../src/suites/snapshot-store.js'
import { expectCaught, outcomes } from '../collect.js'
import { allStores } from '../doubles/catalogue.js'
import { memorySnapshotSubject } from '../memory-subjects.js'

const timing = { patienceMs: 500, quietMs: 30, caseMs: 3_000 }

describe('the suite of SnapshotStore catches a store that', () => {
  for (const { fault, wrap, caught } of allStores) {
    it(fault, { timeout: 30_000 }, async () => {
      const subject = { ...memorySnapshotSubject(wrap), timing }
      expectCaught(await outcomes((runner) => snapshotStoreSuite(runner, subject), caught), caught)
    })
  }

  it('holds a whole blob in memory, though it claims not to', { timeout: 30_000 }, async () => {
    const subject = memorySnapshotSubject()
    const claims = { ...subject, capabilities: { ...subject.capabilities, boundedMemory: true } }
    const caught = ['memory stays bounded while 64 MiB']
    expectCaught(await outcomes((runner) => snapshotStoreSuite(runner, claims), caught), caught)
  })

  it('declares a fault that it can not cause', async () => {
    const subject = memorySnapshotSubject()
    const claims = { ...subject, capabilities: { ...subject.capabilities, tear: true } }
    expectCaught(await outcomes((runner) => snapshotStoreSuite(runner, claims), ['declares']), ['declares'])
  })
})
