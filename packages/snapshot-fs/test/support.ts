/** What the tests of the store share: folders that vanish with the test, metadata, streams, and a file system that can be watched and broken. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AdapterContext, SnapshotMeta } from '@kagami/core/contract'
import { nodeFileSystem } from '../src/file-system.js'
import type { FileSystem } from '../src/file-system.js'
import { FsSnapshotStore } from '../src/store.js'

export const never: AbortSignal = new AbortController().signal
export const options = { signal: never }

/** A new folder, removed when the test has ended. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'kagami-snapshot-fs-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

export function metaOf(token: string, id: string, other: Partial<SnapshotMeta> = {}): SnapshotMeta {
  return {
    format: 1,
    id,
    token,
    incarnation: 1,
    epoch: 3,
    term: '00000000000000ff',
    nextSeq: 4,
    nextIndex: 100,
    chain: 'fedcba9876543210',
    level: 0,
    anchor: { offset: '99', checksum: 1234 },
    log: { address: 'log/1', identity: 'x' },
    schemaVersion: 0,
    takenAtMs: 1_700_000_000_000,
    member: 'a-1',
    ...other,
  }
}

export interface Logged {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function contextOf(log: Logged[] = [], other: Partial<AdapterContext> = {}): AdapterContext {
  const at =
    (level: Logged['level']) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      log.push({ level, message, fields })
    }
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { cluster: 'shop', node: 'a', logger, signal: never, ...other }
}

/** A started store, stopped when the test has ended. */
export async function started(
  dir: string,
  fileSystem: FileSystem = nodeFileSystem,
  log: Logged[] = [],
): Promise<FsSnapshotStore> {
  const store = new FsSnapshotStore({ dir }, fileSystem)
  onTestFinished(() => store.stop())
  await store.start(contextOf(log))
  return store
}

export async function* chunksOf(
  ...chunks: readonly (string | Uint8Array)[]
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}

export async function read(store: FsSnapshotStore, token: string, id: string): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of store.open(token, id, options)) parts.push(part)
  return Buffer.concat(parts)
}

/** The names of all files below a folder, sorted. */
export async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.flatMap((entry) => (entry.isFile() ? entry.name : [])).sort()
}

/** Bytes that differ everywhere, and are the same for the same seed. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

export function systemError(code: string, syscall = 'test'): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall })
}

/** A call of the store to the file system: its name, and the path that it is about. */
export interface FileCall {
  readonly name: string
  readonly path: string
}

type Method = (...args: unknown[]) => Promise<unknown>

/** The real file system. `before` is told of every call, and may wait or throw in its place; `after` is told when it succeeded. */
export function watchedFileSystem(
  before: (call: FileCall) => void | Promise<void>,
  after: (call: FileCall) => void | Promise<void> = () => undefined,
): FileSystem {
  const watch = <T extends object>(target: T, path: string | undefined): T =>
    new Proxy(target, {
      get: (from, name) => {
        const member: unknown = Reflect.get(from, name, from)
        if (typeof member !== 'function' || typeof name !== 'string') return member
        return async (...args: unknown[]) => {
          const call = { name, path: path ?? String(args[0]) }
          await before(call)
          const result = await (member as Method).apply(from, args)
          await after(call)
          return name === 'open' ? watch(result as object, call.path) : result
        }
      },
    })
  return watch({ ...nodeFileSystem }, undefined)
}
