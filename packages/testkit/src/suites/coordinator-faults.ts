/** The clauses on lost contact, expiry, outages and lost documents. */
import assert from 'node:assert/strict'
import { isKagamiError } from '@kagami/core/contract'
import type { MemberRecord } from '@kagami/core/contract'
import type { CoordinatorCapabilities } from './coordinator-capabilities.js'
import type { CoordinatorWorld } from './coordinator-world.js'
import { abortOf, connectOn, memberOf, sessionsOf } from './coordinator-support.js'
import { bytesOf, endedWith, iterate, nextOf, rejectsWith, textOf, unanswered, until } from './expect.js'
import { sleep } from './runner.js'
import type { Case, Scope } from './runner.js'

/** How much later than promised something may be seen, in milliseconds: timers and notices take their time. */
const toleranceMs = 50

export function coordinatorFaultCases(test: Case<CoordinatorWorld>, capabilities: CoordinatorCapabilities): void {
  if (capabilities.expire) expiryCases(test)
  if (capabilities.partition) partitionCases(test)
  if (capabilities.outage) outageCases(test)
  if (capabilities.fill) fullCase(test)
  if (capabilities.damage) damageCase(test)
  if (capabilities.wipe) {
    test('when the coordinator loses its documents, they are gone for everyone, and can be written anew', async (scope, world) => {
      const { session } = await connectOn(scope, world, 'a')
      await session.write('x/1', bytesOf('lost'), undefined, scope.options)
      await world.wipe!()
      const { session: later } = await connectOn(scope, world, 'b')
      assert.equal(await later.read('x/1', scope.options), undefined)
      await later.write('x/1', bytesOf('new'), undefined, scope.options)
      assert.equal(textOf((await later.read('x/1', scope.options))!.bytes), 'new')
    })
  }
}

function expiryCases(test: Case<CoordinatorWorld>): void {
  test('an expired session is over for good: its signal aborts, its calls are told KAGAMI_SESSION_LOST', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    await session.join(memberOf('a'), scope.options)
    const watch = iterate(scope, session.watchMembers(scope.options))
    await until(scope, watch, (members) => members.length === 1, 'the member')
    const end = until(scope, watch, () => false, 'the expiry')
    const told = scope.later(rejectsWith(scope, end, 'KAGAMI_SESSION_LOST', 'a watch'))
    await world.expire!('a')
    await scope.within(abortOf(session.signal), 'the signal', scope.patienceMs + session.timeoutMs)
    await told
    await rejectsWith(scope, session.read('x/1', scope.options), 'KAGAMI_SESSION_LOST', 'read()')
    const again = await coordinator.connect(scope.options)
    scope.defer(() => again.close())
    assert.notEqual(again.id, session.id)
    await again.join(memberOf('a', 2), scope.options)
  })

  test('an expired session’s member vanishes, and its leadership passes on, with a greater epoch', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    await a!.join(memberOf('a'), scope.options)
    const watch = iterate(scope, b!.watchMembers(scope.options))
    await until(scope, watch, (members) => members.length === 1, 'the member')
    const first = await scope.within(a!.campaign(scope.options), 'the election')
    const campaign = b!.campaign(scope.options)
    await scope.staysPending(campaign, 'a second election')
    await world.expire!('a')
    const patienceMs = scope.patienceMs + b!.timeoutMs
    const second = await scope.within(campaign, 'the second election', patienceMs)
    assert.ok(second.epoch > first.epoch, `epoch ${second.epoch} after ${first.epoch}`)
    assert.equal(first.signal.aborted, true, 'two leaders at once')
    await until(scope, watch, (members) => members.length === 0, 'the departure')
  })
}

