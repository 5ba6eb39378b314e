/**
 * The server side of the in-memory coordinator: sessions, elections and documents of the world, and the faults that a
 * test may inject. Time passes only by the world's clock; it never waits.
 */
import { badOption, KagamiError } from '@kagami/core/contract'
import type { Clock, Document, MemberRecord, Timer } from '@kagami/core/contract'
import { Reach } from './reach.js'
import type { Mend } from './reach.js'

/** What a coordinator holds on its disk, to be restored later. Opaque. */
export interface MemoryCoordinatorBackup {
  /** By cluster, and in it by name. */
  readonly documents: ReadonlyMap<string, ReadonlyMap<string, Document>>
  /** The count of elections, by cluster. */
  readonly epochs: ReadonlyMap<string, number>
}

/** What a test does to the coordinator of a world. A node is named by its id. */
export interface MemoryCoordinatorControls {
  /**
   * Cuts a node off until the returned function is called: its lease is suspended, and after its session's timeout the others see it
   * vanish; it learns of that when the cut ends. Without a node the coordinator is down for all: leases are suspended,
   * but no session expires, and each has its whole timeout again afterwards.
   */
  cut(node?: string): Mend
  /** Ends the sessions of a node at once, as if they had expired. */
  expire(node: string): void
  /** Fails the next document writes, of one node or of any, with KAGAMI_COORDINATOR_UNAVAILABLE; `landed` says whether they take effect all the same. */
  failWrites(count: number, options: { readonly landed: boolean; readonly node?: string }): void
  /** Refuses document writes with KAGAMI_STORE_FULL until the returned function is called. */
  fill(): Mend
  /** Loses all documents, and with them their versions. The sessions live on. */
  wipeDocuments(): void
  /** Loses the bytes of a document: from now on it is shown without any, under the version that it had. @throws KAGAMI_BAD_OPTION where there is none of that name */
  damage(cluster: string, name: string): void
  /** Loses everything: documents, versions, the count of elections, and every session. */
  wipe(): void
  /** The documents and counts as they are now. */
  backup(): MemoryCoordinatorBackup
  /** Goes back to a backup: what was written since is lost, and every session with it. */
  restore(backup: MemoryCoordinatorBackup): void
  /** The documents of a cluster as they are now. */
  documents(cluster: string): ReadonlyMap<string, Document>
  /** The node that is the leader of a cluster now. */
  leader(cluster: string): string | undefined
}

/** What the server tells the process that holds a session. Each is called only while that process is in contact, but for `suspend`. */
export interface SessionListener {
  /** By the process's own clock the lease deadline has passed. */
  suspend(): void
  /** The process is in contact, and something may have changed. */
  changed(): void
  over(reason: KagamiError): void
}

/** A session, as the server knows it. */
export interface ServerSession {
  readonly id: string
  readonly cluster: string
  readonly node: string
  readonly timeoutMs: number
  readonly listener: SessionListener
  record: MemberRecord | undefined
  /** Which candidacy of the session stands; another number for each. */
  ticket: number | undefined
  lease: Timer | undefined
  expiry: Timer | undefined
}

interface Cluster {
  readonly documents: Map<string, Document>
  readonly candidates: ServerSession[]
  epoch: number
  leader: ServerSession | undefined
}

/** The part of the session's timeout after which a process that is out of contact suspends its own lease. */
const leaseShare = 2 / 3

