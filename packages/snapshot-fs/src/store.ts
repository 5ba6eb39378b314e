/**
 * The store in a folder: one folder per token, one file per snapshot. This file holds the life of the store and the calls of the
 * contract; the bytes, the publishing and the clearing up are elsewhere.
 */
import { join } from 'node:path'
import { badOption, isKagamiError, KagamiError } from '@kagami/core/contract'
import type { AdapterContext, CallOptions, SnapshotMeta, SnapshotRef, SnapshotStore } from '@kagami/core/contract'
import { beginCall, orAborted } from './call.js'
import type { Call } from './call.js'
import { errorCode, inStore, nodeFileSystem, storeError, syncFolder } from './file-system.js'
import type { FileHandle, FileSystem } from './file-system.js'
import type { Sweeper } from './litter.js'
import { folderName, isSnapshotFileName, isSnapshotId, snapshotFileName } from './names.js'
import { checkOptions } from './options.js'
import type { CheckedOptions, FsSnapshotStoreOptions } from './options.js'
import { prepare } from './prepare.js'
import { publish } from './publish.js'
import { readBlob, readHeaderOf, readRef } from './read.js'
import { thisWriter } from './writer.js'

/** How long an aborted `create` may take to clear up before its caller is told. */
const CLEAR_UP_MS = 1000

/** Makes a store of snapshots in a folder. Does no I/O before `start`. @throws KAGAMI_BAD_OPTION */
export function fsSnapshotStore(options: FsSnapshotStoreOptions): SnapshotStore {
  return new FsSnapshotStore(options)
}

type Started = Omit<Sweeper, 'signal'>

export class FsSnapshotStore implements SnapshotStore {
  readonly name = 'fs'
  readonly #options: CheckedOptions
  readonly #fileSystem: FileSystem
  readonly #stop = new AbortController()
  /** Calls that have not settled. As many as the callers have begun. */
  readonly #calls = new Set<Promise<unknown>>()
  #starting = false
  #started: Started | undefined

  constructor(options: FsSnapshotStoreOptions, fileSystem: FileSystem = nodeFileSystem) {
    this.#options = checkOptions(options)
    this.#fileSystem = fileSystem
  }

