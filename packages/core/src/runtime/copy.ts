/**
 * One copy of one token incarnation on this node: composes its parts, and takes what the node tells it and the application asks of it. Nothing else than its
 * reader moves it on.
 */
import {
  KagamiError,
  type CommitLog,
  type Offset,
  type Position,
  type SnapshotStore,
  type StateMachine,
  type TokenLog,
} from '../contract/index.js'
import type { CopyState } from '../engine/admission.js'
import type { Assignment, CopyReport, LogRef } from '../engine/documents.js'
import { frameOverhead } from '../engine/frame.js'
import type { Term } from '../engine/term.js'
import type { CopyHealth, Lag, NodeRef, Replicated, Role } from './api.js'
import { Applier } from './applier.js'
import { bug, copyFailed, lostTail, noCopy, notPrimary, twoLogs } from './copy-errors.js'
import { CopyCondition, type CopyParts } from './copy-condition.js'
import { CopyFrames } from './copy-frames.js'
import { CopyProgress } from './copy-progress.js'
import { CopyRole, type RoleHooks } from './copy-role.js'
import type { Events } from './events.js'
import type { Listings } from './listings.js'
import { LogReader } from './log-reader.js'
import { MarkerQueue } from './marker-queue.js'
import { MAX_TOKEN_BYTES, type Settings } from './options.js'
import { Replicator, type PendingEntry } from './replicator.js'
import type { Anchor } from './restorer.js'
import { ReadCalls } from './read-calls.js'
import { Refusals } from './refusals.js'
import { Scope } from './scope.js'
import { Settlement } from './settlement.js'
import { Snapshotter, type CapturedCopy } from './snapshotter.js'
import type { VerifiedRecord } from './verified-record.js'
import type { Turns } from './turns.js'
import { linkedAbort, sleep } from './waiting.js'
import type { Watchdogs } from './watchdog.js'

