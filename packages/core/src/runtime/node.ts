/**
 * `createKagami`: one node of a cluster. Composes the parts, and answers for them what an application asks. Decides nothing about
 * tokens itself.
 */
import { generationOf, type Assignment } from '../engine/documents.js'
import type {
  AlterOptions,
  Health,
  JsonValue,
  Kagami,
  KagamiEvents,
  KagamiOptions,
  Location,
  NodeRef,
  Token,
  TokenOptions,
} from './api.js'
import { alterToken } from './alteration.js'
import { AppHooks } from './app-hooks.js'
import { Controller } from './controller.js'
import { Copies } from './copies.js'
import { cutOffMs } from './copy-progress.js'
import { createToken, type CreationContext } from './creation.js'
import { Directory } from './directory.js'
import { Events } from './events.js'
import { handOver, type HandoverContext } from './handover.js'
import { Holdings } from './holdings.js'
import { impatientLog, impatientStore } from './impatient.js'
import { ImpatientCoordinator } from './impatient-coordinator.js'
import { Listings } from './listings.js'
import { Membership } from './membership.js'
import { checkListener, methodOptions, tokenName, tokenSettings } from './method-options.js'
import { NodeLife } from './node-life.js'
import { settings as checkSettings, type Settings } from './options.js'
import { Reinstatement } from './reinstatement.js'
import { removeToken } from './removal.js'
import { Reporter } from './reporter.js'
import { tokenHandle, type HandleContext } from './token-handle.js'
import { TokenSpecs } from './token-specs.js'
import { Turns, type TurnLimits } from './turns.js'
import { VerifiedRecord } from './verified-record.js'
import { Watchdogs } from './watchdog.js'

/**
 * A node that starts with a thousand copies restores them a few at a time. Those that something does not answer cost little, but for an open file or a connection
 * each.
 */
const RESTORES: TurnLimits = { atOnce: 8, lent: 64, stillMs: 2_000 }

/** Each that stands still may hold a captured state, which costs memory: so few of them. */
const SNAPSHOTS: Omit<TurnLimits, 'atOnce'> = { lent: 8, stillMs: 2_000 }

/**
 * Makes a node. Checks the options and does nothing else: all I/O begins in `start`.
 * @throws KAGAMI_BAD_OPTION
 */
export function createKagami<R = unknown, C = Uint8Array>(options: KagamiOptions<R, C>): Kagami<R, C> {
  return new Node(checkSettings(options))
}

class Node<R, C> implements Kagami<R, C> {
  readonly #settings: Settings<R, C>
  readonly #events: Events
  readonly #coordinator: ImpatientCoordinator
  readonly #membership: Membership
  readonly #directory: Directory
  readonly #specs: TokenSpecs
  readonly #copies: Copies<R, C>
  readonly #controller: Controller
  readonly #reporter: Reporter
  readonly #holdings: Holdings
  readonly #reinstatement: Reinstatement
  readonly #life: NodeLife
  readonly #hooks: AppHooks
  readonly #handles = new Map<string, Token<R, C>>()
  /** What it takes to ask the controller for something. */
  readonly #requests: CreationContext & HandoverContext
  readonly #handleContext: HandleContext<R, C>

