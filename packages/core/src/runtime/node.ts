/**
 * `createKagami`: one node of a cluster. Composes the parts and owns their life: what `start` begins, `stop` ends, in the
 * opposite order. Decides nothing about tokens itself.
 */
import { badOption, KagamiError, type Adapter, type AdapterContext } from '../contract/index.js'
import { copiesOf, holdsForOwner } from '../engine/assignment-steps.js'
import type { Assignment, Spec } from '../engine/documents.js'
import { bucketOf, generationOf, isLater, reportDocument } from '../engine/documents.js'
import { frameOverhead } from '../engine/frame.js'
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
import { Controller } from './controller.js'
import { Copies } from './copies.js'
import { noCopy, unknownToken } from './copy-errors.js'
import type { RoleHooks } from './copy-role.js'
import { Directory } from './directory.js'
import { Events } from './events.js'
import { Membership } from './membership.js'
import { checkListener, methodOptions, tokenName, tokenSettings } from './method-options.js'
import { MAX_TOKEN_BYTES, settings as checkSettings, type Settings } from './options.js'
import { Reporter } from './reporter.js'
import { Scope } from './scope.js'
import { StopDeadline } from './stop-deadline.js'
import { tokenHandle, type HandleContext } from './token-handle.js'
import { TokenSpecs } from './token-specs.js'
import { VerifiedRecord } from './verified-record.js'
import { linkedAbort, orAborted, Semaphore, sleep } from './waiting.js'

const DEFAULT_MAX_ENTRY_BYTES = 1_000_000
/** For undoing a start that has failed. */
const START_UNDONE_MS = 10_000
/** A node that starts with a thousand copies restores them a few at a time. */
const RESTORES_AT_ONCE = 8
/** Documents that vanish together come back together: a node waits a little for the coordinator before it puts them back. */
const REINSTATE_AFTER_MS = 500

/**
 * Makes a node. Checks the options and does nothing else: all I/O begins in `start`.
 * @throws KAGAMI_BAD_OPTION
 */
export function createKagami<R = unknown, C = Uint8Array>(options: KagamiOptions<R, C>): Kagami<R, C> {
  return new Node(checkSettings(options))
}

type Status = Health['status']

class Node<R, C> implements Kagami<R, C> {
  readonly #settings: Settings<R, C>
  readonly #events: Events
  readonly #scope: Scope
  readonly #membership: Membership
  readonly #directory: Directory
  readonly #specs: TokenSpecs
  readonly #copies: Copies<R, C>
  readonly #controller: Controller
  readonly #reporter: Reporter
  readonly #hooks = new Map<string, RoleHooks>()
  readonly #handles = new Map<string, Token<R, C>>()
  readonly #handleContext: HandleContext<R, C>
  /** Specs of tokens that this node holds, in case the coordinator loses them. */
  readonly #remembered = new Map<string, Spec>()
  readonly #problems = new Map<string, string>()
  #status: Status = 'stopped'
  #started = false
  #stopping: Promise<void> | undefined
  #maxEntryBytes = DEFAULT_MAX_ENTRY_BYTES

