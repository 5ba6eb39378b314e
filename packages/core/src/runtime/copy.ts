/**
 * One copy of one token incarnation on this node: opens and restores it, reads its log for ever, applies what counts, and plays the role
 * that the assignment gives it. The read loop is the only place that changes the state; everything else waits for it.
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
import { copiesOf } from '../engine/assignment-steps.js'
import type { Assignment, CopyReport } from '../engine/documents.js'
import { decodeEntries, decodeFrame, recordChecksum, type BarrierFrame, type DataFrame, type OpenFrame } from '../engine/frame.js'
import type { CopyHealth, Fence, Lag, NodeRef, Replicated, Role } from './api.js'
import { applyFailed, asFailure, bug, diverged, lostTail, noCopy, replaced, unknownToken, unopened } from './copy-errors.js'
import type { Events } from './events.js'
import { MarkerQueue } from './marker-queue.js'
import type { Settings } from './options.js'
import { indeterminate, rejectAll, Replicator, settle, type PendingEntry } from './replicator.js'
import { matchesAnchor, restoreCopy, type Anchor } from './restorer.js'
import { Scope } from './scope.js'
import { Snapshotter } from './snapshotter.js'
import type { VerifiedRecord } from './verified-record.js'
import { backoffMs, orAborted, sleep, type Semaphore } from './waiting.js'

/** The loop lets others have a turn after this long. */
const SLICE_MS = 4
const MAX_BATCH_BYTES = 1_048_576
/** A replica that was not caught up for this long is no longer in sync. */
const IN_SYNC_MS = 2_000

export interface CopyContext<R, C> {
  readonly settings: Settings<R, C>
  readonly commitLog: CommitLog
  readonly store: SnapshotStore
  readonly events: Events
  readonly verified: VerifiedRecord
  readonly snapshotPlaces: Semaphore
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

export interface RoleHooks {
  onPromote(context: { readonly signal: AbortSignal; readonly fence: Fence }): void
  onDemote(): void
}

type Phase = 'opening' | 'restoring' | 'running' | 'failed' | 'closing'

export class Copy<R, C> {
  readonly token: string
  readonly incarnation: number
  readonly #context: CopyContext<R, C>
  readonly #scope: Scope
  readonly #replicator: Replicator
  readonly #markers: MarkerQueue
  readonly #snapshotter: Snapshotter
  readonly #ignored = new Map<string, number>()
  #assignment: Assignment
  #phase: Phase = 'opening'
  #log: TokenLog | undefined
  #machine: StateMachine<R, C> | undefined
  #state: CopyState = emptyState()
  #anchor: Anchor | undefined
  #from: Offset = 0n
  #readTo: Offset = 0n
  /** Entries of the incarnation that `apply` has returned for. */
  #applied = 0
  #knownEndIndex = 0
  #lastAppliedTimeMs = 0
  #lookedAtMs = -Infinity
  #caughtUp = false
  #caughtUpAtMs = -Infinity
  #inSync = false
  /** The highest pair that this member was promoted to. */
  #used: Fence
  #refusal: CopyReport['seen'] = null
  #serving: { readonly controller: AbortController; readonly fence: Fence } | undefined
  #waiters: { readonly position: Position; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []
  #error: KagamiError | undefined
  #onClosed: (() => void) | undefined

