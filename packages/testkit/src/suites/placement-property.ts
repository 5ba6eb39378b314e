/** What the suite of placement strategies is told of them, and what a case of it checks. */
import type { PlacementInput, PlacementStrategy } from '@kagami/core/contract'
import type { GeneratorOptions } from './placement-inputs.js'

/** What a strategy promises beyond the contract. */
export interface PlacementCapabilities {
  /**
   * With equal capacities and weights and without zones, pins and exclusions, the copies per node, and the primaries per node,
   * differ by at most one.
   */
  readonly even: boolean
  /** No two copies of a token in one zone while another zone has room. */
  readonly zones: boolean
  /** A join or a leave moves no more copies than evenness asks for. */
  readonly fewestMoves: boolean
}

/** Runs a check on many random inputs; a failure names the seed that makes it again. */
export type Property = (
  name: string,
  options: GeneratorOptions,
  check: (input: PlacementInput, strategy: PlacementStrategy, seed: number) => void,
) => void
