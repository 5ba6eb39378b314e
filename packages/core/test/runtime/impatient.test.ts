/** What the slow work on tokens does with a log that does not answer. */
import { expect, test } from 'vitest'
import type { CommitLog, LogBatch, ReadOptions, TokenLog } from '../../src/contract/index.js'
import { impatientLog, type LogKeeper } from '../../src/runtime/impatient.js'
import { ManualClock, rest } from './manual-clock.js'

const { signal } = new AbortController()
const LIMIT_MS = 1000
const options: ReadOptions = { signal, lookMs: 200, maxBatchBytes: 1000 }
const look: LogBatch = { records: [], next: 5n, end: 5n }
const never: Promise<never> = new Promise(() => undefined)

const whenAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))

/** A log of which the given parts do as they are told, and its opened handle, as the slow work has it. */
async function opened(clock: ManualClock, parts: Partial<TokenLog>, warnings: string[] = []): Promise<TokenLog> {
  const log = { address: 'log-1', identity: 'x', ...parts } as unknown as TokenLog
  const keeper = { open: () => Promise.resolve(log) } as unknown as LogKeeper
  const logger = { debug: ignore, info: ignore, warn: (text: string) => void warnings.push(text), error: ignore }
  return impatientLog(keeper, { clock, limitMs: LIMIT_MS, logger }).open('log-1', { token: 'orders', signal })
}

const ignore = (): void => undefined

test('a read that gives nothing, not even a look, is given up, and its reader is ended', async () => {
  const clock = new ManualClock()
  let ended: unknown
  const log = await opened(clock, {
    async *read(_, { signal }) {
      yield look
      signal.addEventListener('abort', () => {
        ended = signal.reason
      })
      // It does not heed it.
      await never
    },
  })
  const reader = log.read(0n, options)[Symbol.asyncIterator]()
  expect(await reader.next()).toEqual({ done: false, value: look })
  const outcome = reader.next().catch((error: unknown) => error)
  await clock.advance(LIMIT_MS + options.lookMs - 1)
  expect(ended).toBeUndefined()
  await clock.advance(1)
  expect(await outcome).toMatchObject({ code: 'KAGAMI_TIMEOUT', retryable: true })
  expect(ended).toBe(await outcome)
})

test('looks keep a read going, for as long as it takes', async () => {
  const clock = new ManualClock()
  const log = await opened(clock, {
    async *read() {
      for (;;) {
        await new Promise<void>((resolve) => clock.timer(LIMIT_MS, resolve))
        yield look
      }
    },
  })
  let looks = 0
  const reading = (async () => {
    for await (const batch of log.read(0n, options)) if (batch === look && ++looks === 20) return
  })()
  await clock.advance(20 * LIMIT_MS)
  await reading
  expect(looks).toBe(20)
})

test('who leaves a read early does not wait for its reader for longer than the limit', async () => {
  const clock = new ManualClock()
  const warnings: string[] = []
  let told: AbortSignal | undefined
  const parts: Partial<TokenLog> = {
    read: (_, { signal }) => ({
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false, value: look }),
        return: () => {
          told = signal
          return never
        },
      }),
    }),
  }
  const log = await opened(clock, parts, warnings)
  const reading = (async () => {
    for await (const batch of log.read(0n, options)) return batch
    return undefined
  })()
  await clock.advance(LIMIT_MS + options.lookMs)
  expect(await reading).toBe(look)
  expect(told?.aborted).toBe(true)
  expect(warnings).toEqual([expect.stringContaining("reading the log at 'log-1' has not moved on")])
})

test('a signal ends a read', async () => {
  const clock = new ManualClock()
  const log = await opened(clock, {
    async *read(_, { signal }) {
      await whenAborted(signal)
      yield look
    },
  })
  const end = new AbortController()
  const reader = log.read(0n, { ...options, signal: end.signal })[Symbol.asyncIterator]()
  const outcome = reader.next().catch((error: unknown) => error)
  await rest()
  end.abort(new Error('stop'))
  expect(await outcome).toEqual(new Error('stop'))
})

test('a handle that does not come to be closed is told of, and waited for no longer', async () => {
  const clock = new ManualClock()
  const warnings: string[] = []
  const log = await opened(clock, { close: () => never }, warnings)
  const closing = log.close()
  await clock.advance(LIMIT_MS)
  await closing
  expect(warnings).toEqual([expect.stringContaining("closing the log at 'log-1' has not moved on")])
  const failing = await opened(clock, { close: () => Promise.reject(new Error('broken')) })
  await expect(failing.close()).rejects.toThrow('broken')
})

test('what is opened after it was given up is closed', async () => {
  const clock = new ManualClock()
  let finish: (log: TokenLog) => void = ignore
  let closed = 0
  const late = { close: () => Promise.resolve(void (closed += 1)) } as unknown as TokenLog
  const keeper = { open: () => new Promise<TokenLog>((resolve) => (finish = resolve)) } as unknown as CommitLog
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const log = impatientLog(keeper, { clock, limitMs: LIMIT_MS, logger })
  const outcome = log.open('log-1', { token: 'orders', signal }).catch((error: unknown) => error)
  await clock.advance(LIMIT_MS)
  expect(await outcome).toMatchObject({ code: 'KAGAMI_TIMEOUT' })
  finish(late)
  await rest()
  expect(closed).toBe(1)
})

test('who gives up waits no longer for a log, or for its reader, that heeds no signal', async () => {
  const clock = new ManualClock()
  const log = await opened(clock, {
    range: () => never,
    read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => never, return: () => never }) }),
  })
  const end = new AbortController()
  const asked = log.range({ signal: end.signal })
  const reader = log.read(0n, { ...options, signal: end.signal })[Symbol.asyncIterator]()
  const outcomes = Promise.allSettled([asked, reader.next()])
  await rest()
  const reason = new Error('given up')
  end.abort(reason)
  expect(await outcomes).toEqual([
    { status: 'rejected', reason },
    { status: 'rejected', reason },
  ])
})

test('a read that only says that there is more is given up, and one that comes on is not', async () => {
  const clock = new ManualClock()
  let next = 5n
  const log = await opened(clock, {
    async *read() {
      for (;;) {
        await new Promise<void>((resolve) => clock.timer(LIMIT_MS / 2, resolve))
        yield { records: [], next: next < 15n ? ++next : next, end: 1000n }
      }
    },
  })
  const outcome = (async () => {
    for await (const batch of log.read(0n, options)) expect(batch.records).toEqual([])
  })().catch((error: unknown) => error)
  await clock.advance(20 * LIMIT_MS)
  expect(await outcome).toMatchObject({ code: 'KAGAMI_TIMEOUT', retryable: true })
  expect(next).toBe(15n)
})

test('who gives up waits no longer for a handle to be closed, nor for a reader that was left early', async () => {
  const work = new AbortController()
  const parts: Partial<TokenLog> = {
    close: () => never,
    read: () => ({
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false, value: look }),
        return: () => never,
      }),
    }),
  }
  const log = { address: 'log-1', identity: 'x', ...parts } as unknown as TokenLog
  const keeper = { open: () => Promise.resolve(log) } as unknown as LogKeeper
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const patient = impatientLog(keeper, { clock: new ManualClock(), limitMs: LIMIT_MS, logger })
  const opened = await patient.open('log-1', { token: 'orders', signal: work.signal })
  const reading = (async () => {
    for await (const batch of opened.read(0n, { ...options, signal: work.signal })) return batch
    return undefined
  })()
  const closed = opened.close()
  await rest()
  work.abort(new Error('given up'))
  expect(await reading).toBe(look)
  await closed
})
