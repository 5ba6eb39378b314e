/**
 * The elected controller: watches members, specs and reports, and drives every token's assignment towards the placement
 * strategy's target, one safe step at a time (engine/assignment-steps.ts). Being wrong or late here delays tokens; it can't lose a write.
 */
import {
  isKagamiError,
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
import {
  copiesOf,
  countRound,
  heal,
  nextStep,
  pinnedPrimary,
  type ClusterView,
  type NodeView,
} from '../engine/assignment-steps.js'
import {
  generationOf,
  reportDocument,
  specDocument,
  type Assignment,
  type CopyReport,
  type Spec,
} from '../engine/documents.js'
import { AssignmentTable, deposed } from './assignment-table.js'
import { DocumentTable } from './directory.js'
import type { Events } from './events.js'
import { decodeMembers, keepWatching, type LiveMember } from './membership.js'
import type { Settings } from './options.js'
import { Scope } from './scope.js'
import {
  beginIncarnation,
  cleanUp,
  endIncarnation,
  isNew,
  openIncarnation,
  newerIncarnation,
  type LifecycleContext,
} from './token-lifecycle.js'
import { backoffMs, linkedAbort, listenForAbort, Semaphore, sleep, Wakeup } from './waiting.js'

/** Tokens whose logs are created or deleted at once. */
const LIFECYCLES_AT_ONCE = 8
const IDLE_MS = 5_000

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

  /** Campaigns, rules and campaigns again, for one session. */
  async run(session: Session, signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#context.settings.seams
    for (let failures = 0; !signal.aborted;) {
      let leadership: Leadership | undefined
      try {
        leadership = await this.#campaign(session, signal)
        this.#ruling = true
        this.#context.events.emit('controller', { elected: true, epoch: leadership.epoch })
        await this.#rule(session, leadership, signal)
      } catch (error) {
        this.#problems.clear()
        if (signal.aborted || isKagamiError(error, 'KAGAMI_SESSION_LOST')) return
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

  async #rule(session: Session, leadership: Leadership, signal: AbortSignal): Promise<void> {
    const link = linkedAbort(signal, leadership.signal)
    const term = new ControllerTerm(this.#context, session, leadership.epoch, link.signal, this.#problems)
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
  readonly #epoch: number
  readonly #problems: Map<string, string>
  readonly #wakeup = new Wakeup()
  readonly #scope: Scope
  readonly #places = new Semaphore(LIFECYCLES_AT_ONCE)
  readonly #specs = new DocumentTable<Spec>((bytes, name) => specDocument.decode(bytes, name).tokens)
  readonly #reports = new DocumentTable<ReportEntry>(decodeReports)
  readonly #busy = new Set<string>()
  /** Logs that were given to tokens whose assignments are yet to be written. */
  readonly #reserved = new Set<string>()
  /** The incarnations for which this rule has allocated a log that is yet to be opened. */
  readonly #begun = new Map<string, number>()
  readonly #lostAtMs = new Map<string, number>()
  #held: ReadonlySet<string> | undefined
  /** When a newer incarnation of a token was looked for last. */
  readonly #soughtAtMs = new Map<string, number>()
  /** Buckets of assignments that a watch did not show. */
  readonly #missing = new Set<string>()
  #searching = false
  /** Buckets of which the watch shows an older version than was written, and since when. */
  #behindSinceMs = new Map<string, number>()
  readonly #lastSeen = new Map<string, LiveMember>()
  #members: readonly LiveMember[] | undefined
  #specsLoaded = false
  #reportsLoaded = false
  #table: AssignmentTable | undefined
  #fatal: unknown

  constructor(
    context: ControllerContext,
    session: Session,
    epoch: number,
    signal: AbortSignal,
    problems: Map<string, string>,
  ) {
    this.#context = context
    this.#session = session
    this.#epoch = epoch
    this.#problems = problems
    this.#scope = new Scope((task, error) => {
      context.settings.seams.logger.error(`the controller's ${task} ended with an error`, { error })
      this.#stop(error)
    })
    if (signal.aborted) this.#scope.abort(signal.reason)
    listenForAbort(signal, () => this.#scope.abort(signal.reason))
  }

  async run(): Promise<void> {
    const { clock } = this.#context.settings.seams
    const { signal } = this.#scope
    const table = await AssignmentTable.takeOver(this.#session, this.#epoch, signal)
    this.#table = table
    this.#watchAll(table)
    for (;;) {
      await this.#wakeup.wait(clock, this.#nextDeadlineMs(), signal)
      if (this.#fatal !== undefined) throw this.#fatal
      await this.#renewOld(table)
      if (this.#members === undefined || !this.#specsLoaded || !this.#reportsLoaded) continue
      await this.#round(table, this.#members)
      this.#problems.delete('rule')
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
      this.#specsLoaded = true
    })
    watch('reports', 'reports/', (documents) => {
      this.#reports.update(documents, onBad)
      this.#reportsLoaded = true
    })
    watch('assignments', 'assignments/', (documents) => {
      if (table.contradicts(documents)) this.#stop(deposed())
      const nowMs = clock.monotonicMs()
      this.#behindSinceMs = new Map(
        table.behind(documents).map((name) => [name, this.#behindSinceMs.get(name) ?? nowMs]),
      )
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

  /** Mends documents that have gone back: a watch that is merely late shows the newest long before. */
  async #renewOld(table: AssignmentTable): Promise<void> {
    const nowMs = this.#context.settings.seams.clock.monotonicMs()
    for (const [name, sinceMs] of this.#behindSinceMs) {
      if (nowMs - sinceMs < IDLE_MS) continue
      this.#behindSinceMs.delete(name)
      await table.renew(name)
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

  async #round(table: AssignmentTable, members: readonly LiveMember[]): Promise<void> {
    this.#held = undefined
    const view = this.#view(table, members)
    const open: { readonly assignment: Assignment; readonly spec: Spec }[] = []
    for (const spec of this.#specs.values()) {
      const assignment = table.get(spec.token)
      if (this.#lifecycle(table, spec, assignment, view)) continue
      if (assignment !== undefined && assignment.phase === 'open') open.push({ assignment, spec })
    }
    const targets = this.#place(open, view)
    if (targets === undefined) return
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
      else if (next.primary === null) this.#seekNewer(table, next, view)
    }
    if (changed.length === 0) return
    await table.put(changed)
    // What one step allows may be the next step's condition.
    this.#wakeup.wake()
  }

  /**
   * No node finds the beginning of this incarnation: if there is a newer one, the documents have gone back, and nobody is left who would tell.
   */
  #seekNewer(table: AssignmentTable, assignment: Assignment, view: ClusterView): void {
    const { token } = assignment
    const reports = [...view.nodes.keys()]
      .map((node) => view.report(node, token))
      .filter((report) => report !== undefined)
    if (!reports.some(({ error }) => error === 'KAGAMI_LOG_GAP' || error === 'KAGAMI_LOG_REPLACED')) return
    if (reports.some(({ phase }) => phase !== 'failed')) return
    const nowMs = this.#context.settings.seams.clock.monotonicMs()
    if (nowMs - (this.#soughtAtMs.get(token) ?? -Infinity) < IDLE_MS) return
    this.#soughtAtMs.set(token, nowMs)
    this.#begin(table, token, async (context) => {
      const newer = await newerIncarnation(context, assignment, this.#logsHeld(table))
      if (newer !== undefined) this.#soughtAtMs.delete(token)
      return newer
    })
  }

  /** Live nodes, and those that were lost a short while ago and that an assignment still names. */
  #view(table: AssignmentTable, members: readonly LiveMember[]): ClusterView {
    const { clock } = this.#context.settings.seams
    const { graceMs } = this.#context.settings
    const now = clock.monotonicMs()
    const nodes = new Map<string, NodeView>()
    for (const member of members) {
      nodes.set(member.node, nodeView(member, true))
      this.#lastSeen.set(member.node, member)
      this.#lostAtMs.delete(member.node)
    }
    const named = new Set<string>()
    for (const assignment of table.values()) for (const node of copiesOf(assignment)) named.add(node)
    for (const node of named) {
      if (nodes.has(node)) continue
      const lostAtMs = this.#lostAtMs.get(node) ?? now
      this.#lostAtMs.set(node, lostAtMs)
      if (now - lostAtMs < graceMs) {
        const last = this.#lastSeen.get(node)
        nodes.set(node, last === undefined ? unknownNode(node) : nodeView(last, false))
      }
    }
    for (const node of this.#lostAtMs.keys()) if (!named.has(node)) this.#lostAtMs.delete(node)
    return {
      nodes,
      report: (node, token) => {
        const entry = this.#reports.get(reportKey(node, token))
        return entry !== undefined && entry.member === nodes.get(node)?.member ? entry.report : undefined
      },
    }
  }

  /** When a grace period ends, or a while, if nothing happens before. */
  #nextDeadlineMs(): number {
    const { clock } = this.#context.settings.seams
    const now = clock.monotonicMs()
    let waitMs = IDLE_MS
    for (const lostAtMs of this.#lostAtMs.values()) {
      const left = lostAtMs + this.#context.settings.graceMs - now
      if (left > 0) waitMs = Math.min(waitMs, left + 1)
    }
    return waitMs
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

  /** Begins what a token's life needs next. True when its assignment is not to be touched otherwise. */
  #lifecycle(table: AssignmentTable, spec: Spec, assignment: Assignment | undefined, view: ClusterView): boolean {
    const { token } = spec
    if (this.#busy.has(token)) return true
    const healed = assignment === undefined ? undefined : heal(assignment, view)
    if (assignment !== undefined && healed !== undefined && healed.incarnation > assignment.incarnation) {
      this.#begin(table, token, () => Promise.resolve(healed))
      return true
    }
    // A token that is gone though its spec is not removed: it was created again, or the log knew of a deletion that the documents have lost.
    if (assignment === undefined || assignment.phase === 'gone') {
      const settled =
        assignment !== undefined && spec.removed && generationOf(assignment.incarnation) >= spec.generation
      if (!settled) this.#begin(table, token, (context) => this.#beginIncarnation(context, spec, assignment))
      return true
    }
    const generation = generationOf(assignment.incarnation)
    const ended = spec.generation > generation || (spec.generation === generation && spec.removed)
    switch (assignment.phase) {
      case 'opening':
        this.#begin(table, token, (context) => this.#openIncarnation(context, table, spec, assignment))
        return true
      case 'open':
        if (!ended) return false
        this.#begin(table, token, () => Promise.resolve({ ...assignment, phase: 'deleting' as const }))
        return true
      case 'deleting':
        this.#begin(table, token, (context) => endIncarnation(context, assignment))
        return true
      case 'deleted':
        // Copies that still settle what was pending read the log to its end first.
        if (this.#holders(token).length === 0) this.#begin(table, token, (context) => cleanUp(context, assignment))
        return true
    }
  }

  /** Does the work, again and again where it fails, and writes what comes out. */
  #begin(
    table: AssignmentTable,
    token: string,
    work: (context: LifecycleContext) => Promise<Assignment | undefined>,
  ): void {
    const { settings, log, store } = this.#context
    const { clock, random, logger } = settings.seams
    this.#busy.add(token)
    this.#scope.spawn(`work on '${token}'`, async (signal) => {
      for (let failures = 0; ; failures++) {
        const release = await this.#places.acquire(signal)
        try {
          const next = await work({ log, store, clock, signal })
          if (next === undefined) break
          await table.put([next])
          // From here on the table says who has the log.
          this.#reserved.delete(next.log.address)
          break
        } catch (error) {
          if (isKagamiError(error, 'KAGAMI_VERSION_CONFLICT') || isKagamiError(error, 'KAGAMI_SESSION_LOST'))
            throw error
          signal.throwIfAborted()
          logger.warn(`the controller's work on '${token}' failed; trying again`, { error })
          this.#problems.set(`token ${token}`, `work on token '${token}' fails: ${String(error)}`)
        } finally {
          release()
        }
        await sleep(clock, backoffMs(failures, { first: 50, longest: 2000 }, random), signal)
      }
      this.#busy.delete(token)
      this.#problems.delete(`token ${token}`)
      this.#wakeup.wake()
    })
  }

  /**
   * Whether another token was given this token's log before it. A document that a deposed controller was the first to write can't be fenced, so
   * two controllers may have given one empty log away twice. As long as it isn't opened nothing is in it.
   */
  #shares(table: AssignmentTable, assignment: Assignment): boolean {
    for (const other of table.values()) {
      if (other.token === assignment.token || other.log.address !== assignment.log.address) continue
      if (other.phase !== 'gone' && (other.phase !== 'opening' || other.token < assignment.token)) return true
    }
    return false
  }

  async #beginIncarnation(context: LifecycleContext, spec: Spec, before: Assignment | undefined): Promise<Assignment> {
    const table = this.#table as AssignmentTable
    const { token } = spec
    const inUse = this.#logsInUse(table)
    const next = await beginIncarnation(context, spec, before, {
      inUse,
      held: this.#logsHeld(table),
      holders: this.#holders(token),
    })
    if (next.phase !== 'opening') return next
    // Two tokens that are created at once may be given the same empty log: the second asks again.
    if (this.#logsInUse(table).has(next.log.address)) return this.#beginIncarnation(context, spec, before)
    this.#reserved.add(next.log.address)
    this.#begun.set(token, next.incarnation)
    return next
  }

  /** Opens it in the log that it was given, or gives it another where that one is not its own or not there any more. */
  async #openIncarnation(
    context: LifecycleContext,
    table: AssignmentTable,
    spec: Spec,
    assignment: Assignment,
  ): Promise<Assignment> {
    const begunHere = this.#begun.get(assignment.token) === assignment.incarnation
    const opens =
      !this.#shares(table, assignment) && (begunHere || (await isNew(context, assignment, this.#logsHeld(table))))
    if (!opens) return this.#beginIncarnation(context, spec, assignment)
    try {
      const opened = await openIncarnation(context, assignment)
      this.#begun.delete(assignment.token)
      return opened
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_LOG_REPLACED')) throw error
      return this.#beginIncarnation(context, spec, assignment)
    }
  }

  #logsInUse(table: AssignmentTable): ReadonlySet<string> {
    const inUse = new Set(this.#reserved)
    for (const { phase, log } of table.values()) if (phase !== 'gone') inUse.add(log.address)
    return inUse
  }

  /** The logs of which a live node says that it follows them as assigned. Asked for once in a round: it costs a look at every report. */
  #logsHeld(table: AssignmentTable): ReadonlySet<string> {
    if (this.#held !== undefined) return this.#held
    const live = new Set((this.#members ?? []).map(({ member }) => member))
    const held = new Set<string>()
    for (const { member, report } of this.#reports.values()) {
      if (!live.has(member) || report.phase !== 'running' || report.seen !== null) continue
      const assignment = table.get(report.token)
      if (assignment?.phase === 'open' && assignment.incarnation === report.incarnation)
        held.add(assignment.log.address)
    }
    return (this.#held = held)
  }

  /** The live nodes that report a copy. */
  #holders(token: string): string[] {
    const holders: string[] = []
    for (const { node, member } of this.#members ?? []) {
      const entry = this.#reports.get(reportKey(node, token))
      if (entry !== undefined && entry.member === member && entry.report.phase !== 'failed') holders.push(node)
    }
    return holders.sort()
  }
}

interface ReportEntry {
  /** Node and token: the table's key. */
  readonly token: string
  readonly member: string
  readonly report: CopyReport
}

function reportKey(node: string, token: string): string {
  return `${node}/${token}`
}

function decodeReports(bytes: Uint8Array, name: string): readonly ReportEntry[] {
  const { member, tokens } = reportDocument.decode(bytes, name)
  const node = name.split('/')[1] ?? ''
  return tokens.map((report) => ({ token: reportKey(node, report.token), member, report }))
}

function nodeView({ node, member, data }: LiveMember, live: boolean): NodeView {
  return { node, member: live ? member : undefined, zone: data.zone, capacity: data.capacity, draining: data.draining }
}

function unknownNode(node: string): NodeView {
  return { node, member: undefined, zone: null, capacity: 1, draining: 'no' }
}

function placementToken(assignment: Assignment, spec: Spec, view: ClusterView): PlacementToken {
  const pinned = pinnedPrimary(assignment, spec)
  const wish =
    spec.handover !== null && assignment.handoverGivenUp !== spec.handover.nonce ? spec.handover.to : undefined
  const excluded = [...view.nodes.keys()].filter((node) => view.report(node, spec.token)?.phase === 'failed')
  return {
    token: spec.token,
    replicas: spec.replicas,
    weight: spec.weight,
    ...(pinned === undefined ? {} : { pinned }),
    ...(wish === undefined ? {} : { preferred: wish }),
    ...(excluded.length === 0 ? {} : { excluded }),
    current: { primary: assignment.primary?.node ?? null, replicas: assignment.replicas },
  }
}
