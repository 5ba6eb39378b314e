/** The conformance suite of `PlacementStrategy`: enough copies, never two on one node, and nothing moves without need. */
import type { PlacementCapabilities, Property } from './placement-property.js'
import assert from 'node:assert/strict'
import type { Placement, PlacementInput, PlacementStrategy, PlacementTarget } from '@kagami/core/contract'
import { generate } from './placement-inputs.js'
import {
  checkCounts,
  checkEven,
  checkPlaces,
  checkPrimaries,
  checkZones,
  freeze,
  movedCopies,
  settled,
  zoneOf,
} from './placement-rules.js'
import { placementChangeCases } from './placement-changes.js'
import { suite } from './runner.js'
import type { Case, SuiteRunner, SuiteTiming } from './runner.js'

/** A placement strategy to be tested, and what the suite must know of it. */
export interface PlacementSubject {
  /** Called before each case: the strategy. */
  setup(): PlacementStrategy
  /** What it can do: cases for what it can't are left out, and the first case names both. */
  readonly capabilities: PlacementCapabilities
  /** How many random inputs each property is tried on. @default 150 */
  readonly inputs?: number
  /** How long a case may take. Placement waits for nothing else. */
  readonly timing?: SuiteTiming
}

/** Registers the suite with a runner. */
export function placementSuite(runner: SuiteRunner, subject: PlacementSubject): void {
  const { capabilities, inputs = 150 } = subject
  const timing = subject.timing === undefined ? {} : { timing: subject.timing }
  const world = { setup: () => ({ strategy: subject.setup() }), ...timing }
  suite(runner, 'PlacementStrategy', world, capabilities, {}, (test) => {
    const property: Property = (name, options, check) => {
      test(name, async (_scope, { strategy }) => {
        for (let seed = 1; seed <= inputs; seed++) {
          const input = generate(seed, options)
          try {
            check(freeze(input), strategy, seed)
          } catch (error) {
            throw explained(error, seed, input)
          }
        }
      })
    }
    exampleCases(test)
    ruleCases(property)
    functionCases(property, () => subject.setup())
    placementChangeCases(property, capabilities)
    if (capabilities.zones) zoneCases(property)
    if (capabilities.even) evenCases(property)
  })
}

function explained(error: unknown, seed: number, input: PlacementInput): Error {
  const text = JSON.stringify(input)
  const shown = text.length > 4_000 ? `${text.slice(0, 4_000)}…` : text
  const message = error instanceof Error ? error.message : String(error)
  return new assert.AssertionError({ message: `seed ${seed}: ${message}\ninput: ${shown}` })
}

const nothing: Placement = { primary: null, replicas: [] }

function exampleCases(test: Case<{ strategy: PlacementStrategy }>): void {
  const member = (node: string) => ({ node, capacity: 1, draining: false })
  const token = (name: string, replicas: number) => ({ token: name, replicas, weight: 1, current: nothing })

  test('a strategy has a name for messages', async (_scope, { strategy }) => {
    assert.match(strategy.name, /\S/)
  })

  test('without members every token has a target with no copy', async (_scope, { strategy }) => {
    const target = strategy.place({ members: [], tokens: [token('t1', 2), token('t2', 0)] })
    assert.equal(target.size, 2)
    for (const placement of target.values()) assert.deepEqual(placement, nothing)
  })

  test('without tokens there is nothing to place', async (_scope, { strategy }) => {
    assert.equal(strategy.place({ members: [member('a')], tokens: [] }).size, 0)
  })

  test('the only member gets a token’s primary, and no replica', async (_scope, { strategy }) => {
    const target = strategy.place({ members: [member('a')], tokens: [token('t', 2)] })
    assert.deepEqual(target.get('t'), { primary: 'a', replicas: [] })
  })

  test('a node that owns nothing yet is eligible', async (_scope, { strategy }) => {
    const held = { ...token('t1', 1), current: { primary: 'a', replicas: ['b'] } }
    const target = strategy.place({ members: ['a', 'b', 'c'].map(member), tokens: [held, token('t2', 2)] })
    const { primary, replicas } = target.get('t2')!
    assert.deepEqual([primary!, ...replicas].sort(), ['a', 'b', 'c'])
  })

  test('a lost primary is replaced', async (_scope, { strategy }) => {
    const orphan = { ...token('t', 1), current: { primary: 'gone', replicas: ['b'] } }
    const { primary, replicas } = strategy.place({ members: ['a', 'b'].map(member), tokens: [orphan] }).get('t')!
    assert.deepEqual([primary!, ...replicas].sort(), ['a', 'b'])
  })

  test('token and node names that are no identifiers are names like any other', async (_scope, { strategy }) => {
    const names = ['__proto__', 'constructor', 'a b', '鏡', '0']
    const input = { members: [...names].sort().map(member), tokens: [...names].sort().map((name) => token(name, 1)) }
    const target = strategy.place(input)
    checkCounts(input, target)
    checkPlaces(input, target)
  })
}