  constructor(settings: Settings<R, C>) {
    const { seams, node } = settings
    this.#settings = settings
    this.#events = new Events(seams.logger)
    this.#scope = new Scope((task, error) => {
      this.#problems.set(task, `the ${task} loop ended: ${String(error)}`)
      seams.logger.error(`the ${task} loop ended with an error`, { error })
    })
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
      coordinator: settings.coordinator,
      events: this.#events,
      onJoined: (session, member, scope) => {
        scope.spawn('directory', (signal) => this.#directory.follow(session, signal))
        scope.spawn('reports', (signal) => this.#reporter.run(session, member, signal))
        scope.spawn('controller', (signal) => this.#controller.run(session, signal))
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
      log: settings.log,
      store: settings.snapshots,
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
        verified: new VerifiedRecord(() => this.#membership.requireSession()),
        snapshotPlaces: new Semaphore(settings.snapshotsAtOnce),
        restorePlaces: new Semaphore(RESTORES_AT_ONCE),
        member: () => this.#membership.member,
        leaseHeld: () => this.#membership.leaseHeld,
        primaryOf: (token) => this.locate(token)?.primary,
        hooks: (token) => this.#hooks.get(token),
        onRetired: (token) => this.#copies.assigned(token, this.#directory.assignment(token)),
        onChange: () => {
          this.#reporter.changed()
          this.#directory.nudge()
        },
      },
      node.id,
      (token, error) => seams.logger.error(`closing the copy of '${token}' failed`, { error }),
    )
    this.#reporter = new Reporter(untyped, () => this.#copies.reports())
    this.#handleContext = {
      codec: settings.codec,
      maxEntryBytes: () => this.#maxEntryBytes,
      copy: (token) => this.#copies.get(token),
      primaryOf: (token) => this.locate(token)?.primary,
      unusable: () => this.#unusable(),
      unreadable: () => (this.#scope.signal.aborted ? this.#stopped() : undefined),
      removed: (token) => this.#directory.spec(token)?.removed === true,
    }
  }

  async start(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    methodOptions.start(options)
    if (this.#started || this.#stopping !== undefined)
      throw new KagamiError('KAGAMI_STOPPED', 'this node was started or stopped before; make another with createKagami')
    this.#started = true
    this.#status = 'starting'
    const link = linkedAbort(this.#scope.signal, ...(options.signal === undefined ? [] : [options.signal]))
    try {
      // Not waited for where it goes on all the same: it is the stop that waits until nothing is begun any more.
      await orAborted(this.#scope.track(this.#begin(link.signal)), link.signal)
      // Not where a stop has begun in the same turn.
      if (this.#status === 'starting') this.#status = 'running'
    } catch (error) {
      this.#stopping ??= this.#stop(START_UNDONE_MS, asStopped(error))
      await this.#stopping
      throw error
    } finally {
      link.unlink()
    }
  }

  async token(name: string, options: TokenOptions & { readonly signal?: AbortSignal } = {}): Promise<Token<R, C>> {
    tokenName(name)
    const wanted = tokenSettings(options)
    return this.#call(options.signal, async (signal) => {
      const before = this.#directory.assignment(name)
      const spec = await this.#specs.ensure(name, wanted, options.adopt ?? false, signal)
      const mine = spec.primary === 'self' && spec.owner === this.#settings.node.id
      const wish = mine && spec.handover?.to === spec.owner ? spec.handover.nonce : undefined
      await this.#directory.until(() => {
        const latest = this.#directory.spec(name)
        if (latest?.removed && latest.generation >= spec.generation) throw unknownToken(name)
        const assignment = this.#directory.assignment(name)
        if (
          assignment === undefined ||
          generationOf(assignment.incarnation) < spec.generation ||
          assignment.phase !== 'open'
        )
          return false
        const created = mine && spec.generation > generationOf(before?.incarnation ?? 0)
        const claimed = wish !== undefined && assignment.handoverGivenUp !== wish
        // An owner that returns finds itself named as the primary by what its former run has left.
        const returns = mine && assignment.primary?.node === spec.owner
        if (!created && !claimed && !returns) return this.#isLive(assignment.primary)
        const copy = this.#copies.get(name)
        // Throws where the copy has failed: it will never serve.
        if (copy?.role === 'failed') void copy.machine
        return copy?.role === 'primary'
      }, signal)
      // Not before: hooks of a call that was refused must not be called.
      this.#setHooks(name, options)
      return this.#handle(name)
    })
  }

  get(name: string): Token<R, C> | undefined {
    const assignment = this.#directory.assignment(name)
    const copy = this.#copies.get(name)
    // A copy whose documents have vanished, or are of an earlier creation than what it has read, is kept and goes on.
    const incarnation = Math.max(copy?.incarnation ?? 0, copy?.next?.incarnation ?? 0)
    const outlives = generationOf(incarnation) > generationOf(assignment?.incarnation ?? 0)
    return outlives || (assignment !== undefined && isThere(assignment)) ? this.#handle(name) : undefined
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
    await this.#call(options.signal, async (signal) => {
      await this.#specs.change(name, signal, (spec) => {
        const { replicas = spec.replicas, weight = spec.weight } = options
        const owned = { failover: options.failover ?? spec.failover, failback: options.failback ?? spec.failback }
        const checked = tokenSettings({
          primary: spec.primary,
          replicas,
          weight,
          ...(spec.primary === 'self' ? owned : pick(options)),
        })
        return { ...spec, ...checked }
      })
    })
  }

  async handover(name: string, options: { readonly to: string; readonly signal?: AbortSignal }): Promise<void> {
    tokenName(name)
    methodOptions.handover(options)
    const { to } = options
    await this.#call(options.signal, async (signal) => {
      if (!this.#membership.members.some((member) => member.node === to)) {
        throw badOption(
          'to',
          to,
          `the id of a live node: ${this.#membership.members.map(({ node }) => node).join(', ')}`,
        )
      }
      const nonce = this.#settings.seams.random.uint64().toString(16)
      await this.#specs.change(name, signal, (spec) => {
        refuseHeld(spec, to)
        return { ...spec, handover: { to, nonce } }
      })
      let epoch = 0
      await this.#directory.until(() => {
        const spec = this.#directory.spec(name)
        if (spec?.removed) throw unknownToken(name)
        if (spec?.handover?.nonce === nonce) refuseHeld(spec, to)
        const assignment = this.#directory.assignment(name)
        if (assignment?.handoverGivenUp === nonce) throw lostTarget(name, to)
        epoch = assignment?.epoch ?? 0
        return assignment?.primary?.node === to
      }, signal)
      await this.#untilServing(name, to, epoch, signal)
    })
  }

  async drain(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    methodOptions.drain(options)
    await this.#call(options.signal, async (signal) => {
      await this.#membership.setDraining('drain', signal)
      await this.#directory.until(() => this.#isEmptied(), signal)
      const held = this.#heldHere()
      if (held.length > 0) throw heldForOwner(held, this.#settings.node.id)
    })
  }

  async remove(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    tokenName(name)
    methodOptions.remove(options)
    await this.#call(options.signal, async (signal) => {
      const { generation } = await this.#specs.change(name, signal, (spec) => ({
        ...spec,
        removed: true,
        handover: null,
      }))
      await this.#directory.until(() => {
        const assignment = this.#directory.assignment(name)
        if (assignment === undefined) return false
        const present = generationOf(assignment.incarnation)
        return present > generation || (present === generation && isEnded(assignment))
      }, signal)
    })
  }

  health(): Health {
    const copies = [...this.#copies.values()].map((copy) => copy.health())
    const problems = [...this.#problems.values()]
    const status = this.#currentStatus()
    if (status !== 'running') problems.push(`the node is ${status}`)
    problems.push(...this.#controller.problems)
    for (const { token, error } of this.#copies.replaced()) {
      problems.push(
        `the copy of '${token}' has failed here with ${error ?? 'an error'} and was replaced; restart the node once that is mended`,
      )
    }
    for (const { token, phase, error, snapshotError, appendError } of copies) {
      if (error !== undefined)
        problems.push(phase === 'failed' ? `the copy of '${token}' has failed: ${error.message}` : error.message)
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
    this.#stopping ??= this.#stop(deadlineMs, this.#stopped())
    await this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  // ---- start and stop

  async #begin(signal: AbortSignal): Promise<void> {
    await this.#startAdapters(signal)
    this.#maxEntryBytes = this.#entryLimit()
    const joined = new Promise<void>((resolve, reject) => {
      this.#scope.spawn('membership', async (inner) => {
        await this.#membership.run(inner, resolve).catch((error: unknown) => {
          reject(error)
          throw error
        })
      })
    })
    await orAborted(joined, signal)
    await this.#directory.until(() => this.#directory.loaded && this.#membership.members.length > 0, signal)
    this.#scope.spawn('reinstatement', (inner) => this.#reinstate(inner))
  }

  async #startAdapters(signal: AbortSignal): Promise<void> {
    const context: AdapterContext = {
      cluster: this.#settings.cluster,
      node: this.#settings.node.id,
      logger: this.#settings.seams.logger,
      signal,
    }
    for (const adapter of this.#adapters()) {
      signal.throwIfAborted()
      await adapter.start(context)
    }
  }

  #adapters(): readonly Adapter[] {
    const { coordinator, log, snapshots } = this.#settings
    return [...new Set<Adapter>([coordinator, log, snapshots])]
  }

  #entryLimit(): number {
    const room = this.#settings.log.maxRecordBytes - frameOverhead(MAX_TOKEN_BYTES)
    const wanted = this.#settings.limits.maxEntryBytes
    if (wanted !== undefined && wanted > room) {
      throw badOption(
        'limits.maxEntryBytes',
        wanted,
        `at most ${room}, which is what the log '${this.#settings.log.name}' takes`,
      )
    }
    return wanted ?? Math.min(DEFAULT_MAX_ENTRY_BYTES, room)
  }

  /** Does each part, whatever becomes of the ones before. */
  async #stop(deadlineMs: number, reason: KagamiError): Promise<void> {
    const deadline = new StopDeadline(this.#settings.seams, deadlineMs, (what) =>
      this.#problems.set(what, `the stop did not wait for this to end: ${what}`),
    )
    const leaves = this.#status === 'running'
    this.#status = 'stopping'
    if (leaves) {
      const handingOver = (): string => 'handing the primaries over, and waiting for what is under way'
      await deadline.part(0.6, handingOver, (signal) => this.#leave(signal))
    }
    const closing = (): string => `closing the copies of ${this.#copies.tokens().join(', ')}`
    await deadline.part(0.5, closing, () => this.#copies.close())
    this.#scope.abort(reason)
    await deadline.part(
      0.5,
      () => 'leaving the cluster',
      () => this.#scope.settled(),
    )
    const adapters = [...this.#adapters()].reverse()
    for (const [i, adapter] of adapters.entries()) {
      const stopping = (): string => `stopping the adapter '${adapter.name}'`
      await deadline.part(1 / (adapters.length - i), stopping, () => adapter.stop())
    }
    this.#status = 'stopped'
  }

  /** Hands the primaries over, and waits for what is under way. */
  async #leave(signal: AbortSignal): Promise<void> {
    if (this.#membership.session !== undefined && this.#hasMovablePrimary()) {
      await this.#membership.setDraining('leaving', signal)
      await this.#directory.until(() => !this.#hasMovablePrimary(), signal)
    }
    while (this.#copies.hasPending) await sleep(this.#settings.seams.clock, 5, signal)
  }

  /** Whether a node that stays holds a copy of a token whose primary is still here. Nodes that leave at the same time don't count. */
  #hasMovablePrimary(): boolean {
    const { member, members } = this.#membership
    if (member === undefined) return false
    const stays = new Set<string>()
    for (const other of members) if (other.member !== member && other.data.draining === 'no') stays.add(other.node)
    for (const assignment of this.#directory.assignments()) {
      const mine = assignment.phase === 'open' && assignment.primary?.member === member
      const spec = this.#directory.spec(assignment.token)
      if (spec === undefined || holdsForOwner(spec)) continue
      if (mine && assignment.replicas.some((node) => stays.has(node))) return true
    }
    return false
  }

  // ---- documents

  #heard(tokens: ReadonlySet<string>): void {
    for (const token of tokens) {
      const spec = this.#directory.spec(token)
      const remembered = this.#remembered.get(token)
      // A document that has gone back is not what people want.
      if (spec !== undefined && !(remembered !== undefined && isLater(remembered, spec)))
        this.#remembered.set(token, spec)
      const assignment = this.#directory.assignment(token)
      this.#copies.assigned(token, assignment)
      if (assignment !== undefined) this.#announce(assignment)
    }
  }

  #announce(assignment: Assignment): void {
    const { token, incarnation, epoch, primary, replicas } = assignment
    this.#events.emit('assigned', { token, incarnation, epoch, primary: primary?.node, replicas })
  }

  /** Puts back the specs of tokens that this node holds, where the coordinator has lost them or has gone back to older ones. */
  async #reinstate(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#settings.seams
    for (;;) {
      await sleep(clock, REINSTATE_AFTER_MS * (1 + random.fraction()), signal)
      for (const copy of this.#copies.values()) {
        const { token } = copy
        const remembered = this.#remembered.get(token)
        if (remembered === undefined || !this.#directory.loaded || this.#membership.session === undefined) continue
        const { incarnation, epoch, phase } = copy.report()
        // A copy that has failed may be one of something that is over.
        if (incarnation === 0 || phase === 'failed') continue
        const generation = generationOf(incarnation)
        // Where only an older creation is remembered, its options are the best that is known.
        const wanted = generation > remembered.generation ? { ...remembered, generation, removed: false } : remembered
        if (!isLater(wanted, this.#directory.spec(token))) continue
        logger.warn(`the coordinator has lost what is wanted of token '${token}'; putting it back`)
        const adopt = { incarnation, epoch, log: copy.assignment.log }
        await this.#specs
          .reinstate({ ...wanted, handover: null, adopt }, signal)
          .catch((error: unknown) => logger.warn(`token '${token}' could not be put back; trying again`, { error }))
      }
    }
  }

  // ---- small things

  async #call<T>(caller: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const unusable = this.#unusable()
    if (unusable !== undefined) throw unusable
    const link = linkedAbort(this.#scope.signal, ...(caller === undefined ? [] : [caller]))
    try {
      link.signal.throwIfAborted()
      return await work(link.signal)
    } finally {
      link.unlink()
    }
  }

  #unusable(): KagamiError | undefined {
    if (this.#stopping !== undefined || this.#status === 'stopping') return this.#stopped()
    if (this.#status !== 'running') {
      return new KagamiError(
        'KAGAMI_NOT_STARTED',
        `node '${this.#settings.node.id}' is not started; await start() first`,
      )
    }
    return undefined
  }

  #stopped(): KagamiError {
    const { id } = this.#settings.node
    return new KagamiError(
      'KAGAMI_STOPPED',
      `node '${id}' is stopped, or stopping; use another node, or make a new one`,
    )
  }

  #currentStatus(): Status {
    if (this.#status !== 'running') return this.#status
    if (this.#membership.session === undefined) return 'rejoining'
    return this.#membership.leaseHeld ? 'running' : 'suspended'
  }

  #handle(name: string): Token<R, C> {
    const known = this.#handles.get(name)
    if (known !== undefined) return known
    const handle = tokenHandle(name, this.#handleContext)
    this.#handles.set(name, handle)
    return handle
  }

  #setHooks(token: string, { onPromote, onDemote }: TokenOptions): void {
    if (onPromote === undefined && onDemote === undefined) return
    const { logger } = this.#settings.seams
    const run = (name: string, hook: () => void | Promise<void> | undefined): void => {
      const failed = (error: unknown): void => logger.error(`${name} of '${token}' failed`, { error })
      try {
        Promise.resolve(hook()).catch(failed)
      } catch (error) {
        failed(error)
      }
    }
    const hooks: RoleHooks = {
      onPromote: (context) => run('onPromote', () => onPromote?.(context)),
      onDemote: () => run('onDemote', () => onDemote?.()),
    }
    this.#hooks.set(token, hooks)
    this.#copies.get(token)?.hooksAdded(hooks)
  }

  #isLive(primary: Assignment['primary']): boolean {
    return primary !== null && this.#membership.members.some(({ member }) => member === primary.member)
  }

  #nodeRef(id: string): NodeRef {
    const member = this.#membership.members.find(({ node }) => node === id)
    return { id, meta: (member?.data.meta ?? null) as JsonValue }
  }

  #isEmptied(): boolean {
    const { id } = this.#settings.node
    const others = this.#membership.members.filter(({ node, data }) => node !== id && data.draining === 'no').length
    for (const assignment of this.#directory.assignments()) {
      if (assignment.phase !== 'open' || !copiesOf(assignment).includes(id)) continue
      const spec = this.#directory.spec(assignment.token)
      if (spec !== undefined && isHeldBy(spec, id)) continue
      const movable = others >= 1 + (spec?.replicas ?? 0)
      if (movable || (others > 0 && assignment.primary?.node === id)) return false
    }
    return true
  }

  /** The tokens that wait for this node whatever happens. */
  #heldHere(): string[] {
    const { id } = this.#settings.node
    const held: string[] = []
    for (const { token, phase } of this.#directory.assignments()) {
      const spec = this.#directory.spec(token)
      if (phase === 'open' && spec !== undefined && isHeldBy(spec, id)) held.push(token)
    }
    return held.sort()
  }

  /** Follows the report of the node that takes over, until it serves, or until it can't any more. */
  async #untilServing(token: string, node: string, epoch: number, signal: AbortSignal): Promise<void> {
    const link = linkedAbort(signal)
    const hindered = (): boolean => {
      if (this.#directory.spec(token)?.removed) throw unknownToken(token)
      const assignment = this.#directory.assignment(token)
      if (assignment !== undefined && assignment.primary?.node !== node && assignment.epoch > epoch) throw noCopy(token)
      return false
    }
    try {
      await Promise.race([
        this.#reportedServing(token, node, epoch, link.signal),
        this.#directory.until(hindered, link.signal),
      ])
    } finally {
      link.abort(new KagamiError('KAGAMI_STOPPED', 'the handover is over'))
    }
  }

  async #reportedServing(token: string, node: string, epoch: number, signal: AbortSignal): Promise<void> {
    const name = `reports/${node}/${bucketOf(token)}`
    for await (const documents of this.#membership.requireSession().watch(name, { signal })) {
      const document = documents.get(name)
      const reports = document === undefined ? [] : reportDocument.decode(document.bytes, name).tokens
      if (reports.some((report) => report.token === token && report.serving >= epoch)) return
    }
  }
}

