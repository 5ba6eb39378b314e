/** Long lives of a cluster: every step must move as little as it can, and leave everything even. */
import fc from 'fast-check'
import type { PlacementInput, PlacementMember, PlacementTarget } from '@kagami/core/contract'
import { expect, test } from 'vitest'
import { evenPlacement } from '../src/index.js'
import { check } from './arbitraries.js'
import { flowOptimum } from './reference-flow.js'
import { built, cold, copiesOf, gap, loads, member, settled, squares, tokens } from './support.js'

const strategy = evenPlacement()

type Step = { readonly kind: 'join' | 'leave' | 'drain'; readonly at: number }

const lives: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ kind: fc.constantFrom('join', 'leave', 'drain'), at: fc.nat(1000) }),
  { minLength: 12, maxLength: 12 },
)

test('every join builds the new node’s share, every leave and drain the copies of the old one, and all stays even', () => {
  check(lives, 60, (life) => {
    live(life, { zones: 100, tokens: 203 }, ({ input, stay, target, concerned }) => {
      const load = loads({ members: stay, tokens: input.tokens }, target)
      expect(gap(load.copies)).toBeLessThanOrEqual(1)
      expect(gap(load.primaries)).toBeLessThanOrEqual(1)
      expect(built(input, target)).toBe(concerned)
      expect(cold(input, target)).toEqual([])
    })
  })
})

test('with few zones, where a copy may have to make way for another, no more are built than the optimum', () => {
  check(lives, 12, (life) => {
    live(life, { zones: 5, tokens: 60 }, ({ input, stay, target }) => {
      const load = loads({ members: stay, tokens: input.tokens }, target)
      const optimum = flowOptimum({ members: stay, tokens: input.tokens })
      expect(squares(load.copies)).toBe(optimum.squares)
      expect(built(input, target)).toBe(optimum.built)
      expect(gap(load.primaries)).toBeLessThanOrEqual(1)
      expect(cold(input, target)).toEqual([])
    })
  })
})

interface Moment {
  readonly input: PlacementInput
  /** The members without the one that drains. */
  readonly stay: readonly PlacementMember[]
  readonly target: PlacementTarget
  /** The new node's share, or the copies of the one that leaves or drains. */
  readonly concerned: number
}

function live(life: readonly Step[], size: { zones: number; tokens: number }, look: (moment: Moment) => void): void {
  let next = 0
  const join = (): PlacementMember => member(`n${String(next).padStart(4, '0')}`, { zone: `z${next++ % size.zones}` })
  let members = Array.from({ length: 20 }, join)
  let held = tokens(size.tokens, 2)
  held = settled(held, strategy.place({ members, tokens: held }))
  for (const { kind, at } of life) {
    const one = members[at % members.length]!
    const stay = kind === 'join' ? [...members, join()] : members.filter((other) => other !== one)
    const drained = members.map((other) => (other === one ? { ...one, draining: true } : other))
    const input = { members: kind === 'drain' ? drained : stay, tokens: held }
    const target = strategy.place(input)
    const lost = held.filter(({ current }) => copiesOf(current).includes(one.node)).length
    look({ input, stay, target, concerned: kind === 'join' ? Math.floor((3 * held.length) / stay.length) : lost })
    members = stay
    held = settled(held, target)
  }
}

test('zones that every token must be in are even within themselves, and a leave moves nothing in the others', () => {
  const members = Array.from({ length: 9 }, (_, i) => member(`n${i}`, { zone: i < 2 ? 'a' : i < 5 ? 'b' : 'c' }))
  const input = { members, tokens: tokens(120, 2) }
  const before = strategy.place(input)
  expect(loads(input, before).copies).toEqual([60, 60, 40, 40, 40, 30, 30, 30, 30])
  const after = { members: members.filter((_, i) => i !== 3), tokens: settled(input.tokens, before) }
  const target = strategy.place(after)
  expect(loads(after, target).copies).toEqual([60, 60, 60, 60, 30, 30, 30, 30])
  expect(built(after, target)).toBe(40)
  expect(gap(loads(after, target).primaries)).toBeLessThanOrEqual(1)
})

test('more copies than zones are spread over the zones as evenly as their nodes allow', () => {
  const zones = ['a', 'a', 'a', 'b', 'b', 'c']
  const members = zones.map((zone, i) => member(`n${i}`, { zone }))
  const input = { members, tokens: tokens(60, 3) }
  for (const placement of strategy.place(input).values()) {
    const count = (zone: string) => copiesOf(placement).filter((node) => zones[Number(node.slice(1))] === zone).length
    expect([count('a') + count('b'), count('c')]).toEqual([3, 1])
  }
})
