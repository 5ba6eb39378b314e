/**
 * Chooses which of a token's copies is the primary: forced ones first, then as even as the copies allow, then on copies
 * that exist already, then with the fewest handovers. Never moves a copy.
 */
import { score } from './hash.js'
import type { Layout } from './layout.js'
import { NONE } from './model.js'
import type { Model } from './model.js'
import { negativeCycle, LOAD } from './negative-cycle.js'
import type { Budget, Edges } from './negative-cycle.js'
import { Prices } from './price.js'
import type { Network, Piece, Search } from './spread.js'

/** A lost primary that is replaced by a copy that must be built first counts more than any number of handovers. */
const COLD = 2 ** 20

/** How many primaries are compared when one is to be passed: the hand-overs that this costs too much are found later, by cycles. */
const PRIMARIES_COMPARED = 64

export class Primaries implements Network {
  readonly prices: Prices
  readonly layout: Layout
  /** By token: the slot that is the primary, or NONE where the token has no copy. */
  readonly slot: Int32Array
  /** By node: the weight of its primaries. Only kept where weights differ. */
  readonly weight: Float64Array
  readonly #model: Model
  /** By token: whether the present primary's copy is gone, or can't lead any more. */
  readonly #orphan: Uint8Array
  readonly #head: Int32Array
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** By node: the slot at which the next look for a primary to be passed to it begins, so that one with thousands is not gone through for each. */
  readonly #resume: Int32Array

  constructor(layout: Layout) {
    const { model } = layout
    this.layout = layout
    this.#model = model
    this.prices = new Prices(model)
    this.slot = new Int32Array(model.tokens.length).fill(NONE)
    this.weight = new Float64Array(model.members.length)
    this.#orphan = new Uint8Array(model.tokens.length)
    this.#head = new Int32Array(model.members.length).fill(NONE)
    this.#next = new Int32Array(model.tokens.length)
    this.#previous = new Int32Array(model.tokens.length)
    this.#resume = new Int32Array(model.members.length).fill(NONE)
    this.#share()
    this.#keep()
  }

  nodeOf(t: number): number {
    return this.layout.node[this.slot[t]!]!
  }

  isLocked(t: number): boolean {
    return this.#model.forced[t] !== NONE
  }

  firstOn(n: number): number {
    return this.#head[n]!
  }

  after(t: number): number {
    return this.#next[t]!
  }

  /** Makes another slot of the same token its primary. */
  appoint(t: number, slot: number): void {
    if (this.slot[t] !== NONE) this.#leave(t)
    this.slot[t] = slot
    this.#enter(t)
  }

  /** Moves a primary together with its copy. */
  carry(t: number, to: number): void {
    this.#leave(t)
    this.layout.move(this.slot[t]!, to)
    this.#enter(t)
  }

  /** Whether a slot may be the primary: not on a draining node while the token has another. */
  mayLead(slot: number): boolean {
    const t = this.layout.tokenOf[slot]!
    return this.#model.draining[this.layout.node[slot]!] === 0 || this.#model.stranded[t] === 1
  }