function pick({ failover, failback }: AlterOptions): AlterOptions {
  return { ...(failover === undefined ? {} : { failover }), ...(failback === undefined ? {} : { failback }) }
}

function isEnded({ phase }: Assignment): boolean {
  return phase === 'deleted' || phase === 'gone'
}

function isHeldBy(spec: Spec, node: string): boolean {
  return holdsForOwner(spec) && spec.owner === node
}

/** @throws KAGAMI_TOKEN_OWNED where a token is kept for a node, and is wanted on another */
function refuseHeld(spec: Spec, to: string): void {
  if (holdsForOwner(spec) && spec.owner !== null && spec.owner !== to) throw heldForOwner([spec.token], spec.owner)
}

function heldForOwner(tokens: readonly string[], owner: string): KagamiError {
  return new KagamiError(
    'KAGAMI_TOKEN_OWNED',
    `${tokens.map((token) => `'${token}'`).join(', ')} can't leave node '${owner}': failover is 'hold', so no other node may have the primary. ` +
      "alter() it to failover 'promote' first",
    { details: { tokens, owner } },
  )
}

function lostTarget(token: string, to: string): KagamiError {
  return new KagamiError(
    'KAGAMI_NO_COPY',
    `the handover of '${token}' was given up: node '${to}' was lost. Choose another node`,
    {
      retryable: true,
      details: { token, to },
    },
  )
}

/** Whether the token exists, as far as its assignment says. */
function isThere({ phase }: Assignment): boolean {
  return phase === 'opening' || phase === 'open'
}

function asStopped(error: unknown): KagamiError {
  return new KagamiError('KAGAMI_STOPPED', 'the node could not be started', { cause: error })
}
