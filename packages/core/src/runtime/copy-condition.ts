/**
 * How one copy is: its phase, why it does not come on, and what its node, the controller and callers are told of it. Acts on nothing but what it tells.
 */
import { comparePositions, type KagamiError, type Position } from '../contract/index.js'
import { compareEpochs } from '../engine/admission.js'
import { knownEntries, type Assignment, type CopyReport } from '../engine/documents.js'
import type { CopyHealth, Role } from './api.js'
import { copyFailed, deaf, restoreStalled, unheard, unopenable } from './copy-errors.js'
import type { CopyProgress } from './copy-progress.js'
import type { CopyRole } from './copy-role.js'
import type { LogReader } from './log-reader.js'
import type { MarkerQueue } from './marker-queue.js'
import type { Limits } from './options.js'
import type { Refusals } from './refusals.js'
import type { Replicator } from './replicator.js'
import type { Snapshotter } from './snapshotter.js'

/** A restore that has not moved on for so long is told of. It is given up after `stallTimeoutMs`. */
const RESTORE_STILL_MS = 10_000

/** The parts of the copy that are asked how they are. */
export interface CopyParts<R, C> {
  reader(): LogReader<R, C>
  readonly progress: CopyProgress
  readonly role: CopyRole
  readonly replicator: Replicator
  readonly markers: MarkerQueue
  readonly refusals: Refusals
  readonly snapshotter: Snapshotter
}

export interface ConditionContext {
  readonly token: string
  readonly limits: Pick<Limits, 'stallTimeoutMs'>
  assignment(): Assignment
  /** Whether snapshots are this copy's to take. */
  isSnapshotter(): boolean
  /** It has come to be in sync, or is no longer. */
  onSyncChange(inSync: boolean): void
}

export class CopyCondition<R, C> {
  readonly #context: ConditionContext
  readonly #parts: CopyParts<R, C>
  #phase: CopyHealth['phase'] = 'opening'
  #inSync = false
  #error: KagamiError | undefined
  /** Why it waits for its restore. */
  #hindrance: KagamiError | undefined
  /** Why the assignment is not followed. */
  #contradiction: KagamiError | undefined
  /** The last barrier that was read, and the next index there. */
  #began: { readonly incarnation: number; readonly epoch: number; readonly index: number } | undefined

  constructor(context: ConditionContext, parts: CopyParts<R, C>) {
    this.#context = context
    this.#parts = parts
  }

  get phase(): CopyHealth['phase'] {
    return this.#phase
  }

  get role(): Role {
    return this.#phase === 'failed' ? 'failed' : this.#parts.role.role
  }

  /** What it has failed by. */
  get error(): KagamiError | undefined {
    return this.#error
  }

  /** Why it serves nothing, and never will; undefined: it has not failed. */
  get failure(): KagamiError | undefined {
    return this.#phase === 'failed' ? copyFailed(this.#context.token, this.#error) : undefined
  }

  get contradicted(): boolean {
    return this.#contradiction !== undefined
  }

