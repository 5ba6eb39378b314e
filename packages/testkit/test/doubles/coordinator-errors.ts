/** Coordinators whose errors, or whose silence about one, mislead whoever decides by them. */
import { isKagamiError } from '@kagami/core/contract'
import type { Coordinator, Document, KagamiErrorCode } from '@kagami/core/contract'
import type { BrokenCoordinator } from './coordinators.js'
import { brokenSessions, deaf, rejectionOf } from './delegate.js'
import { contrary, raising } from './raising.js'

function saying(code: KagamiErrorCode, method?: string): (coordinator: Coordinator) => Coordinator {
  return (coordinator) => raising(coordinator, contrary(code), method)
}

const madeUp = 'out of contact nothing is made up'

export const coordinatorsWithMisleadingErrors: readonly BrokenCoordinator[] = [
  ...['read', 'write', 'join'].map((method) => ({
    fault: `says at ${method}() that the contact will never come back`,
    wrap: saying('KAGAMI_COORDINATOR_UNAVAILABLE', method),
    caught: [madeUp],
  })),
  {
    fault: 'says at connect() that an outage will last for ever',
    wrap: saying('KAGAMI_COORDINATOR_UNAVAILABLE', 'connect'),
    caught: ['during an outage connect rejects with KAGAMI_COORDINATOR_UNAVAILABLE'],
  },
  {
    fault: 'says that a node id is taken for ever',
    wrap: saying('KAGAMI_NODE_ID_TAKEN'),
    caught: [
      'a node id is taken while another live session holds it',
      'of several sessions that join as one node at once',
    ],
  },
  {
    fault: 'says that a write which lost may win later',
    wrap: saying('KAGAMI_VERSION_CONFLICT'),
    caught: ['a write with another version than the document’s is a conflict'],
  },
  {
    fault: 'says that it may take too large a document later',
    wrap: saying('KAGAMI_DOCUMENT_TOO_LARGE'),
    caught: ['a document that is too large is refused'],
  },
  {
    fault: 'says that it will be full for ever',
    wrap: saying('KAGAMI_STORE_FULL'),
    caught: ['a full coordinator rejects writes with KAGAMI_STORE_FULL'],
  },
  {
    fault: 'says that a session which is over may come back',
    wrap: saying('KAGAMI_SESSION_LOST'),
    caught: ['close ends the session', 'an expired session is over for good'],
  },
  {
    fault: 'answers out of contact what it has read before',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => {
        const known = new Map<string, Document | undefined>()
        return {
          read: async (name, options) => {
            try {
              const document = await session.read(name, options)
              known.set(name, document)
              return document
            } catch (error) {
              if (!isKagamiError(error, 'KAGAMI_COORDINATOR_UNAVAILABLE') || !known.has(name)) throw error
              return known.get(name)
            }
          },
        }
      }),
    caught: [madeUp],
  },
  {
    fault: 'takes an update for a join',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => ({ update: (record, options) => session.join(record, options) })),
    caught: ['update is refused before join, and as another node or member'],
  },
  {
    fault: 'keeps the writer’s bytes',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => {
        const kept = new Map<string, Uint8Array>()
        return {
          write: async (name, bytes, expected, options) => {
            const version = await session.write(name, bytes, expected, options)
            kept.set(`${name} ${version}`, bytes)
            return version
          },
          read: async (name, options) => {
            const document = await session.read(name, options)
            return document && { ...document, bytes: kept.get(`${name} ${document.version}`) ?? document.bytes }
          },
        }
      }),
    caught: ['the bytes that were written are the writer’s again'],
  },
  {
    fault: 'writes what was aborted, whatever its bytes are by then',
    wrap: (coordinator) =>
      brokenSessions(coordinator, (session) => ({
        write: async (name, bytes, expected, { signal }) => {
          const late = new Promise<void>((resolve) => setTimeout(resolve, 5))
          const version = late.then(() => session.write(name, bytes, expected, { signal: deaf() }))
          return Promise.race([version, rejectionOf(signal)])
        },
      })),
    caught: ['a write that is aborted under way writes what it was given'],
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
