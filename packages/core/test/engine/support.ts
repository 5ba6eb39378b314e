/** What the engine's tests share: properties with a fixed seed that prove they ran, and errors by code. Never a rule of the protocol. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { isKagamiError } from '../../src/contract/index.js'

const SEED = 20_261_123

/** Checks a property on `runs` samples, the same ones each time, and that it was in fact asked that often. */
export function forAll<T>(arbitrary: fc.Arbitrary<T>, runs: number, check: (value: T) => void): void {
  let asked = 0
  const property = fc.property(arbitrary, (value) => {
    asked += 1
    check(value)
  })
  fc.assert(property, { seed: SEED, numRuns: runs })
  expect(runs).toBeGreaterThan(0)
  expect(asked).toBe(runs)
}

/** The code of the Kagami error that `work` throws; 'nothing' when it throws none, the error itself when it is another. */
export function codeOf(work: () => unknown): unknown {
  try {
    work()
    return 'nothing'
  } catch (error) {
    return isKagamiError(error) ? error.code : error
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Hex with spaces and line breaks, so that fields can stand apart. */
export function fromHex(...parts: readonly string[]): Buffer {
  return Buffer.from(parts.join('').replaceAll(/\s/g, ''), 'hex')
}

/** Counts how often each case of a random test was met, so that a test can show that it met all of them. */
export class Tally {
  readonly #counts = new Map<string, number>()

  add(key: string, by = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + by)
  }

  get(key: string): number {
    return this.#counts.get(key) ?? 0
  }

  /** Fails unless each of these was met. */
  expectAll(...keys: readonly string[]): void {
    expect(keys.filter((key) => this.get(key) === 0)).toEqual([])
  }
}
