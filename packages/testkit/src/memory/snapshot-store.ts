/** The in-memory snapshot store: one node's adapter to the snapshots of a world. It keeps no blob itself. */
import { types } from 'node:util'
import { crc32 } from 'node:zlib'
import { KagamiError } from '@kagami/core/contract'
import type { AdapterContext, CallOptions, SnapshotMeta, SnapshotRef, SnapshotStore } from '@kagami/core/contract'
import { Life } from './life.js'
import { StoredBlob } from './snapshot-server.js'
import type { SnapshotServer } from './snapshot-server.js'
import { throwIfAny, unlessAborted } from './waiting.js'

/** Blobs are read in chunks of at most so many bytes. */
const chunkBytes = 262_144

export class MemorySnapshotStore implements SnapshotStore {
  readonly name = 'memory'
  readonly #server: SnapshotServer
  readonly #life = new Life('snapshot store')

  constructor(server: SnapshotServer) {
    this.#server = server
  }

  async start(context: AdapterContext): Promise<void> {
    context.signal.throwIfAborted()
    if (!this.#server.reach.reaches(context.node)) throw unavailable()
    this.#life.start(context)
  }

  async stop(): Promise<void> {
    this.#life.stop()
  }

  async create(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>, options: CallOptions): Promise<SnapshotRef> {
    const cluster = this.#reach(options)
    const signals = [options.signal, this.#life.stopped]
    this.#checkWritable(cluster, meta)
    const blob = new StoredBlob()
    const source = chunks[Symbol.asyncIterator]()
    let ended = false
    try {
      for (;;) {
        const step = await unlessAborted(source.next(), signals).catch((error: unknown) => {
          // An iterator that threw is over; one that is only too slow for the signal must still be told to end.
          ended = !signals.some((signal) => signal.aborted)
          throw error
        })
        ended = step.done === true
        this.#checkWritable(cluster, meta)
        if (step.done === true) return this.#server.publish(cluster, meta, blob)
        if (!types.isUint8Array(step.value)) throw notBytes()
        for (let at = 0; at < step.value.byteLength; at += chunkBytes)
          blob.add(step.value.subarray(at, at + chunkBytes))
      }
    } finally {
      // Not awaited: a source that hangs in next() would never answer.
      if (!ended) source.return?.().catch(() => undefined)
    }
  }

  async list(token: string, options: CallOptions): Promise<readonly SnapshotRef[]> {
    const { logger } = this.#life.context
    return this.#server.list(this.#reach(options), token, (id) => {
      logger.warn('the metadata of a snapshot can not be read; it is left out', { token, id })
    })
  }

  async *open(token: string, id: string, options: CallOptions): AsyncGenerator<Uint8Array, void, void> {
    const blob = this.#server.blob(this.#reach(options), token, id)
    if (blob === undefined) {
      throw new KagamiError('KAGAMI_SNAPSHOT_MISSING', `token ${token} has no snapshot ${id}; list them again`)
    }
    for (const { bytes, checksum } of blob.pieces) {
      throwIfAny([options.signal, this.#life.stopped])
      this.#reach(options)
      if (crc32(bytes) !== checksum) {
        throw new KagamiError(
          'KAGAMI_SNAPSHOT_CORRUPT',
          `snapshot ${id} of token ${token} is corrupt; use an older one`,
        )
      }
      yield bytes.slice()
    }
  }

  async delete(token: string, id: string, options: CallOptions): Promise<void> {
    this.#server.delete(this.#reach(options), token, id)
  }

  /** The cluster, where the call may go on. */
  #reach(options: CallOptions): string {
    options.signal.throwIfAborted()
    const { cluster, node } = this.#life.context
    if (!this.#server.reach.reaches(node)) throw unavailable()
    return cluster
  }

  #checkWritable(cluster: string, meta: SnapshotMeta): void {
    const { node } = this.#life.context
    if (!this.#server.reach.reaches(node)) throw unavailable()
    if (this.#server.full) {
      throw new KagamiError('KAGAMI_STORE_FULL', 'the snapshot store has no room left', { retryable: true })
    }
    if (this.#server.has(cluster, meta.token, meta.id)) {
      throw new KagamiError('KAGAMI_SNAPSHOT_EXISTS', `token ${meta.token} has a snapshot ${meta.id} already`)
    }
  }
}

function notBytes(): KagamiError {
  const message = 'a chunk of the snapshot is not a Uint8Array: mend what was given to create()'
  return new KagamiError('KAGAMI_SNAPSHOT_FAILED', message)
}

function unavailable(): KagamiError {
  const message = 'the snapshot store can not be reached now; try again'
  return new KagamiError('KAGAMI_STORE_UNAVAILABLE', message, { retryable: true })
}
