import { chmod, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { accessIn } from '../src/access.js'
import { folderOfOther, otherUid, otherUser } from './other-user.js'
import { startProcess } from './processes.js'
import { options, openLog, startNode, testFolder } from './support.js'

test('what is made gets the owner, the group and the rights of its folder, as far as its maker may give them', () => {
  const folder = { uid: 7, gid: 8, mode: 0o040_750 }
  const made = { uid: 1, gid: 2, mode: 0o100_600 }
  expect(accessIn(folder, made, false, true)).toEqual({ uid: 7, gid: 8, mode: 0o640 })
  expect(accessIn(folder, made, false, false)).toEqual({ uid: 1, gid: 8, mode: 0o640 })
  expect(accessIn(folder, { ...made, mode: 0o040_700 }, true, true)).toEqual({ uid: 7, gid: 8, mode: 0o750 })
  // Nothing is taken away, and nothing that is no right is passed on.
  expect(accessIn({ ...folder, mode: 0o041_777 }, { ...made, mode: 0o042_755 }, true, true).mode).toBe(0o2777)
})

/** All that lies below the cluster's folder, but sockets, which only lead there. */
async function below(root: string): Promise<{ path: string; folder: boolean; uid: number; mode: number }[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const found = entries
    .filter((entry) => entry.isFile() || entry.isDirectory())
    .map(async (entry) => {
      const path = join(entry.parentPath, entry.name)
      const { uid, mode } = await stat(path)
      return { path, folder: entry.isDirectory(), uid, mode: mode & 0o777 }
    })
  return Promise.all(found)
}

async function rootIn(dir: string): Promise<string> {
  return join(dir, (await readdir(dir))[0]!)
}

/** Makes one of everything: a session that has joined, a document, a log, an office. */
async function makeEverything(dir: string): Promise<void> {
  const { log, coordinator } = await startNode(dir, 'admin')
  const session = await coordinator.connect(options)
  await session.join({ node: 'admin', member: 'admin-1', data: new Uint8Array(1) }, options)
  await session.campaign(options)
  await session.write('x/1', Buffer.from('text'), undefined, options)
  await (await openLog(log)).append(Buffer.from('record'), options)
}

test('whoever may use the folder may use all that is in it, whatever umask its maker has', async () => {
  const dir = await testFolder()
  const { log, coordinator } = await startNode(dir, 'first')
  await Promise.all([log.stop(), coordinator.stop()])
  const root = await rootIn(dir)
  await chmod(root, 0o770)
  for (const { path } of await below(root)) await rm(path, { recursive: true, force: true })
  const umask = process.umask(0o077)
  onTestFinished(() => void process.umask(umask))
  await makeEverything(dir)
  const found = await below(root)
  expect(found.length).toBeGreaterThan(15)
  for (const { path, folder, mode } of found) expect(mode.toString(8), path).toBe(folder ? '770' : '660')
})

test('the folder itself is for whom the umask of its maker lets in, though the one above is for all', async () => {
  const dir = await testFolder()
  await chmod(dir, 0o777)
  const umask = process.umask(0o027)
  onTestFinished(() => void process.umask(umask))
  await startNode(dir, 'a')
  expect(((await stat(await rootIn(dir))).mode & 0o777).toString(8)).toBe('750')
})

test('what root makes in another user’s folder is that user’s', async () => {
  const dir = await folderOfOther()
  const first = await startProcess(dir, 'first', {}, otherUser)
  const root = await rootIn(dir)
  const umask = process.umask(0o077)
  onTestFinished(() => void process.umask(umask))
  await makeEverything(dir)
  for (const { path, uid } of await below(root)) expect(uid, path).toBe(otherUid)
  await first.call('connect')
  await first.call('watch', 'x/')
  await first.report(({ event, texts }) => event === 'documents' && (texts as { 'x/1'?: string })['x/1'] === 'text')
  expect(await first.call('write', 'x/1', 'changed', 1)).toBe(2)
})