function partitionCases(test: Case<CoordinatorWorld>): void {
  test('out of contact the lease is suspended within timeoutMs, before others see the member vanish', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const patienceMs = scope.patienceMs + a!.timeoutMs * 2
    await a!.join(memberOf('a'), scope.options)
    const lease = iterate(scope, a!.watchLease(scope.options))
    assert.equal(await nextOf(scope, lease, 'the lease'), 'held')
    const watch = iterate(scope, b!.watchMembers(scope.options))
    await until(scope, watch, (members) => members.length === 1, 'the member')
    let suspendedAt = Number.POSITIVE_INFINITY
    const suspension = scope.later(
      lease.next().then((step) => {
        suspendedAt = performance.now()
        return step
      }),
    )
    const cutAt = performance.now()
    await scope.fault(() => world.partition!('a'))
    const gone = scope.later(noMembers(scope, watch).then(() => performance.now()))
    const [goneAt, step] = await scope.within(Promise.all([gone, suspension]), 'the expiry', patienceMs)
    assert.deepEqual(step, { done: false, value: 'suspended' })
    assert.ok(suspendedAt <= goneAt + 1, 'others saw the member vanish before its own lease was suspended')
    const afterMs = suspendedAt - cutAt
    assert.ok(afterMs <= a!.timeoutMs + toleranceMs, `suspended after ${Math.round(afterMs)} ms of ${a!.timeoutMs}`)
  })

  test('out of contact a leader’s signal aborts before another is elected', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const patienceMs = scope.patienceMs + a!.timeoutMs * 2
    const first = await scope.within(a!.campaign(scope.options), 'the election')
    const campaign = b!.campaign(scope.options).then((leadership) => {
      assert.equal(first.signal.aborted, true, 'two leaders at once')
      return leadership
    })
    await scope.staysPending(campaign, 'a second election')
    await scope.fault(() => world.partition!('a'))
    const second = await scope.within(campaign, 'the second election', patienceMs)
    assert.ok(second.epoch > first.epoch)
  })

  test('a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE, to be tried again', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const leadership = await scope.within(session.campaign(scope.options), 'the election')
    await scope.fault(() => world.partition!('a'))
    await scope.within(abortOf(leadership.signal), 'the end', scope.patienceMs + session.timeoutMs)
    endedWith(leadership.signal, 'KAGAMI_COORDINATOR_UNAVAILABLE', 'a leadership out of contact')
  })

  test('a session that expired out of contact is over when the contact is back', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const patienceMs = scope.patienceMs + a!.timeoutMs * 2
    await a!.join(memberOf('a'), scope.options)
    const watch = iterate(scope, b!.watchMembers(scope.options))
    await until(scope, watch, (members) => members.length === 1, 'the member')
    const mend = await scope.fault(() => world.partition!('a'))
    const gone = scope.later(noMembers(scope, watch))
    await scope.within(gone, 'the expiry', patienceMs)
    await mend()
    await scope.within(abortOf(a!.signal), 'the signal', patienceMs)
    await rejectsWith(scope, a!.read('x/1', scope.options), 'KAGAMI_SESSION_LOST', 'read()')
    const { session: again } = await connectOn(scope, world, 'a')
    await again.join(memberOf('a', 2), scope.options)
  })

  test('a short loss of contact costs nothing: session, member and leadership live on', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    await a!.join(memberOf('a'), scope.options)
    const leadership = await scope.within(a!.campaign(scope.options), 'the election')
    const mend = await scope.fault(() => world.partition!('a'))
    await sleep(Math.min(a!.timeoutMs / 8, 200))
    await mend()
    await b!.write('x/1', bytesOf('meanwhile'), undefined, scope.options)
    const watch = iterate(scope, a!.watch('x/', scope.options))
    await until(scope, watch, (documents) => documents.size === 1, 'the document')
    assert.equal(a!.signal.aborted, false)
    assert.equal(leadership.signal.aborted, false)
    const members = await nextOf(scope, iterate(scope, b!.watchMembers(scope.options)), 'the members')
    assert.equal(members.length, 1)
  })

  test('a suspended lease whose session survives is held again, and the watches have caught up', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const lease = iterate(scope, a!.watchLease(scope.options))
    const watch = iterate(scope, a!.watch('x/', scope.options))
    await nextOf(scope, watch, 'the present state')
    assert.equal(await nextOf(scope, lease, 'the lease'), 'held')
    const mend = await scope.fault(() => world.partition!('a'))
    await b!.write('x/1', bytesOf('missed'), undefined, scope.options)
    const step = await scope.within(lease.next(), 'the suspension', scope.patienceMs + a!.timeoutMs)
    assert.deepEqual(step, { done: false, value: 'suspended' })
    await mend()
    try {
      await until(scope, lease, (state) => state === 'held', 'the lease')
    } catch (error) {
      // The contact came back too late for this session: also a way to be told the truth.
      if (isKagamiError(error, 'KAGAMI_SESSION_LOST')) return
      throw error
    }
    await until(scope, watch, (documents) => documents.size === 1, 'the document that was missed')
  })

  test('out of contact nothing is made up: reads, writes and joins do not resolve, and may be tried again', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const version = await a!.write('x/1', bytesOf('one'), undefined, scope.options)
    assert.equal(textOf((await a!.read('x/1', scope.options))!.bytes), 'one')
    await scope.fault(() => world.partition!('a'))
    await b!.write('x/1', bytesOf('meanwhile'), version, scope.options)
    const code = 'KAGAMI_COORDINATOR_UNAVAILABLE'
    for (const [what, call] of [
      ['a read', () => a!.read('x/1', scope.options)],
      ['a read of what was never read', () => a!.read('x/2', scope.options)],
      ['a write', () => a!.write('x/2', bytesOf('two'), undefined, scope.options)],
      ['a join', () => a!.join(memberOf('a'), scope.options)],
    ] as const) {
      await unanswered(scope, call(), code, `${what} out of contact`)
    }
    assert.equal(textOf((await b!.read('x/1', scope.options))!.bytes), 'meanwhile')
  })
}

