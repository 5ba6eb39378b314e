/** The coordinator of the world: sessions, candidates and documents. Tells the checker of every write, before anyone sees it. */
import { badOption, KagamiError } from '@kagami/core/contract'
import type { Document, MemberRecord } from '@kagami/core/contract'
import type { SimProcess } from '../kernel/process.js'

export interface CoordinatorObserver {
  /** A document was written. */
  wrote(document: Document, who: SimProcess): void
  /** Documents were lost, or went back to an older state. */
  lost(): void
}

export interface ServerSession {
  readonly id: string
  readonly process: SimProcess
  live: boolean
  record: MemberRecord | undefined
  /** Told once when the session is over. */
  readonly onOver: (() => void)[]
}

interface Candidate {
  readonly session: ServerSession
  /** Which of its campaigns. */
  readonly campaign: number
  readonly elected: (epoch: number) => void
}

/** What a coordinator holds, to go back to later. */
export interface Backup {
  readonly documents: ReadonlyMap<string, Document>
  readonly epoch: number
}

export class CoordinatorServer {
  /** Documents were lost, or have gone back. */
  documentsLost = false
  readonly #observer: CoordinatorObserver
  readonly #sessions: ServerSession[] = []
  readonly #watchers = new Set<{ readonly concerns: (what: string) => boolean; readonly wake: () => void }>()
  #candidates: Candidate[] = []
  #leader: Candidate | undefined
  #documents = new Map<string, Document>()
  #sessionCount = 0
  #version = 0
  #epoch = 0

  constructor(observer: CoordinatorObserver) {
    this.#observer = observer
  }

  get leader(): SimProcess | undefined {
    return this.#leader?.session.process
  }

  connect(process: SimProcess): ServerSession {
    const session: ServerSession = {
      id: `session-${++this.#sessionCount}`,
      process,
      live: true,
      record: undefined,
      onOver: [],
    }
    this.#sessions.push(session)
    return session
  }

  /** The session is over: it has expired, or was closed. */
  end(session: ServerSession): void {
    if (!session.live) return
    session.live = false
    this.#sessions.splice(this.#sessions.indexOf(session), 1)
    this.resign(session, Infinity)
    for (const over of session.onOver) over()
    this.#changed('members')
  }

  sessions(): readonly ServerSession[] {
    return [...this.#sessions]
  }

  join(session: ServerSession, record: MemberRecord): void {
    check(session)
    if (this.#sessions.some((other) => other !== session && other.record?.node === record.node)) {
      throw new KagamiError('KAGAMI_NODE_ID_TAKEN', `another member is node ${record.node}`, { retryable: true })
    }
    session.record = record
    this.#changed('members')
  }

  update(session: ServerSession, record: MemberRecord): void {
    check(session)
    if (session.record?.node !== record.node || session.record.member !== record.member) {
      throw badOption(
        'record',
        `${record.node} ${record.member}`,
        'the node and the member that the session has joined as',
      )
    }
    this.join(session, record)
  }

  members(): readonly MemberRecord[] {
    return this.#sessions
      .flatMap((session) => (session.record === undefined ? [] : [session.record]))
      .sort((a, b) => (a.node < b.node ? -1 : 1))
  }

  campaign(session: ServerSession, campaign: number, elected: (epoch: number) => void): void {
    check(session)
    this.resign(session, campaign - 1)
    this.#candidates.push({ session, campaign, elected })
    this.#elect()
  }

  /** Gives up a session's campaigns up to this one: one that comes late does not touch a newer one. */
  resign(session: ServerSession, campaign: number): void {
    const over = (candidate: Candidate): boolean => candidate.session === session && candidate.campaign <= campaign
    this.#candidates = this.#candidates.filter((candidate) => !over(candidate))
    if (this.#leader !== undefined && over(this.#leader)) this.#leader = undefined
    this.#elect()
  }

  #elect(): void {
    if (this.#leader !== undefined) return
    this.#leader = this.#candidates.shift()
    this.#leader?.elected(++this.#epoch)
  }

  read(session: ServerSession, name: string): Document | undefined {
    check(session)
    return this.#documents.get(name)
  }

  /** Lets a write through whose session has ended while it was under way: nothing promises that it is refused, and only its version fences it. */
  write(session: ServerSession, name: string, bytes: Uint8Array, expected: number | undefined): number {
    const version = this.#documents.get(name)?.version
    if (version !== expected) {
      throw new KagamiError('KAGAMI_VERSION_CONFLICT', `${name} has version ${version}, not ${expected}; read it again`)
    }
    const document = { name, version: ++this.#version, bytes: Uint8Array.from(bytes) }
    this.#documents.set(name, document)
    this.#observer.wrote(document, session.process)
    this.#changed(`document ${name}`)
    return document.version
  }

  documents(prefix: string): ReadonlyMap<string, Document> {
    return new Map(
      [...this.#documents].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)),
    )
  }

  backup(): Backup {
    return { documents: new Map(this.#documents), epoch: this.#epoch }
  }

  /**
   * Goes back to a backup, or to nothing; loses every session if `sessionsToo`. Versions go on from `version`; undefined: from where the backup
   * stands, so that they are used twice.
   */
  restore(backup: Backup | undefined, sessionsToo: boolean, version: number | undefined): void {
    this.#documents = new Map(backup?.documents)
    this.#version = version ?? Math.max(0, ...[...this.#documents.values()].map((document) => document.version))
    if (sessionsToo) this.#epoch = backup?.epoch ?? 0
    this.documentsLost = true
    this.#observer.lost()
    if (sessionsToo) for (const session of this.sessions()) this.end(session)
    this.#changed('document ')
  }

  /** Calls `wake` once, at the next change that concerns it: of `members`, or of `document <name>`. */
  onChange(concerns: (what: string) => boolean, wake: () => void): () => void {
    const watcher = { concerns, wake }
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  #changed(what: string): void {
    for (const watcher of [...this.#watchers]) {
      if (!watcher.concerns(what)) continue
      this.#watchers.delete(watcher)
      watcher.wake()
    }
  }
}

function check(session: ServerSession): void {
  if (!session.live) throw sessionLost()
}

export function sessionLost(): KagamiError {
  return new KagamiError('KAGAMI_SESSION_LOST', 'the session has expired; connect again')
}
