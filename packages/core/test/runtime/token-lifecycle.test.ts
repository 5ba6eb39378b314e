/** The controller's work on one token, against a log that may say something else than the documents. */
import { memoryCluster } from '@kagami/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CommitLog, SnapshotStore, TokenLog } from '../../src/contract/index.js'
import { knownEntries, type Assignment } from '../../src/engine/documents.js'
import { decodeFrame, encodeFrame, type DecodedFrame, type Frame } from '../../src/engine/frame.js'
import {
  beginIncarnation,
  cleanUp,
  endIncarnation,
  isDead,
  openIncarnation,
  type LifecycleContext,
} from '../../src/runtime/token-lifecycle.js'
import { systemClock } from '../../src/runtime/system-seams.js'
import { SPEC } from '../engine/scenario.js'
import { metaOf } from '../engine/snapshots.js'
import { delegate } from './harness.js'

const { signal } = new AbortController()
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const nothing = { inUse: new Set<string>(), held: new Set<string>(), holders: [] }

let world: ReturnType<typeof memoryCluster>
let log: CommitLog
let store: SnapshotStore
let context: LifecycleContext
let opened: TokenLog
let assignment: Assignment

beforeEach(async () => {
  world = memoryCluster()
  log = world.commitLog()
  store = world.snapshotStore()
  for (const adapter of [log, store]) await adapter.start({ cluster: 'test', node: 'a', logger, signal })
  context = { log, store, clock: systemClock(), signal }
  const address = await log.allocate('orders', new Set(), { signal })
  opened = await log.open(address, { token: 'orders', signal })
  assignment = {
    token: 'orders',
    incarnation: 1,
    phase: 'opening',
    log: { address, identity: opened.identity },
    epoch: 0,
    reached: { incarnation: 1, index: 0 },
    primary: null,
    replicas: [],
    snapshotter: null,
    handoverGivenUp: null,
  }
})

afterEach(async () => {
  for (const adapter of [log, store]) await adapter.stop()
})

async function append(...frames: Frame[]): Promise<void> {
  for (const frame of frames) await opened.append(encodeFrame(frame), { signal })
}

const open = (incarnation: number, deleted = false, token = 'orders'): Frame => ({
  kind: 'open',
  token,
  incarnation,
  deleted,
  ...assignment.log,
  timeMs: 1,
})

const barrier = (incarnation: number, epoch: number): Frame => ({
  kind: 'barrier',
  token: 'orders',
  incarnation,
  epoch,
  term: 7n,
  nextIndex: 0,
  timeMs: 1,
})

function frames(): DecodedFrame[] {
  return world.logs.records(assignment.log.address).map(({ bytes }) => decodeFrame(bytes))
}

test('opening writes a frame that names the log, and the assignment is open once it was read back', async () => {
  expect(await openIncarnation(context, assignment)).toEqual({ ...assignment, phase: 'open' })
  expect(frames()).toMatchObject([{ kind: 'open', incarnation: 1, deleted: false, ...assignment.log }])
  // Its answer may have been lost.
  expect(await openIncarnation(context, assignment)).toEqual({ ...assignment, phase: 'open' })
})

test.each([
  ['and another record is in its place', true],
  ['and nothing is in its place', false],
])(
  'an open frame that the log has lost, though it acknowledged it, %s, opens nothing: it is written again',
  async (_, filled) => {
    let loses = true
    const forgetful = delegate<CommitLog>(log, {
      open: async (...call: Parameters<CommitLog['open']>) => {
        const own = await log.open(...call)
        return delegate<TokenLog>(own, {
          append: async (...record: Parameters<TokenLog['append']>) => {
            const offset = await own.append(...record)
            if (loses) {
              world.logs.loseTail(own.address, 1)
              if (filled) await append({ kind: 'marker', token: 'orders', incarnation: 1, nonce: 1n, timeMs: 1 })
            }
            return offset
          },
        })
      },
    })
    const lost = openIncarnation({ ...context, log: forgetful }, assignment)
    await expect(lost).rejects.toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL', retryable: true })
    loses = false
    expect(await openIncarnation({ ...context, log: forgetful }, assignment)).toEqual({ ...assignment, phase: 'open' })
  },
)

