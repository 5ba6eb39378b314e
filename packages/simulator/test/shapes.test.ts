/** Clusters of other shapes than the usual three nodes. */
import { expect, test } from 'vitest'
import { runSeeds } from './seeds.js'

test.each([
  ['one node', 15, { nodes: 1, tokens: 2, seconds: 10 }],
  ['two nodes', 15, { nodes: 2, tokens: 3, seconds: 10 }],
])('every promise holds with %s', async (_name, seeds, shape) => {
  const { broken, sums } = await runSeeds(5000, seeds, shape)
  expect(broken).toEqual([])
  expect(sums['acknowledged']).toBeGreaterThan(100)
  expect(sums['atRest.handover']).toBeGreaterThan(seeds)
})

test.each([
  ['four nodes', 40, { nodes: 4, tokens: 5, seconds: 10 }],
  ['six nodes', 60, { nodes: 6, tokens: 5, seconds: 10 }],
])(
  'every promise holds with %s in three zones, and S10 of tokens with copies in several',
  async (_name, seeds, shape) => {
    const { broken, sums } = await runSeeds(5000, seeds, shape)
    expect(broken).toEqual([])
    expect(sums['acknowledged']).toBeGreaterThan(100)
    expect(sums['atRest.handover']).toBeGreaterThan(seeds)
    expect(sums['zoned']).toBeGreaterThan(seeds)
  },
)
