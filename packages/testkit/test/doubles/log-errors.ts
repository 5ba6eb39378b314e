/** Commit logs whose errors, or whose silence about one, mislead whoever decides by them. */
import { isKagamiError } from '@kagami/core/contract'
import type { CommitLog, KagamiErrorCode } from '@kagami/core/contract'
import type { BrokenLog } from './broken-log.js'
import { reading } from './broken-log.js'
import { brokenHandles, deaf, delegate } from './delegate.js'
import { contrary, raising } from './raising.js'

function saying(code: KagamiErrorCode, method?: string): (log: CommitLog) => CommitLog {
  return (log) => raising(log, contrary(code), method)
}

const outage = 'during an outage nothing is made up'

export const logsWithMisleadingErrors: readonly BrokenLog[] = [
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
  {
    fault: 'says that a tail which was lost may come back',
    wrap: saying('KAGAMI_LOG_LOST_TAIL', 'read'),
    caught: ['reading above the end is KAGAMI_LOG_LOST_TAIL', 'a reader above the end of a log that lost its tail'],
  },
  {
    fault: 'says that what was truncated may come back',
    wrap: saying('KAGAMI_LOG_TRUNCATED', 'read'),
    caught: ['reading below the start is KAGAMI_LOG_TRUNCATED', 'truncation is durable'],
  },
  {
    fault: 'says that it may take too large a record later',
    wrap: saying('KAGAMI_LOG_REFUSED'),
    caught: ['a record above maxRecordBytes is refused'],
  },
  {
    fault: 'says that a log which was replaced may come back',
    wrap: saying('KAGAMI_LOG_REPLACED'),
    caught: ['a handle on the former log is told KAGAMI_LOG_REPLACED', 'opening an address where no log is'],
  },
  {
    fault: 'says of each append to a log that was replaced that it may land later',
    wrap: saying('KAGAMI_LOG_REPLACED', 'append'),
    caught: ['a handle on the former log is told KAGAMI_LOG_REPLACED'],
  },
  {
    fault: 'says that it will be full for ever',
    wrap: saying('KAGAMI_STORE_FULL'),
    caught: ['a full log rejects appends with KAGAMI_STORE_FULL'],
  },
  {
    fault: 'says that a reading which was ended may go on',
    wrap: saying('KAGAMI_STOPPED', 'read'),
    caught: ['closing the handle ends its readings', 'stopping the adapter ends its readings'],
  },
  {
    fault: 'says at an append that an outage will last for ever',
    wrap: saying('KAGAMI_LOG_UNAVAILABLE', 'append'),
    caught: ['during an outage an append is not acknowledged'],
  },
  ...['range', 'find', 'allocate', 'open', 'truncate', 'release'].map((method) => ({
    fault: `says at ${method}() that an outage will last for ever`,
    wrap: saying('KAGAMI_LOG_UNAVAILABLE', method),
    caught: [outage],
  })),
  {
    fault: 'releases nothing during an outage, and says nothing of it',
    wrap: (log) => delegate(log, { release: (...given) => log.release(...given).catch(() => undefined) }),
    caught: [outage],
  },
  {
    fault: 'truncates the log that has replaced its own',
    wrap: (log) =>
      delegate(log, {
        open: async (address, options) => {
          const handle = await log.open(address, options)
          return delegate(handle, {
            truncate: async (before, call) => {
              await (await log.open(address, options)).truncate(before, call)
              await handle.truncate(before, call)
            },
          })
        },
      }),
    caught: ['a handle on the former log is told KAGAMI_LOG_REPLACED'],
  },
  {
    fault: 'does not declare a fault that can be caused',
    wrap: (log) => log,
    claims: { outage: false },
    caught: ['declares'],
  },
  {
    fault: 'finds nothing during an outage, instead of rejecting',
    wrap: (log) => delegate(log, { find: (...call) => log.find(...call).catch(() => []) }),
    caught: ['during an outage nothing is made up'],
  },
]
