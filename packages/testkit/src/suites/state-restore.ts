/** The clauses on restoring: snapshot and the remaining entries are as good as all entries. */
import assert from 'node:assert/strict'
import type { Case } from './runner.js'
import type { StateMachineWorld } from './state-machine-world.js'
import { inChunks, persisted, restored } from './state-support.js'

export function restoreCases(test: Case<StateMachineWorld>): void {
  test('a snapshot and the remaining entries are as good as all entries, wherever it was taken', async (scope, world) => {
    const whole = world.make()
    const results = world.apply(whole, 0, world.count)
    const expected = await world.digest(whole)
    for (const at of [0, 1, 2, world.count >>> 1, world.count - 1, world.count]) {
      const origin = world.make()
      world.apply(origin, 0, at)
      const bytes = await persisted(origin.snapshot(), scope.signal)
      const copy = await restored(world.make(), bytes, at)
      assert.equal(await world.digest(copy), await world.digest(origin), `restored at entry ${at}`)
      const rest = world.apply(copy, at, world.count)
      assert.deepEqual(rest, results.slice(at), `the results after a restore at entry ${at}`)
      assert.equal(await world.digest(copy), expected, `the state after a restore at entry ${at}`)
    }
  })

  test('restore takes the bytes in chunks of any size', async (scope, world) => {
    const origin = world.make()
    world.apply(origin, 0, world.count)
    const expected = await world.digest(origin)
    const bytes = await persisted(origin.snapshot(), scope.signal)
    const sizes = bytes.byteLength > 200_000 ? [997, bytes.byteLength] : [1, 7, 997, bytes.byteLength + 1]
    for (const size of sizes) {
      const copy = await restored(world.make(), bytes, world.count, size)
      assert.equal(await world.digest(copy), expected, `in chunks of ${size} bytes`)
    }
  })

  test('restore takes empty chunks as nothing', async (scope, world) => {
    const origin = world.make()
    world.apply(origin, 0, world.count)
    const bytes = await persisted(origin.snapshot(), scope.signal)
    async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
      yield new Uint8Array(0)
      for await (const chunk of inChunks(bytes, 1000)) {
        yield chunk
        yield new Uint8Array(0)
      }
    }
    const copy = world.make()
    const next = { incarnation: 1, index: world.count }
    await copy.restore(chunks(), { token: 'orders', next, schemaVersion: origin.schemaVersion ?? 0 })
    assert.equal(await world.digest(copy), await world.digest(origin))
  })

  test('restore replaces the whole state, also to start over', async (scope, world) => {
    const half = world.count >>> 1
    const origin = world.make()
    const empty = await persisted(origin.snapshot(), scope.signal)
    world.apply(origin, 0, half)
    const expected = await world.digest(origin)
    const bytes = await persisted(origin.snapshot(), scope.signal)
    const used = world.make()
    world.apply(used, 0, world.count)
    await restored(used, bytes, half)
    assert.equal(await world.digest(used), expected, 'something of the former state is left')
    await restored(used, empty, 0)
    assert.equal(await world.digest(used), await world.digest(world.make()), 'something of the former state is left')
  })

  test('a snapshot of a restored machine is as good as one of the original', async (scope, world) => {
    const half = world.count >>> 1
    let machine = world.make()
    for (let i = 0; i < half; i += Math.ceil(half / 5)) {
      const to = Math.min(half, i + Math.ceil(half / 5))
      world.apply(machine, i, to)
      machine = await restored(world.make(), await persisted(machine.snapshot(), scope.signal), to)
    }
    const plain = world.make()
    world.apply(plain, 0, half)
    assert.equal(await world.digest(machine), await world.digest(plain))
  })

  test('restore rejects when its stream fails, and the machine can start over', async (scope, world) => {
    const origin = world.make()
    world.apply(origin, 0, world.count)
    const bytes = await persisted(origin.snapshot(), scope.signal)
    const reason = new Error('the store failed half-way')
    async function* broken(): AsyncGenerator<Uint8Array, void, void> {
      yield bytes.slice(0, bytes.byteLength >>> 1)
      throw reason
    }
    const machine = world.make()
    const next = { incarnation: 1, index: world.count }
    const info = { token: 'orders', next, schemaVersion: machine.schemaVersion ?? 0 }
    await assert.rejects(machine.restore(broken(), info), 'restore() resolved though its stream failed')
    await restored(machine, bytes, world.count)
    assert.equal(await world.digest(machine), await world.digest(origin))
  })
}
