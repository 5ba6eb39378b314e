/** Seeded chance for the suites: the same seed gives the same inputs on every machine. Not for secrets. */

export interface SeededRandom {
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** A copy in another order. */
  shuffle<T>(items: readonly T[]): T[]
  bytes(length: number): Uint8Array
}

/** mulberry32: one 32-bit word of state, good enough to vary inputs. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const uint32 = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const fraction = (): number => uint32() / 2 ** 32
  const between = (low: number, high: number): number => low + Math.floor(fraction() * (high - low + 1))
  return {
    between,
    chance: (probability) => fraction() < probability,
    pick: (items) => items[between(0, items.length - 1)]!,
    shuffle: (items) => {
      const copy = [...items]
      for (let i = copy.length - 1; i > 0; i--) {
        const j = between(0, i)
        ;[copy[i], copy[j]] = [copy[j]!, copy[i]!]
      }
      return copy
    },
    bytes: (length) => {
      const bytes = new Uint8Array(length)
      for (let i = 0; i < length; i++) bytes[i] = uint32()
      return bytes
    },
  }
}
