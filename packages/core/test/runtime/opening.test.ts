/** What is taken for the beginning of an incarnation, by what follows its open frame. */
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import { encodeFrame, type Frame } from '../../src/engine/frame.js'
import { systemSeams } from '../../src/index.js'
import { findOpening } from '../../src/runtime/opening.js'
import { restoreCopy } from '../../src/runtime/restorer.js'
import { Semaphore } from '../../src/runtime/waiting.js'
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
const barrier = (incarnation: number, epoch: number): Frame => ({
  kind: 'barrier',
  token: 'orders',
  incarnation,
  epoch,
  term: 7n,
  timeMs: 1,
})
const data = (incarnation: number, epoch: number): Frame => ({
  kind: 'data',
  token: 'orders',
  incarnation,
  epoch,
  term: 7n,
  firstSeq: 0,
  firstIndex: 9,
  count: 0,
  chain: 1n,
  timeMs: 1,
  body: new Uint8Array(0),
})
const marker: Frame = { kind: 'marker', token: 'orders', incarnation: 3, nonce: 5n, timeMs: 1 }

async function found(...frames: Frame[]): Promise<unknown> {
  const log = memoryCluster().commitLog()
  await log.start({ cluster: 'test', node: 'a', logger, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  for (const frame of frames) await opened.append(encodeFrame(frame), { signal })
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
  expect(await found(open(3), barrier(3, 1), data(3, 1))).toBe('3 at 0: beginning')
  expect(await found(open(3), barrier(3, 2))).toBe('3 at 0: middle')
  expect(await found(open(3), marker, barrier(3, 1))).toBe('3 at 0: middle')
  // What was in force before it can't be, if it were the first.
  expect(await found(open(3), data(3, 1))).toBe('begun')
})

test('a newer incarnation, and one that has ended', async () => {
  expect(await found(open(5), barrier(5, 2))).toBe('5 at 0: middle')
  expect(await found(open(3), open(4, true))).toBe('3 at 0: beginning')
  expect(await found(open(4, true))).toBe('4 at 0: beginning')
})

/** Whether a copy begins with the log's open frame while the snapshots can't be listed. */
async function believed(assignedEpoch: number, ...frames: Frame[]): Promise<boolean> {
  const world = memoryCluster()
  const [log, store] = [world.commitLog(), world.snapshotStore()]
  for (const adapter of [log, store]) await adapter.start({ cluster: 'test', node: 'a', logger, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  for (const frame of frames) await opened.append(encodeFrame(frame), { signal })
  world.snapshots.cut()
  const { clock, random } = systemSeams()
  const end = new AbortController()
  const restored = restoreCopy({
    token: 'orders',
    incarnation: 3,
    assignedEpoch: () => assignedEpoch,
    log: opened,
    store,
    newMachine: () => new Ledger(),
    clock,
    random,
    logger,
    retryMs: { first: 1, longest: 1 },
    patienceMs: 0,
    maxBatchBytes: 65_536,
    stallTimeoutMs: 10_000,
    places: new Semaphore(1),
    onProgress: quiet,
    onHindered: () => end.abort(new Error('it waits for the store')),
    signal: end.signal,
  })
  const outcome = await restored.then(
    () => true,
    (error: unknown) => (end.signal.aborted ? false : Promise.reject(error as Error)),
  )
  for (const adapter of [log, store]) await adapter.stop()
  return outcome
}

test('while snapshots can not be listed, an open frame is believed only where there can be none', async () => {
  expect(await believed(1, open(3))).toBe(true)
  expect(await believed(2, open(3), barrier(3, 1))).toBe(true)
  expect(await believed(2, open(3))).toBe(false)
  expect(await believed(2, open(3), barrier(3, 2))).toBe(false)
  expect(await believed(1, open(3), marker)).toBe(false)
})
