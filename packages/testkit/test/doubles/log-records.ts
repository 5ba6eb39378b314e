/** Commit logs with one fault each in what they do with records, and the cases of the suite that must catch it. */
import type { Offset } from '@kagami/core/contract'
import type { BrokenLog } from './broken-log.js'
import { brokenHandles, deaf, delegate, rejectionOf, turn } from './delegate.js'

export const logsWithBrokenRecords: readonly BrokenLog[] = [
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
    fault: 'takes records that are too large',
    wrap: (log) => delegate(log, { maxRecordBytes: 65_536 }),
    caught: ['a record above maxRecordBytes is refused'],
  },
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
]
