/**
 * Makes loads as even as a network allows, by augmenting paths: while some node can pass a unit, over any number of other
 * nodes, to one that has two fewer, it does. Knows neither copies nor primaries, only who can pass a unit to whom.
 */
import { NONE } from './model.js'
import type { Prices } from './price.js'

/** Who can pass units to whom. A unit is named by a label that only the network understands. */
export interface Network {
  readonly prices: Prices
  /** Nodes that units of a source can reach. Stops at the goal, which then is the last; else it is every such node. */
  reach(source: number, goal: number, search: Search): number[]
  /** Passes a unit that `reach` named. */
  pass(label: number, to: number): void
  /** Passes one unit straight to `to` from a node whose `give` is at least `price`, if there is one. */
  passDirectly(to: number, price: number, closed: Uint8Array): boolean
}

/** What a search goes by, and what it notes. All by node. */
export interface Search {
  /** 1 for nodes that are done, and not entered. */
  readonly closed: Uint8Array
  /** Where the unit that reached a node comes from, and its label. */
  readonly from: Int32Array
  readonly via: Int32Array
}

/**
 * Nodes that can't be told apart by evenness: in every placement that is as even as possible they hold the same total,
 * rounded up or down on each.
 */
export type Piece = number[]

/** Evens the loads of the nodes out. Returns them in pieces, from the most to the least loaded. */
export function spread(network: Network, nodes: Int32Array): Piece[] {
  const { give, take } = network.prices
  const size = give.length
  const search = { closed: new Uint8Array(size), from: new Int32Array(size), via: new Int32Array(size) }
  const pieces: Piece[] = []
  let level = Infinity
  let open = [...nodes]
  // Where to look for givers and takers: units can't leave a set that a search has found to be all there is to reach.
  let scope = open
  while (open.length > 0) {
    const price = give[highest(open, give)]!
    if (give[highest(scope, give)]! < price) scope = open
    const source = highest(scope, give)
    const goal = cheapest(scope, take, price)
    if (goal !== NONE && network.passDirectly(goal, price, search.closed)) continue
    const reached = goal === NONE && scope === open ? open : network.reach(source, goal, search)
    if (goal !== NONE && reached.at(-1) === goal) {
      passAlong(network, goal, source, search)
      continue
    }
    if (cheapest(reached, take, price) !== NONE) {
      scope = reached
      continue
    }
    for (const n of reached) search.closed[n] = 1
    if (price < level || pieces.length === 0) pieces.push([...reached])
    else pieces.at(-1)!.push(...reached)
    level = price
    open = open.filter((n) => search.closed[n] === 0)
    scope = open
  }
  return pieces
}

function passAlong(network: Network, goal: number, source: number, { from, via }: Search): void {
  for (let n = goal; n !== source; n = from[n]!) network.pass(via[n]!, n)
}

function highest(nodes: readonly number[], give: Float64Array): number {
  let best = nodes[0]!
  for (const n of nodes) if (give[n]! > give[best]!) best = n
  return best
}

/** The node that takes one more for the least, if that is less than the price; else NONE. */
function cheapest(nodes: readonly number[], take: Float64Array, price: number): number {
  let best = NONE
  for (const n of nodes) if (take[n]! < (best === NONE ? price : take[best]!)) best = n
  return best
}
