/** What another user has left in the folder, and this process may not read, change or take away: it keeps nobody from the rest. */
import { chmod, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeDocument } from '../src/document-file.js'
import { folderOfOther, keepFromOther, otherUser } from './other-user.js'
import { startProcess } from './processes.js'
import type { NodeProcess, Report } from './processes.js'

async function startOther(dir: string, node: string, settings = {}): Promise<NodeProcess> {
  const other = await startProcess(dir, node, settings, otherUser)
  await other.call('connect')
  return other
}

/** Whether a report of documents shows these texts. */
function shows(texts: Readonly<Record<string, string>>): (report: Report) => boolean {
  return (report) => report.event === 'documents' && JSON.stringify(report['texts']) === JSON.stringify(texts)
}

/** The folder of the only document whose file is called so. */
async function shelfOf(dir: string, file: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  return entries.find(({ name }) => name === file)!.parentPath
}

describe('a document that this process may not read', () => {
  it('counts as it was before, is told once, hides no others, and is read as soon as that is mended', async () => {
    const dir = await folderOfOther()
    const node = await startOther(dir, 'a')
    await node.call('write', 'x/1', 'one')
    await node.call('write', 'x/2', 'another')
    await node.call('watch', 'x/')
    await node.report(shows({ 'x/1': 'one', 'x/2': 'another' }))
    const path = join(await shelfOf(dir, 'x+1@1'), 'x+1@2')
    const seen = node.reports.length
    await writeFile(path, encodeDocument('x/1', 2, Buffer.from('two')), { mode: 0 })
    await keepFromOther(path, 0)
    await node.report(shows({ 'x/1': 'one', 'x/2': 'another' }), seen)
    for (const [version, text] of ['changed', 'changed again'].entries()) {
      await node.call('write', 'x/2', text, version + 1)
      await node.report(shows({ 'x/1': 'one', 'x/2': text }))
    }
    expect(node.of('told')).toMatchObject([
      { code: 'KAGAMI_COORDINATOR_UNAVAILABLE', message: expect.stringMatching(/x\/1 may not be read/) },
    ])
    await chmod(path, 0o644)
    await node.report(shows({ 'x/1': 'two', 'x/2': 'changed again' }))
  })

  it('can be written anew over what nobody may read', async () => {
    const dir = await folderOfOther()
    const node = await startOther(dir, 'a')
    await node.call('write', 'x/1', 'one')
    const path = join(await shelfOf(dir, 'x+1@1'), 'x+1@2')
    await writeFile(path, encodeDocument('x/1', 2, Buffer.from('two')), { mode: 0 })
    await keepFromOther(path, 0)
    expect(await node.call('write', 'x/1', 'three', 2)).toBe(3)
    await node.call('watch', 'x/')
    await node.report(shows({ 'x/1': 'three' }))
    expect(node.of('told')).toEqual([])
  })

  it('because its folder may not be read holds a watch up, which is told, and goes on when that is mended', async () => {
    const dir = await folderOfOther()
    const node = await startOther(dir, 'a')
    await node.call('write', 'x/1', 'one')
    await node.call('watch', 'x/')
    await node.report(shows({ 'x/1': 'one' }))
    const shelf = await shelfOf(dir, 'x+1@1')
    const { mode } = await stat(shelf)
    await keepFromOther(shelf, 0o300)
    await writeFile(join(shelf, 'x+1@2'), encodeDocument('x/1', 2, Buffer.from('two')), { mode: 0o644 })
    await node.report(({ event, message }) => event === 'told' && /a watch sees nothing/.test(message as string))
    await chmod(shelf, mode)
    await node.report(shows({ 'x/1': 'two' }))
  })
})
