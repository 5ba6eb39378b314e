/** The strategy of simulated clusters keeps the contract, so that a broken promise is not its own. */
import { placementSuite } from '@kagami/testkit'
import { describe, it } from 'vitest'
import { simPlacement } from '../src/load/placement.js'

const capabilities = { even: false, zones: true, fewestMoves: false }
placementSuite({ describe, it }, { setup: simPlacement, capabilities })
