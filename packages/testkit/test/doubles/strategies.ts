/** Placement strategies with one fault each, and the cases of the suite that must catch it. */
import type {
  Placement,
  PlacementInput,
  PlacementStrategy,
  PlacementTarget,
  PlacementToken,
} from '@kagami/core/contract'
import { copiesOf } from '../../src/suites/placement-rules.js'
import { plainStrategy } from '../strategy.js'

export interface BrokenStrategy {
  readonly fault: string
  readonly make: () => PlacementStrategy
  readonly caught: readonly string[]
}

type Change = (placement: Placement, token: PlacementToken, input: PlacementInput) => Placement

/** The plain strategy, with each placement changed. */
function changed(change: Change): () => PlacementStrategy {
  return () => ({
    name: 'broken',
    place: (input) => {
      const target = plainStrategy().place(input)
      return new Map(input.tokens.map((token) => [token.token, change(target.get(token.token)!, token, input)]))
    },
  })
}

/** The plain strategy, told another input. */
function told(change: (input: PlacementInput) => PlacementInput): () => PlacementStrategy {
  return () => ({ name: 'broken', place: (input) => plainStrategy().place(change(input)) })
}

function tokens(change: (token: PlacementToken) => PlacementToken): () => PlacementStrategy {
  return told((input) => ({ ...input, tokens: input.tokens.map(change) }))
}

function without<K extends keyof PlacementToken>(key: K): (token: PlacementToken) => PlacementToken {
  return (token) => {
    const copy: Record<string, unknown> = { ...token }
    delete copy[key]
    return copy as unknown as PlacementToken
  }
}

const unchanged = 'the target, given as `current`, is returned unchanged'

