/**
 * The first draft: keeps every present copy that may stay, and puts each missing one on the node that has the least,
 * by rendezvous among equals. Breaks no rule, but need not be even yet.
 */
import { score } from './hash.js'
import type { Layout } from './layout.js'
import { NONE } from './model.js'

/** Fills every slot of the layout. Returns how many copies had no valid place to be kept at. */
export function keepAndFill(layout: Layout): number {
  const { model } = layout
  const partial: number[] = []
  for (let t = 0; t < model.tokens.length; t++) {
    if (!keepAll(layout, t)) partial.push(t)
  }
  for (const t of partial) keepSome(layout, t)
  const order = model.evenWeight
    ? partial.sort((one, other) => model.want[one]! - model.want[other]! || one - other)
    : partial.sort((one, other) => model.tokens[other]!.weight - model.tokens[one]!.weight || one - other)
  const filler = new Filler(layout)
  let missing = 0
  for (const t of order) missing += filler.fill(t)
  return missing
}

/** The common case: exactly the wanted copies are there, and each is where it may be. */
function keepAll(layout: Layout, t: number): boolean {
  const { model } = layout
  const { home, zoneOf } = model
  const begin = model.homeFirst[t]!
  const end = model.homeFirst[t + 1]!
  if (end - begin !== model.want[t] || model.overflows[t] === 1) return false
  const forced = model.forced[t]!
  if (forced !== NONE && !model.isHome(t, forced)) return false
  let covered = 0
  for (let i = begin; i < end; i++) {
    const n = home[i]!
    if (model.draining[n] === 1) return false
    let inZone = 1
    let counted = false
    for (let j = begin; j < end; j++) {
      if (j === i || zoneOf[home[j]!] !== zoneOf[n]) continue
      inZone++
      if (j < i) counted = true
    }
    if (model.plain[t] === 1 ? inZone > 1 : inZone > model.zoneMost(t, zoneOf[n]!)) return false
    if (!counted && model.plain[t] === 0) covered += Math.min(inZone, model.zoneLeast(t, zoneOf[n]!))
  }
  if (model.plain[t] === 0 && covered < model.mustCover(t)) return false
  for (let i = begin; i < end; i++) layout.put(model.first[t]! + i - begin, home[i]!)
  if (forced !== NONE) layout.fixed[layout.slotOn(t, forced)] = 1
  return true
}

/** Keeps as many of the present copies as the rules allow: what must be there first, then the primary, then the least loaded. */
function keepSome(layout: Layout, t: number): void {
  const { model } = layout
  const { load } = layout.prices
  layout.touched[t] = 1
  let slot = model.first[t]!
  const keep = (n: number, fixed: 0 | 1): void => {
    layout.put(slot, n)
    layout.fixed[slot++] = fixed
  }
  const forced = model.forced[t]!
  if (forced !== NONE) keep(forced, 1)
  if (model.overflows[t] === 1) {
    for (const n of model.sides[0]) if (n !== forced && !model.excludes(t, n)) keep(n, 1)
  }
  const rest = [...model.home.subarray(model.homeFirst[t], model.homeFirst[t + 1])].filter(
    (n) => model.draining[n] === model.overflows[t] && n !== forced,
  )
  const lead = model.homePrimary[t]!
  rest.sort((one, other) => Number(other === lead) - Number(one === lead) || load[one]! - load[other]! || one - other)
  if (rest.length === 0) return
  const zones = new ZoneCount(layout, t)
  for (const n of rest) {
    if (slot < model.first[t + 1]! && zones.admits(model.zoneOf[n]!, model.first[t + 1]! - slot)) {
      keep(n, 0)
      zones.add(model.zoneOf[n]!)
    }
  }
}

/** Copies of one token by zone, while they are placed one by one. */
class ZoneCount {
  readonly #most: Int32Array
  readonly #least: Int32Array
  readonly #count: Int32Array
  #short = 0

