/** A plain placement strategy that keeps every rule of the contract and of zones, and makes no attempt to be even. */
import type {
  Placement,
  PlacementInput,
  PlacementMember,
  PlacementStrategy,
  PlacementToken,
} from '@kagami/core/contract'
import { copiesOf, zoneOf } from '../src/suites/placement-rules.js'

export function plainStrategy(): PlacementStrategy {
  return {
    name: 'plain',
    place: ({ members, tokens }: PlacementInput) =>
      new Map(tokens.map((token) => [token.token, placeToken(members, token)])),
  }
}

function placeToken(members: readonly PlacementMember[], token: PlacementToken): Placement {
  const eligible = members.filter(({ node }) => token.excluded?.includes(node) !== true)
  const wanted = wantedPrimary(eligible, token)
  const held = new Set(copiesOf(token.current))
  // Who comes first, is taken first: where the primary must be, who is no burden, who has a copy, then by name.
  const ranked = eligible.toSorted((a, b) => {
    const rank = (member: PlacementMember): number =>
      (member.node === wanted ? 0 : 4) + (member.draining ? 2 : 0) + (held.has(member.node) ? 0 : 1)
    return rank(a) - rank(b) || (a.node < b.node ? -1 : 1)
  })
  const chosen: PlacementMember[] = []
  const zones = new Set<string>()
  for (const fresh of [true, false]) {
    for (const member of ranked) {
      if (chosen.length > token.replicas || chosen.includes(member)) continue
      if (fresh && zones.has(zoneOf(member))) continue
      if (fresh && member.draining && member.node !== wanted) continue
      zones.add(zoneOf(member))
      chosen.push(member)
    }
  }
  const nodes = chosen.map(({ node }) => node)
  const former = token.current.primary
  const kept = former !== null && nodes.includes(former) ? former : nodes[0]
  const primary = wanted !== undefined && nodes.includes(wanted) ? wanted : (kept ?? null)
  const placement = { primary, replicas: nodes.filter((node) => node !== primary) }
  return same(token.current, placement) ? token.current : placement
}

function wantedPrimary(eligible: readonly PlacementMember[], token: PlacementToken): string | undefined {
  if (eligible.some(({ node }) => node === token.pinned)) return token.pinned
  return eligible.some(({ node, draining }) => node === token.preferred && !draining) ? token.preferred : undefined
}

function same(a: Placement, b: Placement): boolean {
  return a.primary === b.primary && String(a.replicas.toSorted()) === String(b.replicas.toSorted())
}
