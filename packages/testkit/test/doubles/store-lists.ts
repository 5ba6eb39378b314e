/** Snapshot stores with one fault each in what they name, list and keep, and the cases of the suite that must catch it. */
import { isKagamiError } from '@kagami/core/contract'
import type { SnapshotMeta, SnapshotRef } from '@kagami/core/contract'
import type { BrokenStore } from './broken-store.js'
import { of, creating, listing, naming } from './broken-store.js'
import { deaf, delegate } from './delegate.js'

export const storesWithBrokenLists: readonly BrokenStore[] = [
  {
    fault: 'lists the oldest first',
    wrap: listing((refs) => refs.toReversed()),
    caught: ['the list is newest first', 'a process sees at once'],
  },
  {
    fault: 'lists by time',
    wrap: listing((refs) => refs.toSorted((a, b) => b.meta.takenAtMs - a.meta.takenAtMs)),
    caught: ['the list is newest first'],
  },
  {
    fault: 'lists by id',
    wrap: listing((refs) => refs.toSorted((a, b) => (a.meta.id < b.meta.id ? 1 : -1))),
    caught: ['the list is newest first'],
  },
  {
    fault: 'overwrites an id that exists',
    wrap: creating(async (store, meta, chunks, options) => {
      options.signal.throwIfAborted()
      const all: Uint8Array[] = []
      for await (const chunk of chunks) all.push(chunk.slice())
      for (;;) {
        try {
          return await store.create(meta, of(all), options)
        } catch (error) {
          if (!isKagamiError(error, 'KAGAMI_SNAPSHOT_EXISTS')) throw error
          await store.delete(meta.token, meta.id, options)
        }
      }
    }),
    caught: ['an id that is published is never overwritten', 'of twenty publishers of one id, one wins'],
  },
  {
    fault: 'believes every publisher that it has won',
    wrap: creating((store, meta, chunks, options) =>
      store.create(meta, chunks, options).catch((error: unknown) => {
        if (!isKagamiError(error, 'KAGAMI_SNAPSHOT_EXISTS')) throw error
        return { meta, bytes: 0 }
      }),
    ),
    caught: ['an id that is published is never overwritten', 'of twenty publishers of one id, one wins'],
  },
  {
    fault: 'changes a number of the metadata on its way',
    wrap: creating((store, meta, chunks, options) =>
      store.create(
        { ...meta, anchor: { ...meta.anchor, offset: String(Number(meta.anchor.offset)) } },
        chunks,
        options,
      ),
    ),
    caught: ['metadata comes back equal'],
  },
  {
    fault: 'makes a safe file name of the token, the same for several',
    wrap: naming((name) => name.replaceAll(/[^A-Za-z0-9]/g, '_'), 'token'),
    caught: ['tokens of any name are kept apart'],
  },
  {
    fault: 'does not tell upper from lower case',
    wrap: naming((name) => name.toLowerCase(), 'id'),
    caught: ['ids that use the whole alphabet'],
  },
  {
    fault: 'normalizes Unicode',
    wrap: naming((name) => name.normalize('NFC'), 'token'),
    caught: ['tokens of any name are kept apart'],
  },
  {
    fault: 'refuses long tokens',
    wrap: naming((name) => {
      if (Buffer.byteLength(name) > 255) throw new Error('ENAMETOOLONG')
      return name
    }, 'token'),
    caught: ['tokens of any name are kept apart'],
  },
  {
    fault: 'leaves out what it can not read without a word',
    wrap: (store) =>
      delegate(store, {
        start: (context) => store.start({ ...context, logger: { ...context.logger, warn: () => undefined } }),
      }),
    caught: ['a snapshot whose metadata can not be read is left out of the list, and logged'],
  },
  {
    fault: 'does not delete',
    wrap: (store) => delegate(store, { delete: async (_token, _id, { signal }) => signal.throwIfAborted() }),
    caught: ['a deleted snapshot is neither listed nor opened', 'a process sees at once'],
  },
  {
    fault: 'deletes the id of every token',
    wrap: (store) => {
      const tokens = new Set<string>()
      return delegate(store, {
        create: (meta, chunks, options) => {
          tokens.add(meta.token)
          return store.create(meta, chunks, options)
        },
        delete: async (_token, id, options) => {
          for (const token of tokens) await store.delete(token, id, options)
        },
      })
    },
    caught: ['tokens of any name are kept apart'],
  },
  {
    fault: 'remembers its first list',
    wrap: (store) => {
      const lists = new Map<string, Promise<readonly SnapshotRef[]>>()
      return delegate(store, {
        list: (token, options) => {
          const list = lists.get(token) ?? store.list(token, options)
          lists.set(token, list)
          return list
        },
      })
    },
    caught: ['a process sees at once what it has published or deleted'],
  },
  {
    fault: 'shares its snapshots with every cluster',
    wrap: (store) => delegate(store, { start: (context) => store.start({ ...context, cluster: 'one for all' }) }),
    caught: ['clusters do not see one another’s snapshots'],
  },
  {
    fault: 'takes its snapshots along when it stops',
    wrap: (store) => {
      const own: SnapshotMeta[] = []
      return delegate(store, {
        create: (meta, chunks, options) => {
          own.push(meta)
          return store.create(meta, chunks, options)
        },
        stop: async () => {
          for (const { token, id } of own.splice(0)) await store.delete(token, id, { signal: deaf() })
          await store.stop()
        },
      })
    },
    caught: ['a published snapshot outlives the adapter that published it'],
  },
]
