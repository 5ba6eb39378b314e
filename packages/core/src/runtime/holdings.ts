/**
 * What this node holds, seen from its end: what others could hold instead, and what must stay. Looks at documents and members; moves
 * nothing.
 */
import { KagamiError } from '../contract/index.js'
import { copiesOf, holdsForOwner } from '../engine/assignment-steps.js'
import type { Assignment, Spec } from '../engine/documents.js'
import { specOf } from '../engine/lost-specs.js'
import type { Directory } from './directory.js'
import type { Membership } from './membership.js'

export class Holdings {
  readonly #node: string
  readonly #membership: Membership
  readonly #directory: Directory

  constructor(node: string, membership: Membership, directory: Directory) {
    this.#node = node
    this.#membership = membership
    this.#directory = directory
  }

  /** Whether a node that stays holds a copy of a token whose primary is still here. Nodes that leave at the same time don't count. */
  hasMovablePrimary(): boolean {
    const { member, members } = this.#membership
    if (member === undefined) return false
    const stays = new Set<string>()
    for (const other of members) if (other.member !== member && other.data.draining === 'no') stays.add(other.node)
    for (const assignment of this.#directory.assignments()) {
      const mine = assignment.phase === 'open' && assignment.primary?.member === member
      const spec = this.#spec(assignment)
      if (spec === undefined || holdsForOwner(spec)) continue
      if (mine && assignment.replicas.some((node) => stays.has(node))) return true
    }
    return false
  }

  /** Whether no primary is here, and no copy that could be elsewhere. */
  areMoved(): boolean {
    const others = this.#membership.members.filter(
      ({ node, data }) => node !== this.#node && data.draining === 'no',
    ).length
    for (const assignment of this.#directory.assignments()) {
      if (assignment.phase !== 'open' || !copiesOf(assignment).includes(this.#node)) continue
      const spec = this.#spec(assignment)
      if (spec !== undefined && isHeldBy(spec, this.#node)) continue
      const movable = others >= 1 + (spec?.replicas ?? 0)
      if (movable || (others > 0 && assignment.primary?.node === this.#node)) return false
    }
    return true
  }

  /** @throws KAGAMI_TOKEN_OWNED where tokens wait for this node whatever happens */
  refuseHeld(): void {
    const held: string[] = []
    for (const assignment of this.#directory.assignments()) {
      const { token, phase } = assignment
      const spec = this.#spec(assignment)
      if (phase === 'open' && spec !== undefined && isHeldBy(spec, this.#node)) held.push(token)
    }
    if (held.length > 0) throw heldForOwner(held.sort(), this.#node)
  }

  /** What the controller goes by, too. */
  #spec(assignment: Assignment): Spec | undefined {
    return this.#directory.spec(assignment.token) ?? specOf(assignment)
  }
}

/** @throws KAGAMI_TOKEN_OWNED where a token is kept for a node, and is wanted on another */
export function refuseHeld(spec: Spec, to: string): void {
  if (holdsForOwner(spec) && spec.owner !== null && spec.owner !== to) throw heldForOwner([spec.token], spec.owner)
}

function isHeldBy(spec: Spec, node: string): boolean {
  return holdsForOwner(spec) && spec.owner === node
}

function heldForOwner(tokens: readonly string[], owner: string): KagamiError {
  return new KagamiError(
    'KAGAMI_TOKEN_OWNED',
    `${tokens.map((token) => `'${token}'`).join(', ')} can't leave node '${owner}': failover is 'hold', so no other node may have the primary. ` +
      "alter() it to failover 'promote' first",
    { details: { tokens, owner } },
  )
}
