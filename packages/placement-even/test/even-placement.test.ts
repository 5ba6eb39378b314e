/** What a caller of the strategy can rely on: identity, determinism, failover, drains, wishes, and refusals. */
import { isKagamiError } from '@kagami/core/contract'
import type { PlacementInput } from '@kagami/core/contract'
import { describe, expect, test } from 'vitest'
import { evenPlacement } from '../src/index.js'
import { check, inputs } from './arbitraries.js'
import { cold, copiesOf, gap, loads, member, members, NOWHERE, settled, token, tokens } from './support.js'

const strategy = evenPlacement()
const ANYTHING = {
  nodes: 9,
  tokens: 14,
  replicas: 4,
  zones: true,
  draining: true,
  excluded: true,
  forced: true,
  capacities: true,
}

describe('a pure and sticky function', () => {
  test.each([false, true])(
    'its own target, given as the present placement, stays the same objects (weights: %s)',
    (weights) => {
      check(inputs({ ...ANYTHING, weights }), 1500, (input) => {
        const again = settled(input.tokens, strategy.place(input))
        const target = strategy.place({ members: input.members, tokens: again })
        for (const { token, current } of again) expect(target.get(token)).toBe(current)
      })
    },
  )

  test('the order of the input, and the identity of its strings and objects, change nothing', () => {
    check(inputs({ ...ANYTHING, weights: true }), 500, (input) => {
      const reordered = structuredClone({
        members: [...input.members].reverse(),
        tokens: [...input.tokens].reverse().map((one) => ({
          ...one,
          current: { ...one.current, replicas: [...one.current.replicas] },
        })),
      })
      expect([...evenPlacement().place(reordered)]).toEqual([...strategy.place(input)])
    })
  })

  test('names are compared by code units, so that no locale changes the order', () => {
    const names = ['a', 'B', 'ä', 'Z', '鏡', '_', 'aa', '\u{1F600}', '\uFF5E']
    const target = strategy.place({ members: members(3), tokens: names.map((name) => token(name)) })
    expect([...target.keys()]).toEqual([...names].sort())
  })

  test('the input is not changed', () => {
    check(inputs({ ...ANYTHING, weights: true }), 200, (input) => {
      const before = structuredClone(input)
      strategy.place(input)
      expect(input).toEqual(before)
    })
  })

  test('a placement that stays keeps its object, whatever the order of its replicas', () => {
    const current = { primary: 'n001', replicas: ['n002', 'n000'] }
    const input = { members: members(3), tokens: [token('t', 2, { current })] }
    expect(strategy.place(input).get('t')).toBe(current)
  })

  test('a present placement that names a node twice, or nodes that are gone, counts each member once', () => {
    const twice = token('t', 1, { current: { primary: 'n000', replicas: ['n000', 'gone', 'n000'] } })
    const other = token('u', 0, { current: { primary: 'n001', replicas: [] } })
    const target = strategy.place({ members: members(2, 1), tokens: [twice, other] })
    expect(target.get('t')).toEqual({ primary: 'n000', replicas: ['n001'] })
    expect(target.get('u')).toBe(other.current)
  })

  test('without members every token is nowhere, and stays so', () => {
    const target = strategy.place({ members: [], tokens: [token('t', 2, { current: { primary: 'x', replicas: [] } })] })
    expect(target.get('t')).toEqual(NOWHERE)
    const again = { members: [], tokens: [token('t', 2)] }
    expect(strategy.place(again).get('t')).toBe(NOWHERE)
  })

  test('another salt places anew differently, but moves nothing that is placed', () => {
    const input = { members: members(10), tokens: tokens(50, 1) }
    const salted = evenPlacement({ salt: 'x' })
    const target = strategy.place(input)
    expect([...salted.place(input)]).not.toEqual([...target])
    const again = settled(input.tokens, target)
    for (const { token, current } of again) {
      expect(salted.place({ members: input.members, tokens: again }).get(token)).toBe(current)
    }
  })
})

describe('a lost node', () => {
  test('gives its primaries to surviving copies, evenly, and only its copies are built anew', () => {
    const input = { members: members(12), tokens: tokens(240, 2) }
    const before = strategy.place(input)
    for (const { node: lost } of input.members) {
      const after = {
        members: input.members.filter(({ node }) => node !== lost),
        tokens: settled(input.tokens, before),
      }
      const target = strategy.place(after)
      expect(cold(after, target)).toEqual([])
      expect(gap(loads(after, target).copies)).toBeLessThanOrEqual(1)
      expect(gap(loads(after, target).primaries)).toBeLessThanOrEqual(1)
      for (const one of after.tokens) {
        const now = target.get(one.token)!
        const survivors = copiesOf(one.current).filter((node) => node !== lost)
        expect(copiesOf(now)).toEqual(expect.arrayContaining(survivors))
        if (one.current.primary === lost) expect(survivors).toContain(now.primary)
      }
    }
  })

  test('that takes the last copy leaves the token to any node', () => {
    const input = { members: members(3), tokens: [token('t', 1, { current: { primary: 'x', replicas: ['y'] } })] }
    expect(copiesOf(strategy.place(input).get('t')!)).toHaveLength(2)
  })
})

