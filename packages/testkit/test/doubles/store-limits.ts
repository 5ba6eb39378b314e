/** Snapshot stores that bear too little at once, and the cases of the suite that must catch it. */
import { KagamiError } from '@kagami/core/contract'
import type { SnapshotRef } from '@kagami/core/contract'
import type { BrokenStore } from './broken-store.js'
import { atMost, delegate, perWorld } from './delegate.js'

export const storesWithTightLimits: readonly BrokenStore[] = [
  {
    fault: 'writes one snapshot of a token at a time, and refuses the others',
    wrap: perWorld(() => {
      const busy = new Set<string>()
      return (store) =>
        delegate(store, {
          create: async (meta, chunks, options) => {
            if (busy.has(meta.token)) throw new Error('busy')
            busy.add(meta.token)
            return store.create(meta, chunks, options).finally(() => busy.delete(meta.token))
          },
        })
    }),
    caught: ['two snapshots of one token may be written at once, each whole'],
  },
  {
    fault: 'gives each id once, whatever the token',
    wrap: perWorld(() => {
      const ids = new Set<string>()
      return (store) =>
        delegate(store, {
          create: async (meta, chunks, options) => {
            if (ids.has(meta.id)) throw new KagamiError('KAGAMI_SNAPSHOT_EXISTS', `there is a snapshot ${meta.id}`)
            ids.add(meta.id)
            return store.create(meta, chunks, options)
          },
        })
    }),
    caught: ['two tokens may use one id'],
  },
  {
    fault: 'stops when what it is writing has come to its end',
    wrap: (store) => {
      const writing = new Set<Promise<SnapshotRef>>()
      return delegate(store, {
        create: (...given) => {
          const created = store.create(...given)
          writing.add(created)
          return created
        },
        stop: async () => {
          await Promise.allSettled(writing)
          await store.stop()
        },
      })
    },
    caught: ['a stop ends a create under way, which leaves nothing'],
  },
  {
    fault: 'has only so many readers, and counts those that were left',
    wrap: (store) => {
      const begin = atMost(100)
      return delegate(store, {
        open: async function* (...given) {
          begin()
          yield* store.open(...given)
        },
      })
    },
    caught: ['a reader may return early, again and again, and the snapshot can then be deleted'],
  },
  {
    fault: 'holds a whole blob in memory, though it claims not to',
    wrap: (store) => store,
    claims: { boundedMemory: true },
    caught: ['memory stays bounded while 64 MiB'],
  },
]
