/** One session of this process: what the contract offers, ended as soon as the session is known to be over. */
import { badOption, KagamiError, listenForAbort, orAborted } from '@kagami/core/contract'
import type {
  CallOptions,
  Document,
  Leadership,
  LeaseState,
  Logger,
  MemberRecord,
  Session,
} from '@kagami/core/contract'
import type { Documents } from './documents.js'
import { Election } from './election.js'
import { coordinatorError } from './errors.js'
import { LastingTrouble } from './lasting-trouble.js'
import { Lease } from './lease.js'
import type { Message } from './messages.js'
import type { Offices } from './offices.js'
import type { Pulse } from './pulse.js'
import type { Roster } from './roster.js'
import type { SessionFiles } from './session-files.js'
import { UnderWay } from './under-way.js'

/** How often a watch looks by itself, where nobody tells. */
const pollMs = 500

/** How long `close` waits for a disk that hangs. */
const closeMs = 2_000

/** What the sessions of one coordinator share. */
export interface SessionParts {
  readonly files: SessionFiles
  readonly roster: Roster
  readonly documents: Documents
  readonly offices: Offices
  readonly officeChanges: Pulse
  readonly maxDocumentBytes: number
  readonly logger: Logger
  /** Where the coordinator lies, for messages. */
  readonly path: string
  readonly tell: (message: Message) => void
  /** The session is over. */
  readonly closed: (session: Session) => void
}

export class EmbeddedSession implements Session {
  readonly id: string
  readonly timeoutMs: number
  readonly #parts: SessionParts
  readonly #lease: Lease
  readonly #election: Election
  readonly #end = new AbortController()
  #joined: { readonly node: string; readonly member: string; number: number } | undefined
  /** Member records are written one after another. */
  #updating: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined
  readonly #underWay = new UnderWay()

