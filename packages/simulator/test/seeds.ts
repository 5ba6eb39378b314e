/** Runs a range of seeds and adds up what happened in them. */
import { simulate, type SimulateOptions, type SimulateResult } from '../src/index.js'

export interface SeedsResult {
  readonly broken: readonly string[]
  readonly sums: Readonly<Record<string, number>>
}

export async function runSeeds(
  from: number,
  count: number,
  options: Omit<SimulateOptions, 'seed'> = {},
): Promise<SeedsResult> {
  const broken: string[] = []
  const sums: Record<string, number> = {}
  for (let seed = from; seed < from + count; seed++) {
    const result = await simulate({ seed, ...options })
    for (const [name, value] of Object.entries(result.counts)) sums[name] = (sums[name] ?? 0) + value
    if (result.violations.length > 0) broken.push(told(result))
  }
  return { broken, sums }
}

/** The first seed that breaks a promise, which, and how; undefined when none of them does. */
export async function firstBroken(
  from: number,
  count: number,
  options: Omit<SimulateOptions, 'seed'>,
): Promise<{ readonly seed: number; readonly promise: string; readonly message: string } | undefined> {
  for (let seed = from; seed < from + count; seed++) {
    const [first] = (await simulate({ seed, ...options })).violations
    if (first !== undefined) return { seed, promise: first.promise, message: first.message }
  }
  return undefined
}

function told({ seed, violations }: SimulateResult): string {
  const [first] = violations
  return `seed ${seed}: ${first?.promise} at ${first?.atMs.toFixed(1)} ms: ${first?.message}`
}