describe('draining', () => {
  test('a draining node is emptied, primaries to copies that exist', () => {
    const input = { members: members(6), tokens: tokens(60, 1) }
    const before = settled(input.tokens, strategy.place(input))
    const drained = { members: input.members.map((one, i) => ({ ...one, draining: i === 2 })), tokens: before }
    const target = strategy.place(drained)
    expect(loads(drained, target).copies[2]).toBe(0)
    expect(cold(drained, target)).toEqual([])
  })

  test('it keeps copies while nothing else can hold them, but the primary leaves', () => {
    const input: PlacementInput = {
      members: [member('a'), member('b', { draining: true })],
      tokens: [token('t', 1, { current: { primary: 'b', replicas: ['a'] }, pinned: 'b' })],
    }
    expect(strategy.place(input).get('t')).toEqual({ primary: 'a', replicas: ['b'] })
  })

  test('a cluster that drains as a whole stays where it is', () => {
    const current = { primary: 'b', replicas: ['a'] }
    const draining = [member('a', { draining: true }), member('b', { draining: true })]
    expect(strategy.place({ members: draining, tokens: [token('t', 1, { current })] }).get('t')).toBe(current)
  })
})

describe('wishes', () => {
  test('a handover to a replica changes the primary and no copy', () => {
    const input = { members: members(4), tokens: tokens(40, 1) }
    const before = settled(input.tokens, strategy.place(input))
    const [first] = before
    const preferred = first!.current.replicas[0]!
    const target = strategy.place({
      members: input.members,
      tokens: before.map((one) => (one === first ? { ...one, preferred } : one)),
    })
    expect(target.get(first!.token)).toEqual({ primary: preferred, replicas: [first!.current.primary] })
    for (const one of before.slice(1)) {
      expect(copiesOf(target.get(one.token)!).sort()).toEqual(copiesOf(one.current).sort())
    }
  })

  test('a handover to a node without a copy builds one there, in place of another', () => {
    const current = { primary: 'n000', replicas: ['n001'] }
    const input = { members: members(3), tokens: [token('t', 1, { current, preferred: 'n002' })] }
    const placement = strategy.place(input).get('t')!
    expect(placement.primary).toBe('n002')
    expect(placement.replicas).toHaveLength(1)
    expect(['n000', 'n001']).toContain(placement.replicas[0])
  })

  test('a pin goes before a preference; a pin on no member does not count', () => {
    const wish = { preferred: 'n001' }
    const place = (pinned: string) =>
      strategy.place({ members: members(3), tokens: [token('t', 1, { ...wish, pinned })] }).get('t')!.primary
    expect(place('n000')).toBe('n000')
    expect(place('gone')).toBe('n001')
  })

  test('the primaries of other tokens even out around pinned ones', () => {
    const pinned = tokens(10, 2).map((one) => ({ ...one, pinned: 'n000' }))
    const free = Array.from({ length: 30 }, (_, i) => token(`u${i}`, 2)).sort((a, b) => (a.token < b.token ? -1 : 1))
    const input = { members: members(4), tokens: [...pinned, ...free] }
    expect(loads(input, strategy.place(input)).primaries).toEqual([10, 10, 10, 10])
  })
})

describe('what breaks the contract is refused with KAGAMI_BAD_OPTION, naming the option', () => {
  const good = { members: [member('a')], tokens: [token('t')] }
  const refusals: [string, unknown][] = [
    ['members', { ...good, members: [member('a'), member('b'), member('a')] }],
    ['members', { ...good, members: undefined }],
    ['members[].node', { ...good, members: [member('')] }],
    ['members[a].capacity', { ...good, members: [member('a', { capacity: 0 })] }],
    ['members[a].capacity', { ...good, members: [member('a', { capacity: Number.NaN })] }],
    ['members[a].capacity', { ...good, members: [member('a', { capacity: Infinity })] }],
    ['members[a].zone', { ...good, members: [{ ...member('a'), zone: 7 }] }],
    ['members[a].draining', { ...good, members: [{ ...member('a'), draining: 'no' }] }],
    ['tokens', { ...good, tokens: [token('t'), token('t')] }],
    ['tokens', { ...good, tokens: 'all' }],
    ['tokens[t].replicas', { ...good, tokens: [token('t', -1)] }],
    ['tokens[t].replicas', { ...good, tokens: [token('t', 1.5)] }],
    ['tokens[t].weight', { ...good, tokens: [token('t', 1, { weight: -1 })] }],
    ['tokens[t].weight', { ...good, tokens: [token('t', 1, { weight: Number.NaN })] }],
    ['tokens[t].current', { ...good, tokens: [{ ...token('t'), current: null }] }],
  ]
  test.each(refusals)('%s', (option, input) => {
    expect(codeAndOption(() => strategy.place(input as PlacementInput))).toEqual(['KAGAMI_BAD_OPTION', option])
  })

  test('options too', () => {
    const call = (options: object) => codeAndOption(() => evenPlacement(options))
    expect(call({ salt: 5 })).toEqual(['KAGAMI_BAD_OPTION', 'salt'])
    expect(call({ searchSteps: -1 })).toEqual(['KAGAMI_BAD_OPTION', 'searchSteps'])
    expect(call({ slat: 'x' })).toEqual(['KAGAMI_BAD_OPTION', 'slat'])
    expect(() => evenPlacement({ slat: 'x' } as object)).toThrow('there is no option slat; did you mean salt?')
    expect(call(null as unknown as object)).toEqual(['KAGAMI_BAD_OPTION', 'options'])
  })
})

function codeAndOption(call: () => unknown): unknown[] {
  try {
    call()
  } catch (error) {
    if (isKagamiError(error)) return [error.code, error.details['option']]
    throw error
  }
  return []
}