  /** `contactAt`: when its creation began, by the monotonic clock. */
  constructor(id: string, timeoutMs: number, contactAt: number, parts: SessionParts) {
    this.id = id
    this.timeoutMs = timeoutMs
    this.#parts = parts
    this.#lease = new Lease(parts.files, id, timeoutMs, contactAt, () => this.#lose('it has expired'))
    const { offices, roster, officeChanges: changes, logger } = parts
    this.#election = new Election(id, this.#lease, { offices, roster, changes, logger })
    void this.#followLease()
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  async *watchLease({ signal }: CallOptions): AsyncGenerator<LeaseState, void, void> {
    const ending = this.#linked(signal)
    try {
      let yielded: LeaseState | undefined
      for (;;) {
        ending.signal.throwIfAborted()
        const seen = this.#lease.changes.count
        const { state } = this.#lease
        if (state !== yielded) {
          yielded = state
          yield state
        } else await this.#lease.changes.wait(seen, ending.signal)
      }
    } finally {
      ending.unlink()
    }
  }

  join(given: MemberRecord, { signal }: CallOptions): Promise<void> {
    const ending = this.#linked(signal)
    return this.#call(signal, async () => {
      const record = ownCopy(given)
      await this.#parts.offices.claimNode(record.node, this.id, ending.signal)
      await this.#writeMember(record)
    }).finally(() => ending.unlink())
  }

  update(given: MemberRecord, { signal }: CallOptions): Promise<void> {
    return this.#call(signal, async () => {
      const record = ownCopy(given)
      if (this.#joined?.node !== record.node || this.#joined.member !== record.member) {
        throw badOption(
          'record',
          `${record.node} ${record.member}`,
          'the node and the member that this session has joined as',
        )
      }
      await this.#writeMember(record)
    })
  }

  watchMembers({ signal }: CallOptions): AsyncIterable<readonly MemberRecord[]> {
    const { roster } = this.#parts
    const look = async (): Promise<readonly MemberRecord[]> => {
      // Who joins is to hear of the others at once; who only looks, of those who are there.
      if (this.#joined === undefined) await roster.settled(signal)
      else await roster.refresh()
      return roster.members()
    }
    const same = (a: readonly MemberRecord[], b: readonly MemberRecord[]): boolean =>
      a.length === b.length && a.every((member, i) => member === b[i])
    // The roster looks by itself, so it is followed without looking any more.
    return this.#watch(signal, roster.changes, look, same, () => Promise.resolve(roster.members()))
  }

  campaign({ signal }: CallOptions): Promise<Leadership> {
    const ending = this.#linked(signal)
    return this.#call(signal, () => this.#election.campaign(ending.signal)).finally(() => ending.unlink())
  }

  read(name: string, { signal }: CallOptions): Promise<Document | undefined> {
    return this.#call(signal, () => this.#parts.documents.read(name))
  }

  write(name: string, bytes: Uint8Array, expected: number | undefined, { signal }: CallOptions): Promise<number> {
    return this.#call(signal, async () => {
      const { documents, maxDocumentBytes, tell } = this.#parts
      if (bytes.byteLength > maxDocumentBytes) {
        const message = `document ${name} has ${bytes.byteLength} bytes; the coordinator takes at most ${maxDocumentBytes}`
        throw new KagamiError('KAGAMI_DOCUMENT_TOO_LARGE', message, { details: { name, maxDocumentBytes } })
      }
      // The write may go on when the caller, who has aborted it, uses the bytes for something else.
      const own = new Uint8Array(bytes)
      const version = await documents.write(name, own, expected)
      if (version === undefined) {
        const message = `document ${name} is not at version ${expected ?? 'none'} any more: read it again`
        throw new KagamiError('KAGAMI_VERSION_CONFLICT', message, { details: { name } })
      }
      tell({ kind: 'documents', name })
      return version
    })
  }

  async *watch(prefix: string, { signal }: CallOptions): AsyncGenerator<ReadonlyMap<string, Document>, void, void> {
    const following = this.#parts.documents.follow(prefix)
    const look = (): Promise<ReadonlyMap<string, Document>> => following.look()
    const same = (a: ReadonlyMap<string, Document>, b: ReadonlyMap<string, Document>): boolean =>
      a.size === b.size && [...b].every(([name, document]) => a.get(name) === document)
    try {
      yield* this.#watch(signal, following.changes, look, same, look)
    } finally {
      following.end()
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#lose('it is closed')
    const removed = this.#updating
      .then(() => this.#parts.files.remove(this.id))
      .catch(() => undefined)
      .then(() => this.#underWay.settled())
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), closeMs)
    await orAborted(removed, late.signal).catch(() => undefined)
    clearTimeout(timer)
    this.#parts.tell({ kind: 'sessions' })
  }

  #lose(why: string): void {
    if (this.#end.signal.aborted) return
    const reason = new KagamiError('KAGAMI_SESSION_LOST', `session ${this.id} is over, ${why}: connect again`)
    this.#end.abort(reason)
    this.#lease.end()
    this.#election.end(reason)
    this.#parts.closed(this)
  }

  /** Ends the leadership with the lease. */
  async #followLease(): Promise<void> {
    while (!this.#end.signal.aborted) {
      const seen = this.#lease.changes.count
      if (this.#lease.state === 'suspended') this.#election.suspend()
      await this.#lease.changes.wait(seen, this.#end.signal).catch(() => undefined)
    }
  }

  async #writeMember(record: MemberRecord): Promise<void> {
    const write = this.#updating.then(async () => {
      const number = (this.#joined?.number ?? 0) + 1
      await this.#parts.files.writeMember(this.id, number, record)
      this.#joined = { node: record.node, member: record.member, number }
    })
    this.#updating = write.catch(() => undefined)
    await write
    this.#parts.tell({ kind: 'sessions' })
  }

  /** Whole states: the present one, then another whenever `look` finds a different one. */
  async *#watch<T>(
    signal: AbortSignal,
    changes: Pulse,
    first: () => Promise<T>,
    same: (a: T, b: T) => boolean,
    later: () => Promise<T>,
  ): AsyncGenerator<T, void, void> {
    const ending = this.#linked(signal)
    const { logger, path } = this.#parts
    const trouble = new LastingTrouble((error) =>
      logger.warn('a watch sees nothing of what changes, for it can not look', {
        error: coordinatorError(path, error),
      }),
    )
    try {
      let yielded: { readonly state: T } | undefined
      for (;;) {
        ending.signal.throwIfAborted()
        const seen = changes.count
        const found = await this.#look(yielded === undefined ? first : later, ending.signal, trouble)
        if (found !== undefined && (yielded === undefined || !same(yielded.state, found.state))) {
          yielded = found
          yield found.state
        } else await changes.wait(seen, ending.signal, pollMs)
      }
    } finally {
      ending.unlink()
    }
  }

  /** Undefined where nothing can be seen now: a watch outlives that. */
  async #look<T>(
    look: () => Promise<T>,
    signal: AbortSignal,
    trouble: LastingTrouble,
  ): Promise<{ readonly state: T } | undefined> {
    try {
      const state = await orAborted(look(), signal)
      trouble.passed()
      return { state }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      trouble.failed(error)
      return undefined
    }
  }

  async #call<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    this.#end.signal.throwIfAborted()
    // A process that was frozen first finds out whether its session outlived that.
    if (this.#lease.state === 'suspended') await orAborted(this.#lease.touch(), signal)
    this.#end.signal.throwIfAborted()
    try {
      return await orAborted(orAborted(this.#underWay.begin(task), signal), this.#end.signal)
    } catch (error) {
      if (signal.aborted || this.#end.signal.aborted) throw error
      throw coordinatorError(this.#parts.path, error)
    }
  }

  /** A signal that aborts with the caller's or with the session, whichever comes first, and leaves nothing behind on them. */
  #linked(signal: AbortSignal): { readonly signal: AbortSignal; readonly unlink: () => void } {
    const controller = new AbortController()
    const abort = (): void => controller.abort(signal.aborted ? signal.reason : this.#end.signal.reason)
    if (signal.aborted || this.#end.signal.aborted) abort()
    const unlisten = [signal, this.#end.signal].map((one) => listenForAbort(one, abort))
    const unlink = (): void => unlisten.forEach((stop) => stop())
    return { signal: controller.signal, unlink }
  }
}

/** What is written later, perhaps when the caller, who has aborted the call, uses the bytes for something else. */
function ownCopy({ node, member, data }: MemberRecord): MemberRecord {
  return { node, member, data: new Uint8Array(data) }
}
