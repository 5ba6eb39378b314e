/** What a log tells of a token that nobody remembers, while others work on that log. */
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import type { TokenLog } from '../../src/contract/index.js'
import { encodeFrame, type Frame } from '../../src/engine/frame.js'
import { readHistory } from '../../src/runtime/log-history.js'
import { findOpening } from '../../src/runtime/opening.js'
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
