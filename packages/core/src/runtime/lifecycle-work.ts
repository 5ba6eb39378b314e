/**
 * The slow work on tokens that a controller has under way during its rule: which log goes to whom, what is to be done next in each token's life, again
 * and again where it fails. What is done is in token-lifecycle.ts.
 */
import { isKagamiError, type Seams } from '../contract/index.js'
import { heal } from '../engine/assignment-steps.js'
import type { ClusterView } from '../engine/cluster-view.js'
import { generationOf, isRemoved, type Assignment, type Spec } from '../engine/documents.js'
import type { AssignmentTable } from './assignment-table.js'
import type { CopyReports } from './copy-reports.js'
import { isUnanswered } from './impatient-coordinator.js'
import { dispensableStore, impatientLog, impatientStore, type LogKeeper, type SnapshotShelf } from './impatient.js'
import type { LiveMember } from './membership.js'
import type { Scope } from './scope.js'
import {
  beginIncarnation,
  cleanUp,
  endIncarnation,
  isDead,
  isNew,
  newerIncarnation,
  openIncarnation,
  type LifecycleContext,
} from './token-lifecycle.js'
import { Turns, type TurnLimits } from './turns.js'
import { backoffMs, sleep } from './waiting.js'

/** Pieces of work of one kind at once. Those that a log or a store does not answer cost little. */
const TURNS: TurnLimits = { atOnce: 32, lent: 64, stillMs: 2_000 }
/** Between two looks for a newer incarnation of one token. */
const SEEK_MS = 5_000
/** So long each answer may take where a token waits for its primary meanwhile. */
const CONFIRM_MS = 1_000

export interface LifecycleWorkContext {
  readonly seams: Seams
  readonly log: LogKeeper
  readonly store: SnapshotShelf
  readonly table: AssignmentTable
  readonly reports: CopyReports
  /** The live members, as last heard. */
  members(): readonly LiveMember[]
  /** Everything that is under way runs in it, and ends with it. */
  readonly scope: Scope
  /** What hinders the work is put there, by what it is about. */
  readonly problems: Map<string, string>
  /** Work on a token is over: there may be more to do. */
  onDone(): void
}

/** A look is what a token's primary waits for: its calls are brief. Nobody waits for what is cleaned up. */
type Kind = 'creation' | 'removal' | 'cleaning' | 'look'

export class LifecycleWork {
  readonly #context: LifecycleWorkContext
  /** Apart from each other: calls of a log or a store that hang hold their places for long. */
  readonly #turns: Readonly<Record<Kind, Turns>>
  readonly #busy = new Set<string>()
  /** Logs that were given to tokens whose assignments are yet to be written. */
  readonly #reserved = new Set<string>()
  /** The incarnations for which this rule has allocated a log that is yet to be opened. */
  readonly #begun = new Map<string, number>()
  /** The incarnation of each token that this rule has opened, or above which it has found none. */
  readonly #confirmed = new Map<string, number>()
  /** When a newer incarnation of a token was looked for last. */
  readonly #soughtAtMs = new Map<string, number>()
  #held: ReadonlySet<string> | undefined

  constructor(context: LifecycleWorkContext) {
    this.#context = context
    const turns = (): Turns => new Turns(context.seams.clock, TURNS)
    this.#turns = { creation: turns(), removal: turns(), cleaning: turns(), look: turns() }
  }

  /** A round begins: what the last one has seen is out of date. */
  beginRound(): void {
    this.#held = undefined
  }

