/** Clusters of other shapes than the usual three nodes. */
import { expect, test } from 'vitest'
import { runSeeds } from './seeds.js'

test.each([
  ['one node', { nodes: 1, tokens: 2, seconds: 10 }],
  ['two nodes', { nodes: 2, tokens: 3, seconds: 10 }],
  ['six nodes in three zones', { nodes: 6, tokens: 5, seconds: 10 }],
])('every promise holds with %s', async (_name, shape) => {
  const { broken, sums } = await runSeeds(5000, 15, shape)
  expect(broken).toEqual([])
  expect(sums['acknowledged']).toBeGreaterThan(100)
})
