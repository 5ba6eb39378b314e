/**
 * What stands in for the spec of a token where the coordinator has lost it: each assignment keeps the wishes that it was made by. Decides nothing
 * that people have not asked for.
 */
import { generationOf, type Assignment, type Spec, type Wishes } from './documents.js'

/** The assignment with the wishes that it is made by; the very same object where it has them. */
export function withWishes(assignment: Assignment, spec: Spec): Assignment {
  const { replicas, weight, primary, owner, failover, failback } = spec
  const wanted: Wishes = { replicas, weight, primary, owner, failover, failback }
  return sameWishes(assignment.wanted, wanted) ? assignment : { ...assignment, wanted }
}

/**
 * The spec that an assignment was made by, as far as it tells. Undefined where it does not, since nobody then knows whether the token is held for its owner;
 * and for what is only to be opened, of which nothing is there yet: whoever asked for it asks again. What was being removed is removed.
 */
export function specOf({ token, incarnation, phase, wanted }: Assignment): Spec | undefined {
  const removed = phase === 'deleting' || phase === 'deleted'
  if (!removed && (phase !== 'open' || wanted === undefined)) return undefined
  return {
    token,
    generation: generationOf(incarnation),
    removed,
    removedBefore: 0,
    ...(wanted ?? noWishes),
    handover: null,
    adopt: null,
  }
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

function sameWishes(a: Wishes | undefined, b: Wishes): boolean {
  return (
    a !== undefined &&
    a.replicas === b.replicas &&
    a.weight === b.weight &&
    a.primary === b.primary &&
    a.owner === b.owner &&
    a.failover === b.failover &&
    a.failback === b.failback
  )
}
