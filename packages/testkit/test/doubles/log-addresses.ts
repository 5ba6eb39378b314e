/** Commit logs with one fault each in what they do with addresses, and the cases of the suite that must catch it. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { CallOptions, CommitLog, Offset, TokenLog } from '@kagami/core/contract'
import type { BrokenLog } from './broken-log.js'
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
    fault: 'finds nothing',
    wrap: (log) => delegate(log, { find: async () => [] }),
    caught: ['find gives every log that holds records', 'find sees what was appended before a restart'],
  },
]
