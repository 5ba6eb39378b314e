/** What the tests share: inputs in short, and plain measures of a target. Never uses the strategy's own code. */
import type { Placement, PlacementInput, PlacementMember, PlacementTarget, PlacementToken } from '@kagami/core/contract'

export const NOWHERE: Placement = { primary: null, replicas: [] }

export function member(node: string, more: Partial<PlacementMember> = {}): PlacementMember {
  return { node, capacity: 1, draining: false, ...more }
}

/** Nodes `n000`, `n001`, …, in the given number of zones, in turn. */
export function members(count: number, zones = count): PlacementMember[] {
  return Array.from({ length: count }, (_, i) => member(`n${String(i).padStart(3, '0')}`, { zone: `z${i % zones}` }))
}

export function token(name: string, replicas = 1, more: Partial<PlacementToken> = {}): PlacementToken {
  return { token: name, replicas, weight: 1, current: NOWHERE, ...more }
}

export function tokens(count: number, replicas: number): PlacementToken[] {
  return Array.from({ length: count }, (_, i) => token(`t${String(i).padStart(4, '0')}`, replicas))
}

/** The same tokens, each with its target as the present placement. */
export function settled(input: readonly PlacementToken[], target: PlacementTarget): PlacementToken[] {
  return input.map((one) => ({ ...one, current: target.get(one.token)! }))
}

/** The nodes of a placement, the primary first. */
export function copiesOf(placement: Placement): string[] {
  return placement.primary === null ? [...placement.replicas] : [placement.primary, ...placement.replicas]
}

export function loads(input: PlacementInput, target: PlacementTarget): { copies: number[]; primaries: number[] } {
  const copies = new Map(input.members.map(({ node }) => [node, 0]))
  const primaries = new Map(copies)
  for (const placement of target.values()) {
    for (const node of copiesOf(placement)) copies.set(node, copies.get(node)! + 1)
    if (placement.primary !== null) primaries.set(placement.primary, primaries.get(placement.primary)! + 1)
  }
  return { copies: [...copies.values()], primaries: [...primaries.values()] }
}

export function gap(values: readonly number[]): number {
  return values.length === 0 ? 0 : Math.max(...values) - Math.min(...values)
}

export function squares(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value * value, 0)
}

/** Copies in the target that are not there yet. */
export function built(input: PlacementInput, target: PlacementTarget): number {
  let count = 0
  for (const one of input.tokens) {
    const before = copiesOf(one.current)
    count += copiesOf(target.get(one.token)!).filter((node) => !before.includes(node)).length
  }
  return count
}

/** Tokens that lost their primary's copy and lead from a node that has none yet, though a present copy stays. */
export function cold(input: PlacementInput, target: PlacementTarget): string[] {
  return input.tokens
    .filter(({ token, current }) => {
      const { primary } = target.get(token)!
      const copies = copiesOf(target.get(token)!)
      if (primary === null || (current.primary !== null && copies.includes(current.primary))) return false
      const before = copiesOf(current)
      return !before.includes(primary) && copies.some((node) => before.includes(node))
    })
    .map(({ token }) => token)
}
