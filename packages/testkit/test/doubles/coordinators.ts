/** Coordinators with one fault each, and the cases of the suite that must catch it. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { Coordinator, Document, Leadership, MemberRecord, Session } from '@kagami/core/contract'
import type { CoordinatorCapabilities } from '../../src/suites/coordinator-capabilities.js'
import { brokenSessions, deaf, delegate } from './delegate.js'

export interface BrokenCoordinator {
  readonly fault: string
  /** `world` is one for all the adapters of a case. */
  readonly wrap: (coordinator: Coordinator, world: object) => Coordinator
  readonly caught: readonly string[]
  /** The timeout of the sessions below, where it is not the usual one. */
  readonly sessionTimeoutMs?: number
  /** What it declares, where that is another thing than it can. */
  readonly claims?: Partial<CoordinatorCapabilities>
}

export function sessions(change: (session: Session) => Partial<Session>): (coordinator: Coordinator) => Coordinator {
  return (coordinator) => brokenSessions(coordinator, change)
}

type States = AsyncIterable<ReadonlyMap<string, Document>>

/** A coordinator whose watches are changed. */
function watches(change: (states: States, prefix: string) => States): (coordinator: Coordinator) => Coordinator {
  return sessions((session) => ({ watch: (prefix, options) => change(session.watch(prefix, options), prefix) }))
}

/** A coordinator whose leaderships are changed. */
function leaderships(
  change: (leadership: Leadership) => Partial<Leadership>,
): (coordinator: Coordinator) => Coordinator {
  return sessions((session) => ({
    campaign: async (options) => {
      const leadership = await session.campaign(options)
      return delegate(leadership, change(leadership))
    },
  }))
}

/** A coordinator whose leaderships end for another reason. */
function endings(change: (reason: unknown) => unknown): (coordinator: Coordinator) => Coordinator {
  return leaderships((leadership) => {
    const ending = new AbortController()
    leadership.signal.addEventListener('abort', () => ending.abort(change(leadership.signal.reason)))
    return { signal: ending.signal }
  })
}

