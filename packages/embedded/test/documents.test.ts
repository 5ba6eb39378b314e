/** Documents that several processes change, here by two views of one folder: what a watch sees, whoever tells it or does not. */
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Documents } from '../src/documents.js'
import { openFolder, type Folder } from '../src/folder.js'
import type { Following } from '../src/following.js'
import { ownIdentity } from '../src/process-identity.js'
import { silent, testFolder } from './support.js'

let folder: Folder
/** Who writes, and who watches. */
let writer: Documents
let watcher: Documents
let nowMs = 0

beforeEach(async () => {
  folder = await openFolder(await testFolder(), 'test', ownIdentity(), silent)
  writer = new Documents(folder.documents, folder)
  watcher = new Documents(folder.documents, folder)
  nowMs = 1_000
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
})

afterEach(() => vi.restoreAllMocks())

const write = (name: string, text: string, expected?: number): Promise<number | undefined> =>
  writer.write(name, Buffer.from(text), expected)

async function seen(following: Following): Promise<Record<string, string>> {
  const found = await following.look()
  return Object.fromEntries([...found].map(([name, { bytes }]) => [name, Buffer.from(bytes).toString()]))
}

/** So long after the last thorough look that the next one is thorough. */
function later(): void {
  nowMs += 500
}

async function shelfOf(name: string): Promise<string> {
  const kind = join(folder.documents, '@x+')
  for (const shelf of await readdir(kind)) {
    const path = join(kind, shelf)
    if ((await readdir(path)).some((file) => file.startsWith(`${name.replace('/', '+')}@`))) return path
  }
  throw new Error(`no folder holds ${name}`)
}

/** As if the folder had last been changed at that time. */
async function changedAt(path: string, at: Date): Promise<void> {
  await utimes(path, at, at)
}

test('a change that somebody tells of is seen at once, and those who were told of others are left alone', async () => {
  await write('x/a', 'one')
  const [x, y] = [watcher.follow('x/'), watcher.follow('y/')]
  expect([await seen(x), await seen(y)]).toEqual([{ 'x/a': 'one' }, {}])
  await write('x/a', 'two', 1)
  expect(await seen(x)).toEqual({ 'x/a': 'one' })
  const before = [x.changes.count, y.changes.count]
  watcher.told('x/a')
  expect([x.changes.count, y.changes.count]).toEqual([before[0]! + 1, before[1]])
  expect(await seen(x)).toEqual({ 'x/a': 'two' })
})

test('a change that nobody tells of is seen by a thorough look, also the first document of its kind', async () => {
  const all = watcher.follow('')
  expect(await seen(all)).toEqual({})
  await write('x/a', 'one')
  later()
  expect(await seen(all)).toEqual({ 'x/a': 'one' })
  await changedAt(await shelfOf('x/a'), new Date(Date.now() - 60_000))
  later()
  expect(await seen(all)).toEqual({ 'x/a': 'one' })
  await write('x/a', 'two', 1)
  later()
  expect(await seen(all)).toEqual({ 'x/a': 'two' })
})

test('it is seen also where the folder shows no other time, since the one before was a short while ago', async () => {
  await write('x/a', 'one')
  const path = await shelfOf('x/a')
  const { mtime } = await stat(path)
  await changedAt(path, mtime)
  const x = watcher.follow('x/')
  expect(await seen(x)).toEqual({ 'x/a': 'one' })
  await write('x/a', 'two', 1)
  await changedAt(path, mtime)
  later()
  expect(await seen(x)).toEqual({ 'x/a': 'two' })
})

test('two who follow the same are both shown a change of which both were told once', async () => {
  await write('x/a', 'one')
  const both = [watcher.follow('x/'), watcher.follow('x/a')]
  await Promise.all(both.map(seen))
  await write('x/a', 'two', 1)
  watcher.told('x/a')
  expect(await Promise.all(both.map(seen))).toEqual([{ 'x/a': 'two' }, { 'x/a': 'two' }])
})

test('a folder that was put in the place of another is read anew, though its versions are the same', async () => {
  await write('x/a', 'one')
  const x = watcher.follow('x/')
  expect(await seen(x)).toEqual({ 'x/a': 'one' })
  const backup = `${folder.documents}.backup`
  await rename(folder.documents, backup)
  await mkdir(folder.documents)
  await new Documents(folder.documents, folder).write('x/a', Buffer.from('of another'), undefined)
  later()
  expect(await seen(x)).toEqual({ 'x/a': 'of another' })
  await rm(folder.documents, { recursive: true })
  later()
  expect(await seen(x)).toEqual({})
})

