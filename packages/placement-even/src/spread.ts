/**
 * Makes loads as even as a network allows, by augmenting paths: while some node can pass a unit, over any number of other
 * nodes, to one that has two fewer, it does. Knows neither copies nor primaries, only who can pass a unit to whom.
 */
import { NONE } from './model.js'
import type { Prices } from './price.js'

/** Who can pass units to whom. A unit is named by a label that only the network understands. */
export interface Network {
  readonly prices: Prices
  readonly nodeHash: Uint32Array
  /**
   * Every node that units of `source` can reach over nodes that are not `closed`, nearest first, the source included.
   * Notes for each where its unit would come from, and which.
   */
  reach(source: number, closed: Uint8Array, from: Int32Array, via: Int32Array): readonly number[]
  /** Passes a unit that `reach` named. */
  pass(label: number, to: number): void
  /** Passes one unit straight to `to` from a node whose `give` is at least `price`, if there is one. */
  passDirectly(to: number, price: number, closed: Uint8Array): boolean
}

/**
 * Nodes that can't be told apart by evenness: in every placement that is as even as possible they hold the same total,
 * rounded up or down on each.
 */
export type Piece = number[]

/** Evens the loads of the nodes out. Returns them in pieces, from the most to the least loaded. */
export function spread(network: Network, nodes: Int32Array): Piece[] {
  const { give, take } = network.prices
  const closed = new Uint8Array(give.length)
  const from = new Int32Array(give.length)
  const via = new Int32Array(give.length)
  const pieces: Piece[] = []
  let open = [...nodes]
  let level = Infinity
  while (open.length > 0) {
    const source = highest(open, give)
    const lowest = cheapest(open, take, give[source]!)
    const price = give[source]!
    if (lowest !== NONE && network.passDirectly(lowest, price, closed)) continue
    const reached = lowest === NONE ? open : network.reach(source, closed, from, via)
    const sink = lowest === NONE ? NONE : cheapest(reached, take, price)
    if (sink !== NONE) {
      if (network.passDirectly(sink, price, closed)) continue
      for (let n = sink; n !== source; n = from[n]!) network.pass(via[n]!, n)
      continue
    }
    for (const n of reached) closed[n] = 1
    if (price < level || pieces.length === 0) pieces.push([...reached])
    else pieces.at(-1)!.push(...reached)
    level = price
    open = open.filter((n) => closed[n] === 0)
  }
  return pieces
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
