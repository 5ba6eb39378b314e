/**
 * The input in numbers: nodes, zones and tokens by index, and what each token may and must have. Everything here is
 * settled before the first copy is placed; nothing here changes afterwards.
 */
import type { PlacementInput, PlacementMember, PlacementToken } from '@kagami/core/contract'
import { checkedMembers, checkedTokens } from './check.js'
import { hashString } from './hash.js'

/** Marks "no node" in every array of node indices. */
export const NONE = -1

export class Model {
  readonly members: readonly PlacementMember[]
  readonly nodeHash: Uint32Array
  readonly zoneOf: Int32Array
  readonly zoneCount: number
  readonly capacity: Float64Array
  readonly evenCapacity: boolean
  /** 1 for a draining node. Also the *side* of a node: copies move only between nodes of one side. */
  readonly draining: Uint8Array
  /** The nodes of each side: [staying, draining]. */
  readonly sides: readonly [Int32Array, Int32Array]
  /** The number of nodes by zone, for each side. */
  readonly zoneSize: readonly [Int32Array, Int32Array]

  readonly tokens: readonly PlacementToken[]
  readonly tokenHash: Uint32Array
  readonly evenWeight: boolean
  /** Copies that each token gets: as many as it asks for, or as there are nodes that may hold it. */
  readonly want: Int32Array
  /** Where each token's slots begin; one slot per copy. */
  readonly first: Int32Array
  /** 1 where the staying nodes are too few: the token then fills all of them, and the rest of its copies drain. */
  readonly overflows: Uint8Array
  /** 1 where the copies on draining nodes are all there is, so that one of them must be the primary. */
  readonly stranded: Uint8Array
  /** Copies of one token in a zone lie between `level - 1` and `level`, where the zone has the nodes. */
  readonly level: Int32Array
  /** 1 for the common token: at most one copy in each zone, and any staying node will do. */
  readonly plain: Uint8Array
  /** The node that must hold the primary, because it is pinned or preferred there, or NONE. */
  readonly forced: Int32Array
  /** The present copies on nodes that may still hold them: of token t at `homeFirst[t]` to `homeFirst[t + 1]`. */
  readonly homeFirst: Int32Array
  readonly home: Int32Array
  /** The present primary, if its node is still a member that may hold the token. */
  readonly homePrimary: Int32Array
  readonly #excluded = new Map<number, readonly number[]>()
  readonly #covers = new Map<number, number>()

  constructor(input: PlacementInput, seed: number) {
    const members = checkedMembers(input)
    const tokens = checkedTokens(input)
    const index = new Map<string, number>()
    for (let n = 0; n < members.length; n++) index.set(members[n]!.node, n)
    this.members = members
    this.nodeHash = Uint32Array.from(members, ({ node }) => hashString(node, seed))
    this.capacity = Float64Array.from(members, ({ capacity }) => capacity)
    this.evenCapacity = this.capacity.every((capacity) => capacity === this.capacity[0])
    this.draining = Uint8Array.from(members, ({ draining }) => (draining ? 1 : 0))
    this.sides = [nodesOfSide(this.draining, 0), nodesOfSide(this.draining, 1)]
    this.zoneOf = zonesOf(members)
    this.zoneCount = this.zoneOf.reduce((most, zone) => Math.max(most, zone + 1), 0)
    this.zoneSize = [new Int32Array(this.zoneCount), new Int32Array(this.zoneCount)]
    for (let n = 0; n < members.length; n++) this.zoneSize[this.draining[n] as 0 | 1][this.zoneOf[n]!]!++

    const count = tokens.length
    this.tokens = tokens
    this.evenWeight = tokens.every(({ weight }) => weight === tokens[0]!.weight)
    this.tokenHash = new Uint32Array(count)
    this.want = new Int32Array(count)
    this.first = new Int32Array(count + 1)
    this.overflows = new Uint8Array(count)
    this.stranded = new Uint8Array(count)
    this.level = new Int32Array(count)
    this.plain = new Uint8Array(count)
    this.forced = new Int32Array(count)
    this.homeFirst = new Int32Array(count + 1)
    this.homePrimary = new Int32Array(count)
    let present = 0
    for (let t = 0; t < count; t++) present += tokens[t]!.current.replicas.length + 1
    this.home = new Int32Array(present)
    const levels = new Map<number, number>()
    for (let t = 0; t < count; t++) {
      this.tokenHash[t] = hashString(tokens[t]!.token, seed)
      this.#readLimits(t, tokens[t]!, index, levels)
      this.#readHome(t, tokens[t]!, index)
    }
  }

  /** Whether the token has nodes that must not hold it. */
  excludes(t: number, n: number): boolean {
    return this.#excluded.get(t)?.includes(n) ?? false
  }

  excludedOf(t: number): readonly number[] {
    return this.#excluded.get(t) ?? []
  }

  isHome(t: number, n: number): boolean {
    const { home, homeFirst } = this
    for (let i = homeFirst[t]!; i < homeFirst[t + 1]!; i++) if (home[i] === n) return true
    return false
  }

