/** The clauses on membership: join, update, and who is seen alive. */
import assert from 'node:assert/strict'
import type { MemberRecord } from '@kagami/core/contract'
import type { CoordinatorWorld } from './coordinator-world.js'
import { connectOn, memberOf, sessionsOf } from './coordinator-support.js'
import { bytesOf, iterate, nextOf, rejectsWith, textOf, until } from './expect.js'
import type { Case } from './runner.js'

const names = (members: readonly MemberRecord[]): string => members.map(({ member }) => member).join(' ')

export function membershipCases(test: Case<CoordinatorWorld>): void {
  test('a session that has not joined is no member, and the watch begins with the present state', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const first = await nextOf(scope, iterate(scope, a!.watchMembers(scope.options)), 'the present state')
    assert.deepEqual(first, [])
    await b!.join(memberOf('b'), scope.options)
    const later = await nextOf(scope, iterate(scope, a!.watchMembers(scope.options)), 'the present state')
    assert.equal(names(later), 'b-1')
  })

  test('a member is seen by every session, as it announced itself', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'b'])
    const watches = sessions.map((session) => iterate(scope, session.watchMembers(scope.options)))
    for (const watch of watches) await nextOf(scope, watch, 'the present state')
    await sessions[0]!.join({ node: 'a', member: 'a-1', data: Uint8Array.of(0, 255, 10, 13) }, scope.options)
    for (const watch of watches) {
      const members = await until(scope, watch, (state) => state.length === 1, 'the member')
      assert.deepEqual(
        members.map(({ node, member, data }) => ({ node, member, data: [...data] })),
        [{ node: 'a', member: 'a-1', data: [0, 255, 10, 13] }],
      )
    }
  })

  test('members come as whole states, ordered by node id', async (scope, world) => {
    const nodes = ['n10', 'n2', 'N1', 'b', 'a', 'n1']
    const sessions = await sessionsOf(scope, world, nodes)
    const watch = iterate(scope, sessions[0]!.watchMembers(scope.options))
    for (const [i, session] of sessions.entries()) {
      await session.join(memberOf(nodes[i]!), scope.options)
      const members = await until(scope, watch, (state) => state.length === i + 1, `${i + 1} members`)
      const expected = nodes.slice(0, i + 1).sort()
      assert.deepEqual(
        members.map(({ node }) => node),
        expected,
      )
    }
  })

  test('a node id is taken while another live session holds it', async (scope, world) => {
    const [first, second] = await sessionsOf(scope, world, ['a', 'a'])
    await first!.join(memberOf('a', 1), scope.options)
    await rejectsWith(scope, second!.join(memberOf('a', 2), scope.options), 'KAGAMI_NODE_ID_TAKEN', 'a second join()')
    const { session: other } = await connectOn(scope, world, 'b')
    const watch = iterate(scope, other.watchMembers(scope.options))
    assert.equal(names(await nextOf(scope, watch, 'the present state')), 'a-1')
    await first!.close()
    await second!.join(memberOf('a', 2), scope.options)
    await until(scope, watch, (members) => names(members) === 'a-2', 'the second run')
  })

  test('of several sessions that join as one node at once, one does', async (scope, world) => {
    const sessions = await sessionsOf(scope, world, ['a', 'a', 'a', 'a', 'a'])
    const outcomes = await scope.within(
      Promise.allSettled(sessions.map((session, i) => session.join(memberOf('a', i), scope.options))),
      'five join()s',
    )
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue
      await rejectsWith(scope, Promise.reject(outcome.reason), 'KAGAMI_NODE_ID_TAKEN', 'a join() that lost')
    }
  })

  test('update replaces the record for everyone', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    await a!.join(memberOf('a', 1, 'before'), scope.options)
    const watch = iterate(scope, b!.watchMembers(scope.options))
    await until(scope, watch, (members) => members.length === 1, 'the member')
    await a!.update(memberOf('a', 1, 'after'), scope.options)
    const members = await until(scope, watch, ([member]) => textOf(member!.data) === 'after', 'the update')
    assert.equal(names(members), 'a-1')
  })

  test('update is refused before join, and as another node or member, and makes no member', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const refused = (record: MemberRecord): Promise<void> =>
      rejectsWith(scope, a!.update(record, scope.options), 'KAGAMI_BAD_OPTION', `update() as ${record.member}`)
    await refused(memberOf('a'))
    await a!.join(memberOf('a'), scope.options)
    await refused(memberOf('a', 2))
    await refused(memberOf('c'))
    const members = await nextOf(scope, iterate(scope, b!.watchMembers(scope.options)), 'the members')
    assert.equal(names(members), 'a-1')
  })

  test('the data of a record is the caller’s again once join or update has settled', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    const watches = [a!, b!].map((session) => iterate(scope, session.watchMembers(scope.options)))
    // A Buffer too: its `slice` is a view.
    for (const [call, data] of Object.entries({ join: bytesOf('joined'), update: Buffer.from('updated') })) {
      const text = textOf(data)
      await a![call as 'join' | 'update']({ ...memberOf('a'), data }, scope.options)
      data.fill(0)
      for (const watch of watches) await until(scope, watch, ([found]) => textOf(found?.data ?? data) === text, text)
    }
  })

  test('a closed session’s member vanishes at once for the others', async (scope, world) => {
    const [a, b] = await sessionsOf(scope, world, ['a', 'b'])
    for (const [session, node] of [[a!, 'a'] as const, [b!, 'b'] as const])
      await session.join(memberOf(node), scope.options)
    const watch = iterate(scope, b!.watchMembers(scope.options))
    await until(scope, watch, (members) => members.length === 2, 'both members')
    const began = performance.now()
    await a!.close()
    await until(scope, watch, (members) => names(members) === 'b-1', 'the departure')
    const tookMs = performance.now() - began
    assert.ok(tookMs < b!.timeoutMs, `it took ${Math.round(tookMs)} ms, as long as an expiry would`)
  })

  test('a member that comes and goes while nobody looks leaves the watch with the last state', async (scope, world) => {
    const { session } = await connectOn(scope, world, 'a')
    const watch = iterate(scope, session.watchMembers(scope.options))
    await nextOf(scope, watch, 'the present state')
    for (let run = 1; run <= 20; run++) {
      const { coordinator, session: guest } = await connectOn(scope, world, 'guest')
      await guest.join(memberOf('guest', run), scope.options)
      if (run < 20) await coordinator.stop()
    }
    let states = 0
    await until(scope, watch, (members) => ++states > 0 && names(members) === 'guest-20', 'the last state')
    assert.ok(states <= 20, `${states} states for 39 changes that nobody looked at: they should have been merged`)
  })

  test('clusters do not see one another’s members, and may use the same node ids', async (scope, world) => {
    const one = await connectOn(scope, world, 'a', 'one')
    const two = await connectOn(scope, world, 'a', 'two')
    await one.session.join(memberOf('a', 1), scope.options)
    const watch = iterate(scope, two.session.watchMembers(scope.options))
    assert.deepEqual(await nextOf(scope, watch, 'the present state'), [])
    await two.session.join(memberOf('a', 2), scope.options)
    await until(scope, watch, (members) => names(members) === 'a-2', 'the own member')
  })
}
