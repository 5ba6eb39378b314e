/**
 * Evenness where tokens weigh differently. The best is out of reach (it is bin packing), so this stops where no single
 * move makes it better, which keeps every two nodes within the weight of the heaviest token where the rules allow it.
 */
import type { Layout } from './layout.js'
import { NONE } from './model.js'
import type { Primaries } from './primaries.js'

/** Differences below this part of a load are rounding. */
const ROUNDING = 1e-9

/** Whether a move makes the fuller node's load per capacity smaller without filling the other as much. */
class Judge {
  readonly #weight: Float64Array
  readonly #capacity: Float64Array
  readonly #heaviest: number

  constructor(layout: Layout, weight: Float64Array) {
    this.#weight = weight
    this.#capacity = layout.model.capacity
    this.#heaviest = layout.model.tokens.reduce((most, { weight }) => Math.max(most, weight), 0)
  }

  level(n: number): number {
    return this.#weight[n]! / this.#capacity[n]!
  }

  /**
   * The higher of the two levels after the move, or Infinity where the move isn't worth it. Nodes that are nearer than
   * the heaviest token only change where they don't change places: that would be movement for little.
   */
  after(from: number, to: number, weight: number): number {
    const now = this.level(from) * (1 - ROUNDING)
    const rest = (this.#weight[from]! - weight) / this.#capacity[from]!
    const filled = (this.#weight[to]! + weight) / this.#capacity[to]!
    const highest = Math.max(rest, filled)
    const far = now > (this.#weight[to]! + this.#heaviest) / this.#capacity[to]!
    return highest < now && (far || filled <= rest * (1 + ROUNDING)) ? highest : Infinity
  }
}

/** Moves copies until no single move evens the weights of the nodes out. */
export function balanceWeights(layout: Layout, nodes: Int32Array): void {
  const judge = new Judge(layout, layout.weight)
  do recount(layout, layout.weight, () => true)
  while (moveCopies(layout, nodes, judge))
}

/** Hands primaries over, first between copies that exist already, until no single handover evens the weights out. */
export function balancePrimaryWeights(primaries: Primaries, nodes: Int32Array): void {
  const judge = new Judge(primaries.layout, primaries.weight)
  for (const coldToo of [false, true]) {
    do recount(primaries.layout, primaries.weight, (slot, t) => primaries.slot[t] === slot)
    while (handOver(primaries, nodes, judge, coldToo))
  }
}

/** Sums up in the order of tokens, so that equal placements have equal loads to the last bit. */
function recount(layout: Layout, weight: Float64Array, counts: (slot: number, t: number) => boolean): void {
  weight.fill(0)
  for (let slot = 0; slot < layout.node.length; slot++) {
    const t = layout.tokenOf[slot]!
    if (counts(slot, t)) weight[layout.node[slot]!]! += layout.model.tokens[t]!.weight
  }
}

function moveCopies(layout: Layout, nodes: Int32Array, judge: Judge): boolean {
  const full = new Uint8Array(layout.model.members.length)
  const lightest = lightestOn(layout, nodes)
  const order = [...nodes]
  const byLevel = (): unknown => order.sort((one, other) => judge.level(other) - judge.level(one) || one - other)
  byLevel()
  let moved = false
  let last = order.length - 1
  while (last >= 0) {
    const to = order[last]!
    if (full[to] === 0 && fillUp(layout, order, judge, to, lightest)) {
      moved = true
      byLevel()
      last = order.length - 1
      continue
    }
    full[to] = 1
    while (last >= 0 && full[order[last]!] === 1) last--
  }
  return moved
}

/** Moves one copy to a node, from the fullest node that has one worth moving. `order` is from the fullest on. */
function fillUp(layout: Layout, order: readonly number[], judge: Judge, to: number, lightest: Float64Array): boolean {
  for (const donor of order) {
    if (judge.level(donor) <= judge.level(to)) return false
    // What is not worth it for the lightest copy is for none.
    if (judge.after(donor, to, lightest[donor]!) === Infinity) continue
    const slot = bestMove(layout, judge, donor, to)
    if (slot === NONE) continue
    layout.move(slot, to)
    lightest[to] = Math.min(lightest[to]!, layout.model.tokens[layout.tokenOf[slot]!]!.weight)
    return true
  }
  return false
}

function bestMove(layout: Layout, judge: Judge, donor: number, to: number): number {
  let best = NONE
  let lowest = Infinity
  for (let slot = layout.firstOn(donor); slot !== NONE; slot = layout.after(slot)) {
    const highest = judge.after(donor, to, layout.model.tokens[layout.tokenOf[slot]!]!.weight)
    if (highest > lowest || highest === Infinity || !layout.canMove(slot, to)) continue
    if (highest === lowest && layout.cost(slot, to) >= layout.cost(best, to)) continue
    best = slot
    lowest = highest
  }
  return best
}

/** By node: the weight of its lightest copy that may move; Infinity where there is none. */
function lightestOn(layout: Layout, nodes: Int32Array): Float64Array {
  const lightest = new Float64Array(layout.model.members.length).fill(Infinity)
  for (const n of nodes) {
    for (let slot = layout.firstOn(n); slot !== NONE; slot = layout.after(slot)) {
      const { weight } = layout.model.tokens[layout.tokenOf[slot]!]!
      if (layout.fixed[slot] === 0 && weight < lightest[n]!) lightest[n] = weight
    }
  }
  return lightest
}

function handOver(primaries: Primaries, nodes: Int32Array, judge: Judge, coldToo: boolean): boolean {
  const { layout } = primaries
  let moved = false
  for (const from of [...nodes].sort((one, other) => judge.level(other) - judge.level(one) || one - other)) {
    let best = NONE
    let lowest = Infinity
    for (let t = primaries.firstOn(from); t !== NONE; t = primaries.after(t)) {
      if (primaries.isLocked(t)) continue
      const { first, tokens } = layout.model
      for (let slot = first[t]!; slot < first[t + 1]!; slot++) {
        if (slot === primaries.slot[t] || !primaries.mayLead(slot)) continue
        if (!coldToo && primaries.isCold(slot)) continue
        const highest = judge.after(from, layout.node[slot]!, tokens[t]!.weight)
        if (highest >= lowest) continue
        best = slot
        lowest = highest
      }
    }
    if (best === NONE) continue
    primaries.pass(best)
    moved = true
  }
  return moved
}
