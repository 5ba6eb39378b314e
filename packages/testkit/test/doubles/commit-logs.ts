/** Commit logs with one fault each, and the cases of the suite that must catch it. */
import { isKagamiError } from '@kagami/core/contract'
import type { CommitLog, LogBatch, Offset, ReadOptions, TokenLog } from '@kagami/core/contract'
import type { CommitLogCapabilities } from '../../src/suites/commit-log-capabilities.js'
import { brokenHandles, deaf, delegate } from './delegate.js'

export interface BrokenLog {
  readonly fault: string
  /** `world` is one for all the adapters of a case. */
  readonly wrap: (log: CommitLog, world: object) => CommitLog
  readonly caught: readonly string[]
  /** What it declares, where that is another thing than it can. */
  readonly claims?: Partial<CommitLogCapabilities>
}

type Read = (from: Offset, options: ReadOptions) => AsyncIterable<LogBatch>

/** A log whose reading is another. */
export function reading(change: (inner: TokenLog) => Read): (log: CommitLog) => CommitLog {
  return (log) => brokenHandles(log, (inner) => ({ read: change(inner) }))
}

/** A log whose batches are changed one by one. */
function batches(change: (batch: LogBatch) => LogBatch): (log: CommitLog) => CommitLog {
  return reading((inner) => {
    return async function* (from, options) {
      for await (const batch of inner.read(from, options)) yield change(batch)
    }
  })
}

