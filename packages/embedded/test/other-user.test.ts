/** What another user has left in the folder, and this process may not read, change or take away: it keeps nobody from the rest. */
import { chmod, mkdir, readdir, rename, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeDocument } from '../src/document-file.js'
import { ownIdentity } from '../src/process-identity.js'
import type { ProcessIdentity } from '../src/process-identity.js'
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
async function shelfOf(dir: string, file: string, kind: 'documents' | 'offices' = 'documents'): Promise<string> {
  // Only there: elsewhere sessions come and go.
  const folder = join(dir, (await readdir(dir))[0]!, kind)
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
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

const sessionTimeoutMs = 600

/** A process that is over. */
const dead: ProcessIdentity = { ...ownIdentity(), began: '1' }
/** One that lives, and beats no more. */
const silent = ownIdentity()

let sessionIds = 0

interface Left {
  readonly node: string
  /** Undefined: a power failure has torn it. */
  readonly process: ProcessIdentity | undefined
  /** What the other user may do with its folder, and with its member record. */
  readonly mode: number
  readonly memberMode?: number
}

/** A session that has joined as a node, and that the other user may not change. Its id. */
async function leaveSession(sessions: string, { node, process, mode, memberMode = 0o644 }: Left): Promise<string> {
  const id = `foreign-${(sessionIds++).toString(16).padStart(16, '0')}`
  const half = join(sessions, 'half')
  await mkdir(half)
  await writeFile(
    join(half, 'info'),
    process === undefined ? '' : JSON.stringify({ process, timeoutMs: sessionTimeoutMs }),
  )
  await writeFile(join(half, 'beat.1'), '')
  await writeFile(join(half, 'member.1'), JSON.stringify({ node, member: `${node}-1`, data: '' }), { mode: memberMode })
  await keepFromOther(half, mode)
  await rename(half, join(sessions, id))
  return id
}

const seesNodes =
  (...nodes: string[]) =>
  (report: Report): boolean =>
    report.event === 'members' && report['nodes'] === nodes.join()

const tells =
  (id: string) =>
  ({ event, message }: Report): boolean =>
    event === 'told' && (message as string).includes(id)

/** Two nodes of the other user, of which the first watches the members. */
async function twoNodes(dir: string): Promise<{ a: NodeProcess; b: NodeProcess; sessions: string }> {
  const [a, b] = [await startOther(dir, 'a', { sessionTimeoutMs }), await startOther(dir, 'b', { sessionTimeoutMs })]
  await a.call('join', 'a-1')
  await b.call('join', 'b-1')
  await a.call('watchMembers')
  await a.report(seesNodes('a', 'b'))
  return { a, b, sessions: join(dir, (await readdir(dir))[0]!, 'sessions') }
}

describe('a session that this process may not change', () => {
  it('of a process that is dead is over, and keeps no other death from being noticed, nor anybody from joining', async () => {
    const dir = await folderOfOther()
    const { a, b, sessions } = await twoNodes(dir)
    const ids = [
      await leaveSession(sessions, { node: 'y', process: dead, mode: 0o555 }),
      await leaveSession(sessions, { node: 'z', process: dead, mode: 0o555, memberMode: 0 }),
    ]
    // Whoever of them was first.
    for (const id of ids) await Promise.race([a.report(tells(id)), b.report(tells(id))])
    await b.kill()
    await a.report(seesNodes('a'))
    const torn = await leaveSession(sessions, { node: 'x', process: undefined, mode: 0o555 })
    const c = await startOther(dir, 'c', { sessionTimeoutMs })
    await c.call('join', 'c-1')
    await a.report(seesNodes('a', 'c'))
    expect(a.of('members').filter(({ nodes }) => /[xyz]/.test(nodes as string))).toEqual([])
    const left = (await readdir(sessions)).filter((name) => name.startsWith('foreign'))
    expect(left.sort()).toEqual([...ids, torn].map((id) => `${id}.over`).sort())
    const told = a.of('told').map(({ message }) => message)
    expect(new Set(told).size).toBe(told.length)
  })

  it('is over for its owner as well, where it was silent for its timeout', async () => {
    const dir = await folderOfOther()
    const { a, b, sessions } = await twoNodes(dir)
    const owner = await startProcess(dir, 'owner', { sessionTimeoutMs })
    const id = (await owner.call('connect')) as string
    await owner.call('join', 'owner-1')
    await a.report(seesNodes('a', 'b', 'owner'))
    const seen = a.reports.length
    owner.freeze()
    await keepFromOther(join(sessions, id), 0o555)
    await a.report(seesNodes('a', 'b'), seen)
    owner.thaw()
    await owner.report(({ event }) => event === 'over')
    const over = a.reports.length
    await owner.call('connect')
    await owner.call('join', 'owner-2')
    await a.report(seesNodes('a', 'b', 'owner'), over)
    await b.kill()
    await a.report(seesNodes('a', 'owner'))
  })

  it('nor set aside counts as alive while its process may be, is told once, and keeps no death from being noticed', async () => {
    const dir = await folderOfOther()
    const { a, b, sessions } = await twoNodes(dir)
    const owner = await startProcess(dir, 'owner', { sessionTimeoutMs })
    const owned = (await owner.call('connect')) as string
    await owner.call('join', 'owner-1')
    await a.report(seesNodes('a', 'b', 'owner'))
    // Where it is root's it may end whom the others may not, so it does nothing any more; and they nothing before all is closed to them.
    for (const node of [owner, a, b]) node.freeze()
    await keepFromOther(join(sessions, owned), 0o555)
    const id = await leaveSession(sessions, { node: 'silent', process: silent, mode: 0o555 })
    await keepFromOther(sessions, 0o555)
    for (const node of [a, b]) node.thaw()
    await a.report(seesNodes('a', 'b', 'owner', 'silent'))
    for (const closed of [id, owned]) await a.report(tells(closed))
    await owner.kill()
    await a.report(seesNodes('a', 'b', 'silent'))
    await b.kill()
    await a.report(seesNodes('a', 'silent'))
    expect(a.of('told').map(({ code }) => code)).toEqual(['EACCES', 'EACCES'])
    expect(a.of('members').at(-1)).toMatchObject({ nodes: 'a,silent' })
  })

  it('nor look into is no member, may be alive, and keeps no other death from being noticed', async () => {
    const dir = await folderOfOther()
    const { a, b, sessions } = await twoNodes(dir)
    const id = await leaveSession(sessions, { node: 'z', process: dead, mode: 0 })
    await a.report(tells(id))
    await b.kill()
    await a.report(seesNodes('a'))
    expect(a.of('members').filter(({ nodes }) => (nodes as string).includes('z'))).toEqual([])
    expect(await readdir(sessions)).toContain(id)
  })

  it('nor look into shows from outside when it beats, and is ended from there unless it has', async () => {
    const dir = await folderOfOther()
    const { a, sessions } = await twoNodes(dir)
    const id = await leaveSession(sessions, { node: 'z', process: silent, mode: 0 })
    const at = join(sessions, id)
    type Seen = { state: { beat: number }; info: unknown }
    const first = (await a.call('lookAt', sessions, id)) as Seen
    expect(first).toEqual({ state: { beat: expect.any(Number), dead: false, member: 0 }, info: { timeoutMs: 60_000 } })
    expect(await a.call('lookAt', sessions, id)).toEqual(first)
    await chmod(at, 0o700)
    await utimes(at, new Date(), new Date(Date.now() + 1_000))
    await chmod(at, 0)
    const second = (await a.call('lookAt', sessions, id)) as Seen
    expect(second.state.beat).toBeGreaterThan(first.state.beat)
    expect(await a.call('end', sessions, id, first.state.beat)).toBe(false)
    expect(await readdir(sessions)).toContain(id)
    expect(await a.call('end', sessions, id, second.state.beat)).toBe(true)
    expect(await readdir(sessions)).toContain(`${id}.over`)
  })
})

describe('an office that this process may not read', () => {
  it('is not taken from who may hold it, which whoever campaigns is told at once', async () => {
    const dir = await folderOfOther()
    const node = await startOther(dir, 'a')
    const epoch = (await node.call('campaign')) as number
    await node.kill()
    const path = join(await shelfOf(dir, `leader@${epoch}`, 'offices'), `leader@${epoch}`)
    await keepFromOther(path, 0)
    const candidate = await startOther(dir, 'b')
    await expect(candidate.call('campaign')).rejects.toMatchObject({
      code: 'KAGAMI_COORDINATOR_UNAVAILABLE',
      message: expect.stringContaining(path),
    })
    await chmod(path, 0o644)
    expect(await candidate.call('campaign')).toBeGreaterThan(epoch)
  })
})
