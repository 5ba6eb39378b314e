/** One seeded stream of numbers, from which every choice of a run is drawn. Never anything else: a second source would break replay. */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import type { Random } from '@kagami/core/contract'

export class Chance implements Random {
  readonly #generator

  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed)
  }

  /** A uniform number of [0, 1). */
  fraction(): number {
    return uniformFloat64(this.#generator)
  }

  uint64(): bigint {
    const high = BigInt(this.#generator.next() >>> 0)
    return (high << 32n) | BigInt(this.#generator.next() >>> 0)
  }

  /** A whole number of [0, below). */
  below(below: number): number {
    return uniformInt(this.#generator, 0, below - 1)
  }

  between(low: number, high: number): number {
    return low + this.fraction() * (high - low)
  }

  happens(probability: number): boolean {
    return probability > 0 && this.fraction() < probability
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[this.below(list.length)]
  }
}
