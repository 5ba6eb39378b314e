/** Coordinators whose errors, or whose silence about one, mislead whoever decides by them. */
import { isKagamiError } from '@kagami/core/contract'
import type { Coordinator, Document, KagamiErrorCode } from '@kagami/core/contract'
import type { BrokenCoordinator } from './broken-coordinator.js'
import { sessions } from './broken-coordinator.js'
import { brokenSessions, deaf } from './delegate.js'
import { contrary, raising } from './raising.js'

function saying(code: KagamiErrorCode, method?: string): (coordinator: Coordinator) => Coordinator {
  return (coordinator) => raising(coordinator, contrary(code), method)
}

const madeUp = 'out of contact nothing is made up'

export const coordinatorsWithMisleadingErrors: readonly BrokenCoordinator[] = [
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
    fault: 'does not listen to signals',
    wrap: sessions((session) => ({
      read: (name) => session.read(name, { signal: deaf() }),
      watch: (prefix) => session.watch(prefix, { signal: deaf() }),
      watchMembers: () => session.watchMembers({ signal: deaf() }),
    })),
    caught: ['every call whose signal has aborted', 'an abort ends a watch that waits'],
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
    fault: 'does not declare a fault that can be caused',
    wrap: (coordinator) => coordinator,
    claims: { expire: false },
    caught: ['declares'],
  },
]