export const brokenCoordinators: readonly BrokenCoordinator[] = [
  {
    fault: 'does not say that it is full',
    wrap: sessions((session) => ({
      write: (...given) =>
        session.write(...given).catch((error: unknown) => {
          throw isKagamiError(error, 'KAGAMI_STORE_FULL') ? new Error('ENOSPC') : error
        }),
    })),
    caught: ['a full coordinator rejects writes with KAGAMI_STORE_FULL'],
  },
  {
    fault: 'gives a damaged document under a version that it had before',
    wrap: sessions((session) => ({
      read: async (...given) => {
        const document = await session.read(...given)
        return document?.bytes.length === 0 ? { ...document, version: document.version - 1 } : document
      },
    })),
    caught: ['a document that is damaged keeps its version'],
  },
  {
    fault: 'shows nothing any more where one document is damaged',
    wrap: watches(async function* (states) {
      for await (const documents of states)
        if ([...documents.values()].every(({ bytes }) => bytes.length > 0)) yield documents
    }),
    caught: ['a document that is damaged keeps its version, hides no others'],
  },
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
    fault: 'has two leaders',
    wrap: sessions(() => ({
      campaign: async ({ signal }) => {
        signal.throwIfAborted()
        return { epoch: Date.now(), signal: deaf(), resign: async () => undefined }
      },
    })),
    caught: [
      'while there is a leader nobody else is elected',
      'of many candidates one leads at a time',
      'out of contact a leader’s signal aborts',
    ],
  },
  {
    fault: 'elects a successor while the old leader believes to lead',
    wrap: leaderships(() => ({ signal: deaf() })),
    caught: [
      'resign ends the leadership',
      'when the leader closes its session, its signal aborts',
      'when the leader’s adapter stops, its signal aborts',
      'an expired session’s member vanishes, and its leadership passes on',
      'out of contact a leader’s signal aborts before another is elected',
    ],
  },
  {
    fault: 'numbers every election alike',
    wrap: leaderships(() => ({ epoch: 1 })),
    caught: ['of many candidates one leads at a time', 'resign ends the leadership, is idempotent'],
  },
  {
    fault: 'calls every end of a leadership a resignation',
    wrap: endings(() => new KagamiError('KAGAMI_STOPPED', 'the leadership is closed')),
    caught: [
      'a leadership whose session is closed ended with KAGAMI_SESSION_LOST',
      'a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE',
    ],
  },
  {
    fault: 'calls every end of a leadership the end of its session',
    wrap: endings(() => new KagamiError('KAGAMI_SESSION_LOST', 'connect again')),
    caught: [
      'a leadership that was resigned ended with KAGAMI_STOPPED',
      'a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE',
    ],
  },
  {
    fault: 'says that a suspended leader need not campaign again',
    wrap: endings((reason) => {
      const unavailable = isKagamiError(reason, 'KAGAMI_COORDINATOR_UNAVAILABLE')
      return unavailable ? new KagamiError(reason.code, reason.message) : reason
    }),
    caught: ['a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE, to be tried again'],
  },
  {
    fault: 'keeps an aborted campaign as a candidate',
    wrap: sessions((session) => ({
      campaign: ({ signal }) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
          if (signal.aborted) reject(signal.reason)
          else session.campaign({ signal: deaf() }).then(resolve, reject)
        }),
    })),
    caught: ['an aborted campaign rejects with the reason and is no candidate any more'],
  },
  {
    fault: 'has no successor for a leader that resigns',
    wrap: leaderships(() => ({ resign: async () => undefined })),
    caught: ['resign ends the leadership', 'of many candidates one leads at a time'],
  },
  {
    fault: 'does not compare versions',
    wrap: sessions((session) => ({
      write: async (name, bytes, _expected, options) => {
        for (;;) {
          try {
            return await session.write(name, bytes, (await session.read(name, options))?.version, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')) throw error
          }
        }
      },
    })),
    caught: [
      'a write with another version than the document’s is a conflict',
      'of many writers that expect one version',
    ],
  },
  {
    fault: 'compares and sets in two steps',
    wrap: sessions((session) => ({
      write: async (name, bytes, expected, options) => {
        const found = await session.read(name, options)
        if (found?.version !== expected) return session.write(name, bytes, expected, options)
        await new Promise((resolve) => setImmediate(resolve))
        for (;;) {
          try {
            return await session.write(name, bytes, (await session.read(name, options))?.version, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')) throw error
          }
        }
      },
    })),
    caught: ['of many writers that expect one version, one wins', 'concurrent increments by compare-and-set lose none'],
  },
  {
    fault: 'takes the same version again',
    wrap: sessions((session) => ({
      write: async (name, bytes, _expected, options) => {
        await session.write(name, bytes, (await session.read(name, options))?.version, options)
        return 1
      },
    })),
    caught: ['versions grow with every write', 'what was written is visible to everyone at once'],
  },
  {
    fault: 'acknowledges a write before others see it',
    wrap: sessions((session) => ({
      write: async (name, bytes, expected, options) => {
        options.signal.throwIfAborted()
        setTimeout(() => void session.write(name, bytes, expected, options).catch(() => undefined), 20)
        return (expected ?? 0) + 1
      },
    })),
    caught: ['what was written is visible to everyone at once'],
  },
  {
    fault: 'drops the last change from its watches',
    wrap: watches(async function* (states) {
      let held: ReadonlyMap<string, Document> | undefined
      let first = true
      for await (const state of states) {
        if (first) yield state
        else if (held !== undefined) yield held
        held = first ? undefined : state
        first = false
      }
    }),
    caught: ['each change reaches every watch', 'after a burst of changes a watch ends at the last state'],
  },
  {
    fault: 'queues every state of its watches',
    wrap: (coordinator) => {
      return brokenSessions(coordinator, (session) => ({
        watch: async function* (prefix, options) {
          const queue: ReadonlyMap<string, Document>[] = []
          let wake = (): void => undefined
          const pump = async (): Promise<void> => {
            for await (const state of session.watch(prefix, options)) {
              queue.push(state)
              wake()
            }
          }
          pump().catch(() => undefined)
          for (;;) {
            options.signal.throwIfAborted()
            const state = queue.shift()
            if (state !== undefined) yield state
            else await new Promise<void>((resolve) => (wake = resolve))
          }
        },
      }))
    },
    caught: ['after a burst of changes a watch ends at the last state, with fewer states'],
  },
  {
    fault: 'shows only what has changed',
    wrap: watches(async function* (states) {
      let before: ReadonlyMap<string, Document> = new Map()
      for await (const state of states) {
        const known = before
        before = state
        yield new Map([...state].filter(([name, document]) => known.get(name) !== document))
      }
    }),
    caught: ['a document that has not changed is the same object'],
  },
  {
    fault: 'makes new objects for each state',
    wrap: watches(async function* (states) {
      for await (const state of states) yield new Map([...state].map(([name, document]) => [name, { ...document }]))
    }),
    caught: ['a document that has not changed is the same object as before'],
  },
  {
    fault: 'begins a watch with the first change',
    wrap: watches(async function* (states) {
      let first = true
      for await (const state of states) {
        if (!first) yield state
        first = false
      }
    }),
    caught: ['a watch begins with the present state', 'a watch shows the documents whose names start'],
  },
  {
    fault: 'takes a prefix for a folder',
    wrap: watches(async function* (states, prefix) {
      const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`
      for await (const state of states) yield new Map([...state].filter(([name]) => name.startsWith(folder)))
    }),
    caught: ['a watch shows the documents whose names start with the prefix'],
  },
  {
    fault: 'shows documents in no order',
    wrap: watches(async function* (states) {
      for await (const state of states) yield new Map([...state].toReversed())
    }),
    caught: ['a watch shows the documents whose names start with the prefix, by name'],
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
    fault: 'does not listen to signals',
    wrap: sessions((session) => ({
      read: (name) => session.read(name, { signal: deaf() }),
      watch: (prefix) => session.watch(prefix, { signal: deaf() }),
      watchMembers: () => session.watchMembers({ signal: deaf() }),
    })),
    caught: ['every call whose signal has aborted', 'an abort ends a watch that waits'],
  },
  {
    fault: 'cuts documents to what fits',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => ({
        write: (name, bytes, expected, options) =>
          session.write(name, bytes.subarray(0, coordinator.maxDocumentBytes), expected, options),
      })),
    caught: ['a document that is too large is refused'],
  },
  {
    fault: 'takes smaller documents than it says',
    wrap: (coordinator) => delegate(coordinator, { maxDocumentBytes: 2_097_152 }),
    caught: ['documents of any size up to maxDocumentBytes'],
  },
  {
    fault: 'makes up an answer while it is out of contact',
    wrap: sessions((session) => ({
      read: (name, options) =>
        session.read(name, options).catch((error: unknown) => {
          if (!isKagamiError(error, 'KAGAMI_COORDINATOR_UNAVAILABLE')) throw error
          return undefined
        }),
    })),
    caught: ['out of contact nothing is made up'],
  },
  {
    fault: 'ends a leadership at the first loss of contact',
    wrap: sessions((session) => ({
      campaign: async (options) => {
        const leadership = await session.campaign(options)
        const short = new AbortController()
        const probe = setInterval(() => {
          session.read('probe', { signal: deaf() }).catch(() => short.abort())
        }, 2)
        leadership.signal.addEventListener('abort', () => {
          clearInterval(probe)
          short.abort()
        })
        return delegate(leadership, { signal: short.signal })
      },
    })),
    caught: ['a short loss of contact costs nothing'],
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
    fault: 'makes a member of every candidate',
    wrap: sessions((session) => ({
      campaign: async (options) => {
        await session.join({ node: 'candidate', member: session.id, data: new Uint8Array() }, options)
        return session.campaign(options)
      },
    })),
    caught: ['a session may campaign without having joined, and a campaign makes no member'],
  },
  {
    fault: 'elects nobody who stands alone',
    wrap: sessions(() => ({
      campaign: ({ signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })),
    caught: ['a session that campaigns alone becomes the leader'],
  },
  {
    fault: 'takes a leader that resigns for one that has left',
    wrap: sessions((session) => ({
      campaign: async (options) => delegate(await session.campaign(options), { resign: () => session.close() }),
    })),
    caught: ['members and leaders are apart'],
  },
  {
    fault: 'makes up documents that were never written',
    wrap: sessions((session) => ({
      read: async (name, options) =>
        (await session.read(name, options)) ?? { name, version: 0, bytes: new Uint8Array() },
    })),
    caught: ['a document that was never written is undefined'],
  },
]