  /** Begins what a token's life needs next. True when its assignment is not to be touched otherwise. */
  attend(spec: Spec, assignment: Assignment | undefined, view: ClusterView): boolean {
    const { token } = spec
    if (this.#busy.has(token)) return true
    const healed = assignment === undefined ? undefined : heal(assignment, view)
    if (assignment !== undefined && healed !== undefined && healed.incarnation > assignment.incarnation) {
      this.#begin('look', token, () => Promise.resolve(healed))
      return true
    }
    // A token that is gone though its spec is not removed: it was created again, or the log knew of a deletion that the documents have lost.
    if (assignment === undefined || assignment.phase === 'gone') {
      const settled =
        assignment !== undefined && spec.removed && generationOf(assignment.incarnation) >= spec.generation
      if (!settled) this.#begin('creation', token, (context) => this.#beginIncarnation(context, spec, assignment))
      return true
    }
    switch (assignment.phase) {
      case 'opening':
        this.#begin('creation', token, (context) => this.#openIncarnation(context, spec, assignment))
        return true
      case 'open':
        // A later spec alone ends nothing: it may come from somebody who knew nothing of this creation.
        if (isRemoved(spec, assignment.incarnation)) {
          this.#begin('removal', token, () => Promise.resolve({ ...assignment, phase: 'deleting' as const }))
          return true
        }
        if (!this.#isDoubtful(assignment, view)) return false
        this.#begin('look', token, (context) => this.#confirm(context, spec, assignment))
        return true
      case 'deleting':
        this.#begin('removal', token, (context) => endIncarnation(context, assignment))
        return true
      case 'deleted':
        // Copies that still settle what was pending read the log to its end first.
        if (this.#holders(token).length === 0) this.#begin('cleaning', token, (context) => cleanUp(context, assignment))
        return true
    }
  }

  /**
   * Nobody who lives has read that this incarnation ever had a primary, so only the documents speak for it; and they may have gone back to one that has
   * ended since. It gets no primary before a newer one was looked for.
   */
  #isDoubtful({ token, incarnation, primary }: Assignment, view: ClusterView): boolean {
    if (this.#confirmed.get(token) === incarnation) return false
    if (primary !== null && view.nodes.get(primary.node)?.member === primary.member) return false
    for (const node of view.nodes.keys()) {
      const report = view.report(node, token)
      if (report !== undefined && report.phase !== 'failed' && report.incarnation === incarnation && report.epoch > 0)
        return false
    }
    return true
  }

  /**
   * Looks for a newer incarnation elsewhere, since the copies themselves find one in its own log, and whether it is dead. Where this node can't reach the log
   * or the store, others may, so the token goes on without that look.
   */
  async #confirm(context: LifecycleContext, spec: Spec, assignment: Assignment): Promise<Assignment | undefined> {
    const { token, incarnation, log } = assignment
    const { logger } = this.#context.seams
    const patience = { clock: context.clock, limitMs: CONFIRM_MS, logger }
    const brief = {
      ...context,
      log: impatientLog(context.log, patience),
      store: impatientStore(context.store, patience),
    }
    const onUnseen = (error: unknown): void => {
      logger.warn(`whether the documents of '${token}' have gone back can't be seen now`, { error })
    }
    const forgiving = { ...brief, store: dispensableStore(context.store, patience, onUnseen) }
    let newer: Assignment | undefined
    let dead = false
    try {
      newer = await newerIncarnation(forgiving, assignment, new Set([...this.#logsHeld(), log.address]))
      // In one that was only opened nothing was written; in the assignment's something may have been.
      if (newer?.epoch === 0) newer = undefined
      dead = newer === undefined && (await isDead(brief, assignment))
    } catch (error) {
      context.signal.throwIfAborted()
      onUnseen(error)
    }
    if (dead) return this.#beginIncarnation(context, spec, assignment)
    this.#confirmed.set(token, incarnation)
    return newer
  }

  /**
   * No node finds the beginning of this incarnation: if there is a newer one, the documents have gone back, and nobody is left who would tell.
   */
  seekNewer(assignment: Assignment, view: ClusterView): void {
    const { token } = assignment
    const reports = [...view.nodes.keys()]
      .map((node) => view.report(node, token))
      .filter((report) => report !== undefined)
    if (!reports.some(({ error }) => error === 'KAGAMI_LOG_GAP' || error === 'KAGAMI_LOG_REPLACED')) return
    if (reports.some(({ phase }) => phase !== 'failed')) return
    const nowMs = this.#context.seams.clock.monotonicMs()
    if (nowMs - (this.#soughtAtMs.get(token) ?? -Infinity) < SEEK_MS) return
    this.#soughtAtMs.set(token, nowMs)
    this.#begin('creation', token, async (context) => {
      const newer = await newerIncarnation(context, assignment, this.#logsHeld())
      if (newer !== undefined) this.#soughtAtMs.delete(token)
      return newer
    })
  }

  /** Does the work, and writes what comes out. */
  #begin(kind: Kind, token: string, work: (context: LifecycleContext) => Promise<Assignment | undefined>): void {
    const { log, store, table, problems, scope } = this.#context
    const { clock } = this.#context.seams
    this.#busy.add(token)
    scope.spawn(`work on '${token}'`, async (signal) => {
      const next = await this.#untilDone(token, signal, async () => {
        const turn = await this.#turns[kind].begin(signal)
        return work({ log, store, clock, signal }).finally(() => turn.end())
      })
      if (next !== undefined) {
        // By itself: a creation that were begun anew whenever it can't be written would be given one log after another.
        await this.#untilDone(token, signal, () => table.put([next]))
        if (next.phase === 'open') this.#confirmed.set(token, next.incarnation)
        else if (next.phase === 'gone') this.#forget(token)
        // From here on the table says who has the log.
        this.#unreserve(next.log.address)
      }
      this.#busy.delete(token)
      problems.delete(`token ${token}`)
      this.#context.onDone()
    })
  }

  /** Does a step of the work on a token, again and again where it fails. */
  async #untilDone<T>(token: string, signal: AbortSignal, step: () => Promise<T>): Promise<T> {
    const { problems } = this.#context
    const { clock, random, logger } = this.#context.seams
    for (let failures = 0; ; failures++) {
      try {
        return await step()
      } catch (error) {
        if (isKagamiError(error, 'KAGAMI_VERSION_CONFLICT') || isKagamiError(error, 'KAGAMI_SESSION_LOST')) throw error
        // Another controller may have answers.
        if (isUnanswered(error)) throw error
        signal.throwIfAborted()
        logger.warn(`the controller's work on '${token}' failed; trying again`, { error })
        problems.set(`token ${token}`, `work on token '${token}' fails: ${String(error)}`)
      }
      await sleep(clock, backoffMs(failures, { first: 50, longest: 2000 }, random), signal)
    }
  }

  /**
   * Whether another token was given this token's log before it. A document that a deposed controller was the first to write can't be fenced, so
   * two controllers may have given one empty log away twice. As long as it isn't opened nothing is in it.
   */
  #shares(assignment: Assignment): boolean {
    const { table } = this.#context
    if (table.logs.uses(assignment.log.address) < 2) return false
    for (const other of table.values()) {
      if (other.token === assignment.token || other.log.address !== assignment.log.address) continue
      if (other.phase !== 'gone' && (other.phase !== 'opening' || other.token < assignment.token)) return true
    }
    return false
  }

  async #beginIncarnation(context: LifecycleContext, spec: Spec, before: Assignment | undefined): Promise<Assignment> {
    const { token } = spec
    const { logs } = this.#context.table
    const next = await beginIncarnation(context, spec, before, {
      inUse: logs.addresses,
      held: this.#logsHeld(),
      holders: this.#holders(token),
    })
    if (next.phase !== 'opening') return next
    // Two tokens that are created at once may be given the same empty log: the second asks again.
    if (logs.addresses.has(next.log.address)) return this.#beginIncarnation(context, spec, before)
    this.#reserve(next.log.address)
    this.#begun.set(token, next.incarnation)
    return next
  }

