/** Snapshot stores with one fault each, and the cases of the suite that must catch it. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { CallOptions, SnapshotMeta, SnapshotRef, SnapshotStore } from '@kagami/core/contract'
import type { SnapshotStoreCapabilities } from '../../src/suites/snapshot-store.js'
import { deaf, delegate } from './delegate.js'

export interface BrokenStore {
  readonly fault: string
  /** `world` is one for all the adapters of a case. */
  readonly wrap: (store: SnapshotStore, world: object) => SnapshotStore
  readonly caught: readonly string[]
  /** What it declares, where that is another thing than it can. */
  readonly claims?: Partial<SnapshotStoreCapabilities>
}

type Chunks = AsyncIterable<Uint8Array>

async function* of(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  yield* chunks
}

/** A store that passes on what it has so far when the stream fails. */
async function* untilItFails(chunks: Chunks): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* chunks
  } catch {
    return
  }
}

function creating(
  change: (store: SnapshotStore, meta: SnapshotMeta, chunks: Chunks, options: CallOptions) => Promise<SnapshotRef>,
): (store: SnapshotStore) => SnapshotStore {
  return (store) => delegate(store, { create: (meta, chunks, options) => change(store, meta, chunks, options) })
}

function listing(
  change: (refs: readonly SnapshotRef[]) => readonly SnapshotRef[],
): (store: SnapshotStore) => SnapshotStore {
  return (store) => delegate(store, { list: async (token, options) => change(await store.list(token, options)) })
}

/** A store that writes names in a way of its own. */
function naming(rename: (name: string) => string, what: 'token' | 'id'): (store: SnapshotStore) => SnapshotStore {
  const token = what === 'token' ? rename : (name: string) => name
  const id = what === 'id' ? rename : (name: string) => name
  return (store) =>
    delegate(store, {
      create: (meta, chunks, options) =>
        store.create({ ...meta, token: token(meta.token), id: id(meta.id) }, chunks, options),
      list: (name, options) => store.list(token(name), options),
      open: (name, own, options) => store.open(token(name), id(own), options),
      delete: (name, own, options) => store.delete(token(name), id(own), options),
    })
}

