/** The conformance suite of `Coordinator`: who is alive, who leads, and small versioned documents. */
import type { CoordinatorCapabilities } from './coordinator-capabilities.js'
import type { CoordinatorWorld } from './coordinator-world.js'
import assert from 'node:assert/strict'
import { adapterCases } from './adapter.js'
import { documentCases } from './coordinator-documents.js'
import { coordinatorFaultCases } from './coordinator-faults.js'
import { leadershipCases } from './coordinator-leadership.js'
import { membershipCases } from './coordinator-members.js'
import { connectOn } from './coordinator-support.js'
import { iterate, nextOf, rejectsWith, rejectsWithReason, until } from './expect.js'
import { sleep, suite } from './runner.js'
import type { Case, SuiteRunner, SuiteSubject } from './runner.js'

/** A coordinator to be tested, and what the suite must know of it. */
export interface CoordinatorSubject extends SuiteSubject<CoordinatorWorld> {
  /** What it can do: cases for what it can't are left out, and the first case names both. */
  readonly capabilities: CoordinatorCapabilities
}

/** Registers the suite with a runner. Cases that wait for an expiry take as long as the subject's session timeout. */
export function coordinatorSuite(runner: SuiteRunner, subject: CoordinatorSubject): void {
  const { capabilities } = subject
  const hooks = {
    outage: 'outage',
    fill: 'fill',
    partition: 'partition',
    expire: 'expire',
    wipe: 'wipe',
    damage: 'damage',
  } as const
  suite(runner, 'Coordinator', subject, capabilities, hooks, (test) => {
    adapterCases(test, capabilities)
    sessionCases(test)
    membershipCases(test)
    leadershipCases(test)
    documentCases(test)
    coordinatorFaultCases(test, capabilities)
  })
}

function sessionCases(test: Case<CoordinatorWorld>): void {
  test('each session has an id of its own, a timeout, and a signal that has not aborted', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    const others = [await coordinator.connect(scope.options), (await connectOn(scope, world, 'b')).session]
    const sessions = [session, ...others]
    assert.equal(new Set(sessions.map(({ id }) => id)).size, 3)
    for (const { timeoutMs, signal } of sessions) {
      assert.ok(timeoutMs > 0, `timeoutMs is ${timeoutMs}`)
      assert.equal(signal.aborted, false)
    }
    for (const other of others) await other.close()
  })

  test('the lease of a new session is held', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    assert.equal(await nextOf(scope, iterate(scope, session.watchLease(scope.options)), 'the lease'), 'held')
  })

  test('a session in contact outlives its timeout', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const lease = iterate(scope, session.watchLease(scope.options))
    await nextOf(scope, lease, 'the lease')
    const change = scope.later(lease.next())
    await sleep(session.timeoutMs * 1.5)
    await scope.staysPending(change, 'a change of the lease')
    assert.equal(session.signal.aborted, false)
  })

  test('close ends the session: its signal aborts, its watches and calls are told KAGAMI_SESSION_LOST', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    await session.join({ node: 'a', member: 'a-1', data: new Uint8Array(1) }, scope.options)
    const watches = [
      iterate<unknown>(scope, session.watchLease(scope.options)),
      iterate<unknown>(scope, session.watchMembers(scope.options)),
      iterate<unknown>(scope, session.watch('x/', scope.options)),
    ]
    for (const watch of watches) await nextOf(scope, watch, 'the present state')
    const told = watches.map((watch) => {
      const end = until(scope, watch, () => false, 'the close')
      return scope.later(rejectsWith(scope, end, 'KAGAMI_SESSION_LOST', 'a watch'))
    })
    await scope.within(session.close(), 'close()')
    await scope.within(session.close(), 'a second close()')
    assert.equal(session.signal.aborted, true)
    await Promise.all(told)
    for (const [what, call] of [
      ['join()', () => session.join({ node: 'a', member: 'a-1', data: new Uint8Array(1) }, scope.options)],
      ['read()', () => session.read('x/1', scope.options)],
      ['write()', () => session.write('x/1', new Uint8Array(1), undefined, scope.options)],
      ['campaign()', () => session.campaign(scope.options)],
      ['watch()', () => session.watch('x/', scope.options)[Symbol.asyncIterator]().next()],
      ['watchMembers()', () => session.watchMembers(scope.options)[Symbol.asyncIterator]().next()],
    ] as const) {
      await rejectsWith(scope, call(), 'KAGAMI_SESSION_LOST', `${what} after close()`)
    }
  })

  test('stopping the adapter ends its sessions', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    await scope.within(coordinator.stop(), 'stop()')
    assert.equal(session.signal.aborted, true)
    await rejectsWith(scope, session.read('x/1', scope.options), 'KAGAMI_SESSION_LOST', 'read() after stop()')
  })

  test('every call whose signal has aborted rejects with the reason', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    const reason = new Error('enough')
    const options = { signal: AbortSignal.abort(reason) }
    const record = { node: 'a', member: 'a-1', data: new Uint8Array(1) }
    for (const [what, call] of [
      ['connect()', () => coordinator.connect(options)],
      ['join()', () => session.join(record, options)],
      ['campaign()', () => session.campaign(options)],
      ['read()', () => session.read('x/1', options)],
      ['write()', () => session.write('x/1', new Uint8Array(1), undefined, options)],
      ['watch()', () => iterate(scope, session.watch('x/', options)).next()],
      ['watchMembers()', () => iterate(scope, session.watchMembers(options)).next()],
      ['watchLease()', () => iterate(scope, session.watchLease(options)).next()],
    ] as const) {
      await rejectsWithReason(scope, call(), reason, what)
    }
    assert.equal(await session.read('x/1', scope.options), undefined)
  })

  test('an abort ends a watch that waits, with the reason', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const controller = scope.controller()
    const options = { signal: controller.signal }
    const reason = new Error('enough')
    const watches = [
      iterate<unknown>(scope, session.watchLease(options)),
      iterate<unknown>(scope, session.watchMembers(options)),
      iterate<unknown>(scope, session.watch('x/', options)),
    ]
    for (const watch of watches) await nextOf(scope, watch, 'the present state')
    const told = watches.map((watch) =>
      scope.later(rejectsWithReason(scope, watch.next(), reason, 'a watch that waits')),
    )
    setImmediate(() => controller.abort(reason))
    await Promise.all(told)
  })

  test('a consumer may return early, again and again', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    for (let i = 0; i < 50; i++) {
      for await (const lease of session.watchLease(scope.options)) if (lease === 'held') break
      for await (const members of session.watchMembers(scope.options)) if (members.length === 0) break
      for await (const documents of session.watch('x/', scope.options)) if (documents.size === 0) break
    }
    assert.equal(session.signal.aborted, false)
    await scope.within(coordinator.stop(), 'stop()')
  })
}