test('a log in which another token lives by then is not this one’s: it needs another', async () => {
  await append(open(1, false, 'other'))
  expect(await openIncarnation(context, assignment)).toBeUndefined()
  await append(open(2, true, 'other'))
  const late = await beginIncarnation(context, SPEC, undefined, nothing)
  expect(late).toMatchObject({ incarnation: 3, phase: 'opening' })
  expect(late.log.address).not.toBe(assignment.log.address)
})

test('an incarnation that was only opened is not begun again where a newer one has ended elsewhere', async () => {
  await append(open(5), open(6, true))
  const address = await log.allocate('orders', new Set([assignment.log.address]), { signal })
  const other = await log.open(address, { token: 'orders', signal })
  await other.append(encodeFrame({ ...open(3), address, identity: other.identity } as Frame), { signal })
  await other.close()
  expect(await beginIncarnation(context, SPEC, undefined, nothing)).toMatchObject({ incarnation: 7, phase: 'opening' })
})

test('one that was only opened goes before an older life of which only late frames are left, and before no other', async () => {
  const address = await log.allocate('orders', new Set([assignment.log.address]), { signal })
  const other = await log.open(address, { token: 'orders', signal })
  await append(barrier(3, 1))
  await other.append(encodeFrame({ ...open(5), address, identity: other.identity } as Frame), { signal })
  expect(await beginIncarnation(context, SPEC, undefined, nothing)).toMatchObject({ incarnation: 5, phase: 'open' })
  // A snapshot makes it one that can be restored.
  await store.create(metaOf({ incarnation: 3, log: assignment.log }), one(), { signal })
  expect(await beginIncarnation(context, SPEC, undefined, nothing)).toMatchObject({ incarnation: 3, epoch: 1 })
  await store.delete('orders', metaOf({}).id, { signal })
  await append(barrier(7, 1))
  expect(await beginIncarnation(context, SPEC, undefined, nothing)).toMatchObject({ incarnation: 7, epoch: 1 })
  await other.close()
})

test('an incarnation is dead where its open frame came after another token’s, and nothing was ever written in it', async () => {
  const alive = { ...assignment, phase: 'open', epoch: 2 } as const
  await append(open(1))
  expect(await isDead(context, alive)).toBe(false)
  await append(open(1, false, 'other'), open(1))
  expect(await isDead(context, alive)).toBe(false)
  await opened.truncate(1n, { signal })
  expect(await isDead(context, alive)).toBe(true)
  await store.create(metaOf({ incarnation: 1 }), one(), { signal })
  expect(await isDead(context, alive)).toBe(false)
  await store.delete('orders', metaOf({}).id, { signal })
  await append(barrier(1, 2))
  expect(await isDead(context, alive)).toBe(false)
})

test('a log that was deleted and created anew is not opened', async () => {
  world.logs.recreate(assignment.log.address)
  await expect(openIncarnation(context, assignment)).rejects.toMatchObject({ code: 'KAGAMI_LOG_REPLACED' })
  expect(frames()).toEqual([])
})

test('an incarnation that the log has ended is not opened', async () => {
  await append(open(1), open(2, true))
  expect(await openIncarnation(context, assignment)).toMatchObject({ incarnation: 2, phase: 'deleted' })
})

test('ending appends the end, and says so once it counts', async () => {
  await append(open(1), barrier(1, 1))
  const ended = await endIncarnation(context, { ...assignment, phase: 'deleting', epoch: 1 })
  expect(ended).toMatchObject({ incarnation: 2, phase: 'deleted' })
  expect(frames().at(-1)).toMatchObject({ kind: 'open', incarnation: 2, deleted: true })
})

