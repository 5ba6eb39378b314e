/**
 * Brings an even layout down to the fewest copies that have to be built. Never makes it less even. Tells cheaply, by a
 * lower bound, that nothing is to be gained, which is the common case; else searches, within a budget.
 */
import { carryOut } from './carry-out.js'
import type { Layout } from './layout.js'
import { NONE } from './model.js'
import { negativeCycle } from './negative-cycle.js'
import type { Budget, Edges, Hop } from './negative-cycle.js'
import type { Piece } from './spread.js'

/**
 * No placement that is as even builds fewer copies than this: a piece's nodes that are short of present copies must get
 * some, and a piece's total beyond what its nodes may keep must come from somewhere.
 */
export function fewestBuilt(layout: Layout, pieces: readonly Piece[], missing: number): number {
  const { load, low, high } = layout.prices
  const atHome = presentLoads(layout)
  let least = 0
  for (const piece of pieces) {
    const total = piece.reduce((sum, n) => sum + load[n]!, 0)
    let short = 0
    let kept = 0
    for (const n of piece) {
      const floor = layout.model.evenCapacity ? Math.floor(total / piece.length) : low[n]!
      const ceil = layout.model.evenCapacity ? Math.ceil(total / piece.length) : high[n]!
      short += Math.max(0, floor - atHome[n]!)
      kept += Math.min(ceil, atHome[n]!)
    }
    least += Math.max(short, total - kept)
  }
  return Math.max(least, missing)
}

/** Present copies by node, of tokens that may move on that node's side or must stay on it. */
function presentLoads(layout: Layout): Int32Array {
  const { model } = layout
  const loads = new Int32Array(model.members.length)
  for (let t = 0; t < model.tokens.length; t++) {
    for (let i = model.homeFirst[t]!; i < model.homeFirst[t + 1]!; i++) {
      const n = model.home[i]!
      if (model.draining[n]! <= model.overflows[t]!) loads[n]!++
    }
  }
  return loads
}

/** Cancels cycles until none is left that saves a copy, or the budget is spent. */
export function buildFewest(layout: Layout, nodes: Int32Array, budget: Budget): void {
  let slots = 0
  for (const n of nodes) slots += layout.prices.load[n]!
  if (!budget.spend(slots * nodes.length)) return
  const table = new MoveTable(layout, nodes)
  for (const n of nodes) table.update(n)
  for (;;) {
    const cycle = negativeCycle(nodes, layout.prices, table.edges(), budget)
    if (cycle === undefined) return
    const moved = carryOut(layout, cycle)
    if (moved === undefined) return
    for (const n of holdersOf(layout, moved)) {
      if (!budget.spend(layout.prices.load[n]! * nodes.length)) return
      table.update(n)
    }
  }
}

/** The nodes whose moves may have changed: those that hold a moved token, and those that held one. */
function holdersOf(layout: Layout, moved: readonly Hop[]): ReadonlySet<number> {
  const nodes = new Set<number>()
  for (const { label, from } of moved) {
    const t = layout.tokenOf[label]!
    nodes.add(from)
    for (let s = layout.model.first[t]!; s < layout.model.first[t + 1]!; s++) nodes.add(layout.node[s]!)
  }
  return nodes
}

/** The cheapest move between every two nodes. */
class MoveTable {
  readonly #layout: Layout
  readonly #nodes: Int32Array
  readonly #rowOf = new Map<number, number>()
  readonly #cost: Int8Array
  readonly #slot: Int32Array

  constructor(layout: Layout, nodes: Int32Array) {
    this.#layout = layout
    this.#nodes = nodes
    nodes.forEach((n, row) => this.#rowOf.set(n, row))
    this.#cost = new Int8Array(nodes.length * nodes.length)
    this.#slot = new Int32Array(nodes.length * nodes.length)
  }

  /** Looks at all moves away from a node again. */
  update(n: number): void {
    const layout = this.#layout
    const row = this.#rowOf.get(n)
    if (row === undefined) return
    const begin = row * this.#nodes.length
    this.#slot.fill(NONE, begin, begin + this.#nodes.length)
    for (let slot = layout.firstOn(n); slot !== NONE; slot = layout.after(slot)) {
      if (layout.fixed[slot] === 1) continue
      const t = layout.tokenOf[slot]!
      // What a move to a node where a present copy was costs; to any other node it is one more.
      const least = layout.model.isHome(t, n) ? 0 : -1
      for (let i = 0; i < this.#nodes.length; i++) {
        const to = this.#nodes[i]!
        const known = this.#slot[begin + i] === NONE ? Infinity : this.#cost[begin + i]!
        if (known <= least) continue
        const cost = layout.model.isHome(t, to) ? least : least + 1
        if (known <= cost || !layout.canMove(slot, to)) continue
        this.#cost[begin + i] = cost
        this.#slot[begin + i] = slot
      }
    }
  }

  edges(): Edges {
    const from: number[] = []
    const to: number[] = []
    const label: number[] = []
    const moves: number[] = []
    const size = this.#nodes.length
    for (let i = 0; i < this.#slot.length; i++) {
      if (this.#slot[i] === NONE) continue
      from.push(this.#nodes[Math.floor(i / size)]!)
      to.push(this.#nodes[i % size]!)
      label.push(this.#slot[i]!)
      moves.push(this.#cost[i]!)
    }
    return { count: from.length, from, to, label, moves }
  }
}
