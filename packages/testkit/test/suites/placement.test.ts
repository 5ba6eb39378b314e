import { describe, it } from 'vitest'
import { placementSuite } from '../../src/suites/placement.js'
import { expectCaught, outcomes } from '../collect.js'
import { allStrategies } from '../doubles/catalogue.js'
import { plainStrategy } from '../strategy.js'

describe('a plain strategy', () => {
  const capabilities = { even: false, zones: true, fewestMoves: false }
  placementSuite({ describe, it }, { setup: plainStrategy, capabilities })
})

describe('the suite of PlacementStrategy catches a strategy that', () => {
  const capabilities = { even: true, zones: true, fewestMoves: true }
  for (const { fault, make, caught } of allStrategies) {
    it(fault, { timeout: 30_000 }, async () => {
      expectCaught(await outcomes((runner) => placementSuite(runner, { setup: make, capabilities }), caught), caught)
    })
  }
})
