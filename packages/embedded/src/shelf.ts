/**
 * One folder of a few versioned documents: each version is a file of its own, and the one of the greatest number counts. Writing is
 * giving a whole, synced file the next version's name, which the system lets exactly one do. So no writer ever waits for another.
 */
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { Document } from '@kagami/core/contract'
import { linkNew, makeFolder, namesIn, removeFile, syncFolder, writeNew } from './disk.js'
import { decodeDocument, encodeDocument } from './document-file.js'
import { codeOf, coordinatorError, isForbidden } from './errors.js'
import type { Folder } from './folder.js'
import { documentFile, documentName } from './names.js'
import { SharedLook } from './shared-look.js'

/**
 * So many versions of a document are kept. A version's name could be given a second time only by a writer that was frozen while so
 * many others were written; it is told that nothing is known.
 */
const kept = 3

/** Two changes of a folder that are closer to each other than this may have left the same time on it. */
const timeGrainMs = 2_000

/**
 * Told whenever a version is found that is damaged, or that this process may not read: another state counts in its place. `known`: it was told of before.
 * Where nobody is told, that is an error.
 */
export type OnDamage = (name: string, error: unknown, known: boolean) => void

/** The versions of each document that are there, ascending, by the document's file name. */
type Versions = ReadonlyMap<string, readonly number[]>

export class Shelf {
  readonly #folder: string
  readonly #home: Folder
  readonly #onDamage: OnDamage | undefined
  /** The newest of all documents, as they were seen last. */
  #newest: ReadonlyMap<string, Document> = new Map()
  /** What was given in the place of documents that are damaged, or may not be read. They may be mended, which their folder does not tell. */
  readonly #standIns = new WeakSet<Document>()
  /** The last of them, by name. */
  readonly #lastStandIns = new Map<string, Document>()
  /** The versions that damage was told of last, by name. */
  readonly #toldDamages = new Map<string, number>()
  /** The folder that they were seen in: another one of the same name begins with the same versions. */
  #seenIn: FolderState = nowhere
  /** The folder's time tells whether anything has changed since. */
  #settled = false
  /** Somebody has told of a change since. */
  #told = true
  /** Of which folder it is known that its own name is durable. */
  #durable = ''
  readonly #versions = new SharedLook(() => this.#lookIn())
  readonly #lists = new SharedLook(() => this.#list())

  constructor(folder: string, home: Folder, onDamage: OnDamage | undefined) {
    this.#folder = folder
    this.#home = home
    this.#onDamage = onDamage
  }

