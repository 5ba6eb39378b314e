/** The in-memory coordinator: one node's adapter, and its sessions. What is true is the server's; this only relays it. */
import { badOption, KagamiError, refuseUnknownOptions } from '@kagami/core/contract'
import type {
  AdapterContext,
  CallOptions,
  Clock,
  Coordinator,
  Document,
  Leadership,
  LeaseState,
  MemberRecord,
  Session,
} from '@kagami/core/contract'
import type { CoordinatorServer, ServerSession } from './coordinator-server.js'
import { Life } from './life.js'
import { Bell, sharedController, throwIfAny, wait } from './waiting.js'

/** How one node's adapter behaves. */
export interface MemoryCoordinatorOptions {
  /** A session is over after so long without contact, in milliseconds. @default 10_000 */
  readonly sessionTimeoutMs?: number
  /** The largest document, in bytes. At least 262_144. @default 1_048_576 */
  readonly maxDocumentBytes?: number
}

const names: Readonly<Record<keyof MemoryCoordinatorOptions, true>> = {
  sessionTimeoutMs: true,
  maxDocumentBytes: true,
}

const documentName = /^[A-Za-z0-9._/-]+$/

export class MemoryCoordinator implements Coordinator {
  readonly name = 'memory'
  readonly maxDocumentBytes: number
  readonly #server: CoordinatorServer
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #life = new Life('coordinator')
  readonly #sessions = new Set<MemorySession>()

