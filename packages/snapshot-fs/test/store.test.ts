/** Checks what the store promises beyond the conformance suite: its options, its life, its errors. */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fsSnapshotStore } from '../src/index.js'
import { snapshotFileName } from '../src/names.js'
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
import type { Logged } from './support.js'

const coded = (code: string, other: object = {}) =>
  expect.objectContaining({ name: 'KagamiError', code, ...other }) as Error

describe('the options', () => {
  test.each([
    [undefined, 'options is undefined'],
    [{}, 'option dir is undefined; expected the path of a folder'],
    [{ dir: '' }, 'option dir is ""'],
    [{ dir: 'a\0b' }, 'option dir is'],
    [{ dir: '/tmp/x', litterAgeMs: 59_999 }, 'option litterAgeMs is 59999; expected whole milliseconds from 60000'],
    [{ dir: '/tmp/x', litterAgeMs: 1e12 }, 'option litterAgeMs is'],
    [{ dir: '/tmp/x', litterAgeMs: 60_000.5 }, 'option litterAgeMs is'],
    [{ dir: '/tmp/x', mustExist: 1 }, 'option mustExist is 1; expected true or false'],
    [{ dir: '/tmp/x', literAgeMs: 60_000 }, 'there is no option literAgeMs; did you mean litterAgeMs?'],
  ])('%j are refused, with what would be right', (wrong, message) => {
    const make = () => fsSnapshotStore(wrong as { dir: string })
    expect(make).toThrow(coded('KAGAMI_BAD_OPTION'))
    expect(make).toThrow(message)
  })

  test('are checked without any I/O', () => {
    expect(fsSnapshotStore({ dir: '/proc/nowhere/at/all' }).name).toBe('fs')
  })
})

describe('the life of the store', () => {
  test('a call before start is KAGAMI_NOT_STARTED, one after stop KAGAMI_STOPPED', async () => {
    const store = new FsSnapshotStore({ dir: await folder() })
    await expect(store.list('orders', options)).rejects.toEqual(coded('KAGAMI_NOT_STARTED'))
    await expect(store.open('orders', 'x', options).next()).rejects.toEqual(coded('KAGAMI_NOT_STARTED'))
    await store.start(contextOf())
    await store.stop()
    await expect(store.list('orders', options)).rejects.toEqual(coded('KAGAMI_STOPPED'))
    await expect(store.start(contextOf())).rejects.toEqual(coded('KAGAMI_STOPPED'))
  })

  test('a store that is in use can not be started for a second node', async () => {
    const store = await started(await folder())
    await expect(store.start(contextOf([], { node: 'b' }))).rejects.toEqual(coded('KAGAMI_BAD_OPTION'))
  })

  test('a start that failed can be tried again', async () => {
    const parent = await folder()
    await writeFile(join(parent, 'way'), '')
    const store = new FsSnapshotStore({ dir: join(parent, 'way', 'snapshots') })
    await expect(store.start(contextOf())).rejects.toEqual(coded('KAGAMI_BAD_OPTION'))
    await rm(join(parent, 'way'))
    await store.start(contextOf())
    await store.stop()
  })

  test('start leaves nothing but the folder', async () => {
    const dir = join(await folder(), 'a', 'b')
    await started(dir)
    expect(await readdir(dir, { recursive: true })).toEqual(['shop'])
  })

  test('stop settles although the file system hangs, and so does every call', async () => {
    const hung = withResolvers()
    let hang = false
    const store = await started(
      await folder(),
      watchedFileSystem(async ({ name }) => {
        if (hang && name !== 'close') await hung.promise
      }),
    )
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    const reader = store.open('orders', 'one', options)
    hang = true
    const calls = [
      store.create(metaOf('orders', 'two'), chunksOf('2'), options),
      store.list('orders', options),
      store.delete('orders', 'one', options),
      reader.next(),
    ]
    const outcomes = Promise.allSettled(calls)
    await store.stop()
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'KAGAMI_STOPPED' } })
    hung.resolve(undefined)
  })

  test('a create that is given up while the file system hangs is not published when that goes on', async () => {
    const hung = withResolvers()
    const linking = withResolvers()
    const done = withResolvers()
    const dir = await folder()
    const fileSystem = watchedFileSystem(
      async ({ name, path }) => {
        if (name !== 'link' || !path.includes('/orders/')) return
        linking.resolve(undefined)
        await hung.promise
      },
      ({ name, path }) => {
        if (name === 'unlink' && path.endsWith('.snap')) done.resolve(undefined)
      },
    )
    const store = await started(dir, fileSystem)
    const controller = new AbortController()
    const created = store.create(metaOf('orders', 'one'), chunksOf('1'), { signal: controller.signal })
    await linking.promise
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(created).rejects.toBe(reason)
    hung.resolve(undefined)
    await done.promise
    expect(await store.list('orders', options)).toEqual([])
    await expect.poll(() => filesIn(dir)).toEqual([])
  })
})

