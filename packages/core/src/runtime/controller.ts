/**
 * The elected controller: watches members, specs and reports, and drives every token's assignment towards the placement
 * strategy's target, one safe step at a time (engine/assignment-steps.ts). Being wrong or late here delays tokens; it can't lose a write.
 */
import {
  isKagamiError,
  listenForAbort,
  type CommitLog,
  type Document,
  type Leadership,
  type Placement,
  type PlacementMember,
  type PlacementStrategy,
  type PlacementToken,
  type Session,
  type SnapshotStore,
} from '../contract/index.js'
import { askedPrimary, countRound, nextStep, pinnedPrimary } from '../engine/assignment-steps.js'
import type { ClusterView } from '../engine/cluster-view.js'
import { specDocument, type Assignment, type Spec } from '../engine/documents.js'
import { whyUnserved } from '../engine/unserved.js'
import { AssignmentTable, deposed, type Ruler } from './assignment-table.js'
import { ClusterViews } from './cluster-views.js'
import { CopyReports } from './copy-reports.js'
import { DocumentTable } from './directory.js'
import type { Events } from './events.js'
import { impatientLog, impatientStore } from './impatient.js'
import { LifecycleWork } from './lifecycle-work.js'
import { decodeMembers, keepWatching, type LiveMember } from './membership.js'
import type { Settings } from './options.js'
import { Orphans } from './orphans.js'
import { Scope } from './scope.js'
import { backoffMs, linkedAbort, rest, sleep, Wakeup } from './waiting.js'

const IDLE_MS = 5_000

const PREFIX = 'assignments/'

export interface ControllerContext {
  readonly settings: Settings<never, never>
  readonly log: CommitLog
  readonly store: SnapshotStore
  readonly placement: PlacementStrategy
  readonly events: Events
}

export class Controller {
  readonly #context: ControllerContext
  /** By what they are about. */
  readonly #problems = new Map<string, string>()
  #ruling = false

  constructor(context: ControllerContext) {
    this.#context = context
  }

  get ruling(): boolean {
    return this.#ruling
  }

