/**
 * The assignments as the controller governs them: read once at the start and rewritten under its own epoch, which kills every version that a
 * predecessor holds; from then on changed only by compare-and-set. Any version that it did not write itself ends its rule.
 */
import { isKagamiError, KagamiError, type Document, type Session } from '../contract/index.js'
import { assignmentDocument, bucketOf, type Assignment, type AssignmentDocument } from '../engine/documents.js'
import { LogsInUse } from './logs-in-use.js'

interface Bucket {
  version: number | undefined
  /** What was written under this version. */
  bytes: Uint8Array
  tokens: Map<string, Assignment>
  /** Writes of one bucket go one after another. */
  tail: Promise<void>
  /** What the next write takes along, while one before it is under way. */
  next: { readonly changed: Assignment[]; readonly written: Promise<void> } | undefined
  writing: boolean
}

/** In whose name assignments are written. */
export interface Ruler {
  readonly epoch: number
  readonly member: string
  /** Whether a document whose bytes are damaged is written anew, like one that is lost. Otherwise it keeps the ruler from ruling. @default false */
  readonly anew?: boolean
}

export class AssignmentTable {
  readonly #session: Session
  readonly #ruler: Ruler
  readonly #signal: AbortSignal
  readonly #buckets = new Map<string, Bucket>()
  /** The logs of all tokens that are not gone. */
  readonly logs = new LogsInUse()

  private constructor(session: Session, ruler: Ruler, signal: AbortSignal) {
    this.#session = session
    this.#ruler = ruler
    this.#signal = signal
  }