describe('create', () => {
  test('refuses an id that the contract does not allow, and touches nothing', async () => {
    const dir = await folder()
    const store = await started(dir)
    for (const id of ['../x', '', 'a b']) {
      await expect(store.create(metaOf('orders', id), chunksOf('1'), options)).rejects.toEqual(
        coded('KAGAMI_BAD_OPTION'),
      )
      await expect(read(store, 'orders', id)).rejects.toEqual(coded('KAGAMI_SNAPSHOT_MISSING'))
      await store.delete('orders', id, options)
    }
    expect(await filesIn(dir)).toEqual([])
  })

  test('refuses a chunk that is no bytes, rather than to store less', async () => {
    const store = await started(await folder())
    const chunks = chunksOf('1', ['2'] as unknown as Uint8Array)
    await expect(store.create(metaOf('orders', 'one'), chunks, options)).rejects.toEqual(
      coded('KAGAMI_SNAPSHOT_FAILED'),
    )
    expect(await store.list('orders', options)).toEqual([])
  })

  test('that is aborted while its stream hangs has cleared up when it rejects', async () => {
    const dir = await folder()
    const store = await started(dir)
    const controller = new AbortController()
    const reason = new Error('enough')
    async function* hanging() {
      yield new Uint8Array(700_000)
      queueMicrotask(() => controller.abort(reason))
      await new Promise(() => undefined)
    }
    const created = store.create(metaOf('orders', 'one'), hanging(), { signal: controller.signal })
    await expect(created).rejects.toBe(reason)
    expect(await readdir(join(dir, 'shop'))).toEqual([])
  })

  test('of an id that exists does not even ask for a chunk', async () => {
    const store = await started(await folder())
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    let asked = false
    async function* chunks() {
      asked = true
      yield new Uint8Array(1)
    }
    await expect(store.create(metaOf('orders', 'one'), chunks(), options)).rejects.toEqual(
      coded('KAGAMI_SNAPSHOT_EXISTS'),
    )
    expect(asked).toBe(false)
  })

  test('leaves no folder behind for a token of which nothing was published, and none after the last deletion', async () => {
    const dir = await folder()
    const store = await started(dir)
    async function* failing() {
      yield new Uint8Array(300_000)
      throw new Error('theirs')
    }
    await expect(store.create(metaOf('orders', 'one'), failing(), options)).rejects.toThrow('theirs')
    expect(await readdir(join(dir, 'shop'))).toEqual([])
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    await store.delete('orders', 'one', options)
    expect(await readdir(join(dir, 'shop'))).toEqual([])
  })

  test('and delete of the last snapshot may meet again and again', async () => {
    const dir = await folder()
    const [a, b] = [await started(dir), await started(dir)]
    const turns = async (store: FsSnapshotStore, name: string) => {
      for (let turn = 0; turn < 100; turn += 1) {
        await store.create(metaOf('orders', `${name}${turn}`), chunksOf(name), options)
        await store.delete('orders', `${name}${turn}`, options)
      }
    }
    await Promise.all([turns(a, 'a'), turns(b, 'b'), turns(a, 'c')])
    expect(await readdir(join(dir, 'shop'))).toEqual([])
  })
})

describe('the folder', () => {
  test('that is a file, or lies below one, is refused by start with the option named', async () => {
    const file = join(await folder(), 'file')
    await writeFile(file, '')
    for (const dir of [file, join(file, 'snapshots')]) {
      const error: unknown = await new FsSnapshotStore({ dir }).start(contextOf()).catch((error: unknown) => error)
      expect(error).toEqual(coded('KAGAMI_BAD_OPTION', { details: expect.objectContaining({ option: 'dir' }) }))
      expect((error as Error).message).toContain(JSON.stringify(dir))
    }
  })

  test('that can not be made is refused by start, at once', async () => {
    const start = new FsSnapshotStore({ dir: '/proc/kagami/snapshots' }).start(contextOf())
    await expect(start).rejects.toEqual(coded('KAGAMI_STORE_UNAVAILABLE'))
  })

  test('that must exist is not made, nor cleared up; until it is there calls reject, and then they are answered', async () => {
    const dir = join(await folder(), 'snapshots')
    const store = fsSnapshotStore({ dir, mustExist: true })
    await store.start(contextOf())
    await expect(store.list('orders', options)).rejects.toEqual(coded('KAGAMI_STORE_UNAVAILABLE'))
    await expect(readdir(dir)).rejects.toMatchObject({ code: 'ENOENT' })
    const writer = await started(dir)
    const { meta } = await writer.create(metaOf('orders', 'one'), chunksOf('1'), options)
    expect((await store.list('orders', options)).map((ref) => ref.meta)).toEqual([meta])
    await store.stop()
  })

  test('that vanishes is an outage, never an empty list, and is not made anew', async () => {
    const dir = join(await folder(), 'mounted')
    const store = await started(dir)
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    await rename(dir, `${dir}.gone`)
    await mkdir(dir)
    const unavailable = coded('KAGAMI_STORE_UNAVAILABLE', { retryable: true })
    await expect(store.list('orders', options)).rejects.toEqual(unavailable)
    await expect(read(store, 'orders', 'one')).rejects.toEqual(unavailable)
    await expect(store.delete('orders', 'one', options)).rejects.toEqual(unavailable)
    await expect(store.create(metaOf('orders', 'two'), chunksOf('2'), options)).rejects.toEqual(unavailable)
    expect(await readdir(dir)).toEqual([])
    await rm(dir, { recursive: true })
    await rename(`${dir}.gone`, dir)
    expect((await read(store, 'orders', 'one')).toString()).toBe('1')
  })
})