test('a damaged one is told once and stays the same, however often it is looked at, until it is mended, also where its folder shows no change', async () => {
  await write('x/a', 'one')
  await write('x/a', 'two', 1)
  const shelf = await shelfOf('x/a')
  const path = join(shelf, 'x+a@2')
  const whole = await readFile(path)
  await writeFile(path, 'damaged')
  await changedAt(shelf, new Date(Date.now() - 60_000))
  const told: string[] = []
  let again = 0
  const bearing = new Documents(folder.documents, folder, (name, _, known) => (known ? again++ : told.push(name)))
  const x = bearing.follow('x/')
  const first = (await x.look()).get('x/a')!
  expect(first).toMatchObject({ version: 2, bytes: new Uint8Array(Buffer.from('one')) })
  for (let i = 0; i < 3; i++) {
    later()
    const before = again
    expect((await x.look()).get('x/a')).toBe(first)
    expect(await bearing.read('x/a')).toBe(first)
    // Whoever can mend it may not have heard of it.
    expect(again).toBe(before + 2)
  }
  // What was held in its place is gone as well.
  await rm(join(shelf, 'x+a@1'))
  await changedAt(shelf, new Date(Date.now() - 60_000))
  later()
  expect(await seen(x)).toEqual({ 'x/a': '' })
  expect(told).toEqual(['x/a'])
  await writeFile(path, whole)
  later()
  expect(await seen(x)).toEqual({ 'x/a': 'two' })
})

describe('a document that is damaged after this process has seen it whole', () => {
  /** Told of damage, by name. */
  let told: string[]
  let holder: Documents
  let shelf: string

  /** The holder has seen this version; then a byte of it flips. */
  async function seenThenDamaged(version: number): Promise<void> {
    told = []
    holder = new Documents(folder.documents, folder, (name, _, known) => known || told.push(name))
    expect((await holder.follow('x/').look()).get('x/a')?.version).toBe(version)
    shelf = await shelfOf('x/a')
    await flip(version)
  }

  async function flip(version: number): Promise<void> {
    const path = join(shelf, `x+a@${version}`)
    const bytes = await readFile(path)
    bytes[bytes.length - 1]! ^= 1
    await writeFile(path, bytes)
  }

  const bearing = (): Documents => new Documents(folder.documents, folder, () => undefined)

  test('is given by it as it was, told, and written anew under the next version, once', async () => {
    await write('x/a', 'one')
    await write('x/a', 'two', 1)
    await seenThenDamaged(2)
    expect(await bearing().read('x/a')).toMatchObject({ version: 2, bytes: new Uint8Array(Buffer.from('one')) })
    expect(await holder.read('x/a')).toMatchObject({ version: 2, bytes: new Uint8Array(Buffer.from('two')) })
    expect(told).toEqual(['x/a'])
    expect(await holder.mend('x/a')).toBe(true)
    expect(await writer.read('x/a')).toMatchObject({ version: 3, bytes: new Uint8Array(Buffer.from('two')) })
    expect(await holder.mend('x/a')).toBe(false)
  })

  test('is left alone by who has not seen it whole, or sees a version of it that is not damaged', async () => {
    await write('x/a', 'one')
    await seenThenDamaged(1)
    const other = bearing()
    expect(await other.mend('x/a')).toBe(false)
    await other.follow('x/').look()
    expect(await other.mend('x/a')).toBe(false)
    await flip(1)
    expect(await holder.mend('x/a')).toBe(false)
    expect(await holder.mend('x/b')).toBe(false)
    expect(await holder.mend('../x')).toBe(false)
    expect((await writer.read('x/a'))?.version).toBe(1)
  })

  test('is left alone where others have written it since, though that is damaged, too', async () => {
    await write('x/a', 'one')
    await seenThenDamaged(1)
    await write('x/a', 'two', 1)
    expect(await holder.mend('x/a')).toBe(false)
    await flip(2)
    expect(await holder.read('x/a')).toMatchObject({ version: 2, bytes: new Uint8Array(0) })
    expect(await holder.mend('x/a')).toBe(false)
    expect((await bearing().read('x/a'))?.version).toBe(2)
  })

  test('is left alone in a folder that was put in the place of the one where it was seen', async () => {
    await write('x/a', 'one')
    await seenThenDamaged(1)
    await rename(folder.documents, `${folder.documents}.backup`)
    await mkdir(folder.documents)
    await new Documents(folder.documents, folder).write('x/a', Buffer.from('of another'), undefined)
    await flip(1)
    expect(await holder.read('x/a')).toMatchObject({ version: 1, bytes: new Uint8Array(0) })
    expect(await holder.mend('x/a')).toBe(false)
    expect((await bearing().read('x/a'))?.version).toBe(1)
  })
})

test('what could not be seen at first is not taken for nothing', async () => {
  await write('x/a', 'one')
  const away = `${folder.documents}.away`
  await rename(folder.documents, away)
  await writeFile(folder.documents, 'no folder')
  const x = watcher.follow('x/')
  await expect(x.look()).rejects.toMatchObject({ code: 'KAGAMI_COORDINATOR_UNAVAILABLE' })
  await rm(folder.documents)
  await rename(away, folder.documents)
  expect(await seen(x)).toEqual({ 'x/a': 'one' })
})

test('who has stopped following is told nothing any more', () => {
  const x = watcher.follow('x/')
  x.end()
  watcher.told('x/a')
  expect(x.changes.count).toBe(0)
})
