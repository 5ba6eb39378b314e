/** Carries a cycle of moves out on a layout. Never breaks a rule of the layout, whatever the cycle says. */
import type { Layout } from './layout.js'
import { LOAD } from './negative-cycle.js'
import type { Hop } from './negative-cycle.js'

/**
 * Carries the moves of a cycle out. Two moves of one token may exclude each other; the cycle then falls into two, of
 * which at least one is below zero too. Returns the moves that were made; undefined where none could be.
 */
export function carryOut(layout: Layout, cycle: readonly Hop[]): readonly Hop[] | undefined {
  const moves = cycle.filter(({ label }) => label !== LOAD)
  const done: Hop[] = []
  for (const hop of moves) {
    if (!layout.canMove(hop.label, hop.to)) break
    layout.move(hop.label, hop.to)
    done.push(hop)
  }
  if (done.length === moves.length) return done
  for (const hop of done.reverse()) layout.move(hop.label, hop.from)
  for (const part of parts(layout, cycle)) {
    const carried = carryOut(layout, part)
    if (carried !== undefined) return carried
  }
  return undefined
}

/** The cycles below zero that the cycle falls into at each pair of hops of one token. */
function* parts(layout: Layout, cycle: readonly Hop[]): Generator<readonly Hop[]> {
  for (let i = 0; i < cycle.length; i++) {
    for (let j = i + 1; j < cycle.length; j++) {
      const one = cycle[i]!
      const other = cycle[j]!
      if (one.label === LOAD || other.label === LOAD) continue
      if (layout.tokenOf[one.label] !== layout.tokenOf[other.label]) continue
      const inner = [...cycle.slice(i + 1, j), hop(layout, other.label, one.to)]
      const outer = [...cycle.slice(j + 1), ...cycle.slice(0, i), hop(layout, one.label, other.to)]
      if (belowZero(inner)) yield inner
      if (belowZero(outer)) yield outer
    }
  }
}

function hop(layout: Layout, label: number, to: number): Hop {
  return { from: layout.node[label]!, to, label, price: 0, moves: layout.cost(label, to) }
}

function belowZero(cycle: readonly Hop[]): boolean {
  const price = cycle.reduce((sum, { price }) => sum + price, 0)
  return price < 0 || (price === 0 && cycle.reduce((sum, { moves }) => sum + moves, 0) < 0)
}
