/**
 * One copy of one token incarnation on this node: opens and restores it, reads its log for ever, and applies what counts.
 * The read loop is the only place that changes the state; everything else waits for it.
 */
import {
  comparePositions,
  isKagamiError,
  KagamiError,
  type CommitLog,
  type LogBatch,
  type LogRecord,
  type Offset,
  type Position,
  type SnapshotStore,
  type StateMachine,
  type TokenLog,
} from '../contract/index.js'
import { admit, compareEpochs, emptyState, type CopyState } from '../engine/admission.js'
import type { Assignment, CopyReport, LogRef } from '../engine/documents.js'
import {
  decodeEntries,
  decodeFrame,
  frameOverhead,
  recordChecksum,
  type BarrierFrame,
  type DataFrame,
  type Frame,
  type OpenFrame,
} from '../engine/frame.js'
import type { Term } from '../engine/term.js'
import type { CopyHealth, Lag, NodeRef, Replicated, Role } from './api.js'
import {
  applyFailed,
  asFailure,
  bug,
  copyFailed,
  diverged,
  lostTail,
  noCopy,
  noMachine,
  notPrimary,
  overloaded,
  replaced,
  restoreHindered,
  twoLogs,
  unknownToken,
  unopened,
} from './copy-errors.js'
import { CopyProgress } from './copy-progress.js'
import { CopyRole, type RoleHooks } from './copy-role.js'
import type { Events } from './events.js'
import { MarkerQueue } from './marker-queue.js'
import { MAX_TOKEN_BYTES, type Settings } from './options.js'
import { indeterminate, rejectAll, Replicator, settle, type PendingEntry } from './replicator.js'
import { matchesAnchor, restoreCopy, type Anchor } from './restorer.js'
import { Refusals } from './refusals.js'
import { Scope } from './scope.js'
import { Snapshotter, type CapturedCopy } from './snapshotter.js'
import type { VerifiedRecord } from './verified-record.js'
import { backoffMs, orAborted, sleep, type Semaphore, type Waiting } from './waiting.js'

/** The loop lets others have a turn after this long. */
const SLICE_MS = 4
const MAX_BATCH_BYTES = 1_048_576

