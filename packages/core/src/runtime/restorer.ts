/**
 * Brings a copy to a point from which its log can be read on: the newest valid snapshot that the log still covers, else an older one, else the
 * incarnation's open frame. Never starts anywhere else: what is missing is an error, not a smaller state.
 */
import {
  isKagamiError,
  KagamiError,
  type Clock,
  type Logger,
  type Offset,
  type Random,
  type SnapshotMeta,
  type SnapshotRef,
  type SnapshotStore,
  type StateMachine,
  type TokenLog,
} from '../contract/index.js'
import { emptyState, type CopyState } from '../engine/admission.js'
import { recordChecksum } from '../engine/frame.js'
import { coverage, newestFirst } from '../engine/snapshot-policy.js'
import type { Listings } from './listings.js'
import { findOpening, type Opening } from './opening.js'
import { readSnapshot } from './snapshot-reader.js'
import { unlessStalled, type Movement } from './stall.js'
import type { Stillness } from './stillness.js'
import type { Turn, Turns } from './turns.js'
import { backoffMs, sleep } from './waiting.js'

/** The last record that was read; reading goes on there and compares it first. */
export interface Anchor {
  readonly offset: Offset
  readonly checksum: number
}

export interface RestoredCopy<R, C> {
  readonly machine: StateMachine<R, C>
  readonly state: CopyState
  /** Undefined: read from `from` on, nothing comes before it. */
  readonly anchor: Anchor | undefined
  readonly from: Offset
  readonly snapshot: SnapshotMeta | undefined
  /** A newer incarnation begins here, and nothing is left that says how the one asked for has ended. */
  readonly overtaken: boolean
}

export interface RestoreContext<R, C> {
  readonly token: string
  readonly incarnation: number
  /** How far the epochs have gone, as the assignment says, and how many entries the log was known to hold. */
  readonly assigned: () => { readonly epoch: number; readonly entries: number }
  readonly log: TokenLog
  readonly store: SnapshotStore
  /** Of the same store. */
  readonly listings: Listings
  readonly newMachine: () => StateMachine<R, C>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly retryMs: { readonly first: number; readonly longest: number }
  /** How long an answer that may be stale, or an unreachable store, is asked again. */
  readonly patienceMs: number
  readonly maxBatchBytes: number
  /** What has not moved on for so long is given up. */
  readonly stallTimeoutMs: number
  /** Of the restores of this node; none is taken while one waits, or lists the snapshots. */
  readonly turns: Turns
  /** Told of what moves on, and of the wait for a turn. */
  readonly stillness: Stillness
  readonly onProgress: (progress: {
    readonly snapshot: string | undefined
    readonly bytes: number
    readonly totalBytes: number | undefined
  }) => void
  /** The log does not hold the beginning, and the snapshots can't be listed or read to their end, for longer than `patienceMs`. It goes on trying. */
  readonly onHindered: (cause: unknown) => void
  readonly signal: AbortSignal
}

/**
 * @throws KAGAMI_SNAPSHOT_FAILED when the state machine refuses what would serve, and there is nothing else
 * @throws KAGAMI_LOG_GAP when neither a snapshot nor the log holds the beginning
 * @throws KAGAMI_LOG_LOST_TAIL when a snapshot holds more than the log
 * @throws KAGAMI_LOG_UNAVAILABLE, KAGAMI_LOG_REPLACED, KAGAMI_TIMEOUT when the log does not answer, the signal's reason
 */
export async function restoreCopy<R, C>(context: RestoreContext<R, C>): Promise<RestoredCopy<R, C>> {
  const { clock, signal, token } = context
  const startedMs = clock.monotonicMs()
  let before: string | undefined
  for (let attempt = 0; ; attempt++) {
    const found = await attemptRestore(context, attempt)
    if ('machine' in found) return found
    const patient = clock.monotonicMs() - startedMs < context.patienceMs
    if (found.beyond !== undefined) {
      // The log's end may be a stale answer, so it takes a while until it is believed.
      if (!patient) throw lostTail(token, found.beyond)
    } else if (found.hindrance !== undefined) {
      if (!patient) context.onHindered(found.hindrance)
    } else if (found.looked === before && (isCertain(found, clock.monotonicMs() - startedMs) || !patient)) {
      throw isKagamiError(found.failure, 'KAGAMI_SNAPSHOT_FAILED') ? found.failure : gap(context, found)
    }
    before = found.looked
    await sleep(clock, backoffMs(attempt, context.retryMs, context.random), signal)
  }
}

/** How long a log that shows nothing of the incarnation is asked again: its end may be a stale answer, and what is begun elsewhere may be new. */
const UNBEGUN_MS = 2_000

/** Whether to look once more, with nothing changed, would show the same. */
function isCertain({ damaged, begun }: NothingFound, sinceMs: number): boolean {
  return damaged === 0 && (begun || sinceMs >= UNBEGUN_MS)
}

