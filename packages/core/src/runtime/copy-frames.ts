/**
 * What each frame that a copy's reader finds to count means to the state machine, to callers and to the role. Nothing else than the reader calls it, in the
 * order of the log.
 */
import type { KagamiError, Metrics, Position } from '../contract/index.js'
import type { CopyState } from '../engine/admission.js'
import type { BarrierFrame, DataFrame, OpenFrame } from '../engine/frame.js'
import type { Applier } from './applier.js'
import type { CopyCondition, CopyParts } from './copy-condition.js'
import { lostEntries, restoreHindered, unknownToken } from './copy-errors.js'
import type { Events } from './events.js'
import type { LogListener } from './log-reader.js'
import type { ReadCalls } from './read-calls.js'
import { rejectAll, type PendingEntry } from './replicator.js'
import type { RestoredCopy } from './restorer.js'
import type { Settlement } from './settlement.js'

export interface FramesContext<R, C> {
  readonly token: string
  readonly parts: CopyParts<R, C>
  readonly condition: CopyCondition<R, C>
  readonly applier: Applier<R, C>
  readonly settlement: Settlement
  readonly calls: ReadCalls<R, C>
  readonly events: Events
  readonly metrics: Metrics
  /** The token has ended with this incarnation. */
  onEnded(incarnation: number): void
  /** The copy can't go on: at `position`, if `apply` refused the entry there. */
  fail(error: KagamiError, position: Position | undefined): void
  takeSnapshot(): void
  /** Something that others are told of has changed. */
  onChange(): void
}

export class CopyFrames<R, C> implements LogListener<R, C> {
  readonly #context: FramesContext<R, C>

  constructor(context: FramesContext<R, C>) {
    this.#context = context
  }

  failed(): boolean {
    return this.#context.condition.phase === 'failed'
  }

  done(): boolean {
    return this.failed() && !this.#context.parts.replicator.hasSealed
  }

  onUnreadable(error: KagamiError): void {
    this.#context.fail(error, undefined)
  }

  onRestoring(): void {
    const { condition, parts } = this.#context
    condition.restoring()
    parts.progress.restart(parts.progress.applied)
    parts.role.stopServing('the copy is being restored')
    this.#context.onChange()
  }

  onHindered(cause: unknown): void {
    const { condition, token } = this.#context
    condition.hindered(restoreHindered(token, cause))
    this.#context.onChange()
  }

  onRestored(restored: RestoredCopy<R, C>, tookMs: number): void {
    const { applier, calls, condition, events, metrics, parts, settlement, token } = this.#context
    applier.use(restored.machine)
    parts.snapshotter.restored(restored.snapshot)
    condition.restored()
    settlement.jumped(restored.overtaken)
    parts.markers.jumped()
    calls.wake()
    const next = { incarnation: restored.state.incarnation, index: parts.progress.applied }
    metrics.observe('kagami_restore_ms', tookMs, { token })
    events.emit('restored', { token, snapshot: restored.snapshot?.id, next, tookMs })
    parts.role.evaluate()
  }

  onReading(): void {
    const { markers, replicator } = this.#context.parts
    markers.pump()
    replicator.pump()
  }

  onPause(): void {
    this.#context.parts.replicator.progressed()
  }

  onBatchEnd(): void {
    const { condition, parts } = this.#context
    condition.refreshInSync()
    parts.replicator.progressed()
    if (parts.snapshotter.due()) this.#context.takeSnapshot()
  }

  onOpened(frame: OpenFrame): void {
    const { applier, calls, parts, settlement, token } = this.#context
    applier.use(applier.make())
    parts.progress.applied = 0
    settlement.superseded()
    calls.wake()
    if (frame.deleted) {
      this.#context.onEnded(frame.incarnation)
      calls.reject(unknownToken(token))
    }
    parts.role.evaluate()
    this.#context.onChange()
  }

  onBarrier(frame: BarrierFrame): void {
    const { condition, parts, settlement } = this.#context
    const { refusals, replicator, role } = parts
    condition.began()
    settlement.superseded()
    const own = replicator.terms.find((term) => term.term === frame.term)
    if (own !== undefined && this.#holds(role.known)) {
      refusals.reached()
      replicator.serve(own, this.#state)
    }
    role.evaluate()
  }

  /** The barrier of a promotion lost against one that was there before it: this member must be given a higher epoch. */
  onBarrierIgnored(frame: BarrierFrame): void {
    const { parts, settlement } = this.#context
    const own = parts.replicator.terms.find((term) => term.term === frame.term)
    if (own === undefined || own.phase !== 'barrier') return
    settlement.outrun(own)
    parts.role.evaluate()
  }

  onMarker(nonce: bigint): void {
    const { markers } = this.#context.parts
    const known = markers.known(nonce)
    if (known !== undefined && this.#holds(known)) markers.read(nonce)
  }

  onData(frame: DataFrame): void {
    const { parts, settlement } = this.#context
    const own = parts.replicator.counted(frame.term, frame.firstSeq)
    if (this.failed()) settlement.unapplied(own)
    else this.#apply(frame, own)
    if (own.length > 0) {
      parts.refusals.over()
      settlement.check()
    }
  }

  #apply(frame: DataFrame, own: readonly PendingEntry[]): void {
    const { applier, calls, parts, settlement } = this.#context
    const { level, nextIndex } = this.#state
    const failure = applier.apply(frame, level, own)
    if (failure === undefined) {
      parts.progress.advance(nextIndex, frame.timeMs)
      parts.snapshotter.applied(frame.count, frame.body.length)
      return calls.wake()
    }
    const { error, position, at } = failure
    parts.progress.applied = position.index
    this.#context.fail(error, position)
    rejectAll(own.slice(at, at + 1), error)
    settlement.unapplied(own.slice(at + 1))
  }

  /**
   * Whether the log holds up to here what was known of it. To be asked where this copy reads what it has itself appended afterwards: whatever comes
   * before that, it has read. Else the copy fails.
   */
  #holds(known: Position): boolean {
    const { condition, token } = this.#context
    if (condition.holds(known)) return true
    this.#context.fail(lostEntries(token, this.#state.nextIndex, known), undefined)
    return false
  }

  /** What is in force at the place up to which it is read. */
  get #state(): CopyState {
    return this.#context.parts.reader().state
  }
}
