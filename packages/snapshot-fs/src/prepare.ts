/**
 * Makes the folder ready at start, and refuses one that could not keep what the store promises: a folder that can't be written or
 * synced, or has no hard links. Leaves nothing there but the folder.
 */
import { dirname, join } from 'node:path'
import { badOption } from '@kagami/core/contract'
import { errorCode, inStore, isFull, storeError, syncFolder } from './file-system.js'
import type { FileSystem } from './file-system.js'
import { sweepAll } from './litter.js'
import type { Sweeper } from './litter.js'
import { tempName } from './writer.js'

/** What a file system answers when it doesn't know an operation. */
const UNSUPPORTED = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EPERM', 'EISDIR', 'EMLINK'])

/** @throws KAGAMI_BAD_OPTION, KAGAMI_STORE_FULL, KAGAMI_STORE_UNAVAILABLE, or the signal's reason */
export async function prepare(sweeper: Sweeper, dir: string): Promise<void> {
  const { fileSystem, root, signal } = sweeper
  const created = await makeFolder(fileSystem, root, dir)
  signal.throwIfAborted()
  await syncFolders(fileSystem, root, dir, created)
  signal.throwIfAborted()
  const nowMs = await probe(sweeper, dir)
  signal.throwIfAborted()
  await sweepAll(sweeper, nowMs)
  signal.throwIfAborted()
}

/**
 * Gives the topmost folder that had to be made, if any. Makes one folder at a time: `recursive` reports a file system that is
 * read-only as a folder that is missing.
 */
async function makeFolder(fileSystem: FileSystem, folder: string, dir: string): Promise<string | undefined> {
  let created: string | undefined
  try {
    await fileSystem.mkdir(folder)
    return folder
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' || folder === dirname(folder)) return ifThere(fileSystem, folder, dir, error)
    created = await makeFolder(fileSystem, dirname(folder), dir)
  }
  try {
    await fileSystem.mkdir(folder)
    return created ?? folder
  } catch (error) {
    await ifThere(fileSystem, folder, dir, error)
    return created
  }
}

/** Returns where making a folder failed because it exists. */
async function ifThere(fileSystem: FileSystem, folder: string, dir: string, error: unknown): Promise<undefined> {
  const code = errorCode(error)
  if (code === 'ENOTDIR') throw badOption('dir', dir, `a folder; a part of the path ${folder} is a file`)
  if (code !== 'EEXIST') throw storeError(error, `make the folder ${folder}`)
  const found = await inStore(`look at ${folder}`, () => fileSystem.stat(folder))
  if (!found.isDirectory()) throw badOption('dir', dir, `a folder; ${folder} is a file`)
}

async function syncFolders(fileSystem: FileSystem, root: string, dir: string, created = root): Promise<void> {
  const folders = [root]
  // Up to the folder that the topmost new one stands in.
  for (let folder = root; folder.length >= created.length;) folders.push((folder = dirname(folder)))
  for (const folder of folders) {
    try {
      await syncFolder(fileSystem, folder)
    } catch (error) {
      const code = errorCode(error)
      if (code === undefined || !UNSUPPORTED.has(code)) throw storeError(error, `sync the folder ${folder}`)
      throw badOption(
        'dir',
        dir,
        `a folder that can be synced, so that what is published stays (fsync of ${folder}: ${code})`,
      )
    }
  }
  // Another node may have made `dir` just now and not have come to this. Where it is not ours to open, it was made long ago.
  await syncFolder(fileSystem, dirname(dir)).catch(() => undefined)
}

/** Tries what publishing needs. Gives the file system's present time; undefined where a full disk keeps it from telling. */
async function probe({ fileSystem, root, writer, logger }: Sweeper, dir: string): Promise<number | undefined> {
  const [file, other] = [join(root, tempName(writer)), join(root, tempName(writer))]
  try {
    const handle = await fileSystem.open(file, 'wx')
    let nowMs: number
    try {
      await handle.write(Buffer.of(0), 0, 1, 0)
      await handle.sync()
      nowMs = (await handle.stat()).mtimeMs
    } finally {
      await handle.close()
    }
    await probeLink(fileSystem, file, other, dir)
    return nowMs
  } catch (error) {
    // What is stored can still be read, so a node must be able to start: it has a state to restore.
    if (!isFull(error)) throw storeError(error, `write in ${root}`)
    logger.warn('the snapshot folder is full: snapshots can be read, but not taken, until there is room', {
      dir,
      error,
    })
    return undefined
  } finally {
    for (const name of [file, other]) await fileSystem.unlink(name).catch(() => undefined)
  }
}

async function probeLink(fileSystem: FileSystem, from: string, to: string, dir: string): Promise<void> {
  try {
    await fileSystem.link(from, to)
  } catch (error) {
    const code = errorCode(error)
    if (code === undefined || !UNSUPPORTED.has(code)) throw error
    throw badOption('dir', dir, `a folder on a file system with hard links, which publishing needs (link: ${code})`)
  }
  let replaced = true
  await fileSystem.link(from, to).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error
    replaced = false
  })
  if (!replaced) return
  throw badOption('dir', dir, 'a folder on a file system where a link never replaces a file')
}
