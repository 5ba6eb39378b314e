/**
 * The part of node:fs that the store uses, as a seam: tests watch the order of its calls and make them fail. Also says
 * which error of the contract a failed call is. Never swallows an error.
 */
import fs from 'node:fs/promises'
import { KagamiError } from '@kagami/core/contract'

export type FileSystem = Pick<typeof fs, 'mkdir' | 'open' | 'link' | 'unlink' | 'rmdir' | 'readdir' | 'stat'>
export type FileHandle = fs.FileHandle

export const nodeFileSystem: FileSystem = fs

/** Makes the names in a folder durable. */
export async function syncFolder(fileSystem: FileSystem, folder: string): Promise<void> {
  const handle = await fileSystem.open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes all of `bytes`: a single call may write less, just before a disk is full. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done)
    if (bytesWritten === 0) throw Object.assign(new Error('a write stored nothing'), { code: 'EIO', syscall: 'write' })
    done += bytesWritten
  }
}

/** Fills `bytes` from `position` on; gives how many the file had. */
export async function readFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let done = 0
  while (done < bytes.byteLength) {
    const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** The code of a failed system call; undefined for any other error. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error)) return undefined
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : undefined
}

export function isFull(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** A failed system call as an error of the contract; any other error as it is. */
export function storeError(error: unknown, doing: string): unknown {
  const code = errorCode(error)
  if (code === undefined) return error
  if (isFull(error)) {
    return new KagamiError('KAGAMI_STORE_FULL', `no room to ${doing} (${code}): free space, or raise the quota`, {
      retryable: true,
      cause: error,
      details: { code },
    })
  }
  return new KagamiError('KAGAMI_STORE_UNAVAILABLE', `could not ${doing} (${code}): ${hint(code)}`, {
    retryable: true,
    cause: error,
    details: { code },
  })
}

/** Does `work`; what fails in the file system rejects as an error of the contract. */
export async function inStore<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeError(error, doing)
  }
}

function hint(code: string): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'give this process the right to read and write there'
    case 'EROFS':
      return 'mount the file system writable'
    case 'ENOTDIR':
      return 'a part of the path is a file: name a folder'
    case 'ENOENT':
      return 'check that the file system is mounted and that nothing else removes files there'
    case 'EMFILE':
    case 'ENFILE':
      return 'raise the limit of open files'
    default:
      return "check the file system and the system's log"
  }
}
