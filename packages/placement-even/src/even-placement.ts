/** The strategy: runs the steps of a placement in their order, and gives the result back in the contract's terms. */
import { badOption, refuseUnknownOptions } from '@kagami/core/contract'
import type { Placement, PlacementInput, PlacementStrategy, PlacementTarget } from '@kagami/core/contract'
import { placeCopies } from './copies.js'
import { exchangeOnce } from './exchange.js'
import { hashString } from './hash.js'
import { Layout } from './layout.js'
import { Model, NONE } from './model.js'
import { Budget } from './negative-cycle.js'
import { Primaries } from './primaries.js'
import { spread } from './spread.js'
import { balancePrimaryWeights } from './weights.js'

/** What `evenPlacement` takes. None of it weakens what the strategy promises. */
export interface EvenPlacementOptions {
  /**
   * Chooses among placements that are equally good. Every node of a cluster must use the same one: a controller that
   * uses another one does not move what is placed already, but places anew differently. @default ''
   */
  readonly salt?: string
  /**
   * How many steps one call may spend on searching for fewer moves where they can't be shown to be the fewest at once; a
   * million steps take 50 to 100 ms. Evenness does not depend on it. @default 2_000_000
   */
  readonly searchSteps?: number
}

const names: Readonly<Record<keyof EvenPlacementOptions, true>> = { salt: true, searchSteps: true }

/** Copies and primaries as even as can be, with as few moves as evenness allows. See the README for what is guaranteed. */
export function evenPlacement(options: EvenPlacementOptions = {}): PlacementStrategy {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object')
  refuseUnknownOptions(options, Object.keys(names))
  const { salt = '', searchSteps = 2_000_000 } = options
  if (typeof salt !== 'string') throw badOption('salt', salt, 'a string')
  if (!Number.isSafeInteger(searchSteps) || searchSteps < 0) {
    throw badOption('searchSteps', searchSteps, 'a whole number, 0 or more')
  }
  return new EvenPlacement(hashString(salt, 0), searchSteps)
}

class EvenPlacement implements PlacementStrategy {
  readonly name = 'even'
  readonly #seed: number
  readonly #searchSteps: number

  constructor(seed: number, searchSteps: number) {
    this.#seed = seed
    this.#searchSteps = searchSteps
  }

  place(input: PlacementInput): PlacementTarget {
    const model = new Model(input, this.#seed)
    const layout = new Layout(model)
    placeCopies(layout, this.#searchSteps)
    const primaries = new Primaries(layout)
    placePrimaries(primaries, this.#searchSteps)
    return targetOf(primaries)
  }
}

function placePrimaries(primaries: Primaries, searchSteps: number): void {
  const { model } = primaries.layout
  for (const nodes of model.sides) {
    if (nodes.length === 0) continue
    if (!model.evenWeight) {
      balancePrimaryWeights(primaries, nodes)
      continue
    }
    const budget = new Budget(searchSteps)
    do primaries.handOverFewest(nodes, spread(primaries, nodes), budget)
    while (exchangeOnce(primaries, nodes))
  }
}

function targetOf(primaries: Primaries): PlacementTarget {
  const { model } = primaries.layout
  const target = new Map<string, Placement>()
  for (let t = 0; t < model.tokens.length; t++) {
    const { token, current } = model.tokens[t]!
    target.set(token, isUnchanged(primaries, t) ? current : placementOf(primaries, t))
  }
  return target
}

/** Whether the present placement says exactly this, also where the copies were taken up one by one. */
function isUnchanged(primaries: Primaries, t: number): boolean {
  const { model, touched, node } = primaries.layout
  const { primary, replicas } = model.tokens[t]!.current
  const want = model.want[t]!
  if (want === 0) return primary === null && replicas.length === 0
  if (primary === null || replicas.length + 1 !== want) return false
  if (model.homeFirst[t + 1]! - model.homeFirst[t]! !== want || primaries.nodeOf(t) !== model.homePrimary[t])
    return false
  if (touched[t] === 0) return true
  for (let s = model.first[t]!; s < model.first[t + 1]!; s++) if (!model.isHome(t, node[s]!)) return false
  return true
}

function placementOf(primaries: Primaries, t: number): Placement {
  const { model, node } = primaries.layout
  const slot = primaries.slot[t]!
  const replicas: string[] = []
  const nodes = node
    .subarray(model.first[t], model.first[t + 1])
    .slice()
    .sort()
  for (const n of nodes) if (slot === NONE || n !== node[slot]) replicas.push(model.members[n]!.node)
  return { primary: slot === NONE ? null : model.members[node[slot]!]!.node, replicas }
}
