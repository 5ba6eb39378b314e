/**
 * What the coordinator's documents say, as was last heard: specs and assignments of all tokens, and who wrote these. Only reads; a
 * document that vanishes (a wiped coordinator) is forgotten, but tells nobody to drop anything.
 */
import { isDeepStrictEqual } from 'node:util'
import { isKagamiError, orAborted, type Document, type KagamiError, type Session } from '../contract/index.js'
import { assignmentDocument, bucketOf, specDocument, type Assignment, type Spec } from '../engine/documents.js'
import { keepWatching } from './membership.js'
import type { Settings } from './options.js'

type Seams = Pick<Settings<never, never>['seams'], 'clock' | 'random' | 'logger'>

export class Directory {
  readonly #seams: Seams
  readonly #onChange: (tokens: ReadonlySet<string>) => void
  readonly #specs = new DocumentTable<Spec>((bytes, name) => specDocument.decode(bytes, name).tokens)
  readonly #assignments = new DocumentTable<Assignment>((bytes, name) => {
    const { controller, by, tokens } = assignmentDocument.decode(bytes, name)
    this.#writers.set(name, { epoch: controller, member: by })
    return tokens
  })
  /** By document: the controller that wrote it last. */
  readonly #writers = new Map<string, { readonly epoch: number; readonly member: string | undefined }>()
  #loaded = { specs: false, assignments: false }
  /** Conditions that are waited for, by the token that they are about; undefined: about any. */
  readonly #waiters = new Map<string | undefined, Set<() => void>>()

  constructor(seams: Seams, onChange: (tokens: ReadonlySet<string>) => void) {
    this.#seams = seams
    this.#onChange = onChange
  }

  spec(token: string): Spec | undefined {
    return this.#specs.get(token)
  }

  assignment(token: string): Assignment | undefined {
    return this.#assignments.get(token)
  }

  /**
   * Whether the document that a token's spec stands in has lost its bytes: what is known of it was heard before. One of a newer format is whole: whoever
   * has written it can read it.
   */
  isDamaged(token: string): boolean {
    return isKagamiError(this.#specs.unreadable.get(`specs/${bucketOf(token)}`), 'KAGAMI_BAD_DOCUMENT')
  }

  assignments(): IterableIterator<Assignment> {
    return this.#assignments.values()
  }

  specs(): IterableIterator<Spec> {
    return this.#specs.values()
  }

  /**
   * The member that wrote assignments as the newest controller; undefined where nothing was assigned yet. It may be over: a new controller is seen
   * here once it has taken the documents over.
   */
  get controller(): string | undefined {
    let newest: { readonly epoch: number; readonly member: string | undefined } | undefined
    for (const writer of this.#writers.values())
      if (newest === undefined || writer.epoch > newest.epoch) newest = writer
    return newest?.member
  }

  /** Whether both kinds were read over the present session. */
  get loaded(): boolean {
    return this.#loaded.specs && this.#loaded.assignments
  }

  /** Follows the documents for one session. */
  async follow(session: Session, signal: AbortSignal): Promise<void> {
    this.#loaded = { specs: false, assignments: false }
    await Promise.all([
      this.#followPrefix(session, 'specs', this.#specs, signal),
      this.#followPrefix(session, 'assignments', this.#assignments, signal),
    ])
  }

  /**
   * Resolves when `condition` holds, or rejects with what it throws, or the signal's reason. It is asked now and after every change of `token`, or of
   * anything where that is undefined: thousands may wait, and each change concerns few of them.
   */
  async until(token: string | undefined, condition: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    if (condition()) return
    let ask: () => void = () => undefined
    const asked = this.#waiters.get(token) ?? new Set()
    this.#waiters.set(token, asked)
    const holds = new Promise<void>((resolve, reject) => {
      ask = () => {
        try {
          if (condition()) resolve()
        } catch (error) {
          reject(error)
        }
      }
      asked.add(ask)
    })
    try {
      await orAborted(holds, signal)
    } finally {
      asked.delete(ask)
      if (asked.size === 0 && this.#waiters.get(token) === asked) this.#waiters.delete(token)
    }
  }

  /** Makes `until` ask again, for conditions that depend on more than documents: those about these tokens, or all. */
  nudge(tokens?: Iterable<string>): void {
    for (const token of [...(tokens ?? this.#waiters.keys())]) if (token !== undefined) this.#ask(token)
    this.#ask(undefined)
  }

  #ask(token: string | undefined): void {
    for (const ask of [...(this.#waiters.get(token) ?? [])]) ask()
  }

  async #followPrefix(
    session: Session,
    kind: 'specs' | 'assignments',
    table: DocumentTable<Spec> | DocumentTable<Assignment>,
    signal: AbortSignal,
  ): Promise<void> {
    const { logger } = this.#seams
    await keepWatching(
      () => session.watch(`${kind}/`, { signal }),
      (documents) => {
        const { controller } = this
        const changed = table.update(documents, (name, error) =>
          logger.error(`the document ${name} can't be read; keeping what it held before`, { error }),
        )
        if (kind === 'assignments')
          for (const name of this.#writers.keys()) if (!documents.has(name)) this.#writers.delete(name)
        this.#loaded = { ...this.#loaded, [kind]: true }
        if (changed.size > 0 || this.controller !== controller) this.#onChange(changed)
        this.nudge(changed)
      },
      { ...this.#seams, signal, what: kind },
    )
  }
}

/** Entries by token, kept in step with the documents that hold them. */
export class DocumentTable<T extends { readonly token: string }> {
  readonly #decode: (bytes: Uint8Array, name: string) => readonly T[]
  #documents: ReadonlyMap<string, Document> = new Map()
  readonly #byDocument = new Map<string, readonly T[]>()
  readonly #byToken = new Map<string, T>()
  readonly #unreadable = new Map<string, KagamiError>()

  constructor(decode: (bytes: Uint8Array, name: string) => readonly T[]) {
    this.#decode = decode
  }

  get(token: string): T | undefined {
    return this.#byToken.get(token)
  }

  values(): IterableIterator<T> {
    return this.#byToken.values()
  }

  /** The documents that can't be read, by name, and why. */
  get unreadable(): ReadonlyMap<string, KagamiError> {
    return this.#unreadable
  }

  /** Takes the present documents and gives the tokens whose entries may have changed. */
  update(documents: ReadonlyMap<string, Document>, onBad: (name: string, error: unknown) => void): Set<string> {
    const changed = new Set<string>()
    for (const name of this.#documents.keys()) {
      if (!documents.has(name)) this.#replace(name, [], changed)
    }
    for (const [name, document] of documents) {
      if (this.#documents.get(name) === document) continue
      try {
        this.#replace(name, this.#decode(document.bytes, name), changed)
      } catch (error) {
        if (!isKagamiError(error)) throw error
        this.#unreadable.set(name, error)
        onBad(name, error)
      }
    }
    this.#documents = documents
    return changed
  }

  /** An entry that says what it said before stays the same: a controller that is new rewrites every document, and few of their entries change. */
  #replace(name: string, entries: readonly T[], changed: Set<string>): void {
    this.#unreadable.delete(name)
    const before = new Map(this.#byDocument.get(name)?.map((entry) => [entry.token, entry]))
    const now = entries.map((entry) => {
      const known = before.get(entry.token)
      return isDeepStrictEqual(known, entry) ? (known as T) : entry
    })
    const kept = new Set(now)
    for (const [token, entry] of before) {
      if (kept.has(entry)) continue
      this.#byToken.delete(token)
      changed.add(token)
    }
    for (const entry of now) {
      if (this.#byToken.get(entry.token) === entry) continue
      this.#byToken.set(entry.token, entry)
      changed.add(entry.token)
    }
    this.#byDocument.set(name, now)
  }
}