  constructor(server: CoordinatorServer, clock: Clock, options: MemoryCoordinatorOptions) {
    refuseUnknownOptions(options, Object.keys(names))
    this.#server = server
    this.#clock = clock
    this.#timeoutMs = options.sessionTimeoutMs ?? 10_000
    this.maxDocumentBytes = options.maxDocumentBytes ?? 1_048_576
    if (!(this.#timeoutMs > 0 && Number.isFinite(this.#timeoutMs))) {
      throw badOption('sessionTimeoutMs', options.sessionTimeoutMs, 'milliseconds, more than 0')
    }
    if (!Number.isInteger(this.maxDocumentBytes) || this.maxDocumentBytes < 262_144) {
      throw badOption('maxDocumentBytes', options.maxDocumentBytes, 'a whole number of at least 262144')
    }
  }

  async start(context: AdapterContext): Promise<void> {
    context.signal.throwIfAborted()
    if (!this.#server.reach.reaches(context.node)) throw unavailable()
    this.#life.start(context)
  }

  async stop(): Promise<void> {
    this.#life.stop()
    for (const session of [...this.#sessions]) await session.close()
  }

  async connect(options: CallOptions): Promise<Session> {
    options.signal.throwIfAborted()
    const { cluster, node } = this.#life.context
    if (!this.#server.reach.reaches(node)) throw unavailable()
    const session = new MemorySession({
      server: this.#server,
      clock: this.#clock,
      cluster,
      node,
      timeoutMs: this.#timeoutMs,
      maxDocumentBytes: this.maxDocumentBytes,
    })
    this.#sessions.add(session)
    session.signal.addEventListener('abort', () => this.#sessions.delete(session), { once: true })
    return session
  }
}

interface SessionParts {
  readonly server: CoordinatorServer
  readonly clock: Clock
  readonly cluster: string
  readonly node: string
  readonly timeoutMs: number
  readonly maxDocumentBytes: number
}

class MemorySession implements Session {
  readonly #parts: SessionParts
  readonly #session: ServerSession
  readonly #over = sharedController()
  /** Rings whenever something that a watch, a campaign or the lease shows may have changed. */
  readonly #changed = new Bell()
  #lease: LeaseState = 'held'
  /** The candidacy that this process wants to stand; the server is told when it is in contact. */
  #ticket: number | undefined
  #tickets = 0
  #leadership: AbortController | undefined

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#session = parts.server.open(parts.cluster, parts.node, parts.timeoutMs, {
      suspend: () => this.#suspend(),
      changed: () => this.#contact(),
      over: (reason) => this.#end(reason),
    })
  }

  get id(): string {
    return this.#session.id
  }

  get timeoutMs(): number {
    return this.#parts.timeoutMs
  }

  get signal(): AbortSignal {
    return this.#over.signal
  }

  async *watchLease(options: CallOptions): AsyncGenerator<LeaseState, void, void> {
    let seen: LeaseState | undefined
    for (;;) {
      throwIfAny(this.#signals(options))
      if (this.#lease === seen) await this.#change(options)
      else yield (seen = this.#lease)
    }
  }

  async join(record: MemberRecord, options: CallOptions): Promise<void> {
    this.#reach(options)
    this.#parts.server.join(this.#session, record)
  }

  async update(record: MemberRecord, options: CallOptions): Promise<void> {
    this.#reach(options)
    const { record: joined } = this.#session
    if (joined?.node !== record.node || joined.member !== record.member) {
      const given = `${record.node} ${record.member}`
      throw badOption('record', given, 'the node and the member that this session has joined as')
    }
    this.#parts.server.join(this.#session, record)
  }

  async *watchMembers(options: CallOptions): AsyncGenerator<readonly MemberRecord[], void, void> {
    let seen: readonly MemberRecord[] | undefined
    for (;;) {
      throwIfAny(this.#signals(options))
      const members = this.#inContact() ? this.#parts.server.members(this.#parts.cluster) : undefined
      if (members === undefined || (seen !== undefined && equalItems(seen, members))) {
        await this.#change(options)
      } else {
        seen = members
        yield members.map((record) => ({ ...record, data: record.data.slice() }))
      }
    }
  }

  async campaign(options: CallOptions): Promise<Leadership> {
    throwIfAny(this.#signals(options))
    if (this.#ticket !== undefined) {
      throw new KagamiError('KAGAMI_BUG', 'this session campaigns or leads already; resign() first')
    }
    const ticket = (this.#tickets += 1)
    this.#ticket = ticket
    this.#reconcile()
    try {
      for (;;) {
        const epoch = this.#won(ticket)
        if (epoch !== undefined) return this.#lead(epoch, ticket)
        await this.#change(options)
      }
    } catch (error) {
      this.#withdraw(ticket)
      throw error
    }
  }

  async read(name: string, options: CallOptions): Promise<Document | undefined> {
    checkName(name)
    this.#reach(options)
    const document = this.#parts.server.documents(this.#parts.cluster).get(name)
    return document === undefined ? undefined : copy(document)
  }

  async write(name: string, bytes: Uint8Array, expected: number | undefined, options: CallOptions): Promise<number> {
    checkName(name)
    throwIfAny(this.#signals(options))
    const { server, cluster, node, maxDocumentBytes } = this.#parts
    if (bytes.byteLength > maxDocumentBytes) {
      const message = `document ${name} of ${bytes.byteLength} bytes; at most ${maxDocumentBytes} fit`
      throw new KagamiError('KAGAMI_DOCUMENT_TOO_LARGE', message)
    }
    this.#reach(options)
    if (server.full) throw new KagamiError('KAGAMI_STORE_FULL', 'the coordinator has no room left', { retryable: true })
    const failure = server.takeFailure(node)
    if (failure !== undefined && !failure.landed) throw unavailable()
    const version = server.write(cluster, name, bytes, expected)
    if (failure !== undefined) throw unavailable()
    return version
  }

  async *watch(prefix: string, options: CallOptions): AsyncGenerator<ReadonlyMap<string, Document>, void, void> {
    /** What was yielded last: the server's document, and the copy of it that the consumer has. */
    let seen: Map<string, { readonly theirs: Document; readonly ours: Document }> | undefined
    for (;;) {
      throwIfAny(this.#signals(options))
      const found = this.#inContact() ? this.#matching(prefix) : undefined
      const same = found?.every((document) => seen?.get(document.name)?.theirs === document) ?? true
      if (found === undefined || (seen !== undefined && same && found.length === seen.size)) {
        await this.#change(options)
        continue
      }
      const before = seen
      seen = new Map()
      for (const theirs of found) {
        const known = before?.get(theirs.name)
        seen.set(theirs.name, known?.theirs === theirs ? known : { theirs, ours: copy(theirs) })
      }
      yield new Map([...seen].map(([name, { ours }]) => [name, ours]))
    }
  }

  async close(): Promise<void> {
    this.#end(new KagamiError('KAGAMI_SESSION_LOST', `session ${this.id} is closed; connect again`))
    // A process that is cut off can't say that it leaves: the others see it go when its session expires.
    if (this.#parts.server.reach.reaches(this.#parts.node)) this.#parts.server.drop(this.#session)
  }

  #signals(options: CallOptions): readonly AbortSignal[] {
    return [options.signal, this.#over.signal]
  }

  #inContact(): boolean {
    return this.#parts.server.reach.reaches(this.#parts.node)
  }

  #reach(options: CallOptions): void {
    throwIfAny(this.#signals(options))
    if (!this.#inContact()) throw unavailable()
  }

  #change(options: CallOptions): Promise<void> {
    return wait({ signals: this.#signals(options), bells: [this.#changed], clock: this.#parts.clock })
  }

  #matching(prefix: string): readonly Document[] {
    return [...this.#parts.server.documents(this.#parts.cluster).values()]
      .filter((document) => document.name.startsWith(prefix))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  #contact(): void {
    if (this.#over.signal.aborted) {
      this.#parts.server.drop(this.#session)
      return
    }
    this.#lease = 'held'
    this.#reconcile()
    this.#changed.ring()
  }

  #suspend(): void {
    if (this.#lease === 'suspended' || this.#over.signal.aborted) return
    this.#lease = 'suspended'
    this.#loseLeadership(unavailable())
    this.#changed.ring()
  }

  #end(reason: KagamiError): void {
    if (this.#over.signal.aborted) return
    this.#ticket = undefined
    this.#loseLeadership(reason)
    this.#over.abort(reason)
  }

  /** Brings the server's idea of the candidacy in line with what this process wants. */
  #reconcile(): void {
    if (!this.#inContact() || this.#session.ticket === this.#ticket) return
    if (this.#ticket === undefined) this.#parts.server.leave(this.#session)
    else this.#parts.server.enter(this.#session, this.#ticket)
  }

  #won(ticket: number): number | undefined {
    // In contact the lease is held, so whoever is told of its election may rely on it.
    if (!this.#inContact() || this.#session.ticket !== ticket) return undefined
    return this.#parts.server.epochOf(this.#session)
  }

  #lead(epoch: number, ticket: number): Leadership {
    const leadership = sharedController()
    this.#leadership = leadership
    return {
      epoch,
      signal: leadership.signal,
      resign: async () => {
        leadership.abort(new KagamiError('KAGAMI_STOPPED', 'the leadership was resigned'))
        if (this.#leadership === leadership) this.#leadership = undefined
        this.#withdraw(ticket)
      },
    }
  }

  #loseLeadership(reason: KagamiError): void {
    if (this.#leadership === undefined) return
    const leadership = this.#leadership
    this.#leadership = undefined
    this.#ticket = undefined
    leadership.abort(reason)
  }

  #withdraw(ticket: number): void {
    if (this.#ticket !== ticket) return
    this.#ticket = undefined
    this.#reconcile()
  }
}

function checkName(name: string): void {
  if (!documentName.test(name)) {
    throw badOption('name', name, 'letters, digits, "-", "_", "." and "/"')
  }
}

function copy(document: Document): Document {
  return { name: document.name, version: document.version, bytes: document.bytes.slice() }
}

function equalItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i])
}

function unavailable(): KagamiError {
  const message = 'the coordinator can not be reached now; try again'
  return new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', message, { retryable: true })
}