  /** Opens it in the log that it was given, or gives it another where that one is not its own or not there any more. */
  async #openIncarnation(context: LifecycleContext, spec: Spec, assignment: Assignment): Promise<Assignment> {
    const begunHere = this.#begun.get(assignment.token) === assignment.incarnation
    const opens = !this.#shares(assignment) && (begunHere || (await isNew(context, assignment, this.#logsHeld())))
    if (!opens) return this.#beginIncarnation(context, spec, assignment)
    try {
      const opened = await openIncarnation(context, assignment)
      if (opened !== undefined) {
        this.#begun.delete(assignment.token)
        return opened
      }
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_LOG_REPLACED')) throw error
    }
    return this.#beginIncarnation(context, spec, assignment)
  }

  /** What a rule remembers must not grow with the tokens that have come and gone. */
  #forget(token: string): void {
    this.#begun.delete(token)
    this.#confirmed.delete(token)
    this.#soughtAtMs.delete(token)
  }

  #reserve(address: string): void {
    if (this.#reserved.has(address)) return
    this.#reserved.add(address)
    this.#context.table.logs.add(address)
  }

  #unreserve(address: string): void {
    if (this.#reserved.delete(address)) this.#context.table.logs.remove(address)
  }

  /** Asked for once in a round: it costs a look at every report. */
  #logsHeld(): ReadonlySet<string> {
    return (this.#held ??= this.#context.reports.logsHeld(this.#context.table, this.#context.members()))
  }

  #holders(token: string): string[] {
    return this.#context.reports.holders(token, this.#context.members())
  }
}
