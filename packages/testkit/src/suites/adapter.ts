/** The clauses that every adapter keeps, whatever it adapts. The suites of the contracts with I/O register them. */
import assert from 'node:assert/strict'
import type { Adapter } from '@kagami/core/contract'
import { rejectsWithReason } from './expect.js'
import type { Case, EndFault } from './runner.js'

/** The part of a world that these clauses need. */
export interface AdapterWorld {
  /** A new adapter, not started, for one node, over this world's one backing store. */
  open(node: string): Adapter
  /** Makes the backing store unreachable for every node, until the returned function is called. */
  outage?(): Promise<EndFault> | EndFault
}

export function adapterCases<W extends AdapterWorld>(test: Case<W>, capabilities: { readonly outage: boolean }): void {
  test('an adapter has a name for messages', async (_scope, world) => {
    assert.match(world.open('a').name, /\S/)
  })

  test('stop may be called before start', async (scope, world) => {
    const adapter = world.open('a')
    await scope.within(adapter.stop(), 'stop()')
  })

  test('stop may be called twice, also at once', async (scope, world) => {
    const adapter = await scope.start(world.open('a'), 'a')
    await scope.within(Promise.all([adapter.stop(), adapter.stop()]), 'two stops at once')
    await scope.within(adapter.stop(), 'a third stop()')
  })

  test('stop may be called during start, and both settle', async (scope, world) => {
    const adapter = world.open('a')
    const started = adapter.start(scope.context('a')).catch(() => undefined)
    await scope.within(adapter.stop(), 'stop()')
    await scope.within(started, 'start()')
    await scope.within(adapter.stop(), 'stop() after start()')
  })

  test('a start whose signal aborts rejects with the reason, and another adapter can start', async (scope, world) => {
    const adapter = world.open('a')
    const reason = new Error('enough')
    const started = adapter.start({ ...scope.context('a'), signal: AbortSignal.abort(reason) })
    await rejectsWithReason(scope, started, reason, 'start()')
    await scope.within(adapter.stop(), 'stop() after a start that rejected')
    await scope.start(world.open('a'), 'a')
  })

  test('an adapter can be opened again after another was stopped', async (scope, world) => {
    for (let i = 0; i < 3; i++) {
      const adapter = await scope.start(world.open('a'), 'a')
      await scope.within(adapter.stop(), 'stop()')
    }
  })

  if (capabilities.outage) {
    test('stop settles during an outage', async (scope, world) => {
      const adapter = await scope.start(world.open('a'), 'a')
      await scope.fault(() => world.outage!())
      await scope.within(adapter.stop(), 'stop()')
    })
  }
}
