import { describe, it } from 'vitest'
import { coordinatorSuite } from '../../src/suites/coordinator.js'
import { memoryCoordinatorSubject } from '../memory-subjects.js'

describe('the in-memory coordinator', () => {
  coordinatorSuite({ describe, it }, memoryCoordinatorSubject())
})
