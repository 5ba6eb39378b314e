/** Checks the order in which a snapshot is written, synced and published, and what is left when any step of it fails. */
import { describe, expect, test } from 'vitest'
import { isKagamiError } from '@kagami/core/contract'
import { FsSnapshotStore } from '../src/store.js'
import {
  chunksOf,
  contextOf,
  filesIn,
  folder,
  metaOf,
  noise,
  options,
  read,
  started,
  systemError,
  watchedFileSystem,
} from './support.js'
import type { FileCall, Logged } from './support.js'

/** What a call is about, as the tests below name it. */
function subjectOf({ path }: FileCall): string {
  if (path.endsWith('.tmp')) return 'temp'
  if (path.endsWith('.snap')) return 'snapshot'
  if (path.endsWith('/orders')) return 'token'
  return path.endsWith('/shop') ? 'cluster' : 'above'
}

const syncing = ['write', 'sync', 'datasync', 'link', 'unlink', 'mkdir', 'rmdir']

describe('create', () => {
  test('syncs the file before it links it, and the folders before it resolves', async () => {
    const steps: string[] = []
    const store = await started(
      await folder(),
      watchedFileSystem(
        () => undefined,
        (call) => {
          if (syncing.includes(call.name)) steps.push(`${call.name} ${subjectOf(call)}`)
        },
      ),
    )
    steps.length = 0
    await store.create(metaOf('orders', 'one'), chunksOf(noise(600_000)), options)
    const ended = ['sync temp', 'link temp', 'unlink temp', 'sync token', 'sync cluster']
    // Head, three blocks, trailer.
    expect(steps).toEqual(['mkdir token', ...Array<string>(5).fill('write temp'), ...ended])
    steps.length = 0
    await store.delete('orders', 'one', options)
    expect(steps.slice(0, 2)).toEqual(['unlink snapshot', 'sync token'])
  })

  test('syncs a large file on the way, so that the last sync is a short one', async () => {
    let unsynced = 0
    let most = 0
    const store = await started(
      await folder(),
      watchedFileSystem(
        () => undefined,
        ({ name, path }) => {
          if (name === 'write' && path.endsWith('.tmp')) unsynced += 256 * 1024
          if (name === 'datasync' || name === 'sync') unsynced = 0
          most = Math.max(most, unsynced)
        },
      ),
    )
    async function* chunks() {
      for (let index = 0; index < 300; index += 1) yield new Uint8Array(256 * 1024)
    }
    await store.create(metaOf('orders', 'one'), chunks(), options)
    expect(most).toBeLessThan(40 * 1024 * 1024)
  })

  test.each(['EIO', 'ENOSPC', 'EDQUOT', 'EACCES'])(
    'that fails with %s at any one call leaves nothing, or is whole',
    async (code) => {
      const dir = await folder()
      const content = noise(600_000)
      let failAt = Infinity
      let calls = 0
      let failed: FileCall | undefined
      const fail = (call: FileCall) => {
        calls += 1
        if (calls !== failAt) return
        failed = call
        throw systemError(code, call.name)
      }
      // What fails to close is closed all the same.
      const fileSystem = watchedFileSystem(
        (call) => (call.name === 'close' ? undefined : fail(call)),
        (call) => (call.name === 'close' ? fail(call) : undefined),
      )
      const store = await started(dir, fileSystem)
      await store.create(metaOf('orders', 'before'), chunksOf(content), options)
      let rejected = 0
      for (let at = 1; ; at += 1) {
        ;[calls, failAt, failed] = [0, at, undefined]
        const outcome: unknown = await store
          .create(metaOf('orders', 'one'), chunksOf(content), options)
          .catch((error: unknown) => error)
        const call = failed as FileCall | undefined
        failAt = Infinity
        const found = (await store.list('orders', options)).map(({ meta }) => meta.id)
        if (outcome instanceof Error) {
          rejected += 1
          const expected = code === 'ENOSPC' || code === 'EDQUOT' ? 'KAGAMI_STORE_FULL' : 'KAGAMI_STORE_UNAVAILABLE'
          expect(isKagamiError(outcome, expected) && outcome.retryable).toBe(true)
          expect((outcome as { cause?: unknown }).cause).toMatchObject({ code })
          expect(found).toEqual(['before'])
          expect(await filesIn(dir)).toEqual(['before.snap'])
        } else {
          expect(found).toEqual(['one', 'before'])
          expect((await read(store, 'orders', 'one')).equals(content)).toBe(true)
          await store.delete('orders', 'one', options)
        }
        expect((await read(store, 'orders', 'before')).equals(content)).toBe(true)
        if (call === undefined) break
        // The one thing whose failure may leave something: it is swept once this process has ended.
        if (call.name === 'unlink' && call.path.endsWith('.tmp')) await fileSystem.unlink(call.path)
      }
      // At least: look, folder, file, head, stat, blocks, trailer, sync, link, both folders opened and synced.
      expect(rejected).toBeGreaterThanOrEqual(14)
    },
  )

  test('whose sync of the folder fails takes back what it had linked', async () => {
    const dir = await folder()
    let fail = false
    const log: Logged[] = []
    const fileSystem = watchedFileSystem((call) => {
      if (fail && call.name === 'sync' && subjectOf(call) === 'token') throw systemError('EIO', 'fsync')
    })
    const store = await started(dir, fileSystem, log)
    fail = true
    await expect(store.create(metaOf('orders', 'one'), chunksOf('1'), options)).rejects.toMatchObject({
      code: 'KAGAMI_STORE_UNAVAILABLE',
    })
    expect(await filesIn(dir)).toEqual([])
    fail = false
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
  })

  test('takes a link for its own that a network file system made but reported as there already', async () => {
    const store = await started(
      await folder(),
      watchedFileSystem(
        () => undefined,
        ({ name, path }) => {
          if (name === 'link' && path.includes('/orders/')) throw systemError('EEXIST', 'link')
        },
      ),
    )
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    expect((await read(store, 'orders', 'one')).toString()).toBe('1')
  })

  test('goes on when a write stores less than it was given', async () => {
    const dir = await folder()
    const content = noise(600_000)
    const short = watchedFileSystem(() => undefined)
    const open = short.open
    const store = new FsSnapshotStore(
      { dir },
      {
        ...short,
        open: async (...args: Parameters<typeof open>) => {
          const handle = await open(...args)
          const write = handle.write.bind(handle) as (
            bytes: Uint8Array,
            from: number,
            length: number,
            at: number,
          ) => Promise<unknown>
          const few = (bytes: Uint8Array, from: number, length: number, at: number) =>
            write(bytes, from, Math.min(length, 10_000), at)
          return new Proxy(handle, {
            get: (target, name) => (name === 'write' ? few : (Reflect.get(target, name, target) as unknown)),
          })
        },
      },
    )
    await store.start(contextOf())
    await store.create(metaOf('orders', 'one'), chunksOf(content), options)
    expect((await read(store, 'orders', 'one')).equals(content)).toBe(true)
    await store.stop()
  })
})