export class CoordinatorServer implements MemoryCoordinatorControls {
  readonly reach = new Reach()
  readonly #clock: Clock
  readonly #sessions = new Map<string, ServerSession>()
  readonly #clusters = new Map<string, Cluster>()
  /** Sessions that expired while their process was out of contact: it is told when the contact comes back. */
  readonly #untold = new Set<ServerSession>()
  #opened = 0
  #failing: { node: string | undefined; landed: boolean }[] = []
  #fills = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.reach.onChange(() => {
      for (const session of [...this.#untold]) this.#tellOver(session)
      for (const session of [...this.#sessions.values()]) this.#contact(session)
    })
  }

  open(cluster: string, node: string, timeoutMs: number, listener: SessionListener): ServerSession {
    this.#opened += 1
    const session: ServerSession = {
      id: `session-${this.#opened}`,
      cluster,
      node,
      timeoutMs,
      listener,
      record: undefined,
      ticket: undefined,
      lease: undefined,
      expiry: undefined,
    }
    this.#sessions.set(session.id, session)
    return session
  }

  /** The session is gone at once for the others. Its own process is not told. */
  drop(session: ServerSession): void {
    if (!this.#sessions.delete(session.id)) return
    session.lease?.cancel()
    session.expiry?.cancel()
    this.leave(session)
    this.#announce(session.cluster)
  }

  join(session: ServerSession, record: MemberRecord): void {
    for (const other of this.#of(session.cluster)) {
      if (other === session || other.record?.node !== record.node) continue
      const message = `another live session has joined as node ${record.node}; give each node an id of its own, or wait for it to end`
      throw new KagamiError('KAGAMI_NODE_ID_TAKEN', message, { retryable: true, details: { node: record.node } })
    }
    // Not `slice`, which of a Buffer gives a view.
    session.record = { node: record.node, member: record.member, data: new Uint8Array(record.data) }
    this.#announce(session.cluster)
  }

  members(cluster: string): readonly MemberRecord[] {
    const records = this.#of(cluster).flatMap((session) => session.record ?? [])
    return records.sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
  }

  enter(session: ServerSession, ticket: number): void {
    this.leave(session)
    session.ticket = ticket
    this.#cluster(session.cluster).candidates.push(session)
    this.#elect(session.cluster)
  }

  leave(session: ServerSession): void {
    const cluster = this.#cluster(session.cluster)
    const index = cluster.candidates.indexOf(session)
    session.ticket = undefined
    if (index < 0) return
    cluster.candidates.splice(index, 1)
    if (cluster.leader !== session) return
    cluster.leader = undefined
    this.#elect(session.cluster)
  }

  /** The epoch of the election that this session has won and not given up. */
  epochOf(session: ServerSession): number | undefined {
    const cluster = this.#cluster(session.cluster)
    return cluster.leader === session ? cluster.epoch : undefined
  }

  documents(cluster: string): ReadonlyMap<string, Document> {
    return this.#cluster(cluster).documents
  }

  write(cluster: string, name: string, bytes: Uint8Array, expected: number | undefined): number {
    const { documents } = this.#cluster(cluster)
    const version = documents.get(name)?.version
    if (version !== expected) {
      const message = `document ${name} has version ${version ?? 'none'}, expected ${expected ?? 'none'}; read it again`
      throw new KagamiError('KAGAMI_VERSION_CONFLICT', message, { details: { name } })
    }
    const document: Document = Object.freeze({ name, version: (version ?? 0) + 1, bytes: new Uint8Array(bytes) })
    documents.set(name, document)
    this.#announce(cluster)
    return document.version
  }

  get full(): boolean {
    return this.#fills > 0
  }

  fill(): Mend {
    this.#fills += 1
    let mended = false
    return () => {
      if (!mended) this.#fills -= 1
      mended = true
    }
  }

  /** The failure that a test has ordered for the next write of this node, if any. */
  takeFailure(node: string): { readonly landed: boolean } | undefined {
    const index = this.#failing.findIndex((failure) => failure.node === undefined || failure.node === node)
    return index < 0 ? undefined : this.#failing.splice(index, 1)[0]
  }

  cut(node?: string): Mend {
    return this.reach.cut(node)
  }

  expire(node: string): void {
    for (const session of [...this.#sessions.values()]) if (session.node === node) this.#expire(session)
  }

  failWrites(count: number, options: { readonly landed: boolean; readonly node?: string }): void {
    for (let i = 0; i < count; i++) this.#failing.push({ node: options.node, landed: options.landed })
  }

  wipeDocuments(): void {
    for (const [name, cluster] of this.#clusters) {
      cluster.documents.clear()
      this.#announce(name)
    }
  }

  damage(cluster: string, name: string): void {
    const { documents } = this.#cluster(cluster)
    const document = documents.get(name)
    if (document === undefined) throw badOption('name', name, `the name of a document of cluster ${cluster}`)
    documents.set(name, { ...document, bytes: new Uint8Array(0) })
    this.#announce(cluster)
  }

  wipe(): void {
    this.restore({ documents: new Map(), epochs: new Map() })
  }

  backup(): MemoryCoordinatorBackup {
    const clusters = [...this.#clusters]
    return {
      documents: new Map(clusters.map(([name, cluster]) => [name, new Map(cluster.documents)])),
      epochs: new Map(clusters.map(([name, cluster]) => [name, cluster.epoch])),
    }
  }

  restore(backup: MemoryCoordinatorBackup): void {
    for (const session of [...this.#sessions.values()]) this.#expire(session)
    for (const [name, cluster] of this.#clusters) {
      cluster.documents.clear()
      for (const [key, document] of backup.documents.get(name) ?? []) cluster.documents.set(key, document)
      cluster.epoch = backup.epochs.get(name) ?? 0
    }
  }

  leader(cluster: string): string | undefined {
    return this.#cluster(cluster).leader?.node
  }

  /** Starts and ends the deadlines of a session as its contact comes and goes. */
  #contact(session: ServerSession): void {
    if (this.reach.reaches(session.node)) {
      session.lease?.cancel()
      session.lease = undefined
    } else {
      session.lease ??= this.#clock.timer(session.timeoutMs * leaseShare, () => session.listener.suspend())
    }
    if (this.reach.up && this.reach.cutOff(session.node)) {
      session.expiry ??= this.#clock.timer(session.timeoutMs, () => this.#expire(session))
    } else {
      session.expiry?.cancel()
      session.expiry = undefined
    }
    this.#tell(session)
  }

  #expire(session: ServerSession): void {
    // The process must have stopped to rely on its session before anybody else sees it gone.
    session.listener.suspend()
    this.#tellOver(session)
    this.drop(session)
  }

  #tellOver(session: ServerSession): void {
    this.#untold.add(session)
    if (!this.reach.reaches(session.node)) return
    this.#untold.delete(session)
    const message = `session ${session.id} of node ${session.node} has expired; connect again`
    session.listener.over(new KagamiError('KAGAMI_SESSION_LOST', message))
  }

  #tell(session: ServerSession): void {
    if (this.reach.reaches(session.node)) session.listener.changed()
  }

  #elect(name: string): void {
    const cluster = this.#cluster(name)
    const first = cluster.candidates[0]
    if (cluster.leader !== undefined || first === undefined) return
    cluster.epoch += 1
    cluster.leader = first
    this.#tell(first)
  }

  #announce(cluster: string): void {
    for (const session of this.#of(cluster)) this.#tell(session)
  }

  #of(cluster: string): readonly ServerSession[] {
    return [...this.#sessions.values()].filter((session) => session.cluster === cluster)
  }

  #cluster(name: string): Cluster {
    let cluster = this.#clusters.get(name)
    if (cluster === undefined) {
      cluster = { documents: new Map(), candidates: [], epoch: 0, leader: undefined }
      this.#clusters.set(name, cluster)
    }
    return cluster
  }
}
