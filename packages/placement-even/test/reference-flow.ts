/**
 * The optimum of middle-sized inputs by another road than the strategy's: one minimum-cost flow over tokens, zones and
 * nodes, from nothing. For inputs without draining, exclusions and wishes, with no more copies than zones.
 */
import type { PlacementInput } from '@kagami/core/contract'
import { copiesOf } from './support.js'

interface Arc {
  readonly to: number
  left: number
  readonly cost: number
  readonly back: number
}

/** More than any number of moves: a unit of unevenness. */
const UNEVEN = 1e6

export function flowOptimum(input: PlacementInput): { readonly squares: number; readonly built: number } {
  const { members, tokens } = input
  const zones = [...new Set(members.map(({ zone }) => zone))]
  const nodes = members.length
  const sink = nodes + tokens.length * (1 + zones.length)
  const graph: Arc[][] = Array.from({ length: sink + 1 }, () => [])
  const connect = (from: number, to: number, cost: number): void => {
    graph[from]!.push({ to, left: 1, cost, back: graph[to]!.length })
    graph[to]!.push({ to: from, left: 0, cost: -cost, back: graph[from]!.length - 1 })
  }
  const copies = tokens.reduce((sum, { replicas }) => sum + replicas + 1, 0)
  const most = Math.min(tokens.length, Math.ceil((4 * copies) / nodes) + 4)
  for (let n = 0; n < nodes; n++) for (let load = 0; load < most; load++) connect(n, sink, (2 * load + 1) * UNEVEN)
  const tokenAt = (t: number): number => nodes + t * (1 + zones.length)
  tokens.forEach(({ current }, t) => {
    const present = copiesOf(current)
    zones.forEach((zone, z) => {
      connect(tokenAt(t), tokenAt(t) + 1 + z, 0)
      members.forEach((one, n) => {
        if (one.zone === zone) connect(tokenAt(t) + 1 + z, n, present.includes(one.node) ? 0 : 1)
      })
    })
  })
  let cost = 0
  tokens.forEach(({ replicas }, t) => {
    for (let i = 0; i <= replicas; i++) cost += push(graph, tokenAt(t), sink)
  })
  return { squares: Math.round(cost / UNEVEN), built: cost - Math.round(cost / UNEVEN) * UNEVEN }
}

/** Sends one unit along the cheapest path, and returns its cost. */
function push(graph: Arc[][], source: number, sink: number): number {
  const cost = new Float64Array(graph.length).fill(Infinity)
  const by: (Arc | undefined)[] = []
  const waits = new Uint8Array(graph.length)
  const queue = [source]
  cost[source] = 0
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    waits[at] = 0
    for (const arc of graph[at]!) {
      if (arc.left === 0 || cost[at]! + arc.cost >= cost[arc.to]!) continue
      cost[arc.to] = cost[at]! + arc.cost
      by[arc.to] = arc
      if (waits[arc.to] === 0) queue.push(arc.to)
      waits[arc.to] = 1
    }
  }
  if (cost[sink] === Infinity) throw new Error('the reference has no room for all copies')
  for (let at = sink; at !== source;) {
    const arc = by[at]!
    const back = graph[at]![arc.back]!
    arc.left--
    back.left++
    at = back.to
  }
  return cost[sink]!
}
