/**
 * The copies that this node holds: opens what the assignments give it, retires what they take away, one incarnation after
 * another. A token whose documents have vanished is kept: only an assignment may take a copy away.
 */
import type { KagamiError } from '../contract/index.js'
import { isEnd, type Assignment, type CopyReport, type LogRef } from '../engine/documents.js'
import { assignsCopy } from '../engine/assignment-steps.js'
import type { CopyHealth } from './api.js'
import { Copy, type CopyContext } from './copy.js'

export class Copies<R, C> {
  readonly #context: CopyContext<R, C>
  readonly #node: string
  readonly #onError: (token: string, error: unknown) => void
  readonly #open = new Map<string, Copy<R, C>>()
  readonly #retiring = new Map<string, { readonly copy: Copy<R, C>; readonly done: Promise<void> }>()
  /** Copies that failed and were dropped: the same member must not be given them again. */
  readonly #failed = new Map<
    string,
    {
      readonly member: string
      readonly incarnation: number
      readonly report: CopyReport
      readonly error: KagamiError
    }
  >()
  #closed = false

  constructor(context: CopyContext<R, C>, node: string, onError: (token: string, error: unknown) => void) {
    this.#context = context
    this.#node = node
    this.#onError = onError
  }

  get(token: string): Copy<R, C> | undefined {
    return this.#open.get(token)
  }

  /** Why this member can't serve a token, where its copy has failed, though it may have been dropped since. */
  failure(token: string): KagamiError | undefined {
    const copy = this.#open.get(token)
    if (copy !== undefined) return copy.failure
    const failed = this.#failed.get(token)
    return failed?.member === this.#context.member() ? failed?.error : undefined
  }

  values(): IterableIterator<Copy<R, C>> {
    return this.#open.values()
  }

  /** How they are: those that are open, and those that are taken away and still learn how their entries end, where no other is open. */
  health(): CopyHealth[] {
    const retiring = [...this.#retiring].filter(([token]) => !this.#open.has(token)).map(([, { copy }]) => copy)
    return [...this.#open.values(), ...retiring].map((copy) => copy.health())
  }

  /** The assignment of a token has changed; undefined: its document has vanished. */
  assigned(token: string, assignment: Assignment | undefined): void {
    if (assignment === undefined || this.#closed) return
    // What failed was a copy of something that is over.
    if ((this.#failed.get(token)?.incarnation ?? Infinity) < assignment.incarnation) {
      this.#failed.delete(token)
      this.#context.onChange(token)
    }
    const copy = this.#open.get(token)
    const wanted = assignsCopy(assignment, this.#node)
    if (copy !== undefined) {
      if (wanted && this.#same(copy, assignment)) return copy.assign(assignment)
      // The documents are older than the log, or speak of another log: this copy stays, and tells the controller of what it has read.
      if (assignment.incarnation < copy.incarnation) return copy.assign({ ...assignment, log: copy.assignment.log })
      if (assignment.incarnation === copy.incarnation && !sameLog(copy.assignment.log, assignment.log))
        return copy.contradict(assignment.log)
      if (isEnd(assignment.incarnation)) copy.ended(assignment.incarnation)
      this.#retire(token, copy)
    }
    const failed = this.#failed.get(token)
    if (!wanted || (failed !== undefined && failed.member === this.#context.member())) return
    // The next incarnation, or the same one again, waits until the one before has learnt how its entries ended.
    if (this.#retiring.has(token)) return
    const opened = new Copy(this.#context, assignment)
    this.#open.set(token, opened)
    opened.open()
  }

  reconsider(): void {
    for (const copy of this.#open.values()) copy.reconsider()
  }

  /** How the copies are, of all tokens or of those that `concerns` tells. */
  reports(concerns: (token: string) => boolean = () => true): CopyReport[] {
    const reports: CopyReport[] = []
    for (const [token, copy] of this.#open) if (concerns(token)) reports.push(copy.report())
    for (const [token, { copy }] of this.#retiring)
      if (!this.#open.has(token) && concerns(token)) reports.push(copy.report())
    for (const [token, { member, report }] of this.#failed) {
      if (this.#open.has(token) || this.#retiring.has(token) || member !== this.#context.member()) continue
      if (concerns(token)) reports.push(report)
    }
    return reports
  }

  /** Tokens whose copy failed on this member and was replaced elsewhere. */
  replaced(): CopyReport[] {
    return this.reports().filter(({ token, phase }) => phase === 'failed' && !this.#open.has(token))
  }

  get hasPending(): boolean {
    const all = [...this.#open.values(), ...[...this.#retiring.values()].map(({ copy }) => copy)]
    return all.some((copy) => copy.hasPending)
  }

  /** The tokens whose copies are not closed yet. */
  tokens(): string[] {
    return [...new Set([...this.#open.keys(), ...this.#retiring.keys()])].sort()
  }

  /** Closes everything at once. */
  async close(): Promise<void> {
    this.#closed = true
    const open = [...this.#open].map(async ([token, copy]) => {
      await copy.close().catch((error: unknown) => this.#onError(token, error))
      this.#open.delete(token)
    })
    const retiring = [...this.#retiring].map(async ([token, { copy }]) => {
      await copy.close().catch((error: unknown) => this.#onError(token, error))
    })
    await Promise.all([...open, ...retiring])
  }

  #retire(token: string, copy: Copy<R, C>): void {
    this.#open.delete(token)
    const error = copy.failure
    const member = this.#context.member()
    if (error !== undefined && member !== undefined)
      this.#failed.set(token, { member, incarnation: copy.incarnation, report: copy.report(), error })
    const done = copy
      .retire()
      .catch((error: unknown) => this.#onError(token, error))
      .then(() => {
        this.#retiring.delete(token)
        this.#context.onChange(token)
        this.#context.onRetired(token)
      })
    this.#retiring.set(token, { copy, done })
  }

  #same(copy: Copy<R, C>, assignment: Assignment): boolean {
    return copy.incarnation === assignment.incarnation && sameLog(copy.assignment.log, assignment.log)
  }
}

function sameLog(a: LogRef, b: LogRef): boolean {
  return a.address === b.address && a.identity === b.identity
}