  async start(context: AdapterContext): Promise<void> {
    this.#stop.signal.throwIfAborted()
    if (this.#starting || this.#started !== undefined) {
      throw badOption('snapshots', 'a store that is in use', 'a store of its own for every node: make one per node')
    }
    this.#starting = true
    try {
      const started = {
        fileSystem: this.#fileSystem,
        root: join(this.#options.dir, folderName(context.cluster)),
        writer: await thisWriter(),
        litterAgeMs: this.#options.litterAgeMs,
        logger: context.logger,
      }
      const { dir, mustExist } = this.#options
      if (!mustExist) await this.#call(context.signal, (signal) => prepare({ ...started, signal }, dir))
      this.#started = started
    } finally {
      this.#starting = false
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort(
      new KagamiError(
        'KAGAMI_STOPPED',
        'the snapshot store is stopped: start a new one, or send the call to another node',
      ),
    )
    await Promise.allSettled(this.#calls)
  }

  async create(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>, options: CallOptions): Promise<SnapshotRef> {
    const started = this.#ready()
    if (!isSnapshotId(meta.id)) {
      throw badOption('meta.id', meta.id, 'one to 200 letters, digits, "-", "_" and "."')
    }
    if (typeof meta.token !== 'string') throw badOption('meta.token', meta.token, 'a string')
    let abandoned = false
    const work = (signal: AbortSignal) => publish({ ...started, meta, chunks, signal, abandoned: () => abandoned })
    try {
      return { meta, bytes: await this.#call(options.signal, work, CLEAR_UP_MS) }
    } finally {
      abandoned = true
    }
  }

  async list(token: string, options: CallOptions): Promise<readonly SnapshotRef[]> {
    const started = this.#ready()
    return this.#call(options.signal, async (signal) => {
      const refs = await readRefs(started, token, signal)
      return refs.sort(newestFirst)
    })
  }

  async *open(token: string, id: string, options: CallOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const started = this.#ready()
    const call = beginCall(options.signal, this.#stop.signal)
    let handle: FileHandle | undefined
    // A reader that waits at a chunk must not keep the file open after the end.
    const close = () => void handle?.close().catch(() => undefined)
    try {
      call.signal.throwIfAborted()
      handle = await openFile(started, token, id, call)
      call.signal.addEventListener('abort', close, { once: true })
      const file = snapshotFile(started, token, id)
      const header = await orAborted(
        inStore(`read ${file}`, () => readHeaderOf(handle!, token, id)),
        call.signal,
      )
      if (header === undefined) throw missing(token, id)
      yield* readBlob(handle, file, header, call.signal)
    } finally {
      call.signal.removeEventListener('abort', close)
      call.end()
      // After an abort a read may hang; the file is closed when that ends.
      if (call.signal.aborted) close()
      else await handle?.close().catch(() => undefined)
    }
  }

  async delete(token: string, id: string, options: CallOptions): Promise<void> {
    const started = this.#ready()
    return this.#call(options.signal, () => remove(started, token, id))
  }

  #ready(): Started {
    this.#stop.signal.throwIfAborted()
    if (this.#started === undefined) {
      throw new KagamiError('KAGAMI_NOT_STARTED', 'the snapshot store is not started: await start() first')
    }
    return this.#started
  }

  async #call<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>, graceMs = 0): Promise<T> {
    const scope = beginCall(outer, this.#stop.signal)
    const { signal } = scope
    try {
      signal.throwIfAborted()
      const call = orAborted(work(signal), signal, graceMs)
      this.#calls.add(call)
      return await call.finally(() => this.#calls.delete(call))
    } finally {
      scope.end()
    }
  }
}

function snapshotFile({ root }: Started, token: string, id: string): string {
  return join(root, folderName(token), snapshotFileName(id))
}

async function readRefs(started: Started, token: string, signal: AbortSignal): Promise<SnapshotRef[]> {
  const { fileSystem, root, logger } = started
  const folder = join(root, folderName(token))
  let names: string[]
  try {
    names = await fileSystem.readdir(folder)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw storeError(error, `list ${folder}`)
    await mustBeThere(started)
    return []
  }
  const refs: SnapshotRef[] = []
  let failure: unknown
  for (const name of names.filter(isSnapshotFileName)) {
    signal.throwIfAborted()
    const file = join(folder, name)
    try {
      const ref = await readRef(fileSystem, file)
      if (ref.meta.token === token && snapshotFileName(ref.meta.id) === name) refs.push(ref)
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOENT') continue
      if (code !== 'EIO' && code !== 'EISDIR' && !isKagamiError(error, 'KAGAMI_SNAPSHOT_CORRUPT')) {
        throw storeError(error, `read ${file}`)
      }
      if (code === 'EIO') failure = error
      logger.warn('left a snapshot out of the list: its header can not be read', { token, file, error })
    }
  }
  // A damaged place on a disk costs one snapshot. When not one could be read, the store is what failed.
  if (failure !== undefined && refs.length === 0) throw storeError(failure, `read the snapshots in ${folder}`)
  return refs
}

function newestFirst({ meta: a }: SnapshotRef, { meta: b }: SnapshotRef): number {
  return b.incarnation - a.incarnation || b.nextIndex - a.nextIndex || (a.id < b.id ? 1 : -1)
}

async function openFile(started: Started, token: string, id: string, { signal }: Call): Promise<FileHandle> {
  if (!isSnapshotId(id)) throw missing(token, id)
  const file = snapshotFile(started, token, id)
  const opening = started.fileSystem.open(file, 'r')
  try {
    return await orAborted(opening, signal)
  } catch (error) {
    if (signal.aborted) opening.then((handle) => handle.close()).catch(() => undefined)
    if (errorCode(error) !== 'ENOENT') throw storeError(error, `open ${file}`)
    await orAborted(mustBeThere(started), signal)
    throw missing(token, id)
  }
}

async function remove(started: Started, token: string, id: string): Promise<void> {
  if (!isSnapshotId(id)) return
  const { fileSystem, root } = started
  const folder = join(root, folderName(token))
  const file = join(folder, snapshotFileName(id))
  try {
    const { meta } = await readRef(fileSystem, file)
    if (meta.token !== token || meta.id !== id) return
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return mustBeThere(started)
    // A damaged file has the name of this snapshot: it is the one to delete.
  }
  await inStore(`delete ${file}`, async () => {
    await fileSystem.unlink(file).catch(ignoreMissing)
    await syncFolder(fileSystem, folder).catch(ignoreMissing)
  })
  // Fails, and is meant to, while the token has other files.
  await fileSystem.rmdir(folder).catch(() => undefined)
}

/** An unmounted file system must not look like an empty one. */
async function mustBeThere({ fileSystem, root }: Started): Promise<void> {
  await inStore(`find the folder ${root}`, () => fileSystem.stat(root))
}

function ignoreMissing(error: unknown): void {
  if (errorCode(error) !== 'ENOENT') throw error
}

function missing(token: string, id: string): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_MISSING',
    `token ${JSON.stringify(token)} has no snapshot ${id}: list them again`,
    {
      details: { token, id },
    },
  )
}
