/**
 * Versioned documents in a folder: each version is a file of its own, and the one of the greatest number counts. Writing is
 * giving a whole, synced file the next version's name, which the system lets exactly one do. So no writer ever waits for another.
 */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { badOption, KagamiError } from '@kagami/core/contract'
import type { Document } from '@kagami/core/contract'
import { linkNew, namesIn, removeFile, syncFolder, writeNew } from './disk.js'
import { codeOf, coordinatorError } from './errors.js'
import type { Folder } from './folder.js'
import { Gate } from './gate.js'
import { documentFile, documentName } from './names.js'

const magic = Buffer.from('KGMDOC1\n', 'latin1')
const headerBytes = 32

/**
 * So many versions of a document are kept. A version's name could be given a second time only by a writer that was frozen while so
 * many others were written; it is told that nothing is known.
 */
const kept = 3

/** A look that follows another one at once waits for as long as that took, but no longer than this: under a stream of changes half of the time is left. */
const longestPauseMs = 50

/** So many are read or written at once. A thousand of them would keep the session's beats waiting for a thread until it expires. */
const atOnce = 8

/** The versions of each document that are there, ascending, by the document's file name. */
type Versions = ReadonlyMap<string, readonly number[]>

export class Documents {
  readonly #folder: string
  readonly #home: Folder
  /** Which folder the cache is of: another one of the same name begins with the same versions. */
  #cacheOf = ''
  /** The newest of each document, as it was read last, for as long as somebody watches. */
  readonly #cache = new Map<string, Document>()
  readonly #gate = new Gate(atOnce)
  #looking: Promise<Versions> | undefined
  #lookNext: Promise<Versions> | undefined
  /** When the last look ended, and how long it took. */
  #looked = { atMs: -Infinity, tookMs: 0 }

  constructor(folder: string, home: Folder) {
    this.#folder = folder
    this.#home = home
  }

  /** Nobody watches any more. */
  forget(): void {
    this.#cache.clear()
  }

  async read(name: string): Promise<Document | undefined> {
    const file = fileOf(name)
    return this.#gate.run(() => this.#read(name, file))
  }

  async #read(name: string, file: string): Promise<Document | undefined> {
    for (;;) {
      const version = (await this.#look()).get(file)?.at(-1)
      if (version === undefined) return undefined
      const document = await this.#load(name, file, version)
      // Gone: newer ones have been written since the folder was listed.
      if (document !== undefined) return document
    }
  }

  /** The new version; undefined when the document's is not the expected one, and nothing was written. */
  async write(name: string, bytes: Uint8Array, expected: number | undefined): Promise<number | undefined> {
    const file = fileOf(name)
    return this.#gate.run(() => this.#write(name, file, bytes, expected))
  }