  constructor(context: CopyContext<R, C>, assignment: Assignment) {
    const { settings } = context
    const { clock, random, logger, metrics } = settings.seams
    const { token } = assignment
    this.token = token
    this.incarnation = assignment.incarnation
    this.#context = context
    this.#assignment = assignment
    this.#used = { incarnation: assignment.incarnation, epoch: 0 }
    this.#scope = new Scope((task, error) => this.#fail(bug(token, task, error), undefined))
    const { signal } = this.#scope
    const log = (): TokenLog | undefined => this.#log
    this.#replicator = new Replicator({
      token,
      clock,
      random,
      logger,
      limits: settings.limits,
      appendsInFlight: context.commitLog.appendsInFlight,
      log,
      readTo: () => this.#readTo,
      onTermLost: (term, error) => this.#termLost(term.epoch, error),
      signal,
    })
    this.#markers = new MarkerQueue({
      token,
      clock,
      random,
      retryMs: settings.limits.retryMs,
      log,
      incarnation: () => this.incarnation,
      signal,
    })
    this.#snapshotter = new Snapshotter({
      token,
      member: () => context.member() ?? settings.node.id,
      store: context.store,
      verified: context.verified,
      places: context.snapshotPlaces,
      cadence: settings.cadence,
      keep: settings.keep,
      clock,
      random,
      logger,
      metrics,
      events: context.events,
      mayTake: () =>
        this.#phase === 'running' &&
        this.#anchor !== undefined &&
        !this.#state.deleted &&
        this.#assignment.snapshotter === settings.node.id &&
        context.member() !== undefined,
      capture: () => this.#capture(),
      signal,
    })
  }

  /** Begins to open, restore and read. */
  open(): void {
    this.#context.events.emit('copy', { token: this.token, opened: true })
    this.#scope.spawn('read loop', (signal) => this.#run(signal))
  }

  // ---- what the node tells the copy

  /** The assignment has changed, and still gives this node a copy of this incarnation. */
  assign(assignment: Assignment): void {
    this.#assignment = assignment
    this.#evaluate()
  }

  /** Membership or lease have changed. */
  reconsider(): void {
    this.#evaluate()
  }

  /** This node is to hold no copy any more. Resolves when it is closed, which is after the log has settled what is pending. */
  async retire(): Promise<void> {
    if (this.#phase !== 'failed') this.#phase = 'closing'
    this.#stepDown('the copy moves away')
    this.#stopServing('the copy moves away')
    this.#rejectWaiters(noCopy(this.token))
    if (this.#replicator.hasSealed && !this.#scope.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#onClosed = resolve
      })
    }
    await this.close()
  }

  /** Stops at once. Sealed entries end as indeterminate. */
  async close(): Promise<void> {
    const stopped = new KagamiError('KAGAMI_STOPPED', `this node's copy of '${this.token}' is closed`)
    this.#stopServing('the copy is closed')
    this.#replicator.close(stopped)
    this.#replicator.end(() => true, indeterminate(this.token, 'the copy was closed before it knew', stopped), stopped)
    this.#rejectWaiters(stopped)
    this.#onClosed?.()
    if (this.#scope.signal.aborted) return this.#scope.settled()
    this.#scope.abort(stopped)
    await this.#log?.close()
    await this.#scope.settled()
    this.#context.events.emit('copy', { token: this.token, opened: false })
  }

  /** Calls the application's hook if this copy serves already. */
  hooksAdded(hooks: RoleHooks): void {
    if (this.#serving !== undefined) {
      hooks.onPromote({ signal: this.#serving.controller.signal, fence: this.#serving.fence })
    }
  }

  // ---- what the application asks

  get role(): Role {
    if (this.#phase === 'failed') return 'failed'
    const live = this.#replicator.live
    if (live === undefined) return 'replica'
    if (live.phase !== 'serving') return 'promoting'
    return this.#context.leaseHeld() ? 'primary' : 'suspended'
  }

  get epoch(): number {
    return this.#state.epoch
  }

  get next(): Position | undefined {
    if (this.#phase === 'opening' || this.#phase === 'restoring') return undefined
    return { incarnation: this.#state.incarnation, index: this.#applied }
  }

  get lag(): Lag {
    const { clock } = this.#context.settings.seams
    return {
      entries: this.#caughtUp ? 0 : Math.max(0, this.#knownEndIndex - this.#applied),
      caughtUp: this.#caughtUp,
      timeMs: this.#caughtUp || this.#lastAppliedTimeMs === 0 ? 0 : Math.max(0, clock.now() - this.#lastAppliedTimeMs),
      lookAgeMs: clock.monotonicMs() - this.#lookedAtMs,
    }
  }

  get machine(): StateMachine<R, C> {
    if (this.#phase === 'failed') throw this.#failedError()
    if (this.#machine === undefined || this.#phase !== 'running') throw noCopy(this.token)
    return this.#machine
  }

  replicate(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<Replicated<R>> {
    if (this.#phase === 'failed') return Promise.reject(this.#failedError())
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
    if (this.#has(position)) return Promise.resolve()
    const waiting = new Promise<void>((resolve, reject) => {
      const waiter = { position, resolve, reject }
      this.#waiters.push(waiter)
      signal?.addEventListener('abort', () => (this.#waiters = this.#waiters.filter((other) => other !== waiter)), { once: true })
    })
    return orAborted(waiting, signal)
  }

  sync(signal: AbortSignal | undefined): Promise<void> {
    const unable = this.#unableToRead()
    if (unable !== undefined) return Promise.reject(unable)
    return orAborted(this.#markers.wait(), signal)
  }

  // ---- what others are told

  report(): CopyReport {
    this.#refreshInSync()
    return {
      token: this.token,
      incarnation: this.#state.incarnation,
      epoch: this.#state.epoch,
      nextIndex: this.#applied,
      phase: this.#phase === 'failed' ? 'failed' : this.#phase === 'running' ? 'running' : 'restoring',
      inSync: this.#inSync && this.#phase === 'running',
      serving: this.#serving?.fence.epoch ?? 0,
      seen: this.#refusal,
      error: this.#error?.code ?? null,
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
      error: this.#error,
      snapshot: newest && { id: newest.id, nextIndex: newest.nextIndex, takenAtMs: newest.takenAtMs },
      snapshotError: this.#snapshotter.error,
      ignored: Object.fromEntries(this.#ignored),
    }
  }

  get assignment(): Assignment {
    return this.#assignment
  }

  get hasPending(): boolean {
    return this.#replicator.hasPending
  }

  // ---- the loop

  async #run(signal: AbortSignal): Promise<void> {
    const { settings } = this.#context
    const { clock, random, logger } = settings.seams
    let failures = 0
    let restored = false
    while (!signal.aborted) {
      try {
        this.#log ??= await this.#openLog(signal)
        if (!restored) {
          await this.#restore(this.#log, signal)
          restored = true
        }
        const before = this.#lookedAtMs
        await this.#readOn(this.#log, signal).finally(() => {
          if (this.#lookedAtMs !== before) failures = 0
        })
        return
      } catch (error) {
        if (signal.aborted) return
        const overtaken = isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')
        if (overtaken) {
          // A copy that only waits to learn how its entries ended, or that has failed, needs no new state.
          if (this.#phase === 'failed' || this.#phase === 'closing') return this.#giveUpPending(error)
          logger.info(`truncation has overtaken the copy of '${this.token}'; it is restored from a newer snapshot`)
          restored = false
        } else if (!isKagamiError(error) || !error.retryable) {
          return this.#fail(asFailure(this.token, error), undefined)
        } else {
          logger.warn(`the log of '${this.token}' can't be read now; trying again`, { error })
        }
        failures += 1
        await sleep(clock, backoffMs(failures, settings.limits.retryMs, random), signal)
      }
    }
  }

  async #openLog(signal: AbortSignal): Promise<TokenLog> {
    const { address, identity } = this.#assignment.log
    const log = await this.#context.commitLog.open(address, { signal, token: this.token })
    if (log.identity !== identity) {
      await log.close()
      throw replaced(this.token, address)
    }
    return log
  }

  async #restore(log: TokenLog, signal: AbortSignal): Promise<void> {
    const { settings, store, events } = this.#context
    const { clock, random, logger, metrics } = settings.seams
    const { token } = this
    const startedMs = clock.monotonicMs()
    if (this.#phase === 'opening' || this.#phase === 'running') this.#phase = 'restoring'
    this.#caughtUp = false
    this.#inSync = false
    this.#stopServing('the copy is being restored')
    this.#context.onChange(token)
    const restored = await restoreCopy({
      token,
      incarnation: this.incarnation,
      log,
      store,
      newMachine: () => settings.stateMachine(token),
      clock,
      random,
      logger,
      retryMs: settings.limits.retryMs,
      patienceMs: settings.limits.restoreTimeoutMs,
      maxBatchBytes: MAX_BATCH_BYTES,
      onProgress: (progress) => events.emit('restoring', { token, ...progress }),
      signal,
    })
    this.#machine = restored.machine
    this.#state = restored.state
    this.#anchor = restored.anchor
    this.#from = restored.from
    this.#readTo = restored.from
    this.#applied = restored.state.nextIndex
    this.#snapshotter.restored(restored.snapshot)
    if (this.#phase === 'restoring') this.#phase = 'running'
    this.#afterJump()
    const tookMs = clock.monotonicMs() - startedMs
    metrics.observe('kagami_restore_ms', tookMs, { token })
    events.emit('restored', {
      token,
      snapshot: restored.snapshot?.id,
      next: { incarnation: this.#state.incarnation, index: this.#applied },
      tookMs,
    })
    this.#evaluate()
  }

  /** Entries that were pending when the copy jumped over log that it had not read. */
  #afterJump(): void {
    const over = this.#replicator.jumped(this.#state)
    if (over.length > 0) {
      const lost = indeterminate(this.token, 'this copy was restored past the change of primary')
      this.#replicator.end((term) => over.includes(term), lost, this.#notPrimary('another primary is in force'))
    }
    this.#markers.jumped()
    this.#wakeWaiters()
    this.#closeIfSettled()
  }

  /** Reads until the copy is closed, or has nothing more to learn. */
  async #readOn(log: TokenLog, signal: AbortSignal): Promise<void> {
    const { settings } = this.#context
    const { clock } = settings.seams
    const startedMs = clock.monotonicMs()
    let expected = this.#anchor
    let sliceMs = startedMs
    this.#markers.pump()
    this.#replicator.pump()
    const options = { signal, lookMs: settings.limits.lookMs, maxBatchBytes: MAX_BATCH_BYTES }
    for await (const batch of log.read(expected?.offset ?? this.#from, options)) {
      this.#lookedAtMs = clock.monotonicMs()
      this.#peekEnd(batch)
      for (const record of batch.records) {
        if (expected !== undefined) {
          if (!matchesAnchor(expected, record.offset, record.bytes)) throw lostTail(this.token, expected.offset)
          expected = undefined
          this.#readTo = record.offset + 1n
          continue
        }
        this.#readRecord(record)
        if (this.#phase === 'failed' && !this.#replicator.hasSealed) return
        if (clock.monotonicMs() - sliceMs >= SLICE_MS) {
          this.#replicator.progressed()
          await clock.yield()
          signal.throwIfAborted()
          sliceMs = clock.monotonicMs()
        }
      }
      if (expected === undefined) this.#afterBatch(batch)
      // The end may be a stale answer, so it takes a while until it is believed.
      else if (batch.end <= expected.offset && clock.monotonicMs() - startedMs >= settings.limits.restoreTimeoutMs) {
        throw lostTail(this.token, expected.offset)
      }
    }
    throw new KagamiError('KAGAMI_LOG_UNAVAILABLE', `the reader of '${this.token}' ended by itself`, { retryable: true })
  }

  /** How far the log goes beyond what is applied, as far as this batch shows. */
  #peekEnd(batch: LogBatch): void {
    const last = batch.records[batch.records.length - 1]
    if (last === undefined || batch.records.length < 2) return
    const frame = decodeFrame(last.bytes)
    if (frame.kind === 'data' && frame.token === this.token && frame.incarnation === this.#state.incarnation) {
      this.#knownEndIndex = frame.firstIndex + frame.count
      this.#caughtUp = false
    }
  }

  #afterBatch(batch: LogBatch): void {
    this.#readTo = batch.next
    this.#caughtUp = batch.next === batch.end
    if (this.#caughtUp) this.#caughtUpAtMs = this.#lookedAtMs
    const before = this.#inSync
    this.#refreshInSync()
    if (!before && this.#inSync) {
      const { events } = this.#context
      events.emit('in-sync', { token: this.token, next: { incarnation: this.#state.incarnation, index: this.#applied } })
      this.#context.onChange(this.token)
    }
    this.#replicator.progressed()
    if (this.#snapshotter.due()) this.#scope.spawn('snapshot', () => this.#snapshotter.take())
  }

  #refreshInSync(): void {
    const age = this.#context.settings.seams.clock.monotonicMs() - this.#caughtUpAtMs
    this.#inSync = this.#phase === 'running' && age < IN_SYNC_MS
  }

  #readRecord({ offset, bytes }: LogRecord): void {
    const frame = decodeFrame(bytes)
    this.#anchor = { offset, checksum: recordChecksum(bytes) }
    this.#readTo = offset + 1n
    if (frame.kind === 'skipped') return this.#ignore('unknown')
    const verdict = admit(this.#state, this.token, frame)
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

  #ignore(reason: string): void {
    this.#ignored.set(reason, (this.#ignored.get(reason) ?? 0) + 1)
    this.#context.settings.seams.metrics.count('kagami_frames_ignored', 1, { token: this.token, reason })
  }

  #onOpened(frame: OpenFrame): void {
    const { settings, events } = this.#context
    if (!frame.deleted && (frame.address !== this.#log?.address || frame.identity !== this.#log.identity)) {
      throw replaced(this.token, frame.address)
    }
    this.#machine = settings.stateMachine(this.token)
    this.#applied = 0
    this.#endOlderTerms()
    this.#wakeWaiters()
    if (frame.deleted) {
      events.emit('deleted', { token: this.token, incarnation: frame.incarnation })
      this.#markers.fail(unknownToken(this.token))
      this.#evaluate()
    }
    this.#context.onChange(this.token)
  }

  #onBarrier(frame: BarrierFrame): void {
    const own = this.#replicator.terms.find((term) => term.term === frame.term)
    this.#endOlderTerms()
    if (own === undefined) return this.#evaluate()
    this.#replicator.serve(own, this.#state)
    this.#evaluate()
  }

  /** The barrier of a promotion lost against one that was there before it: this member must be given a higher epoch. */
  #onBarrierIgnored(frame: BarrierFrame): void {
    const own = this.#replicator.terms.find((term) => term.term === frame.term)
    if (own === undefined || own.phase !== 'barrier') return
    const lost = this.#notPrimary('another barrier was there first')
    this.#replicator.end((term) => term === own, lost, lost)
    this.#evaluate()
  }

  /** An accepted barrier or open rejects for certain what is pending below it. */
  #endOlderTerms(): void {
    const state = this.#state
    const over = this.#notPrimary('another primary is in force')
    this.#replicator.end((term) => compareEpochs(term, state) < 0 || (compareEpochs(term, state) === 0 && term.term !== state.term), over, over)
    this.#closeIfSettled()
  }

  #onData(frame: DataFrame): void {
    const entries = decodeEntries(frame.body, frame.count)
    const own = this.#replicator.counted(frame.term, frame.firstSeq)
    for (let i = 0; i < entries.length; i++) {
      this.#applyOne(entries[i] as Uint8Array, frame, frame.firstIndex + i, own[i])
    }
    if (this.#phase !== 'failed') {
      this.#applied = this.#state.nextIndex
      this.#lastAppliedTimeMs = frame.timeMs
      this.#snapshotter.applied(frame.count, frame.body.length)
      if (this.#waiters.length > 0) this.#wakeWaiters()
    }
    if (own.length > 0) this.#closeIfSettled()
  }

  #applyOne(bytes: Uint8Array, frame: DataFrame, index: number, own: PendingEntry | undefined): void {
    const { token } = this
    const position = { incarnation: frame.incarnation, index }
    if (this.#phase === 'failed') {
      if (own) rejectAll([own], indeterminate(token, 'it is committed, but this copy had failed before it', this.#error))
      return
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
      if (own) settle(own, { position, result })
    } catch (cause) {
      const error = applyFailed(token, position, cause)
      this.#applied = index
      this.#fail(error, position)
      if (own) rejectAll([own], error)
    }
  }

  // ---- roles

  /** Compares the assignment with what this copy knows, and acts on it. */
  #evaluate(): void {
    const assignment = this.#assignment
    const member = this.#context.member()
    const mine = member !== undefined && assignment.primary?.member === member && assignment.incarnation === this.incarnation
    const highest = compareEpochs(this.#used, this.#state) > 0 ? this.#used : this.#state
    const live = this.#replicator.live
    if (live !== undefined && !(mine && live.epoch === assignment.epoch)) this.#stepDown('another primary is assigned')
    let refusal: CopyReport['seen'] = null
    if (this.#phase === 'running' && assignment.phase === 'open') {
      const current = this.#replicator.live
      if (mine && current === undefined) {
        if (compareEpochs(assignment, highest) > 0 && !this.#state.deleted) this.#promote(assignment)
        else refusal = this.#seen(highest)
      } else if (!mine && compareEpochs(assignment, this.#state) < 0) {
        refusal = this.#seen(this.#state)
      }
    }
    if (!sameSeen(refusal, this.#refusal)) {
      this.#refusal = refusal
      this.#context.onChange(this.token)
    }
    this.#updateServing()
  }

  #seen(pair: Fence): CopyReport['seen'] {
    const { address, identity } = this.#assignment.log
    return { incarnation: pair.incarnation, epoch: pair.epoch, log: { address, identity }, deleted: this.#state.deleted }
  }

  #promote(assignment: Assignment): void {
    const { incarnation, epoch } = assignment
    this.#used = { incarnation, epoch }
    this.#context.events.emit('promoting', { token: this.token, incarnation, epoch })
    this.#replicator.begin(incarnation, epoch)
  }

  /** Takes no more entries; what is sealed waits for the log. */
  #stepDown(why: string): void {
    this.#replicator.close(this.#notPrimary(why))
    this.#updateServing(why)
  }

  /** A permanent append error ends the term: the member can't write, so another must. */
  #termLost(epoch: number, error: KagamiError): void {
    const { settings } = this.#context
    settings.seams.logger.error(`the log of '${this.token}' refuses this primary; epoch ${epoch} ends here`, { error })
    this.#stepDown('the log refuses this primary')
    const gone = indeterminate(this.token, 'the log refuses this primary', error)
    this.#replicator.end((term) => term.epoch === epoch, gone, this.#notPrimary('the log refuses this primary'))
    this.#evaluate()
  }

  #updateServing(why = 'another primary is in force'): void {
    const live = this.#replicator.live
    const serves = this.#phase === 'running' && live?.phase === 'serving' && this.#context.leaseHeld()
    if (this.#serving !== undefined && (!serves || live?.epoch !== this.#serving.fence.epoch)) {
      this.#stopServing(this.#context.leaseHeld() ? why : 'the lease is suspended')
    }
    if (serves && live !== undefined && this.#serving === undefined) {
      const fence = { incarnation: live.incarnation, epoch: live.epoch }
      this.#serving = { controller: new AbortController(), fence }
      this.#context.events.emit('promoted', { token: this.token, ...fence })
      this.#context.hooks(this.token)?.onPromote({ signal: this.#serving.controller.signal, fence })
      this.#context.onChange(this.token)
    }
  }

  #stopServing(reason: string): void {
    if (this.#serving === undefined) return
    const { controller, fence } = this.#serving
    this.#serving = undefined
    controller.abort(this.#notPrimary(reason))
    this.#context.events.emit('demoted', { token: this.token, ...fence, reason })
    this.#context.hooks(this.token)?.onDemote()
    this.#context.onChange(this.token)
  }

  // ---- failure

  #fail(error: KagamiError, position: Position | undefined): void {
    if (this.#phase === 'failed' || this.#scope.signal.aborted) return
    const { settings, events } = this.#context
    this.#phase = 'failed'
    this.#error = error
    settings.seams.logger.error(`the copy of '${this.token}' on this node has failed and serves nothing`, { error })
    this.#replicator.close(this.#failedError())
    // What `apply` refused is in the log all the same, and the log still says how the rest ends; any other failure ends the reading.
    if (position === undefined) this.#giveUpPending(error)
    this.#stopServing('the copy has failed')
    this.#rejectWaiters(this.#failedError())
    events.emit('failed', { token: this.token, error, position })
    this.#context.onChange(this.token)
  }

  #giveUpPending(error: unknown): void {
    this.#replicator.end(() => true, indeterminate(this.token, 'this copy can no longer read the log', error), this.#failedError())
    this.#closeIfSettled()
  }

  #closeIfSettled(): void {
    if (this.#onClosed !== undefined && !this.#replicator.hasSealed) this.#onClosed()
  }

  // ---- small things

  #capture(): ReturnType<ConstructorParameters<typeof Snapshotter>[0]['capture']> {
    const machine = this.#machine as StateMachine<R, C>
    return {
      snapshot: machine.snapshot(),
      state: { ...this.#state },
      anchor: this.#anchor as Anchor,
      log: this.#log as TokenLog,
      schemaVersion: machine.schemaVersion ?? 0,
    }
  }

  #has(position: Position): boolean {
    const next = this.next
    return next !== undefined && comparePositions(next, position) > 0
  }

  #wakeWaiters(): void {
    if (this.#waiters.length === 0 || this.#phase !== 'running') return
    const ready = this.#waiters.filter((waiter) => this.#has(waiter.position))
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const waiter of ready) waiter.resolve()
  }

  #rejectWaiters(error: KagamiError): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.reject(error)
    this.#markers.fail(error)
  }

  #unableToRead(): KagamiError | undefined {
    if (this.#phase === 'failed') return this.#failedError()
    if (this.#phase === 'closing' || this.#scope.signal.aborted) return noCopy(this.token)
    return this.#state.deleted ? unknownToken(this.token) : undefined
  }

  #notPrimary(why: string): KagamiError {
    const primary = this.#context.primaryOf(this.token)
    const where = primary === undefined ? 'there is no primary now' : `the primary is on node '${primary.id}'`
    return new KagamiError('KAGAMI_NOT_PRIMARY', `the entry was not applied to '${this.token}': ${why}; ${where}. Send it there`, {
      retryable: true,
      details: { token: this.token, primary: primary ?? null },
    })
  }

  #failedError(): KagamiError {
    return new KagamiError('KAGAMI_TOKEN_FAILED', `the copy of '${this.token}' on this node has failed: ${this.#error?.message ?? 'unknown'}`, {
      cause: this.#error,
      details: { token: this.token, code: this.#error?.code ?? null },
    })
  }
}

/** Whether the assignment gives this node a copy. */
export function assignsCopy(assignment: Assignment, node: string): boolean {
  return (assignment.phase === 'open' || assignment.phase === 'deleting') && copiesOf(assignment).includes(node)
}

function sameSeen(a: CopyReport['seen'], b: CopyReport['seen']): boolean {
  if (a === null || b === null) return a === b
  return a.incarnation === b.incarnation && a.epoch === b.epoch && a.deleted === b.deleted
}
