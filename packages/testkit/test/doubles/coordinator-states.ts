/** Coordinators with one fault each in what they keep, and for how long, and the cases of the suite that must catch it. */
import type { Document, MemberRecord } from '@kagami/core/contract'
import type { BrokenCoordinator } from './coordinators.js'
import { sessions } from './coordinators.js'
import { atMost, brokenSessions, delegate, perWorld } from './delegate.js'

export const coordinatorsWithBrokenStates: readonly BrokenCoordinator[] = [
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
    fault: 'takes the documents along that it has written when it stops',
    wrap: perWorld(() => {
      const gone = new Set<string>()
      return (coordinator) => {
        const own = new Set<string>()
        const inner = brokenSessions(coordinator, (session) => ({
          write: (name, ...given) => {
            own.add(name)
            return session.write(name, ...given)
          },
          read: async (name, options) => (gone.has(name) ? undefined : session.read(name, options)),
        }))
        return delegate(inner, {
          stop: async () => {
            for (const name of own) gone.add(name)
            await coordinator.stop()
          },
        })
      }
    }),
    caught: ['documents outlive the session that wrote them'],
  },
  {
    fault: 'does not tell upper from lower case',
    wrap: sessions((session) => ({
      read: (name, options) => session.read(name.toLowerCase(), options),
      write: (name, ...given) => session.write(name.toLowerCase(), ...given),
    })),
    caught: ['names may use their whole alphabet'],
  },
  {
    fault: 'shows a session only what it has written itself',
    wrap: sessions((session) => {
      const own = new Set<string>()
      return {
        read: async (name, options) => (own.has(name) ? session.read(name, options) : undefined),
        write: (name, ...given) => {
          own.add(name)
          return session.write(name, ...given)
        },
      }
    }),
    caught: ['documents survive an outage', 'what was written is visible to everyone at once'],
  },
  {
    fault: 'remembers documents that were lost',
    wrap: perWorld(() => {
      const known = new Map<string, Document>()
      return (coordinator) =>
        brokenSessions(coordinator, (session) => ({
          write: async (name, bytes, ...given) => {
            const version = await session.write(name, bytes, ...given)
            known.set(name, { name, version, bytes })
            return version
          },
          read: async (name, options) => (await session.read(name, options)) ?? known.get(name),
        }))
    }),
    caught: ['when the coordinator loses its documents, they are gone for everyone'],
  },
  {
    fault: 'does not declare a fault that can be caused',
    wrap: (coordinator) => coordinator,
    claims: { expire: false },
    caught: ['declares'],
  },
]
