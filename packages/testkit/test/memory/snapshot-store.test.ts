import { describe, it } from 'vitest'
import { snapshotStoreSuite } from '../../src/suites/snapshot-store.js'
import { memorySnapshotSubject } from '../memory-subjects.js'

describe('the in-memory snapshot store', () => {
  snapshotStoreSuite({ describe, it }, memorySnapshotSubject())
})
