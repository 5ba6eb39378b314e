/** One process's snapshot store: slow, torn, failing or mangling, as the faults of the run will have it. */
import { KagamiError } from '@kagami/core/contract'
import type { CallOptions, SnapshotMeta, SnapshotRef, SnapshotStore } from '@kagami/core/contract'
import type { SimProcess } from '../kernel/process.js'
import { flip, type StoredSnapshot, type StoreServer } from './store-server.js'
import { Scope, Wire, type World } from './wire.js'

export function simSnapshotStore(world: World, process: SimProcess, server: StoreServer): SnapshotStore {
  return new SimSnapshotStore(world, process, server)
}

class SimSnapshotStore implements SnapshotStore {
  readonly name = 'simulated'
  readonly #wire: Wire
  readonly #server: StoreServer
  readonly #scope = new Scope()

  constructor(world: World, process: SimProcess, server: StoreServer) {
    this.#wire = new Wire(world, process, unavailable)
    this.#server = server
  }

  async start(context: { readonly signal: AbortSignal }): Promise<void> {
    await this.#wire.request(() => undefined, this.#scope, { to: 'store', signal: context.signal })
  }

  async stop(): Promise<void> {
    this.#scope.end(new KagamiError('KAGAMI_STOPPED', 'the snapshot store is stopped'))
  }

  async create(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>, options: CallOptions): Promise<SnapshotRef> {
    const { faults, chance, trace } = this.#wire.world
    const torn = faults.happens('snapshotTorn') ? chance.below(3) : undefined
    const mangled = faults.happens('snapshotMangled')
    await this.#request(options, () => undefined)
    const kept: Uint8Array[] = []
    for await (const chunk of chunks) {
      options.signal.throwIfAborted()
      this.#scope.throwIfOver()
      // A copy, also of a Buffer, whose `slice` gives the same bytes again.
      kept.push(Uint8Array.from(chunk))
      if (torn !== undefined && kept.length > torn) {
        trace.count('fault.snapshotTorn')
        if (chance.happens(0.5)) throw unavailable()
        throw new KagamiError('KAGAMI_STORE_FULL', 'the store has no room left', { retryable: true })
      }
      if (chance.happens(0.2)) await this.#request(options, () => undefined)
    }
    if (mangled) {
      trace.count('fault.snapshotMangled')
      flip(kept, chance.below(2 ** 30))
    }
    return this.#publish(meta, kept, mangled, options)
  }

  /** What rejects is never seen; what an author that dies meanwhile has handed in may be. */
  async #publish(
    meta: SnapshotMeta,
    chunks: Uint8Array[],
    damaged: boolean,
    options: CallOptions,
  ): Promise<SnapshotRef> {
    const { scheduler, chance, trace } = this.#wire.world
    const serve = (): StoredSnapshot => {
      const stored = this.#server.publish(meta, chunks, damaged)
      scheduler.after(5, undefined, () => {
        if (this.#wire.process.state === 'dead' && chance.happens(0.5)) stored.visible = true
        else if (!stored.visible && this.#wire.process.state !== 'paused') this.#server.delete(meta.token, meta.id)
      })
      return stored
    }
    const stored = await this.#wire.request(serve, this.#scope, {
      to: 'store',
      signal: options.signal,
      refused: this.#server.down,
    })
    this.#server.show(stored)
    trace.count('snapshots')
    return { meta, bytes: stored.bytes }
  }

  async list(token: string, options: CallOptions): Promise<readonly SnapshotRef[]> {
    return this.#request(options, () =>
      this.#server.list(token).map(({ meta, bytes }) => ({ meta: structuredClone(meta), bytes })),
    )
  }

  async *open(token: string, id: string, options: CallOptions): AsyncGenerator<Uint8Array, void, void> {
    const { chance } = this.#wire.world
    const stored = await this.#request(options, () => {
      const found = this.#server.get(token, id)
      if (found === undefined) throw missing(token, id)
      return found
    })
    for (const chunk of stored.chunks) {
      if (chance.happens(0.3)) {
        await this.#request(options, () => {
          // Deleted while it is read: some stores still have the rest, others do not.
          if (this.#server.get(token, id) === undefined && chance.happens(0.5)) throw missing(token, id)
        })
      }
      options.signal.throwIfAborted()
      this.#scope.throwIfOver()
      yield Uint8Array.from(chunk)
    }
    if (!stored.damaged) stored.readBack = true
  }

  async delete(token: string, id: string, options: CallOptions): Promise<void> {
    await this.#request(options, () => this.#server.delete(token, id))
  }

  #request<T>(options: CallOptions, serve: () => T): Promise<T> {
    const { faults, chance, trace } = this.#wire.world
    const failed = faults.happens('storeCallFailed')
    const slow = faults.happens('storeSlow')
    if (failed) trace.count('fault.storeCallFailed')
    if (slow) trace.count('fault.storeSlow')
    return this.#wire.request(serve, this.#scope, {
      to: 'store',
      signal: options.signal,
      refused: failed || this.#server.down,
      answerMs: slow ? chance.between(10, 1000) : 0,
    })
  }
}

function missing(token: string, id: string): KagamiError {
  return new KagamiError('KAGAMI_SNAPSHOT_MISSING', `${token} has no snapshot ${id}; list them again`)
}

function unavailable(): KagamiError {
  return new KagamiError('KAGAMI_STORE_UNAVAILABLE', 'the snapshot store can not be reached now; try again', {
    retryable: true,
  })
}
