/**
 * One process's coordinator. Its session lives as long as the process is heard of in time; heartbeats are not sent one by one, but
 * when they stop and begin again both sides act as if they had been.
 */
import { KagamiError } from '@kagami/core/contract'
import type {
  CallOptions,
  Coordinator,
  Document,
  Leadership,
  LeaseState,
  MemberRecord,
  Session,
} from '@kagami/core/contract'
import type { SimProcess } from '../kernel/process.js'
import type { Scheduled } from '../kernel/scheduler.js'
import { sessionLost, type CoordinatorServer, type ServerSession } from './coordinator-server.js'
import { Call, Scope, Wire, type World } from './wire.js'

export function simCoordinator(
  world: World,
  process: SimProcess,
  server: CoordinatorServer,
  timeoutMs: number,
): Coordinator {
  return new SimCoordinator(world, process, server, timeoutMs)
}

class SimCoordinator implements Coordinator {
  readonly name = 'simulated'
  readonly maxDocumentBytes = 1_048_576
  readonly #wire: Wire
  readonly #server: CoordinatorServer
  readonly #timeoutMs: number
  readonly #scope = new Scope()
  readonly #sessions = new Set<SimSession>()

  constructor(world: World, process: SimProcess, server: CoordinatorServer, timeoutMs: number) {
    this.#wire = new Wire(world, process, unavailable)
    this.#server = server
    this.#timeoutMs = timeoutMs
  }

  async start(context: { readonly signal: AbortSignal }): Promise<void> {
    await this.#wire.request(() => undefined, this.#scope, { to: 'coordinator', signal: context.signal })
  }

