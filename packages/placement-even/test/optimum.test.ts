/** Compares the strategy with the optimum on inputs that are small enough to look at every placement. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { placeCopies } from '../src/copies.js'
import { evenPlacement } from '../src/index.js'
import { Layout } from '../src/layout.js'
import { Model } from '../src/model.js'
import { check, inputs } from './arbitraries.js'
import { choices, copyOptimum, forcedNode, primaryCost, primaryOptimum } from './reference.js'
import { flowOptimum } from './reference-flow.js'
import { built, copiesOf, gap, loads, member, settled, squares, tokens } from './support.js'

const strategy = evenPlacement()

const EVERYTHING = { zones: true, draining: true, excluded: true, forced: true }

describe('against every placement of up to 5 nodes, 6 tokens and 3 copies', () => {
  test('every token is on a set of nodes that its rules allow, with the fewest draining nodes and crowded zones', () => {
    check(inputs(EVERYTHING), 1500, (input) => {
      const target = strategy.place(input)
      expect([...target.keys()]).toEqual(input.tokens.map(({ token }) => token))
      for (const token of input.tokens) {
        const copies = copiesOf(target.get(token.token)!).sort()
        expect(choices(input, token).map((set) => set.sort().join())).toContain(copies.join())
        const forced = forcedNode(input, token)
        if (forced !== undefined) expect(target.get(token.token)!.primary).toBe(forced)
        expect(target.get(token.token)!.primary === null).toBe(copies.length === 0)
      }
    })
  })

  test('copies are as even as any placement has them', () => {
    check(inputs(EVERYTHING), 500, (input) => {
      expect(squares(loads(input, strategy.place(input)).copies)).toBe(copyOptimum(input).squares)
    })
  })

  test('as few copies are built as evenness of copies allows', () => {
    check(inputs({ ...EVERYTHING, forced: false, uniform: true }), 1000, (input) => {
      expect(built(input, strategy.place(input))).toBe(copyOptimum(input).built)
    })
  })

  test('also with pins and mixed numbers of replicas, before primaries are evened out by exchanges', () => {
    check(inputs({ ...EVERYTHING, nodes: 6, tokens: 5, replicas: 3 }), 1000, (input) => {
      const layout = new Layout(new Model(input, 0))
      placeCopies(layout, 10_000_000)
      const copies = new Map(
        input.tokens.map(({ token }, t) => [token, { primary: null, replicas: nodesOf(layout, t) }]),
      )
      expect(built(input, copies)).toBe(copyOptimum(input).built)
    })
  })

  test('primaries are the best choice over the copies: even, then warm, then with few handovers', () => {
    check(inputs(EVERYTHING), 500, (input) => {
      const target = strategy.place(input)
      const cost = { squares: squares(loads(input, target).primaries), ...primaryCost(input, target) }
      expect(cost).toEqual(primaryOptimum(input, target))
    })
  })

  test('without rules in the way, copies and primaries each differ by at most one, also where tokens want different numbers', () => {
    check(inputs({}), 1000, (input) => {
      const { copies, primaries } = loads(input, strategy.place(input))
      expect(gap(copies)).toBeLessThanOrEqual(1)
      expect(gap(primaries)).toBeLessThanOrEqual(1)
    })
  })
})

describe('against a minimum-cost flow', () => {
  test('up to 14 nodes in 3 to 5 zones: after nodes have left and joined, copies are as even, and as few are built', () => {
    const clusters = fc.record({
      zones: fc.integer({ min: 3, max: 5 }),
      zoneOf: fc.array(fc.nat(100), { minLength: 14, maxLength: 14 }),
      lost: fc.subarray([0, 1, 2, 3, 4, 5], { minLength: 0, maxLength: 3 }),
      joined: fc.nat(3),
      count: fc.integer({ min: 5, max: 40 }),
      replicas: fc.integer({ min: 0, max: 2 }),
    })
    let searched = 0
    check(clusters, 300, ({ zones, zoneOf, lost, joined, count, replicas }) => {
      // The last nodes make sure that every zone always has one.
      const all = zoneOf.map((at, n) => member(`n${10 + n}`, { zone: `z${n > 8 ? n % zones : at % zones}` }))
      const first = all.slice(joined)
      const before = strategy.place({ members: first, tokens: tokens(count, replicas) })
      const held = settled(tokens(count, replicas), before)
      const input = { members: all.filter((_, n) => !lost.includes(n)), tokens: held }
      const target = strategy.place(input)
      const optimum = flowOptimum(input)
      expect(squares(loads(input, target).copies)).toBe(optimum.squares)
      expect(built(input, target)).toBe(optimum.built)
      if (optimum.built > 0) searched++
    })
    expect(searched).toBeGreaterThan(150)
  })
})

function nodesOf({ model, node }: Layout, t: number): string[] {
  return [...node.subarray(model.first[t], model.first[t + 1])].map((n) => model.members[n]!.node)
}