function ruleCases(property: Property): void {
  property('every token of the input has a target, and no other', {}, (input, strategy) => {
    const target = strategy.place(input)
    assert.deepEqual([...target.keys()].sort(), input.tokens.map(({ token }) => token).sort())
  })

  property('a token has min(1 + replicas, members that may hold it) copies', {}, (input, strategy) => {
    checkCounts(input, strategy.place(input))
  })

  property(
    'no two copies of a token are on one node, and the primary is not among the replicas',
    {},
    (input, strategy) => {
      for (const [token, { primary, replicas }] of strategy.place(input)) {
        const nodes = [...(primary === null ? [] : [primary]), ...replicas]
        assert.equal(new Set(nodes).size, nodes.length, `${token} is twice on one node: ${nodes.join(', ')}`)
      }
    },
  )

  property('copies are on members only, and never on an excluded one', {}, (input, strategy) => {
    checkPlaces(input, strategy.place(input))
  })

  property('a token that has copies has a primary', {}, (input, strategy) => {
    for (const [token, { primary, replicas }] of strategy.place(input)) {
      if (replicas.length > 0) assert.notEqual(primary, null, `${token} has replicas and no primary`)
    }
  })

  property('a pinned primary is where it is pinned, also on a draining node', { pins: true }, (input, strategy) => {
    checkPrimaries(input, strategy.place(input), 'pinned')
  })

  property('a preferred primary is where it is preferred', { preferences: true }, (input, strategy) => {
    checkPrimaries(input, strategy.place(input), 'preferred')
  })

  property('a draining node holds a copy only where nothing else can', { draining: true }, (input, strategy) => {
    const draining = new Set(input.members.filter((member) => member.draining).map(({ node }) => node))
    const target = strategy.place(input)
    for (const { token, replicas, excluded = [] } of input.tokens) {
      const others = input.members.filter(({ node }) => !draining.has(node) && !excluded.includes(node)).length
      const needed = Math.max(0, 1 + replicas - others)
      const placement = target.get(token)!
      const held = [placement.primary, ...placement.replicas].filter((node) => node !== null && draining.has(node))
      assert.ok(held.length <= needed, `${token} has ${held.length} copies on draining nodes, ${needed} are needed`)
    }
  })
}

function functionCases(property: Property, setup: () => PlacementStrategy): void {
  property(
    'the same input gives the same target, in another instance and another object too',
    { all: true },
    (input, strategy, seed) => {
      const first = shape(strategy.place(input))
      assert.deepEqual(shape(strategy.place(input)), first, 'two calls differ')
      assert.deepEqual(shape(setup().place(structuredClone(input))), first, 'another instance differs')
      // What was placed in between must not matter.
      const third = setup()
      third.place(generate(seed + 1, { all: true }))
      assert.deepEqual(shape(third.place(input)), first, 'the target depends on what was placed before')
    },
  )

  property(
    'the target, given as `current`, is returned unchanged, as the same objects',
    { all: true },
    (input, strategy) => {
      const target = strategy.place(input)
      const again = freeze(settled(input, target))
      const second = strategy.place(again)
      for (const { token, current } of again.tokens) {
        assert.deepEqual(second.get(token), current, `${token} moved though nothing changed`)
        assert.ok(second.get(token) === current, `${token} stayed, but as another object`)
      }
    },
  )

  property('a token that stays as it is keeps the `current` object itself', { all: true }, (input, strategy) => {
    const target = strategy.place(input)
    for (const { token, current } of input.tokens) {
      const placement = target.get(token)!
      const same = placement.primary === current.primary && movedCopies(current, placement) === 0
      if (!same || placement.replicas.length !== current.replicas.length) continue
      assert.ok(placement === current, `${token} stays, but as another object`)
    }
  })
}

function shape(target: PlacementTarget): unknown {
  return [...target].map(([token, { primary, replicas }]) => [token, primary, [...replicas]])
}

function zoneCases(property: Property): void {
  property('no two copies are in one zone while another zone has room', { zones: true }, (input, strategy) => {
    checkZones(input, strategy.place(input))
  })

  property('members without a zone are each in a zone of their own', { zones: 'some' }, (input, strategy) => {
    assert.ok(new Set(input.members.map(zoneOf)).size > 0 || input.members.length === 0)
    checkZones(input, strategy.place(input))
  })
}

function evenCases(property: Property): void {
  property(
    'from nothing, copies and primaries per node differ by at most one',
    { plain: true, fresh: true },
    (input, strategy) => {
      checkEven(input, strategy.place(input))
    },
  )

  property(
    'from any placement, copies and primaries per node differ by at most one',
    { plain: true },
    (input, strategy) => {
      checkEven(input, strategy.place(input))
    },
  )
}
