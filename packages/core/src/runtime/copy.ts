/**
 * One copy of one token incarnation on this node: what the node tells it and the application asks of it, and what each frame that its reader finds to count
 * means to the state machine, to callers and to the role. Nothing else than the reader moves it on.
 */
import {
  comparePositions,
  KagamiError,
  type CommitLog,
  type Offset,
  type Position,
  type SnapshotStore,
  type StateMachine,
  type TokenLog,
} from '../contract/index.js'
import { compareEpochs, type CopyState } from '../engine/admission.js'
import { knownEntries, type Assignment, type CopyReport, type LogRef } from '../engine/documents.js'
import { frameOverhead, type BarrierFrame, type DataFrame, type OpenFrame } from '../engine/frame.js'
import type { Term } from '../engine/term.js'
import type { CopyHealth, Lag, NodeRef, Replicated, Role } from './api.js'
import { Applier } from './applier.js'
import {
  bug,
  copyFailed,
  deaf,
  lostEntries,
  lostTail,
  noCopy,
  notPrimary,
  overloaded,
  restoreHindered,
  restoreStalled,
  twoLogs,
  unheard,
  unknownToken,
  unopenable,
} from './copy-errors.js'
import { CopyProgress } from './copy-progress.js'
import { CopyRole, type RoleHooks } from './copy-role.js'
import type { Events } from './events.js'
import type { Listings } from './listings.js'
import { LogReader, type LogListener } from './log-reader.js'
import { MarkerQueue } from './marker-queue.js'
import { MAX_TOKEN_BYTES, type Settings } from './options.js'
import { rejectAll, Replicator, type PendingEntry } from './replicator.js'
import type { Anchor, RestoredCopy } from './restorer.js'
import { Refusals } from './refusals.js'
import { Scope } from './scope.js'
import { Settlement } from './settlement.js'
import { Snapshotter, type CapturedCopy } from './snapshotter.js'
import type { VerifiedRecord } from './verified-record.js'
import { orAborted, type Semaphore, type Waiting } from './waiting.js'
import type { Watchdogs } from './watchdog.js'

/** A restore that has not moved on for so long is told of. It is given up after `stallTimeoutMs`. */
const RESTORE_STILL_MS = 10_000

export interface CopyContext<R, C> {
  readonly settings: Settings<R, C>
  readonly commitLog: CommitLog
  readonly store: SnapshotStore
  readonly events: Events
  readonly verified: VerifiedRecord
  readonly snapshotPlaces: Semaphore
  readonly listings: Listings
  readonly restorePlaces: Semaphore
  readonly watchdogs: Watchdogs
  /** This node's member; undefined while it has no session. */
  member(): string | undefined
  leaseHeld(): boolean
  /** The node that is known to be the primary, where it is another one. */
  primaryElsewhere(token: string): NodeRef | undefined
  hooks(token: string): RoleHooks | undefined
  /** A copy that was taken away is closed: the assignment may give another. */
  onRetired(token: string): void
  /** Something that others are told of has changed. */
  onChange(token: string): void
}

export class Copy<R, C> {
  readonly token: string
  readonly incarnation: number
  readonly #context: CopyContext<R, C>
  readonly #scope: Scope
  readonly #replicator: Replicator
  readonly #settlement: Settlement
  readonly #role: CopyRole
  readonly #markers: MarkerQueue
  readonly #snapshotter: Snapshotter
  readonly #progress: CopyProgress
  readonly #applier: Applier<R, C>
  readonly #reader: LogReader<R, C>
  #assignment: Assignment
  #phase: CopyHealth['phase'] = 'opening'
  #inSync = false
  #endedWith = 0
  #error: KagamiError | undefined
  /** The last barrier that was read, and the next index there. */
  #began: { readonly incarnation: number; readonly epoch: number; readonly index: number } | undefined
  readonly #refusals: Refusals
  /** Why it waits for its restore. */
  #hindrance: KagamiError | undefined
  /** Why the assignment is not followed. */
  #contradiction: KagamiError | undefined

