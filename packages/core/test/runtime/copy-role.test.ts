/** What a copy answers when the assignment is not above what it has seen or used, and what it tells of its role. */
import { expect, test } from 'vitest'
import { KagamiError } from '../../src/contract/index.js'
import { emptyState, type CopyState } from '../../src/engine/admission.js'
import type { Assignment } from '../../src/engine/documents.js'
import { CopyRole } from '../../src/runtime/copy-role.js'
import { Events } from '../../src/runtime/events.js'
import type { Replicator } from '../../src/runtime/replicator.js'

const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const log = { address: 'log-1', identity: 'uuid-1' }

const elsewhere: Assignment = {
  token: 'orders',
  incarnation: 1,
  phase: 'open',
  log,
  epoch: 6,
  reached: { incarnation: 1, index: 0 },
  primary: { node: 'a', member: 'a1' },
  replicas: ['b'],
  snapshotter: 'b',
  handoverGivenUp: null,
}

/** A copy on node b that has read epoch 5 of incarnation 1, and whose primary never gets its barrier in. */
function copy(
  assigned: Partial<Assignment>,
  own: { state?: Partial<CopyState>; contradicted?: boolean; resting?: boolean; member?: string } = {},
) {
  const begun: number[] = []
  const told: number[] = []
  const replicator = {
    get live() {
      return undefined
    },
    begin: (_incarnation: number, epoch: number, nextIndex: number) => {
      begun.push(epoch)
      told.push(nextIndex)
    },
    close: quiet,
  } as unknown as Replicator
  const assignment = { ...elsewhere, ...assigned }
  const role = new CopyRole({
    token: 'orders',
    incarnation: 1,
    replicator,
    events: new Events(logger),
    assignment: () => assignment,
    contradicted: () => own.contradicted === true,
    resting: () => own.resting === true,
    state: () => ({ ...emptyState(), incarnation: 1, epoch: 5, term: 7n, ...own.state }),
    running: () => true,
    member: () => own.member ?? 'b1',
    leaseHeld: () => true,
    hooks: () => undefined,
    notPrimary: () => {
      throw new Error('nothing is pending')
    },
    onChange: quiet,
  })
  role.evaluate()
  return { role, begun, told, again: () => role.evaluate() }
}

const mine = { primary: { node: 'b', member: 'b1' }, replicas: [] }
const seen = (incarnation: number, epoch: number) => ({ incarnation, epoch, log, deleted: false })

test('an epoch above what it has read is followed, and one that it has used already is not used again', () => {
  const { role, begun, again } = copy({ ...mine, epoch: 6 })
  expect([begun, role.refusal]).toEqual([[6], null])
  // Its term has ended meanwhile.
  again()
  expect([begun, role.refusal]).toEqual([[6], seen(1, 6)])
})

test('its barrier tells how many entries of the incarnation it has read', () => {
  expect(copy({ ...mine, epoch: 6 }, { state: { nextIndex: 12 } }).told).toEqual([12])
  // What it has read is of another one.
  expect(copy({ ...mine, epoch: 6 }, { state: { incarnation: 0, nextIndex: 12 } }).told).toEqual([0])
})

test.each([
  ['the same epoch', { ...mine, epoch: 5 }, seen(1, 5)],
  ['a lower one', { ...mine, epoch: 2 }, seen(1, 5)],
  ['a replica, too: a lower epoch', { epoch: 4 }, seen(1, 5)],
  ['a lower incarnation', { incarnation: 0, epoch: 9 }, seen(1, 5)],
] as const)('it answers with what is in force: %s', (_what, assigned, expected) => {
  const { role, begun } = copy(assigned)
  expect([begun, role.refusal]).toEqual([[], expected])
})

test.each([
  ['a higher epoch of another primary', { epoch: 6 }],
  ['the very epoch that is in force', { epoch: 5 }],
])('a replica has nothing to answer to %s', (_what, assigned) => {
  expect(copy(assigned).role.refusal).toBeNull()
})