  async #write(
    name: string,
    file: string,
    bytes: Uint8Array,
    expected: number | undefined,
  ): Promise<number | undefined> {
    if ((await this.#look()).get(file)?.at(-1) !== expected) return undefined
    const version = (expected ?? 0) + 1
    const scratch = this.#home.scratch()
    try {
      await writeNew(scratch, encode(name, version, bytes)).catch(async (error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error
        await this.#home.restore()
        await writeNew(scratch, encode(name, version, bytes))
      })
      const won = await linkNew(scratch, join(this.#folder, `${file}@${version}`)).catch(async (error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error
        await this.#home.restore()
        return linkNew(scratch, join(this.#folder, `${file}@${version}`))
      })
      await removeFile(scratch)
      if (!won) return undefined
      await syncFolder(this.#folder)
    } catch (error) {
      await removeFile(scratch).catch(() => undefined)
      throw coordinatorError(this.#folder, error)
    }
    const versions = (await this.#look()).get(file) ?? []
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

  /** All documents whose name begins with `prefix`, by name. One that has not changed is the same object as before. */
  async list(prefix: string): Promise<ReadonlyMap<string, Document>> {
    const filePrefix = prefix === '' ? '' : fileOf(prefix)
    await this.#pause()
    for (;;) {
      const versions = new Map<string, number>()
      await this.#checkCache()
      for (const [file, numbers] of await this.#look()) {
        const newest = numbers.at(-1)
        if (newest !== undefined && file.startsWith(filePrefix)) versions.set(documentName(file), newest)
      }
      const documents = await this.#loadAll(versions)
      if (documents !== undefined) return documents
    }
  }

  async #checkCache(): Promise<void> {
    const { ino, birthtimeMs } = await stat(this.#folder).catch(() => ({ ino: 0, birthtimeMs: 0 }))
    const of = `${ino} ${birthtimeMs}`
    if (of !== this.#cacheOf) this.#cache.clear()
    this.#cacheOf = of
  }

  async #loadAll(versions: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, Document> | undefined> {
    const documents = new Map<string, Document>()
    for (const name of [...versions.keys()].sort()) {
      const version = versions.get(name)!
      let document = this.#cache.get(name)
      if (document?.version !== version) {
        document = await this.#load(name, fileOf(name), version)
        if (document === undefined) return undefined
        this.#cache.set(name, document)
      }
      documents.set(name, document)
    }
    return documents
  }

  async #load(name: string, file: string, version: number): Promise<Document | undefined> {
    const path = join(this.#folder, `${file}@${version}`)
    let bytes: Buffer
    try {
      bytes = await readFile(path)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw coordinatorError(path, error)
    }
    return { name, version, bytes: decode(path, name, version, bytes) }
  }

  /** What is in the folder. Many ask at once after each change: those who come during a look share the next one, which begins after they came. */
  #look(): Promise<Versions> {
    if (this.#looking === undefined) return this.#begin()
    this.#lookNext ??= this.#looking.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#lookNext
  }

  #begin(): Promise<Versions> {
    this.#lookNext = undefined
    const look = this.#list().finally(() => {
      if (this.#looking === look) this.#looking = undefined
    })
    this.#looking = look
    return look
  }

  async #list(): Promise<Versions> {
    const startedMs = performance.now()
    try {
      return versionsIn((await namesIn(this.#folder)) ?? [])
    } catch (error) {
      throw coordinatorError(this.#folder, error)
    } finally {
      const atMs = performance.now()
      this.#looked = { atMs, tookMs: atMs - startedMs }
    }
  }

  async #pause(): Promise<void> {
    const { atMs, tookMs } = this.#looked
    const leftMs = atMs + Math.min(tookMs, longestPauseMs) - performance.now()
    if (leftMs > 1) await new Promise((resolve) => setTimeout(resolve, leftMs))
  }

  async #removeOld(file: string, versions: readonly number[], version: number): Promise<void> {
    for (const old of versions) {
      if (old > version - kept) continue
      // Litter at worst: the next writer tries again.
      await removeFile(join(this.#folder, `${file}@${old}`)).catch(() => undefined)
    }
  }
}

function fileOf(name: string): string {
  const file = documentFile(name)
  if (file === undefined) {
    throw badOption(
      'name',
      name,
      'letters, digits, `-`, `_`, `.` and `/`, at most 230 of them, each capital counting twice',
    )
  }
  return file
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

/** magic 8 · version 8 · CRC of the name 4 · length 4 · CRC of the bytes 4 · CRC of the header 4 · bytes */
function encode(name: string, version: number, bytes: Uint8Array): Buffer {
  const file = Buffer.alloc(headerBytes + bytes.byteLength)
  file.set(magic, 0)
  file.writeBigUInt64LE(BigInt(version), 8)
  file.writeUInt32LE(crc32(name), 16)
  file.writeUInt32LE(bytes.byteLength, 20)
  file.writeUInt32LE(crc32(bytes), 24)
  file.writeUInt32LE(crc32(file.subarray(0, 28)), 28)
  file.set(bytes, headerBytes)
  return file
}

/** @throws KAGAMI_BAD_DOCUMENT */
function decode(path: string, name: string, version: number, file: Buffer): Uint8Array {
  const bytes = file.subarray(headerBytes)
  const whole =
    file.byteLength >= headerBytes &&
    file.subarray(0, 8).equals(magic) &&
    crc32(file.subarray(0, 28)) === file.readUInt32LE(28) &&
    Number(file.readBigUInt64LE(8)) === version &&
    file.readUInt32LE(16) === crc32(name) &&
    file.readUInt32LE(20) === bytes.byteLength &&
    crc32(bytes) === file.readUInt32LE(24)
  if (!whole) {
    throw new KagamiError(
      'KAGAMI_BAD_DOCUMENT',
      `${path} is damaged: restore it from a backup, or remove it to lose the document`,
      {
        details: { path, name },
      },
    )
  }
  // A copy of its own: `readFile` may hand out a part of a shared pool.
  return new Uint8Array(bytes)
}
