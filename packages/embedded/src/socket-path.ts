/**
 * Where the socket of a process lies, by a path that is short enough for the system. It lies in the folder, wherever that
 * can be had, because only then it goes when the folder goes, also after a kill. Opens no socket itself.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A name of a socket that is longer is cut by the system, without a word. */
const maxBytes = 100

export interface SocketPath {
  /** For `listen` and `connect`, until `release` is called. */
  readonly path: string
  /** It lies outside of the folder, where nobody would look for it. */
  readonly outside: boolean
  readonly release: () => void
}

/**
 * The path of a socket in a folder. Where it is too long, Linux is led into the folder by a descriptor of this process,
 * which stays open until the path is released. Other systems know no such way, and get a path outside.
 */
export function socketPath(folder: string, name: string): SocketPath {
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= maxBytes) return { path, outside: false, release: () => undefined }
  return overDescriptor(folder, name) ?? { path: outsidePath(folder, name), outside: true, release: () => undefined }
}

/** Where a process that can't have its socket in the folder puts it. */
export function outsidePath(folder: string, name: string): string {
  const hash = createHash('sha256').update(join(folder, name)).digest('hex')
  return join(tmpdir(), `kagami-${hash.slice(0, 24)}.sock`)
}

function overDescriptor(folder: string, name: string): SocketPath | undefined {
  if (process.platform !== 'linux') return undefined
  const fd = openSync(folder, 'r')
  // The system may lack /proc, in a container that mounts none.
  if (statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false }) === undefined) {
    closeSync(fd)
    return undefined
  }
  let open = true
  const release = (): void => {
    if (open) closeSync(fd)
    open = false
  }
  return { path: `/proc/self/fd/${fd}/${name}`, outside: false, release }
}
