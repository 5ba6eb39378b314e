/**
 * The copies while they are being placed: which node each slot of each token is on, and which slots each node has. Keeps
 * the rules that are never bent: one copy per node and token, no excluded node, the zones' levels, copies that must stay.
 */
import { NONE } from './model.js'
import type { Model } from './model.js'
import { Prices } from './price.js'

export class Layout {
  readonly model: Model
  readonly prices: Prices
  /** By slot: its node, its token, and whether it has to stay where it is. */
  readonly node: Int32Array
  readonly tokenOf: Int32Array
  readonly fixed: Uint8Array
  /** By node: the load in weight. Only kept where weights differ. */
  readonly weight: Float64Array
  /** 1 for each token whose copies may no longer be the present ones. */
  readonly touched: Uint8Array
  readonly #head: Int32Array
  readonly #next: Int32Array
  readonly #previous: Int32Array

  constructor(model: Model) {
    const slots = model.first[model.tokens.length]!
    this.model = model
    this.prices = new Prices(model)
    this.node = new Int32Array(slots).fill(NONE)
    this.tokenOf = new Int32Array(slots)
    this.fixed = new Uint8Array(slots)
    this.weight = new Float64Array(model.members.length)
    this.touched = new Uint8Array(model.tokens.length)
    this.#head = new Int32Array(model.members.length).fill(NONE)
    this.#next = new Int32Array(slots)
    this.#previous = new Int32Array(slots)
    for (let t = 0; t < model.tokens.length; t++) this.tokenOf.fill(t, model.first[t], model.first[t + 1])
  }

  /** The slots on a node: `for (let s = firstOn(n); s !== NONE; s = after(s))`. */
  firstOn(n: number): number {
    return this.#head[n]!
  }

  after(slot: number): number {
    return this.#next[slot]!
  }

  put(slot: number, n: number): void {
    const head = this.#head[n]!
    this.node[slot] = n
    this.#next[slot] = head
    this.#previous[slot] = NONE
    if (head !== NONE) this.#previous[head] = slot
    this.#head[n] = slot
    this.prices.add(n, 1)
    if (!this.model.evenWeight) this.weight[n]! += this.model.tokens[this.tokenOf[slot]!]!.weight
  }

  move(slot: number, to: number): void {
    const from = this.node[slot]!
    const next = this.#next[slot]!
    const previous = this.#previous[slot]!
    if (previous === NONE) this.#head[from] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.prices.add(from, -1)
    if (!this.model.evenWeight) this.weight[from]! -= this.model.tokens[this.tokenOf[slot]!]!.weight
    this.touched[this.tokenOf[slot]!] = 1
    this.put(slot, to)
  }

  /** The slot of the token on the node, or NONE. */
  slotOn(t: number, n: number): number {
    for (let s = this.model.first[t]!; s < this.model.first[t + 1]!; s++) if (this.node[s] === n) return s
    return NONE
  }

  /** Whether moving this one copy to a node breaks no rule. */
  canMove(slot: number, to: number): boolean {
    const { model, node } = this
    const t = this.tokenOf[slot]!
    if (this.fixed[slot] === 1 || model.draining[to] !== model.overflows[t]) return false
    const zoneFrom = model.zoneOf[node[slot]!]!
    const zoneTo = model.zoneOf[to]!
    let inFrom = 0
    let inTo = 0
    for (let s = model.first[t]!; s < model.first[t + 1]!; s++) {
      const n = node[s]!
      if (n === to) return false
      const zone = model.zoneOf[n]!
      if (zone === zoneFrom) inFrom++
      if (zone === zoneTo) inTo++
    }
    if (model.plain[t] === 1) return zoneFrom === zoneTo || inTo === 0
    if (model.excludes(t, to)) return false
    if (zoneFrom === zoneTo) return true
    return inTo < model.zoneMost(t, zoneTo) && inFrom > model.zoneLeast(t, zoneFrom)
  }

  /** Whether the zones' levels let this copy come from another zone; a node in it may still refuse. */
  mayEnter(slot: number, zone: number): boolean {
    const { model, node } = this
    const t = this.tokenOf[slot]!
    const zoneFrom = model.zoneOf[node[slot]!]!
    let inFrom = 0
    let inTo = 0
    for (let s = model.first[t]!; s < model.first[t + 1]!; s++) {
      const at = model.zoneOf[node[s]!]!
      if (at === zone) inTo++
      else if (at === zoneFrom) inFrom++
    }
    if (model.plain[t] === 1) return inTo === 0
    return inTo < model.zoneMost(t, zone) && inFrom > model.zoneLeast(t, zoneFrom)
  }

  /** How many more copies have to be built when a slot moves: -1, 0 or 1. */
  cost(slot: number, to: number): number {
    const t = this.tokenOf[slot]!
    return Number(!this.model.isHome(t, to)) - Number(!this.model.isHome(t, this.node[slot]!))
  }

  /** Copies that have to be built, over all tokens. */
  built(): number {
    let count = 0
    for (let slot = 0; slot < this.node.length; slot++) {
      const t = this.tokenOf[slot]!
      if (this.touched[t] === 1 && !this.model.isHome(t, this.node[slot]!)) count++
    }
    return count
  }
}
