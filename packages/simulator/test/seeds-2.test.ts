/** Half of the thousand seeds; the other half runs beside it, in a process of its own. */
import { expect, test } from 'vitest'
import { expectEverythingHappened } from './expected.js'
import { runSeeds } from './seeds.js'

test(
  'S1 to S10 hold, and the cluster recovers, in 500 runs with every kind of fault',
  { timeout: 600_000 },
  async () => {
    const { broken, sums } = await runSeeds(501, 500, { seconds: 14 })
    expect(broken).toEqual([])
    expectEverythingHappened(sums)
  },
)
