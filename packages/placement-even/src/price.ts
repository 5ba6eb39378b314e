/**
 * What one more, or one fewer, on a node is worth to evenness: a convex price per node, in whole numbers. The placement
 * with the lowest sum of prices is the most even one. Knows nothing of tokens, zones or copies.
 */
import type { Model } from './model.js'

/** Who is counted, and how much any of them may get at all. */
export interface Bounds {
  readonly nodes: Int32Array
  readonly total: number
  /** The most that a node can get. */
  readonly nodeMost: (n: number) => number
  /** The least and the most that a zone can get; by zone. */
  readonly zoneLeast?: Float64Array
  readonly zoneMost?: Float64Array
}

/** Loads, with the price that each node would take for one more, and give back for one fewer. */
export class Prices {
  readonly load: Int32Array
  readonly take: Float64Array
  readonly give: Float64Array
  readonly low: Int32Array
  readonly high: Int32Array
  /** Unequal capacities: the price of a unit outside of `low` to `high`. Undefined: the price is the load itself. */
  readonly #unit: Float64Array | undefined

  constructor(model: Model) {
    const count = model.members.length
    this.load = new Int32Array(count)
    this.take = new Float64Array(count)
    this.give = new Float64Array(count).fill(-1)
    this.low = new Int32Array(count)
    this.high = new Int32Array(count)
    if (model.evenCapacity) return
    const mean = model.capacity.reduce((sum, capacity) => sum + capacity, 0) / count
    this.#unit = model.capacity.map((capacity) => Math.min(2 ** 20, Math.max(1, Math.round((1024 * mean) / capacity))))
  }

  /** Fixes each node's share. With equal capacities nothing depends on it, and it is not computed. */
  share(model: Model, bounds: Bounds): void {
    if (this.#unit === undefined) return
    const shares = proportional(model, bounds)
    for (const n of bounds.nodes) {
      this.low[n] = Math.floor(shares[n]! + 1e-7)
      this.high[n] = Math.ceil(shares[n]! - 1e-7)
      this.#update(n)
    }
  }

  add(n: number, change: 1 | -1): void {
    this.load[n]! += change
    this.#update(n)
  }

  /** Whether every node of the group has its share, rounded up or down. */
  fair(nodes: Int32Array): boolean {
    return nodes.every((n) => this.load[n]! >= this.low[n]! && this.load[n]! <= this.high[n]!)
  }

  #update(n: number): void {
    this.take[n] = this.#price(n, this.load[n]!)
    this.give[n] = this.#price(n, this.load[n]! - 1)
  }

  /** The price of going from `load` to `load + 1`. Strictly growing with the load, so that the total price is convex. */
  #price(n: number, load: number): number {
    if (this.#unit === undefined) return load
    const low = this.low[n]!
    const high = this.high[n]!
    if (load < low) return (load - low) * this.#unit[n]!
    if (load < high) return 0
    return (load - high + 1) * this.#unit[n]!
  }
}

/**
 * Splits the total in proportion to capacities, within the bounds: one level of load per capacity for all, but zones and
 * nodes that can't reach it, or can't stay below it, are held at their bound.
 */
function proportional(model: Model, bounds: Bounds): Float64Array {
  const shares = new Float64Array(model.members.length)
  const zones = new Map<number, number[]>()
  for (const n of bounds.nodes) {
    const zone = model.zoneOf[n]!
    const nodes = zones.get(zone)
    if (nodes === undefined) zones.set(zone, [n])
    else nodes.push(n)
  }
  const amount = (n: number, level: number): number => Math.min(bounds.nodeMost(n), level * model.capacity[n]!)
  const inZone = (nodes: readonly number[], level: number): number =>
    nodes.reduce((sum, n) => sum + amount(n, level), 0)
  const bounded = (zone: number, value: number): number =>
    Math.max(bounds.zoneLeast?.[zone] ?? 0, Math.min(bounds.zoneMost?.[zone] ?? Infinity, value))
  const all = (level: number): number => {
    let sum = 0
    for (const [zone, nodes] of zones) sum += bounded(zone, inZone(nodes, level))
    return sum
  }
  const level = solve(all, bounds.total)
  for (const [zone, nodes] of zones) {
    const own = inZone(nodes, level)
    const held = bounded(zone, own)
    const zoneLevel = held === own ? level : solve((at) => inZone(nodes, at), held)
    for (const n of nodes) shares[n] = amount(n, zoneLevel)
  }
  return shares
}

/** The level at which a growing function reaches the goal, by bisection. */
function solve(value: (level: number) => number, goal: number): number {
  let above = 1
  while (value(above) < goal && above < 1e300) above *= 2
  let below = 0
  for (let i = 0; i < 100; i++) {
    const middle = (below + above) / 2
    if (value(middle) < goal) below = middle
    else above = middle
  }
  return above
}