  /**
   * Takes over all documents that exist. Tells of those that it writes anew.
   * @throws KAGAMI_VERSION_CONFLICT when a later controller has taken one over before
   * @throws KAGAMI_BAD_DOCUMENT when one is damaged, unless it is to be written anew
   */
  static async takeOver(
    session: Session,
    ruler: Ruler,
    signal: AbortSignal,
    onLost: (name: string, error: unknown) => void = () => undefined,
  ): Promise<AssignmentTable> {
    const table = new AssignmentTable(session, ruler, signal)
    for await (const documents of session.watch('assignments/', { signal })) {
      await Promise.all([...documents.values()].map((document) => table.#fence(document, onLost)))
      break
    }
    return table
  }

  get(token: string): Assignment | undefined {
    return this.#buckets.get(bucketOf(token))?.tokens.get(token)
  }

  *values(): Generator<Assignment> {
    for (const bucket of this.#buckets.values()) yield* bucket.tokens.values()
  }

  /**
   * Writes changed assignments; the table shows each as soon as it is written.
   * @throws KAGAMI_VERSION_CONFLICT when another controller rules
   */
  async put(changed: readonly Assignment[]): Promise<void> {
    const byBucket = new Map<string, Assignment[]>()
    for (const assignment of changed) {
      const name = bucketOf(assignment.token)
      byBucket.set(name, [...(byBucket.get(name) ?? []), assignment])
    }
    await Promise.all([...byBucket].map(([name, list]) => this.#enqueue(name, list)))
  }

  /** Whether documents show a version that this controller did not write: another rules. */
  contradicts(documents: ReadonlyMap<string, Document>): boolean {
    for (const [name, bucket] of this.#buckets) {
      if (bucket.writing || bucket.version === undefined) continue
      const document = documents.get(`assignments/${name}`)
      if (document !== undefined && document.version > bucket.version) return true
    }
    return false
  }

  /**
   * The buckets that this controller has written and that a watch's state does not show. The state may have been read before they were
   * written, so {@link isGone} has to tell.
   */
  missing(documents: ReadonlyMap<string, Document>): string[] {
    const missing: string[] = []
    for (const [name, bucket] of this.#buckets) {
      if (bucket.version !== undefined && !documents.has(`assignments/${name}`)) missing.push(name)
    }
    return missing
  }

  /** Whether the document of a bucket that was written is gone: the coordinator has lost its data. */
  async isGone(name: string): Promise<boolean> {
    return (await this.#session.read(`assignments/${name}`, { signal: this.#signal })) === undefined
  }

  /** The buckets that this controller has written and of which a watch's state shows an older version. */
  behind(documents: ReadonlyMap<string, Document>): string[] {
    const behind: string[] = []
    for (const [name, { version }] of this.#buckets) {
      const shown = documents.get(`assignments/${name}`)?.version
      if (version !== undefined && shown !== undefined && shown < version) behind.push(name)
    }
    return behind
  }

  /** The buckets of which a watch's state shows the version that this controller has written, and other bytes: they are damaged, and this controller knows them. */
  damaged(documents: ReadonlyMap<string, Document>): string[] {
    const damaged: string[] = []
    for (const [name, bucket] of this.#buckets) {
      const document = documents.get(`assignments/${name}`)
      if (document !== undefined && isDamaged(document, bucket)) damaged.push(name)
    }
    return damaged
  }

  /**
   * Writes a bucket anew whose document has gone back to an older version, or is damaged: what this controller knows is newer.
   * @throws KAGAMI_VERSION_CONFLICT when a later controller has written it since: its versions may be lower, or the same, too
   * @throws KAGAMI_COORDINATOR_UNAVAILABLE, KAGAMI_STORE_FULL when it could not be written: it may be tried again
   */
  async renew(name: string): Promise<void> {
    const bucket = this.#bucket(name)
    // Before the look: what is written meanwhile is newer than what was found.
    const { version } = bucket
    const found = await this.#session.read(`assignments/${name}`, { signal: this.#signal })
    if (found === undefined || version === undefined || bucket.writing) return
    const damaged = isDamaged(found, bucket)
    if (found.version >= version && !damaged) return
    if (controllerOf(found, damaged) > this.#ruler.epoch) throw deposed()
    bucket.version = found.version
    await this.#enqueue(name, [])
  }

  async #fence(found: Document, onLost: (name: string, error: unknown) => void): Promise<void> {
    const signal = this.#signal
    let document: Document | undefined = found
    while (document !== undefined) {
      const { controller, tokens } = this.#contentOf(document, onLost)
      if (controller > this.#ruler.epoch) throw deposed()
      const bytes = this.#encode(tokens)
      try {
        const version = await this.#session.write(document.name, bytes, document.version, { signal })
        const bucket = this.#bucket(document.name.slice('assignments/'.length))
        bucket.version = version
        bucket.bytes = bytes
        this.#show(bucket, new Map(tokens.map((assignment) => [assignment.token, assignment])))
        return
      } catch (error) {
        if (!isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')) throw error
        document = await this.#session.read(document.name, { signal })
      }
    }
  }

  /** What is damaged counts as lost. Who wrote it can't be told, but a later controller writes over whatever is written here. */
  #contentOf(document: Document, onLost: (name: string, error: unknown) => void): AssignmentDocument {
    try {
      return assignmentDocument.decode(document.bytes, document.name)
    } catch (error) {
      if (this.#ruler.anew !== true || !isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) throw error
      onLost(document.name, error)
      return { controller: 0, tokens: [] }
    }
  }

  #enqueue(name: string, changed: readonly Assignment[]): Promise<void> {
    const bucket = this.#bucket(name)
    if (bucket.next !== undefined) {
      bucket.next.changed.push(...changed)
      return bucket.next.written
    }
    const all = [...changed]
    const written = bucket.tail.then(async () => {
      bucket.next = undefined
      bucket.writing = true
      try {
        await this.#write(name, bucket, all)
      } finally {
        bucket.writing = false
      }
    })
    bucket.next = { changed: all, written }
    bucket.tail = written.catch(() => undefined)
    return written
  }

  async #write(name: string, bucket: Bucket, changed: readonly Assignment[]): Promise<void> {
    const { signal } = { signal: this.#signal }
    const tokens = new Map(bucket.tokens)
    for (const assignment of changed) tokens.set(assignment.token, assignment)
    const path = `assignments/${name}`
    const bytes = this.#encode([...tokens.values()])
    try {
      bucket.version = await this.#session.write(path, bytes, bucket.version, { signal })
    } catch (error) {
      const unknown =
        isKagamiError(error, 'KAGAMI_COORDINATOR_UNAVAILABLE') || isKagamiError(error, 'KAGAMI_STORE_FULL')
      if (!unknown) throw error
      // It may have been written all the same: the bytes tell, since no other controller writes this epoch.
      const now = await this.#session.read(path, { signal })
      if (now === undefined || Buffer.compare(now.bytes, bytes) !== 0) throw error
      bucket.version = now.version
    }
    bucket.bytes = bytes
    this.#show(bucket, tokens)
  }

  #encode(tokens: readonly Assignment[]): Uint8Array {
    const { epoch, member } = this.#ruler
    return assignmentDocument.encode({ controller: epoch, by: member, tokens })
  }

  #show(bucket: Bucket, tokens: Map<string, Assignment>): void {
    const before = bucket.tokens
    bucket.tokens = tokens
    for (const { phase, log } of tokens.values()) if (phase !== 'gone') this.logs.add(log.address)
    for (const { phase, log } of before.values()) if (phase !== 'gone') this.logs.remove(log.address)
  }

  #bucket(name: string): Bucket {
    const known = this.#buckets.get(name)
    if (known !== undefined) return known
    const bucket: Bucket = {
      version: undefined,
      bytes: new Uint8Array(0),
      tokens: new Map(),
      tail: Promise.resolve(),
      next: undefined,
      writing: false,
    }
    this.#buckets.set(name, bucket)
    return bucket
  }
}

function isDamaged({ version, bytes }: Document, written: Bucket): boolean {
  return version === written.version && Buffer.compare(bytes, written.bytes) !== 0
}

/** The epoch of the controller that wrote a document. Where that can't be read, it counts as none if the document is known to be `damaged`. */
function controllerOf({ bytes, name }: Document, damaged: boolean): number {
  try {
    return assignmentDocument.decode(bytes, name).controller
  } catch (error) {
    if (damaged && isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) return 0
    throw error
  }
}

/** Another controller rules: this one must stop at once. */
export function deposed(): KagamiError {
  return new KagamiError(
    'KAGAMI_VERSION_CONFLICT',
    'the assignments were written by another controller; this one stops',
    { retryable: true },
  )
}
