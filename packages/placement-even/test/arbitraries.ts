/** Random inputs for property tests, with a fixed seed that is printed, so that a failure can be run again. */
import fc from 'fast-check'
import type { PlacementInput, PlacementMember, PlacementToken } from '@kagami/core/contract'

export const SEED = 20_261_123
console.log(`property tests run with seed ${SEED}`)

/** Checks a property on `runs` inputs, and that it was checked on all of them. */
export function check<T>(arbitrary: fc.Arbitrary<T>, runs: number, property: (value: T) => void): void {
  let checked = 0
  fc.assert(
    fc.property(arbitrary, (value) => {
      property(value)
      checked++
    }),
    { seed: SEED, numRuns: runs },
  )
  if (checked < runs) throw new Error(`only ${checked} of ${runs} inputs were checked`)
}

export interface Shape {
  readonly nodes?: number
  readonly tokens?: number
  readonly replicas?: number
  /** One number of replicas for all tokens. */
  readonly uniform?: boolean
  readonly zones?: boolean
  readonly draining?: boolean
  readonly excluded?: boolean
  readonly forced?: boolean
  readonly capacities?: boolean
  readonly weights?: boolean
  /** Tokens have no present placement. */
  readonly fresh?: boolean
}

export function inputs(shape: Shape = {}): fc.Arbitrary<PlacementInput> {
  const { nodes = 5, tokens = 6, replicas = 2 } = shape
  const names = Array.from({ length: nodes }, (_, i) => `n${i}`)
  const everywhere = [...names, 'gone1', 'gone2']
  const someNode = fc.constantFrom(...everywhere)
  const memberOf = (node: string): fc.Arbitrary<PlacementMember> =>
    fc
      .record({
        zone: shape.zones === true ? fc.constantFrom(undefined, 'a', 'b', 'c') : fc.constant(undefined),
        draining: shape.draining === true ? fc.constantFrom(false, false, false, true) : fc.constant(false),
        capacity: shape.capacities === true ? fc.constantFrom(0.5, 1, 2, 3, 7) : fc.constant(1),
      })
      .map(({ zone, ...rest }) => (zone === undefined ? { node, ...rest } : { node, zone, ...rest }))
  const currentOf =
    shape.fresh === true
      ? fc.constant({ primary: null, replicas: [] })
      : fc
          .tuple(fc.boolean(), fc.subarray(everywhere, { maxLength: replicas + 2 }), fc.nat(1000))
          .map(([orphan, found, turn]) => {
            const at = [...found.slice(turn % (found.length + 1)), ...found.slice(0, turn % (found.length + 1))]
            return { primary: orphan ? null : (at[0] ?? null), replicas: orphan ? at : at.slice(1) }
          })
  const tokenOf = (i: number, uniform: number): fc.Arbitrary<PlacementToken> =>
    fc
      .record({
        replicas: shape.uniform === true ? fc.constant(uniform) : fc.nat(replicas),
        weight: shape.weights === true ? fc.constantFrom(0.1, 1, 2, 3.7, 10) : fc.constant(1),
        current: currentOf,
        pinned: shape.forced === true ? fc.option(someNode, { nil: undefined, freq: 3 }) : fc.constant(undefined),
        preferred: shape.forced === true ? fc.option(someNode, { nil: undefined, freq: 3 }) : fc.constant(undefined),
        excluded:
          shape.excluded === true
            ? fc.option(fc.subarray(everywhere, { maxLength: 3 }), { nil: undefined })
            : fc.constant(undefined),
      })
      .map(({ replicas, weight, current, pinned, preferred, excluded }) => ({
        token: `t${i}`,
        replicas,
        weight,
        current,
        ...(pinned === undefined ? {} : { pinned }),
        ...(preferred === undefined ? {} : { preferred }),
        ...(excluded === undefined ? {} : { excluded }),
      }))
  return fc
    .tuple(fc.subarray(names, { minLength: 1 }), fc.integer({ min: 1, max: tokens }), fc.nat(replicas))
    .chain(([present, count, uniform]) =>
      fc.record({
        members: fc.tuple(...present.map(memberOf)),
        tokens: fc.tuple(...Array.from({ length: count }, (_, i) => tokenOf(i, uniform))),
      }),
    )
}
