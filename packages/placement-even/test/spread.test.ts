/** Evening out over a network that is nothing but a list of who can pass to whom. */
import { expect, test } from 'vitest'
import { Model } from '../src/model.js'
import { Prices } from '../src/price.js'
import { spread } from '../src/spread.js'
import type { Network } from '../src/spread.js'
import { members } from './support.js'

/** Nodes with loads, and edges over which any number of units can pass, one hop at a time. */
function network(loads: readonly number[], edges: readonly (readonly [number, number])[]): Network {
  const prices = new Prices(new Model({ members: members(loads.length), tokens: [] }, 0))
  loads.forEach((load, n) => {
    for (let i = 0; i < load; i++) prices.add(n, 1)
  })
  return {
    prices,
    reach(source, goal, { closed, from, via }) {
      const reached = [source]
      for (const at of reached) {
        for (const [i, [giver, to]] of edges.entries()) {
          if (giver !== at || closed[to] === 1 || reached.includes(to)) continue
          from[to] = at
          via[to] = i
          reached.push(to)
          if (to === goal) return reached
        }
      }
      return reached
    },
    pass(label, to) {
      prices.add(edges[label]![0], -1)
      prices.add(to, 1)
    },
    passDirectly: () => false,
  }
}

function spreadOut(loads: readonly number[], edges: readonly (readonly [number, number])[]) {
  const one = network(loads, edges)
  const pieces = spread(one, Int32Array.from(loads.keys()))
  return { loads: [...one.prices.load], pieces: pieces.map((piece) => piece.sort()) }
}

test('units pass over nodes that are full themselves', () => {
  const chain = [
    [0, 1],
    [1, 2],
    [2, 3],
  ] as const
  expect(spreadOut([5, 3, 3, 1], chain).loads).toEqual([3, 3, 3, 3])
})

test('nodes that nothing can leave are a piece of their own, and the others even out without them', () => {
  const { loads, pieces } = spreadOut(
    [9, 7, 1, 4],
    [
      [0, 1],
      [2, 3],
      [3, 2],
    ],
  )
  expect(loads).toEqual([8, 8, 2, 3])
  expect(pieces).toEqual([
    [0, 1],
    [2, 3],
  ])
})

test('what is closed at one level is one piece, since equal placements differ in which of its nodes is fuller', () => {
  // 0 and 2 are at the top, neither reaches the other, and both reach 1: the odd unit may as well be on 1.
  const { pieces } = spreadOut(
    [3, 2, 3, 0],
    [
      [0, 1],
      [2, 1],
    ],
  )
  expect(pieces).toEqual([[0, 1, 2], [3]])
})
