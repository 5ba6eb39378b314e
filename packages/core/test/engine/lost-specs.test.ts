/** What an assignment says of the wishes that it was made by. */
import { expect, test } from 'vitest'
import { countRound, nextStep } from '../../src/engine/assignment-steps.js'
import type { ClusterView } from '../../src/engine/cluster-view.js'
import type { Assignment, Spec } from '../../src/engine/documents.js'
import { specOf, standingHandover, withWishes } from '../../src/engine/lost-specs.js'
import { NEW, SPEC } from './scenario.js'

const owned: Spec = { ...SPEC, replicas: 2, weight: 3, primary: 'self', owner: 'a', failover: 'hold', failback: true }

test('an assignment keeps the wishes that it is made by, and is the same object where it has them', () => {
  const kept = withWishes(NEW, owned)
  expect(kept).toEqual({ ...NEW, wanted: expect.any(Object) })
  expect(specOf(kept)).toEqual(owned)
  expect(withWishes(kept, { ...owned, removedBefore: 7 })).toBe(kept)
})

test('it keeps the handover that was asked for last, until that is given up', () => {
  const handover = { to: 'b', nonce: 'first' }
  const first = withWishes(NEW, { ...owned, handover })
  expect(specOf(first)).toEqual({ ...owned, handover })
  expect(withWishes(first, { ...owned, handover })).toBe(first)
  const second = withWishes(first, { ...owned, handover: { to: 'b', nonce: 'second' } })
  expect(specOf(second)?.handover?.nonce).toBe('second')
  expect(specOf({ ...second, handoverGivenUp: 'second' })).toEqual(owned)
  expect(specOf({ ...second, phase: 'deleting' })?.handover).toBeNull()
})

test('a handover that a node remembers goes before none, and not before one that was followed, nor before its own end', () => {
  const heard = { ...owned, handover: { to: 'b', nonce: 'heard' } }
  const followed = withWishes(NEW, { ...owned, handover: { to: 'c', nonce: 'followed' } })
  expect(standingHandover(heard, NEW)).toEqual(heard.handover)
  expect(standingHandover(heard, withWishes(NEW, owned))).toEqual(heard.handover)
  expect(standingHandover(heard, followed)).toEqual({ to: 'c', nonce: 'followed' })
  expect(standingHandover(heard, { ...NEW, handoverGivenUp: 'heard' })).toBeNull()
  expect(standingHandover(heard, { ...followed, handoverGivenUp: 'followed' })).toBeNull()
  expect(standingHandover({ ...heard, removed: true }, followed)).toBeNull()
  // What was followed in an earlier creation of the token is nothing to this one.
  expect(standingHandover({ ...heard, generation: 2 }, followed)).toEqual(heard.handover)
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
