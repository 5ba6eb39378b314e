/** Random inputs for the suite of `PlacementStrategy`: the same seed gives the same input. */
import type { Placement, PlacementInput, PlacementMember, PlacementToken } from '@kagami/core/contract'
import { seededRandom } from './random.js'
import type { SeededRandom } from './random.js'

/** What may occur in an input. Exclusions, weights, capacities and replicas of any number occur unless `plain`. */
export interface GeneratorOptions {
  /** Everything at once. */
  readonly all?: boolean
  readonly pins?: boolean
  readonly preferences?: boolean
  readonly draining?: boolean
  /** 'some': only some members have a zone. */
  readonly zones?: boolean | 'some'
  /** Equal weights, capacities and replicas, no exclusions. */
  readonly plain?: boolean
  /** No token has a copy yet. */
  readonly fresh?: boolean
}

export function generate(seed: number, options: GeneratorOptions): PlacementInput {
  const random = seededRandom(seed * 7919 + 17)
  const members = Array.from({ length: random.between(1, 12) }, (_, i) => memberOf(random, i, options))
  const nodes = members.map(({ node }) => node)
  // Nodes that are gone, but still named by placements, pins and exclusions.
  const known = [...nodes, 'gone-1', 'gone-2']
  const replicas = random.between(0, 3)
  const tokens = Array.from({ length: random.between(1, 40) }, (_, i) => {
    return tokenOf(random, i, { ...options, known, nodes, replicas: options.plain === true ? replicas : undefined })
  })
  return { members, tokens }
}

function memberOf(random: SeededRandom, index: number, options: GeneratorOptions): PlacementMember {
  const zoned = options.zones === true || ((options.zones === 'some' || options.all === true) && random.chance(0.6))
  return {
    node: `n${String(index).padStart(3, '0')}`,
    ...(zoned ? { zone: `z${random.between(1, 4)}` } : {}),
    capacity: options.plain === true ? 1 : random.pick([1, 1, 1, 0.5, 2, 4]),
    draining: (options.draining === true || options.all === true) && random.chance(0.25),
  }
}

interface TokenOptions extends GeneratorOptions {
  readonly known: readonly string[]
  readonly nodes: readonly string[]
  readonly replicas: number | undefined
}

function tokenOf(random: SeededRandom, index: number, options: TokenOptions): PlacementToken {
  const { known, nodes } = options
  const excluded =
    options.plain !== true && random.chance(0.2) ? random.shuffle(known).slice(0, random.between(1, 3)) : []
  const free = nodes.filter((node) => !excluded.includes(node))
  // A pin on an excluded node asks for two things at once; what a strategy then does is its own affair.
  const pinned =
    (options.pins === true || options.all === true) && random.chance(0.3) ? random.pick([...free, 'gone-1']) : undefined
  const wished = (options.preferences === true || options.all === true) && random.chance(0.3)
  const preferred = wished ? random.pick(known) : undefined
  return {
    token: `t${String(index).padStart(4, '0')}`,
    replicas: options.replicas ?? random.between(0, 4),
    weight: options.plain === true ? 1 : random.pick([1, 1, 1, 0.25, 3, 10]),
    ...(pinned === undefined ? {} : { pinned }),
    ...(preferred === undefined ? {} : { preferred }),
    current: options.fresh === true ? { primary: null, replicas: [] } : placementOf(random, known),
    ...(excluded.length > 0 ? { excluded } : {}),
  }
}

function placementOf(random: SeededRandom, known: readonly string[]): Placement {
  if (random.chance(0.2)) return { primary: null, replicas: [] }
  const [first, ...rest] = random.shuffle(known)
  const replicas = rest.slice(0, random.between(0, 4))
  return { primary: random.chance(0.1) ? null : first!, replicas }
}
