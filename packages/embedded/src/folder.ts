/**
 * One cluster's part of the folder: creates it, proves at start that it can do what everything else rests on, and names
 * the paths. Holds nothing open.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { badOption, KagamiError } from '@kagami/core/contract'
import type { Logger } from '@kagami/core/contract'
import { linkNew, makeFolder, namesIn, removeFile, syncFolder, writeNew } from './disk.js'
import { codeOf, folderError } from './errors.js'
import { keyOf } from './names.js'
import type { ProcessIdentity } from './process-identity.js'

/** Part of the folder's name, so that a later format is never mistaken for this one. */
const format = 'v1'

const litterAgeMs = 600_000

/** What the name of a session ends with that is over, and could only be set aside by who ended it. */
export const asideEnd = '.over'

/** Where appends of several machines are not atomic, or a lock-free rename is not one step. */
const networkFileSystems: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0x517b: 'SMB',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB2',
  0x5346414f: 'AFS',
  0x00c36400: 'CephFS',
}

export interface Folder {
  readonly root: string
  readonly logs: string
  /** Which logs hold records of a token other than the one that they were allocated for. */
  readonly labels: string
  readonly documents: string
  /** Documents of the coordinator's own: the leader, who has which node id. */
  readonly offices: string
  readonly sessions: string
  /** One file for each process that runs now: where it can be reached. */
  readonly peers: string
  readonly own: ProcessIdentity
  /** Creates what somebody has deleted while processes run; where nothing may be made, rejects if it was all of it. */
  restore(): Promise<void>
  /** A path that nobody else uses, on the same file system: for files and folders that are yet to get their name. */
  scratch(): string
}

/**
 * Creates the cluster's part of the folder where it is not there.
 * @throws KAGAMI_BAD_OPTION, KAGAMI_STORE_UNAVAILABLE, KAGAMI_STORE_FULL
 */
export async function openFolder(dir: string, cluster: string, own: ProcessIdentity, logger: Logger): Promise<Folder> {
  const root = rootOf(dir, cluster)
  const restore = async (): Promise<void> => {
    await makeRoot(root)
    for (const name of ['logs', 'labels', 'documents', 'offices', 'sessions', 'peers', 'scratch'])
      await makeFolder(join(root, name))
  }
  const folder = folderAt(root, own, restore)
  try {
    await makeRoot(root)
    await refuseNetwork(dir, root)
    await folder.restore()
    await prove(dir, folder)
    await syncFolder(root)
    await syncFolder(resolve(dir))
    // The folder's own name, where it was created just now; a parent that may not be read was there before.
    await syncFolder(dirname(resolve(dir))).catch(() => undefined)
    await sweep(folder, logger)
  } catch (error) {
    throw folderError(dir, error)
  }
  return folder
}

/**
 * The cluster's part of the folder, where it is there. Makes nothing, then or later.
 * @throws KAGAMI_BAD_OPTION, KAGAMI_STORE_UNAVAILABLE
 */
export async function findFolder(dir: string, cluster: string, own: ProcessIdentity): Promise<Folder> {
  const root = rootOf(dir, cluster)
  const mustBeThere = async (): Promise<void> => {
    try {
      if ((await namesIn(root)) === undefined) throw await notThere(dir, cluster)
    } catch (error) {
      throw folderError(dir, error)
    }
  }
  await mustBeThere()
  return folderAt(root, own, mustBeThere)
}

/** Names the folder, or the cluster, whichever is wrong. */
async function notThere(dir: string, cluster: string): Promise<KagamiError> {
  const names = await namesIn(resolve(dir))
  if (names === undefined) return badOption('dir', dir, 'the path of a folder that exists')
  // All that the names of folders tell; letters may have been capitals.
  const others = names.filter((name) => name.endsWith(`.${format}`)).map((name) => name.slice(0, name.indexOf('.')))
  const held = others.length === 0 ? 'that folder holds none' : `that folder holds ${others.sort().join(', ')}`
  return badOption('cluster', cluster, `the name of a cluster in the folder ${dir}; ${held}`)
}

function rootOf(dir: string, cluster: string): string {
  return join(resolve(dir), `${keyOf(cluster)}.${format}`)
}

/** By its maker's umask alone, since the folder above may be open to everybody: all that lies below takes after this one. */
function makeRoot(root: string): Promise<void> {
  return makeFolder(root, (path) => mkdir(path))
}

function folderAt(root: string, own: ProcessIdentity, restore: () => Promise<void>): Folder {
  const unique = `${own.pid}-${randomBytes(6).toString('hex')}`
  let count = 0
  return {
    root,
    logs: join(root, 'logs'),
    labels: join(root, 'labels'),
    documents: join(root, 'documents'),
    offices: join(root, 'offices'),
    sessions: join(root, 'sessions'),
    peers: join(root, 'peers'),
    own,
    restore,
    scratch: () => join(root, 'scratch', `${unique}-${(count++).toString(36)}`),
  }
}

async function refuseNetwork(dir: string, root: string): Promise<void> {
  const { type } = await statfs(root)
  const name = networkFileSystems[type >>> 0]
  if (name === undefined) return
  throw badOption(
    'dir',
    dir,
    `a folder on a local file system (this one is on ${name}, where processes can't append side by side)`,
  )
}

/** Does once everything that the log and the coordinator will do, so that a disk that can't is refused at start and not later. */
async function prove(dir: string, folder: Folder): Promise<void> {
  const [file, link, moved] = [folder.scratch(), folder.scratch(), folder.scratch()]
  try {
    await writeNew(file, Buffer.from('kagami'))
    await rename(file, moved)
    const linked = await linkNew(moved, link).catch((error: unknown) => {
      throw new KagamiError(
        'KAGAMI_STORE_UNAVAILABLE',
        `the folder ${dir} is on a file system without hard links: name a folder on ext4, xfs, btrfs, apfs or tmpfs`,
        {
          cause: error,
        },
      )
    })
    if (!linked || (await linkNew(moved, link)) || (await stat(link)).size !== 6) {
      throw new KagamiError(
        'KAGAMI_STORE_UNAVAILABLE',
        `the folder ${dir} is on a file system whose links can't be relied on: name a folder on a local disk`,
      )
    }
  } finally {
    for (const path of [file, link, moved]) await removeFile(path).catch(() => undefined)
  }
}

/**
 * Removes what processes that died have left half-made, and sessions that could only be set aside. A scratch file is needed for moments; who wakes up later is
 * told. What can't be removed, another user's for instance, stays: litter must not keep anybody from starting.
 */
async function sweep(folder: Folder, logger: Logger): Promise<void> {
  const scratch = dirname(folder.scratch())
  const halfMade = ((await namesIn(scratch)) ?? []).map((name) => join(scratch, name))
  const setAside = ((await namesIn(folder.sessions)) ?? []).filter((name) => name.endsWith(asideEnd))
  for (const path of [...halfMade, ...setAside.map((name) => join(folder.sessions, name))]) {
    try {
      if (Date.now() - (await stat(path)).ctimeMs > litterAgeMs) await rm(path, { recursive: true, force: true })
    } catch (error) {
      if (codeOf(error) === 'ENOENT') continue
      logger.warn(`${path} was left behind by a process that is gone, and can not be removed: remove it by hand`, {
        path,
        error,
      })
    }
  }
}
