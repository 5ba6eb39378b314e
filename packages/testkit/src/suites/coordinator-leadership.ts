/** The clauses on leadership: one leader at a time, a successor, and epochs that grow. */
import assert from 'node:assert/strict'
import type { Leadership, Session } from '@kagami/core/contract'
import type { CoordinatorWorld } from './coordinator-world.js'
import { connectOn, memberOf, sessionsOf } from './coordinator-support.js'
import { endedWith, iterate, nextOf, rejectsWithReason } from './expect.js'
import type { Case, Scope } from './runner.js'

function elected(scope: Scope, campaign: Promise<Leadership>): Promise<Leadership> {
  return scope.within(campaign, 'the election')
}

export function leadershipCases(test: Case<CoordinatorWorld>): void {
  test('a session that campaigns alone becomes the leader', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const leadership = await elected(scope, session.campaign(scope.options))
    assert.equal(leadership.signal.aborted, false)
    assert.ok(Number.isSafeInteger(leadership.epoch), `epoch is ${leadership.epoch}`)
  })

  test('a session may campaign without having joined, and a campaign makes no member', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    await elected(scope, session.campaign(scope.options))
    const members = await nextOf(scope, iterate(scope, session.watchMembers(scope.options)), 'the members')
    assert.deepEqual(members, [])
  })

  test('while there is a leader nobody else is elected', async (scope, world) => {
    const [a, b, c] = await sessionsOf(scope, world, ['a', 'b', 'c'])
    const first = await elected(scope, a!.campaign(scope.options))
    const others = [b!.campaign(scope.options), c!.campaign(scope.options)].map((other) => scope.later(other))
    await scope.staysPending(Promise.race(others), 'a second election')
    assert.equal(first.signal.aborted, false)
  })

  test('of many candidates one leads at a time, each in its turn, with growing epochs', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'b', 'c', 'd', 'e'])
    const epochs: number[] = []
    let current: Leadership | undefined
    const lead = async (session: Session, turns: number): Promise<void> => {
      for (let turn = 0; turn < turns; turn++) {
        const leadership = await session.campaign(scope.options)
        const other = current
        assert.ok(other === undefined || other.signal.aborted, 'elected while another leads')
        assert.equal(leadership.signal.aborted, false, 'a new leadership has aborted already')
        current = leadership
        epochs.push(leadership.epoch)
        await new Promise((resolve) => setTimeout(resolve, 2))
        assert.ok(current === leadership, 'another was elected meanwhile')
        assert.equal(leadership.signal.aborted, false, 'the leadership ended by itself')
        await leadership.resign()
      }
    }
    await scope.within(Promise.all(sessions.map((session) => lead(session, 3))), '15 elections', scope.patienceMs * 3)
    assert.equal(epochs.length, 15)
    for (const [i, epoch] of epochs.entries()) {
      if (i > 0) assert.ok(epoch > epochs[i - 1]!, `epoch ${epoch} after ${epochs[i - 1]}`)
    }
  })

  test('resign ends the leadership, is idempotent, and the session may campaign again', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const first = await elected(scope, session.campaign(scope.options))
    await scope.within(Promise.all([first.resign(), first.resign()]), 'two resign()s')
    assert.equal(first.signal.aborted, true)
    const second = await elected(scope, session.campaign(scope.options))
    await scope.within(first.resign(), 'a late resign()')
    assert.equal(second.signal.aborted, false, 'a late resign() of an old leadership ended the new one')
    assert.ok(second.epoch > first.epoch, `epoch ${second.epoch} after ${first.epoch}`)
    const { session: other } = await connectOn(scope, world, 'b')
    const campaign = other.campaign(scope.options)
    await scope.staysPending(campaign, 'an election beside the second leadership')
  })

  test('when the leader closes its session, its signal aborts and another is elected at once', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const first = await elected(scope, a!.campaign(scope.options))
    const campaign = b!.campaign(scope.options)
    await scope.staysPending(campaign, 'a second election')
    const began = performance.now()
    await a!.close()
    assert.equal(first.signal.aborted, true)
    const second = await elected(scope, campaign)
    assert.ok(second.epoch > first.epoch)
    const tookMs = performance.now() - began
    assert.ok(tookMs < b!.timeoutMs, `it took ${Math.round(tookMs)} ms, as long as an expiry would`)
  })

  test('when the leader’s adapter stops, its signal aborts and another is elected', async (scope, world) => {
    const { coordinator, session } = await connectOn(scope, world, 'a')
    const { session: other } = await connectOn(scope, world, 'b')
    const first = await elected(scope, session.campaign(scope.options))
    const campaign = scope.later(other.campaign(scope.options))
    await scope.within(coordinator.stop(), 'stop()')
    assert.equal(first.signal.aborted, true)
    await elected(scope, campaign)
  })

  test('a leadership that was resigned ended with KAGAMI_STOPPED, whatever comes later', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const leadership = await elected(scope, session.campaign(scope.options))
    await scope.within(leadership.resign(), 'resign()')
    endedWith(leadership.signal, 'KAGAMI_STOPPED', 'a leadership that was resigned')
    await scope.within(session.close(), 'close()')
    endedWith(leadership.signal, 'KAGAMI_STOPPED', 'a leadership that was resigned before its session ended')
  })

  test('a leadership whose session is closed ended with KAGAMI_SESSION_LOST, also where its adapter stops', async (scope, world) => {
    const one = await connectOn(scope, world, 'a')
    const closed = await elected(scope, one.session.campaign(scope.options))
    await scope.within(one.session.close(), 'close()')
    endedWith(closed.signal, 'KAGAMI_SESSION_LOST', 'the leadership of a closed session')
    const two = await connectOn(scope, world, 'a')
    const stopped = await elected(scope, two.session.campaign(scope.options))
    await scope.within(two.coordinator.stop(), 'stop()')
    endedWith(stopped.signal, 'KAGAMI_SESSION_LOST', 'the leadership of a stopped adapter')
  })

  test('an aborted campaign rejects with the reason and is no candidate any more', async (scope, world) => {
    const [a, b, c] = await sessionsOf(scope, world, ['a', 'b', 'c'])
    const first = await elected(scope, a!.campaign(scope.options))
    const controller = scope.controller()
    const reason = new Error('enough')
    const aborted = b!.campaign({ signal: controller.signal })
    await scope.staysPending(aborted, 'a second election')
    const last = scope.later(c!.campaign(scope.options))
    controller.abort(reason)
    await rejectsWithReason(scope, aborted, reason, 'campaign()')
    await first.resign()
    const second = await elected(scope, last)
    assert.equal(second.signal.aborted, false)
    const again = b!.campaign(scope.options)
    await scope.staysPending(again, 'an election beside the leader')
    await second.resign()
    await elected(scope, again)
  })

  test('members and leaders are apart: a leader that resigns stays a member', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    await session.join(memberOf('a'), scope.options)
    const leadership = await elected(scope, session.campaign(scope.options))
    await leadership.resign()
    const members = await nextOf(scope, iterate(scope, session.watchMembers(scope.options)), 'the members')
    assert.equal(members.length, 1)
    assert.equal(session.signal.aborted, false)
  })

  test('each cluster has a leader of its own', async (scope, world) => {
    const one = await connectOn(scope, world, 'a', 'one')
    const two = await connectOn(scope, world, 'a', 'two')
    await elected(scope, one.session.campaign(scope.options))
    await elected(scope, two.session.campaign(scope.options))
  })
}