  constructor(settings: Settings<R, C>) {
    const { seams, node } = settings
    const patience = { clock: seams.clock, limitMs: settings.limits.stallTimeoutMs, logger: seams.logger }
    this.#settings = settings
    this.#coordinator = new ImpatientCoordinator(settings.coordinator, patience)
    this.#events = new Events(seams.logger)
    this.#hooks = new AppHooks(seams.logger)
    const untyped = settings as unknown as Settings<never, never>
    this.#controller = new Controller({
      settings: untyped,
      log: settings.log,
      store: settings.snapshots,
      placement: settings.placement,
      events: this.#events,
    })
    this.#membership = new Membership({
      settings: untyped,
      coordinator: this.#coordinator,
      events: this.#events,
      onJoined: (session, member, scope) => {
        scope.spawn('directory', (signal) => this.#directory.follow(session, signal))
        scope.spawn('reports', (signal) => this.#reporter.run(session, member, signal))
        scope.spawn('controller', (signal) => this.#controller.run(session, member, signal))
      },
      onChange: () => {
        this.#copies.reconsider()
        this.#directory.nudge()
        this.#reporter.changed()
      },
    })
    this.#directory = new Directory(seams, (tokens) => this.#heard(tokens))
    this.#specs = new TokenSpecs({
      node: node.id,
      log: impatientLog(settings.log, patience),
      store: impatientStore(settings.snapshots, patience),
      clock: seams.clock,
      random: seams.random,
      session: () => this.#membership.requireSession(),
      lives: (id) => this.#membership.members.some((member) => member.node === id),
      assignment: (token) => this.#directory.assignment(token),
      assignments: () => this.#directory.assignments(),
    })
    this.#copies = new Copies(
      {
        settings,
        commitLog: settings.log,
        store: settings.snapshots,
        events: this.#events,
        verified: new VerifiedRecord(() => this.#membership.requireSession(), seams.logger),
        snapshotTurns: new Turns(seams.clock, { atOnce: settings.snapshotsAtOnce, ...SNAPSHOTS }),
        listings: new Listings(settings.snapshots, seams.clock),
        restoreTurns: new Turns(seams.clock, RESTORES),
        watchdogs: new Watchdogs({
          clock: seams.clock,
          boundMs: cutOffMs(settings.limits.lookMs),
          longestMs: settings.limits.stallTimeoutMs,
        }),
        member: () => this.#membership.member,
        leaseHeld: () => this.#membership.leaseHeld,
        primaryElsewhere: (token) => this.#primaryElsewhere(token),
        hooks: (token) => this.#hooks.get(token),
        onRetired: (token) => this.#copies.assigned(token, this.#directory.assignment(token)),
        onChange: (token) => {
          this.#reporter.changed(token)
          this.#directory.nudge([token])
        },
      },
      node.id,
      (token, error) => seams.logger.error(`closing the copy of '${token}' failed`, { error }),
    )
    this.#requests = {
      node: node.id,
      membership: this.#membership,
      directory: this.#directory,
      specs: this.#specs,
      clock: seams.clock,
      random: seams.random,
      copy: (token) => this.#copies.get(token),
      failure: (token) => this.#copies.failure(token),
    }
    this.#reporter = new Reporter(untyped, (concerns) => this.#copies.reports(concerns))
    this.#holdings = new Holdings(node.id, this.#membership, this.#directory)
    this.#reinstatement = new Reinstatement({
      seams,
      directory: this.#directory,
      specs: this.#specs,
      session: () => this.#membership.session,
      copies: () => this.#copies.values(),
    })
    this.#life = new NodeLife({
      settings: untyped,
      membership: this.#membership,
      directory: this.#directory,
      holdings: this.#holdings,
      copies: this.#copies,
      background: { reinstatement: (signal) => this.#reinstatement.run(signal) },
    })
    this.#handleContext = {
      codec: settings.codec,
      maxEntryBytes: () => this.#life.maxEntryBytes,
      copy: (token) => this.#copies.get(token),
      primaryElsewhere: (token) => this.#primaryElsewhere(token),
      unusable: () => this.#life.unusable(),
      unreadable: () => this.#life.unreadable(),
      removed: (token) => this.#isRemoved(token),
    }
  }

  async start(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    methodOptions.start(options)
    await this.#life.start(options.signal)
  }

  async token(name: string, options: TokenOptions & { readonly signal?: AbortSignal } = {}): Promise<Token<R, C>> {
    tokenName(name)
    const wanted = tokenSettings(options)
    return this.#life.call(`token('${name}')`, options.signal, async (signal) => {
      await createToken(name, wanted, options.adopt ?? false, this.#requests, signal)
      // Not before: hooks of a call that was refused must not be called.
      const hooks = this.#hooks.set(name, options)
      if (hooks !== undefined) this.#copies.get(name)?.hooksAdded(hooks)
      return this.#handle(name)
    })
  }

  get(name: string): Token<R, C> | undefined {
    const assignment = this.#directory.assignment(name)
    // A copy whose documents have vanished, or are of an earlier creation than what it has read, is kept and goes on.
    const outlives = this.#creationHeld(name) > generationOf(assignment?.incarnation ?? 0)
    return outlives || (assignment !== undefined && isThere(assignment)) ? this.#handle(name) : undefined
  }

  #primaryElsewhere(token: string): NodeRef | undefined {
    const primary = this.locate(token)?.primary
    return primary?.id === this.#settings.node.id ? undefined : primary
  }

  /** Whether people have removed the token, or, where documents have gone back, the very creation that this node holds a copy of. */
  #isRemoved(token: string): boolean {
    const spec = this.#directory.spec(token)
    return spec !== undefined && spec.removed && spec.generation >= this.#creationHeld(token)
  }

  /** The creation that this node's copy has read of; 0: there is no copy. */
  #creationHeld(token: string): number {
    const copy = this.#copies.get(token)
    return generationOf(Math.max(copy?.incarnation ?? 0, copy?.next?.incarnation ?? 0))
  }

  tokens(): readonly string[] {
    const names: string[] = []
    for (const assignment of this.#directory.assignments()) if (isThere(assignment)) names.push(assignment.token)
    return names.sort()
  }

  locate(name: string): Location | undefined {
    const assignment = this.#directory.assignment(name)
    if (assignment === undefined || assignment.phase !== 'open') return undefined
    const { primary, replicas, incarnation, epoch } = assignment
    return {
      primary: primary === null ? undefined : this.#nodeRef(primary.node),
      replicas: replicas.map((node) => this.#nodeRef(node)),
      incarnation,
      epoch,
    }
  }

  members(): ReturnType<Kagami['members']> {
    return this.#membership.members.map(({ node, data }) => ({
      id: node,
      meta: data.meta as JsonValue,
      zone: data.zone ?? undefined,
      capacity: data.capacity,
      draining: data.draining !== 'no',
    }))
  }

  async alter(name: string, options: AlterOptions & { readonly signal?: AbortSignal }): Promise<void> {
    tokenName(name)
    methodOptions.alter(options)
    await this.#life.call(`alter('${name}')`, options.signal, (signal) =>
      alterToken(name, options, this.#specs, signal),
    )
  }

  async handover(name: string, options: { readonly to: string; readonly signal?: AbortSignal }): Promise<void> {
    tokenName(name)
    methodOptions.handover(options)
    await this.#life.call(`handover('${name}')`, options.signal, (signal) =>
      handOver(name, options.to, this.#requests, signal),
    )
  }

  async drain(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    methodOptions.drain(options)
    await this.#life.call('drain()', options.signal, async (signal) => {
      await this.#membership.setDraining('drain', signal)
      await this.#directory.until(undefined, () => this.#holdings.areMoved(), signal)
      this.#holdings.refuseHeld()
    })
  }

  async remove(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    tokenName(name)
    methodOptions.remove(options)
    await this.#life.call(`remove('${name}')`, options.signal, (signal) => removeToken(name, this.#requests, signal))
  }

  health(): Health {
    const copies = this.#copies.health()
    const { status } = this.#life
    const problems = [...this.#life.problems]
    if (status !== 'running') problems.push(`the node is ${status}`)
    if (this.#coordinator.unanswered !== undefined) problems.push(this.#coordinator.unanswered)
    problems.push(...this.#controller.problems)
    if (this.#reporter.trouble !== undefined)
      problems.push(`the controller can't be told how the copies here are: ${this.#reporter.trouble.message}`)
    for (const { token, error } of this.#copies.replaced()) {
      problems.push(
        `the copy of '${token}' has failed here with ${error ?? 'an error'} and was replaced; restart the node once that is mended`,
      )
    }
    for (const { token, phase, error, readError, snapshotError, appendError } of copies) {
      if (error !== undefined)
        problems.push(phase === 'failed' ? `the copy of '${token}' has failed: ${error.message}` : error.message)
      if (readError !== undefined) problems.push(readError.message)
      if (snapshotError !== undefined)
        problems.push(`snapshots of '${token}' fail, its log is not truncated: ${snapshotError.message}`)
      if (appendError !== undefined)
        problems.push(`the log of '${token}' takes nothing now (${appendError.code}): ${appendError.message}`)
    }
    return {
      ok: problems.length === 0,
      status,
      node: this.#settings.node.id,
      member: this.#membership.member,
      controller: this.#controller.ruling,
      problems,
      copies,
    }
  }

  on<K extends keyof KagamiEvents>(event: K, listener: (payload: KagamiEvents[K]) => void): () => void {
    checkListener(event, listener)
    return this.#events.on(event, listener)
  }

  async stop(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    const { deadlineMs } = methodOptions.stop(options)
    await this.#life.stop(deadlineMs)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #heard(tokens: ReadonlySet<string>): void {
    for (const token of tokens) {
      const spec = this.#directory.spec(token)
      if (spec !== undefined) this.#reinstatement.heard(spec)
      const assignment = this.#directory.assignment(token)
      this.#copies.assigned(token, assignment)
      if (assignment !== undefined) this.#announce(assignment)
    }
  }

  #announce(assignment: Assignment): void {
    const { token, incarnation, epoch, primary, replicas } = assignment
    this.#events.emit('assigned', { token, incarnation, epoch, primary: primary?.node, replicas })
  }

  #handle(name: string): Token<R, C> {
    const known = this.#handles.get(name)
    if (known !== undefined) return known
    const handle = tokenHandle(name, this.#handleContext)
    this.#handles.set(name, handle)
    return handle
  }

  #nodeRef(id: string): NodeRef {
    const member = this.#membership.members.find(({ node }) => node === id)
    return { id, meta: (member?.data.meta ?? null) as JsonValue }
  }
}

/** Whether the token exists, as far as its assignment says. */
function isThere({ phase }: Assignment): boolean {
  return phase === 'opening' || phase === 'open'
}
