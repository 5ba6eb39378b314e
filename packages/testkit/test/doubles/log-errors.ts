/** Commit logs whose errors, or whose silence about one, mislead whoever decides by them. */
import type { CommitLog, KagamiErrorCode } from '@kagami/core/contract'
import type { BrokenLog } from './commit-logs.js'
import { brokenHandles, deaf, delegate, rejectionOf } from './delegate.js'
import { contrary, raising } from './raising.js'

function saying(code: KagamiErrorCode, method?: string): (log: CommitLog) => CommitLog {
  return (log) => raising(log, contrary(code), method)
}

const outage = 'during an outage nothing is made up'

export const logsWithMisleadingErrors: readonly BrokenLog[] = [
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
    fault: 'appends what was aborted, whatever its bytes are by then',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: async (record, { signal }) => {
          const late = new Promise<void>((resolve) => setTimeout(resolve, 5))
          const offset = late.then(() => inner.append(record, { signal: deaf() }))
          return Promise.race([offset, rejectionOf(signal)])
        },
      })),
    caught: ['an abort under way ends each append'],
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
]
