/** Each case of each suite has a double that it must catch: a case that nothing can fail checks nothing. */
import { describe, expect, it } from 'vitest'
import { commitLogSuite } from '../../src/suites/commit-log.js'
import { coordinatorSuite } from '../../src/suites/coordinator.js'
import { placementSuite } from '../../src/suites/placement.js'
import type { SuiteRunner } from '../../src/suites/runner.js'
import { snapshotStoreSuite } from '../../src/suites/snapshot-store.js'
import { stateMachineSuite } from '../../src/suites/state-machine.js'
import { allCoordinators, allLogs, allMachines, allStores, allStrategies } from '../doubles/catalogue.js'
import { command, KeyValue } from '../machine.js'
import { memoryCoordinatorSubject, memoryLogSubject, memorySnapshotSubject } from '../memory-subjects.js'
import { plainStrategy } from '../strategy.js'

interface Suite {
  readonly name: string
  /** With every capability, so that every case is there. */
  readonly register: (runner: SuiteRunner) => void
  /** The tests of the suite watch that each double fails the cases that it names. */
  readonly doubles: readonly { readonly fault: string; readonly caught: readonly string[] }[]
  /** How the cases begin that no double fails, each with the reason. */
  readonly exceptions: Readonly<Record<string, string>>
}

const store = memorySnapshotSubject()
const noHooks = 'this suite has no hooks, so nothing can contradict what is declared: the case is there to say it'

const suites: readonly Suite[] = [
  {
    name: 'CommitLog',
    register: (runner) => commitLogSuite(runner, memoryLogSubject()),
    doubles: allLogs,
    exceptions: {},
  },
  {
    name: 'Coordinator',
    register: (runner) => coordinatorSuite(runner, memoryCoordinatorSubject()),
    doubles: allCoordinators,
    exceptions: {},
  },
  {
    name: 'SnapshotStore',
    register: (runner) =>
      snapshotStoreSuite(runner, { ...store, capabilities: { ...store.capabilities, boundedMemory: true } }),
    doubles: allStores,
    exceptions: {},
  },
  {
    name: 'StateMachine',
    register: (runner) =>
      stateMachineSuite(runner, {
        setup: () => new KeyValue(),
        entries: command,
        digest: (machine) => (machine as KeyValue).digest(),
        capabilities: { manyChunks: true },
      }),
    doubles: allMachines,
    exceptions: { declares: noHooks },
  },
  {
    name: 'PlacementStrategy',
    register: (runner) =>
      placementSuite(runner, {
        setup: plainStrategy,
        capabilities: { even: true, zones: true, fewestMoves: true },
      }),
    doubles: allStrategies,
    exceptions: { declares: noHooks },
  },
]

function casesOf(register: Suite['register']): readonly string[] {
  const names: string[] = []
  register({ describe: (_name, body) => body(), it: (name) => names.push(name) })
  return names
}

describe.each(suites)('of the suite of $name', ({ register, doubles, exceptions }) => {
  const cases = casesOf(register)

  it('each case has a double that it must catch', () => {
    const caught = doubles.flatMap((double) => double.caught)
    const left = cases.filter((name) => !caught.some((begin) => name.startsWith(begin)))
    const unexpected = left.filter((name) => !Object.keys(exceptions).some((begin) => name.startsWith(begin)))
    expect(unexpected, 'cases that no double fails').toEqual([])
    expect(left, 'exceptions that are none any more').toHaveLength(Object.keys(exceptions).length)
  })

  it('every name tells one case, and every fault one double', () => {
    expect(new Set(cases).size).toBe(cases.length)
    const faults = doubles.map(({ fault }) => fault)
    expect(new Set(faults).size, faults.toSorted().join('\n')).toBe(faults.length)
  })
})
