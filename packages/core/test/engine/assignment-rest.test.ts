/** While nothing changes, the steps come to rest: whatever members report, no token is moved, or given new epochs, for ever. */
import { evenPlacement } from '@kagami/placement-even'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countRound, nextStep, askedPrimary, pinnedPrimary } from '../../src/engine/assignment-steps.js'
import type { ClusterView, NodeView } from '../../src/engine/cluster-view.js'
import type { Assignment, CopyReport, Spec } from '../../src/engine/documents.js'
import { NEW, REPORT, SPEC } from './scenario.js'
import { forAll } from './support.js'

const NODES = ['a', 'b', 'c', 'd'] as const
/** More steps than any way to the target has. */
const ROUNDS = 30

const someNode = fc.constantFrom(...NODES)
const often = fc.constantFrom(true, true, true, true, false)
const seldom = fc.constantFrom(false, false, false, false, true)

const report = fc
  .record({
    phase: fc.constantFrom('running', 'running', 'running', 'restoring', 'failed'),
    caughtUp: often,
    cutOff: seldom,
    refused: seldom,
    unanswered: seldom,
    lost: fc.boolean(),
    nextIndex: fc.constantFrom(3, 10, 20),
    epoch: fc.constantFrom(4, 4, 3),
    began: fc.constantFrom(undefined, 3, 10),
  })
  .map(({ phase, caughtUp, cutOff, refused, unanswered, lost, nextIndex, epoch, began }): CopyReport => {
    const failure = lost ? 'KAGAMI_LOG_LOST_TAIL' : 'KAGAMI_APPLY_FAILED'
    const error = phase === 'failed' ? failure : refused || unanswered ? 'KAGAMI_LOG_REFUSED' : null
    const appendsFail = phase === 'running' && unanswered
    return {
      ...REPORT,
      epoch,
      ...(began === undefined ? {} : { epochBegan: began }),
      nextIndex,
      phase,
      inSync: phase === 'running' && !cutOff && caughtUp,
      cutOff,
      error,
      appendsFail,
    }
  })

const node = fc.record({
  lives: often,
  zone: fc.constantFrom('z1', 'z2', null),
  draining: fc.constantFrom('no', 'no', 'no', 'leaving', 'drain'),
  report: fc.option(report, { nil: undefined }),
})

const wanted = fc
  .record({
    replicas: fc.nat(2),
    self: seldom,
    owner: someNode,
    hold: seldom,
    failback: seldom,
    to: fc.option(someNode),
  })
  .map(({ replicas, self, owner, hold, failback, to }): Spec => {
    const owned = { primary: 'self', owner, failover: hold ? 'hold' : 'promote', failback } as const
    return { ...SPEC, replicas, ...(self ? owned : {}), handover: to === null ? null : { to, nonce: 'n' } }
  })

const world = fc.record({
  nodes: fc.tuple(node, node, node, node),
  spec: wanted,
  primary: fc.option(someNode),
  replicas: fc.subarray([...NODES]),
})

type World = typeof world extends fc.Arbitrary<infer T> ? T : never

/** The steps until there is none, or too many. */
function stepsOf({ nodes, spec, primary, replicas }: World): string[] {
  const views = NODES.map((id, i): NodeView => {
    const { lives, zone, draining } = nodes[i]!
    return { node: id, member: lives ? `${id}1` : undefined, zone, capacity: 1, draining }
  })
  let assignment: Assignment = {
    ...NEW,
    epoch: 4,
    primary: primary === null ? null : { node: primary, member: `${primary}1` },
    replicas: replicas.filter((id) => id !== primary),
  }
  const view: ClusterView = {
    nodes: new Map(views.map((each) => [each.node, each])),
    report: (id) => {
      const { lives, report } = nodes[NODES.indexOf(id as (typeof NODES)[number])]!
      if (!lives || report === undefined) return undefined
      // Who can serve does so at once.
      const serves = assignment.primary?.node === id && report.phase === 'running' && !report.cutOff
      return { ...report, serving: serves ? assignment.epoch : 0 }
    },
    reached: () => 0,
    stalled: () => false,
  }
  const placement = evenPlacement()
  const target = () => {
    const pinned = pinnedPrimary(assignment, spec)
    const asked = askedPrimary(assignment, spec)
    const excluded = NODES.filter((id) => view.report(id, '')?.phase === 'failed')
    const members = views.map(({ node, zone, capacity, draining }) => {
      return { node, ...(zone === null ? {} : { zone }), capacity, draining: draining === 'drain' }
    })
    const token = {
      token: NEW.token,
      replicas: spec.replicas,
      weight: 1,
      ...(pinned === undefined ? {} : { pinned }),
      ...(asked === undefined ? {} : { preferred: asked }),
      ...(excluded.length === 0 ? {} : { excluded }),
      current: { primary: assignment.primary?.node ?? null, replicas: assignment.replicas },
    }
    return placement.place({ members, tokens: [token] }).get(NEW.token)
  }
  const steps: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const counts = countRound([assignment], view)
    const next = nextStep(assignment, { spec, target: target(), view, counts, restoresPerNode: 4 })
    if (next === assignment) break
    assignment = next
    steps.push(`${next.primary?.node ?? 'nobody'} ${next.epoch}, replicas ${next.replicas.join(' ')}`)
  }
  return steps
}

test('with members that report the same for ever, the steps of a token end', () => {
  let moved = 0
  forAll(world, 10_000, (each) => {
    const steps = stepsOf(each)
    if (steps.length > 0) moved += 1
    expect(steps.length, steps.slice(-4).join('; ')).toBeLessThan(ROUNDS)
  })
  expect(moved).toBeGreaterThan(5_000)
})
