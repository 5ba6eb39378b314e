/** The rules that a target must keep, as checks on one input and one target. */
import assert from 'node:assert/strict'
import type { Placement, PlacementInput, PlacementMember, PlacementTarget } from '@kagami/core/contract'

/** All nodes of a placement, the primary first. */
export function copiesOf(placement: Placement): readonly string[] {
  return placement.primary === null ? placement.replicas : [placement.primary, ...placement.replicas]
}

/** How many copies of `after` are on nodes that had none in `before`. */
export function movedCopies(before: Placement, after: Placement): number {
  const had = new Set(copiesOf(before))
  return copiesOf(after).filter((node) => !had.has(node)).length
}

export function zoneOf(member: PlacementMember): string {
  // A prefix each, so that no zone is mistaken for a node.
  return member.zone === undefined ? `node ${member.node}` : `zone ${member.zone}`
}

/** The input with its own target as the present placement. */
export function settled(input: PlacementInput, target: PlacementTarget): PlacementInput {
  return {
    members: input.members,
    tokens: input.tokens.map((token) => ({ ...token, current: target.get(token.token)! })),
  }
}

/** The input, which no strategy can change any more. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const part of Object.values(value)) freeze(part)
  }
  return value
}

export function checkCounts(input: PlacementInput, target: PlacementTarget): void {
  for (const { token, replicas, excluded = [] } of input.tokens) {
    const eligible = input.members.filter(({ node }) => !excluded.includes(node)).length
    const copies = copiesOf(target.get(token)!)
    const expected = Math.min(1 + replicas, eligible)
    assert.equal(copies.length, expected, `${token} has ${copies.length} copies, ${expected} are possible`)
  }
}

export function checkPlaces(input: PlacementInput, target: PlacementTarget): void {
  const nodes = new Set(input.members.map(({ node }) => node))
  for (const { token, excluded = [] } of input.tokens) {
    for (const node of copiesOf(target.get(token)!)) {
      assert.ok(nodes.has(node), `${token} is on ${node}, which is no member`)
      assert.ok(!excluded.includes(node), `${token} is on ${node}, which is excluded`)
    }
  }
}

export function checkPrimaries(input: PlacementInput, target: PlacementTarget, wish: 'pinned' | 'preferred'): void {
  const members = new Map(input.members.map((member) => [member.node, member]))
  for (const token of input.tokens) {
    const node = token[wish]
    const member = node === undefined ? undefined : members.get(node)
    if (node === undefined || member === undefined || token.excluded?.includes(node) === true) continue
    if (wish === 'preferred' && member.draining) continue
    if (wish === 'preferred' && token.pinned !== undefined && members.has(token.pinned)) continue
    assert.equal(target.get(token.token)!.primary, node, `${token.token} is ${wish} to ${node}`)
  }
}

/** As many zones as possible: no copy shares a zone while another zone has a member that may hold it. */
export function checkZones(input: PlacementInput, target: PlacementTarget): void {
  const zones = new Map(input.members.map((member) => [member.node, zoneOf(member)]))
  for (const { token, excluded = [] } of input.tokens) {
    const copies = copiesOf(target.get(token)!)
    const used = new Set(copies.map((node) => zones.get(node)))
    const possible = new Set(input.members.filter(({ node }) => !excluded.includes(node)).map(zoneOf))
    const expected = Math.min(copies.length, possible.size)
    assert.equal(
      used.size,
      expected,
      `${token} is in ${used.size} zones, ${expected} are possible: ${copies.join(', ')}`,
    )
  }
}

/** For inputs of equal capacities, weights and replicas. */
export function checkEven(input: PlacementInput, target: PlacementTarget): void {
  const copies = new Map(input.members.map(({ node }) => [node, 0]))
  const primaries = new Map(copies)
  for (const placement of target.values()) {
    for (const node of copiesOf(placement)) copies.set(node, copies.get(node)! + 1)
    if (placement.primary !== null) primaries.set(placement.primary, primaries.get(placement.primary)! + 1)
  }
  for (const [what, counts] of [
    ['copies', [...copies.values()]],
    ['primaries', [...primaries.values()]],
  ] as const) {
    const spread = Math.max(...counts) - Math.min(...counts)
    assert.ok(spread <= 1, `${what} per node differ by ${spread}: ${counts.join(', ')}`)
  }
}