  /** The most copies of the token in the zone, at the given level; with the token's own level unless told otherwise. */
  zoneMost(t: number, zone: number, level = this.level[t]!): number {
    const staying = this.#room(t, zone, 0)
    if (this.overflows[t] === 0) return Math.min(level, staying)
    return Math.min(Math.max(level, staying), staying + this.#room(t, zone, 1))
  }

  /** The staying nodes that may hold the token: in a zone, or in all. */
  stayingIn(t: number, zone: number): number {
    return this.#room(t, zone, 0)
  }

  stayingOf(t: number): number {
    return this.sides[0].length - this.excludedOf(t).filter((n) => this.draining[n] === 0).length
  }

  /** The fewest copies of the token in the zone. */
  zoneLeast(t: number, zone: number): number {
    return this.zoneMost(t, zone, this.level[t]! - 1)
  }

  /** How many copies the zones must get between them: the sum of `zoneLeast` over all zones. */
  mustCover(t: number): number {
    const known = this.#excluded.has(t) || this.overflows[t] === 1 ? undefined : this.#covers.get(this.level[t]!)
    if (known !== undefined) return known
    let sum = 0
    for (let zone = 0; zone < this.zoneCount; zone++) sum += this.zoneLeast(t, zone)
    if (!this.#excluded.has(t) && this.overflows[t] === 0) this.#covers.set(this.level[t]!, sum)
    return sum
  }

  #room(t: number, zone: number, side: 0 | 1): number {
    let room = this.zoneSize[side][zone]!
    for (const n of this.excludedOf(t)) if (this.zoneOf[n] === zone && this.draining[n] === side) room--
    return room
  }

  #readLimits(t: number, token: PlacementToken, index: ReadonlyMap<string, number>, levels: Map<number, number>): void {
    let staying = this.sides[0].length
    let eligible = this.members.length
    if (token.excluded !== undefined && token.excluded.length > 0) {
      const excluded = [...new Set(token.excluded)].map((node) => index.get(node) ?? NONE).filter((n) => n !== NONE)
      if (excluded.length > 0) this.#excluded.set(t, excluded)
      for (const n of excluded) {
        eligible--
        if (this.draining[n] === 0) staying--
      }
    }
    const want = Math.min(1 + token.replicas, eligible)
    this.want[t] = want
    this.first[t + 1] = this.first[t]! + want
    this.overflows[t] = want > staying ? 1 : 0
    this.stranded[t] = staying === 0 ? 1 : 0
    const simple = want <= staying && !this.#excluded.has(t)
    let level = simple ? levels.get(want) : undefined
    if (level === undefined) {
      level = this.#levelFor(t, want)
      if (simple) levels.set(want, level)
    }
    this.level[t] = level
    this.plain[t] = simple && level === 1 ? 1 : 0
    this.forced[t] = this.#mayLead(t, token.pinned, index) ?? this.#mayLead(t, token.preferred, index) ?? NONE
  }

  /** The lowest level at which the zones take all copies: the copies are then as spread over zones as can be. */
  #levelFor(t: number, want: number): number {
    for (let level = 1; ; level++) {
      let room = 0
      for (let zone = 0; zone < this.zoneCount; zone++) room += this.zoneMost(t, zone, level)
      if (room >= want || level > this.members.length) return level
    }
  }

  #mayLead(t: number, node: string | undefined, index: ReadonlyMap<string, number>): number | undefined {
    const n = node === undefined ? undefined : index.get(node)
    if (n === undefined || this.excludes(t, n)) return undefined
    return this.draining[n] === 0 || this.stranded[t] === 1 ? n : undefined
  }

  #readHome(t: number, token: PlacementToken, index: ReadonlyMap<string, number>): void {
    const { primary, replicas } = token.current
    let end = this.homeFirst[t]!
    const start = end
    const picky = this.#excluded.has(t)
    this.homePrimary[t] = NONE
    for (let i = -1; i < replicas.length; i++) {
      const node = i < 0 ? primary : replicas[i]!
      const n = node === null ? undefined : index.get(node)
      if (n === undefined || (picky && this.excludes(t, n))) continue
      let known = false
      for (let j = start; j < end; j++) if (this.home[j] === n) known = true
      if (known) continue
      if (i < 0) this.homePrimary[t] = n
      this.home[end++] = n
    }
    this.homeFirst[t + 1] = end
  }
}

function nodesOfSide(draining: Uint8Array, side: number): Int32Array {
  return Int32Array.from(draining.keys()).filter((n) => draining[n] === side)
}

/** Numbers the zones; a member that names none gets a number of its own. */
function zonesOf(members: readonly PlacementMember[]): Int32Array {
  const zones = new Map<string, number>()
  let count = 0
  return Int32Array.from(members, ({ zone }) => {
    if (zone === undefined) return count++
    let number = zones.get(zone)
    if (number === undefined) zones.set(zone, (number = count++))
    return number
  })
}
