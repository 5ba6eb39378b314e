/** Copies as a network: a node passes a copy to any node that the layout's rules let it move to. */
import { score } from './hash.js'
import type { Layout } from './layout.js'
import { NONE } from './model.js'
import type { Prices } from './price.js'
import type { Network, Search } from './spread.js'

/** How many copies of a donor are compared: choosing among more is not worth the time where a node has thousands. */
const COPIES_COMPARED = 64

/** The cost of a move that builds a copy; a move that takes a primary away from where it is costs one more. */
const BUILDS_ONE = 2

/** How many donors outside of the receiver's zone are asked before a path is used instead. */
const DONORS_ASKED = 32

export class CopyNetwork implements Network {
  readonly prices: Prices
  readonly #layout: Layout
  readonly #nodes: Int32Array
  /** Nodes of each zone that a search has not met yet. */
  readonly #unmet: number[][]
  readonly #unmetZones: number[] = []

  constructor(layout: Layout, nodes: Int32Array) {
    this.#layout = layout
    this.#nodes = nodes
    this.prices = layout.prices
    this.#unmet = Array.from({ length: layout.model.zoneCount }, () => [])
  }

  reach(source: number, goal: number, search: Search): number[] {
    const layout = this.#layout
    const reached = [source]
    this.#forget(source, search.closed)
    for (let i = 0; i < reached.length && this.#unmetZones.length > 0; i++) {
      for (let slot = layout.firstOn(reached[i]!); slot !== NONE; slot = layout.after(slot)) {
        if (layout.fixed[slot] === 0 && this.#follow(slot, goal, reached, search)) return reached
      }
    }
    return reached
  }

  pass(label: number, to: number): void {
    this.#layout.move(label, to)
  }

  passDirectly(to: number, price: number, closed: Uint8Array): boolean {
    const { zoneOf, nodeHash } = this.#layout.model
    const { give } = this.prices
    const donors: number[] = []
    const points: number[] = []
    for (const n of this.#nodes) {
      if (closed[n] === 1 || give[n]! < price) continue
      donors.push(n)
      points.push(score(nodeHash[to]!, nodeHash[n]!))
    }
    for (let asked = 0; donors.length > 0;) {
      const next = indexOfMost(points)
      const donor = donors[next]!
      donors[next] = donors.at(-1)!
      points[next] = points.at(-1)!
      donors.pop()
      points.pop()
      if (zoneOf[donor] !== zoneOf[to] && asked++ >= DONORS_ASKED) continue
      const slot = this.#bestMove(donor, to)
      if (slot === NONE) continue
      this.pass(slot, to)
      return true
    }
    return false
  }

  /** The copy whose move costs least: least rebuilding, then no primary, then by rendezvous. */
  #bestMove(donor: number, to: number): number {
    const layout = this.#layout
    const { homePrimary, tokenHash, nodeHash } = layout.model
    let best = NONE
    let bestCost = Infinity
    let bestScore = -1
    let compared = 0
    for (let slot = layout.firstOn(donor); slot !== NONE; slot = layout.after(slot)) {
      if (compared >= COPIES_COMPARED && bestCost <= BUILDS_ONE) break
      if (!layout.canMove(slot, to)) continue
      compared++
      const t = layout.tokenOf[slot]!
      const cost = BUILDS_ONE * layout.cost(slot, to) + Number(homePrimary[t] === donor)
      const points = score(tokenHash[t]!, nodeHash[to]!)
      if (cost > bestCost || (cost === bestCost && points <= bestScore)) continue
      best = slot
      bestCost = cost
      bestScore = points
    }
    return best
  }

  #forget(source: number, closed: Uint8Array): void {
    const { zoneOf } = this.#layout.model
    this.#unmetZones.length = 0
    for (const nodes of this.#unmet) nodes.length = 0
    for (const n of this.#nodes) {
      if (n === source || closed[n] === 1) continue
      const zone = this.#unmet[zoneOf[n]!]!
      if (zone.length === 0) this.#unmetZones.push(zoneOf[n]!)
      zone.push(n)
    }
  }

  /**
   * Meets every node that this copy can move to; true when the goal is one. Looks at zones before nodes: most zones take
   * all or nothing.
   */
  #follow(slot: number, goal: number, reached: number[], { from, via }: Search): boolean {
    const layout = this.#layout
    const { zoneOf } = layout.model
    const home = layout.node[slot]!
    for (let z = this.#unmetZones.length - 1; z >= 0; z--) {
      const zone = this.#unmetZones[z]!
      if (zone !== zoneOf[home] && !layout.mayEnter(slot, zone)) continue
      const nodes = this.#unmet[zone]!
      let kept = 0
      for (const n of nodes) {
        if (!layout.canMove(slot, n)) {
          nodes[kept++] = n
          continue
        }
        from[n] = home
        via[n] = slot
        reached.push(n)
        if (n === goal) return true
      }
      nodes.length = kept
      if (kept > 0) continue
      this.#unmetZones[z] = this.#unmetZones.at(-1)!
      this.#unmetZones.pop()
    }
    return false
  }
}

function indexOfMost(values: readonly number[]): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}
