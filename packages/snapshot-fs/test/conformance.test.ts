/** Runs the suite that every snapshot store must pass. */
import { mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { snapshotStoreSuite } from '@kagami/testkit'
import type { SnapshotStoreWorld } from '@kagami/testkit'
import { describe, it } from 'vitest'
import { snapshotFileName } from '../src/names.js'
import { FsSnapshotStore } from '../src/store.js'
import { systemError, watchedFileSystem } from './support.js'

interface FsWorld extends SnapshotStoreWorld {
  readonly parent: string
}

async function newWorld(): Promise<FsWorld> {
  const parent = await mkdtemp(join(tmpdir(), 'kagami-snapshot-fs-'))
  const dir = join(parent, 'snapshots')
  let full = false
  const fileSystem = watchedFileSystem(({ name }) => {
    if (full && name === 'write') throw systemError('ENOSPC', 'write')
  })
  const pathOf = async (id: string) => {
    const names = await readdir(dir, { recursive: true })
    return join(
      dir,
      names.find((name) => name.endsWith(`/${snapshotFileName(id)}`))!,
    )
  }
  return {
    parent,
    open: () => new FsSnapshotStore({ dir }, fileSystem),
    outage: async () => {
      await rename(dir, `${dir}.gone`)
      let ended = false
      return async () => {
        if (!ended) await rename(`${dir}.gone`, dir)
        ended = true
      }
    },
    fill: () => {
      full = true
      return () => {
        full = false
      }
    },
    corrupt: async (_token, id) => {
      const path = await pathOf(id)
      const bytes = await readFile(path)
      const middle = bytes.byteLength >>> 1
      bytes[middle] = bytes[middle]! ^ 0x10
      await writeFile(path, bytes)
    },
    tear: async (_token, id) => {
      const path = await pathOf(id)
      await truncate(path, (await readFile(path)).byteLength - 100_000)
    },
  }
}

describe('the snapshot store in a folder', () => {
  snapshotStoreSuite(
    { describe, it },
    {
      setup: newWorld,
      teardown: (world) => rm((world as FsWorld).parent, { recursive: true, force: true }),
      capabilities: { outage: true, fill: true, corrupt: true, tear: true, boundedMemory: true },
    },
  )
})
