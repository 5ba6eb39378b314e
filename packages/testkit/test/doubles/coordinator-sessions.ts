/** Coordinators with one fault each in sessions, leases and members, and the cases of the suite that must catch it. */
import { isKagamiError } from '@kagami/core/contract'
import type { MemberRecord, Session } from '@kagami/core/contract'
import type { BrokenCoordinator } from './broken-coordinator.js'
import { sessions } from './broken-coordinator.js'
import { atMost, brokenSessions, deaf, delegate } from './delegate.js'

export const coordinatorsWithBrokenSessions: readonly BrokenCoordinator[] = [
  {
    fault: 'forgets to expire',
    sessionTimeoutMs: 3_600_000,
    wrap: sessions(() => ({ timeoutMs: 300 })),
    caught: [
      'out of contact the lease is suspended within timeoutMs',
      'out of contact a leader’s signal aborts before another is elected',
      'a session that expired out of contact is over',
    ],
  },
  {
    fault: 'suspends the lease when others have seen the session expire already',
    wrap: sessions((session) => ({
      watchLease: async function* (options) {
        for await (const state of session.watchLease(options)) {
          if (state === 'suspended') await new Promise((resolve) => setTimeout(resolve, 150))
          yield state
        }
      },
    })),
    caught: ['out of contact the lease is suspended within timeoutMs, before others see'],
  },
  {
    fault: 'shows members in no order',
    wrap: sessions((session) => ({
      watchMembers: async function* (options) {
        for await (const members of session.watchMembers(options)) yield members.toReversed()
      },
    })),
    caught: ['members come as whole states, ordered by node id'],
  },
  {
    fault: 'shows those that have come, not those that are there',
    wrap: sessions((session) => ({
      watchMembers: async function* (options) {
        const known = new Set<string>()
        for await (const members of session.watchMembers(options)) {
          const fresh: MemberRecord[] = members.filter(({ member }) => !known.has(member))
          for (const { member } of fresh) known.add(member)
          yield fresh
        }
      },
    })),
    caught: ['members come as whole states', 'update replaces the record for everyone'],
  },
  {
    fault: 'lets two sessions join as one node',
    wrap: sessions((session) => ({
      join: (record, options) =>
        session.join(record, options).catch((error: unknown) => {
          if (!isKagamiError(error, 'KAGAMI_NODE_ID_TAKEN')) throw error
        }),
    })),
    caught: [
      'a node id is taken while another live session holds it',
      'of several sessions that join as one node at once',
    ],
  },
  {
    fault: 'leaves the member of a closed session until it expires',
    wrap: (coordinator) => {
      return brokenSessions(coordinator, (session) => {
        const over = new AbortController()
        session.signal.addEventListener('abort', () => over.abort(session.signal.reason))
        return {
          signal: over.signal,
          close: async () => {
            over.abort()
            setTimeout(() => void session.close(), 400)
          },
        }
      })
    },
    caught: ['a closed session’s member vanishes at once', 'when the leader closes its session'],
  },
  {
    fault: 'goes on after close',
    wrap: sessions((session) => ({ signal: session.signal, close: async () => undefined })),
    caught: ['close ends the session'],
  },
  {
    fault: 'never holds a lease again',
    wrap: sessions((session) => ({
      watchLease: async function* (options) {
        let suspended = false
        for await (const state of session.watchLease(options)) {
          if (!suspended) yield state
          suspended ||= state === 'suspended'
        }
      },
    })),
    caught: ['a suspended lease whose session survives is held again'],
  },
  {
    fault: 'connects, it says, during an outage',
    wrap: (coordinator) => {
      let last: Session | undefined
      return delegate(coordinator, {
        connect: async (options) => {
          const session = await coordinator.connect(options).catch((error: unknown) => {
            if (last === undefined || options.signal.aborted) throw error
            return last
          })
          last = session
          return session
        },
      })
    },
    caught: ['during an outage connect rejects'],
  },
  {
    fault: 'shares everything with every cluster',
    wrap: (coordinator) =>
      delegate(coordinator, { start: (context) => coordinator.start({ ...context, cluster: 'one for all' }) }),
    caught: [
      'clusters do not see one another’s members',
      'clusters do not share documents',
      'each cluster has a leader of its own',
    ],
  },
  {
    fault: 'expires sessions that are in contact',
    wrap: sessions((session) => {
      const over = new AbortController()
      setTimeout(() => over.abort(session.signal.reason), session.timeoutMs)
      return { signal: over.signal }
    }),
    caught: ['a session in contact outlives its timeout'],
  },
  {
    fault: 'begins every session with a suspended lease',
    wrap: sessions((session) => ({
      watchLease: async function* (options) {
        yield 'suspended'
        yield* session.watchLease(options)
      },
    })),
    caught: ['the lease of a new session is held'],
  },
  {
    fault: 'gives every session the same id',
    wrap: sessions(() => ({ id: 'session' })),
    caught: ['each session has an id of its own', 'an expired session is over for good'],
  },
  {
    fault: 'tells nobody that a session is over',
    wrap: sessions(() => ({ signal: deaf() })),
    caught: ['an expired session is over for good', 'stopping the adapter ends its sessions'],
  },
  {
    fault: 'answers a session that is over',
    wrap: sessions((session) => ({
      read: (name, options) =>
        session.read(name, options).catch((error: unknown) => {
          if (!isKagamiError(error, 'KAGAMI_SESSION_LOST')) throw error
          return undefined
        }),
    })),
    caught: ['an expired session is over for good', 'stopping the adapter ends its sessions', 'close ends the session'],
  },
  {
    fault: 'shows members that have gone',
    wrap: sessions((session) => ({
      watchMembers: async function* (options) {
        const known = new Map<string, MemberRecord>()
        for await (const members of session.watchMembers(options)) {
          for (const record of members) known.set(record.member, record)
          yield [...known.values()]
        }
      },
    })),
    caught: ['a closed session’s member vanishes at once'],
  },
  {
    fault: 'has only so many watches, and counts those that were left',
    wrap: sessions((session) => {
      const begin = atMost(40)
      return {
        watchLease: async function* (options) {
          begin()
          yield* session.watchLease(options)
        },
      }
    }),
    caught: ['a consumer may return early, again and again'],
  },
  {
    fault: 'makes a member of every session',
    wrap: (coordinator) =>
      delegate(coordinator, {
        connect: async (options) => {
          const session = await coordinator.connect(options)
          await session.join({ node: session.id, member: session.id, data: new Uint8Array() }, options)
          return session
        },
      }),
    caught: ['a session that has not joined is no member'],
  },
  {
    fault: 'takes the data of a record for text',
    wrap: sessions((session) => ({
      join: (record, options) =>
        session.join({ ...record, data: Buffer.from(String(Buffer.from(record.data))) }, options),
    })),
    caught: ['a member is seen by every session, as it announced itself'],
  },
  {
    fault: 'queues every state of its members',
    wrap: sessions((session) => ({
      watchMembers: async function* (options) {
        const queue: (readonly MemberRecord[])[] = []
        let wake = (): void => undefined
        const pump = async (): Promise<void> => {
          for await (const members of session.watchMembers(options)) {
            queue.push(members)
            wake()
          }
        }
        pump().catch(() => undefined)
        for (;;) {
          options.signal.throwIfAborted()
          const members = queue.shift()
          if (members !== undefined) yield members
          else await new Promise<void>((resolve) => (wake = resolve))
        }
      },
    })),
    caught: ['a member that comes and goes while nobody looks leaves the watch with the last state'],
  },
  {
    fault: 'takes an update for a join',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => ({ update: (record, options) => session.join(record, options) })),
    caught: ['update is refused before join, and as another node or member'],
  },
  {
    fault: 'keeps the data of a record',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => {
        let kept: Uint8Array | undefined
        return {
          join: async (record, options) => {
            await session.join(record, options)
            kept = record.data
          },
          watchMembers: async function* (options) {
            for await (const members of session.watchMembers(options))
              yield members.map((record) => ({ ...record, data: kept ?? record.data }))
          },
        }
      }),
    caught: ['the data of a record is the caller’s again'],
  },
]
