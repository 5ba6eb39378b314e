/**
 * How the entries end that this copy has on their way when the log, or this copy's way through it, has left their term behind. What counted in its turn is
 * settled with its result elsewhere (applier.ts); here nothing is ever acknowledged.
 */
import type { KagamiError } from '../contract/index.js'
import { compareEpochs, type CopyState } from '../engine/admission.js'
import type { Term } from '../engine/term.js'
import { copyFailed } from './copy-errors.js'
import { indeterminate, rejectAll, type PendingEntry, type Replicator } from './replicator.js'

export interface SettlementContext {
  readonly token: string
  readonly replicator: Replicator
  /** What is in force at the place up to which the copy has read. */
  state(): CopyState
  /** Why the copy has failed. */
  failure(): KagamiError | undefined
  /** Names the primary that there is now. */
  notPrimary(why: string): KagamiError
}

export class Settlement {
  readonly #context: SettlementContext
  #onSettled: (() => void) | undefined

  constructor(context: SettlementContext) {
    this.#context = context
  }

  /** Entries are sealed: resolves when the log has nothing more to say of them. Asked for once. */
  done(): Promise<void> {
    return new Promise((resolve) => {
      this.#onSettled = resolve
    })
  }

  /** An accepted barrier or open rejects for certain what is pending below it. */
  superseded(): void {
    const { replicator } = this.#context
    const state = this.#context.state()
    const over = this.#context.notPrimary('another primary is in force')
    replicator.end(
      (term) => compareEpochs(term, state) < 0 || (compareEpochs(term, state) === 0 && term.term !== state.term),
      over,
      over,
    )
    this.check()
  }

  /** The barrier of this term was ignored: nothing was ever sealed in it. */
  outrun(term: Term<PendingEntry>): void {
    const lost = this.#context.notPrimary('another barrier was there first')
    this.#context.replicator.end((other) => other === term, lost, lost)
  }

  /** The copy has jumped over log that it had not read; `overtaken`: past the end of its own incarnation. */
  jumped(overtaken: boolean): void {
    const { token, replicator } = this.#context
    const over = overtaken ? [...replicator.terms] : replicator.jumped(this.#context.state())
    if (over.length > 0) {
      const lost = indeterminate(token, 'this copy was restored past the change of primary')
      replicator.end((term) => over.includes(term), lost, this.#context.notPrimary('another primary is in force'))
    }
    this.check()
  }

  /** The log refuses for good what this term appends. */
  refused(term: Term<PendingEntry>, error: KagamiError): void {
    const { token, replicator } = this.#context
    const lost = indeterminate(token, 'the log has refused to take it, or an entry before it', error)
    const over = this.#context.notPrimary(`its log refuses what this node appends: ${error.message}`)
    replicator.end((other) => other === term, lost, over)
    this.check()
  }

  /** Entries that are committed, while this copy has stopped to apply. */
  unapplied(entries: readonly PendingEntry[]): void {
    const { token } = this.#context
    rejectAll(
      entries,
      indeterminate(token, 'it is committed, but this copy had failed before it', this.#context.failure()),
    )
  }

  /** The copy can read no further. */
  unreadable(error: unknown): void {
    const { token, replicator } = this.#context
    const lost = indeterminate(token, 'this copy can no longer read the log', error)
    replicator.end(() => true, lost, copyFailed(token, this.#context.failure()))
    this.check()
  }

  closed(stopped: KagamiError): void {
    const { token, replicator } = this.#context
    replicator.end(() => true, indeterminate(token, 'the copy was closed before it knew', stopped), stopped)
    this.#onSettled?.()
  }

  /** To be called when entries have settled otherwise. */
  check(): void {
    if (!this.#context.replicator.hasSealed) this.#onSettled?.()
  }
}