export const brokenStores: readonly BrokenStore[] = [
  {
    fault: 'shows a snapshot while it is written',
    wrap: creating(async (store, meta, chunks, options) => {
      const all: Uint8Array[] = []
      for await (const chunk of chunks) {
        all.push(chunk.slice())
        await store.delete(meta.token, meta.id, options)
        await store.create(meta, of(all), options)
      }
      const [ref] = await store.list(meta.token, options)
      return ref ?? store.create(meta, of(all), options)
    }),
    caught: ['a snapshot is neither listed nor opened until create resolves', 'a stream that throws leaves nothing'],
  },
  {
    fault: 'publishes what it has when the stream fails',
    wrap: creating((store, meta, chunks, options) => store.create(meta, untilItFails(chunks), options)),
    caught: ['a stream that throws leaves nothing'],
  },
  {
    fault: 'wraps the stream’s error in its own',
    wrap: creating((store, meta, chunks, options) =>
      store.create(meta, chunks, options).catch((cause: unknown) => {
        throw isKagamiError(cause) || options.signal.aborted ? cause : new Error('create failed', { cause })
      }),
    ),
    caught: ['a stream that throws leaves nothing'],
  },
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
    fault: 'looks at the signal only when a chunk has come',
    wrap: creating(async (store, meta, chunks, options) => {
      async function* watched(): AsyncGenerator<Uint8Array, void, void> {
        for await (const chunk of chunks) {
          options.signal.throwIfAborted()
          yield chunk
        }
      }
      return store.create(meta, watched(), { signal: deaf() })
    }),
    caught: ['an abort ends a create whose stream hangs'],
  },
  {
    fault: 'leaves the stream open when it is aborted',
    wrap: creating((store, meta, chunks, options) => {
      const iterator = chunks[Symbol.asyncIterator]()
      const endless = { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) }
      return store.create(meta, endless, options)
    }),
    caught: ['an abort leaves nothing, rejects with the reason, and ends the stream'],
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
    fault: 'asks for several chunks at once',
    wrap: creating(async (store, meta, chunks, options) => {
      const iterator = chunks[Symbol.asyncIterator]()
      const steps = await Promise.all(Array.from({ length: 40 }, () => iterator.next()))
      return store.create(meta, of(steps.flatMap((step) => (step.value as Uint8Array | undefined) ?? [])), options)
    }),
    caught: ['chunks are asked for one at a time'],
  },
  {
    fault: 'keeps the chunks instead of their bytes',
    wrap: creating(async (store, meta, chunks, options) => {
      const all: Uint8Array[] = []
      for await (const chunk of chunks) all.push(chunk)
      return store.create(meta, of(all), options)
    }),
    caught: ['a chunk may be reused once the next is asked for'],
  },
  {
    fault: 'stops at an empty chunk',
    wrap: creating((store, meta, chunks, options) => {
      async function* first(): AsyncGenerator<Uint8Array, void, void> {
        for await (const chunk of chunks) {
          if (chunk.byteLength === 0) return
          yield chunk
        }
      }
      return store.create(meta, first(), options)
    }),
    caught: ['what was created is read back', 'chunks of any size are kept in order'],
  },
  {
    fault: 'gives the whole blob as one chunk',
    wrap: (store) =>
      delegate(store, {
        open: async function* (token, id, options) {
          const all: Uint8Array[] = []
          for await (const chunk of store.open(token, id, options)) all.push(chunk)
          yield Buffer.concat(all)
        },
      }),
    caught: ['a blob is read in chunks of at most about 1 MiB'],
  },
  {
    fault: 'gives its own memory to the reader',
    wrap: (store) => {
      const cache = new Map<string, Uint8Array[]>()
      return delegate(store, {
        open: async function* (token, id, options) {
          const all = cache.get(id) ?? []
          if (!cache.has(id)) for await (const chunk of store.open(token, id, options)) all.push(chunk)
          cache.set(id, all)
          yield* all
        },
      })
    },
    caught: ['a blob is read in chunks of at most about 1 MiB, which belong to the reader'],
  },
  {
    fault: 'ends a reading quietly when it is stopped',
    wrap: (store) =>
      delegate(store, {
        open: async function* (token, id, options) {
          try {
            yield* store.open(token, id, options)
          } catch (error) {
            if (!isKagamiError(error, 'KAGAMI_STOPPED')) throw error
          }
        },
      }),
    caught: ['a stop ends a reading'],
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
  {
    fault: 'refuses an empty blob',
    wrap: creating(async (store, meta, chunks, options) => {
      const ref = await store.create(meta, chunks, options)
      if (ref.bytes > 0) return ref
      await store.delete(meta.token, meta.id, options)
      throw new Error('a snapshot of nothing')
    }),
    caught: ['an empty blob is a snapshot too'],
  },
  {
    fault: 'has one reader for each snapshot, whoever opens it',
    wrap: (store) => {
      const readers = new Map<string, AsyncIterator<Uint8Array>>()
      return delegate(store, {
        open: (token, id, options) => ({
          [Symbol.asyncIterator]: () => {
            const key = JSON.stringify([token, id])
            const reader = readers.get(key) ?? store.open(token, id, options)[Symbol.asyncIterator]()
            readers.set(key, reader)
            return reader
          },
        }),
      })
    },
    caught: ['several readers read one snapshot at once'],
  },
  {
    fault: 'misses a snapshot where a token has none',
    wrap: listing((refs) => {
      if (refs.length === 0) throw new KagamiError('KAGAMI_SNAPSHOT_MISSING', 'there is no snapshot')
      return refs
    }),
    caught: ['the list of a token without snapshots is empty'],
  },
]
