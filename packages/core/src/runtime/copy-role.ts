/**
 * The role of one copy: compares the assignment with what the copy has read, promotes, steps down, and tells the application.
 * Reads nothing and applies nothing; the log decides whether a promotion holds.
 */
import type { KagamiError, Position } from '../contract/index.js'
import { compareEpochs, type CopyState } from '../engine/admission.js'
import { knownEntries, type Assignment, type CopyReport } from '../engine/documents.js'
import type { Term } from '../engine/term.js'
import type { Fence, Role } from './api.js'
import type { Events } from './events.js'
import type { PendingEntry, Replicator } from './replicator.js'

export interface RoleHooks {
  onPromote(context: { readonly signal: AbortSignal; readonly fence: Fence }): void
  onDemote(): void
}

export interface RoleContext {
  readonly token: string
  readonly incarnation: number
  readonly replicator: Replicator
  readonly events: Events
  assignment(): Assignment
  /** Whether the coordinator names another log for this incarnation than the one that this copy reads. */
  contradicted(): boolean
  /** Whether to wait before a higher epoch is asked for. */
  resting(): boolean
  state(): CopyState
  /** Whether the copy is restored, reads on, and has neither failed nor been closed. */
  running(): boolean
  /** This node's member; undefined while it has no session. */
  member(): string | undefined
  leaseHeld(): boolean
  hooks(): RoleHooks | undefined
  notPrimary(why: string): KagamiError
  onChange(): void
}

export class CopyRole {
  readonly #context: RoleContext
  /** The highest pair that this copy was promoted to. */
  #used: Fence
  #known: Position
  #refusal: CopyReport['seen'] = null
  #serving: { readonly controller: AbortController; readonly fence: Fence } | undefined

  constructor(context: RoleContext) {
    this.#context = context
    this.#used = { incarnation: context.incarnation, epoch: 0 }
    this.#known = { incarnation: context.incarnation, index: 0 }
  }

  /** The first position that the log was not known to hold when this copy was last promoted. */
  get known(): Position {
    return this.#known
  }

  /** What the controller must assign above; null while the assignment is followed. */
  get refusal(): CopyReport['seen'] {
    return this.#refusal
  }

  /** The epoch that this copy serves; 0 when it serves none. */
  get servingEpoch(): number {
    return this.#serving?.fence.epoch ?? 0
  }

  get role(): Role {
    const live = this.#context.replicator.live
    if (live === undefined) return 'replica'
    if (live.phase !== 'serving') return 'promoting'
    return this.#context.leaseHeld() ? 'primary' : 'suspended'
  }

  /** Acts on a new assignment, membership, lease, or state. */
  evaluate(): void {
    const { replicator, incarnation } = this.#context
    const assignment = this.#context.assignment()
    const state = this.#context.state()
    const member = this.#context.member()
    const contradicted = this.#context.contradicted()
    const named =
      member !== undefined && assignment.primary?.member === member && assignment.incarnation === incarnation
    const mine = named && !contradicted
    const highest = compareEpochs(this.#used, state) > 0 ? this.#used : state
    const live = replicator.live
    if (live !== undefined && !(mine && live.epoch === assignment.epoch)) this.stepDown('another primary is assigned')
    let refusal: CopyReport['seen'] = null
    if (this.#context.running() && (assignment.phase === 'open' || assignment.incarnation < incarnation)) {
      if (mine && replicator.live === undefined) {
        if (compareEpochs(assignment, highest) > 0 && !state.deleted) this.#promote(assignment)
        else if (!this.#context.resting()) refusal = this.#seen(highest)
      } else if (contradicted || (!mine && compareEpochs(assignment, state) < 0)) {
        refusal = this.#seen(state)
      }
    }
    if (!sameSeen(refusal, this.#refusal)) {
      this.#refusal = refusal
      this.#context.onChange()
    }
    this.#updateServing('another primary is in force')
  }

  /** Takes no more entries; what is sealed waits for the log. */
  stepDown(why: string): void {
    this.#context.replicator.close(this.#context.notPrimary(why))
    this.#updateServing(why)
  }

  stopServing(reason: string): void {
    if (this.#serving === undefined) return
    const { controller, fence } = this.#serving
    this.#serving = undefined
    controller.abort(this.#context.notPrimary(reason))
    this.#context.events.emit('demoted', { token: this.#context.token, ...fence, reason })
    this.#context.hooks()?.onDemote()
    this.#context.onChange()
  }

  /** Calls the application's hook if this copy serves already. */
  hooksAdded(hooks: RoleHooks): void {
    if (this.#serving !== undefined) {
      hooks.onPromote({ signal: this.#serving.controller.signal, fence: this.#serving.fence })
    }
  }

  #promote(assignment: Assignment): void {
    const { incarnation, epoch } = assignment
    this.#used = { incarnation, epoch }
    this.#known = { incarnation, index: knownEntries(assignment) }
    const state = this.#context.state()
    this.#context.replicator.begin(incarnation, epoch, state.incarnation === incarnation ? state.nextIndex : 0)
    this.#context.events.emit('promoting', { token: this.#context.token, incarnation, epoch })
  }

  #updateServing(why: string): void {
    if (this.#serving !== undefined && this.#servable?.epoch !== this.#serving.fence.epoch) {
      this.stopServing(this.#context.leaseHeld() ? why : 'the lease is suspended')
    }
    const live = this.#servable
    if (live === undefined || this.#serving !== undefined) return
    const fence = { incarnation: live.incarnation, epoch: live.epoch }
    const serving = { controller: new AbortController(), fence }
    this.#serving = serving
    this.#context.events.emit('promoted', { token: this.#context.token, ...fence })
    // A listener may have stopped the node, and with it this.
    if (this.#serving !== serving) return
    this.#context.hooks()?.onPromote({ signal: serving.controller.signal, fence })
    this.#context.onChange()
  }

  /** The term that this copy may serve, if any. */
  get #servable(): Term<PendingEntry> | undefined {
    const { live } = this.#context.replicator
    return this.#context.running() && live?.phase === 'serving' && this.#context.leaseHeld() ? live : undefined
  }

  #seen({ incarnation, epoch }: Fence): CopyReport['seen'] {
    const { address, identity } = this.#context.assignment().log
    return { incarnation, epoch, log: { address, identity }, deleted: this.#context.state().deleted }
  }
}

function sameSeen(a: CopyReport['seen'], b: CopyReport['seen']): boolean {
  if (a === null || b === null) return a === b
  return a.incarnation === b.incarnation && a.epoch === b.epoch && a.deleted === b.deleted
}