export interface CopyContext<R, C> {
  readonly settings: Settings<R, C>
  readonly commitLog: CommitLog
  readonly store: SnapshotStore
  readonly events: Events
  readonly verified: VerifiedRecord
  readonly snapshotTurns: Turns
  readonly listings: Listings
  readonly restoreTurns: Turns
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
  readonly #refusals: Refusals
  readonly #condition: CopyCondition<R, C>
  readonly #calls: ReadCalls<R, C>
  #endedWith = 0

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
      unheard: () => this.#condition.unheard(),
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
      failure: () => this.#condition.error,
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
      contradicted: () => this.#condition.contradicted,
      resting: () => this.#refusals.resting,
      state: () => this.#state,
      running: () => this.#condition.phase === 'running' && !signal.aborted,
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
      unheard: () => this.#condition.unheard(),
      known: () => this.#condition.known,
      onLostTail,
      signal,
    })
    this.#snapshotter = new Snapshotter({
      token,
      member: () => member() ?? settings.node.id,
      store: context.store,
      verified: context.verified,
      turns: context.snapshotTurns,
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
    const parts: CopyParts<R, C> = {
      reader: () => this.#reader,
      progress: this.#progress,
      role: this.#role,
      replicator: this.#replicator,
      markers: this.#markers,
      refusals: this.#refusals,
      snapshotter: this.#snapshotter,
    }
    this.#condition = new CopyCondition(
      {
        token,
        limits,
        assignment: () => this.#assignment,
        isSnapshotter: () => this.#isSnapshotter,
        onSyncChange: (inSync) => {
          if (inSync) events.emit('in-sync', { token, next: this.next as Position })
          context.onChange(token)
        },
      },
      parts,
    )
    this.#calls = new ReadCalls({
      token,
      maxWaiting: limits.maxWaiting,
      progress: this.#progress,
      markers: this.#markers,
      condition: this.#condition,
      deleted: () => this.#state.deleted,
      signal,
    })
    const frames = new CopyFrames({
      token,
      parts,
      condition: this.#condition,
      applier: this.#applier,
      settlement: this.#settlement,
      calls: this.#calls,
      events,
      metrics,
      onEnded: (incarnation) => this.ended(incarnation),
      fail: (error, position) => this.#fail(error, position),
      takeSnapshot: () => this.#scope.spawn('snapshot', () => this.#snapshotter.take()),
      onChange: () => context.onChange(token),
    })
    this.#reader = new LogReader(
      {
        token,
        incarnation,
        settings,
        commitLog: context.commitLog,
        store: context.store,
        listings: context.listings,
        restoreTurns: context.restoreTurns,
        watchdogs: context.watchdogs,
        progress: this.#progress,
        events,
        assignment: () => this.#assignment,
        newMachine: () => this.#applier.make(),
      },
      frames,
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
    this.#condition.contradiction(undefined)
    this.#role.evaluate()
  }

  /** Another log is named for this incarnation than this copy reads. It keeps what it has, and tells the controller; it writes nothing. */
  contradict(other: LogRef): void {
    const error = twoLogs(this.token, this.incarnation, this.#assignment.log.address, other.address)
    this.#condition.contradiction(error)
    this.#context.settings.seams.logger.error(error.message)
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
    this.#condition.closing()
    this.#role.stepDown('the copy moves away')
    this.#calls.reject(noCopy(this.token))
    if (this.#replicator.hasSealed && !this.#scope.signal.aborted) await this.#settled()
    await this.close()
  }

  /** Until the log has said how the sealed entries end, or has said nothing for so long that it is not waited for: the node may be given this token again. */
  async #settled(): Promise<void> {
    const { limits, seams } = this.#context.settings
    const over = linkedAbort(this.#scope.signal)
    const silent = async (): Promise<void> => {
      while (this.#reader.stillMs < limits.stallTimeoutMs) {
        await sleep(seams.clock, this.#progress.boundMs, over.signal)
      }
    }
    const ended = silent().catch(() => undefined)
    await Promise.race([this.#settlement.done(), ended])
    over.abort(undefined)
  }

  /** Stops at once. Sealed entries end as indeterminate. */
  async close(): Promise<void> {
    const stopped = new KagamiError('KAGAMI_STOPPED', `this node's copy of '${this.token}' is closed`)
    this.#replicator.close(stopped)
    this.#role.stopServing('the copy is closed')
    this.#settlement.closed(stopped)
    this.#calls.reject(stopped)
    if (this.#scope.signal.aborted) return this.#scope.settled()
    this.#scope.abort(stopped)
    await this.#reader.close()
    await this.#scope.settled()
    this.#context.events.emit('copy', { token: this.token, opened: false })
  }

  // What the application asks.

  get role(): Role {
    return this.#condition.role
  }

  /** Why it serves nothing, and never will; undefined: it has not failed. */
  get failure(): KagamiError | undefined {
    return this.#condition.failure
  }

  /** The log takes nothing of this copy, as far as is known: it has refused it for good, or failed for long. Another that can write keeps the token meanwhile. */
  get cannotWrite(): boolean {
    return this.#refusals.error !== undefined
  }

  get epoch(): number {
    return this.#state.epoch
  }

  get next(): Position | undefined {
    return this.#condition.next
  }

  get lag(): Lag {
    return this.#progress.lag
  }

  get machine(): StateMachine<R, C> {
    if (this.failure !== undefined) throw this.failure
    const { machine } = this.#applier
    if (machine === undefined || this.#condition.phase !== 'running') throw noCopy(this.token)
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
    return this.#calls.waitFor(position, signal)
  }

  sync(signal: AbortSignal | undefined): Promise<void> {
    return this.#calls.sync(signal)
  }

  // What others are told.

  report(): CopyReport {
    return this.#condition.report()
  }

  health(): CopyHealth {
    return this.#condition.health()
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

  // Snapshots.

  #maySnapshot(): boolean {
    if (this.#condition.phase !== 'running' || this.#reader.base === undefined || this.#state.deleted) return false
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
    if (this.#condition.phase === 'failed') return this.#settlement.unreadable(error)
    const { settings, events } = this.#context
    this.#condition.failed(error)
    settings.seams.logger.error(`the copy of '${this.token}' on this node has failed and serves nothing`, { error })
    const failed = copyFailed(this.token, error)
    this.#replicator.close(failed)
    // What `apply` refused is in the log all the same, and the log still says how the rest ends. Any other failure ends the reading.
    if (position === undefined) this.#settlement.unreadable(error)
    this.#role.stopServing('the copy has failed')
    this.#calls.reject(failed)
    events.emit('failed', { token: this.token, error, position })
    this.#context.onChange(this.token)
  }

  #notPrimary(why: string): KagamiError {
    return notPrimary(this.token, why, this.#context.primaryElsewhere(this.token))
  }
}

/** What a frame may hold in the log's largest record. */
function frameRoom({ maxRecordBytes }: CommitLog): number {
  return maxRecordBytes - frameOverhead(MAX_TOKEN_BYTES)
}
