/**
 * The names of folders and files. Whatever a cluster, token or snapshot is called, its name on disk stays inside its folder, is
 * short enough, and differs from every other, also where the file system ignores case.
 */
import { createHash } from 'node:crypto'

const PLAIN = /^[a-z0-9_-][a-z0-9_.-]{0,99}$/
const SNAPSHOT_ID = /^[A-Za-z0-9_.-]{1,200}$/
const SNAPSHOT_SUFFIX = '.snap'

/** The name of a cluster's or token's folder: its own where that is safe everywhere, else a hash after what can be shown of it. */
export function folderName(name: string): string {
  if (PLAIN.test(name)) return name
  return `${name.slice(0, 40).replace(/[^A-Za-z0-9_-]/g, '_')}~${digest(name)}`
}

/** Whether the contract allows this id. Only such ids may reach {@link snapshotFileName}. */
export function isSnapshotId(id: unknown): id is string {
  return typeof id === 'string' && SNAPSHOT_ID.test(id)
}

export function snapshotFileName(id: string): string {
  const folded = id.toLowerCase() === id ? id : `${id}~${digest(id)}`
  return folded + SNAPSHOT_SUFFIX
}

export function isSnapshotFileName(name: string): boolean {
  return name.endsWith(SNAPSHOT_SUFFIX)
}

function digest(name: string): string {
  // By UTF-16 units: as UTF-8, all unpaired surrogates would be the same.
  return createHash('sha256').update(Buffer.from(name, 'utf16le')).digest('hex').slice(0, 40)
}
