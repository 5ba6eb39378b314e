/** Commit logs with one fault each in what they truncate, and where they say that they begin and end, and the cases of the suite that must catch it. */
import { KagamiError } from '@kagami/core/contract'
import type { Offset } from '@kagami/core/contract'
import type { BrokenLog } from './broken-log.js'
import { brokenHandles, deaf, delegate, perWorld, turn } from './delegate.js'

export const logsWithBrokenTruncations: readonly BrokenLog[] = [
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
