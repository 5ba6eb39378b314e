/**
 * The last resort for even primaries: exchanges two copies between a node that leads too much and one that leads too
 * little, a primary for a replica. Copies stay as even as they were; two more have to be built.
 */
import type { Layout } from './layout.js'
import { NONE } from './model.js'
import type { Primaries } from './primaries.js'

/** How many of the nodes that lead the most, and the least, are tried against each other. */
const TRIED = 32

/** Makes one exchange that evens primaries out. False when there is none. */
export function exchangeOnce(primaries: Primaries, nodes: Int32Array): boolean {
  const { give, take } = primaries.prices
  const most = [...nodes].sort((one, other) => give[other]! - give[one]! || one - other)
  const least = [...nodes].sort((one, other) => take[one]! - take[other]! || one - other)
  for (const high of most.slice(0, TRIED)) {
    if (give[high]! <= take[least[0]!]!) return false
    for (const low of least.slice(0, TRIED)) {
      if (give[high]! <= take[low]!) break
      if (exchange(primaries, high, low)) return true
    }
  }
  return false
}

function exchange(primaries: Primaries, high: number, low: number): boolean {
  const { layout } = primaries
  const primary = cheapest(layout, primariesOn(primaries, high), low)
  if (primary === NONE) return false
  const replica = cheapest(layout, replicasOn(primaries, low), high)
  if (replica === NONE) return false
  primaries.carry(layout.tokenOf[primary]!, low)
  layout.move(replica, high)
  return true
}

function cheapest(layout: Layout, slots: Iterable<number>, to: number): number {
  let best = NONE
  for (const slot of slots) {
    if (!layout.canMove(slot, to)) continue
    if (best === NONE || layout.cost(slot, to) < layout.cost(best, to)) best = slot
  }
  return best
}

function* primariesOn(primaries: Primaries, n: number): Generator<number> {
  // Pinned and preferred ones are among them, but their slots are fixed in the layout, so that no move is found for them.
  for (let t = primaries.firstOn(n); t !== NONE; t = primaries.after(t)) yield primaries.slot[t]!
}

function* replicasOn(primaries: Primaries, n: number): Generator<number> {
  const { layout } = primaries
  for (let slot = layout.firstOn(n); slot !== NONE; slot = layout.after(slot)) {
    if (primaries.slot[layout.tokenOf[slot]!] !== slot) yield slot
  }
}
