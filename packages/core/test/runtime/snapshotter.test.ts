/** When one copy takes its snapshots, and what they are called: the snapshotter alone, with a clock and chance that the test sets. */
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import type { SnapshotStore, TokenLog } from '../../src/contract/index.js'
import { emptyState } from '../../src/engine/admission.js'
import { systemSeams } from '../../src/index.js'
import { Events } from '../../src/runtime/events.js'
import { Snapshotter } from '../../src/runtime/snapshotter.js'
import type { VerifiedRecord } from '../../src/runtime/verified-record.js'
import { Turns } from '../../src/runtime/turns.js'
import { Ledger } from './harness.js'

const { signal } = new AbortController()
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const log = { address: 'log-1', identity: 'uuid-1', truncate: () => Promise.resolve() } as unknown as TokenLog

async function started(): Promise<SnapshotStore> {
  const store = memoryCluster().snapshotStore()
  await store.start({ cluster: 'test', node: 'a', logger, signal })
  return store
}

/** The snapshotter of a copy that stands at entry 10. Chance says what it is given, in order. */
interface Own {
  readonly member?: string
  readonly nonces?: bigint[]
  readonly fractions?: number[]
  readonly turns?: Turns
}

function snapshotter(store: SnapshotStore, own: Own) {
  const { member = 'a.1', nonces = [], fractions = [] } = own
  const { clock, metrics } = systemSeams()
  let nowMs = 0
  const made = new Snapshotter({
    token: 'orders',
    member: () => member,
    store,
    verified: { add: () => Promise.resolve(new Set()) } as unknown as VerifiedRecord,
    turns: own.turns ?? new Turns(clock, { atOnce: 1, lent: 0, stillMs: 2_000 }),
    cadence: { everyEntries: 1000, everyBytes: 1000, everyMs: 1000 },
    keep: 2,
    stallTimeoutMs: 10_000,
    clock: { ...clock, monotonicMs: () => nowMs },
    random: { uint64: () => nonces.shift() ?? 0n, fraction: () => fractions.shift() ?? 0 },
    logger,
    metrics,
    events: new Events(logger),
    mayTake: () => true,
    capture: () => ({
      snapshot: new Ledger().snapshot(),
      state: { ...emptyState(), incarnation: 1, epoch: 1, term: 7n, nextIndex: 10 },
      anchor: { offset: 12n, checksum: 1 },
      log,
      schemaVersion: 0,
    }),
    signal,
  })
  /** Whether one is due at a moment. */
  const dueAt = (atMs: number): boolean => {
    nowMs = atMs
    return made.due()
  }
  return { made, dueAt }
}

test('the time between snapshots is longer by a share that chance says, and says anew for each', async () => {
  const store = await started()
  const { made, dueAt } = snapshotter(store, { fractions: [0.5, 0.25] })
  made.applied(1, 10)
  expect([dueAt(1099), dueAt(1100)]).toEqual([false, true])
  await made.take()
  made.applied(1, 10)
  expect([dueAt(1100 + 1049), dueAt(1100 + 1050)]).toEqual([false, true])
  await store.stop()
})

test('S9: two members that capture the same state give it two names, and so does one member that captures it twice', async () => {
  const store = await started()
  const a = snapshotter(store, { member: 'a.1', nonces: [1n, 2n] })
  const b = snapshotter(store, { member: 'b.1', nonces: [1n] })
  for (const { made } of [a, b, a]) await made.take()
  const ids = (await store.list('orders', { signal })).map(({ meta }) => meta.id)
  expect(new Set(ids).size).toBe(3)
  await store.stop()
})

test('a snapshot that comes on says so, and keeps its turn until it is verified', async () => {
  const store = await started()
  const told: string[] = []
  const turn = { moved: () => told.push('moved'), end: () => told.push('end') }
  const turns = { begin: () => Promise.resolve(turn) } as unknown as Turns
  await snapshotter(store, { turns }).made.take()
  const moves = told.filter((each) => each === 'moved').length
  // Chunks of the state and of the blob, those that are read back, and steps of tidying up.
  expect(moves).toBeGreaterThan(4)
  expect(told.indexOf('end')).toBe(moves)
  expect(told).toHaveLength(moves + 1)
  await store.stop()
})
