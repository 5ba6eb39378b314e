/**
 * The few file operations that everything here is built on, with what each makes durable. Promises over callbacks: a
 * `FileHandle` costs twice as much per call. Never retries, never hides an error.
 */
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { takeAfter } from './access.js'
import { codeOf } from './errors.js'

export function write(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, 0, bytes.byteLength, null, (error, written) =>
      error === null ? resolve(written) : reject(error),
    )
  })
}

export function read(fd: number, into: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, 0, into.byteLength, position, (error, got) => (error === null ? resolve(got) : reject(error)))
  })
}

export function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
  })
}

export function openFile(path: string, flags: string | number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, 0o666, (error, fd) => (error === null ? resolve(fd) : reject(error)))
  })
}

export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve) => fs.close(fd, () => resolve()))
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const fd = await openFile(path, 'r')
  try {
    await new Promise<void>((resolve, reject) => fs.fsync(fd, (error) => (error === null ? resolve() : reject(error))))
  } finally {
    await closeFile(fd)
  }
}

/**
 * Writes a new file and makes its contents durable; its name is not durable yet. It can be used by whoever can use its folder. Leaves nothing behind
 * when it fails.
 */
export async function writeNew(path: string, bytes: Uint8Array, durable = true): Promise<void> {
  const fd = await openFile(path, 'wx')
  try {
    await takeAfter(dirname(path), fd)
    let done = 0
    while (done < bytes.byteLength) done += await write(fd, done === 0 ? bytes : bytes.subarray(done))
    if (durable) await sync(fd)
  } catch (error) {
    await removeFile(path).catch(() => undefined)
    throw error
  } finally {
    await closeFile(fd)
  }
}

/** Gives a file a second name. False where that name is taken: of many at once, exactly one is told true. */
export async function linkNew(path: string, name: string): Promise<boolean> {
  try {
    await fs.promises.link(path, name)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

export async function removeFile(path: string): Promise<void> {
  await new Promise<void>((resolve, reject) =>
    fs.unlink(path, (error) => (error === null || codeOf(error) === 'ENOENT' ? resolve() : reject(error))),
  )
}

/** Creates a folder that is not there, in one that is. It can be used by whoever can use the one above. */
export async function newFolder(path: string): Promise<void> {
  await fs.promises.mkdir(path)
  // By descriptor, and never through a link: whoever may write above could put one in its place, and root would give that away.
  const fd = await openFile(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW).catch(
    () => undefined,
  )
  if (fd === undefined) return
  await takeAfter(dirname(path), fd)
  await closeFile(fd)
}

/**
 * Creates a folder, and those above it where need be, each by `make`. Unlike `mkdir` with `recursive`, which calls a read-only file system
 * ENOENT, it rejects with the reason.
 */
export async function makeFolder(path: string, make: (path: string) => Promise<void> = newFolder): Promise<void> {
  try {
    await make(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && dirname(path) !== path) {
      await makeFolder(dirname(path), make)
      await makeFolder(path, make)
      return
    }
    if (codeOf(error) !== 'EEXIST' || !(await fs.promises.stat(path)).isDirectory()) throw error
  }
}

/** The names in a folder; undefined where there is no such folder. */
export async function namesIn(path: string): Promise<string[] | undefined> {
  try {
    return await fs.promises.readdir(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Moves a folder out of the way in one step, then deletes it at leisure. False where it is gone already. */
export async function removeFolder(path: string, away: string): Promise<boolean> {
  try {
    await fs.promises.rename(path, away)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
  await fs.promises.rm(away, { recursive: true, force: true })
  return true
}
