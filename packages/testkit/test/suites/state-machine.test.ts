import { describe, it } from 'vitest'
import { stateMachineSuite } from '../../src/suites/state-machine.js'
import { expectCaught, outcomes } from '../collect.js'
import { allMachines } from '../doubles/catalogue.js'
import { command, KeyValue } from '../machine.js'

const subject = {
  entries: command,
  digest: (machine: unknown): string => (machine as KeyValue).digest(),
  capabilities: { manyChunks: true },
}

describe('a key-value machine', () => {
  stateMachineSuite({ describe, it }, { ...subject, setup: () => new KeyValue() })
})

describe('the suite of StateMachine catches a machine that', () => {
  for (const { fault, make, caught } of allMachines) {
    it(fault, { timeout: 30_000 }, async () => {
      const results = await outcomes((runner) => stateMachineSuite(runner, { ...subject, setup: make }), caught)
      expectCaught(results, caught)
    })
  }
})