describe('list', () => {
  test('leaves out what it can not read, and logs it', async () => {
    const dir = await folder()
    const log: Logged[] = []
    const store = await started(dir, undefined, log)
    await store.create(metaOf('orders', 'good'), chunksOf('1'), options)
    const [file] = await filesOf(dir, 'good')
    await writeFile(join(dirname(file!), snapshotFileName('junk')), noise(5000))
    await writeFile(join(dirname(file!), snapshotFileName('empty')), '')
    await mkdir(join(dirname(file!), snapshotFileName('folder')))
    await writeFile(join(dirname(file!), 'notes.txt'), 'not ours')
    expect((await store.list('orders', options)).map(({ meta }) => meta.id)).toEqual(['good'])
    const named = log.filter(({ level }) => level === 'warn').map(({ fields }) => String(fields['file']))
    expect(named.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort()).toEqual([
      'empty.snap',
      'folder.snap',
      'junk.snap',
    ])
  })

  test('shows a snapshot neither under another name nor under another token', async () => {
    const dir = await folder()
    const store = await started(dir)
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    await store.create(metaOf('carts', 'one'), chunksOf('2'), options)
    const [orders] = await filesOf(dir, 'one')
    await rename(orders!, join(dirname(orders!), snapshotFileName('two')))
    expect((await Promise.all(['orders', 'carts'].map((token) => store.list(token, options)))).flat().length).toBe(1)
    for (const token of ['orders', 'carts'])
      await expect(read(store, token, 'two')).rejects.toEqual(coded('KAGAMI_SNAPSHOT_MISSING'))
  })

  test('rejects when nothing can be read for a failing disk, and leaves out one bad file', async () => {
    let broken = (_path: string) => false
    const store = await started(
      await folder(),
      watchedFileSystem(({ name, path }) => {
        if (name === 'read' && broken(path)) throw systemError('EIO', 'read')
      }),
    )
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    await store.create(metaOf('orders', 'two'), chunksOf('2'), options)
    broken = (path) => path.includes('one')
    expect((await store.list('orders', options)).map(({ meta }) => meta.id)).toEqual(['two'])
    broken = () => true
    await expect(store.list('orders', options)).rejects.toEqual(coded('KAGAMI_STORE_UNAVAILABLE', { retryable: true }))
    await store.delete('orders', 'one', options)
    broken = () => false
    expect((await store.list('orders', options)).map(({ meta }) => meta.id)).toEqual(['two'])
  })
})

describe('open', () => {
  test('takes nothing before it is read, and frees the file when the reader returns', async () => {
    const open: string[] = []
    const store = await started(
      await folder(),
      watchedFileSystem(
        () => undefined,
        ({ name, path }) => {
          if (name === 'open') open.push(path)
          if (name === 'close') open.splice(open.indexOf(path), 1)
        },
      ),
    )
    await store.create(metaOf('orders', 'one'), chunksOf(noise(2_000_000)), options)
    expect(open).toEqual([])
    store.open('orders', 'one', options)
    expect(open).toEqual([])
    for await (const _ of store.open('orders', 'one', options)) {
      expect(open.length).toBe(1)
      break
    }
    expect(open).toEqual([])
    const controller = new AbortController()
    const abandoned = store.open('orders', 'one', { signal: controller.signal })
    await abandoned.next()
    expect(open.length).toBe(1)
    controller.abort()
    await expect.poll(() => open).toEqual([])
    const stopped = store.open('orders', 'one', options)
    await stopped.next()
    await store.stop()
    await expect.poll(() => open).toEqual([])
    await expect(stopped.next()).rejects.toEqual(coded('KAGAMI_STOPPED'))
  })
})

async function filesOf(dir: string, id: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true })
  return names.filter((name) => name.endsWith(`/${snapshotFileName(id)}`)).map((name) => join(dir, name))
}

function withResolvers(): { promise: Promise<unknown>; resolve: (value: unknown) => void } {
  let resolve: (value: unknown) => void = () => undefined
  const promise = new Promise((settle) => (resolve = settle))
  return { promise, resolve }
}