  async stop(): Promise<void> {
    for (const session of [...this.#sessions]) await session.close()
    this.#scope.end(new KagamiError('KAGAMI_STOPPED', 'the coordinator is stopped'))
  }

  async connect(options: CallOptions): Promise<Session> {
    const { scheduler } = this.#wire.world
    const claimed = new WeakSet<ServerSession>()
    const serve = (): ServerSession => {
      const session = this.#server.connect(this.#wire.process)
      // Whoever never hears of its session sends no heartbeat for it.
      scheduler.after(this.#timeoutMs, undefined, () => {
        if (!claimed.has(session)) this.#server.end(session)
      })
      return session
    }
    const opened = await this.#wire.request(serve, this.#scope, { to: 'coordinator', signal: options.signal })
    claimed.add(opened)
    const session = new SimSession(this.#wire, this.#server, opened, this.#timeoutMs)
    this.#sessions.add(session)
    session.signal.addEventListener('abort', () => this.#sessions.delete(session))
    return session
  }
}

class SimSession implements Session {
  readonly id: string
  readonly timeoutMs: number
  readonly #wire: Wire
  readonly #server: CoordinatorServer
  readonly #session: ServerSession
  readonly #scope = new Scope()
  readonly #over = new AbortController()
  readonly #forgetReach: () => void
  #lease: LeaseState = 'held'
  #leaseChanged = new Set<() => void>()
  #leadership: AbortController | undefined
  #expiry: Scheduled | undefined
  #suspension: Scheduled | undefined
  #reached = true
  /** When the local lease ends, if no heartbeat is answered before. */
  #deadlineMs = Infinity
  #campaign = 0

  constructor(wire: Wire, server: CoordinatorServer, session: ServerSession, timeoutMs: number) {
    this.#wire = wire
    this.#server = server
    this.#session = session
    this.id = session.id
    this.timeoutMs = timeoutMs
    session.onOver.push(() => this.#hearOfEnd())
    this.#forgetReach = wire.process.onReach(() => this.#reachChanged())
    if (!session.live) this.#hearOfEnd()
    this.#reachChanged()
  }

  get signal(): AbortSignal {
    return this.#over.signal
  }

  /** Heartbeats stop or begin again. */
  #reachChanged(): void {
    const { scheduler, chance } = this.#wire.world
    const { process } = this.#wire
    const reached = process.reaches('coordinator')
    if (reached === this.#reached || this.#over.signal.aborted) return
    this.#reached = reached
    this.#expiry?.cancel()
    if (!reached) {
      // The last heartbeat that was answered began some time ago.
      const leftMs = this.timeoutMs - chance.between(0, this.timeoutMs / 3)
      this.#deadlineMs = scheduler.nowMs + leftMs
      this.#suspension?.cancel()
      this.#suspension = process.after(leftMs, () => this.#suspend())
      this.#expiry = scheduler.after(leftMs + chance.between(1, 20), undefined, () => this.#server.end(this.#session))
      return
    }
    // Past its deadline it must suspend first, which it does as soon as it runs.
    const late = scheduler.nowMs >= this.#deadlineMs
    if (!late) this.#deadlineMs = Infinity
    if (!this.#session.live) this.#hearOfEnd()
    else if (late) process.after(chance.between(2, 50), () => this.#hold())
  }

  #suspend(): void {
    if (this.#wire.world.scheduler.nowMs < this.#deadlineMs) return
    if (this.#over.signal.aborted || this.#lease === 'suspended') return
    this.#setLease('suspended')
    this.#loseLeadership()
  }

  #hold(): void {
    if (!this.#reached || !this.#session.live || this.#over.signal.aborted) return
    this.#deadlineMs = Infinity
    if (this.#lease === 'held') return
    this.#setLease('held')
    this.#resign(this.#campaign)
  }

  #setLease(lease: LeaseState): void {
    this.#lease = lease
    for (const wake of [...this.#leaseChanged]) wake()
  }

  #loseLeadership(): void {
    this.#leadership?.abort(unavailable())
    this.#leadership = undefined
  }

  /** The server's session is over; this side hears of it when it hears anything. */
  #hearOfEnd(): void {
    const { chance } = this.#wire.world
    if (!this.#wire.process.reaches('coordinator')) return
    this.#wire.process.after(chance.between(0.5, chance.happens(0.2) ? 500 : 20), () => {
      if (this.#wire.process.isCutFrom('coordinator')) this.#reached = false
      else this.#end()
    })
  }

  #end(): void {
    if (this.#over.signal.aborted) return
    this.#forgetReach()
    this.#expiry?.cancel()
    this.#suspension?.cancel()
    this.#over.abort(sessionLost())
    this.#loseLeadership()
    this.#scope.end(sessionLost())
  }

  async *watchLease(options: CallOptions): AsyncGenerator<LeaseState, void, void> {
    let told: LeaseState | undefined
    for (;;) {
      while (this.#lease === told) {
        options.signal.throwIfAborted()
        this.#scope.throwIfOver()
        const call = new Call<void>(options.signal, this.#scope)
        const wake = (): void => call.resolve()
        this.#leaseChanged.add(wake)
        try {
          await call.promise
        } finally {
          this.#leaseChanged.delete(wake)
        }
      }
      options.signal.throwIfAborted()
      this.#scope.throwIfOver()
      told = this.#lease
      yield told
    }
  }

  async join(record: MemberRecord, options: CallOptions): Promise<void> {
    await this.#request(() => this.#server.join(this.#session, record), options)
  }

  async update(record: MemberRecord, options: CallOptions): Promise<void> {
    await this.#request(() => this.#server.update(this.#session, record), options)
  }

  watchMembers(options: CallOptions): AsyncGenerator<readonly MemberRecord[], void, void> {
    return this.#watch(
      options,
      (what) => what === 'members',
      () => this.#server.members(),
    )
  }

  watch(prefix: string, options: CallOptions): AsyncGenerator<ReadonlyMap<string, Document>, void, void> {
    const concerns = (what: string): boolean => what === 'document ' || what.startsWith(`document ${prefix}`)
    return this.#watch(options, concerns, () => this.#server.documents(prefix))
  }

  /** The state now, then after each change: late, and changes that lie close together merged. */
  async *#watch<T>(
    options: CallOptions,
    concerns: (what: string) => boolean,
    state: () => T,
  ): AsyncGenerator<T, void, void> {
    const { world, process } = this.#wire
    let dirty = true
    let forget = (): void => undefined
    const listen = (): void => {
      forget = this.#server.onChange(concerns, () => {
        dirty = true
        wake?.()
        listen()
      })
    }
    let wake: (() => void) | undefined
    listen()
    try {
      for (;;) {
        options.signal.throwIfAborted()
        this.#scope.throwIfOver()
        const call = new Call<T>(options.signal, this.#scope)
        const answer = (): void => {
          if (call.settled) return
          if (!process.reaches('coordinator')) return void process.after(world.chance.between(20, 100), answer)
          dirty = false
          const value = state()
          const late = world.faults.happens('watchLate')
          if (late) world.trace.count('fault.watchLate')
          const afterMs = this.#wire.wayMs() + (late ? world.chance.between(20, 1500) : 0)
          process.after(afterMs, () => call.resolve(value))
        }
        if (dirty) world.scheduler.after(this.#wire.wayMs(), undefined, answer)
        else {
          wake = () => {
            wake = undefined
            world.scheduler.after(this.#wire.wayMs(), undefined, answer)
          }
        }
        yield await call.promise
      }
    } finally {
      wake = undefined
      forget()
    }
  }

  async campaign(options: CallOptions): Promise<Leadership> {
    const { process } = this.#wire
    options.signal.throwIfAborted()
    this.#scope.throwIfOver()
    const call = new Call<Leadership>(options.signal, this.#scope)
    const campaign = ++this.#campaign
    const elected = (epoch: number): void =>
      void process.after(this.#wire.wayMs(), () => {
        if (call.settled) return
        if (this.#lease === 'suspended') return call.reject(unavailable())
        const controller = new AbortController()
        this.#leadership = controller
        call.resolve({
          epoch,
          signal: controller.signal,
          resign: async () => {
            if (this.#leadership === controller) this.#loseLeadership()
            this.#resign(campaign)
          },
        })
      })
    this.#request(() => this.#server.campaign(this.#session, campaign, elected), options).catch(call.reject)
    try {
      return await call.promise
    } catch (error) {
      this.#resign(campaign)
      throw error
    }
  }

  /** Tells the server, as soon as it can be reached, that this campaign is over. */
  #resign(campaign: number): void {
    const { world, process } = this.#wire
    world.scheduler.after(this.#wire.wayMs(), undefined, () => {
      if (!this.#session.live) return
      if (process.reaches('coordinator')) this.#server.resign(this.#session, campaign)
      else process.after(50, () => this.#resign(campaign))
    })
  }

  async read(name: string, options: CallOptions): Promise<Document | undefined> {
    return this.#request(() => this.#server.read(this.#session, name), options)
  }

  async write(name: string, bytes: Uint8Array, expected: number | undefined, options: CallOptions): Promise<number> {
    const { faults, chance, trace } = this.#wire.world
    const unknown = faults.happens('documentUnknown')
    const slow = faults.happens('documentSlow')
    if (unknown) trace.count('fault.documentUnknown')
    if (slow) trace.count('fault.documentSlow')
    const refused = unknown && chance.happens(0.5)
    return this.#request(() => this.#server.write(this.#session, name, bytes, expected), options, {
      refused,
      unanswered: unknown && !refused,
      requestMs: slow && chance.happens(0.7) ? chance.between(5, 1500) : 0,
      answerMs: slow ? chance.between(5, 300) : 0,
    })
  }

  async close(): Promise<void> {
    if (this.#over.signal.aborted) return
    const { world, process } = this.#wire
    if (process.reaches('coordinator')) {
      world.scheduler.after(this.#wire.wayMs(), undefined, () => this.#server.end(this.#session))
    } else {
      // Nobody can be told: it expires.
      this.#forgetReach()
      world.scheduler.after(this.timeoutMs, undefined, () => this.#server.end(this.#session))
    }
    this.#end()
  }

  #request<T>(
    serve: () => T,
    options: CallOptions,
    fate: { refused?: boolean; unanswered?: boolean; requestMs?: number; answerMs?: number } = {},
  ): Promise<T> {
    return this.#wire.request(serve, this.#scope, { ...fate, to: 'coordinator', signal: options.signal })
  }
}

function unavailable(): KagamiError {
  return new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'the coordinator can not be reached now; read again', {
    retryable: true,
  })
}
