/**
 * The documents of a folder, by name. They lie in many small folders, by kind and by hash, so that a look for one, or for what has changed, costs little
 * however many there are.
 */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { badOption } from '@kagami/core/contract'
import type { Document } from '@kagami/core/contract'
import { namesIn } from './disk.js'
import { coordinatorError } from './errors.js'
import type { Folder } from './folder.js'
import { Following } from './following.js'
import { Gate } from './gate.js'
import { documentFile, kindFolder, kindOf, kindOfFolder } from './names.js'
import { Shelf } from './shelf.js'
import type { OnDamage } from './shelf.js'

/** So many are read or written at once. A thousand of them would keep the session's beats waiting for a thread until it expires. */
const atOnce = 16

/** The documents of each kind lie on so many shelves. */
const shelvesPerKind = 16

export class Documents {
  readonly #folder: string
  readonly #home: Folder
  readonly #onDamage: OnDamage | undefined
  readonly #gate = new Gate(atOnce)
  /** By kind, as far as they were asked for, heard of, or found. */
  readonly #kinds = new Map<string, readonly Shelf[]>()
  readonly #following = new Set<Following>()

  constructor(folder: string, home: Folder, onDamage?: OnDamage) {
    this.#folder = folder
    this.#home = home
    this.#onDamage = onDamage
  }

  async read(name: string): Promise<Document | undefined> {
    const shelf = this.#shelfOf(checked(name))
    return this.#gate.run(() => shelf.read(name))
  }

  /** The new version; undefined when the document's is not the expected one, and nothing was written. */
  async write(name: string, bytes: Uint8Array, expected: number | undefined): Promise<number | undefined> {
    const shelf = this.#shelfOf(checked(name))
    return this.#gate.run(() => shelf.write(name, bytes, expected))
  }

  /**
   * Follows the documents whose name begins with `prefix`, until it is ended.
   * @throws KAGAMI_BAD_OPTION
   */
  follow(prefix: string): Following {
    if (prefix !== '') checked(prefix)
    const following = new Following(prefix, {
      all: () => this.#gather(prefix, (shelf) => shelf.list()),
      changed: (thorough) => this.#gather(prefix, (shelf) => shelf.changed(thorough), thorough),
      ended: () => this.#following.delete(following),
    })
    this.#following.add(following)
    return following
  }

  /** Somebody has found a document damaged. Writes it anew where this process has seen it whole; false where it does not. */
  async mend(name: string): Promise<boolean> {
    if (documentFile(name) === undefined) return false
    const shelf = this.#shelfOf(name)
    return this.#gate.run(() => shelf.mend(name))
  }

  /** Somebody has written a document. */
  told(name: string): void {
    if (documentFile(name) === undefined) return
    this.#shelfOf(name).told()
    for (const following of this.#following) following.told(name)
  }

  async #gather(
    prefix: string,
    look: (shelf: Shelf) => Promise<ReadonlyMap<string, Document>>,
    everywhere = true,
  ): Promise<ReadonlyMap<string, Document>> {
    if (everywhere) await this.#findKinds()
    const kinds = [...this.#kinds].filter(([kind]) => kind.startsWith(prefix) || prefix.startsWith(kind))
    const lists = await Promise.all(kinds.flatMap(([, shelves]) => shelves).map(look))
    const found = lists.flatMap((list) => [...list]).filter(([name]) => name.startsWith(prefix))
    return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Another process may have written the first of a kind. */
  async #findKinds(): Promise<void> {
    let folders: string[] | undefined
    try {
      folders = await namesIn(this.#folder)
    } catch (error) {
      throw coordinatorError(this.#folder, error)
    }
    for (const folder of folders ?? []) {
      const kind = kindOfFolder(folder)
      if (kind !== undefined) this.#shelves(kind)
    }
  }

  #shelfOf(name: string): Shelf {
    return this.#shelves(kindOf(name))[crc32(name) % shelvesPerKind]!
  }

  #shelves(kind: string): readonly Shelf[] {
    let shelves = this.#kinds.get(kind)
    if (shelves === undefined) {
      const folder = join(this.#folder, kindFolder(kind))
      const shelf = (_: unknown, i: number): Shelf =>
        new Shelf(join(folder, i.toString(16)), this.#home, this.#onDamage)
      shelves = Array.from({ length: shelvesPerKind }, shelf)
      this.#kinds.set(kind, shelves)
    }
    return shelves
  }
}

function checked(name: string): string {
  if (documentFile(name) !== undefined) return name
  throw badOption(
    'name',
    name,
    'letters, digits, `-`, `_`, `.` and `/`, at most 230 of them, each capital counting twice',
  )
}