export interface CopyContext<R, C> {
  readonly settings: Settings<R, C>
  readonly commitLog: CommitLog
  readonly store: SnapshotStore
  readonly events: Events
  readonly verified: VerifiedRecord
  readonly snapshotPlaces: Semaphore
  readonly restorePlaces: Semaphore
  /** This node's member; undefined while it has no session. */
  member(): string | undefined
  leaseHeld(): boolean
  primaryOf(token: string): NodeRef | undefined
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
  readonly #role: CopyRole
  readonly #markers: MarkerQueue
  readonly #snapshotter: Snapshotter
  readonly #progress: CopyProgress
  readonly #ignored = new Map<string, number>()
  #assignment: Assignment
  #phase: CopyHealth['phase'] = 'opening'
  #log: TokenLog | undefined
  #machine: StateMachine<R, C> | undefined
  #state: CopyState = emptyState()
  /** The last record that was read. */
  #anchor: Anchor | undefined
  /** Where a snapshot of the present state may start to read again; see `mayBeginLog`. */
  #base: Anchor | undefined
  #from: Offset = 0n
  #readTo: Offset = 0n
  #inSync = false
  #error: KagamiError | undefined
  readonly #refusals: Refusals
  /** Why it waits for its restore. */
  #hindrance: KagamiError | undefined
  /** Why the assignment is not followed. */
  #contradiction: KagamiError | undefined
  #onSettled: (() => void) | undefined

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
    this.#scope = new Scope((task, error) => this.#fail(bug(token, task, error), undefined))
    const { signal } = this.#scope
    const member = (): string | undefined => context.member()
    const log = (): TokenLog | undefined => this.#log
    const readTo = (): Offset => this.#readTo
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
      onRefused: (term, error) => this.#onRefused(term, error),
      onLostTail,
      signal,
    })
    this.#refusals = new Refusals({
      clock,
      random,
      retryMs: limits.retryMs,
      onRested: () => this.#role.evaluate(),
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
  }

  /** Begins to open, restore and read. */
  open(): void {
    this.#context.events.emit('copy', { token: this.token, opened: true })
    this.#scope.spawn('read loop', (signal) => this.#run(signal))
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
    if (this.#replicator.hasSealed && !this.#scope.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve
      })
    }
    await this.close()
  }

  /** Stops at once. Sealed entries end as indeterminate. */
  async close(): Promise<void> {
    const stopped = new KagamiError('KAGAMI_STOPPED', `this node's copy of '${this.token}' is closed`)
    this.#replicator.close(stopped)
    this.#role.stopServing('the copy is closed')
    this.#replicator.end(() => true, indeterminate(this.token, 'the copy was closed before it knew', stopped), stopped)
    this.#rejectReaders(stopped)
    this.#onSettled?.()
    if (this.#scope.signal.aborted) return this.#scope.settled()
    this.#scope.abort(stopped)
    await this.#log?.close()
    await this.#scope.settled()
    this.#context.events.emit('copy', { token: this.token, opened: false })
  }

  // What the application asks.

  get role(): Role {
    return this.#phase === 'failed' ? 'failed' : this.#role.role
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
    if (this.#phase === 'failed') throw copyFailed(this.token, this.#error)
    if (this.#machine === undefined || this.#phase !== 'running') throw noCopy(this.token)
    return this.#machine
  }

  replicate(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<Replicated<R>> {
    if (this.#phase === 'failed') return Promise.reject(copyFailed(this.token, this.#error))
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
    return {
      token: this.token,
      incarnation: this.#state.incarnation,
      epoch: this.#state.epoch,
      nextIndex: this.#progress.applied,
      phase: this.#phase === 'failed' || this.#phase === 'running' ? this.#phase : 'restoring',
      inSync: this.#inSync,
      cutOff: this.#progress.cutOff,
      snapshotFails: this.#snapshotter.error !== undefined,
      serving: this.#role.servingEpoch,
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
      appendError: this.#replicator.trouble ?? this.#markers.trouble ?? this.#refusals.error,
      ignored: Object.fromEntries(this.#ignored),
    }
  }

  get assignment(): Assignment {
    return this.#assignment
  }

  get hasPending(): boolean {
    return this.#replicator.hasPending
  }

  // The loop.

  async #run(signal: AbortSignal): Promise<void> {
    const { limits, seams } = this.#context.settings
    let failures = 0
    let restored = false
    while (!signal.aborted) {
      const lookedAtMs = this.#progress.lookedAtMs
      try {
        this.#log ??= await this.#openLog(signal)
        if (!restored) await this.#restore(this.#log, signal)
        restored = true
        await this.#readOn(this.#log, signal)
        return
      } catch (error) {
        if (signal.aborted) return
        if (isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')) {
          if (this.#phase === 'failed') return this.#giveUpPending(error)
          seams.logger.info(
            `truncation has overtaken the copy of '${this.token}'; it is restored from a newer snapshot`,
          )
          restored = false
        } else if (!isKagamiError(error) || !error.retryable) {
          return this.#fail(asFailure(this.token, error), undefined)
        } else {
          seams.logger.warn(`the log of '${this.token}' can't be read now; trying again`, { error })
        }
        failures = this.#progress.lookedAtMs === lookedAtMs ? failures + 1 : 0
        await sleep(seams.clock, backoffMs(failures, limits.retryMs, seams.random), signal)
      }
    }
  }

  async #openLog(signal: AbortSignal): Promise<TokenLog> {
    const { address, identity } = this.#assignment.log
    const log = await this.#context.commitLog.open(address, { signal, token: this.token })
    if (log.identity === identity) return log
    await log.close()
    throw replaced(this.token, address)
  }

  async #restore(log: TokenLog, signal: AbortSignal): Promise<void> {
    const { settings, store, events } = this.#context
    const { clock, random, logger, metrics } = settings.seams
    const { token } = this
    const startedMs = clock.monotonicMs()
    if (this.#phase === 'opening' || this.#phase === 'running') this.#phase = 'restoring'
    this.#progress.restart(this.#progress.applied)
    this.#role.stopServing('the copy is being restored')
    this.#context.onChange(token)
    const restored = await restoreCopy({
      token,
      incarnation: this.incarnation,
      log,
      store,
      newMachine: () => this.#newMachine(),
      clock,
      random,
      logger,
      retryMs: settings.limits.retryMs,
      patienceMs: settings.limits.restoreTimeoutMs,
      stallTimeoutMs: settings.limits.stallTimeoutMs,
      maxBatchBytes: MAX_BATCH_BYTES,
      places: this.#context.restorePlaces,
      onProgress: (progress) => events.emit('restoring', { token, ...progress }),
      onHindered: (cause) => {
        this.#hindrance = restoreHindered(token, cause)
        this.#context.onChange(token)
      },
      signal,
    })
    this.#hindrance = undefined
    this.#machine = restored.machine
    this.#state = restored.state
    this.#anchor = restored.anchor
    this.#base = restored.anchor
    this.#from = restored.from
    this.#readTo = restored.from
    this.#progress.restart(restored.state.nextIndex)
    this.#snapshotter.restored(restored.snapshot)
    if (this.#phase === 'restoring') this.#phase = 'running'
    this.#afterJump(restored.overtaken)
    const tookMs = clock.monotonicMs() - startedMs
    const next = { incarnation: this.#state.incarnation, index: this.#progress.applied }
    metrics.observe('kagami_restore_ms', tookMs, { token })
    events.emit('restored', { token, snapshot: restored.snapshot?.id, next, tookMs })
    this.#role.evaluate()
  }

  /** Entries that were pending when the copy jumped over log that it had not read. */
  #afterJump(overtaken: boolean): void {
    const over = overtaken ? [...this.#replicator.terms] : this.#replicator.jumped(this.#state)
    if (over.length > 0) {
      const lost = indeterminate(this.token, 'this copy was restored past the change of primary')
      this.#replicator.end((term) => over.includes(term), lost, this.#notPrimary('another primary is in force'))
    }
    this.#markers.jumped()
    this.#wakeReaders()
    this.#checkSettled()
  }

  /** Reads until the copy is closed, or has nothing more to learn. */
  async #readOn(log: TokenLog, signal: AbortSignal): Promise<void> {
    const { limits, seams } = this.#context.settings
    const { clock } = seams
    const startedMs = clock.monotonicMs()
    let expected = this.#anchor
    let sliceMs = startedMs
    this.#markers.pump()
    this.#replicator.pump()
    const options = { signal, lookMs: limits.lookMs, maxBatchBytes: MAX_BATCH_BYTES }
    for await (const batch of log.read(expected?.offset ?? this.#from, options)) {
      this.#progress.looked(batch, this.token, this.#state.incarnation)
      for (const record of batch.records) {
        if (expected !== undefined) {
          if (!matchesAnchor(expected, record.offset, record.bytes)) throw lostTail(this.token, expected.offset)
          expected = undefined
          this.#readTo = record.offset + 1n
          continue
        }
        this.#readRecord(record)
        if (this.#phase === 'failed' && !this.#replicator.hasSealed) return
        if (clock.monotonicMs() - sliceMs < SLICE_MS) continue
        this.#replicator.progressed()
        await clock.yield()
        signal.throwIfAborted()
        sliceMs = clock.monotonicMs()
      }
      if (expected === undefined) this.#afterBatch(batch)
      // The end may be a stale answer, so it takes a while until it is believed.
      else if (batch.end <= expected.offset && clock.monotonicMs() - startedMs >= limits.restoreTimeoutMs) {
        throw lostTail(this.token, expected.offset)
      }
    }
    const ended = `the reader of '${this.token}' ended by itself; reading again`
    throw new KagamiError('KAGAMI_LOG_UNAVAILABLE', ended, { retryable: true })
  }

  #afterBatch(batch: LogBatch): void {
    this.#readTo = batch.next
    this.#progress.finished(batch)
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

  #readRecord({ offset, bytes }: LogRecord): void {
    const frame = decodeFrame(bytes)
    this.#anchor = { offset, checksum: recordChecksum(bytes) }
    this.#readTo = offset + 1n
    if (frame.kind === 'skipped') return this.#ignore('unknown')
    const verdict = admit(this.#state, this.token, frame)
    if (verdict === 'opened' || this.#mayBeginLog(frame)) this.#base = this.#anchor
    switch (verdict) {
      case 'opened':
        return this.#onOpened(frame as OpenFrame)
      case 'barrier':
        return this.#onBarrier(frame as BarrierFrame)
      case 'data':
        return this.#onData(frame as DataFrame)
      case 'marker':
        if (frame.kind === 'marker') this.#markers.read(frame.nonce)
        return
      case 'level':
        return
      case 'gap':
        throw unopened(this.token, offset)
      case 'diverged':
        throw diverged(this.token, offset)
      default:
        this.#ignore(verdict)
        if (frame.kind === 'barrier') this.#onBarrierIgnored(frame)
    }
  }

  /**
   * Whether the log may be truncated so that it begins with this frame. A late copy of the open frame must never come first: a
   * reader would take it for the beginning. Between the last frame of this kind and the end of what was read, nothing counts.
   */
  #mayBeginLog(frame: Frame): boolean {
    const { kind, token, incarnation } = frame
    return kind !== 'open' && kind !== 'marker' && token === this.token && incarnation === this.#state.incarnation
  }

  #ignore(reason: string): void {
    this.#ignored.set(reason, (this.#ignored.get(reason) ?? 0) + 1)
    this.#context.settings.seams.metrics.count('kagami_frames_ignored', 1, { token: this.token, reason })
  }

  #onOpened(frame: OpenFrame): void {
    const { events } = this.#context
    if (frame.address !== this.#log?.address || frame.identity !== this.#log.identity) {
      throw replaced(this.token, frame.address)
    }
    this.#machine = this.#newMachine()
    this.#progress.applied = 0
    this.#endOlderTerms()
    this.#wakeReaders()
    if (frame.deleted) {
      events.emit('deleted', { token: this.token, incarnation: frame.incarnation })
      this.#rejectReaders(unknownToken(this.token))
    }
    this.#role.evaluate()
    this.#context.onChange(this.token)
  }

  #onBarrier(frame: BarrierFrame): void {
    this.#endOlderTerms()
    const own = this.#replicator.terms.find((term) => term.term === frame.term)
    if (own !== undefined) this.#replicator.serve(own, this.#state)
    this.#role.evaluate()
  }

  /** The barrier of a promotion lost against one that was there before it: this member must be given a higher epoch. */
  #onBarrierIgnored(frame: BarrierFrame): void {
    const own = this.#replicator.terms.find((term) => term.term === frame.term)
    if (own === undefined || own.phase !== 'barrier') return
    const lost = this.#notPrimary('another barrier was there first')
    this.#replicator.end((term) => term === own, lost, lost)
    this.#role.evaluate()
  }

  /** An accepted barrier or open rejects for certain what is pending below it. */
  #endOlderTerms(): void {
    const state = this.#state
    const over = this.#notPrimary('another primary is in force')
    this.#replicator.end(
      (term) => compareEpochs(term, state) < 0 || (compareEpochs(term, state) === 0 && term.term !== state.term),
      over,
      over,
    )
    this.#checkSettled()
  }

  #onData(frame: DataFrame): void {
    const entries = decodeEntries(frame.body, frame.count)
    const own = this.#replicator.counted(frame.term, frame.firstSeq)
    entries.forEach((bytes, i) => this.#applyOne(bytes, frame, frame.firstIndex + i, own[i]))
    if (this.#phase !== 'failed') {
      this.#progress.advance(this.#state.nextIndex, frame.timeMs)
      this.#snapshotter.applied(frame.count, frame.body.length)
      this.#wakeReaders()
    }
    if (own.length > 0) {
      this.#refusals.over()
      this.#checkSettled()
    }
  }

  #applyOne(bytes: Uint8Array, frame: DataFrame, index: number, own: PendingEntry | undefined): void {
    const { token } = this
    const position = { incarnation: frame.incarnation, index }
    if (this.#phase === 'failed') {
      if (own === undefined) return
      return rejectAll([own], indeterminate(token, 'it is committed, but this copy had failed before it', this.#error))
    }
    const { codec } = this.#context.settings
    try {
      const machine = this.#machine as StateMachine<R, C>
      const value = codec.decode(bytes)
      const result = machine.apply({ token, position, value, timeMs: frame.timeMs, level: this.#state.level })
      if (result instanceof Promise) {
        result.catch(() => undefined)
        throw new TypeError('apply returned a promise; it must be synchronous')
      }
      if (own !== undefined) settle(own, { position, result })
    } catch (cause) {
      const error = applyFailed(token, position, cause)
      this.#progress.applied = index
      this.#fail(error, position)
      if (own !== undefined) rejectAll([own], error)
    }
  }

  #newMachine(): StateMachine<R, C> {
    try {
      return this.#context.settings.stateMachine(this.token)
    } catch (cause) {
      throw noMachine(this.token, cause)
    }
  }

  // Snapshots.

  #maySnapshot(): boolean {
    if (this.#phase !== 'running' || this.#base === undefined || this.#state.deleted) return false
    return this.#isSnapshotter && this.#context.member() !== undefined
  }

  get #isSnapshotter(): boolean {
    return this.#assignment.snapshotter === this.#context.settings.node.id
  }

  #capture(): CapturedCopy {
    const machine = this.#machine as StateMachine<R, C>
    return {
      snapshot: machine.snapshot(),
      state: { ...this.#state },
      anchor: this.#base as Anchor,
      log: this.#log as TokenLog,
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
    const lost = indeterminate(token, 'the log has refused to take it, or an entry before it', error)
    this.#replicator.end(
      (other) => other === term,
      lost,
      this.#notPrimary(`its log refuses what this node appends: ${error.message}`),
    )
    this.#checkSettled()
    this.#role.evaluate()
    this.#context.onChange(token)
  }

  #fail(error: KagamiError, position: Position | undefined): void {
    if (this.#scope.signal.aborted) return
    // It had failed before, and read on to learn what becomes of its entries: now it can't.
    if (this.#phase === 'failed') return this.#giveUpPending(error)
    const { settings, events } = this.#context
    this.#phase = 'failed'
    this.#error = error
    this.#inSync = false
    settings.seams.logger.error(`the copy of '${this.token}' on this node has failed and serves nothing`, { error })
    const failed = copyFailed(this.token, error)
    this.#replicator.close(failed)
    // What `apply` refused is in the log all the same, and the log still says how the rest ends. Any other failure ends the reading.
    if (position === undefined) this.#giveUpPending(error)
    this.#role.stopServing('the copy has failed')
    this.#rejectReaders(failed)
    events.emit('failed', { token: this.token, error, position })
    this.#context.onChange(this.token)
  }

  #giveUpPending(error: unknown): void {
    const lost = indeterminate(this.token, 'this copy can no longer read the log', error)
    this.#replicator.end(() => true, lost, copyFailed(this.token, this.#error))
    this.#checkSettled()
  }

  #checkSettled(): void {
    if (!this.#replicator.hasSealed) this.#onSettled?.()
  }

  #wakeReaders(): void {
    if (this.#phase === 'running') this.#progress.wake(this.next as Position)
  }

  #rejectReaders(error: KagamiError): void {
    this.#progress.rejectWaiters(error)
    this.#markers.fail(error)
  }

  #unableToRead(): KagamiError | undefined {
    if (this.#phase === 'failed') return copyFailed(this.token, this.#error)
    if (this.#phase === 'closing' || this.#scope.signal.aborted) return noCopy(this.token)
    return this.#state.deleted ? unknownToken(this.token) : undefined
  }

  #notPrimary(why: string): KagamiError {
    return notPrimary(this.token, why, this.#context.primaryOf(this.token))
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
