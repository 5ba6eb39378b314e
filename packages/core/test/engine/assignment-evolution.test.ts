/** Whole evolutions of assignment-steps: whatever has happened to a cluster, once it stops the steps come to an end, and to the target. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { copiesOf, holdsForOwner } from '../../src/engine/assignment-steps.js'
import { ClusterWorld } from './cluster-world.js'
import type { TokenShape, WorldEvent } from './cluster-world.js'
import { forAll, Tally } from './support.js'

const shape: fc.Arbitrary<TokenShape> = fc.record({
  replicas: fc.integer({ min: 0, max: 2 }),
  owner: fc.option(fc.nat({ max: 4 }), { nil: undefined, freq: 2 }),
  hold: fc.boolean(),
  failback: fc.boolean(),
})
const event: fc.Arbitrary<WorldEvent> = fc.record({
  what: fc.oneof(
    { weight: 8, arbitrary: fc.constant('rounds' as const) },
    { weight: 5, arbitrary: fc.constantFrom('die' as const, 'return' as const, 'forget' as const) },
    { weight: 4, arbitrary: fc.constantFrom('drain' as const, 'leave' as const, 'stay' as const) },
    { weight: 4, arbitrary: fc.constantFrom('fail' as const, 'ask' as const, 'shuffle' as const, 'rewind' as const) },
    { weight: 5, arbitrary: fc.constantFrom('ask' as const, 'alter' as const) },
    { weight: 3, arbitrary: fc.constantFrom('refuse' as const, 'refuse' as const, 'permit' as const) },
  ),
  node: fc.nat({ max: 4 }),
  token: fc.nat({ max: 4 }),
  many: fc.nat({ max: 100 }),
})
const evolution = fc.record({
  nodes: fc.integer({ min: 1, max: 5 }),
  shapes: fc.array(shape, { minLength: 1, maxLength: 4 }),
  restoresPerNode: fc.integer({ min: 1, max: 3 }),
  events: fc.array(event, { maxLength: 40 }),
})

const ROUNDS = 80

describe('over random lives of a cluster', () => {
  test('no step does harm, the moves are finitely many, and they end at the target', () => {
    const tally = new Tally()
    forAll(evolution, 1_500, ({ nodes, shapes, restoresPerNode, events }) => {
      const world = new ClusterWorld(nodes, shapes, restoresPerNode, tally)
      world.round()
      for (const one of events) world.happen(one)
      world.calmDown()
      let quiet = 0
      for (let round = 0; quiet < 5; round++) {
        expect(round, 'the steps come to an end').toBeLessThan(ROUNDS)
        quiet = world.round() === 0 ? quiet + 1 : 0
      }
      for (const token of world.tokens) expectAtTarget(world, token, tally)
    })
    tally.expectAll('promoted', 'failed over', 'handed over', 'healed', 'copies made', 'in a grace period', 'rewound')
    tally.expectAll(
      'at the target',
      'where it was asked to be',
      'held for the owner',
      'nobody can',
      'the target drains',
      'came back to its owner',
      'where it can write',
    )
  })
})

function expectAtTarget(world: ClusterWorld, { spec, assignment }: ClusterWorld['tokens'][number], tally: Tally): void {
  const view = world.view()
  const target = world.targetOf(spec, assignment, view)
  const failed = (node: string): boolean => view.report(node, spec.token)?.phase === 'failed'
  const { primary, handoverGivenUp } = assignment
  // What people asked for is followed also where the strategy pins the primary elsewhere.
  const asked =
    spec.handover !== null && spec.handover.nonce !== handoverGivenUp && !holdsForOwner(spec)
      ? spec.handover.to
      : undefined
  const planned = [target.primary, ...target.replicas].filter((node) => node !== null)
  // Nor does the primary go to an owner that drains, though the strategy must pin it there.
  const drains = target.primary !== null && view.nodes.get(target.primary)?.draining !== 'no'
  // Nor to anybody else than the owner that it is held for, though that one can't have it.
  const { owner } = spec
  const unable = owner === null || view.nodes.get(owner)?.draining !== 'no' || failed(owner)
  const stranded = holdsForOwner(spec) && unable
  // Nor to a copy whose appends are refused, from one whose are not.
  const refused = (node: string | null): boolean =>
    node !== null && !failed(node) && (view.report(node, spec.token)?.error ?? null) !== null
  const writes = primary !== null && refused(target.primary) && !refused(primary.node)
  const elsewhere = asked ?? (drains || stranded || writes ? primary?.node : undefined)
  const wanted = [...new Set(elsewhere === undefined ? planned : [...planned, elsewhere])].sort()
  // A failed copy that nothing could take the place of stays visible.
  const full = planned.length === 1 + spec.replicas
  expect(copiesOf(assignment).filter((node) => full || !failed(node))).toEqual(wanted)
  if (primary === null) {
    const waits = holdsForOwner(spec) && (spec.owner === null || !view.nodes.has(spec.owner) || failed(spec.owner))
    expect(waits || planned.length === 0).toBe(true)
    tally.add(waits ? 'held for the owner' : 'nobody can')
    return
  }
  expect(view.report(primary.node, spec.token)?.serving).toBe(assignment.epoch)
  if (asked !== undefined) expect(primary.node).toBe(asked)
  else if (!drains && !stranded && !writes) expect(primary.node).toBe(target.primary)
  tally.add(
    asked !== undefined
      ? 'where it was asked to be'
      : writes
        ? 'where it can write'
        : drains
          ? 'the target drains'
          : 'at the target',
  )
}
