/** What is taken for the beginning of an incarnation, by what follows its open frame. */
import { Readable } from 'node:stream'
import type { SnapshotStore } from '@kagami/core/contract'
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import { admit, emptyState } from '../../src/engine/admission.js'
import { encodeFrame, type Frame } from '../../src/engine/frame.js'
import { systemSeams } from '../../src/index.js'
import { findOpening } from '../../src/runtime/opening.js'
import { Listings } from '../../src/runtime/listings.js'
import { restoreCopy } from '../../src/runtime/restorer.js'
import { Stillness } from '../../src/runtime/stillness.js'
import { Turns } from '../../src/runtime/turns.js'
import { metaOf } from '../engine/snapshots.js'
import { Ledger } from './harness.js'

const { signal } = new AbortController()
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

const open = (incarnation: number, deleted = false, token = 'orders'): Frame => ({
  kind: 'open',
  token,
  incarnation,
  deleted,
  address: 'log-0',
  identity: 'uuid',
  timeMs: 1,
})
const barrier = (incarnation: number, epoch: number, nextIndex = 0): Frame => ({
  kind: 'barrier',
  token: 'orders',
  incarnation,
  epoch,
  term: 7n,
  nextIndex,
  timeMs: 1,
})
/** In the place of the chain that a frame continues where nothing before it is missing. */
const WHOLE = 1n
const data = (
  incarnation: number,
  epoch: number,
  { firstSeq = 0, firstIndex = 0, term = 7n, chain = WHOLE } = {},
): Frame => ({
  kind: 'data',
  token: 'orders',
  incarnation,
  epoch,
  term,
  firstSeq,
  firstIndex,
  count: 0,
  chain,
  timeMs: 1,
  body: new Uint8Array(0),
})
const marker: Frame = { kind: 'marker', token: 'orders', incarnation: 3, nonce: 5n, timeMs: 1 }

/** The frames as records, in the order in which they are to be read. */
function records(frames: readonly Frame[]): Uint8Array[] {
  const state = emptyState()
  return frames.map((frame) => {
    const whole = frame.kind === 'data' && frame.chain === WHOLE ? { ...frame, chain: state.chain } : frame
    admit(state, 'orders', whole)
    return encodeFrame(whole)
  })
}

