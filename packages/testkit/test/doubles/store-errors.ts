/** Snapshot stores whose errors, or whose silence about one, mislead whoever decides by them. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { KagamiErrorCode, SnapshotStore } from '@kagami/core/contract'
import type { BrokenStore } from './broken-store.js'
import { creating, listing } from './broken-store.js'
import { deaf, delegate } from './delegate.js'
import { contrary, raising } from './raising.js'

function saying(code: KagamiErrorCode, method?: string): (store: SnapshotStore) => SnapshotStore {
  return (store) => raising(store, contrary(code), method)
}

export const storesWithMisleadingErrors: readonly BrokenStore[] = [
  {
    fault: 'lists nothing during an outage, instead of rejecting',
    wrap: (store) => delegate(store, { list: (token, options) => store.list(token, options).catch(() => []) }),
    caught: ['during an outage every call rejects'],
  },
  {
    fault: 'reports an outage as a snapshot that is missing',
    wrap: (store) =>
      delegate(store, {
        open: async function* (token, id, options) {
          const known = await store.list(token, options).catch(() => [])
          if (known.length > 0) yield* store.open(token, id, options)
          else yield* store.open('nobody', 'nothing', { signal: options.signal })
        },
        delete: (token, id, options) => store.delete(token, id, options).catch(() => undefined),
      }),
    caught: ['during an outage every call rejects'],
  },
  {
    fault: 'reads a damaged blob to its end',
    wrap: (store) =>
      delegate(store, {
        open: async function* (token, id, options) {
          try {
            yield* store.open(token, id, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_SNAPSHOT_CORRUPT')) throw error
          }
        },
      }),
    caught: ['a flipped bit is KAGAMI_SNAPSHOT_CORRUPT', 'a blob that was cut short is KAGAMI_SNAPSHOT_CORRUPT'],
  },
  {
    fault: 'does not listen to signals',
    wrap: (store) =>
      delegate(store, {
        create: (meta, chunks) => store.create(meta, chunks, { signal: deaf() }),
        list: (token) => store.list(token, { signal: deaf() }),
        open: (token, id) => store.open(token, id, { signal: deaf() }),
        delete: (token, id) => store.delete(token, id, { signal: deaf() }),
      }),
    caught: [
      'an abort leaves nothing, rejects with the reason',
      'an abort ends a create whose stream hangs',
      'every call whose signal has aborted',
      'an abort ends a reading',
    ],
  },
  {
    fault: 'opens a missing snapshot as an empty one',
    wrap: (store) =>
      delegate(store, {
        open: async function* (token, id, options) {
          try {
            yield* store.open(token, id, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_SNAPSHOT_MISSING')) throw error
          }
        },
      }),
    caught: [
      'opening what was never there is KAGAMI_SNAPSHOT_MISSING',
      'a deleted snapshot is neither listed nor opened',
    ],
  },
  {
    fault: 'publishes what fits when it is full',
    wrap: creating((store, meta, chunks, options) =>
      store.create(meta, chunks, options).catch((error: unknown) => {
        if (!isKagamiError(error, 'KAGAMI_STORE_FULL')) throw error
        return { meta, bytes: 0 }
      }),
    ),
    caught: ['a full store rejects with KAGAMI_STORE_FULL'],
  },
  {
    fault: 'misses a snapshot where a token has none',
    wrap: listing((refs) => {
      if (refs.length === 0) throw new KagamiError('KAGAMI_SNAPSHOT_MISSING', 'there is no snapshot')
      return refs
    }),
    caught: ['the list of a token without snapshots is empty'],
  },
  {
    fault: 'says that a damaged blob may be whole later',
    wrap: saying('KAGAMI_SNAPSHOT_CORRUPT'),
    caught: ['a flipped bit is KAGAMI_SNAPSHOT_CORRUPT'],
  },
  {
    fault: 'says that a snapshot which is not there may come',
    wrap: saying('KAGAMI_SNAPSHOT_MISSING'),
    caught: ['opening what was never there is KAGAMI_SNAPSHOT_MISSING', 'a deleted snapshot is neither listed'],
  },
  {
    fault: 'says that an id which is taken may be free later',
    wrap: saying('KAGAMI_SNAPSHOT_EXISTS'),
    caught: ['an id that is published is never overwritten', 'of twenty publishers of one id, one wins'],
  },
  {
    fault: 'says that it will be full for ever',
    wrap: saying('KAGAMI_STORE_FULL'),
    caught: ['a full store rejects with KAGAMI_STORE_FULL'],
  },
  ...['create', 'list', 'open', 'delete'].map((method) => ({
    fault: `says at ${method}() that an outage will last for ever`,
    wrap: saying('KAGAMI_STORE_UNAVAILABLE', method),
    caught: ['during an outage every call rejects'],
  })),
  {
    fault: 'does not declare a fault that can be caused',
    wrap: (store) => store,
    claims: { corrupt: false },
    caught: ['declares'],
  },
]
