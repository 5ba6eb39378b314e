/** State machines with one fault each, and the cases of the suite that must catch it. */
import type { Entry, RestoreInfo, StateSnapshot } from '@kagami/core/contract'
import { KeyValue } from '../machine.js'
import type { Command, Result } from '../machine.js'

export interface BrokenMachine {
  readonly fault: string
  readonly make: () => KeyValue
  readonly caught: readonly string[]
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Several machines that look at one state. */
function sharing(): () => KeyValue {
  const values = new Map<string, number>()
  return () => {
    const machine = new KeyValue()
    machine.values = values
    return machine
  }
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes
}

export const brokenMachines: readonly BrokenMachine[] = [
  {
    fault: 'throws dice',
    make: () =>
      new (class extends KeyValue {
        override apply(entry: Entry<Command>): Result {
          const result = super.apply(entry)
          if (Math.random() < 0.5) this.values.set(entry.value.key, -1)
          return result
        }
      })(),
    caught: [
      'two machines that have applied the same entries',
      'a snapshot and the remaining entries are as good as all',
    ],
  },
  {
    fault: 'looks at the clock',
    make: () =>
      new (class extends KeyValue {
        override apply(entry: Entry<Command>): Result {
          const day = Math.floor(Date.now() / 86_400_000)
          return super.apply({ ...entry, value: { ...entry.value, amount: entry.value.amount + day } })
        }
      })(),
    caught: ['apply depends on the state and the entry only'],
  },
  {
    fault: 'looks at the clock through a new Date',
    make: () =>
      new (class extends KeyValue {
        override apply(entry: Entry<Command>): Result {
          return super.apply({ ...entry, value: { ...entry.value, amount: new Date().getUTCFullYear() } })
        }
      })(),
    caught: ['apply depends on the state and the entry only'],
  },
  {
    fault: 'applies later',
    make: () =>
      new (class extends KeyValue {
        override apply(entry: Entry<Command>): Result {
          setImmediate(() => super.apply(entry))
          return { version: 0, value: undefined }
        }
      })(),
    caught: ['apply is synchronous: it returns no promise, and nothing of it happens later'],
  },
  {
    fault: 'applies asynchronously',
    make: () =>
      new (class extends KeyValue {
        override apply(entry: Entry<Command>): Result {
          return Promise.resolve(super.apply(entry)) as unknown as Result
        }
      })(),
    caught: ['apply is synchronous: it returns no promise'],
  },
  {
    fault: 'shares its state with every other',
    make: sharing(),
    caught: ['machines share nothing', 'two machines that have applied the same entries'],
  },
  {
    fault: 'shows later writes in its snapshot',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const late = (): StateSnapshot => super.snapshot()
          return { persist: (options) => late().persist(options), release: () => undefined }
        }
      })(),
    caught: ['a capture shows the state at its moment, though entries are applied before it is persisted'],
  },
  {
    fault: 'reads its live state chunk by chunk while it is persisted',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const { version, values } = this
          return {
            async *persist({ signal }) {
              yield encode(`${version}\n`)
              for (const [key, value] of values) {
                signal.throwIfAborted()
                yield encode(`${key} ${value}\n`)
              }
            },
            release: () => undefined,
          }
        }
      })(),
    caught: ['a capture shows the state at its moment, though entries are applied between its chunks'],
  },
  {
    fault: 'forgets a part of the state in its snapshot',
    make: () =>
      new (class extends KeyValue {
        override async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
          await super.restore(chunks, info)
          this.version = 0
        }
      })(),
    caught: ['a snapshot and the remaining entries are as good as all', 'a snapshot of a restored machine'],
  },
  {
    fault: 'restores on top of what is there',
    make: () =>
      new (class extends KeyValue {
        override async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
          const before = this.values
          await super.restore(chunks, info)
          this.values = new Map([...before, ...this.values])
        }
      })(),
    caught: ['restore replaces the whole state'],
  },
  {
    fault: 'takes each chunk for a line',
    make: () =>
      new (class extends KeyValue {
        override async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
          const lines: string[] = []
          for await (const chunk of chunks) lines.push(...Buffer.from(chunk).toString().trim().split('\n'))
          await super.restore(once(encode(lines.join('\n'))), info)
        }
      })(),
    caught: ['restore takes the bytes in chunks of any size'],
  },
  {
    fault: 'takes an empty chunk for the end',
    make: () =>
      new (class extends KeyValue {
        override async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
          async function* first(): AsyncGenerator<Uint8Array, void, void> {
            for await (const chunk of chunks) {
              if (chunk.byteLength === 0) return
              yield chunk
            }
          }
          await super.restore(first(), info)
        }
      })(),
    caught: ['restore takes empty chunks as nothing'],
  },
  {
    fault: 'takes half a snapshot when the stream fails',
    make: () =>
      new (class extends KeyValue {
        override async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
          async function* lenient(): AsyncGenerator<Uint8Array, void, void> {
            try {
              yield* chunks
            } catch {
              return
            }
          }
          await super.restore(lenient(), info)
        }
      })(),
    caught: ['restore rejects when its stream fails'],
  },
  {
    fault: 'does not listen to the signal',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const inner = super.snapshot()
          const { signal } = new AbortController()
          return { persist: () => inner.persist({ signal }), release: () => inner.release() }
        }
      })(),
    caught: ['a persist whose signal has aborted', 'an abort between two chunks'],
  },
  {
    fault: 'ends quietly when it is aborted',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const inner = super.snapshot()
          return {
            async *persist(options) {
              try {
                yield* inner.persist(options)
              } catch {
                return
              }
            },
            release: () => inner.release(),
          }
        }
      })(),
    caught: ['a persist whose signal has aborted ends with the reason', 'an abort between two chunks ends the persist'],
  },
  {
    fault: 'uses one buffer for every chunk',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const inner = super.snapshot()
          const buffer = new Uint8Array(1000)
          return {
            async *persist(options) {
              for await (const chunk of inner.persist(options)) {
                buffer.set(chunk)
                yield buffer.subarray(0, chunk.byteLength)
              }
            },
            release: () => inner.release(),
          }
        }
      })(),
    caught: ['persisted chunks belong to the caller'],
  },
  {
    fault: 'throws at a release without a persist',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const inner = super.snapshot()
          let begun = false
          return {
            persist: (options) => {
              begun = true
              return inner.persist(options)
            },
            release: () => {
              if (!begun) throw new Error('nothing to release')
            },
          }
        }
      })(),
    caught: ['a capture may be released without having been persisted'],
  },
  {
    fault: 'empties itself at a release',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          const inner = super.snapshot()
          return { persist: (options) => inner.persist(options), release: () => this.values.clear() }
        }
      })(),
    caught: ['a capture changes nothing', 'a release after a persist that was left early'],
  },
  {
    fault: 'counts its snapshots in its state',
    make: () =>
      new (class extends KeyValue {
        override snapshot(): StateSnapshot {
          this.version += 1
          return super.snapshot()
        }
      })(),
    caught: ['a capture changes nothing: the machine goes on as if there had been none'],
  },
  {
    fault: 'says no whole number for its schema',
    make: () =>
      new (class extends KeyValue {
        override readonly schemaVersion = 1.5
      })(),
    caught: ['schemaVersion is a whole number'],
  },
  {
    fault: 'restores a copy of itself, and forgets to wait for it',
    make: () =>
      new (class extends KeyValue {
        override async restore(chunks: AsyncIterable<Uint8Array>, info: RestoreInfo): Promise<void> {
          const bytes = await joined(chunks)
          setImmediate(() => void super.restore(once(bytes), info))
        }
      })(),
    caught: ['a snapshot and the remaining entries are as good as all', 'restore replaces the whole state'],
  },
]
