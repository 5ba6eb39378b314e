/** The suite that every placement strategy passes. */
import { placementSuite } from '@kagami/testkit'
import { describe, it } from 'vitest'
import { evenPlacement } from '../src/index.js'

placementSuite(
  { describe, it },
  { setup: () => evenPlacement(), capabilities: { even: true, zones: true, fewestMoves: true } },
)
