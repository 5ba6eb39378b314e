/**
 * Finds what could still be cheaper: a cycle of passes, possibly closed by a change of loads, whose total is below zero,
 * in evenness first and in moves second. Where there is none, the placement is optimal (Klein's criterion).
 */
import { NONE } from './model.js'
import type { Prices } from './price.js'

/** A unit, named by its label, that passes from one node to another. */
export interface Hop {
  readonly from: number
  readonly to: number
  readonly label: number
  readonly price: number
  readonly moves: number
}

/** All passes that are possible now. */
export interface Edges {
  readonly count: number
  readonly from: ArrayLike<number>
  readonly to: ArrayLike<number>
  readonly label: ArrayLike<number>
  readonly moves: ArrayLike<number>
}

/** The label of the two hops that stand for a load that changes: over a place that every node is connected to. */
export const LOAD = -2

/** A bound on work, counted in steps so that it is the same on every machine. */
export class Budget {
  #left: number

  constructor(steps: number) {
    this.#left = steps
  }

  /** Takes steps, if that many are left. */
  spend(steps: number): boolean {
    if (steps > this.#left) return false
    this.#left -= steps
    return true
  }
}

/** The hops of a cycle below zero; undefined where there is none, or the budget doesn't reach to tell. */
export function negativeCycle(
  nodes: Int32Array,
  prices: Prices,
  edges: Edges,
  budget: Budget,
): readonly Hop[] | undefined {
  const search = new Search(nodes, prices, edges)
  for (;;) {
    if (!budget.spend(edges.count + 2 * nodes.length)) return undefined
    if (!search.relax()) return undefined
    const cycle = search.cycle()
    if (cycle !== undefined) return cycle
  }
}

/** Bellman and Ford's search from everywhere at once, with pairs (price, moves) as distances. */
class Search {
  readonly #nodes: Int32Array
  readonly #prices: Prices
  readonly #edges: Edges
  readonly #hub: number
  readonly #price: Float64Array
  readonly #moves: Float64Array
  /** By place: the edge it was reached by, or NONE, or LOAD with the node in `#before`. */
  readonly #by: Int32Array
  readonly #before: Int32Array

  constructor(nodes: Int32Array, prices: Prices, edges: Edges) {
    const count = prices.load.length
    this.#nodes = nodes
    this.#prices = prices
    this.#edges = edges
    this.#hub = count
    this.#price = new Float64Array(count + 1)
    this.#moves = new Float64Array(count + 1)
    this.#by = new Int32Array(count + 1).fill(NONE)
    this.#before = new Int32Array(count + 1).fill(NONE)
  }

  /** One round over all edges. False when nothing got cheaper. */
  relax(): boolean {
    const { count, from, to, moves } = this.#edges
    const { give, take } = this.#prices
    let changed = false
    for (let e = 0; e < count; e++) changed = this.#reach(from[e]!, to[e]!, 0, moves[e]!, e) || changed
    for (const n of this.#nodes) changed = this.#reach(n, this.#hub, take[n]!, 0, LOAD) || changed
    for (const n of this.#nodes) changed = this.#reach(this.#hub, n, -give[n]!, 0, LOAD) || changed
    return changed
  }

  cycle(): readonly Hop[] | undefined {
    const seen = new Int32Array(this.#hub + 1).fill(NONE)
    for (const start of this.#nodes) {
      let at = start
      while (at !== NONE && seen[at] === NONE) {
        seen[at] = start
        at = this.#before[at]!
      }
      if (at !== NONE && seen[at] === start) return this.#collect(at)
    }
    return undefined
  }

  #reach(from: number, to: number, price: number, moves: number, by: number): boolean {
    const newPrice = this.#price[from]! + price
    if (newPrice > this.#price[to]!) return false
    const newMoves = this.#moves[from]! + moves
    if (newPrice === this.#price[to]! && newMoves >= this.#moves[to]!) return false
    this.#price[to] = newPrice
    this.#moves[to] = newMoves
    this.#by[to] = by
    this.#before[to] = from
    return true
  }

  #collect(start: number): readonly Hop[] {
    const hops: Hop[] = []
    let to = start
    do {
      const from = this.#before[to]!
      const by = this.#by[to]!
      if (by !== LOAD) {
        hops.push({ from, to, label: this.#edges.label[by]!, price: 0, moves: this.#edges.moves[by]! })
      } else {
        const price = to === this.#hub ? this.#prices.take[from]! : -this.#prices.give[to]!
        hops.push({ from, to, label: LOAD, price, moves: 0 })
      }
      to = from
    } while (to !== start)
    return hops.reverse()
  }
}
