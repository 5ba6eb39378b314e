/** Commit logs with one fault each in what they do with addresses, and the cases of the suite that must catch it. */
import { KagamiError } from '@kagami/core/contract'
import type { CallOptions, CommitLog, Offset, TokenLog } from '@kagami/core/contract'
import type { BrokenLog } from './commit-logs.js'
import { brokenHandles, delegate, perWorld } from './delegate.js'

/** The bounds of the log at an address. */
async function boundsAt(
  log: CommitLog,
  address: string,
  options: CallOptions,
): Promise<{ start: Offset; end: Offset }> {
  const handle = await log.open(address, { ...options, token: 'any' })
  const bounds = await handle.range(options)
  await handle.close()
  return bounds
}

export const logsWithBrokenAddresses: readonly BrokenLog[] = [
  {
    fault: 'leaves a note in each log that it allocates',
    wrap: (log) =>
      delegate(log, {
        allocate: async (token, inUse, options) => {
          const address = await log.allocate(token, inUse, options)
          const handle = await log.open(address, { ...options, token })
          await handle.append(new Uint8Array(1), options)
          await handle.close()
          return address
        },
      }),
    caught: ['an allocated address is short, and its log is empty'],
  },
  {
    fault: 'gives addresses that are too long',
    wrap: (log) =>
      delegate(log, {
        allocate: async (...given) => (await log.allocate(...given)).padEnd(201, ' '),
        open: async (address, options) => delegate(await log.open(address.trimEnd(), options), { address }),
      }),
    caught: ['an allocated address is short, and its log is empty'],
  },
  {
    fault: 'loses an empty log at a restart',
    wrap: perWorld(() => {
      let stopped = false
      return (log) =>
        delegate(log, {
          open: async (address, options) => {
            const { start, end } = await boundsAt(log, address, options)
            if (stopped && start === end) throw new KagamiError('KAGAMI_LOG_REPLACED', `no log is at ${address}`)
            return log.open(address, options)
          },
          stop: async () => {
            stopped = true
            await log.stop()
          },
        })
    }),
    caught: ['what was allocated is there for every node, also after a restart'],
  },
  {
    fault: 'truncates every log with the one',
    wrap: (log) => {
      const open = new Set<TokenLog>()
      return brokenHandles(log, (inner) => {
        open.add(inner)
        return {
          truncate: async (before, options) => {
            for (const handle of open) await handle.truncate(before, options)
          },
        }
      })
    },
    caught: ['two logs are apart: neither appends nor truncation touch the neighbour'],
  },
  {
    fault: 'refuses long tokens',
    wrap: (log) =>
      delegate(log, {
        allocate: async (token, inUse, options) => {
          if (Buffer.byteLength(token) > 255) throw new Error('ENAMETOOLONG')
          return log.allocate(token, inUse, options)
        },
      }),
    caught: ['tokens of any name have logs'],
  },
  {
    fault: 'finds only logs that begin with the first record of all',
    wrap: (log) =>
      delegate(log, {
        find: async (token, inUse, options) => {
          const found: string[] = []
          for (const address of await log.find(token, inUse, options))
            if ((await boundsAt(log, address, options)).start === 0n) found.push(address)
          return found
        },
      }),
    caught: ['find finds a log whose older records were truncated'],
  },
  {
    fault: 'gives a released log again before it is empty',
    wrap: perWorld(() => {
      let released: string | undefined
      return (log) =>
        delegate(log, {
          release: async (address, before, options) => {
            released = address
            await log.release(address, before - 1n, options)
          },
          allocate: async (token, inUse, options) => released ?? (await log.allocate(token, inUse, options)),
        })
    }),
    caught: ['a released log is empty, its address can be allocated and used again'],
  },
  {
    fault: 'takes small records only',
    wrap: (log) => delegate(log, { maxRecordBytes: 1_000 }),
    caught: ['a log takes records of at least 64 KiB'],
  },
  {
    fault: 'wants no append under way',
    wrap: (log) => delegate(log, { appendsInFlight: 0 }),
    caught: ['a log takes records of at least 64 KiB, and says how many appends are worth having under way'],
  },
  {
    fault: 'does not declare a fault that can be caused',
    wrap: (log) => log,
    claims: { outage: false },
    caught: ['declares'],
  },
]