  /** What it costs that this slot is the primary: nothing, a handover, or a wait for a copy that must be built. */
  cost(slot: number): number {
    const t = this.layout.tokenOf[slot]!
    const n = this.layout.node[slot]!
    if (this.#orphan[t] === 0) return n === this.#model.homePrimary[t] ? 0 : 1
    return this.#model.isHome(t, n) || !this.#hasWarm(t) ? 0 : COLD
  }

  /** Whether the token lost its primary, and this copy must be built while another one is there. */
  isCold(slot: number): boolean {
    return this.cost(slot) === COLD
  }

  reach(source: number, goal: number, { closed, from, via }: Search): number[] {
    const met = closed.slice()
    const reached = [source]
    met[source] = 1
    for (let i = 0; i < reached.length; i++) {
      for (let t = this.firstOn(reached[i]!); t !== NONE; t = this.after(t)) {
        if (this.isLocked(t)) continue
        for (let slot = this.#model.first[t]!; slot < this.#model.first[t + 1]!; slot++) {
          const n = this.layout.node[slot]!
          if (met[n] === 1 || !this.mayLead(slot)) continue
          met[n] = 1
          from[n] = reached[i]!
          via[n] = slot
          reached.push(n)
          if (n === goal) return reached
        }
      }
    }
    return reached
  }

  pass(label: number): void {
    this.appoint(this.layout.tokenOf[label]!, label)
  }

  passDirectly(to: number, price: number, closed: Uint8Array): boolean {
    const { layout } = this
    const first = layout.firstOn(to)
    if (first === NONE) return false
    const resumed = this.#resume[to]!
    const start = resumed !== NONE && layout.node[resumed] === to ? resumed : first
    let best = NONE
    let bestCost = COLD
    let compared = 0
    let slot = start
    do {
      if (this.#canPass(slot, to, price, closed)) {
        compared++
        const cost = this.cost(slot) - this.cost(this.slot[layout.tokenOf[slot]!]!)
        if (cost < bestCost) {
          best = slot
          bestCost = cost
        }
      }
      slot = layout.after(slot)
      if (slot === NONE) slot = first
    } while (slot !== start && (best === NONE || compared < PRIMARIES_COMPARED))
    this.#resume[to] = slot
    if (best !== NONE) this.pass(best)
    return best !== NONE
  }

  #canPass(slot: number, to: number, price: number, closed: Uint8Array): boolean {
    const t = this.layout.tokenOf[slot]!
    const donor = this.nodeOf(t)
    if (donor === to || closed[donor] === 1 || this.prices.give[donor]! < price) return false
    return !this.isLocked(t) && this.mayLead(slot)
  }

