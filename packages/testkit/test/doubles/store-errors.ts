/** Snapshot stores whose errors mislead whoever decides by them. */
import type { KagamiErrorCode, SnapshotStore } from '@kagami/core/contract'
import { contrary, raising } from './raising.js'
import type { BrokenStore } from './snapshot-stores.js'

function saying(code: KagamiErrorCode, method?: string): (store: SnapshotStore) => SnapshotStore {
  return (store) => raising(store, contrary(code), method)
}

export const storesWithMisleadingErrors: readonly BrokenStore[] = [
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
]
