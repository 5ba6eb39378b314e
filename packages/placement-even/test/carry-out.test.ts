/** Carrying out cycles whose moves exclude each other. */
import { expect, test } from 'vitest'
import { carryOut } from '../src/carry-out.js'
import { Layout } from '../src/layout.js'
import { Model } from '../src/model.js'
import type { Hop } from '../src/negative-cycle.js'
import { member, token } from './support.js'

/** Nodes a, d in zones of their own, b and c in one zone; t on a and d, u on b, w on c. Node by index: 0 to 3. */
function layout(home: readonly string[]): Layout {
  const members = [member('a'), member('b', { zone: 'z' }), member('c', { zone: 'z' }), member('d')]
  const at = (nodes: readonly string[]) => ({ current: { primary: nodes[0] ?? null, replicas: nodes.slice(1) } })
  const input = { members, tokens: [token('t', 1, at(home)), token('u', 0, at(['b'])), token('w', 0, at(['c']))] }
  const result = new Layout(new Model(input, 0))
  const places = [0, 3, 1, 2]
  places.forEach((n, slot) => result.put(slot, n))
  return result
}

function hop(layout: Layout, label: number, to: number): Hop {
  return { from: layout.node[label]!, to, label, price: 0, moves: layout.cost(label, to) }
}

test('of two moves of one token into one zone, the one that pays is made', () => {
  const one = layout(['b'])
  // a → b (t), b → d (u), d → c (t again, into the same zone), c → a (w).
  const cycle = [hop(one, 0, 1), hop(one, 2, 3), hop(one, 1, 2), hop(one, 3, 0)]
  cycle[1] = { ...cycle[1]!, moves: 0 }
  const moved = carryOut(one, cycle)
  expect(moved).toBeDefined()
  expect([...one.node.subarray(0, 2)].sort()).toEqual([0, 1])
  expect([...one.prices.load]).toEqual([1, 1, 1, 1])
})

test('a cycle that no part of can be carried out leaves everything as it was', () => {
  const one = layout(['a', 'd'])
  const before = [...one.node]
  // Both moves of t lead into zone z, and neither part is below zero.
  const cycle = [hop(one, 0, 1), hop(one, 2, 3), hop(one, 1, 2), hop(one, 3, 0)]
  expect(carryOut(one, cycle)).toBeUndefined()
  expect([...one.node]).toEqual(before)
})
