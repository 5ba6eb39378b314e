/** Evenness where capacities or weights differ: each node's share, and the bound that is guaranteed for weights. */
import type { PlacementInput, PlacementTarget } from '@kagami/core/contract'
import { describe, expect, test } from 'vitest'
import { evenPlacement } from '../src/index.js'
import { check, inputs } from './arbitraries.js'
import { copiesOf, gap, loads, member, token, tokens } from './support.js'

const strategy = evenPlacement()

describe('capacities', () => {
  test('copies and primaries are each node’s share by capacity, rounded up or down', () => {
    check(inputs({ nodes: 8, tokens: 20, replicas: 2, uniform: true, capacities: true }), 1000, (input) => {
      const copies = Math.min(1 + input.tokens[0]!.replicas, input.members.length)
      const all = input.members.reduce((sum, { capacity }) => sum + capacity, 0)
      const parts = input.members.map(({ capacity }) => capacity / all)
      // No node can hold a token twice: a share above that is another matter, and another test.
      if (parts.some((part) => part * copies > 1)) return
      const target = loads(input, strategy.place(input))
      input.members.forEach((_, i) => {
        expectRounded(target.copies[i]!, parts[i]! * copies * input.tokens.length)
        expectRounded(target.primaries[i]!, parts[i]! * input.tokens.length)
      })
    })
  })

  test('a node that can’t take its share takes every token, and the others share the rest', () => {
    const input = {
      members: [member('a', { capacity: 100 }), member('b', { capacity: 1 }), member('c', { capacity: 3 })],
      tokens: tokens(40, 1),
    }
    expect(loads(input, strategy.place(input)).copies).toEqual([40, 10, 30])
  })

  test('a zone that can’t take its share takes every token, and the others share the rest', () => {
    const zone = 'z'
    const input = {
      members: [
        member('a', { capacity: 1 }),
        member('b', { capacity: 6, zone }),
        member('c', { capacity: 2, zone }),
        member('d', { capacity: 3 }),
      ],
      tokens: tokens(40, 1),
    }
    expect(loads(input, strategy.place(input)).copies).toEqual([10, 30, 10, 30])
  })
})

describe('weights', () => {
  test('without rules in the way, no two nodes are farther apart than the heaviest token', () => {
    check(inputs({ nodes: 8, tokens: 24, replicas: 2, weights: true }), 1500, (input) => {
      const heaviest = Math.max(...input.tokens.map(({ weight }) => weight))
      expect(gap(weightLoads(input, strategy.place(input)))).toBeLessThanOrEqual(heaviest * (1 + 1e-6))
    })
  })

  test('with capacities, and one copy each, no node is above what another would be with the heaviest token more', () => {
    check(inputs({ nodes: 8, tokens: 24, replicas: 0, weights: true, capacities: true }), 1500, (input) => {
      // Equal weights are counted, and rounded shares have another test.
      if (input.tokens.every(({ weight }) => weight === input.tokens[0]!.weight)) return
      const heaviest = Math.max(...input.tokens.map(({ weight }) => weight))
      const load = weightLoads(input, strategy.place(input))
      const level = load.map((weight, i) => weight / input.members[i]!.capacity)
      const next = load.map((weight, i) => (weight + heaviest) / input.members[i]!.capacity)
      expect(Math.max(...level)).toBeLessThanOrEqual(Math.min(...next) * (1 + 1e-6))
    })
  })

  test('a heavy token does not keep the light ones from evening out', () => {
    const light = Array.from({ length: 30 }, (_, i) => token(`u${String(i).padStart(2, '0')}`, 0))
    const members = ['a', 'b', 'c', 'd'].map((node) => member(node))
    const input = { members, tokens: [token('t', 0, { weight: 100 }), ...light] }
    const load = weightLoads(input, strategy.place(input)).sort((a, b) => a - b)
    expect(load).toEqual([10, 10, 10, 100])
    const settled = input.tokens.map((one) => ({ ...one, current: strategy.place(input).get(one.token)! }))
    const joined = { members: [...members, member('e')], tokens: settled }
    // A move must leave the giver above the taker: 10 10 10 0 becomes 8 8 7 7, in some order.
    const after = weightLoads(joined, strategy.place(joined)).sort((a, b) => a - b)
    expect(gap(after.slice(0, 4))).toBeLessThanOrEqual(1)
  })
})

function weightLoads(input: PlacementInput, target: PlacementTarget): number[] {
  const load = new Map(input.members.map(({ node }) => [node, 0]))
  for (const { token, weight } of input.tokens) {
    for (const node of copiesOf(target.get(token)!)) load.set(node, load.get(node)! + weight)
  }
  return [...load.values()]
}

function expectRounded(value: number, share: number): void {
  expect(value).toBeGreaterThanOrEqual(Math.floor(share + 1e-6))
  expect(value).toBeLessThanOrEqual(Math.ceil(share - 1e-6))
}
