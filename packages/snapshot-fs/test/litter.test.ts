/** Checks that the files of killed writers go, and those of live ones stay. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { stateOf, tempName, thisWriter, writerOf } from '../src/writer.js'
import type { Writer } from '../src/writer.js'
import { chunksOf, filesIn, folder, metaOf, options, read, started } from './support.js'
import type { Logged } from './support.js'

/** Writers on this machine are looked up in /proc; elsewhere only age tells. */
const linux = process.platform === 'linux'

async function writerOfDeadProcess(): Promise<Writer> {
  const self = await thisWriter()
  const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' })
  await once(child, 'exit')
  return { ...self, pid: child.pid! }
}

const elsewhere: Writer = { scope: '0123456789abcdef', pid: process.pid, started: '1' }
const HOUR_MS = 3_600_000

/** Puts an unfinished file of a writer, of a certain age, into the folders of `orders` and of the cluster. */
async function leave(dir: string, writer: Writer, ageMs: number): Promise<string[]> {
  await mkdir(join(dir, 'shop', 'orders'), { recursive: true })
  const names = [tempName(writer), tempName(writer)]
  const time = new Date(Date.now() - ageMs)
  for (const [index, name] of names.entries()) {
    const path = join(dir, 'shop', index === 0 ? 'orders' : '.', name)
    await writeFile(path, 'unfinished')
    await utimes(path, time, time)
  }
  return names
}

describe('the name of an unfinished file', () => {
  test('tells its writer', async () => {
    const self = await thisWriter()
    expect(writerOf(tempName(self))).toEqual(self)
    expect(tempName(self)).not.toBe(tempName(self))
    expect(writerOf(tempName({ scope: '', pid: 7, started: '0' }))).toEqual({ scope: '', pid: 7, started: '0' })
  })

  test.each(['orders', '1-2.snap', '.tmp', '.x.tmp', '.keep', `.${'0'.repeat(16)}-1-1-zz.tmp`])('is not %s', (name) => {
    expect(writerOf(name)).toBeUndefined()
  })
})

describe('a writer', () => {
  test('is alive while its process runs, and dead after', async () => {
    const self = await thisWriter()
    expect(await stateOf(self, self)).toBe(linux ? 'alive' : 'unknown')
    expect(await stateOf(await writerOfDeadProcess(), self)).toBe(linux ? 'dead' : 'unknown')
  })

  test('is dead when its process id belongs to a later process', async () => {
    const self = await thisWriter()
    expect(await stateOf({ ...self, started: '1' }, self)).toBe(linux ? 'dead' : 'unknown')
    expect(await stateOf({ ...self, pid: 1, started: '99999999999' }, self)).toBe(linux ? 'dead' : 'unknown')
  })

  test('is alive when another process of this machine is it', async () => {
    const child = spawn(process.execPath, [
      '-e',
      'process.stdin.resume(); console.log(require("node:fs").readFileSync("/proc/self/stat", "utf8"))',
    ])
    onTestFinished(() => void child.kill('SIGKILL'))
    if (!linux) return
    const [stat] = (await once(child.stdout, 'data')) as [Buffer]
    const text = stat.toString()
    const writer = {
      ...(await thisWriter()),
      pid: child.pid!,
      started: text.slice(text.lastIndexOf(')') + 2).split(' ')[19]!,
    }
    expect(await stateOf(writer, await thisWriter())).toBe('alive')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(await stateOf(writer, await thisWriter())).toBe('dead')
  })

  test('of another machine or container is unknown', async () => {
    expect(await stateOf(elsewhere, await thisWriter())).toBe('unknown')
    expect(await stateOf({ scope: '', pid: 1, started: '0' }, { scope: '', pid: 1, started: '0' })).toBe('unknown')
  })
})

describe('what killed writers left behind', () => {
  test('is removed by start, in every folder', async () => {
    const dir = await folder()
    const names = await leave(dir, await writerOfDeadProcess(), linux ? 0 : 2 * HOUR_MS)
    const log: Logged[] = []
    await started(dir, undefined, log)
    expect(await filesIn(dir)).toEqual([])
    expect(log.filter(({ level }) => level === 'info').length).toBe(names.length)
  })

  test("is removed by create, in the token's folder", async () => {
    const dir = await folder()
    const store = await started(dir)
    const [, above] = await leave(dir, await writerOfDeadProcess(), linux ? 0 : 2 * HOUR_MS)
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    expect(await filesIn(dir)).toEqual([above, 'one.snap'].sort())
  })

  test('by a writer that can not be looked up is removed when it has not grown for an hour, and not before', async () => {
    const dir = await folder()
    const young = await leave(dir, elsewhere, HOUR_MS - 60_000)
    await leave(dir, elsewhere, HOUR_MS + 60_000)
    const store = await started(dir)
    expect(await filesIn(dir)).toEqual([...young].sort())
    const [old] = await leave(dir, elsewhere, HOUR_MS + 60_000)
    await store.create(metaOf('orders', 'one'), chunksOf('1'), options)
    expect(await filesIn(dir)).not.toContain(old)
    expect(await filesIn(dir)).toEqual(expect.arrayContaining(young))
  })

  test('is told from what others keep there', async () => {
    const dir = await folder()
    await mkdir(join(dir, 'shop', 'orders'), { recursive: true })
    for (const name of ['.keep', 'notes.tmp', '.nfs000001']) {
      const path = join(dir, 'shop', 'orders', name)
      await writeFile(path, '')
      await utimes(path, new Date(0), new Date(0))
    }
    await started(dir)
    expect((await filesIn(dir)).length).toBe(3)
  })
})

describe('a live writer', () => {
  test('of this process keeps its file, however old, while others start and create', async () => {
    const dir = await folder()
    const store = await started(dir)
    const paused = async function* () {
      yield Buffer.from('some')
      const [name] = await filesIn(dir)
      const path = join(dir, 'shop', 'orders', name!)
      await utimes(path, new Date(0), new Date(0))
      const other = await started(dir)
      await other.create(metaOf('orders', 'other'), chunksOf('1'), options)
      yield Buffer.from('thing')
    }
    await store.create(metaOf('orders', 'one'), paused(), options)
    expect(await filesIn(dir)).toEqual(['one.snap', 'other.snap'])
  })

  test('whose file was removed all the same is told to try again, and publishes nothing', async () => {
    const dir = await folder()
    const store = await started(dir)
    const robbed = async function* () {
      yield Buffer.from('some')
      await rm(join(dir, 'shop', 'orders', (await filesIn(dir))[0]!))
    }
    await expect(store.create(metaOf('orders', 'one'), robbed(), options)).rejects.toMatchObject({
      code: 'KAGAMI_STORE_UNAVAILABLE',
      retryable: true,
    })
    expect(await filesIn(dir)).toEqual([])
  })

  test('that waits for its stream shows that it lives, four times in the age at which others would remove its file', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const dir = await folder()
    const store = await started(dir)
    const waiting = async function* () {
      yield Buffer.from('some')
      const path = join(dir, 'shop', 'orders', (await filesIn(dir))[0]!)
      await utimes(path, new Date(0), new Date(0))
      vi.advanceTimersByTime(HOUR_MS / 4)
      await expect.poll(async () => (await stat(path)).mtimeMs).toBeGreaterThan(0)
      yield Buffer.from('thing')
    }
    await store.create(metaOf('orders', 'one'), waiting(), options)
    expect((await read(store, 'orders', 'one')).toString()).toBe('something')
    expect(vi.getTimerCount()).toBe(0)
  })
})
