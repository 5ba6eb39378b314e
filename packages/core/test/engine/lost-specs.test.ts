/** What an assignment says of the wishes that it was made by. */
import { expect, test } from 'vitest'
import { countRound, nextStep } from '../../src/engine/assignment-steps.js'
import type { ClusterView } from '../../src/engine/cluster-view.js'
import type { Assignment, Spec } from '../../src/engine/documents.js'
import { specOf, withWishes } from '../../src/engine/lost-specs.js'
import { NEW, SPEC } from './scenario.js'

const owned: Spec = { ...SPEC, replicas: 2, weight: 3, primary: 'self', owner: 'a', failover: 'hold', failback: true }

test('an assignment keeps the wishes that it is made by, and is the same object where it has them', () => {
  const kept = withWishes(NEW, owned)
  expect(kept).toEqual({ ...NEW, wanted: expect.any(Object) })
  expect(specOf(kept)).toEqual(owned)
  expect(withWishes(kept, { ...owned, handover: { to: 'b', nonce: 'n' }, removedBefore: 7 })).toBe(kept)
})

test.each([
  { replicas: 1 },
  { weight: 1 },
  { primary: 'balanced' },
  { owner: 'b' },
  { failover: 'promote' },
  { failback: false },
] as const)(
  'a wish that has changed is written down by the next step, also where nothing else is to be done: %j',
  (change) => {
    const view: ClusterView = { nodes: new Map(), report: () => undefined, reached: () => 0, stalled: () => false }
    const before = withWishes({ ...NEW, epoch: 1 }, owned)
    const step = (spec: Spec): Assignment =>
      nextStep(before, { spec, target: undefined, view, counts: countRound([before], view), restoresPerNode: 1 })
    expect(step(owned)).toBe(before)
    expect(specOf(step({ ...owned, ...change }))).toEqual({ ...owned, ...change })
  },
)

test('the spec is of the creation that the assignment speaks of', () => {
  expect(specOf({ ...withWishes(NEW, owned), incarnation: 7 })).toEqual({ ...owned, generation: 4 })
})

test('where the assignment does not tell, nothing stands in for the spec', () => {
  expect(specOf(NEW)).toBeUndefined()
  expect(specOf({ ...withWishes(NEW, owned), phase: 'opening' })).toBeUndefined()
  expect(specOf({ ...withWishes(NEW, owned), phase: 'gone' })).toBeUndefined()
})

test('what was being removed is removed, whatever was wanted of it', () => {
  for (const phase of ['deleting', 'deleted'] as const) {
    expect(specOf({ ...NEW, phase })).toMatchObject({ token: 'orders', generation: 1, removed: true })
    expect(specOf({ ...withWishes(NEW, owned), phase })).toMatchObject({ generation: 1, removed: true })
  }
})