export const brokenLogs: readonly BrokenLog[] = [
  {
    fault: 'reorders what it reads',
    wrap: batches((batch) => {
      const [a, b, ...rest] = batch.records
      if (a === undefined || b === undefined) return batch
      return { ...batch, records: [{ ...a, bytes: b.bytes }, { ...b, bytes: a.bytes }, ...rest] }
    }),
    caught: [
      'records come back as they were appended',
      'concurrent appends of one handle',
      'what was acknowledged outlives',
    ],
  },
  {
    fault: 'jumps over a range that was truncated',
    wrap: reading((inner) => {
      return async function* (from, options) {
        for (let next = from; ;) {
          try {
            for await (const batch of inner.read(next, options)) {
              next = batch.next
              yield batch
            }
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')) throw error
            next = (await inner.range(options)).start
          }
        }
      }
    }),
    caught: [
      'reading below the start is KAGAMI_LOG_TRUNCATED',
      'a reader that truncation overtakes is told so',
      'truncation is durable',
    ],
  },
  {
    fault: 'acknowledges before the record is durable and visible',
    wrap: (log) => {
      let stopped = false
      const late = brokenHandles(log, (inner) => {
        let guess: Offset | undefined
        return {
          append: async (record, options) => {
            options.signal.throwIfAborted()
            guess = guess === undefined ? (await inner.range(options)).end : guess + 1n
            const bytes = record.slice()
            setTimeout(() => {
              if (!stopped) inner.append(bytes, options).catch(() => undefined)
            }, 20)
            return guess
          },
        }
      })
      return delegate(late, {
        stop: () => {
          stopped = true
          return log.stop()
        },
      })
    },
    caught: [
      'an acknowledged record is readable at once by everyone',
      'what was acknowledged outlives every adapter',
      'a reading that goes on at `next`',
    ],
  },
  {
    fault: 'loses a record now and then',
    wrap: (log) => {
      let count = 0
      return brokenHandles(log, (inner) => ({
        append: async (record, options) => {
          count += 1
          return count % 7 === 0 ? (await inner.range(options)).end : inner.append(record, options)
        },
      }))
    },
    caught: ['concurrent appends of one handle land once each', 'appends of several nodes land once each'],
  },
  {
    fault: 'appends a record twice',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: async (record, options) => {
          const offset = await inner.append(record, options)
          await inner.append(record, options)
          return offset
        },
      })),
    caught: ['concurrent appends of one handle land once each', 'what was acknowledged outlives every adapter'],
  },
  {
    fault: 'does not listen to signals',
    wrap: (log) =>
      delegate(
        brokenHandles(log, (inner) => ({
          append: (record) => inner.append(record, { signal: deaf() }),
          range: () => inner.range({ signal: deaf() }),
          truncate: (before) => inner.truncate(before, { signal: deaf() }),
          read: (from, options) => inner.read(from, { ...options, signal: deaf() }),
        })),
        {
          allocate: (token, inUse) => log.allocate(token, inUse, { signal: deaf() }),
          find: (token, inUse) => log.find(token, inUse, { signal: deaf() }),
        },
      ),
    caught: [
      'an abort ends a reading with the reason',
      'an append, range or truncate whose signal has aborted',
      'calls on addresses whose signal has aborted',
    ],
  },
  {
    fault: 'does not wake at an append',
    wrap: reading((inner) => {
      return async function* (from, options) {
        for (let next = from; ;) {
          for await (const batch of inner.read(next, { ...options, lookMs: 5 })) {
            next = batch.next
            yield batch
            if (batch.next === batch.end) break
          }
          await new Promise((resolve) => setTimeout(resolve, Math.min(options.lookMs, 2_000)))
        }
      }
    }),
    caught: ['a reader that waits at the end is woken by an append'],
  },
  {
    fault: 'never looks while it waits',
    wrap: reading((inner) => (from, options) => inner.read(from, { ...options, lookMs: 600_000 })),
    caught: ['a reader that waits at the end looks again at least every lookMs'],
  },
  {
    fault: 'looks without a pause',
    wrap: reading((inner) => (from, options) => inner.read(from, { ...options, lookMs: 2 })),
    caught: ['looks do not flood'],
  },
  {
    fault: 'truncates one record too many',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({ truncate: (before, options) => inner.truncate(before + 1n, options) })),
    caught: ['truncate drops what lies below, and never a record at or above', 'truncation is durable'],
  },
  {
    fault: 'goes too far with a truncation that is cut short',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        truncate: async (before, options) => {
          try {
            await inner.truncate(before, options)
          } finally {
            if (options.signal.aborted) await inner.truncate(before + 1n, { signal: deaf() })
          }
        },
      })),
    caught: ['a truncation that is cut short has dropped the lowest records'],
  },
  {
    fault: 'says for ever where it began when it was opened',
    wrap: (log) =>
      delegate(log, {
        open: async (address, options) => {
          const handle = await log.open(address, options)
          const { start } = await handle.range(options)
          return delegate(handle, { range: async (call) => ({ start, end: (await handle.range(call)).end }) })
        },
      }),
    caught: [
      'truncate drops what lies below, and never a record at or above',
      'a truncation that is cut short has dropped the lowest records',
      'a log that was truncated at its end is empty',
    ],
  },
  {
    fault: 'says that it begins at 0, whatever was truncated',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        range: async (options) => ({ start: 0n, end: (await inner.range(options)).end }),
      })),
    caught: [
      'truncate drops what lies below, and never a record at or above',
      'a truncation that is cut short has dropped the lowest records',
      'a log that was truncated at its end is empty',
    ],
  },
  {
    fault: 'does not truncate',
    wrap: (log) => brokenHandles(log, () => ({ truncate: async (_before, { signal }) => signal.throwIfAborted() })),
    caught: ['reading below the start is KAGAMI_LOG_TRUNCATED', 'a log that was truncated at its end is empty'],
  },
  {
    fault: 'waits above its end, as if nothing were lost',
    wrap: reading((inner) => {
      return async function* (from, options) {
        const { end } = await inner.range(options)
        yield* inner.read(from > end ? end : from, options)
      }
    }),
    caught: ['reading above the end is KAGAMI_LOG_LOST_TAIL'],
  },
  {
    fault: 'does not notice that it has lost its tail while it waits',
    wrap: reading((inner) => {
      return async function* (from, options) {
        try {
          yield* inner.read(from, options)
        } catch (error) {
          if (!isKagamiError(error, 'KAGAMI_LOG_LOST_TAIL')) throw error
          yield* inner.read((await inner.range(options)).end, options)
        }
      }
    }),
    caught: ['a reader above the end of a log that lost its tail'],
  },
  {
    fault: 'skips the record that it is asked to begin with',
    wrap: reading((inner) => {
      return async function* (from, options) {
        for await (const batch of inner.read(from, options)) {
          yield { ...batch, records: batch.records.filter((record) => record.offset !== from) }
        }
      }
    }),
    caught: ['the first record read is the one with the smallest offset', 'an acknowledged record is readable at once'],
  },
  {
    fault: 'believes to be at the end after every batch',
    wrap: batches((batch) => ({ ...batch, end: batch.next })),
    caught: ['`next` equals `end` when nothing more is there'],
  },
  {
    fault: 'goes on one record too far',
    wrap: batches((batch) => ({ ...batch, next: batch.next + 1n, end: batch.end + 1n })),
    caught: ['a reading that goes on at `next`'],
  },
  {
    fault: 'does not bound its batches',
    wrap: reading((inner) => (from, options) => inner.read(from, { ...options, maxBatchBytes: 1e9 })),
    caught: ['batches stay about as small as asked'],
  },
  {
    fault: 'gives an address that is in use',
    wrap: (log) => delegate(log, { allocate: (token, _inUse, options) => log.allocate(token, new Set(), options) }),
    caught: ['allocate gives none of the addresses in use'],
  },
  {
    fault: 'gives the address of a log that holds records',
    wrap: (log) => {
      return delegate(log, {
        allocate: async (token, inUse, options) => {
          const used = await log.find('orders', inUse, options)
          return used[0] ?? log.allocate(token, inUse, options)
        },
      })
    },
    caught: ['allocate never gives a log that holds records', 'release drops what lies below'],
  },
  {
    fault: 'finds nothing',
    wrap: (log) => delegate(log, { find: async () => [] }),
    caught: ['find gives every log that holds records', 'find sees what was appended before a restart'],
  },
  {
    fault: 'finds nothing during an outage, instead of rejecting',
    wrap: (log) => delegate(log, { find: (...call) => log.find(...call).catch(() => []) }),
    caught: ['during an outage nothing is made up'],
  },
  {
    fault: 'acknowledges during an outage',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({ append: (record, options) => inner.append(record, options).catch(() => 0n) })),
    caught: ['during an outage an append is not acknowledged'],
  },
  {
    fault: 'gives up reading at an outage',
    wrap: reading((inner) => {
      return async function* (from, options) {
        for await (const batch of inner.read(from, { ...options, lookMs: 5 })) {
          yield batch
          for (;;) {
            const { end } = await inner.range(options)
            if (end > batch.next) break
            yield { records: [], next: end, end }
            await new Promise((resolve) => setTimeout(resolve, 20))
          }
        }
      }
    }),
    caught: ['a reader rides out an outage without yielding'],
  },
  {
    fault: 'releases more than it was told to',
    wrap: (log) =>
      delegate(log, {
        release: async (address, _before, options) => {
          const handle = await log.open(address, { ...options, token: 'any' }).catch(() => undefined)
          if (handle === undefined) options.signal.throwIfAborted()
          else await log.release(address, (await handle.range(options)).end, options)
        },
      }),
    caught: ['release drops what lies below, and never a record at or above', 'a late release can not hurt'],
  },
  {
    fault: 'rejects a release where no log is',
    wrap: (log) =>
      delegate(log, {
        release: async (address, before, options) => {
          await (await log.open(address, { ...options, token: 'any' })).close()
          await log.release(address, before, options)
        },
      }),
    caught: ['release is idempotent, and a no-op where no log is'],
  },
  {
    fault: 'keeps the caller’s buffer',
    wrap: (log) => {
      const kept = new Map<Offset, Uint8Array>()
      return brokenHandles(log, (inner) => ({
        append: async (record, options) => {
          const offset = await inner.append(record, options)
          kept.set(offset, record)
          return offset
        },
        read: async function* (from, options) {
          for await (const batch of inner.read(from, options)) {
            const records = batch.records.map((record) => ({
              ...record,
              bytes: kept.get(record.offset) ?? record.bytes,
            }))
            yield { ...batch, records }
          }
        },
      }))
    },
    caught: ['the buffer may be reused once the append has settled', 'what is read belongs to the reader'],
  },
  {
    fault: 'appends the whole buffer behind a view',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: (record, options) => inner.append(new Uint8Array(record.buffer).slice(0, 70_000), options),
      })),
    caught: ['a view on a larger buffer is appended as the view'],
  },
  {
    fault: 'takes another identity at each opening',
    wrap: (log) => {
      let openings = 0
      return brokenHandles(log, (inner) => ({ identity: `${inner.identity}-${(openings += 1)}` }))
    },
    caught: ['the identity is short, and the same for every node'],
  },
  {
    fault: 'keeps the identity of a log that was created anew',
    wrap: (log) => brokenHandles(log, () => ({ identity: 'always the same' })),
    caught: ['a log that was deleted and created anew has another identity'],
  },
  {
    fault: 'goes on writing into the log that has replaced its own',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: async (record, options) => {
          const fresh = await log.open(inner.address, { ...options, token: 'orders' })
          return fresh.append(record, options)
        },
      })),
    caught: ['a handle on the former log is told KAGAMI_LOG_REPLACED'],
  },
  {
    fault: 'takes records that are too large',
    wrap: (log) => delegate(log, { maxRecordBytes: 65_536 }),
    caught: ['a record above maxRecordBytes is refused'],
  },
  {
    fault: 'creates a log where none is',
    wrap: (log) =>
      delegate(log, {
        open: async (address, options) => {
          try {
            return await log.open(address, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_LOG_REPLACED')) throw error
            return log.open(await log.allocate(options.token, new Set(), options), options)
          }
        },
      }),
    caught: ['opening an address where no log is'],
  },
  {
    fault: 'leaves its readings open at close and stop',
    wrap: (log) => {
      const shielded = reading((inner) => {
        return async function* (from, options) {
          try {
            yield* inner.read(from, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_STOPPED')) throw error
            await new Promise((_resolve, reject) => {
              options.signal.addEventListener('abort', () => reject(options.signal.reason))
            })
          }
        }
      })
      return shielded(log)
    },
    caught: ['closing the handle ends its readings', 'stopping the adapter ends its readings'],
  },
  {
    fault: 'closes every handle with the first',
    wrap: (log) => {
      const open = new Set<TokenLog>()
      return brokenHandles(log, (inner) => {
        open.add(inner)
        return {
          close: async () => {
            for (const handle of open) await handle.close()
          },
        }
      })
    },
    caught: ['closing one handle leaves the others alone'],
  },
  {
    fault: 'shares its logs with every cluster',
    wrap: (log) => delegate(log, { start: (context) => log.start({ ...context, cluster: 'one for all' }) }),
    caught: ['clusters do not share logs'],
  },
  {
    fault: 'reports a full disk as a log that is gone',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: (record, options) =>
          inner.append(record, options).catch((error: unknown) => {
            throw isKagamiError(error, 'KAGAMI_STORE_FULL') ? new Error('ENOSPC') : error
          }),
      })),
    caught: ['a full log rejects appends with KAGAMI_STORE_FULL'],
  },
]
