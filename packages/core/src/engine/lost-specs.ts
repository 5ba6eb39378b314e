/**
 * What stands in for the spec of a token where the coordinator has lost it: each assignment keeps the wishes that it was made by. Decides nothing
 * that people have not asked for.
 */
import { generationOf, type Assignment, type Spec, type Wanted, type WantedHandover, type Wishes } from './documents.js'

/** The assignment with the wishes that it is made by; the very same object where it has them. */
export function withWishes(assignment: Assignment, spec: Spec): Assignment {
  const { replicas, weight, primary, owner, failover, failback, handover } = spec
  const wishes: Wishes = { replicas, weight, primary, owner, failover, failback }
  const wanted: Wanted = handover === null ? wishes : { ...wishes, handover }
  return sameWishes(assignment.wanted, wanted) ? assignment : { ...assignment, wanted }
}

/**
 * The spec that an assignment was made by, as far as it tells. Undefined where it does not, since nobody then knows whether the token is held for its owner;
 * and for what is only to be opened, of which nothing is there yet: whoever asked for it asks again. What was being removed is removed.
 */
export function specOf(assignment: Assignment): Spec | undefined {
  const { token, incarnation, phase, wanted } = assignment
  const removed = phase === 'deleting' || phase === 'deleted'
  if (!removed && (phase !== 'open' || wanted === undefined)) return undefined
  const spec: Spec = {
    token,
    generation: generationOf(incarnation),
    removed,
    removedBefore: 0,
    ...(wanted ?? noWishes),
    handover: null,
    adopt: null,
  }
  return { ...spec, handover: standingHandover(spec, assignment) }
}

/**
 * The handover that goes with a spec that is put back. What the controller has followed comes before what a node has heard of, which may be long ago: one that was
 * asked for since, and not followed yet, is asked for again by whoever waits for it. What was given up stays given up, though the assignment that says so may be
 * lost, too.
 */
export function standingHandover(spec: Spec, assignment: Assignment): WantedHandover | null {
  if (spec.removed) return null
  const followed = generationOf(assignment.incarnation) === spec.generation ? assignment.wanted?.handover : undefined
  const handover = followed ?? spec.handover
  return handover?.nonce === assignment.handoverGivenUp ? null : handover
}

/** What stands for the wishes where there are none, as for what is removed. */
export const noWishes: Wishes = {
  replicas: 0,
  weight: 1,
  primary: 'balanced',
  owner: null,
  failover: 'promote',
  failback: false,
}

function sameWishes(a: Wanted | undefined, b: Wanted): boolean {
  return (
    a !== undefined &&
    a.replicas === b.replicas &&
    a.weight === b.weight &&
    a.primary === b.primary &&
    a.owner === b.owner &&
    a.failover === b.failover &&
    a.failback === b.failback &&
    a.handover?.nonce === b.handover?.nonce
  )
}