async function found(...frames: Frame[]): Promise<unknown> {
  const log = memoryCluster().commitLog()
  await log.start({ cluster: 'test', node: 'a', logger, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  for (const record of records(frames)) await opened.append(record, { signal })
  const range = await opened.range({ signal })
  const search = { token: 'orders', incarnation: 3, range, maxBatchBytes: 65_536 }
  const opening = await findOpening(opened, search, { signal, moved: quiet })
  await log.stop()
  return typeof opening === 'object' ? `${opening.incarnation} at ${opening.offset}: ${opening.follows}` : opening
}

test('nothing of it, or only what came after its beginning', async () => {
  expect(await found()).toBe('none')
  expect(await found(open(1), barrier(1, 4), open(9, false, 'other'), marker)).toBe('none')
  expect(await found(barrier(3, 2), open(3))).toBe('begun')
  expect(await found(data(3, 2), open(3))).toBe('begun')
})

test('an open frame, by what follows it: a late one may stand in the middle', async () => {
  expect(await found(open(1), open(3), open(3))).toBe('3 at 1: nothing')
  expect(await found(open(3), barrier(3, 1))).toBe('3 at 0: first epoch')
  expect(await found(open(3), barrier(3, 2))).toBe('3 at 0: middle')
  expect(await found(open(3), barrier(3, 2), barrier(3, 1))).toBe('3 at 0: middle')
  expect(await found(open(3), marker, barrier(3, 1))).toBe('3 at 0: middle')
  // What was in force before it can't be, if it were the first.
  expect(await found(open(3), data(3, 1))).toBe('begun')
  expect(await found(open(3), barrier(3, 1), data(3, 2))).toBe('begun')
  expect(await found(open(3), barrier(3, 1), data(3, 1, { term: 8n }))).toBe('begun')
})

test('an open frame, by the first entries that count behind it', async () => {
  const late = { firstIndex: 9 }
  for (const between of [[], [marker], [barrier(3, 2), marker]]) {
    const epoch = between.length > 1 ? 2 : 1
    expect(await found(open(3), barrier(3, 1), ...between, data(3, epoch))).toBe('3 at 0: entries')
    expect(await found(open(3), barrier(3, 1), ...between, data(3, epoch, late))).toBe('begun')
    // One that was overtaken comes again, and one of an earlier epoch never counts.
    const stray = [data(3, epoch, { firstSeq: 4, firstIndex: 4 }), data(3, epoch - 1)]
    expect(await found(open(3), barrier(3, 1), ...between, ...stray)).toBe('3 at 0: first epoch')
    expect(await found(open(3), barrier(3, 1), ...between, ...stray, data(3, epoch, late))).toBe('begun')
  }
})

test('a newer incarnation, and one that has ended', async () => {
  expect(await found(open(5), barrier(5, 2))).toBe('5 at 0: middle')
  expect(await found(open(3), open(4, true))).toBe('3 at 0: end')
  expect(await found(open(4, true))).toBe('4 at 0: end')
})

test('an open frame that came late is not the beginning, if what follows rests on more than it shows', async () => {
  expect(await found(open(3), barrier(3, 1), barrier(3, 2, 5))).toBe('begun')
  expect(await found(open(3), barrier(3, 1), barrier(3, 2), data(3, 2))).toBe('3 at 0: entries')
  // Its epoch was the second, of which the first is not there.
  expect(await found(open(3), barrier(3, 2), data(3, 2, { chain: 99n }))).toBe('begun')
})

interface Situation {
  readonly epoch: number
  readonly entries: number
  readonly snapshots: 'out of reach' | 'none' | 'damaged'
  readonly patienceMs?: number
}

/** How long each look at the snapshots takes, on the copy's clock. */
const LOOK_MS = 500

/** How a copy fares that finds no snapshot which it can restore: 'begins' with the log's open frame, 'waits' for the store, or fails with a code. */
async function restoring(situation: Situation, ...frames: Frame[]): Promise<string> {
  return (await restore(situation, ...frames)).outcome
}

/** The same, and how often it has looked. */
async function restore(
  { epoch, entries, snapshots, patienceMs = 0 }: Situation,
  ...frames: Frame[]
): Promise<{ readonly outcome: string; readonly looks: number }> {
  const world = memoryCluster()
  const [log, store] = [world.commitLog(), world.snapshotStore()]
  for (const adapter of [log, store]) await adapter.start({ cluster: 'test', node: 'a', logger, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  for (const record of records(frames)) await opened.append(record, { signal })
  if (snapshots === 'out of reach') world.snapshots.cut()
  if (snapshots === 'damaged') {
    const { address, identity } = opened
    const meta = metaOf({
      token: 'orders',
      incarnation: 3,
      anchor: { offset: '1', checksum: 1 },
      log: { address, identity },
    })
    await store.create(meta, Readable.from([Buffer.from('not what a snapshot holds')]), { signal })
  }
  const { clock, random } = systemSeams()
  let looks = 0
  const looked: SnapshotStore = {
    name: store.name,
    start: (context) => store.start(context),
    stop: () => store.stop(),
    create: (...args) => store.create(...args),
    open: (...args) => store.open(...args),
    delete: (...args) => store.delete(...args),
    list: (...args) => {
      looks += 1
      return store.list(...args)
    },
  }
  const end = new AbortController()
  const restored = restoreCopy({
    token: 'orders',
    incarnation: 3,
    assigned: () => ({ epoch, entries }),
    log: opened,
    store: looked,
    listings: new Listings(looked, clock),
    newMachine: () => new Ledger(),
    clock: { ...clock, monotonicMs: () => looks * LOOK_MS },
    random,
    logger,
    retryMs: { first: 1, longest: 1 },
    patienceMs,
    maxBatchBytes: 65_536,
    stallTimeoutMs: 10_000,
    turns: new Turns(clock, { atOnce: 1, lent: 0, stillMs: 2_000 }),
    stillness: new Stillness(clock),
    onProgress: quiet,
    onHindered: () => end.abort(new Error('it waits for the store')),
    signal: end.signal,
  })
  const outcome = await restored.then(
    () => 'begins',
    (error: { code?: string }) => (end.signal.aborted ? 'waits' : String(error.code)),
  )
  for (const adapter of [log, store]) await adapter.stop()
  return { outcome, looks }
}

const fresh = { epoch: 1, entries: 0 }
const promoted = { epoch: 2, entries: 0 }

test('while snapshots can not be listed, an open frame is believed only where there can be none', async () => {
  const snapshots = 'out of reach' as const
  expect(await restoring({ ...fresh, snapshots }, open(3))).toBe('begins')
  expect(await restoring({ ...promoted, snapshots }, open(3), barrier(3, 1))).toBe('begins')
  expect(await restoring({ ...promoted, snapshots }, open(3), barrier(3, 2), data(3, 2))).toBe('begins')
  // Though there are entries, of which it shows none.
  expect(await restoring({ ...promoted, entries: 5, snapshots }, open(3), barrier(3, 1))).toBe('waits')
  expect(await restoring({ ...promoted, entries: 5, snapshots }, open(3), barrier(3, 2), data(3, 2))).toBe('begins')
  expect(await restoring({ ...promoted, snapshots }, open(3))).toBe('waits')
  expect(await restoring({ ...promoted, snapshots }, open(3), barrier(3, 2))).toBe('waits')
  expect(await restoring({ ...fresh, snapshots }, open(3), marker)).toBe('waits')
})

test('where there are none, it is believed', async () => {
  for (const frames of [[], [marker], [barrier(3, 1)], [barrier(3, 2), marker]])
    expect(await restoring({ ...promoted, snapshots: 'none' }, open(3), ...frames)).toBe('begins')
})

test('S1, S8: where there are some, of which none can be restored, it is believed only with its first entries', async () => {
  const snapshots = 'damaged' as const
  for (const frames of [
    [barrier(3, 1)],
    [barrier(3, 2)],
    [barrier(3, 2), barrier(3, 3), marker],
    [marker, barrier(3, 4)],
  ]) {
    expect(await restoring({ ...promoted, snapshots }, open(3), ...frames)).toBe('KAGAMI_LOG_GAP')
    const epoch = Math.max(...frames.map((frame) => (frame.kind === 'barrier' ? frame.epoch : 0)))
    expect(await restoring({ ...promoted, snapshots }, open(3), ...frames, data(3, epoch))).toBe('begins')
  }
})

test('a log that shows nothing of the incarnation is asked again for two seconds, one that shows its middle once', async () => {
  const none = { ...promoted, snapshots: 'none', patienceMs: 60_000 } as const
  expect(await restore(none)).toEqual({ outcome: 'KAGAMI_LOG_GAP', looks: 2000 / LOOK_MS })
  expect(await restore(none, open(2), barrier(2, 1))).toEqual({ outcome: 'KAGAMI_LOG_GAP', looks: 2000 / LOOK_MS })
  expect(await restore(none, barrier(3, 2), data(3, 2))).toEqual({ outcome: 'KAGAMI_LOG_GAP', looks: 2 })
})
