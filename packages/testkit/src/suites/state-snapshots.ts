/** The clauses on captures: one moment, whatever is applied afterwards; released always; ended by an abort. */
import assert from 'node:assert/strict'
import type { StateMachine, StateSnapshot } from '@kagami/core/contract'
import { rejectsWithReason } from './expect.js'
import type { Case, Scope } from './runner.js'
import type { StateMachineCapabilities } from './state-machine-capabilities.js'
import type { StateMachineWorld } from './state-machine-world.js'
import { persisted, restored } from './state-support.js'

export function snapshotCases(test: Case<StateMachineWorld>, capabilities: StateMachineCapabilities): void {
  test('a capture shows the state at its moment, though entries are applied before it is persisted', async (scope, world) => {
    const half = world.count >>> 1
    const machine = applied(world, half)
    const expected = await world.digest(machine)
    const snapshot = machine.snapshot()
    world.apply(machine, half, world.count)
    await showsState(scope, world, snapshot, half, expected)
  })

  test('a capture shows the state at its moment, though entries are applied between its chunks', async (scope, world) => {
    const half = world.count >>> 1
    const machine = applied(world, half)
    const expected = await world.digest(machine)
    const snapshot = machine.snapshot()
    const chunks: Uint8Array[] = []
    let next = half
    for await (const chunk of snapshot.persist({ signal: scope.signal })) {
      chunks.push(chunk.slice())
      if (next < world.count) world.apply(machine, next, (next += 1))
    }
    snapshot.release()
    world.apply(machine, next, world.count)
    const copy = await restored(world.make(), Buffer.concat(chunks), half)
    assert.equal(await world.digest(copy), expected, 'the snapshot shows later entries')
    const full = await world.digest(applied(world, world.count))
    assert.equal(await world.digest(machine), full, 'persisting changed the machine')
  })

  test('a capture changes nothing: the machine goes on as if there had been none', async (scope, world) => {
    const machine = world.make()
    const results: unknown[] = []
    for (let i = 0; i < world.count; i++) {
      if (i % Math.ceil(world.count / 5) === 0) await persisted(machine.snapshot(), scope.signal)
      results.push(...world.apply(machine, i, i + 1))
    }
    const plain = world.make()
    assert.deepEqual(results, world.apply(plain, 0, world.count))
    assert.equal(await world.digest(machine), await world.digest(plain))
  })

  test('a capture may be released without having been persisted', async (_scope, world) => {
    const machine = applied(world, world.count >>> 1)
    for (let i = 0; i < 10; i++) machine.snapshot().release()
    world.apply(machine, world.count >>> 1, world.count)
    assert.equal(await world.digest(machine), await world.digest(applied(world, world.count)))
  })

  test('a release after a persist that was left early does no harm', async (scope, world) => {
    const half = world.count >>> 1
    const machine = applied(world, half)
    const snapshot = machine.snapshot()
    for await (const chunk of snapshot.persist({ signal: scope.signal })) if (chunk.byteLength >= 0) break
    snapshot.release()
    const expected = await world.digest(machine)
    await showsState(scope, world, machine.snapshot(), half, expected)
    world.apply(machine, half, world.count)
    assert.equal(await world.digest(machine), await world.digest(applied(world, world.count)))
  })

  test('one capture after another shows each state in its turn', async (scope, world) => {
    const machine = world.make()
    for (let part = 0; part < 4; part++) {
      const at = Math.floor((world.count * part) / 4)
      const to = Math.floor((world.count * (part + 1)) / 4)
      const expected = await world.digest(machine)
      await showsState(scope, world, machine.snapshot(), at, expected)
      world.apply(machine, at, to)
    }
  })

  test('a persist whose signal has aborted ends with the reason', async (_scope, world) => {
    const snapshot = applied(world, world.count).snapshot()
    const reason = new Error('enough')
    await rejectsWithReason(_scope, drain(snapshot, AbortSignal.abort(reason)), reason, 'persist()')
    snapshot.release()
  })

  test('persisted chunks belong to the caller', async (scope, world) => {
    const machine = applied(world, world.count)
    const expected = await world.digest(machine)
    const first = machine.snapshot()
    const chunks: Uint8Array[] = []
    for await (const chunk of first.persist({ signal: scope.signal })) chunks.push(chunk)
    first.release()
    const copy = await restored(world.make(), Buffer.concat(chunks), world.count)
    assert.equal(await world.digest(copy), expected, 'a chunk was changed after it was yielded')
    for (const chunk of chunks) chunk.fill(255)
    assert.equal(await world.digest(machine), expected, 'a chunk was a view on the state')
    await showsState(scope, world, machine.snapshot(), world.count, expected)
  })

  if (!capabilities.manyChunks) return

  test('an abort between two chunks ends the persist with the reason', async (scope, world) => {
    const snapshot = applied(world, world.count).snapshot()
    const controller = scope.controller()
    const reason = new Error('enough')
    let chunks = 0
    const reading = async (): Promise<void> => {
      for await (const chunk of snapshot.persist({ signal: controller.signal })) {
        chunks += 1
        if (chunk.byteLength >= 0) controller.abort(reason)
      }
    }
    await rejectsWithReason(scope, reading(), reason, 'persist()')
    assert.equal(chunks, 1, 'chunks came after the abort')
    snapshot.release()
  })
}

function applied(world: StateMachineWorld, to: number): StateMachine {
  const machine = world.make() as StateMachine
  world.apply(machine, 0, to)
  return machine
}

async function showsState(
  scope: Scope,
  world: StateMachineWorld,
  snapshot: StateSnapshot,
  next: number,
  expected: string,
): Promise<void> {
  const bytes = await persisted(snapshot, scope.signal)
  const copy = await restored(world.make(), bytes, next)
  assert.equal(await world.digest(copy), expected, 'the snapshot is not of the state at capture')
}

async function drain(snapshot: StateSnapshot, signal: AbortSignal): Promise<void> {
  for await (const chunk of snapshot.persist({ signal })) if (chunk.byteLength < 0) return
}
