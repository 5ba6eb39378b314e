/** Coordinators with one fault each in the documents that they keep, and the cases of the suite that must catch it. */
import { isKagamiError } from '@kagami/core/contract'
import type { Document } from '@kagami/core/contract'
import type { BrokenCoordinator } from './broken-coordinator.js'
import { sessions } from './broken-coordinator.js'
import { brokenSessions, deaf, delegate, perWorld, rejectionOf } from './delegate.js'

export const coordinatorsWithBrokenDocuments: readonly BrokenCoordinator[] = [
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
    fault: 'makes up documents that were never written',
    wrap: sessions((session) => ({
      read: async (name, options) =>
        (await session.read(name, options)) ?? { name, version: 0, bytes: new Uint8Array() },
    })),
    caught: ['a document that was never written is undefined'],
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
]