/** Why an attempt found no point to start from. */
interface NothingFound {
  /** What was seen, to tell whether anything has changed when it is looked at again. */
  readonly looked: string
  readonly start: Offset
  /** The log shows something of this incarnation, but not its beginning. Where it shows nothing, what it says of its bounds may be stale. */
  readonly begun: boolean
  readonly snapshots: number
  /** Snapshots that would have served, but could not be restored. */
  readonly damaged: number
  /** Why the newest of them could not. */
  readonly failure: unknown
  /** What has kept the snapshots from being listed, or one from being read to its end, if something has. */
  readonly hindrance: unknown
  /** A snapshot that holds more than the log. */
  readonly beyond: SnapshotRef | undefined
}

/** How long an attempt waits at first for a store that answers nobody, before it looks what the log holds alone. Each further one waits twice as long. */
const FIRST_LISTING_MS = 2_000

/** After so long a wait for a turn, what was listed may have been replaced and deleted. */
const OUTDATED_MS = 1_000

/** An attempt that has its turn. */
interface TurnContext<R, C> extends RestoreContext<R, C> {
  readonly turn: Turn
}

async function attemptRestore<R, C>(
  context: RestoreContext<R, C>,
  attempt: number,
): Promise<RestoredCopy<R, C> | NothingFound> {
  const { clock, listings, signal, stallTimeoutMs, stillness, token, turns } = context
  const patienceMs = Math.min(stallTimeoutMs, FIRST_LISTING_MS * 2 ** attempt)
  const listed = await listSnapshots(context, () => listings.list(token, { patienceMs, signal }))
  const askedMs = clock.monotonicMs()
  const turn = await stillness.whileWaiting(turns.begin(signal))
  try {
    // What could not be listed stays so: it claims nothing that may have changed, and a turn is not for waiting.
    const outdated = listed.hindrance === undefined && clock.monotonicMs() - askedMs >= OUTDATED_MS
    return await restoreFrom(
      { ...context, turn },
      outdated ? await listSnapshots(context, () => listings.renew(token, signal)) : listed,
    )
  } finally {
    turn.end()
  }
}

/** Listed before the bounds are asked, or a snapshot published in between would seem to lie beyond the log's end. */
async function restoreFrom<R, C>(
  context: TurnContext<R, C>,
  listed: Listed,
): Promise<RestoredCopy<R, C> | NothingFound> {
  const { log, incarnation } = context
  const range = await whileMoving(context, 'asking for the bounds of the log', ({ signal }) => log.range({ signal }))
  const relevant = listed.refs.map((ref) => ({ ref, covered: coverage(ref, incarnation, log.identity, range) }))
  const beyond = relevant.find(({ covered }) => covered === 'beyond')?.ref
  let { hindrance } = listed
  let damaged = 0
  let begun = false
  let failure: unknown
  if (beyond === undefined) {
    for (const { ref, covered } of relevant) {
      if (covered !== 'covered') continue
      const restored = await tryLoad(context, ref)
      if ('machine' in restored) return restored
      if (isKagamiError(restored.failure, 'KAGAMI_TIMEOUT')) {
        hindrance ??= restored.failure
        continue
      }
      damaged += 1
      failure ??= restored.failure
    }
    const opening = await whileMoving(context, 'looking for the beginning of the log', (movement) =>
      findOpening(log, { token: context.token, incarnation, range, maxBatchBytes: context.maxBatchBytes }, movement),
    )
    if (typeof opening === 'object' && isBeginning(context, listed, opening)) return fromOpenFrame(context, opening)
    begun = opening !== 'none'
  }
  return {
    looked: `${range.start}/${listed.refs.map((ref) => ref.meta.id).join()}`,
    start: range.start,
    begun,
    snapshots: listed.refs.length,
    damaged,
    failure,
    hindrance,
    beyond,
  }
}

interface Listed {
  readonly refs: readonly SnapshotRef[]
  /** What has kept them from being listed. */
  readonly hindrance: unknown
}

/** An unreachable store is no reason to fail, nor to wait for ever when the log still holds everything. */
async function listSnapshots<R, C>(
  { token, logger, signal }: RestoreContext<R, C>,
  list: () => Promise<readonly SnapshotRef[]>,
): Promise<Listed> {
  try {
    return { refs: newestFirst(await list()), hindrance: undefined }
  } catch (error) {
    signal.throwIfAborted()
    logger.warn(`the snapshots of '${token}' can't be listed; trying the log alone, then again`, { error })
    return { refs: [], hindrance: error ?? new Error('no reason was given') }
  }
}

async function tryLoad<R, C>(
  context: TurnContext<R, C>,
  ref: SnapshotRef,
): Promise<RestoredCopy<R, C> | { readonly failure: unknown }> {
  const { token, logger, signal } = context
  try {
    return await whileMoving(context, `restoring snapshot ${ref.meta.id}`, (movement) => load(context, ref, movement))
  } catch (error) {
    signal.throwIfAborted()
    if (isKagamiError(error, 'KAGAMI_UNKNOWN_FORMAT')) throw error
    logger.warn(`snapshot ${ref.meta.id} of '${token}' can't be restored; trying the next older one`, { error })
    return { failure: error }
  }
}