/** Resolves when the watch shows that nobody is there, however long that takes. */
async function noMembers(scope: Scope, watch: AsyncIterator<readonly MemberRecord[]>): Promise<void> {
  for (;;) {
    const step = await watch.next()
    if (step.done === true || step.value.length === 0) return
    await scope.turn()
  }
}

function fullCase(test: Case<CoordinatorWorld>): void {
  test('a full coordinator rejects writes with KAGAMI_STORE_FULL, keeps documents and sessions, and recovers', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const version = await session.write('x/1', bytesOf('before'), undefined, scope.options)
    const write = (expected: number): Promise<number> =>
      session.write('x/1', new Uint8Array(50_000), expected, scope.options)
    const end = await scope.fault(() => world.fill!())
    await rejectsWith(scope, write(version), 'KAGAMI_STORE_FULL', 'write()')
    const kept = (await session.read('x/1', scope.options))!
    assert.equal(textOf(kept.bytes), 'before')
    await sleep(session.timeoutMs * 1.5)
    assert.equal(session.signal.aborted, false)
    await end()
    await scope.within(write(kept.version), 'write()')
  })
}

function damageCase(test: Case<CoordinatorWorld>): void {
  test('a document that is damaged keeps its version, hides no others, and can be written anew', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const first = await session.write('x/1', bytesOf('before'), undefined, scope.options)
    const version = await session.write('x/1', bytesOf('newest'), first, scope.options)
    await session.write('x/2', bytesOf('whole'), undefined, scope.options)
    await world.damage!('x/1')
    const { session: later } = await connectOn(scope, world, 'b')
    const shown = await nextOf(scope, iterate(scope, later.watch('x/', scope.options)), 'the documents')
    assert.deepEqual([...shown.keys()], ['x/1', 'x/2'])
    assert.equal(textOf(shown.get('x/2')!.bytes), 'whole')
    const damaged = (await later.read('x/1', scope.options))!
    assert.ok(['newest', 'before', ''].includes(textOf(damaged.bytes)), `it holds ${textOf(damaged.bytes)}`)
    // Greater where somebody has written it anew already.
    assert.ok(damaged.version >= version, `its version is ${damaged.version}, and was ${version}`)
    const anew = await later.write('x/1', bytesOf('anew'), damaged.version, scope.options)
    assert.ok(anew > damaged.version)
    assert.equal(textOf((await session.read('x/1', scope.options))!.bytes), 'anew')
  })
}

function outageCases(test: Case<CoordinatorWorld>): void {
  test('during an outage connect rejects with KAGAMI_COORDINATOR_UNAVAILABLE, and afterwards it works', async (scope, world) => {
    const { coordinator } = await connectOn(scope, world, 'a')
    const end = await scope.fault(() => world.outage!())
    const connecting = coordinator.connect(scope.options)
    await rejectsWith(scope, connecting, 'KAGAMI_COORDINATOR_UNAVAILABLE', 'connect()')
    await end()
    const session = await scope.within(coordinator.connect(scope.options), 'connect()')
    await session.close()
  })

  test('documents survive an outage', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    await session.write('x/1', bytesOf('kept'), undefined, scope.options)
    const end = await scope.fault(() => world.outage!())
    await end()
    const again = await scope.within(coordinator.connect(scope.options), 'connect()')
    scope.defer(() => again.close())
    assert.equal(textOf((await again.read('x/1', scope.options))!.bytes), 'kept')
  })
}