  /** What keeps it from doing its work, for people. */
  get problems(): readonly string[] {
    return [...this.#problems.values()]
  }

  /** Campaigns, rules and campaigns again, for one session, as a member. */
  async run(session: Session, member: string, signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#context.settings.seams
    // Another node may have read a damaged document while it was whole: it gets the first try.
    let anew = false
    for (let failures = 0; !signal.aborted;) {
      let leadership: Leadership | undefined
      try {
        leadership = await this.#campaign(session, signal)
        this.#ruling = true
        this.#context.events.emit('controller', { elected: true, epoch: leadership.epoch })
        await this.#rule(session, { epoch: leadership.epoch, member, anew }, leadership.signal, signal)
      } catch (error) {
        this.#problems.clear()
        if (signal.aborted || isKagamiError(error, 'KAGAMI_SESSION_LOST')) return
        anew = isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')
        const wasDeposed = isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')
        failures = wasDeposed ? 1 : failures + 1
        const why = isKagamiError(error) ? error.message : String(error)
        if (!wasDeposed) this.#problems.set('rule', `this node can't be the controller: ${why}`)
        logger.info('this node stops being the controller', { error })
      } finally {
        if (this.#ruling) this.#context.events.emit('controller', { elected: false, epoch: leadership?.epoch ?? 0 })
        this.#ruling = false
        await leadership?.resign().catch(() => undefined)
      }
      await sleep(clock, backoffMs(failures, { first: 20, longest: 2000 }, random), signal).catch(() => undefined)
    }
  }

  /** What kept this node from ruling is no problem any more where another node rules, unless this node could not follow it. */
  async #campaign(session: Session, signal: AbortSignal): Promise<Leadership> {
    const { clock } = this.#context.settings.seams
    const timer = clock.timer(IDLE_MS, () => this.#problems.delete('rule'))
    try {
      return await session.campaign({ signal })
    } finally {
      timer.cancel()
    }
  }

  async #rule(session: Session, ruler: Ruler, leads: AbortSignal, signal: AbortSignal): Promise<void> {
    const link = linkedAbort(signal, leads)
    const term = new ControllerTerm(this.#context, session, ruler, link.signal, this.#problems)
    try {
      await term.run()
    } finally {
      link.abort(deposed())
      await term.settled()
    }
  }
}

/** One rule, from election to deposition. */
class ControllerTerm {
  readonly #context: ControllerContext
  readonly #session: Session
  readonly #ruler: Ruler
  readonly #problems: Map<string, string>
  readonly #wakeup = new Wakeup()
  readonly #scope: Scope
  readonly #specs = new DocumentTable<Spec>((bytes, name) => specDocument.decode(bytes, name).tokens)
  readonly #reports = new CopyReports()
  readonly #views: ClusterViews
  readonly #orphans: Orphans
  /** Buckets of assignments that a watch did not show. */
  readonly #missing = new Set<string>()
  #searching = false
  /** Buckets of which the watch shows an older version than was written, and since when. */
  #behindSinceMs = new Map<string, number>()
  /** Buckets of which the watch shows other bytes than were written. */
  #damaged = new Set<string>()
  #members: readonly LiveMember[] | undefined
  #specsLoaded = false
  #reportsLoaded = false
  #fatal: unknown

  constructor(
    context: ControllerContext,
    session: Session,
    ruler: Ruler,
    signal: AbortSignal,
    problems: Map<string, string>,
  ) {
    this.#context = context
    this.#session = session
    this.#ruler = ruler
    this.#problems = problems
    const { seams, graceMs, limits } = context.settings
    this.#views = new ClusterViews(seams.clock, { graceMs, stallMs: limits.stallTimeoutMs }, this.#reports)
    const { settings, events } = context
    this.#orphans = new Orphans({ settings, events, problems })
    this.#scope = new Scope((task, error) => {
      seams.logger.error(`the controller's ${task} ended with an error`, { error })
      this.#stop(error)
    })
    if (signal.aborted) this.#scope.abort(signal.reason)
    listenForAbort(signal, () => this.#scope.abort(signal.reason))
  }

  async run(): Promise<void> {
    const { settings, log, store } = this.#context
    const { clock, logger } = settings.seams
    const { signal } = this.#scope
    const table = await AssignmentTable.takeOver(this.#session, this.#ruler, signal, (name, error) =>
      logger.error(`the document ${name} can't be read; its tokens are looked for in their logs`, { error }),
    )
    const patience = { clock, limitMs: settings.limits.stallTimeoutMs, logger }
    const work = new LifecycleWork({
      seams: settings.seams,
      log: impatientLog(log, patience),
      store: impatientStore(store, patience),
      table,
      reports: this.#reports,
      members: () => this.#members ?? [],
      scope: this.#scope,
      problems: this.#problems,
      onDone: () => this.#wakeup.wake(),
    })
    this.#watchAll(table)
    for (;;) {
      const untilMs = Math.min(this.#views.untilChangeMs(IDLE_MS), this.#untilRenewalMs())
      await this.#wakeup.wait(clock, untilMs, signal)
      if (this.#fatal !== undefined) throw this.#fatal
      await this.#renewOld(table)
      if (this.#members === undefined || !this.#specsLoaded || !this.#reportsLoaded) continue
      const startedMs = clock.monotonicMs()
      const changed = this.#round(table, work, this.#members)
      const tookMs = clock.monotonicMs() - startedMs
      if (changed.length > 0) {
        await table.put(changed)
        // What one step allows may be the next step's condition.
        this.#wakeup.wake()
      }
      this.#problems.delete('rule')
      await rest(clock, tookMs, signal)
    }
  }

  async settled(): Promise<void> {
    await this.#scope.settled()
  }

  #stop(error: unknown): void {
    this.#fatal ??= error
    this.#wakeup.wake()
  }

  #watchAll(table: AssignmentTable): void {
    const { clock, random, logger } = this.#context.settings.seams
    const watch = (what: string, prefix: string, onValue: (documents: ReadonlyMap<string, Document>) => void): void => {
      this.#scope.spawn(`watch of ${what}`, (signal) =>
        keepWatching(
          () => this.#session.watch(prefix, { signal }),
          (documents) => {
            onValue(documents)
            this.#wakeup.wake()
          },
          { clock, random, logger, signal, what },
        ),
      )
    }
    const onBad = (name: string, error: unknown): void =>
      logger.error(`the document ${name} can't be read; keeping what it held before`, { error })
    watch('specs', 'specs/', (documents) => {
      this.#specs.update(documents, onBad)
      this.#tellUnreadable()
      this.#specsLoaded = true
    })
    watch('reports', 'reports/', (documents) => {
      this.#reports.update(documents, onBad)
      this.#reportsLoaded = true
    })
    watch('assignments', PREFIX, (documents) => {
      if (table.contradicts(documents)) this.#stop(deposed())
      const nowMs = clock.monotonicMs()
      this.#behindSinceMs = new Map(
        table.behind(documents).map((name) => [name, this.#behindSinceMs.get(name) ?? nowMs]),
      )
      this.#foundDamaged(table.damaged(documents))
      for (const name of table.missing(documents)) this.#missing.add(name)
      if (this.#missing.size > 0 && !this.#searching) this.#scope.spawn('search', () => this.#search(table))
    })
    this.#scope.spawn('watch of members', (signal) =>
      keepWatching(
        () => this.#session.watchMembers({ signal }),
        (records) => {
          this.#members = decodeMembers(records)
          this.#wakeup.wake()
        },
        { clock, random, logger, signal, what: 'members' },
      ),
    )
  }

  #tellUnreadable(): void {
    for (const key of this.#problems.keys()) if (key.startsWith('specs/')) this.#problems.delete(key)
    for (const [name, { message, code }] of this.#specs.unreadable) this.#problems.set(name, `${message} (${code})`)
  }

  #foundDamaged(names: readonly string[]): void {
    const { logger } = this.#context.settings.seams
    const before = this.#damaged
    this.#damaged = new Set(names)
    for (const name of names)
      if (!before.has(name)) logger.error(`the document assignments/${name} is damaged; writing it anew`)
    // It may have been mended by a change of it.
    for (const key of this.#problems.keys())
      if (key.startsWith(PREFIX) && !this.#damaged.has(key.slice(PREFIX.length))) this.#problems.delete(key)
  }

  /** How long until a document that has gone back is to be mended, if it shows nothing newer; for ever if there is none. */
  #untilRenewalMs(): number {
    const nowMs = this.#context.settings.seams.clock.monotonicMs()
    const sinceMs = Math.min(...this.#behindSinceMs.values())
    return Math.max(0, sinceMs + IDLE_MS - nowMs)
  }

  /**
   * Mends documents that have gone back, or whose bytes are damaged. A watch that is merely late shows the newest version long before; of other bytes under the
   * very version that was written there is no doubt.
   */
  async #renewOld(table: AssignmentTable): Promise<void> {
    const nowMs = this.#context.settings.seams.clock.monotonicMs()
    for (const [name, sinceMs] of this.#behindSinceMs) {
      if (nowMs - sinceMs < IDLE_MS) continue
      this.#behindSinceMs.delete(name)
      await this.#renew(table, name)
    }
    for (const name of [...this.#damaged]) await this.#renew(table, name)
  }

  /** To end the rule where there is no room now would be worse than to try again later: the next controller may not know what was there. */
  async #renew(table: AssignmentTable, name: string): Promise<void> {
    try {
      this.#damaged.delete(name)
      await table.renew(name)
      this.#problems.delete(PREFIX + name)
    } catch (error) {
      const passes = isKagamiError(error, 'KAGAMI_COORDINATOR_UNAVAILABLE') || isKagamiError(error, 'KAGAMI_STORE_FULL')
      if (!passes) throw error
      this.#damaged.add(name)
      const why = `the document ${PREFIX}${name} is damaged, or has gone back, and can't be written anew now: nodes that start know nothing of its tokens`
      this.#problems.set(PREFIX + name, `${why}. ${error.message} (${error.code})`)
    }
  }

  /** Looks for what a watch does not show. What is missed again meanwhile is looked for again: it may have gone since. */
  async #search(table: AssignmentTable): Promise<void> {
    this.#searching = true
    try {
      for (const name of this.#missing) {
        this.#missing.delete(name)
        if (await table.isGone(name)) return this.#stop(deposed())
      }
    } catch (error) {
      this.#stop(error)
    } finally {
      this.#searching = false
    }
  }

  /** Begins what is to be done for tokens, and gives the assignments that are to be changed. */
  #round(table: AssignmentTable, work: LifecycleWork, members: readonly LiveMember[]): readonly Assignment[] {
    work.beginRound()
    for (const key of this.#problems.keys()) if (key.startsWith('unserved/')) this.#problems.delete(key)
    const view = this.#views.now(table, members)
    const open: { readonly assignment: Assignment; readonly spec: Spec }[] = []
    const orphans = this.#orphans.specs(table.values(), (token) => this.#specs.get(token) !== undefined)
    for (const spec of [...this.#specs.values(), ...orphans]) {
      const assignment = table.get(spec.token)
      if (work.attend(spec, assignment, view)) continue
      if (assignment !== undefined && assignment.phase === 'open') open.push({ assignment, spec })
    }
    const targets = this.#place(open, view)
    if (targets === undefined) return []
    const counts = countRound(table.values(), view)
    const changed: Assignment[] = []
    for (const { assignment, spec } of open) {
      const next = nextStep(assignment, {
        spec,
        target: targets.get(spec.token),
        view,
        counts,
        restoresPerNode: this.#context.settings.restoresPerNode,
      })
      if (next !== assignment) changed.push(next)
      else if (next.primary === null) work.seekNewer(next, view)
      if (next.primary === null) this.#problems.set(`unserved/${next.token}`, whyUnserved(next, spec, view))
    }
    return changed
  }

  #place(
    open: readonly { readonly assignment: Assignment; readonly spec: Spec }[],
    view: ClusterView,
  ): ReadonlyMap<string, Placement> | undefined {
    const { placement, settings } = this.#context
    const members: PlacementMember[] = [...view.nodes.values()]
      .map((node) => ({
        node: node.node,
        ...(node.zone === null ? {} : { zone: node.zone }),
        capacity: node.capacity,
        draining: node.draining === 'drain',
      }))
      .sort((a, b) => (a.node < b.node ? -1 : 1))
    const tokens = open
      .map(({ assignment, spec }) => placementToken(assignment, spec, view))
      .sort((a, b) => (a.token < b.token ? -1 : 1))
    try {
      const targets = placement.place({ members, tokens })
      this.#problems.delete('placement')
      return targets
    } catch (error) {
      settings.seams.logger.error(`the placement strategy '${placement.name}' threw; assignments stay as they are`, {
        error,
      })
      this.#problems.set('placement', `the placement strategy '${placement.name}' threw: ${String(error)}`)
      return undefined
    }
  }
}

function placementToken(assignment: Assignment, spec: Spec, view: ClusterView): PlacementToken {
  const pinned = pinnedPrimary(assignment, spec)
  const asked = askedPrimary(assignment, spec)
  const excluded = [...view.nodes.keys()].filter((node) => view.report(node, spec.token)?.phase === 'failed')
  return {
    token: spec.token,
    replicas: spec.replicas,
    weight: spec.weight,
    ...(pinned === undefined ? {} : { pinned }),
    ...(asked === undefined ? {} : { preferred: asked }),
    ...(excluded.length === 0 ? {} : { excluded }),
    current: { primary: assignment.primary?.node ?? null, replicas: assignment.replicas },
  }
}
