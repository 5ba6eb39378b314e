/** What a log tells of a token that nobody remembers, while others work on that log. */
import { Readable } from 'node:stream'
import { memoryCluster } from '@kagami/testkit'
import { describe, expect, test } from 'vitest'
import type { SnapshotStore, TokenLog } from '../../src/contract/index.js'
import { encodeFrame, type Frame } from '../../src/engine/frame.js'
import { findLeftBehind, readHistory, type LeftBehind } from '../../src/runtime/log-history.js'
import { findOpening } from '../../src/runtime/opening.js'
import { metaOf } from '../engine/snapshots.js'
import { delegate } from './harness.js'

const { signal } = new AbortController()
const of = { token: 'orders', timeMs: 1 }

test('a log that is truncated between the look at its bounds and the read is looked at again', async () => {
  const log = memoryCluster().commitLog()
  await log.start({ cluster: 'test', node: 'a', logger: console, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  const { address, identity } = opened
  const frames: Frame[] = [
    { kind: 'open', ...of, incarnation: 3, deleted: false, address, identity },
    { kind: 'barrier', ...of, incarnation: 3, epoch: 4, term: 7n, nextIndex: 0 },
    { kind: 'open', ...of, incarnation: 4, deleted: true, address, identity },
  ]
  const offsets: bigint[] = []
  for (const frame of frames) offsets.push(await opened.append(encodeFrame(frame), { signal }))
  let reads = 0
  const truncated = delegate<TokenLog>(opened, {
    async *read(...from: Parameters<TokenLog['read']>) {
      reads += 1
      if (reads <= 2) await opened.truncate(offsets[reads]!, { signal })
      yield* opened.read(...from)
    },
  })
  expect(await readHistory(truncated, 'orders', { signal })).toMatchObject({ incarnation: 4, deleted: true })
  expect(reads).toBe(3)
  await log.stop()
})

test('what a log does not show now, though its bounds say that it is there, does not count as not being there', async () => {
  const log = memoryCluster().commitLog()
  await log.start({ cluster: 'test', node: 'a', logger: console, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  const { address, identity } = opened
  const open: Frame = { kind: 'open', ...of, incarnation: 3, deleted: false, address, identity }
  await opened.append(encodeFrame(open), { signal })
  let stale = 0
  /** A reader that lags behind for so many looks. */
  const lagging = (looks: number): TokenLog =>
    delegate<TokenLog>(opened, {
      async *read(...from: Parameters<TokenLog['read']>) {
        for (stale = 0; stale < looks; stale++) yield { records: [], next: from[0], end: from[0] }
        yield* opened.read(...from)
      },
    })
  expect(await readHistory(lagging(3), 'orders', { signal })).toMatchObject({ incarnation: 3, begins: true })
  await expect(readHistory(lagging(1_000), 'orders', { signal })).rejects.toMatchObject({
    code: 'KAGAMI_LOG_UNAVAILABLE',
    retryable: true,
  })
  expect(stale).toBeLessThan(10)
  // Nor where a copy looks for the frame that it begins with.
  const search = { token: 'orders', incarnation: 3, range: await opened.range({ signal }), maxBatchBytes: 1000 }
  const movement = { signal, moved: () => undefined }
  expect(await findOpening(lagging(3), search, movement)).toMatchObject({ incarnation: 3, follows: 'nothing' })
  await expect(findOpening(lagging(1_000), search, movement)).rejects.toMatchObject({
    code: 'KAGAMI_LOG_UNAVAILABLE',
    retryable: true,
  })
  await log.stop()
})

test('a reader that lags behind what the bounds say, and comes on, is read to the end', async () => {
  const log = memoryCluster().commitLog()
  await log.start({ cluster: 'test', node: 'a', logger: console, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  const { address, identity } = opened
  const other = { kind: 'open', token: 'other', timeMs: 1, incarnation: 1, deleted: true, address, identity } as const
  for (let i = 0; i < 20; i++) await opened.append(encodeFrame(other), { signal })
  await opened.append(encodeFrame({ ...other, token: 'orders', incarnation: 3, deleted: false }), { signal })
  const lagging = delegate<TokenLog>(opened, {
    async *read(...from: Parameters<TokenLog['read']>) {
      for await (const { records } of opened.read(...from))
        for (const record of records) yield { records: [record], next: record.offset + 1n, end: record.offset + 1n }
    },
  })
  expect(await readHistory(lagging, 'orders', { signal })).toMatchObject({ incarnation: 3, begins: true })
  const search = { token: 'orders', incarnation: 3, range: await opened.range({ signal }), maxBatchBytes: 1000 }
  const movement = { signal, moved: () => undefined }
  expect(await findOpening(lagging, search, movement)).toMatchObject({ incarnation: 3, follows: 'nothing' })
  await log.stop()
})

test('a log that never begins where it says is given up after a few looks, to be looked at again later', async () => {
  const log = memoryCluster().commitLog()
  await log.start({ cluster: 'test', node: 'a', logger: console, signal })
  const opened = await log.open(await log.allocate('orders', new Set(), { signal }), { token: 'orders', signal })
  const frame = encodeFrame({ kind: 'barrier', ...of, incarnation: 3, epoch: 4, term: 7n, nextIndex: 0 })
  for (let i = 0; i < 2; i++) await opened.append(frame, { signal })
  const { start, end } = await opened.range({ signal })
  await opened.truncate(end - 1n, { signal })
  let looks = 0
  const stale = delegate<TokenLog>(opened, {
    range: async () => {
      looks += 1
      return { start, end }
    },
  })
  await expect(readHistory(stale, 'orders', { signal })).rejects.toMatchObject({
    code: 'KAGAMI_LOG_UNAVAILABLE',
    retryable: true,
    cause: { code: 'KAGAMI_LOG_TRUNCATED' },
  })
  expect(looks).toBeLessThan(20)
  await log.stop()
})

describe('what is left of an incarnation that was removed hides no newer one that was only opened', () => {
  /** Two logs of a token: what `leaves` has left in the first, and in the second the newer incarnation's open frame. */
  async function foundBeside(
    leaves: (first: TokenLog, store: SnapshotStore) => Promise<void>,
    isInUse = false,
  ): Promise<{ readonly found: LeftBehind; readonly second: TokenLog }> {
    const world = memoryCluster()
    const [log, store] = [world.commitLog(), world.snapshotStore()]
    for (const adapter of [log, store]) await adapter.start({ cluster: 'test', node: 'a', logger: console, signal })
    const open = async (inUse: readonly string[]): Promise<TokenLog> =>
      log.open(await log.allocate('orders', new Set(inUse), { signal }), { token: 'orders', signal })
    const first = await open([])
    const second = await open([first.address])
    await leaves(first, store)
    await second.append(opening(11, second), { signal })
    const found = await findLeftBehind('orders', new Set(isInUse ? [first.address] : []), { log, store, signal })
    for (const adapter of [log, store]) await adapter.stop()
    return { found, second }
  }

  const opening = (incarnation: number, { address, identity }: TokenLog): Uint8Array =>
    encodeFrame({ kind: 'open', ...of, incarnation, deleted: false, address, identity })

  const entries = (firstIndex: number, chain: bigint): Uint8Array =>
    encodeFrame({
      kind: 'data',
      ...of,
      incarnation: 3,
      epoch: 1,
      term: 7n,
      firstSeq: firstIndex,
      firstIndex,
      count: 0,
      chain,
      body: new Uint8Array(0),
    })

  test('late copies of its open frame, and of entries', async () => {
    const { found, second } = await foundBeside(async (first) => {
      await first.append(opening(3, first), { signal })
      await first.append(entries(19, 1n), { signal })
    })
    expect(found.alive).toMatchObject({ incarnation: 11, log: { address: second.address } })
  })

  test.each([false, true])('a snapshot that was published late, and a late frame: %s', async (late) => {
    const { found, second } = await foundBeside(async (first, store) => {
      const { address, identity } = first
      const offset = await first.append(entries(19, 1n), { signal })
      await first.truncate(offset + 1n, { signal })
      // Nor is a frame that came late where it was taken.
      if (late) await first.append(entries(19, 1n), { signal })
      const anchor = { offset: String(offset), checksum: 1 }
      const meta = metaOf({ token: 'orders', incarnation: 3, anchor, log: { address, identity } })
      await store.create(meta, Readable.from([Uint8Array.of(1)]), { signal })
    })
    expect(found.alive).toMatchObject({ incarnation: 11, log: { address: second.address } })
  })

  test('but what a copy can begin with is alive', async () => {
    const whole = await foundBeside(async (first) => {
      await first.append(opening(3, first), { signal })
      await first.append(encodeFrame({ kind: 'barrier', ...of, incarnation: 3, epoch: 1, term: 7n, nextIndex: 0 }), {
        signal,
      })
    })
    expect(whole.found.alive).toMatchObject({ incarnation: 3, epoch: 1 })
    const captures = async (first: TokenLog, store: SnapshotStore): Promise<void> => {
      const { address, identity } = first
      const offset = await first.append(entries(19, 1n), { signal })
      const anchor = { offset: String(offset), checksum: 1 }
      const meta = metaOf({ token: 'orders', incarnation: 3, anchor, log: { address, identity } })
      await store.create(meta, Readable.from([Uint8Array.of(1)]), { signal })
    }
    const captured = await foundBeside(captures)
    expect(captured.found.alive).toMatchObject({ incarnation: 3 })
    // Nor is that doubted which can't be looked at now.
    const unseen = await foundBeside(captures, true)
    expect(unseen.found.alive).toMatchObject({ incarnation: 3 })
  })
})
