/** Commit logs with one fault each in what they do with records, and the cases of the suite that must catch it. */
import { KagamiError } from '@kagami/core/contract'
import type { Offset } from '@kagami/core/contract'
import type { BrokenLog } from './commit-logs.js'
import { reading } from './commit-logs.js'
import { atMost, brokenHandles, delegate, perWorld } from './delegate.js'

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export const logsWithBrokenRecords: readonly BrokenLog[] = [
  {
    fault: 'tells two appends the same offset',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: async (record, options) => {
          const offset = await inner.append(record, options)
          return offset - (offset % 2n)
        },
      })),
    caught: ['offsets grow from one append to the next, across nodes', 'records come back as they were appended'],
  },
  {
    fault: 'cuts large records',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        append: (record, options) =>
          inner.append(record.byteLength > log.maxRecordBytes ? record : record.subarray(0, 65_536), options),
      })),
    caught: ['records of any size up to maxRecordBytes come back whole'],
  },
  {
    fault: 'appends after it was closed',
    wrap: (log) => brokenHandles(log, () => ({ close: async () => undefined })),
    caught: ['closing ends the appends under way, acknowledged or with KAGAMI_STOPPED, and refuses new ones'],
  },
  {
    fault: 'leaves its appends without an answer when it stops',
    wrap: (log) => {
      let stopped = false
      const held = brokenHandles(log, (inner) => ({
        append: async (record, options) => {
          const offset = await inner.append(record, options)
          await turn()
          return stopped ? new Promise<Offset>(() => undefined) : offset
        },
      }))
      return delegate(held, {
        stop: async () => {
          stopped = true
          await log.stop()
        },
      })
    },
    caught: ['stopping the adapter ends the appends under way'],
  },
  {
    fault: 'ends a reading when another begins',
    wrap: reading((inner) => {
      let begun = 0
      return async function* (from, options) {
        const own = (begun += 1)
        for await (const batch of inner.read(from, options)) {
          if (own !== begun) throw new Error('another reading has begun')
          yield batch
        }
      }
    }),
    caught: ['two readings of one handle do not disturb each other'],
  },
  {
    fault: 'misses the first record of a log that was empty',
    wrap: reading((inner) => {
      return async function* (from, options) {
        const { start, end } = await inner.range(options)
        for await (const batch of inner.read(from, options)) {
          const records = batch.records.filter(({ offset }) => start !== end || offset !== start)
          yield { ...batch, records }
        }
      }
    }),
    caught: ['a log that was empty is followed from its first record'],
  },
  {
    fault: 'has only so many readings, and counts those that were left',
    wrap: reading((inner) => {
      const begin = atMost(100)
      return async function* (from, options) {
        begin()
        yield* inner.read(from, options)
      }
    }),
    caught: ['a reader may return early, again and again'],
  },
  {
    fault: 'takes the last record’s offset for the end',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({
        range: async (options) => {
          const { start, end } = await inner.range(options)
          return { start, end: end > start ? end - 1n : end }
        },
      })),
    caught: ['range bounds every readable record'],
  },
  {
    fault: 'truncates one record too few',
    wrap: (log) =>
      brokenHandles(log, (inner) => ({ truncate: (before, options) => inner.truncate(before - 1n, options) })),
    caught: [
      'truncate drops what lies below, and never a record at or above',
      'truncating at an offset between two records keeps the upper one',
    ],
  },
  {
    fault: 'takes each truncation for its start, also a lower one',
    wrap: (log) =>
      brokenHandles(log, (inner) => {
        let told: Offset | undefined
        return {
          truncate: async (before, options) => {
            await inner.truncate(before, options)
            told = before
          },
          range: async (options) => {
            const { start, end } = await inner.range(options)
            return { start: told ?? start, end }
          },
        }
      }),
    caught: ['truncate is a no-op where the records are gone already'],
  },
  {
    fault: 'drops what is appended while it truncates',
    wrap: perWorld(() => {
      let appending = 0
      return (log) =>
        brokenHandles(log, (inner) => ({
          append: async (record, options) => {
            appending += 1
            await turn()
            return inner.append(record, options).finally(() => (appending -= 1))
          },
          truncate: async (before, options) => {
            await turn()
            await inner.truncate(appending > 0 ? (await inner.range(options)).end : before, options)
          },
        }))
    }),
    caught: ['truncation while appends go on loses none of them'],
  },
  {
    fault: 'ends every reading when it truncates',
    wrap: perWorld(() => {
      let truncated = 0
      return (log) =>
        brokenHandles(log, (inner) => ({
          read: async function* (from, options) {
            const before = truncated
            for await (const batch of inner.read(from, options)) {
              if (truncated !== before) throw new KagamiError('KAGAMI_LOG_TRUNCATED', 'the log was truncated')
              yield batch
            }
          },
          truncate: async (before, options) => {
            truncated += 1
            await inner.truncate(before, options)
          },
        }))
    }),
    caught: ['truncation below a reader does not disturb it'],
  },
]