  async read(name: string): Promise<Document | undefined> {
    const file = documentFile(name)!
    for (;;) {
      const versions = (await this.#versions.ask()).get(file)
      if (versions === undefined) return undefined
      const document = await this.#load(name, versions)
      // Gone: newer ones have been written since the folder was listed.
      if (document !== undefined) return document
    }
  }

  /** The new version; undefined when the document's is not the expected one, and nothing was written. */
  async write(name: string, bytes: Uint8Array, expected: number | undefined): Promise<number | undefined> {
    const file = documentFile(name)!
    if ((await this.#versions.ask()).get(file)?.at(-1) !== expected) return undefined
    const version = (expected ?? 0) + 1
    if (!(await this.#give(name, version, bytes))) return undefined
    const versions = (await this.#versions.ask()).get(file) ?? []
    // From here on it was written: what fails now is only that nobody can tell what has become of it.
    if ((versions.at(-1) ?? version) >= version + kept) {
      throw new KagamiError(
        'KAGAMI_COORDINATOR_UNAVAILABLE',
        `document ${name} was written by others in the meantime: read it again`,
        {
          retryable: true,
        },
      )
    }
    await this.#removeOld(file, versions, version)
    return version
  }

  /**
   * Writes a document anew, under its next version, where the newest is damaged and this process has seen it whole. False where there is nothing to mend, or
   * another was faster.
   */
  async mend(name: string): Promise<boolean> {
    const seen = this.#newest.get(name)
    if (seen === undefined || this.#held(name, seen.version) === undefined) return false
    const { version, bytes } = seen
    if (!(await this.#isDamaged(name, version))) return false
    // No other way than a write: where a newer one has been written since, this is given no name.
    return this.#give(name, version + 1, bytes)
  }

  /** The folder has changed. */
  told(): void {
    this.#told = true
  }

  /** All documents, as of now. One that has not changed is the same object as before. */
  list(): Promise<ReadonlyMap<string, Document>> {
    return this.#lists.ask()
  }

  /** All documents as they were seen last, unless something has changed of which somebody has told, or, where `thorough`, of which the folder itself tells. */
  async changed(thorough: boolean): Promise<ReadonlyMap<string, Document>> {
    if (this.#told) return this.list()
    // It began after the last that was told.
    if (this.#lists.running !== undefined) return this.#lists.running
    if (!thorough) return this.#newest
    if (!this.#settled || this.#showsStandIn()) return this.list()
    const state = stateOf(this.#folder)
    const same = state.identity === this.#seenIn.identity && state.changedMs === this.#seenIn.changedMs
    return same ? this.#newest : this.list()
  }

  async #list(): Promise<ReadonlyMap<string, Document>> {
    for (;;) {
      // Before the look, so that what changes during it is looked for again.
      this.#told = false
      const atMs = Date.now()
      const state = stateOf(this.#folder)
      try {
        const documents = await this.#loadAll(await this.#versions.ask(), state.identity === this.#seenIn.identity)
        if (documents === undefined) continue
        this.#newest = documents
        this.#seenIn = state
        this.#settled = state.changedMs < atMs - timeGrainMs
        return documents
      } catch (error) {
        this.#told = true
        throw error
      }
    }
  }

  /** Gives the version its name, durably. False where another was faster. */
  async #give(name: string, version: number, bytes: Uint8Array): Promise<boolean> {
    const scratch = this.#home.scratch()
    const path = this.#path(name, version)
    try {
      await this.#restoring(() => writeNew(scratch, encodeDocument(name, version, bytes)))
      const won = await this.#restoring(() => linkNew(scratch, path))
      await removeFile(scratch)
      if (won) {
        await syncFolder(this.#folder)
        await this.#makeDurable()
      }
      return won
    } catch (error) {
      await removeFile(scratch).catch(() => undefined)
      throw coordinatorError(this.#folder, error)
    }
  }

  /** Folders are missing before the first document, and where somebody has deleted them while processes run. */
  async #restoring<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      await this.#home.restore()
      await makeFolder(this.#folder)
      return task()
    }
  }

  /** Another process may have made this folder, and the one that it is in, just now, and not synced their names yet. */
  async #makeDurable(): Promise<void> {
    const { identity } = stateOf(this.#folder)
    if (identity === this.#durable) return
    await syncFolder(dirname(this.#folder))
    await syncFolder(dirname(dirname(this.#folder)))
    this.#durable = identity
  }

  /** Undefined where one of them is gone: newer ones have been written since the folder was listed. */
  async #loadAll(versions: Versions, sameFolder: boolean): Promise<ReadonlyMap<string, Document> | undefined> {
    const documents = new Map<string, Document>()
    for (const [file, numbers] of versions) {
      const version = numbers.at(-1)!
      const name = documentName(file)
      let document = sameFolder ? this.#newest.get(name) : undefined
      if (document?.version !== version || this.#standIns.has(document)) document = await this.#load(name, numbers)
      if (document === undefined) return undefined
      documents.set(name, document)
    }
    return documents
  }

  /**
   * The newest version; undefined where it is gone. What a damaged one held is lost to whoever has not seen it whole, and what this process may not read to it, so
   * the newest whole one before it counts in its place, or none of its bytes, if that is allowed: what needs them fails, and can be written anew.
   */
  async #load(name: string, versions: readonly number[]): Promise<Document | undefined> {
    const version = versions.at(-1)!
    let damage: unknown
    for (const number of versions.toReversed()) {
      try {
        const bytes = await this.#bytesOf(name, number)
        if (bytes === undefined && damage === undefined) return undefined
        if (bytes === undefined) continue
        if (damage !== undefined) return this.#standIn({ name, version, bytes })
        return { name, version, bytes }
      } catch (error) {
        const bearable = isKagamiError(error, 'KAGAMI_BAD_DOCUMENT') || isForbidden(error)
        if (!bearable || this.#onDamage === undefined) throw error
        if (number === version) {
          this.#tell(name, version, error)
          const whole = this.#held(name, version)
          if (whole !== undefined) return whole
        }
        damage ??= error
      }
    }
    return this.#standIn({ name, version, bytes: new Uint8Array(0) })
  }

  /** A version as this process has seen it whole, in this very folder: what a version holds never changes. */
  #held(name: string, version: number): Document | undefined {
    const document = this.#newest.get(name)
    if (document?.version !== version || this.#standIns.has(document)) return undefined
    return stateOf(this.#folder).identity === this.#seenIn.identity ? document : undefined
  }

  async #isDamaged(name: string, version: number): Promise<boolean> {
    try {
      await this.#bytesOf(name, version)
      return false
    } catch (error) {
      if (isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) return true
      throw error
    }
  }

  #tell(name: string, version: number, damage: unknown): void {
    const known = this.#toldDamages.get(name) === version
    this.#toldDamages.set(name, version)
    this.#onDamage?.(name, damage, known)
  }

  /** The same object as before, where nothing has changed. */
  #standIn(document: Document): Document {
    const before = this.#lastStandIns.get(document.name)
    if (before?.version === document.version && Buffer.compare(before.bytes, document.bytes) === 0) return before
    this.#standIns.add(document)
    this.#lastStandIns.set(document.name, document)
    return document
  }

  #showsStandIn(): boolean {
    return this.#lastStandIns.size > 0 && [...this.#newest.values()].some((document) => this.#standIns.has(document))
  }

  async #bytesOf(name: string, version: number): Promise<Uint8Array | undefined> {
    const path = this.#path(name, version)
    try {
      return decodeDocument(path, name, version, await readFile(path))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw coordinatorError(path, error)
    }
  }

  #path(name: string, version: number): string {
    return join(this.#folder, `${documentFile(name)!}@${version}`)
  }

  async #lookIn(): Promise<Versions> {
    try {
      return versionsIn((await namesIn(this.#folder)) ?? [])
    } catch (error) {
      throw coordinatorError(this.#folder, error)
    }
  }

  async #removeOld(file: string, versions: readonly number[], version: number): Promise<void> {
    for (const old of versions) {
      if (old > version - kept) continue
      // Litter at worst: the next writer tries again.
      await removeFile(join(this.#folder, `${file}@${old}`)).catch(() => undefined)
    }
  }
}

/** Which folder it is, and when something in it was changed last. */
interface FolderState {
  readonly identity: string
  readonly changedMs: number
}

const nowhere: FolderState = { identity: '', changedMs: 0 }

/**
 * Synchronous: it is asked of dozens of folders twice a second, for which the system has the answer in memory, and a way through the thread pool costs
 * twenty times as much.
 */
function stateOf(folder: string): FolderState {
  try {
    const found = statSync(folder, { throwIfNoEntry: false })
    return found === undefined ? nowhere : { identity: `${found.ino} ${found.birthtimeMs}`, changedMs: found.mtimeMs }
  } catch {
    // What it is that can't be looked at, a look tells.
    return nowhere
  }
}

function versionsIn(names: readonly string[]): Versions {
  const versions = new Map<string, number[]>()
  for (const entry of names) {
    const at = entry.indexOf('@')
    const number = Number(entry.slice(at + 1))
    // Whatever else lies here was not put here by these documents.
    if (at < 1 || !Number.isSafeInteger(number) || number < 1 || entry !== `${entry.slice(0, at)}@${number}`) continue
    const file = entry.slice(0, at)
    const known = versions.get(file)
    if (known === undefined) versions.set(file, [number])
    else known.push(number)
  }
  for (const numbers of versions.values()) numbers.sort((a, b) => a - b)
  return versions
}