  constructor(layout: Layout, t: number) {
    const { model } = layout
    this.#count = new Int32Array(model.zoneCount)
    this.#most = Int32Array.from(this.#count, (_, zone) => model.zoneMost(t, zone))
    this.#least = Int32Array.from(this.#count, (_, zone) => model.zoneLeast(t, zone))
    for (const least of this.#least) this.#short += least
    for (let s = model.first[t]!; s < model.first[t + 1]!; s++) {
      if (layout.node[s] !== NONE) this.add(model.zoneOf[layout.node[s]!]!)
    }
  }

  add(zone: number): void {
    if (this.#count[zone]! < this.#least[zone]!) this.#short--
    this.#count[zone]!++
  }

  /** Whether the zone may get one of the `left` copies, with enough left for the zones that must get some. */
  admits(zone: number, left: number): boolean {
    if (this.#count[zone]! < this.#least[zone]!) return true
    return this.#count[zone]! < this.#most[zone]! && this.#short < left
  }
}

class Filler {
  readonly #layout: Layout
  /** By node and by zone: the last token that stamped it as taken. One stamp per token saves clearing. */
  readonly #taken: Int32Array
  readonly #zoneTaken: Int32Array

  constructor(layout: Layout) {
    this.#layout = layout
    this.#taken = new Int32Array(layout.model.members.length).fill(NONE)
    this.#zoneTaken = new Int32Array(layout.model.zoneCount).fill(NONE)
  }

  fill(t: number): number {
    const { model, node, touched } = this.#layout
    const end = model.first[t + 1]!
    let slot = model.first[t]!
    let missing = 0
    for (; slot < end && node[slot] !== NONE; slot++) {
      this.#stamp(t, node[slot]!)
      if (this.#layout.fixed[slot] === 1 && !model.isHome(t, node[slot]!)) missing++
    }
    if (slot === end) return missing
    touched[t] = 1
    for (const n of model.excludedOf(t)) this.#taken[n] = t
    const zones = model.plain[t] === 1 ? undefined : new ZoneCount(this.#layout, t)
    for (; slot < end; slot++, missing++) {
      const n = this.#leastFilled(t, zones, end - slot)
      this.#layout.put(slot, n)
      this.#stamp(t, n)
      zones?.add(model.zoneOf[n]!)
    }
    return missing
  }

  #stamp(t: number, n: number): void {
    this.#taken[n] = t
    this.#zoneTaken[this.#layout.model.zoneOf[n]!] = t
  }

  /** The inner loop of a full placement: every copy looks at every node. */
  #leastFilled(t: number, zones: ZoneCount | undefined, left: number): number {
    const { model, prices, weight } = this.#layout
    const { zoneOf, nodeHash, capacity, evenWeight, evenCapacity } = model
    const { take, load } = prices
    const taken = this.#taken
    const zoneTaken = this.#zoneTaken
    const nodes = model.sides[model.overflows[t] as 0 | 1]
    const own = model.tokens[t]!.weight
    const hash = model.tokenHash[t]!
    let best = NONE
    let bestPrice = Infinity
    let bestLevel = Infinity
    let bestScore = -1
    for (let i = 0; i < nodes.length; i++) {
      const n = nodes[i]!
      const price = evenWeight ? take[n]! : (weight[n]! + own) / capacity[n]!
      if (price > bestPrice || taken[n] === t) continue
      const zone = zoneOf[n]!
      if (zones === undefined ? zoneTaken[zone] === t : !zones.admits(zone, left)) continue
      // Among nodes within their shares, which all have one price, the one that is farthest below its own.
      const level = evenCapacity ? 0 : (load[n]! + 1) / capacity[n]!
      if (price === bestPrice && level > bestLevel) continue
      const points = score(hash, nodeHash[n]!)
      if (price === bestPrice && level === bestLevel && points <= bestScore) continue
      best = n
      bestPrice = price
      bestLevel = level
      bestScore = points
    }
    return best
  }
}
