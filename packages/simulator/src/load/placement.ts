/** A small placement strategy for simulated clusters: sticky, apart by zone, least-filled first. Pure. */
import type {
  Placement,
  PlacementInput,
  PlacementMember,
  PlacementStrategy,
  PlacementTarget,
  PlacementToken,
} from '@kagami/core/contract'

export function simPlacement(): PlacementStrategy {
  return { name: 'simulated', place }
}

function place({ members, tokens }: PlacementInput): PlacementTarget {
  const copies = new Map<string, number>()
  const primaries = new Map<string, number>()
  const target = new Map<string, Placement>()
  for (const token of tokens) {
    const placement = placeToken(token, members, copies, primaries)
    for (const node of nodesOf(placement)) copies.set(node, (copies.get(node) ?? 0) + 1)
    if (placement.primary !== null) primaries.set(placement.primary, (primaries.get(placement.primary) ?? 0) + 1)
    target.set(token.token, placement)
  }
  return target
}

function placeToken(
  token: PlacementToken,
  members: readonly PlacementMember[],
  copies: ReadonlyMap<string, number>,
  primaries: ReadonlyMap<string, number>,
): Placement {
  const usable = members.filter((member) => !token.excluded?.includes(member.node))
  const wanted = Math.min(1 + token.replicas, usable.length)
  const current = nodesOf(token.current)
  const zones = new Set<string>()
  const chosen: string[] = []
  const isUsable = (node: string | undefined): boolean => usable.some((member) => member.node === node)
  // A token that is pinned is preferred nowhere.
  const preferred = isUsable(token.pinned) ? undefined : token.preferred
  const rank = (member: PlacementMember): number[] => [
    member.node === token.pinned ? 1 : 0,
    member.draining ? 0 : 1,
    member.node === preferred ? 1 : 0,
    zones.has(zoneOf(member)) ? 0 : 1,
    current.includes(member.node) ? 1 : 0,
    -(copies.get(member.node) ?? 0) / member.capacity,
  ]
  while (chosen.length < wanted) {
    const best = usable.filter((member) => !chosen.includes(member.node)).sort((a, b) => compare(rank(b), rank(a)))[0]!
    chosen.push(best.node)
    zones.add(zoneOf(best))
  }
  const stays = (node: string | null | undefined): node is string =>
    typeof node === 'string' && chosen.includes(node) && !usable.find((member) => member.node === node)?.draining
  const fewest = [...chosen].sort((a, b) => (primaries.get(a) ?? 0) - (primaries.get(b) ?? 0))
  const pinned = token.pinned !== undefined && chosen.includes(token.pinned) ? token.pinned : undefined
  const primary = pinned ?? [preferred, token.current.primary].find(stays) ?? fewest.find(stays) ?? fewest[0] ?? null
  const replicas = chosen.filter((node) => node !== primary)
  const same = primary === token.current.primary && sameSet(replicas, token.current.replicas)
  return same ? token.current : { primary, replicas }
}

function nodesOf(placement: Placement): readonly string[] {
  return placement.primary === null ? placement.replicas : [placement.primary, ...placement.replicas]
}

function zoneOf(member: PlacementMember): string {
  return member.zone ?? `node ${member.node}`
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - b[i]!
  return 0
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node))
}
