/**
 * Takes a copy's snapshots: captures between two frames, persists while entries go on being applied, reads back what was
 * published, records it as verified, and only then truncates the log and removes older snapshots. What fails here
 * fails this snapshot, never the copy.
 */
import {
  isKagamiError,
  KagamiError,
  type Clock,
  type Logger,
  type Metrics,
  type Random,
  type SnapshotMeta,
  type SnapshotRef,
  type SnapshotStore,
  type StateSnapshot,
  type TokenLog,
} from '../contract/index.js'
import type { CopyState } from '../engine/admission.js'
import { BLOCK_BYTES, dataBlock, endBlock, headerBlock } from '../engine/snapshot-blob.js'
import { retention, snapshotDue, type SnapshotCadence } from '../engine/snapshot-policy.js'
import type { Events } from './events.js'
import type { Anchor } from './restorer.js'
import { readSnapshot } from './snapshot-reader.js'
import { unlessStalled, type Movement } from './stall.js'
import type { Turn, Turns } from './turns.js'
import type { VerifiedRecord } from './verified-record.js'

export interface SnapshotterContext {
  readonly token: string
  readonly member: () => string
  readonly store: SnapshotStore
  readonly verified: VerifiedRecord
  readonly turns: Turns
  readonly cadence: SnapshotCadence
  readonly keep: number
  readonly stallTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly events: Events
  /** Whether this copy is the designated snapshotter, and well. */
  mayTake(): boolean
  /** Captures the copy between two frames. */
  capture(): CapturedCopy
  readonly signal: AbortSignal
}

export interface CapturedCopy {
  readonly snapshot: StateSnapshot
  readonly state: CopyState
  readonly anchor: Anchor
  readonly log: TokenLog
  readonly schemaVersion: number
}

/** How long to leave the store alone after a failure. */
const PAUSE_AFTER_FAILURE_MS = 5_000

export class Snapshotter {
  readonly #context: SnapshotterContext
  #entries = 0
  #bytes = 0
  #sinceMs: number
  #jitter: number
  #busy = false
  #turn: Turn | undefined
  #pausedUntilMs = 0
  #newest: SnapshotMeta | undefined
  #error: KagamiError | undefined

  constructor(context: SnapshotterContext) {
    this.#context = context
    this.#sinceMs = context.clock.monotonicMs()
    this.#jitter = context.random.fraction()
  }

  /** The newest snapshot that this copy verified, or was restored from. */
  get newest(): SnapshotMeta | undefined {
    return this.#newest
  }

  /** Why the last attempt failed, if no later one succeeded. */
  get error(): KagamiError | undefined {
    return this.#error
  }

  /** Counts what was applied. */
  applied(entries: number, bytes: number): void {
    this.#entries += entries
    this.#bytes += bytes
  }

  /** The copy was restored: the cadence counts from there. */
  restored(snapshot: SnapshotMeta | undefined): void {
    this.#newest = snapshot
    this.#entries = 0
    this.#bytes = 0
    this.#sinceMs = this.#context.clock.monotonicMs()
  }

  /** Whether a snapshot should be begun now. Cheap: asked after every batch and every look. */
  due(): boolean {
    const now = this.#context.clock.monotonicMs()
    if (this.#busy || now < this.#pausedUntilMs) return false
    const since = { entries: this.#entries, bytes: this.#bytes, ms: now - this.#sinceMs }
    return snapshotDue(since, this.#context.cadence, this.#jitter) && this.#context.mayTake()
  }

  /** Takes one snapshot, from capture to truncation. Never rejects. */
  async take(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    const { turns, signal, clock, random, metrics, token } = this.#context
    const startedMs = clock.monotonicMs()
    let id = ''
    try {
      this.#turn = await turns.begin(signal)
      if (!this.#context.mayTake()) return
      const captured = this.#context.capture()
      this.#entries = 0
      this.#bytes = 0
      this.#sinceMs = clock.monotonicMs()
      this.#jitter = random.fraction()
      const meta = this.#describe(captured)
      id = meta.id
      const ref = await this.#publish(meta, captured.snapshot)
      await this.#whileMoving('reading back a snapshot', (movement) => this.#verify(ref, movement))
      await this.#whileMoving('truncating the log', (movement) => this.#tidy(ref, captured.log, movement))
      this.#newest = ref.meta
      this.#error = undefined
      metrics.observe('kagami_snapshot_ms', clock.monotonicMs() - startedMs, { token })
    } catch (error) {
      if (!signal.aborted) this.#failed(id, error)
    } finally {
      this.#turn?.end()
      this.#turn = undefined
      this.#busy = false
    }
  }

  #describe(captured: CapturedCopy): SnapshotMeta {
    const { token, member, random, clock } = this.#context
    const { state, anchor, log } = captured
    const nonce = hex(random.uint64())
    return {
      format: 1,
      id: `${state.incarnation}-${state.nextIndex}-${member()}-${nonce}`,
      token,
      incarnation: state.incarnation,
      epoch: state.epoch,
      term: hex(state.term),
      nextSeq: state.nextSeq,
      nextIndex: state.nextIndex,
      chain: hex(state.chain),
      level: state.level,
      anchor: { offset: String(anchor.offset), checksum: anchor.checksum },
      log: { address: log.address, identity: log.identity },
      schemaVersion: captured.schemaVersion,
      takenAtMs: clock.now(),
      member: member(),
    }
  }

  async #publish(meta: SnapshotMeta, snapshot: StateSnapshot): Promise<SnapshotRef> {
    const { store, events, token } = this.#context
    try {
      events.emit('snapshot', { token, phase: 'captured', id: meta.id, bytes: 0, error: undefined })
      const ref = await this.#whileMoving('persisting a snapshot', (movement) => {
        const { signal } = movement
        const state = noticed(snapshot.persist({ signal }), movement)
        return store.create(meta, noticed(blobOf(meta, state), movement), { signal })
      })
      events.emit('snapshot', { token, phase: 'published', id: meta.id, bytes: ref.bytes, error: undefined })
      return ref
    } finally {
      snapshot.release()
    }
  }