  /** The next position that it applies; undefined until it is restored. */
  get next(): Position | undefined {
    if (this.#phase === 'opening' || this.#phase === 'restoring') return undefined
    return { incarnation: this.#parts.reader().state.incarnation, index: this.#parts.progress.applied }
  }

  /** What was known of the log when it was last told of: the first position that it need not hold. */
  get known(): Position {
    const assignment = this.#context.assignment()
    return { incarnation: assignment.incarnation, index: knownEntries(assignment) }
  }

  /** Whether this copy has read as far as that. */
  holds(known: Position): boolean {
    const { incarnation, nextIndex } = this.#parts.reader().state
    return comparePositions({ incarnation, index: nextIndex }, known) >= 0
  }

  // What happens to it.

  restoring(): void {
    if (this.#phase === 'opening' || this.#phase === 'running') this.#phase = 'restoring'
  }

  hindered(error: KagamiError): void {
    this.#hindrance = error
  }

  restored(): void {
    this.#hindrance = undefined
    if (this.#phase === 'restoring') this.#phase = 'running'
  }

  began(): void {
    const { incarnation, epoch, nextIndex } = this.#parts.reader().state
    this.#began = { incarnation, epoch, index: nextIndex }
  }

  /** The assignment can't be followed, or can be again. */
  contradiction(error: KagamiError | undefined): void {
    this.#contradiction = error
  }

  failed(error: KagamiError): void {
    this.#phase = 'failed'
    this.#error = error
    this.#inSync = false
  }

  closing(): void {
    if (this.#phase !== 'failed') this.#phase = 'closing'
  }

  refreshInSync(): void {
    const inSync = this.#phase === 'running' && this.#parts.progress.inSync
    if (inSync === this.#inSync) return
    this.#inSync = inSync
    this.#context.onSyncChange(inSync)
  }

  // What is told of it.

  /** To the controller. */
  report(): CopyReport {
    const { progress, refusals, replicator, role, snapshotter } = this.#parts
    const { state } = this.#parts.reader()
    const { incarnation, epoch } = state
    this.refreshInSync()
    const began = this.#began
    return {
      token: this.#context.token,
      incarnation,
      epoch,
      nextIndex: progress.applied,
      // It may have been restored over later barriers.
      ...(began !== undefined && compareEpochs(began, state) === 0 ? { epochBegan: began.index } : {}),
      reached: { incarnation, index: progress.applied },
      phase: this.#phase === 'failed' || this.#phase === 'running' ? this.#phase : 'restoring',
      inSync: this.#inSync,
      cutOff: progress.cutOff,
      snapshotFails: snapshotter.error !== undefined,
      serving: role.servingEpoch,
      appendsFail: replicator.live !== undefined && replicator.lastingTrouble !== undefined,
      seen: role.refusal,
      error: (this.#error ?? this.#hindrance ?? refusals.error)?.code ?? null,
    }
  }

  /** To the application. */
  health(): CopyHealth {
    const { markers, progress, refusals, replicator, snapshotter } = this.#parts
    const reader = this.#parts.reader()
    const newest = snapshotter.newest
    return {
      token: this.#context.token,
      role: this.role,
      phase: this.#phase,
      epoch: reader.state.epoch,
      next: this.next,
      lag: progress.lag,
      error: this.#error ?? this.#contradiction ?? this.#hindrance,
      snapshot: newest && { id: newest.id, nextIndex: newest.nextIndex, takenAtMs: newest.takenAtMs },
      snapshotError: this.#context.isSnapshotter() ? snapshotter.error : undefined,
      readError: this.#readError(),
      appendError: replicator.trouble ?? markers.trouble ?? refusals.error,
      ignored: reader.ignored,
    }
  }

  /** What a call is refused with that this copy could not tell the outcome of, because it hears nothing from its log; undefined: it hears. */
  unheard(): KagamiError | undefined {
    const { token } = this.#context
    const { patienceMs, stillMs, trouble } = this.#parts.reader()
    return stillMs < patienceMs ? undefined : deaf(token, unheard(token, stillMs, trouble))
  }

  /** Why it does not come on, where that has lasted. What is told as its error is not told twice. */
  #readError(): KagamiError | undefined {
    const { token, limits } = this.#context
    const { stillMs, trouble } = this.#parts.reader()
    const { boundMs } = this.#parts.progress
    const restoreMs = Math.max(boundMs, Math.min(RESTORE_STILL_MS, limits.stallTimeoutMs))
    if ((this.#phase === 'running' || this.#phase === 'closing') && stillMs >= boundMs) {
      return unheard(token, stillMs, trouble)
    }
    if (this.#phase === 'opening' && stillMs >= boundMs) {
      return unopenable(token, this.#context.assignment().log.address, stillMs, trouble)
    }
    if (this.#phase === 'restoring' && stillMs >= restoreMs && this.#hindrance === undefined) {
      return restoreStalled(token, stillMs, trouble)
    }
    return undefined
  }
}