  constructor(context: CopyContext<R, C>, assignment: Assignment) {
    const { settings, events } = context
    const { limits, seams } = settings
    const { clock, random, logger, metrics } = seams
    const { token, incarnation } = assignment
    this.token = token
    this.incarnation = incarnation
    this.#context = context
    this.#assignment = assignment
    this.#progress = new CopyProgress(clock, limits.lookMs)
    this.#applier = new Applier(token, settings)
    this.#scope = new Scope((task, error) => this.#fail(bug(token, task, error), undefined))
    const { signal } = this.#scope
    const member = (): string | undefined => context.member()
    const log = (): TokenLog | undefined => this.#reader.log
    const readTo = (): Offset => this.#reader.readTo
    const onLostTail = (offset: Offset): void => this.#fail(lostTail(token, offset), undefined)
    this.#replicator = new Replicator({
      token,
      clock,
      random,
      logger,
      limits: { ...limits, maxFrameBytes: Math.min(limits.maxFrameBytes, frameRoom(context.commitLog)) },
      appendsInFlight: context.commitLog.appendsInFlight,
      log,
      readTo,
      unheard: () => this.#unheard(),
      onRefused: (term, error) => this.#onRefused(term, error),
      onUnable: (error) => {
        if (this.#refusals.unable(error)) context.onChange(token)
      },
      onLostTail,
      signal,
    })
    this.#settlement = new Settlement({
      token,
      replicator: this.#replicator,
      state: () => this.#state,
      failure: () => this.#error,
      notPrimary: (why) => this.#notPrimary(why),
    })
    this.#refusals = new Refusals({
      clock,
      random,
      retryMs: limits.retryMs,
      onRested: () => this.#role.evaluate(),
      tryOut: () => this.sync(undefined),
      onOver: () => context.onChange(token),
      signal,
    })
    this.#role = new CopyRole({
      token,
      incarnation,
      replicator: this.#replicator,
      events,
      assignment: () => this.#assignment,
      contradicted: () => this.#contradiction !== undefined,
      resting: () => this.#refusals.resting,
      state: () => this.#state,
      running: () => this.#phase === 'running' && !signal.aborted,
      member,
      leaseHeld: () => context.leaseHeld(),
      hooks: () => context.hooks(token),
      notPrimary: (why) => this.#notPrimary(why),
      onChange: () => context.onChange(token),
    })
    this.#markers = new MarkerQueue({
      token,
      clock,
      random,
      limits,
      log,
      incarnation: () => incarnation,
      readTo,
      unheard: () => this.#unheard(),
      known: () => ({ incarnation: this.#assignment.incarnation, index: knownEntries(this.#assignment) }),
      onLostTail,
      signal,
    })
    this.#snapshotter = new Snapshotter({
      token,
      member: () => member() ?? settings.node.id,
      store: context.store,
      verified: context.verified,
      places: context.snapshotPlaces,
      cadence: settings.cadence,
      keep: settings.keep,
      stallTimeoutMs: limits.stallTimeoutMs,
      clock,
      random,
      logger,
      metrics,
      events,
      mayTake: () => this.#maySnapshot(),
      capture: () => this.#capture(),
      signal,
    })
    this.#reader = new LogReader(
      {
        token,
        incarnation,
        settings,
        commitLog: context.commitLog,
        store: context.store,
        listings: context.listings,
        restorePlaces: context.restorePlaces,
        watchdogs: context.watchdogs,
        progress: this.#progress,
        events,
        assignment: () => this.#assignment,
        newMachine: () => this.#applier.make(),
      },
      this.#listener(),
    )
  }

  /** Begins to open, restore and read. */
  open(): void {
    this.#context.events.emit('copy', { token: this.token, opened: true })
    this.#scope.spawn('read loop', (signal) => this.#reader.run(signal))
  }

  // What the node tells the copy.

  /** The assignment has changed, and still gives this node a copy of this incarnation. */
  assign(assignment: Assignment): void {
    this.#assignment = assignment
    this.#contradiction = undefined
    this.#role.evaluate()
  }

  /** Another log is named for this incarnation than this copy reads. It keeps what it has, and tells the controller; it writes nothing. */
  contradict(other: LogRef): void {
    this.#contradiction = twoLogs(this.token, this.incarnation, this.#assignment.log.address, other.address)
    this.#context.settings.seams.logger.error(this.#contradiction.message)
    this.#role.evaluate()
  }

  /** The token has ended with this incarnation: this copy has read it, or is closed before it could. Told once. */
  ended(incarnation: number): void {
    if (this.#endedWith >= incarnation) return
    this.#endedWith = incarnation
    this.#context.events.emit('deleted', { token: this.token, incarnation })
  }

  /** Membership or lease have changed. */
  reconsider(): void {
    this.#role.evaluate()
  }

  hooksAdded(hooks: RoleHooks): void {
    this.#role.hooksAdded(hooks)
  }

  /** This node is to hold no copy any more. Resolves when it is closed, which is after the log has settled what is pending. */
  async retire(): Promise<void> {
    if (this.#phase !== 'failed') this.#phase = 'closing'
    this.#role.stepDown('the copy moves away')
    this.#rejectReaders(noCopy(this.token))
    if (this.#replicator.hasSealed && !this.#scope.signal.aborted) await this.#settlement.done()
    await this.close()
  }

  /** Stops at once. Sealed entries end as indeterminate. */
  async close(): Promise<void> {
    const stopped = new KagamiError('KAGAMI_STOPPED', `this node's copy of '${this.token}' is closed`)
    this.#replicator.close(stopped)
    this.#role.stopServing('the copy is closed')
    this.#settlement.closed(stopped)
    this.#rejectReaders(stopped)
    if (this.#scope.signal.aborted) return this.#scope.settled()
    this.#scope.abort(stopped)
    await this.#reader.close()
    await this.#scope.settled()
    this.#context.events.emit('copy', { token: this.token, opened: false })
  }

  // What the application asks.

  get role(): Role {
    return this.#phase === 'failed' ? 'failed' : this.#role.role
  }

  /** Why it serves nothing, and never will; undefined: it has not failed. */
  get failure(): KagamiError | undefined {
    return this.#phase === 'failed' ? copyFailed(this.token, this.#error) : undefined
  }

  /** The log takes nothing of this copy, as far as is known: it has refused it for good, or failed for long. Another that can write keeps the token meanwhile. */
  get cannotWrite(): boolean {
    return this.#refusals.error !== undefined
  }

  get epoch(): number {
    return this.#state.epoch
  }

  get next(): Position | undefined {
    if (this.#phase === 'opening' || this.#phase === 'restoring') return undefined
    return { incarnation: this.#state.incarnation, index: this.#progress.applied }
  }

  get lag(): Lag {
    return this.#progress.lag
  }

  get machine(): StateMachine<R, C> {
    if (this.failure !== undefined) throw this.failure
    const { machine } = this.#applier
    if (machine === undefined || this.#phase !== 'running') throw noCopy(this.token)
    return machine
  }

  replicate(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<Replicated<R>> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    if (this.#scope.signal.aborted) return Promise.reject(this.#scope.signal.reason as Error)
    if (this.#replicator.live === undefined) return Promise.reject(this.#notPrimary('this copy is not the primary'))
    if (!this.#context.leaseHeld()) {
      return Promise.reject(this.#notPrimary('the coordinator is out of reach, and the lease has run out'))
    }
    return this.#replicator.submit(bytes, signal) as Promise<Replicated<R>>
  }

  waitFor(position: Position, signal: AbortSignal | undefined): Promise<void> {
    const unable = this.#unableToRead()
    if (unable !== undefined) return Promise.reject(unable)
    const { next } = this
    if (next !== undefined && comparePositions(next, position) > 0) return Promise.resolve()
    const { maxWaiting } = this.#context.settings.limits
    if (this.#progress.waiting >= maxWaiting) return Promise.reject(overloaded(this.token, 'waitFor', maxWaiting))
    return until(this.#progress.wait(position), signal)
  }

  async sync(signal: AbortSignal | undefined): Promise<void> {
    const unable = this.#unableToRead()
    if (unable !== undefined) throw unable
    signal?.throwIfAborted()
    return until(this.#markers.wait(), signal)
  }

  // What others are told.

  report(): CopyReport {
    this.#refreshInSync()
    const began = this.#began
    return {
      token: this.token,
      incarnation: this.#state.incarnation,
      epoch: this.#state.epoch,
      nextIndex: this.#progress.applied,
      // It may have been restored over later barriers.
      ...(began !== undefined && compareEpochs(began, this.#state) === 0 ? { epochBegan: began.index } : {}),
      reached: { incarnation: this.#state.incarnation, index: this.#progress.applied },
      phase: this.#phase === 'failed' || this.#phase === 'running' ? this.#phase : 'restoring',
      inSync: this.#inSync,
      cutOff: this.#progress.cutOff,
      snapshotFails: this.#snapshotter.error !== undefined,
      serving: this.#role.servingEpoch,
      appendsFail: this.#replicator.live !== undefined && this.#replicator.lastingTrouble !== undefined,
      seen: this.#role.refusal,
      error: (this.#error ?? this.#hindrance ?? this.#refusals.error)?.code ?? null,
    }
  }

  health(): CopyHealth {
    const newest = this.#snapshotter.newest
    return {
      token: this.token,
      role: this.role,
      phase: this.#phase,
      epoch: this.epoch,
      next: this.next,
      lag: this.lag,
      error: this.#error ?? this.#contradiction ?? this.#hindrance,
      snapshot: newest && { id: newest.id, nextIndex: newest.nextIndex, takenAtMs: newest.takenAtMs },
      snapshotError: this.#isSnapshotter ? this.#snapshotter.error : undefined,
      readError: this.#readError(),
      appendError: this.#replicator.trouble ?? this.#markers.trouble ?? this.#refusals.error,
      ignored: this.#reader.ignored,
    }
  }

  /** Why it does not come on, where that has lasted. What is told as its error is not told twice. */
  #readError(): KagamiError | undefined {
    const { token } = this
    const { stillMs, trouble } = this.#reader
    const { boundMs } = this.#progress
    const restoreMs = Math.max(boundMs, Math.min(RESTORE_STILL_MS, this.#context.settings.limits.stallTimeoutMs))
    if (this.#phase === 'running' && stillMs >= boundMs) return unheard(token, stillMs, trouble)
    if (this.#phase === 'opening' && stillMs >= boundMs)
      return unopenable(token, this.#assignment.log.address, stillMs, trouble)
    if (this.#phase === 'restoring' && stillMs >= restoreMs && this.#hindrance === undefined)
      return restoreStalled(token, stillMs, trouble)
    return undefined
  }

  /** What a call is refused with that this copy could not tell the outcome of. */
  #unheard(): KagamiError | undefined {
    const { stillMs, trouble } = this.#reader
    const patienceMs = Math.max(this.#context.settings.limits.appendTimeoutMs, this.#progress.boundMs)
    return stillMs < patienceMs ? undefined : deaf(this.token, unheard(this.token, stillMs, trouble))
  }

  get assignment(): Assignment {
    return this.#assignment
  }

  get hasPending(): boolean {
    return this.#replicator.hasPending
  }

  /** What is in force at the place up to which this copy has read. */
  get #state(): CopyState {
    return this.#reader.state
  }

  // What the reader tells.

  #listener(): LogListener<R, C> {
    return {
      onRestoring: () => this.#onRestoring(),
      onHindered: (cause) => {
        this.#hindrance = restoreHindered(this.token, cause)
        this.#context.onChange(this.token)
      },
      onRestored: (restored, tookMs) => this.#onRestored(restored, tookMs),
      onReading: () => {
        this.#markers.pump()
        this.#replicator.pump()
      },
      onOpened: (frame) => this.#onOpened(frame),
      onBarrier: (frame) => this.#onBarrier(frame),
      onBarrierIgnored: (frame) => this.#onBarrierIgnored(frame),
      onData: (frame) => this.#onData(frame),
      onMarker: (nonce) => this.#onMarker(nonce),
      onPause: () => this.#replicator.progressed(),
      onBatchEnd: () => this.#onBatchEnd(),
      onUnreadable: (error) => this.#fail(error, undefined),
      failed: () => this.#phase === 'failed',
      done: () => this.#phase === 'failed' && !this.#replicator.hasSealed,
    }
  }

  #onRestoring(): void {
    if (this.#phase === 'opening' || this.#phase === 'running') this.#phase = 'restoring'
    this.#progress.restart(this.#progress.applied)
    this.#role.stopServing('the copy is being restored')
    this.#context.onChange(this.token)
  }

  #onRestored(restored: RestoredCopy<R, C>, tookMs: number): void {
    const { token } = this
    const { settings, events } = this.#context
    this.#hindrance = undefined
    this.#applier.use(restored.machine)
    this.#snapshotter.restored(restored.snapshot)
    if (this.#phase === 'restoring') this.#phase = 'running'
    this.#settlement.jumped(restored.overtaken)
    this.#markers.jumped()
    this.#wakeReaders()
    const next = { incarnation: restored.state.incarnation, index: this.#progress.applied }
    settings.seams.metrics.observe('kagami_restore_ms', tookMs, { token })
    events.emit('restored', { token, snapshot: restored.snapshot?.id, next, tookMs })
    this.#role.evaluate()
  }

  #onBatchEnd(): void {
    this.#refreshInSync()
    this.#replicator.progressed()
    if (this.#snapshotter.due()) this.#scope.spawn('snapshot', () => this.#snapshotter.take())
  }

  #refreshInSync(): void {
    const inSync = this.#phase === 'running' && this.#progress.inSync
    if (inSync === this.#inSync) return
    this.#inSync = inSync
    if (inSync) this.#context.events.emit('in-sync', { token: this.token, next: this.next as Position })
    this.#context.onChange(this.token)
  }

  #onOpened(frame: OpenFrame): void {
    this.#applier.use(this.#applier.make())
    this.#progress.applied = 0
    this.#settlement.superseded()
    this.#wakeReaders()
    if (frame.deleted) {
      this.ended(frame.incarnation)
      this.#rejectReaders(unknownToken(this.token))
    }
    this.#role.evaluate()
    this.#context.onChange(this.token)
  }

  #onBarrier(frame: BarrierFrame): void {
    const { incarnation, epoch, nextIndex } = this.#state
    this.#began = { incarnation, epoch, index: nextIndex }
    this.#settlement.superseded()
    const own = this.#replicator.terms.find((term) => term.term === frame.term)
    if (own !== undefined && this.#holds(this.#role.known)) {
      this.#refusals.reached()
      this.#replicator.serve(own, this.#state)
    }
    this.#role.evaluate()
  }

  /** The barrier of a promotion lost against one that was there before it: this member must be given a higher epoch. */
  #onBarrierIgnored(frame: BarrierFrame): void {
    const own = this.#replicator.terms.find((term) => term.term === frame.term)
    if (own === undefined || own.phase !== 'barrier') return
    this.#settlement.outrun(own)
    this.#role.evaluate()
  }

  #onMarker(nonce: bigint): void {
    const known = this.#markers.known(nonce)
    if (known !== undefined && this.#holds(known)) this.#markers.read(nonce)
  }

  /**
   * Whether the log holds up to here what was known of it. To be asked where this copy reads what it has itself appended afterwards: whatever comes
   * before that, it has read. Else the copy fails.
   */
  #holds(known: Position): boolean {
    const { incarnation, nextIndex } = this.#state
    if (comparePositions({ incarnation, index: nextIndex }, known) >= 0) return true
    this.#fail(lostEntries(this.token, nextIndex, known), undefined)
    return false
  }

  #onData(frame: DataFrame): void {
    const own = this.#replicator.counted(frame.term, frame.firstSeq)
    if (this.#phase === 'failed') this.#settlement.unapplied(own)
    else this.#apply(frame, own)
    if (own.length > 0) {
      this.#refusals.over()
      this.#settlement.check()
    }
  }

  #apply(frame: DataFrame, own: readonly PendingEntry[]): void {
    const { level, nextIndex } = this.#state
    const failure = this.#applier.apply(frame, level, own)
    if (failure === undefined) {
      this.#progress.advance(nextIndex, frame.timeMs)
      this.#snapshotter.applied(frame.count, frame.body.length)
      return this.#wakeReaders()
    }
    const { error, position, at } = failure
    this.#progress.applied = position.index
    this.#fail(error, position)
    rejectAll(own.slice(at, at + 1), error)
    this.#settlement.unapplied(own.slice(at + 1))
  }

  // Snapshots.

  #maySnapshot(): boolean {
    if (this.#phase !== 'running' || this.#reader.base === undefined || this.#state.deleted) return false
    return this.#isSnapshotter && this.#context.member() !== undefined
  }

  get #isSnapshotter(): boolean {
    return this.#assignment.snapshotter === this.#context.settings.node.id
  }

  #capture(): CapturedCopy {
    const machine = this.#applier.machine as StateMachine<R, C>
    return {
      snapshot: machine.snapshot(),
      state: { ...this.#state },
      anchor: this.#reader.base as Anchor,
      log: this.#reader.log as TokenLog,
      schemaVersion: machine.schemaVersion ?? 0,
    }
  }

  // Failure.

  /**
   * The log refuses what this term appends: the term is over, and the copy reads on. The controller is asked for a higher epoch, after a pause that
   * grows, and gives it to a copy that can write, if there is one.
   */
  #onRefused(term: Term<PendingEntry>, error: KagamiError): void {
    if (error.code === 'KAGAMI_LOG_REPLACED') return this.#fail(error, undefined)
    const { token } = this
    this.#context.settings.seams.logger.error(`the log of '${token}' refuses what this node appends`, { error })
    this.#refusals.refused(error)
    this.#settlement.refused(term, error)
    this.#role.evaluate()
    this.#context.onChange(token)
  }

  #fail(error: KagamiError, position: Position | undefined): void {
    if (this.#scope.signal.aborted) return
    // It had failed before, and read on to learn what becomes of its entries: now it can't.
    if (this.#phase === 'failed') return this.#settlement.unreadable(error)
    const { settings, events } = this.#context
    this.#phase = 'failed'
    this.#error = error
    this.#inSync = false
    settings.seams.logger.error(`the copy of '${this.token}' on this node has failed and serves nothing`, { error })
    const failed = copyFailed(this.token, error)
    this.#replicator.close(failed)
    // What `apply` refused is in the log all the same, and the log still says how the rest ends. Any other failure ends the reading.
    if (position === undefined) this.#settlement.unreadable(error)
    this.#role.stopServing('the copy has failed')
    this.#rejectReaders(failed)
    events.emit('failed', { token: this.token, error, position })
    this.#context.onChange(this.token)
  }

  #wakeReaders(): void {
    if (this.#phase === 'running') this.#progress.wake(this.next as Position)
  }

  #rejectReaders(error: KagamiError): void {
    this.#progress.rejectWaiters(error)
    this.#markers.fail(error)
  }

  #unableToRead(): KagamiError | undefined {
    if (this.failure !== undefined) return this.failure
    if (this.#phase === 'closing' || this.#scope.signal.aborted) return noCopy(this.token)
    return this.#state.deleted ? unknownToken(this.token) : undefined
  }

  #notPrimary(why: string): KagamiError {
    return notPrimary(this.token, why, this.#context.primaryElsewhere(this.token))
  }
}

/** Waits with a signal, and leaves nothing in the queue behind. */
function until({ reached, forget }: Waiting, signal: AbortSignal | undefined): Promise<void> {
  return orAborted(reached, signal).finally(forget)
}

/** What a frame may hold in the log's largest record. */
function frameRoom({ maxRecordBytes }: CommitLog): number {
  return maxRecordBytes - frameOverhead(MAX_TOKEN_BYTES)
}
