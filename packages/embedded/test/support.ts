/** Folders, small disks and adapters for the tests, all of which are removed again, also where a test failed. */
import { execFile } from 'node:child_process'
import { closeSync, mkdirSync, openSync, renameSync, symlinkSync, unlinkSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { AdapterContext, CommitLog, Coordinator, Logger, TokenLog } from '@kagami/core/contract'
import { onTestFinished } from 'vitest'
import { embedded } from '../src/index.js'
import type { EmbeddedOptions } from '../src/index.js'

const run = promisify(execFile)

export interface Temporary {
  readonly path: string
  remove(): Promise<void>
}

export async function temporaryFolder(): Promise<Temporary> {
  const path = await mkdtemp(join(tmpdir(), 'kagami-embedded-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** A folder, on a disk of its own if one is given, that each node reaches by a way of its own, which can be cut. */
export interface ReachedFolder extends Temporary {
  /** The path by which a node reaches the folder. */
  wayOf(node: string): string
  /** Cuts the way of a node, until the returned function is called. */
  cut(node: string): () => void
  /** Cuts the ways of all nodes, until the returned function is called. */
  cutAll(): () => void
}

/**
 * The ways are symbolic links. A link that leads to itself fails every operation by a path with an error (ELOOP), as a broken mount
 * would. A path that leads nowhere would not do: a folder that is not there has been deleted, and its sessions are over.
 */
export async function reachedFolder(disk?: Temporary): Promise<ReachedFolder> {
  const { path: outer, remove } = await temporaryFolder()
  const path = join(disk?.path ?? outer, 'folder')
  mkdirSync(path)
  const ways = new Map<string, string>()
  const lead = (way: string, to: string): void => {
    // In one step: in between there would be no such path.
    symlinkSync(to, `${way}.next`)
    renameSync(`${way}.next`, way)
  }
  const wayOf = (node: string): string => {
    const way = ways.get(node) ?? join(outer, `way-of-${node}`)
    if (!ways.has(node)) lead(way, path)
    ways.set(node, way)
    return way
  }
  const cut = (node: string): (() => void) => {
    const way = wayOf(node)
    lead(way, way)
    return () => lead(way, path)
  }
  const cutAll = (): (() => void) => {
    const mends = [...ways.keys()].map(cut)
    return () => {
      for (const mend of mends) mend()
    }
  }
  return { path, remove, wayOf, cut, cutAll }
}

/** A disk of so many MiB. Needs the right to mount: a test that can't have it fails. */
export async function mountTmpfs(sizeMiB: number): Promise<Temporary> {
  const folder = await temporaryFolder()
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder.path])
  const remove = async (): Promise<void> => {
    await run('umount', [folder.path]).catch(() => run('umount', ['-l', folder.path]))
    await folder.remove()
  }
  return { path: folder.path, remove }
}

/** Leaves no byte free, until the returned function is called. */
export function fillDisk(dir: string): () => void {
  const path = join(dir, 'filler')
  const fd = openSync(path, 'w')
  for (let size = 4 * 1024 * 1024; size >= 1; size = Math.floor(size / 2)) {
    const bytes = Buffer.alloc(size, 1)
    try {
      while (writeSync(fd, bytes) > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
  closeSync(fd)
  let full = true
  return () => {
    if (full) unlinkSync(path)
    full = false
  }
}

/** A folder that is removed when the test is over. */
export async function testFolder(): Promise<string> {
  const folder = await temporaryFolder()
  onTestFinished(folder.remove)
  return folder.path
}

export const options = { signal: new AbortController().signal }
export const none: ReadonlySet<string> = new Set()

export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export function context(node: string, cluster = 'test'): AdapterContext {
  return { cluster, node, logger: silent, signal: options.signal }
}

/** Started adapters of one node, stopped when the test is over. */
export async function startNode(
  dir: string,
  node: string,
  settings: Omit<EmbeddedOptions, 'dir'> = {},
): Promise<{ readonly log: CommitLog; readonly coordinator: Coordinator }> {
  const adapters = embedded({ dir, ...settings })
  onTestFinished(async () => {
    await adapters.coordinator.stop()
    await adapters.log.stop()
  })
  await adapters.log.start(context(node))
  await adapters.coordinator.start(context(node))
  return adapters
}

/** A log that is opened on each node, `orders` unless named otherwise. */
export async function openLog(log: CommitLog, token = 'orders', address?: string): Promise<TokenLog> {
  return log.open(address ?? (await log.allocate(token, none, options)), { ...options, token })
}

/** Everything that is readable now. */
export async function readAll(log: TokenLog, from?: bigint): Promise<{ offset: bigint; bytes: Uint8Array }[]> {
  const start = from ?? (await log.range(options)).start
  const records: { offset: bigint; bytes: Uint8Array }[] = []
  for await (const batch of log.read(start, { ...options, lookMs: 500, maxBatchBytes: 1024 * 1024 })) {
    records.push(...batch.records)
    if (batch.next === batch.end) break
  }
  return records
}

export async function readTexts(log: TokenLog, from?: bigint): Promise<string[]> {
  return (await readAll(log, from)).map(({ bytes }) => Buffer.from(bytes).toString())
}
