/** The conformance suite of `StateMachine`: deterministic, captured at one moment, and restored to the same state. */
import type { StateMachineCapabilities } from './state-machine-capabilities.js'
import type { StateMachineWorld } from './state-machine-world.js'
import assert from 'node:assert/strict'
import type { Entry, StateMachine } from '@kagami/core/contract'
import { restoreCases } from './state-restore.js'
import { snapshotCases } from './state-snapshots.js'
import { suite } from './runner.js'
import type { Case, Scope, SuiteRunner, SuiteTiming } from './runner.js'
import { entryOf, withChangedWorld } from './state-support.js'

/** A state machine to be tested, and what the suite must know of it. */
export interface StateMachineSubject<R, C> {
  /** Called whenever a case needs another machine: one that is empty. */
  setup(): StateMachine<R, C>
  /** The value of the i-th entry: the same value for the same number, another object at each call. */
  entries(i: number): C
  /** Everything that is in the state, as text: equal for equal states, and only for those. */
  digest(machine: StateMachine<R, C>): string | Promise<string>
  /** What it can do: cases for what it can't are left out, and the first case names both. */
  readonly capabilities: StateMachineCapabilities
  /** How many entries a case applies. @default 300 */
  readonly count?: number
  /** How long the cases wait, and may take. */
  readonly timing?: SuiteTiming
}

/** Registers the suite with a runner. */
export function stateMachineSuite<R, C>(runner: SuiteRunner, subject: StateMachineSubject<R, C>): void {
  const entry = (i: number): Entry<C> => entryOf(i, subject.entries(i))
  const world: StateMachineWorld<R, C> = {
    make: () => subject.setup(),
    apply: (machine, from, to) => Array.from({ length: to - from }, (_, i) => machine.apply(entry(from + i))),
    digest: async (machine) => subject.digest(machine),
    entry,
    count: subject.count ?? 300,
  }
  const timing = subject.timing === undefined ? {} : { timing: subject.timing }
  suite(runner, 'StateMachine', { setup: () => world, ...timing }, subject.capabilities, {}, (test) => {
    // The cases hand results and values about, and never look into them.
    const untyped = test as unknown as Case<StateMachineWorld>
    subjectCases(untyped)
    applyCases(untyped)
    snapshotCases(untyped, subject.capabilities)
    restoreCases(untyped)
  })
}

function subjectCases(test: Case<StateMachineWorld>): void {
  test('the subject is of use: its entries change the state, and the digest shows it', async (_scope, world) => {
    const machine = world.make()
    const empty = await world.digest(machine)
    world.apply(machine, 0, world.count)
    assert.notEqual(await world.digest(machine), empty, 'the digest is the same before and after all entries')
    assert.equal(await world.digest(world.make()), empty, 'two empty machines have different digests')
  })

  test('schemaVersion is a whole number, if it is there', async (_scope, world) => {
    const { schemaVersion } = world.make()
    if (schemaVersion === undefined) return
    assert.ok(Number.isSafeInteger(schemaVersion) && schemaVersion >= 0, `schemaVersion is ${schemaVersion}`)
  })
}

function applyCases(test: Case<StateMachineWorld>): void {
  test('two machines that have applied the same entries have the same state and gave the same results', async (_scope, world) => {
    const [a, b] = [world.make(), world.make()]
    const results = [world.apply(a, 0, world.count), world.apply(b, 0, world.count)]
    assert.deepEqual(results[0], results[1], 'the results differ')
    assert.equal(await world.digest(a), await world.digest(b), 'the states differ')
  })

  test('apply depends on the state and the entry only, not on clock or chance', async (scope, world) => {
    const [a, b] = [world.make(), world.make()]
    const first = world.apply(a, 0, world.count)
    const second = withChangedWorld(() => world.apply(b, 0, world.count))
    assert.deepEqual(second, first, 'the results differ')
    await settle(scope)
    assert.equal(await world.digest(b), await world.digest(a), 'the states differ')
  })

  test('machines share nothing: what one applies, another does not see', async (_scope, world) => {
    const [a, b] = [world.make(), world.make()]
    const untouched = await world.digest(b)
    for (let i = 0; i < Math.min(world.count, 20); i++) {
      world.apply(a, i, i + 1)
      assert.equal(await world.digest(b), untouched)
    }
  })

  test('apply is synchronous: it returns no promise, and nothing of it happens later', async (scope, world) => {
    const machine = world.make()
    const results = world.apply(machine, 0, world.count)
    for (const result of results) {
      const isPromise = typeof (result as { then?: unknown } | undefined | null)?.then === 'function'
      assert.equal(isPromise, false, 'apply() returned a promise')
    }
    const at = await world.digest(machine)
    await settle(scope)
    assert.equal(await world.digest(machine), at, 'the state changed by itself')
  })

  test('reading the state does not change it', async (_scope, world) => {
    const [a, b] = [world.make(), world.make()]
    for (let i = 0; i < Math.min(world.count, 50); i++) {
      world.apply(a, i, i + 1)
      await world.digest(a)
      world.apply(b, i, i + 1)
    }
    assert.equal(await world.digest(a), await world.digest(b))
  })
}

/** Time for whatever a machine may have put off. */
async function settle(scope: Scope): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setTimeout(resolve, Math.min(scope.quietMs, 20)))
}
