/** A runner that collects what a suite registers, runs it, and gives the outcome of each case. */
import { expect } from 'vitest'
import type { SuiteRunner } from '../src/suites/runner.js'

/** How many cases run at once: they wait more than they work. */
const atOnce = 16

/** The error of each case by its name, undefined where it passed. Of the cases that begin with one of `names`, or of all. */
export async function outcomes(
  register: (runner: SuiteRunner) => void,
  names?: readonly string[],
): Promise<ReadonlyMap<string, Error | undefined>> {
  const cases: { readonly name: string; readonly body: () => Promise<void> }[] = []
  register({
    describe: (_name, body) => body(),
    it: (name, body) => {
      if (names?.some((begin) => name.startsWith(begin)) !== false) cases.push({ name, body })
    },
  })
  const results = new Map<string, Error | undefined>()
  let next = 0
  const work = async (): Promise<void> => {
    while (next < cases.length) {
      const { name, body } = cases[next++]!
      await body().then(
        () => results.set(name, undefined),
        (error: unknown) => results.set(name, error instanceof Error ? error : new Error(String(error))),
      )
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return results
}

/** Expects each of these names to be the beginning of one case, and that case to have failed. */
export function expectCaught(results: ReadonlyMap<string, Error | undefined>, names: readonly string[]): void {
  for (const name of names) {
    const found = [...results.keys()].filter((title) => title.startsWith(name))
    expect(found, `one case begins with "${name}"`).toHaveLength(1)
    expect(results.get(found[0]!), `the case "${found[0]}" should have failed`).toBeInstanceOf(Error)
  }
}
