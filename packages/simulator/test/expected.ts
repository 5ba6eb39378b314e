/** What must have happened in a large run of seeds, or the run has shown nothing. */
import { expect } from 'vitest'
import { faultKinds } from '../src/index.js'

/** Known not to be healed, and so only where they are asked for. */
const onRequest: readonly string[] = ['deletionsForgotten', 'versionsReused']

export function expectEverythingHappened(sums: Readonly<Record<string, number>>): void {
  const kinds = faultKinds.filter((kind) => !onRequest.includes(kind)).map((kind) => `fault.${kind}`)
  const frames = ['opened', 'barrier', 'data', 'marker', 'duplicate', 'ahead', 'old-epoch', 'old-incarnation'].map(
    (verdict) => `frame.${verdict}`,
  )
  const outcomes = ['acknowledged', 'rejected', 'indeterminate', 'applied-and-failed']
  const events = [
    'promotions',
    'snapshots',
    'truncations',
    'releases',
    'restores',
    'replays',
    'removals',
    'deletions',
    'suspensions',
    'expiries',
    'syncs',
    'served',
  ]
  const calls = ['sync', 'token', 'alter', 'handover', 'remove'].flatMap((kind) => [
    `calls.${kind}`,
    `underWay.${kind}`,
  ])
  const answers = ['sync', 'token', 'handover'].map((kind) => `atRest.${kind}`)
  const missing = [...kinds, ...frames, ...outcomes, ...events, ...calls, ...answers].filter(
    (name) => (sums[name] ?? 0) === 0,
  )
  expect(missing).toEqual([])
}
