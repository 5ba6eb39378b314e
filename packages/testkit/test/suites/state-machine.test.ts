import { describe, it } from 'vitest'
import { stateMachineSuite } from '../../src/suites/state-machine.js'
import { expectCaught, outcomes } from '../collect.js'
import { brokenMachines } from '../doubles/machines.js'
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
  for (const { fault, make, caught } of brokenMachines) {
    it(fault, { timeout: 30_000 }, async () => {
      const results = await outcomes((runner) => stateMachineSuite(runner, { ...subject, setup: make }), caught)
      expectCaught(results, caught)
    })
  }
})
