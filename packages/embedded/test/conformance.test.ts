/** The commit log and the coordinator keep every clause of the contracts, on a small disk of their own. */
import { mkdir, readdir, rm, stat, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { commitLogSuite, coordinatorSuite } from '@kagami/testkit'
import { describe, it } from 'vitest'
import { embedded } from '../src/index.js'
import { keyOf, partsOf } from '../src/names.js'
import { parse } from '../src/record.js'
import { decodeHeader, seedOf, segmentHeaderBytes } from '../src/segment.js'
import { fillDisk, mountTmpfs, reachedFolder, temporaryFolder } from './support.js'

const sessionTimeoutMs = 600
const runner = { describe, it }

function rootOf(dir: string, cluster = 'conformance'): string {
  return join(dir, `${keyOf(cluster)}.v1`)
}

function logFolder(dir: string, address: string): string {
  return join(rootOf(dir), 'logs', partsOf(address)!.bucket, address)
}

commitLogSuite(runner, {
  // No outage: a log is appended to and read over open files, which no lost path takes away; and what a failing disk does to them can't
  // be ended again. What a lost path does is tested with the log.
  capabilities: { outage: false, fill: true, recreate: true, loseTail: true },
  timing: { patienceMs: 8_000 },
  setup: async () => {
    const disk = await mountTmpfs(256)
    return {
      disk,
      open: () => embedded({ dir: disk.path }).log,
      fill: () => fillDisk(disk.path),
      recreate: async (address: string) => {
        const other = await temporaryFolder()
        const anew = embedded({ dir: other.path })
        const signal = new AbortController().signal
        await anew.log.start({ cluster: 'conformance', node: 'x', signal, logger: silent })
        await anew.log.allocate('orders', new Set(), { signal })
        await anew.log.stop()
        const folder = logFolder(disk.path, address)
        await rm(folder, { recursive: true })
        await mkdir(folder)
        for (const name of await readdir(logFolder(other.path, address))) {
          const { writeFile, readFile } = await import('node:fs/promises')
          await writeFile(join(folder, name), await readFile(join(logFolder(other.path, address), name)))
        }
        await other.remove()
      },
      loseTail: async (address: string, count: number) => {
        const folder = logFolder(disk.path, address)
        const path = join(
          folder,
          (await readdir(folder)).find((name) => name.endsWith('.log'))!,
        )
        const bytes = readFileSync(path)
        const { identity, base } = decodeHeader(path, bytes.subarray(0, segmentHeaderBytes))
        const { records } = parse(
          bytes.subarray(segmentHeaderBytes),
          segmentHeaderBytes,
          undefined,
          { base, seed: seedOf(identity) },
          Number.POSITIVE_INFINITY,
        )
        truncateSync(path, records.at(-count)!.from)
      },
    }
  },
  teardown: async (world) => {
    await (world as unknown as { readonly disk: { remove(): Promise<void> } }).disk.remove()
  },
})

coordinatorSuite(runner, {
  capabilities: { outage: true, fill: true, partition: true, expire: true, wipe: true, damage: true },
  timing: { patienceMs: 8_000 },
  setup: async () => {
    const disk = await mountTmpfs(16)
    const folder = await reachedFolder(disk)
    return {
      disk,
      folder,
      open: (node: string) => embedded({ dir: folder.wayOf(node), sessionTimeoutMs }).coordinator,
      outage: () => folder.cutAll(),
      fill: () => fillDisk(disk.path),
      partition: (node: string) => folder.cut(node),
      // Without its beat the owner can't live on: as if the disk had failed it.
      expire: async (node: string) => {
        const sessions = join(rootOf(folder.path), 'sessions')
        for (const id of await readdir(sessions)) {
          const names = await readdir(join(sessions, id))
          if (await isOf(node, join(sessions, id), names)) await removeBeat(join(sessions, id))
        }
      },
      wipe: async () => {
        await rm(join(rootOf(folder.path), 'documents'), { recursive: true })
      },
      damage: async (name: string) => {
        const documents = join(rootOf(folder.path), 'documents')
        const versions = (await readdir(documents, { recursive: true }))
          .filter((file) => basename(file).startsWith(`${name.replace('/', '+')}@`))
          .sort((a, b) => Number(a.split('@').at(-1)) - Number(b.split('@').at(-1)))
        const newest = join(documents, versions.at(-1)!)
        const bytes = readFileSync(newest)
        bytes[bytes.length - 1]! ^= 1
        writeFileSync(newest, bytes)
      },
    }
  },
  teardown: async (world) => {
    const { disk, folder } = world as unknown as Readonly<Record<'disk' | 'folder', { remove(): Promise<void> }>>
    await folder.remove()
    await disk.remove()
  },
})

/** Whatever its name is by now: the owner renames it all the time. */
async function removeBeat(session: string): Promise<void> {
  for (;;) {
    const beat = (await readdir(session)).find((name) => name.startsWith('beat.'))
    if (beat !== undefined && (await unlink(join(session, beat)).then(() => true, isMissing))) return
  }
}

/** False where there was no such file; any other error is thrown. */
function isMissing(error: unknown): false {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  return false
}

async function isOf(node: string, session: string, names: readonly string[]): Promise<boolean> {
  const member = names.find((name) => name.startsWith('member.'))
  if (member === undefined) return false
  const { node: found } = JSON.parse(readFileSync(join(session, member), 'utf8')) as { readonly node: string }
  return found === node && (await stat(session)).isDirectory()
}

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