async function load<R, C>(
  context: RestoreContext<R, C>,
  ref: SnapshotRef,
  { signal, moved }: Movement,
): Promise<RestoredCopy<R, C>> {
  const { token, store } = context
  const machine = context.newMachine()
  let bytes = 0
  const onChunk = (size: number): void => {
    moved()
    bytes += size
    context.onProgress({ snapshot: ref.meta.id, bytes, totalBytes: ref.bytes })
  }
  let whole = false
  async function* state(): AsyncGenerator<Uint8Array> {
    yield* readSnapshot(store, ref, { signal, onChunk })
    whole = true
  }
  const chunks = state()
  // Without `return`: a state machine that stops reading at its own end must not keep the rest from being checked.
  const borrowed = { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) }
  const { incarnation, nextIndex } = ref.meta
  const info = { token, next: { incarnation, index: nextIndex }, schemaVersion: ref.meta.schemaVersion }
  try {
    await machine.restore(borrowed, info)
  } catch (error) {
    // A wrong option is the state machine's own mistake, as with a map's key: nothing here is given one.
    const ours = isKagamiError(error) && !isKagamiError(error, 'KAGAMI_BAD_OPTION')
    throw ours ? error : restoreFailed(token, ref, error)
  }
  for await (const rest of chunks) void rest
  // The state machine may have kept to itself that the bytes were not right.
  if (!whole) throw new KagamiError('KAGAMI_SNAPSHOT_CORRUPT', `snapshot ${ref.meta.id} was not read to its end`)
  const anchor = { offset: BigInt(ref.meta.anchor.offset), checksum: ref.meta.anchor.checksum }
  return { machine, state: stateOf(ref.meta), anchor, from: anchor.offset, snapshot: ref.meta, overtaken: false }
}

function stateOf(meta: SnapshotMeta): CopyState {
  return {
    incarnation: meta.incarnation,
    epoch: meta.epoch,
    term: BigInt(`0x${meta.term}`),
    nextSeq: meta.nextSeq,
    nextIndex: meta.nextIndex,
    chain: BigInt(`0x${meta.chain}`),
    level: meta.level,
    deleted: false,
  }
}

/**
 * Whether an open frame that was found first may be believed to be the beginning, where no snapshot could be restored. It may be a late copy of it, with which a log
 * begins that was truncated or released. Then entries are in snapshots alone: there are some, though each may be damaged.
 */
function isBeginning<R, C>(
  { incarnation, assigned }: RestoreContext<R, C>,
  { refs, hindrance }: Listed,
  opening: Opening,
): boolean {
  const { follows } = opening
  if (opening.incarnation > incarnation || follows === 'entries' || follows === 'end') return true
  if (refs.some(({ meta }) => meta.incarnation === opening.incarnation && meta.nextIndex > 0)) return false
  if (hindrance === undefined) return true
  const { epoch, entries } = assigned()
  return entries === 0 && (follows === 'first epoch' || (follows === 'nothing' && epoch < 2))
}

function fromOpenFrame<R, C>(context: RestoreContext<R, C>, opening: Opening): RestoredCopy<R, C> {
  return {
    machine: context.newMachine(),
    state: emptyState(),
    anchor: undefined,
    from: opening.offset,
    snapshot: undefined,
    overtaken: opening.incarnation > context.incarnation,
  }
}

function whileMoving<T, R, C>(
  { token, clock, stallTimeoutMs, stillness, turn, signal }: TurnContext<R, C>,
  what: string,
  work: (movement: Movement) => Promise<T>,
): Promise<T> {
  const limit = { clock, limitMs: stallTimeoutMs, signal, what: `${what} of '${token}'` }
  return unlessStalled(limit, ({ signal, moved }) =>
    work({
      signal,
      moved: () => {
        moved()
        stillness.moved()
        turn.moved()
      },
    }),
  )
}

/** Compares a record with an anchor. */
export function matchesAnchor(anchor: Anchor, offset: Offset, bytes: Uint8Array): boolean {
  return offset === anchor.offset && recordChecksum(bytes) === anchor.checksum
}

function restoreFailed(token: string, ref: SnapshotRef, cause: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_FAILED',
    `the state machine of '${token}' can't restore snapshot ${ref.meta.id} of its schema version ${ref.meta.schemaVersion}: ${cause instanceof Error ? cause.message : String(cause)}. ` +
      'Mend its restore(), and restart this node',
    { cause, details: { token, snapshot: ref.meta.id, schemaVersion: ref.meta.schemaVersion } },
  )
}

function gap(
  { token, incarnation }: { readonly token: string; readonly incarnation: number },
  { start, snapshots, failure }: NothingFound,
): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_GAP',
    `token '${token}' can't be restored: its log starts at ${start}, after its beginning, and none of its ${snapshots} snapshots covers what is missing. ` +
      'Bring back a snapshot, or remove the token; nothing was deleted',
    { cause: failure, details: { token, incarnation, start: String(start), snapshots } },
  )
}

function lostTail(token: string, ref: SnapshotRef): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_LOST_TAIL',
    `the log of '${token}' ends before ${ref.meta.anchor.offset}, which snapshot ${ref.meta.id} has read: the log has lost acknowledged records. ` +
      'Bring the log back, or remove the token and create it anew',
    { details: { token, snapshot: ref.meta.id } },
  )
}