  /** Reads the whole snapshot back, as it is listed. A damaged one is deleted; an unreadable one is left for the next to judge. */
  async #verify(ref: SnapshotRef, { signal, moved }: Movement): Promise<void> {
    const { store, token, clock, events } = this.#context
    const { id } = ref.meta
    try {
      const listed = (await store.list(token, { signal })).find(({ meta }) => meta.id === id)
      if (listed === undefined)
        throw new KagamiError(
          'KAGAMI_SNAPSHOT_MISSING',
          `snapshot ${id} of '${token}' was published, and is not listed`,
        )
      for await (const chunk of readSnapshot(store, listed, { signal, onChunk: moved })) {
        void chunk
        await clock.yield()
      }
    } catch (error) {
      if (isKagamiError(error, 'KAGAMI_SNAPSHOT_CORRUPT')) await store.delete(token, id, { signal })
      throw error
    }
    signal.throwIfAborted()
    events.emit('snapshot', { token, phase: 'verified', id, bytes: ref.bytes, error: undefined })
  }

  async #tidy(ref: SnapshotRef, log: TokenLog, { signal, moved }: Movement): Promise<void> {
    const { store, token, verified, keep, events } = this.#context
    const { incarnation, id } = ref.meta
    const known = await verified.add(token, incarnation, id, keep, { signal })
    moved()
    const refs = await store.list(token, { signal })
    moved()
    const { truncateBefore, remove } = retention(refs, known, { incarnation, identity: log.identity }, keep)
    if (truncateBefore === undefined) return
    signal.throwIfAborted()
    await log.truncate(truncateBefore, { signal })
    events.emit('snapshot', { token, phase: 'truncated', id, bytes: ref.bytes, error: undefined })
    for (const old of remove) {
      moved()
      await store.delete(token, old.meta.id, { signal })
    }
  }

  #whileMoving<T>(what: string, work: (movement: Movement) => Promise<T>): Promise<T> {
    const { token, clock, stallTimeoutMs, signal } = this.#context
    const limit = { clock, limitMs: stallTimeoutMs, signal, what: `${what} of '${token}'` }
    const turn = this.#turn
    return unlessStalled(limit, ({ signal, moved }) =>
      work({
        signal,
        moved: () => {
          moved()
          turn?.moved()
        },
      }),
    )
  }

  #failed(id: string, error: unknown): void {
    const { token, logger, events, clock, metrics } = this.#context
    const failure = isKagamiError(error)
      ? error
      : new KagamiError(
          'KAGAMI_SNAPSHOT_FAILED',
          `the state machine of '${token}' could not be persisted; mend its snapshot()`,
          {
            cause: error,
            details: { token },
          },
        )
    this.#error = failure
    this.#pausedUntilMs = clock.monotonicMs() + PAUSE_AFTER_FAILURE_MS
    // The entries stay uncovered: try again after the pause, whatever the cadence says.
    this.#entries = Math.max(this.#entries, this.#context.cadence.everyEntries)
    metrics.count('kagami_snapshot_failures', 1, { token })
    logger.warn(`a snapshot of '${token}' failed; the log is not truncated, and it is tried again`, { error: failure })
    events.emit('snapshot', { token, phase: 'failed', id, bytes: 0, error: failure })
  }
}

/** The same chunks, each counted as a movement. Whoever asks for one after the work was given up is given none. */
async function* noticed(chunks: AsyncIterable<Uint8Array>, { signal, moved }: Movement): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    moved()
    yield chunk
    signal.throwIfAborted()
  }
}

/** The blob: the state's bytes, cut and joined into blocks. */
async function* blobOf(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield headerBlock(meta)
  let sequence = 0
  let total = 0
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    total += chunk.length
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    while (heldBytes + rest.length >= BLOCK_BYTES) {
      const take = BLOCK_BYTES - heldBytes
      yield dataBlock(Buffer.concat([...held, rest.subarray(0, take)]), sequence++)
      rest = rest.subarray(take)
      held = []
      heldBytes = 0
    }
    if (rest.length > 0) {
      held.push(rest)
      heldBytes += rest.length
    }
  }
  if (heldBytes > 0) yield dataBlock(Buffer.concat(held), sequence++)
  yield endBlock(sequence, total)
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}