test('S1: an end that comes after a newer incarnation ends nothing: the assignment becomes what the log says', async () => {
  await append(open(1), barrier(1, 1), open(2, true), open(3), barrier(3, 4))
  const found = await endIncarnation(context, { ...assignment, phase: 'deleting', epoch: 1 })
  expect(found).toMatchObject({ incarnation: 3, epoch: 4, phase: 'open', primary: null })
})

test('S1, S8: a log is not released where it holds a newer incarnation than the one that has ended', async () => {
  await append(open(1), barrier(1, 1), open(2, true), open(3), barrier(3, 4))
  await store.create(metaOf({ id: 'new', incarnation: 3 }), one(), { signal })
  const found = await cleanUp(context, { ...assignment, incarnation: 2, phase: 'deleted' })
  expect(found).toMatchObject({ incarnation: 3, epoch: 4, phase: 'open' })
  expect(frames()).toHaveLength(5)
  expect(await store.list('orders', { signal })).toHaveLength(1)
})

test("cleaning up drops the log and the snapshots of what has ended, and leaves a neighbour's records", async () => {
  await append(open(1), barrier(1, 1), open(2, true), open(1, false, 'other'))
  await store.create(metaOf({ id: 'old', incarnation: 1 }), one(), { signal })
  const gone = await cleanUp(context, { ...assignment, incarnation: 2, phase: 'deleted' })
  expect(gone).toMatchObject({ incarnation: 2, phase: 'gone' })
  expect(frames()).toMatchObject([{ token: 'other' }])
  expect(await store.list('orders', { signal })).toEqual([])
})

test("cleaning up leaves a log alone that is not the token's any more", async () => {
  const before = { ...assignment, incarnation: 2, phase: 'deleted' } as const
  world.logs.recreate(assignment.log.address)
  opened = await log.open(assignment.log.address, { token: 'orders', signal })
  await append(open(1))
  expect(await cleanUp(context, before)).toMatchObject({ phase: 'gone' })
  expect(frames()).toHaveLength(1)
})

test('a token without an assignment gets a new log only where nothing of it is left', async () => {
  const begun = await beginIncarnation(context, SPEC, undefined, nothing)
  expect(begun).toMatchObject({ incarnation: 1, phase: 'opening', epoch: 0 })
  await append(open(1), barrier(1, 5))
  const found = await beginIncarnation(context, SPEC, undefined, { ...nothing, holders: ['b'] })
  expect(found).toMatchObject({ incarnation: 1, phase: 'open', epoch: 5, log: assignment.log, replicas: ['b'] })
})

test('a snapshot alone shows that a token lived, and in which log', async () => {
  const elsewhere = { address: 'log-9', identity: 'uuid-9' }
  await store.create(metaOf({ incarnation: 3, epoch: 2, log: elsewhere }), one(), { signal })
  const found = await beginIncarnation(context, SPEC, undefined, nothing)
  expect(found).toMatchObject({ incarnation: 3, phase: 'open', epoch: 2, log: elsewhere })
})

test('an incarnation that has ended is not begun again: the next one is above it', async () => {
  await append(open(1), barrier(1, 5), open(2, true))
  const begun = await beginIncarnation(context, SPEC, undefined, nothing)
  expect(begun).toMatchObject({ incarnation: 3, phase: 'opening', epoch: 0 })
  expect(begun.log.address).not.toBe(assignment.log.address)
})

test('a token that is to be removed, and of which nothing is left, is gone', async () => {
  const begun = await beginIncarnation(context, { ...SPEC, generation: 2, removed: true }, undefined, nothing)
  expect(begun).toMatchObject({ incarnation: 4, phase: 'gone' })
})

async function* one(): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from('state'))
}

test('what a log was known to hold of an incarnation is not asked of a newer one that it shows', async () => {
  await append(open(1), open(2, true), open(3), barrier(3, 1))
  const gone = { ...assignment, incarnation: 2, phase: 'deleted', reached: { incarnation: 1, index: 20 } } as const
  const next = await cleanUp(context, gone)
  expect(next).toMatchObject({ incarnation: 3, phase: 'open' })
  expect(knownEntries(next)).toBe(0)
})
