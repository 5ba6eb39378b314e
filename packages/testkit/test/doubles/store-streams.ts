/** Snapshot stores with one fault each in the streams that they are given and give, and the cases of the suite that must catch it. */
import { isKagamiError } from '@kagami/core/contract'
import type { BrokenStore } from './broken-store.js'
import { of, untilItFails, creating } from './broken-store.js'
import { deaf, delegate } from './delegate.js'

export const storesWithBrokenStreams: readonly BrokenStore[] = [
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
    fault: 'refuses an empty blob',
    wrap: creating(async (store, meta, chunks, options) => {
      const ref = await store.create(meta, chunks, options)
      if (ref.bytes > 0) return ref
      await store.delete(meta.token, meta.id, options)
      throw new Error('a snapshot of nothing')
    }),
    caught: ['an empty blob is a snapshot too'],
  },
]
