/**
 * One cluster's part of the folder: creates it, proves at start that it can do what everything else rests on, and names
 * the paths. Holds nothing open.
 */
import { randomBytes } from 'node:crypto'
import { rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { badOption, KagamiError } from '@kagami/core/contract'
import { linkNew, makeFolder, namesIn, removeFile, syncFolder, writeNew } from './disk.js'
import { folderError } from './errors.js'
import { keyOf } from './names.js'
import type { ProcessIdentity } from './process-identity.js'

/** Part of the folder's name, so that a later format is never mistaken for this one. */
const format = 'v1'

const litterAgeMs = 600_000

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
  /** Creates what somebody has deleted while processes run. */
  restore(): Promise<void>
  /** A path that nobody else uses, on the same file system: for files and folders that are yet to get their name. */
  scratch(): string
}

/** @throws KAGAMI_BAD_OPTION, KAGAMI_STORE_UNAVAILABLE, KAGAMI_STORE_FULL */
export async function openFolder(dir: string, cluster: string, own: ProcessIdentity): Promise<Folder> {
  const root = join(resolve(dir), `${keyOf(cluster)}.${format}`)
  const at = (name: string): string => join(root, name)
  const unique = `${own.pid}-${randomBytes(6).toString('hex')}`
  let count = 0
  const folder: Folder = {
    root,
    logs: at('logs'),
    labels: at('labels'),
    documents: at('documents'),
    offices: at('offices'),
    sessions: at('sessions'),
    peers: at('peers'),
    own,
    restore: async () => {
      for (const name of ['logs', 'labels', 'documents', 'offices', 'sessions', 'peers', 'scratch']) {
        await makeFolder(at(name))
      }
    },
    scratch: () => join(at('scratch'), `${unique}-${(count++).toString(36)}`),
  }
  try {
    await makeFolder(root)
    await refuseNetwork(dir, root)
    await folder.restore()
    await prove(dir, folder)
    await syncFolder(root)
    await syncFolder(resolve(dir))
    // The folder's own name, where it was created just now; a parent that may not be read was there before.
    await syncFolder(dirname(resolve(dir))).catch(() => undefined)
    await sweep(at('scratch'))
  } catch (error) {
    throw folderError(dir, error)
  }
  return folder
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

/** Removes what processes that died have left half-made. A scratch file is needed for moments; who wakes up later is told. */
async function sweep(scratch: string): Promise<void> {
  for (const name of (await namesIn(scratch)) ?? []) {
    const path = join(scratch, name)
    const changedMs = await stat(path).then(
      ({ ctimeMs }) => ctimeMs,
      () => Date.now(),
    )
    if (Date.now() - changedMs > litterAgeMs) await rm(path, { recursive: true, force: true })
  }
}