  /** Cancels cycles until none is left that saves a handover. */
  handOverFewest(nodes: Int32Array, pieces: readonly Piece[], budget: Budget): void {
    while (this.#total() > this.#fewest(pieces)) {
      const cycle = negativeCycle(nodes, this.prices, this.#edges(), budget)
      if (cycle === undefined) return
      for (const { label } of cycle) if (label !== LOAD) this.pass(label)
    }
  }

  #edges(): Edges {
    const from: number[] = []
    const to: number[] = []
    const label: number[] = []
    const moves: number[] = []
    for (let t = 0; t < this.slot.length; t++) {
      if (this.slot[t] === NONE) continue
      const now = this.cost(this.slot[t]!)
      this.#eachOther(t, (slot, n) => {
        from.push(this.nodeOf(t))
        to.push(n)
        label.push(slot)
        moves.push(this.cost(slot) - now)
      })
    }
    return { count: from.length, from, to, label, moves }
  }

  #total(): number {
    let total = 0
    for (let t = 0; t < this.slot.length; t++) {
      if (this.slot[t] !== NONE && !this.isLocked(t)) total += this.cost(this.slot[t]!)
    }
    return total
  }

  /** A lower bound of the total, from how many primaries each piece's nodes can keep, and how many orphans can fill the rest. */
  #fewest(pieces: readonly Piece[]): number {
    const { load, low, high } = this.prices
    const kept = new Int32Array(load.length)
    let orphans = 0
    for (let t = 0; t < this.slot.length; t++) {
      if (this.slot[t] === NONE) continue
      if (this.isLocked(t) || this.#orphan[t] === 1) orphans++
      else kept[this.#model.homePrimary[t]!]!++
    }
    let above = 0
    let short = 0
    let apart = 0
    for (const piece of pieces) {
      const total = piece.reduce((sum, n) => sum + load[n]!, 0)
      let keepable = 0
      for (const n of piece) {
        const floor = this.#model.evenCapacity ? Math.floor(total / piece.length) : low[n]!
        const ceil = this.#model.evenCapacity ? Math.ceil(total / piece.length) : high[n]!
        above += Math.max(0, kept[n]! - ceil)
        short += Math.max(0, floor - kept[n]!)
        keepable += Math.min(ceil, kept[n]!)
      }
      apart += total - keepable
    }
    return Math.max(above, Math.max(short, apart) - orphans)
  }

  #share(): void {
    const { sides, want, stranded } = this.#model
    const { load, high } = this.layout.prices
    // Not the load alone: that a share of 0.9 copies became none must not make the others' shares larger.
    const nodeMost = (n: number): number => Math.max(load[n]!, high[n]!)
    const totals: [number, number] = [0, 0]
    for (let t = 0; t < this.slot.length; t++) if (want[t]! > 0) totals[stranded[t] as 0 | 1]++
    this.prices.share(this.#model, { nodes: sides[0], total: totals[0], nodeMost })
    this.prices.share(this.#model, { nodes: sides[1], total: totals[1], nodeMost })
  }

  #keep(): void {
    const { model } = this.layout
    const orphans: number[] = []
    for (let t = 0; t < this.slot.length; t++) {
      if (model.first[t] === model.first[t + 1]) continue
      const lead = model.forced[t] === NONE ? model.homePrimary[t]! : model.forced[t]!
      const slot = lead === NONE ? NONE : this.layout.slotOn(t, lead)
      if (slot !== NONE && this.mayLead(slot)) {
        this.slot[t] = slot
        this.#enter(t)
      } else orphans.push(t)
    }
    for (const t of orphans) {
      this.#orphan[t] = 1
      this.slot[t] = this.#leastFilled(t)
      this.#enter(t)
    }
  }

  /** Among the copies that exist already, if there are any, the one whose node leads the least. */
  #leastFilled(t: number): number {
    const { model } = this.layout
    const own = model.tokens[t]!.weight
    let best = NONE
    let bestCost = Infinity
    let bestPrice = Infinity
    let bestScore = -1
    for (let slot = model.first[t]!; slot < model.first[t + 1]!; slot++) {
      if (!this.mayLead(slot)) continue
      const n = this.layout.node[slot]!
      const cost = this.cost(slot)
      const price = model.evenWeight ? this.prices.take[n]! : (this.weight[n]! + own) / model.capacity[n]!
      const points = score(model.tokenHash[t]!, model.nodeHash[n]!)
      const better = cost - bestCost || price - bestPrice || bestScore - points
      if (best !== NONE && better >= 0) continue
      best = slot
      bestCost = cost
      bestPrice = price
      bestScore = points
    }
    return best
  }

  #eachOther(t: number, visit: (slot: number, n: number) => void): void {
    if (this.isLocked(t)) return
    for (let slot = this.#model.first[t]!; slot < this.#model.first[t + 1]!; slot++) {
      if (slot !== this.slot[t] && this.mayLead(slot)) visit(slot, this.layout.node[slot]!)
    }
  }

  #hasWarm(t: number): boolean {
    for (let slot = this.#model.first[t]!; slot < this.#model.first[t + 1]!; slot++) {
      if (this.#model.isHome(t, this.layout.node[slot]!) && this.mayLead(slot)) return true
    }
    return false
  }

  #enter(t: number): void {
    const n = this.nodeOf(t)
    const head = this.#head[n]!
    this.#next[t] = head
    this.#previous[t] = NONE
    if (head !== NONE) this.#previous[head] = t
    this.#head[n] = t
    this.prices.add(n, 1)
    if (!this.#model.evenWeight) this.weight[n]! += this.#model.tokens[t]!.weight
  }

  #leave(t: number): void {
    const n = this.nodeOf(t)
    const next = this.#next[t]!
    const previous = this.#previous[t]!
    if (previous === NONE) this.#head[n] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.prices.add(n, -1)
    if (!this.#model.evenWeight) this.weight[n]! -= this.#model.tokens[t]!.weight
  }
}