describe('start', () => {
  test.each([
    ['a folder that can not be synced', 'sync', 'EINVAL', 'synced'],
    ['a folder that can not be synced', 'sync', 'EPERM', 'synced'],
    ['a file system without hard links', 'link', 'EPERM', 'hard links'],
    ['a file system without hard links', 'link', 'EOPNOTSUPP', 'hard links'],
  ])('refuses %s (%s: %s), and leaves no file', async (_what, name, code, said) => {
    const dir = await folder()
    const fileSystem = watchedFileSystem((call) => {
      if (call.name === name && subjectOf(call) !== (name === 'sync' ? 'temp' : '')) throw systemError(code, name)
    })
    const error: unknown = await new FsSnapshotStore({ dir }, fileSystem)
      .start(contextOf())
      .catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'KAGAMI_BAD_OPTION', details: { option: 'dir' } })
    expect((error as Error).message).toContain(said)
    expect((error as Error).message).toContain(code)
    expect(await filesIn(dir)).toEqual([])
  })

  test('refuses a file system where a link replaces a file', async () => {
    const fileSystem = watchedFileSystem(() => undefined)
    const store = new FsSnapshotStore({ dir: await folder() }, { ...fileSystem, link: () => Promise.resolve() })
    await expect(store.start(contextOf())).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
  })

  test('syncs each folder that it makes, and the one above', async () => {
    const parent = await folder()
    const synced: string[] = []
    const store = new FsSnapshotStore(
      { dir: `${parent}/a/b` },
      watchedFileSystem(
        () => undefined,
        ({ name, path }) => {
          if (name === 'sync' && !path.endsWith('.tmp')) synced.push(path.slice(parent.length))
        },
      ),
    )
    await store.start(contextOf())
    await store.stop()
    expect(synced).toEqual(expect.arrayContaining(['/a/b/shop', '/a/b', '/a', '']))
  })

  test('ends with the reason of its signal, at any call that hangs', async () => {
    const calls = [
      ['mkdir', 'cluster'],
      ['sync', 'cluster'],
      ['open', 'temp'],
      ['link', 'temp'],
      ['readdir', 'cluster'],
    ] as const
    for (const [name, subject] of calls) {
      const controller = new AbortController()
      const reason = new Error('enough')
      let release: () => void = () => undefined
      const hung = new Promise<void>((resolve) => (release = resolve))
      const fileSystem = watchedFileSystem(async (call) => {
        if (call.name !== name || subjectOf(call) !== subject) return
        controller.abort(reason)
        await hung
      })
      const store = new FsSnapshotStore({ dir: await folder() }, fileSystem)
      await expect(store.start(contextOf([], { signal: controller.signal }))).rejects.toBe(reason)
      release()
    }
  })

  test('on a full disk goes well, with a warning: what is stored can still be read', async () => {
    const dir = await folder()
    const store = await started(dir)
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    const log: Logged[] = []
    const full = watchedFileSystem(({ name, path }) => {
      if (name === 'open' && path.endsWith('.tmp')) throw systemError('ENOSPC', 'open')
    })
    const again = await started(dir, full, log)
    expect(log.map(({ level }) => level)).toEqual(['warn'])
    expect((await read(again, 'orders', 'one')).toString()).toBe('1')
    await expect(again.create(metaOf('orders', 'two'), chunksOf('2'), options)).rejects.toMatchObject({
      code: 'KAGAMI_STORE_FULL',
    })
  })
})
