/**
 * The optimum of small inputs, by looking at all of them: tokens one by one, over every load that the nodes can have.
 * Slow, and as plain as can be, so that it can be believed. Equal weights and capacities only.
 */
import type { PlacementInput, PlacementTarget, PlacementToken } from '@kagami/core/contract'
import { copiesOf } from './support.js'

export interface CopyOptimum {
  /** The least sum of squared loads, and the fewest copies to build among the placements that have it. */
  readonly squares: number
  readonly built: number
}

/** The node that must be the primary, if the input names one that can be. */
export function forcedNode(input: PlacementInput, token: PlacementToken): string | undefined {
  const may = eligible(input, token)
  const staying = may.filter((node) => !isDraining(input, node))
  const candidates = staying.length > 0 ? staying : may
  return [token.pinned, token.preferred].find((node) => node !== undefined && candidates.includes(node))
}

export function eligible(input: PlacementInput, token: PlacementToken): string[] {
  return input.members.map(({ node }) => node).filter((node) => !(token.excluded ?? []).includes(node))
}

/** All sets of nodes that a token may be on: as few draining ones as can be, then as spread over zones as can be. */
export function choices(input: PlacementInput, token: PlacementToken): string[][] {
  const nodes = eligible(input, token)
  const forced = forcedNode(input, token)
  const sets = subsets(nodes, Math.min(1 + token.replicas, nodes.length)).filter(
    (set) => forced === undefined || set.includes(forced),
  )
  const drained = least(sets, (set) => set.filter((node) => isDraining(input, node)).length)
  return least(drained, (set) => crowding(input, set))
}

export function copyOptimum(input: PlacementInput): CopyOptimum {
  const index = new Map(input.members.map(({ node }, i) => [node, i]))
  let states = new Map<string, number>([[input.members.map(() => 0).join(), 0]])
  for (const token of input.tokens) {
    const before = copiesOf(token.current)
    const next = new Map<string, number>()
    const options = choices(input, token)
    for (const [state, cost] of states) {
      for (const set of options) {
        const loads = state.split(',').map(Number)
        for (const node of set) loads[index.get(node)!]!++
        const key = loads.join()
        const total = cost + set.filter((node) => !before.includes(node)).length
        if (total < (next.get(key) ?? Infinity)) next.set(key, total)
      }
    }
    states = next
  }
  let best: CopyOptimum = { squares: Infinity, built: Infinity }
  for (const [state, built] of states) {
    const squares = state.split(',').reduce((sum, load) => sum + Number(load) ** 2, 0)
    if (squares < best.squares || (squares === best.squares && built < best.built)) best = { squares, built }
  }
  return best
}

export interface PrimaryOptimum {
  readonly squares: number
  readonly cold: number
  readonly handovers: number
}

/** The best choice of primaries over the copies of a target: as even, then as warm, then with as few handovers as can be. */
export function primaryOptimum(input: PlacementInput, target: PlacementTarget): PrimaryOptimum {
  const index = new Map(input.members.map(({ node }, i) => [node, i]))
  let states = new Map<string, [number, number]>([[input.members.map(() => 0).join(), [0, 0]]])
  for (const token of input.tokens) {
    const leads = leadChoices(input, token, copiesOf(target.get(token.token)!))
    if (leads.length === 0) continue
    const next = new Map<string, [number, number]>()
    for (const [state, [cold, handovers]] of states) {
      for (const lead of leads) {
        const loads = state.split(',').map(Number)
        loads[index.get(lead.node)!]!++
        const key = loads.join()
        const known = next.get(key)
        const total: [number, number] = [cold + lead.cold, handovers + lead.handovers]
        if (known === undefined || less(total, known)) next.set(key, total)
      }
    }
    states = next
  }
  const all = [...states].map(([state, [cold, handovers]]) => {
    return { squares: state.split(',').reduce((sum, load) => sum + Number(load) ** 2, 0), cold, handovers }
  })
  return all.reduce((best, one) =>
    less([one.squares, one.cold, one.handovers], [best.squares, best.cold, best.handovers]) ? one : best,
  )
}

/** What the target's own primaries cost, in the same terms. */
export function primaryCost(input: PlacementInput, target: PlacementTarget): Omit<PrimaryOptimum, 'squares'> {
  let cold = 0
  let handovers = 0
  for (const token of input.tokens) {
    const { primary } = target.get(token.token)!
    const lead = leadChoices(input, token, copiesOf(target.get(token.token)!)).find(({ node }) => node === primary)
    cold += lead?.cold ?? 0
    handovers += lead?.handovers ?? 0
  }
  return { cold, handovers }
}

function leadChoices(
  input: PlacementInput,
  token: PlacementToken,
  copies: readonly string[],
): { node: string; cold: number; handovers: number }[] {
  const forced = forcedNode(input, token)
  if (forced !== undefined) return [{ node: forced, cold: 0, handovers: 0 }]
  const staying = copies.filter((node) => !isDraining(input, node))
  const able = staying.length > 0 ? staying : copies
  const before = copiesOf(token.current)
  const old = token.current.primary
  if (old !== null && able.includes(old)) {
    return able.map((node) => ({ node, cold: 0, handovers: node === old ? 0 : 1 }))
  }
  const warm = able.some((node) => before.includes(node))
  return able.map((node) => ({ node, cold: warm && !before.includes(node) ? 1 : 0, handovers: 0 }))
}

export function crowding(input: PlacementInput, set: readonly string[]): number {
  const counts = new Map<string, number>()
  for (const { node, zone } of input.members) {
    const key = zone === undefined ? `node ${node}` : `zone ${zone}`
    if (set.includes(node)) counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return [...counts.values()].reduce((sum, count) => sum + count * count, 0)
}

function isDraining(input: PlacementInput, node: string): boolean {
  return input.members.some((one) => one.node === node && one.draining)
}

function least<T>(items: readonly T[], measure: (item: T) => number): T[] {
  const lowest = Math.min(...items.map(measure))
  return items.filter((item) => measure(item) === lowest)
}

function less(one: readonly number[], other: readonly number[]): boolean {
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return one[i]! < other[i]!
  return false
}

function subsets(items: readonly string[], size: number): string[][] {
  if (size === 0) return [[]]
  if (items.length < size) return []
  const [head, ...rest] = items
  return [...subsets(rest, size - 1).map((set) => [head!, ...set]), ...subsets(rest, size)]
}
