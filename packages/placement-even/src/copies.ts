/** Places the copies, from the first draft to the fewest moves. Knows nothing of primaries, except where one must be. */
import { CopyNetwork } from './copy-network.js'
import { buildFewest, fewestBuilt } from './fewest-copies.js'
import { keepAndFill } from './keep-and-fill.js'
import type { Layout } from './layout.js'
import type { Model } from './model.js'
import { Budget } from './negative-cycle.js'
import type { Bounds } from './price.js'
import { spread } from './spread.js'
import type { Piece } from './spread.js'
import { balanceWeights } from './weights.js'

/** Fills an empty layout. */
export function placeCopies(layout: Layout, searchSteps: number): void {
  const { model, prices } = layout
  if (!model.evenCapacity) for (const side of [0, 1] as const) prices.share(model, copyBounds(model, side))
  const missing = keepAndFill(layout)
  if (!model.evenWeight) {
    for (const nodes of model.sides) balanceWeights(layout, nodes)
    return
  }
  const pieces: Piece[] = []
  for (const nodes of model.sides) pieces.push(...spread(new CopyNetwork(layout, nodes), nodes))
  const built = layout.built()
  if (built === 0) return
  if (provable(layout) && built <= fewestBuilt(layout, pieces, missing)) return
  const budget = new Budget(searchSteps)
  for (const nodes of model.sides) buildFewest(layout, nodes, budget)
}

/** With unequal capacities the lower bound holds only where every node has its share. */
function provable({ model, prices }: Layout): boolean {
  return model.evenCapacity || model.sides.every((nodes) => prices.fair(nodes))
}

/** What the nodes of a side hold between them, and how much of it a zone must or can have. */
function copyBounds(model: Model, side: 0 | 1): Bounds {
  const zoneLeast = new Float64Array(model.zoneCount)
  const zoneMost = new Float64Array(model.zoneCount)
  let total = 0
  for (let t = 0; t < model.tokens.length; t++) {
    const overflows = model.overflows[t] === 1
    const staying = overflows ? model.stayingOf(t) : model.want[t]!
    total += side === 0 ? staying : model.want[t]! - staying
    if (!overflows && side === 1) continue
    for (let zone = 0; zone < model.zoneCount; zone++) {
      // An overflowing token fills the staying nodes; its zone levels only bound what drains.
      const filled = overflows ? model.stayingIn(t, zone) : 0
      zoneLeast[zone]! += overflows && side === 0 ? filled : model.zoneLeast(t, zone) - filled
      zoneMost[zone]! += overflows && side === 0 ? filled : model.zoneMost(t, zone) - filled
    }
  }
  return { nodes: model.sides[side], total, nodeMost: () => model.tokens.length, zoneLeast, zoneMost }
}
