/** Turns what the file system says into Kagami's errors, each with the path and what to do. Never swallows one. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { KagamiErrorCode } from '@kagami/core/contract'

/** The system's code of an error (`ENOENT`), or undefined. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

const full = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export function isFull(error: unknown): boolean {
  return full.has(codeOf(error) ?? '')
}

/** Whether it was this process's rights that did not suffice, be it as the system says it or as one of Kagami's errors does. */
export function isForbidden(error: unknown): boolean {
  const code = isKagamiError(error) ? error.details['system'] : codeOf(error)
  return code === 'EACCES' || code === 'EPERM'
}

/** What an operation of the log rejects with, given what the file system said. */
export function logError(path: string, error: unknown): KagamiError {
  if (isKagamiError(error)) return error
  if (isFull(error)) return storeFull(path, error)
  return codeOf(error) === undefined ? bug(error) : unavailable('KAGAMI_LOG_UNAVAILABLE', path, error)
}

/** What an operation of the coordinator rejects with, given what the file system said. */
export function coordinatorError(path: string, error: unknown): KagamiError {
  if (isKagamiError(error)) return error
  if (isFull(error)) return storeFull(path, error)
  return codeOf(error) === undefined ? bug(error) : unavailable('KAGAMI_COORDINATOR_UNAVAILABLE', path, error)
}

/** What the file system did not say is a fault of ours. */
function bug(cause: unknown): KagamiError {
  const what = cause instanceof Error ? cause.message : String(cause)
  return new KagamiError('KAGAMI_BUG', `${what}: please report this`, { cause })
}

export function storeFull(path: string, cause: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_STORE_FULL',
    `no room is left for ${path}: free some space, then it goes on by itself`,
    {
      retryable: true,
      cause,
      details: { path },
    },
  )
}

function unavailable(code: KagamiErrorCode, path: string, cause: unknown): KagamiError {
  const hint = 'check the disk and the permissions of the folder'
  return new KagamiError(code, `${path} can't be used now (${describe(cause)}): ${hint}`, {
    retryable: true,
    cause,
    details: { path, ...(codeOf(cause) === undefined ? {} : { system: codeOf(cause) }) },
  })
}

/** What `start` rejects with when the folder can't be used. */
export function folderError(dir: string, error: unknown): KagamiError {
  if (isKagamiError(error)) return error
  const code = codeOf(error)
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return new KagamiError(
      'KAGAMI_BAD_OPTION',
      `option dir is ${JSON.stringify(dir)}; expected the path of a folder, and a part of it is a file`,
      {
        cause: error,
        details: { option: 'dir', expected: 'the path of a folder' },
      },
    )
  }
  if (isFull(error)) return storeFull(dir, error)
  const hint = hints[code ?? ''] ?? 'name a folder on a local disk that this process may write'
  return new KagamiError('KAGAMI_STORE_UNAVAILABLE', `the folder ${dir} can't be used (${describe(error)}): ${hint}`, {
    retryable: false,
    cause: error,
    details: { path: dir, ...(code === undefined ? {} : { system: code }) },
  })
}

const hints: Readonly<Record<string, string>> = {
  EROFS: 'the file system is mounted read-only; mount it writable, or name another folder',
  EACCES: 'give this process the right to write there, or name another folder',
  EPERM: 'give this process the right to write there, or name another folder',
  ENAMETOOLONG: 'name a shorter path',
  ELOOP: 'a symbolic link leads back to itself; mend it, or name another folder',
}

function describe(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.message : String(error))
}

export function stopped(what: string): KagamiError {
  return new KagamiError('KAGAMI_STOPPED', `${what} is closed: open it again`)
}