export const brokenStrategies: readonly BrokenStrategy[] = [
  {
    fault: 'is not sticky: it moves every token on, each time',
    make: changed((placement, { current }, { members }) => {
      if (current.primary === null || members.length < 2) return placement
      const at = members.findIndex(({ node }) => node === current.primary)
      const next = members[(at + 1) % members.length]!.node
      return { primary: next, replicas: placement.replicas.filter((node) => node !== next) }
    }),
    caught: [unchanged],
  },
  {
    fault: 'makes a new object of a placement that stays',
    make: changed((placement) => ({ ...placement })),
    caught: [unchanged, 'a token that stays as it is keeps the `current` object itself'],
  },
  {
    fault: 'puts two copies on one node',
    make: changed((placement) => {
      const { primary, replicas } = placement
      return primary === null || replicas.length === 0
        ? placement
        : { primary, replicas: [primary, ...replicas.slice(1)] }
    }),
    caught: ['no two copies of a token are on one node'],
  },
  {
    fault: 'places a copy too few',
    make: changed((placement) => ({ ...placement, replicas: placement.replicas.slice(1) })),
    caught: [
      'a token has min(1 + replicas, members that may hold it) copies',
      'a node that owns nothing yet is eligible',
    ],
  },
  {
    fault: 'keeps copies where nobody is any more',
    make: changed((placement, { current }) => (current.primary === null ? placement : current)),
    caught: ['copies are on members only', 'a lost primary is replaced', 'after a member has left'],
  },
  {
    fault: 'leaves a token without a primary when it has lost it',
    make: changed((placement, { current }, { members }) => {
      const lost = current.primary !== null && !members.some(({ node }) => node === current.primary)
      return lost ? { primary: null, replicas: placement.replicas } : placement
    }),
    caught: ['a token that has copies has a primary', 'a lost primary is replaced'],
  },
  {
    fault: 'takes nodes that are excluded',
    make: tokens(without('excluded')),
    caught: ['copies are on members only, and never on an excluded one'],
  },
  {
    fault: 'does not know pins',
    make: tokens(without('pinned')),
    caught: ['a pinned primary is where it is pinned'],
  },
  {
    fault: 'does not know preferences',
    make: tokens(without('preferred')),
    caught: ['a preferred primary is where it is preferred'],
  },
  {
    fault: 'does not empty draining nodes',
    make: told((input) => ({ ...input, members: input.members.map((member) => ({ ...member, draining: false })) })),
    caught: ['a draining node holds a copy only where nothing else can'],
  },
  {
    fault: 'takes a draining node for one that is gone',
    make: told((input) => ({ ...input, members: input.members.filter(({ draining }) => !draining) })),
    caught: ['after a member has left, no copy is there, and each token has its copies again'],
  },
  {
    fault: 'does not know zones',
    make: told((input) => ({
      ...input,
      members: input.members.map(({ node, capacity, draining }) => ({ node, capacity, draining })),
    })),
    caught: ['no two copies are in one zone while another zone has room'],
  },
  {
    fault: 'takes all members without a zone for one zone',
    make: told((input) => ({
      ...input,
      members: input.members.map((member) => ({ ...member, zone: member.zone ?? 'none' })),
    })),
    caught: ['members without a zone are each in a zone of their own'],
  },
  {
    fault: 'puts everything on the first nodes, though it claims to be even',
    make: plainStrategy,
    caught: ['from nothing, copies and primaries per node', 'from any placement, copies and primaries per node'],
  },
  {
    fault: 'shuffles everything when a member joins',
    make: changed((placement, { current }, { members }) => {
      if (members.at(-1)?.node !== 'n999' || current.primary === null) return placement
      const last = members.slice(-1 - placement.replicas.length).map(({ node }) => node)
      return { primary: last[0]!, replicas: last.slice(1) }
    }),
    caught: ['a join moves copies to the new member only'],
  },
  {
    fault: 'moves everything when a member leaves',
    make: changed((placement, _token, { members }) => {
      if (members[0]?.node !== 'n001') return placement
      const last = members.toReversed().slice(0, 1 + placement.replicas.length)
      return { primary: last[0]!.node, replicas: last.slice(1).map(({ node }) => node) }
    }),
    caught: ['a leave moves little more than the copies of the lost member'],
  },
  {
    fault: 'is not deterministic',
    make: changed((placement) => {
      const [first] = placement.replicas
      if (first === undefined || placement.primary === null || Math.random() < 0.7) return placement
      return { primary: first, replicas: [placement.primary, ...placement.replicas.slice(1)] }
    }),
    caught: ['the same input gives the same target'],
  },
  {
    fault: 'remembers what it has placed before',
    make: () => {
      const seen = new Map<string, Placement>()
      return {
        name: 'broken',
        place: (input): PlacementTarget => {
          const target = plainStrategy().place(input)
          const nodes = new Set(input.members.map(({ node }) => node))
          return new Map(
            [...target].map(([token, placement]) => {
              const before = seen.get(token)
              seen.set(token, placement)
              const fits = before?.replicas.length === placement.replicas.length && nodes.has(before.primary ?? '')
              return [token, fits ? before : placement]
            }),
          )
        },
      }
    },
    caught: ['the same input gives the same target'],
  },
  {
    fault: 'changes its input',
    make: () => ({
      name: 'broken',
      place: (input) => {
        ;(input.tokens as PlacementToken[]).reverse()
        return plainStrategy().place(input)
      },
    }),
    caught: ['every token of the input has a target', 'the same input gives the same target'],
  },
  {
    fault: 'forgets a token',
    make: () => ({
      name: 'broken',
      place: (input) => new Map([...plainStrategy().place(input)].slice(1)),
    }),
    caught: ['every token of the input has a target, and no other'],
  },
  {
    fault: 'fails without members',
    make: () => ({
      name: 'broken',
      place: (input) => {
        if (input.members.length === 0) throw new Error('no members')
        return plainStrategy().place(input)
      },
    }),
    caught: ['without members every token has a target'],
  },
  {
    fault: 'fails without tokens',
    make: () => ({
      name: 'broken',
      place: (input) => {
        if (input.tokens.length === 0) throw new Error('no tokens')
        return plainStrategy().place(input)
      },
    }),
    caught: ['without tokens there is nothing to place'],
  },
  {
    fault: 'has no name',
    make: () => ({ ...plainStrategy(), name: ' ' }),
    caught: ['a strategy has a name for messages'],
  },
  {
    fault: 'trusts no node that is alone with a primary',
    make: changed((placement, _token, { members }) =>
      members.length === 1 && placement.primary !== null ? { primary: null, replicas: [placement.primary] } : placement,
    ),
    caught: ['the only member gets a token’s primary, and no replica'],
  },
  {
    fault: 'keeps its target in a plain object',
    make: () => ({
      name: 'broken',
      place: (input) => {
        const target: Record<string, Placement> = {}
        for (const [token, placement] of plainStrategy().place(input)) target[token] = placement
        return new Map(Object.entries(target))
      },
    }),
    caught: ['token and node names that are no identifiers'],
  },
  {
    fault: 'places a token anew when its replicas change',
    make: changed((placement, { current }, { members }) => {
      const held = copiesOf(current)
      const copies = copiesOf(placement).length
      const others = members.map(({ node }) => node).filter((node) => !held.includes(node))
      if (held.length === 0 || held.length === copies || others.length < copies) return placement
      return { primary: others[0]!, replicas: others.slice(1, copies) }
    }),
    caught: ['after a change of replicas, each token has its copies again, and keeps those that fit'],
  },
]
