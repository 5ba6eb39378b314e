/** Chance that a seed repeats, and YCSB's scrambled Zipfian choice: few keys are popular, and they lie anywhere. */

/** A stream of numbers of [0, 1): mulberry32. */
export function randomStream(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** YCSB's constant. */
const THETA = 0.99

/**
 * Draws ranks of [0, items): rank 0 the most often, by Gray et al., "Quickly generating billion-record synthetic databases" (1994),
 * as YCSB does.
 */
export function zipfian(items: number, random: () => number): () => number {
  let zeta = 0
  for (let i = 1; i <= items; i++) zeta += 1 / i ** THETA
  const zetaOfTwo = 1 + 0.5 ** THETA
  const alpha = 1 / (1 - THETA)
  const eta = (1 - (2 / items) ** (1 - THETA)) / (1 - zetaOfTwo / zeta)
  return () => {
    const u = random()
    if (u * zeta < 1 || items === 1) return 0
    if (u * zeta < zetaOfTwo) return 1
    return Math.min(items - 1, Math.floor(items * (eta * u - eta + 1) ** alpha))
  }
}

/** Spreads ranks over the keys, so that popular keys are not neighbours. */
export function scramble(rank: number, items: number): number {
  let hash = 0x811c9dc5
  for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((rank >>> shift) & 0xff), 0x01000193) >>> 0
  return hash % items
}
