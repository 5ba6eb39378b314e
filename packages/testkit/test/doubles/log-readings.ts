/** Commit logs with one fault each in what they let be read, and the cases of the suite that must catch it. */
import { isKagamiError } from '@kagami/core/contract'
import type { BrokenLog } from './broken-log.js'
import { reading, batches } from './broken-log.js'
import { atMost } from './delegate.js'

export const logsWithBrokenReadings: readonly BrokenLog[] = [
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
]