test('what is assigned to an earlier member of its node promotes no copy', () => {
  const { role, begun } = copy({ primary: { node: 'b', member: 'b.0' }, replicas: [] }, { member: 'b.1' })
  expect([begun, role.refusal]).toEqual([[], null])
})

test('a copy whose incarnation is said to be in another log is not promoted there, and says where it is', () => {
  const { role, begun } = copy({ ...mine, epoch: 9 }, { contradicted: true })
  expect([begun, role.refusal]).toEqual([[], seen(1, 5)])
})

test('a copy that rests after its log has refused it asks for no higher epoch, and asks once it has rested', () => {
  const own = { resting: true }
  const { role, begun, again } = copy({ ...mine, epoch: 5 }, own)
  expect([begun, role.refusal]).toEqual([[], null])
  own.resting = false
  again()
  expect([begun, role.refusal]).toEqual([[], seen(1, 5)])
})

/** A copy that may be the primary, and what it tells and calls, in order. */
function promotable() {
  const told: string[] = []
  const events = new Events(logger)
  let live: { incarnation: number; epoch: number; phase: string } | undefined
  let running = true
  let member: string | undefined = 'b.1'
  const close = (): void => void (live = undefined)
  const role = new CopyRole({
    token: 'orders',
    incarnation: 1,
    replicator: {
      get live() {
        return live
      },
      begin: (incarnation: number, epoch: number) => (live = { incarnation, epoch, phase: 'barrier' }),
      close,
    } as unknown as Replicator,
    events,
    assignment: () => ({ ...elsewhere, primary: { node: 'b', member: 'b.1' }, replicas: [] }),
    contradicted: () => false,
    resting: () => false,
    state: () => ({ ...emptyState(), incarnation: 1, epoch: 5, term: 7n }),
    running: () => running,
    member: () => member,
    leaseHeld: () => true,
    hooks: () => ({ onPromote: () => told.push('onPromote'), onDemote: () => told.push('onDemote') }),
    notPrimary: (why) => new KagamiError('KAGAMI_NOT_PRIMARY', why),
    onChange: quiet,
  })
  for (const event of ['promoting', 'promoted', 'demoted'] as const)
    events.on(event, () => told.push(`${event}, ${role.role}`))
  return {
    role,
    events,
    told,
    /** Promotes it, and lets its barrier count. */
    promote: () => {
      role.evaluate()
      if (live !== undefined) live.phase = 'serving'
      role.evaluate()
    },
    /** Its session has expired: the node has no member, or another one. */
    rejoin: (as: string | undefined) => {
      member = as
      role.evaluate()
    },
    /** As a copy does that is closed. */
    close: () => {
      running = false
      close()
      role.stopServing('the copy is closed')
    },
  }
}

test.each([
  ['until it has another', [undefined, 'b.2']],
  ['when it has another at once', ['b.2']],
])('a node whose session has expired serves no more as the member that it was, %s', (_when, members) => {
  const { role, told, promote, rejoin } = promotable()
  promote()
  for (const member of members) {
    rejoin(member)
    expect([role.role, role.servingEpoch]).toEqual(['replica', 0])
  }
  expect(told.slice(3)).toEqual(['demoted, replica', 'onDemote'])
})

test('a listener sees the role that the event tells of, and hooks follow the events', () => {
  const { told, promote, close } = promotable()
  promote()
  close()
  expect(told).toEqual(['promoting, promoting', 'promoted, primary', 'onPromote', 'demoted, replica', 'onDemote'])
})

test.each([
  ['promoting', ['promoting, promoting']],
  ['promoted', ['promoting, promoting', 'promoted, primary', 'demoted, replica', 'onDemote']],
  ['demoted', ['promoting, promoting', 'promoted, primary', 'onPromote', 'demoted, replica', 'onDemote']],
] as const)("a listener of '%s' that closes the copy in place is the last to hear of it", (event, expected) => {
  const { role, events, told, promote, close } = promotable()
  events.on(event, close)
  promote()
  role.stepDown('the copy moves away')
  expect(told).toEqual(expected)
  expect([role.role, role.servingEpoch]).toEqual(['replica', 0])
})
