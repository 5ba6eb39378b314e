import { readdir, readFile, rename, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MemberRecord, Session } from '@kagami/core/contract'
import { describe, expect, it, onTestFinished } from 'vitest'
import { now, pause, startProcess } from './processes.js'
import { options, startNode, testFolder } from './support.js'

/** Resolves with the time when exactly these nodes are alive. */
async function seeNodes(session: Session, nodes: readonly string[]): Promise<number> {
  for await (const members of session.watchMembers(options)) {
    if (members.map(({ node }: MemberRecord) => node).join() === nodes.join()) return now()
  }
  throw new Error('the watch ended')
}

describe('a session', () => {
  it('ends within 300 ms of a kill, long before its timeout, and its offices pass on', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a', { sessionTimeoutMs: 30_000 })
    const session = await coordinator.connect(options)
    const tookMs: number[] = []
    for (let round = 0; round < 5; round++) {
      const victim = await startProcess(dir, 'victim', { sessionTimeoutMs: 30_000 })
      await victim.call('connect')
      await victim.call('join', `victim-${round}`)
      const epoch = (await victim.call('campaign')) as number
      await seeNodes(session, ['victim'])
      const campaign = session.campaign(options)
      const killedAt = now()
      await victim.kill()
      const [goneAt, leadership] = await Promise.all([seeNodes(session, []), campaign])
      tookMs.push(Math.round(goneAt - killedAt))
      expect(leadership.epoch).toBeGreaterThan(epoch)
      await leadership.resign()
    }
    expect(Math.max(...tookMs), `noticed after ${tookMs.join(', ')} ms`).toBeLessThan(300)
  })

  it('of a process that is frozen for longer than its timeout is over for good, and never before its lease', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 600 }
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    const victim = await startProcess(dir, 'victim', settings)
    await victim.call('connect')
    await victim.call('join', 'victim-1')
    const epoch = (await victim.call('campaign')) as number
    await seeNodes(session, ['victim'])
    const frozenAt = now()
    victim.freeze()
    const [goneAt, leadership] = await Promise.all([seeNodes(session, []), session.campaign(options)])
    expect(leadership.epoch).toBeGreaterThan(epoch)
    // The last beat may have been almost a fifth of the timeout before the freeze.
    expect(goneAt - frozenAt).toBeGreaterThan(400)
    expect(goneAt - frozenAt).toBeLessThan(1_600)
    victim.thaw()
    await victim.report(({ event }) => event === 'over')
    await victim.report(({ event }) => event === 'deposed')
    for (const [command, argument] of [
      ['join', 'victim-1'],
      ['write', 'x/1'],
      ['campaign', ''],
    ] as const) {
      await expect(victim.call(command, argument, 'text'), command).rejects.toMatchObject({
        code: 'KAGAMI_SESSION_LOST',
      })
    }
    expect(leadership.signal.aborted).toBe(false)
    await victim.call('connect')
    await victim.call('join', 'victim-2')
    await seeNodes(session, ['victim'])
  })

  it('of a process that is frozen for less than its timeout lives on', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 1_500 }
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    const victim = await startProcess(dir, 'victim', settings)
    await victim.call('connect')
    await victim.call('join', 'victim-1')
    await victim.call('campaign')
    await seeNodes(session, ['victim'])
    for (let round = 0; round < 3; round++) {
      victim.freeze()
      await pause(750)
      victim.thaw()
      await victim.call('write', `x/${round}`, 'still here')
    }
    expect(victim.of('over')).toEqual([])
    expect(victim.of('deposed')).toEqual([])
    await seeNodes(session, ['victim'])
  })

  it('is not ended by a process that was frozen itself, and saw nothing in between', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 600 }
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    await session.join({ node: 'a', member: 'a-1', data: new Uint8Array(0) }, options)
    const judge = await startProcess(dir, 'judge', settings)
    await judge.call('connect')
    for (let round = 0; round < 3; round++) {
      judge.freeze()
      await pause(900)
      judge.thaw()
      await judge.report(({ event }) => event === 'over')
      await judge.call('connect')
    }
    expect(session.signal.aborted).toBe(false)
    await seeNodes(session, ['a'])
  })

  it('is not ended by a process that was frozen together with it', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 600 }
    const [judge, other] = [await startProcess(dir, 'b', settings), await startProcess(dir, 'c', settings)]
    for (const node of [judge, other]) await node.call('connect')
    for (let round = 0; round < 3; round++) {
      // Whoever wakes up first sees the other silent for longer than its timeout.
      for (const node of [judge, other]) node.freeze()
      await pause(900)
      judge.thaw()
      await pause(150)
      other.thaw()
      await other.call('write', `x/${round}`, 'still here')
    }
    expect(other.of('over')).toEqual([])
  })

  it('of a process that is frozen is over also where the only other one is busy again and again', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 1_600 }
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    const victim = await startProcess(dir, 'victim', settings)
    await victim.call('connect')
    await victim.call('join', 'victim-1')
    await seeNodes(session, ['victim'])
    victim.freeze()
    // For longer each time than a process is that only looks late.
    const busy = setInterval(() => {
      for (const until = now() + 700; now() < until;);
    }, 30)
    onTestFinished(() => clearInterval(busy))
    await seeNodes(session, [])
    expect(session.signal.aborted).toBe(false)
  })

  it('that has been silent for long is not shown to who begins to look, and one that beats is', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 600 }
    const victim = await startProcess(dir, 'victim', settings)
    await victim.call('connect')
    await victim.call('join', 'victim-1')
    /** What somebody is shown first who has not looked before, and does not join. */
    const shown = async (id: string): Promise<string[]> => {
      const { coordinator } = await startNode(dir, id, settings)
      const session = await coordinator.connect(options)
      for await (const members of session.watchMembers(options)) {
        await coordinator.stop()
        return members.map(({ member }) => member)
      }
      throw new Error('the watch ended')
    }
    expect(await shown('before')).toEqual(['victim-1'])
    // Nobody is left who could judge it.
    victim.freeze()
    await pause(900)
    expect(await shown('after')).toEqual([])
    victim.thaw()
    await victim.report(({ event }) => event === 'over')
  })

  it('that seems silent, and may be so for long, keeps nobody from a look for longer than ten seconds', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 60_000 }
    const victim = await startProcess(dir, 'victim', settings)
    await victim.call('connect')
    await victim.call('join', 'victim-1')
    victim.freeze()
    const folders = (await readdir(dir, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && entry.name.startsWith('beat.'))
      .map((entry) => entry.parentPath)
    expect(folders).toHaveLength(1)
    // As though it had been frozen for an hour.
    for (const folder of folders) await utimes(folder, new Date(0), new Date(Date.now() - 3_600_000))
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    await seeNodes(session, ['victim'])
    victim.thaw()
  }, 30_000)

  it('that two processes were frozen with is judged anew when both wake up', async () => {
    const dir = await testFolder()
    const settings = { sessionTimeoutMs: 600 }
    const nodes = [await startProcess(dir, 'b', settings), await startProcess(dir, 'c', settings)]
    const { coordinator } = await startNode(dir, 'a', { sessionTimeoutMs: 60_000 })
    const session = await coordinator.connect(options)
    for (const node of nodes) {
      await node.call('connect')
      await node.call('join', 'm')
    }
    for (const node of nodes) node.freeze()
    await seeNodes(session, [])
    for (const node of nodes) node.thaw()
    for (const node of nodes) await node.report(({ event }) => event === 'over')
  })

  it('that a power failure has torn is no member, and holds nobody up', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a')
    const session = await coordinator.connect(options)
    const [root] = await readdir(dir)
    const sessions = join(dir, root!, 'sessions')
    await writeFile(join(sessions, session.id, 'member.7'), '')
    const victim = await startProcess(dir, 'b')
    const id = (await victim.call('connect')) as string
    await writeFile(join(sessions, id, 'info'), '')
    const other = await startProcess(dir, 'c')
    await other.call('connect')
    await other.call('join', 'c-1')
    await seeNodes(session, ['c'])
  })

  it('that can not be looked at counts as alive, also for who has never seen it, and keeps nobody else from joining', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a', { sessionTimeoutMs: 30_000 })
    const session = await coordinator.connect(options)
    await session.join({ node: 'a', member: 'a-1', data: new Uint8Array(0) }, options)
    const [root] = await readdir(dir)
    const path = join(dir, root!, 'sessions', session.id)
    await rename(path, `${path}.away`)
    await symlink(path, path)
    const twin = await startProcess(dir, 'a')
    await twin.call('connect')
    await expect(twin.call('join', 'a-2')).rejects.toMatchObject({ code: 'KAGAMI_NODE_ID_TAKEN' })
    const other = await startProcess(dir, 'b')
    await other.call('connect')
    await other.call('join', 'b-1')
    expect(twin.of('told')).toMatchObject([{ message: expect.stringContaining(session.id), code: 'ELOOP' }])
    await unlink(path)
    await rename(`${path}.away`, path)
    await seeNodes(session, ['a', 'b'])
  })

  it('is told to be blind, where no session can be looked at for seconds, and sees again when that is over', async () => {
    const dir = await testFolder()
    const node = await startProcess(dir, 'a', { sessionTimeoutMs: 30_000 })
    await node.call('connect')
    const sessions = join(dir, (await readdir(dir))[0]!, 'sessions')
    await rename(sessions, `${sessions}.away`)
    await writeFile(sessions, 'no folder')
    await node.report(({ event, message }) => event === 'told' && /nobody can be seen/.test(message as string))
    await unlink(sessions)
    await rename(`${sessions}.away`, sessions)
    await node.call('join', 'a-1')
    await node.call('watchMembers')
    await node.report(({ event, nodes }) => event === 'members' && nodes === 'a')
  })

  it('ends with all others when somebody deletes the folder, and the next one begins anew', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a', { sessionTimeoutMs: 600 })
    const session = await coordinator.connect(options)
    await session.write('x/1', new Uint8Array(1), undefined, options)
    const [root] = await readdir(dir)
    const { rm } = await import('node:fs/promises')
    await rm(join(dir, root!), { recursive: true, force: true })
    await new Promise<void>((resolve) => session.signal.addEventListener('abort', () => resolve()))
    const again = await coordinator.connect(options)
    expect(await again.read('x/1', options)).toBeUndefined()
    expect(await again.write('x/1', new Uint8Array(2), undefined, options)).toBe(1)
  })
})

describe('documents', () => {
  it('that are damaged are told, never given out, and hide no others', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a')
    const session = await coordinator.connect(options)
    await session.write('x/2', Buffer.from('another'), undefined, options)
    const version = await session.write('x/1', Buffer.from('whole'), undefined, options)
    const files = await readdir(dir, { recursive: true })
    const path = join(
      dir,
      files.find((file) => file.endsWith(`x+1@${version}`))!,
    )
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(40),
      Buffer.from('KGMDOC1\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'),
    ]) {
      await writeFile(path, bytes)
      expect(await session.read('x/1', options)).toEqual({ name: 'x/1', version, bytes: new Uint8Array(0) })
      const { coordinator: fresh } = await startNode(dir, 'b')
      const other = await fresh.connect(options)
      for await (const documents of other.watch('x/', options)) {
        expect([...documents.values()].map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['', 'another'])
        break
      }
      await fresh.stop()
    }
    expect(await session.write('x/1', Buffer.from('anew'), version, options)).toBe(version + 1)
  })

  it('of which the newest version is damaged count as they were before, and can be written again', async () => {
    const dir = await testFolder()
    const first = await startNode(dir, 'a')
    const session = await first.coordinator.connect(options)
    const others = ['x/2', 'x/3', 'x/4']
    for (const name of others) await session.write(name, Buffer.from('whole'), undefined, options)
    let version: number | undefined
    for (const text of ['one', 'two', 'three'])
      version = await session.write('x/1', Buffer.from(text), version, options)
    const files = await readdir(dir, { recursive: true })
    const path = join(
      dir,
      files.find((file) => file.endsWith(`x+1@${version}`))!,
    )
    const bytes = await readFile(path)
    bytes[bytes.length - 2]! ^= 1
    await writeFile(path, bytes)
    // One that has not seen it whole.
    const { coordinator } = await startNode(dir, 'b')
    const other = await coordinator.connect(options)
    for await (const documents of other.watch('x/', options)) {
      expect([...documents.keys()]).toEqual(['x/1', ...others])
      break
    }
    const found = await other.read('x/1', options)
    expect(found).toMatchObject({ version, bytes: new Uint8Array(Buffer.from('two')) })
    const next = await other.write('x/1', Buffer.from('four'), found!.version, options)
    expect(await session.read('x/1', options)).toMatchObject({
      version: next,
      bytes: new Uint8Array(Buffer.from('four')),
    })
  })

  it('refuse names that are none', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a')
    const session = await coordinator.connect(options)
    for (const name of ['', '../x@', 'a b', 'ü', 'x'.repeat(300), 'a\0b', 'a@1']) {
      const write = session.write(name, new Uint8Array(1), undefined, options)
      await expect(write, JSON.stringify(name)).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
    }
    for (const name of ['..', '.', '../../x', '/', 'A', 'a', '-']) {
      await session.write(name, Buffer.from(name), undefined, options)
      expect(Buffer.from((await session.read(name, options))!.bytes).toString()).toBe(name)
    }
  })

  it('keep a few old versions at most', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a')
    const session = await coordinator.connect(options)
    let version: number | undefined
    for (let i = 0; i < 20; i++) version = await session.write('x/1', Buffer.from(`${i}`), version, options)
    const [root] = await readdir(dir)
    expect((await readdir(await shelfOf(join(dir, root!)))).length).toBeLessThanOrEqual(4)
    expect(await readdir(join(dir, root!, 'scratch'))).toEqual([])
  })
})

/** The folder that holds the only document. */
async function shelfOf(root: string): Promise<string> {
  const kind = join(root, 'documents', '@x+')
  const [shelf] = await readdir(kind)
  return join(kind, shelf!)
}

/** Everything below a folder, with the state of each file. */
async function contentOf(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const told = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name)
    const { ino, size, mtimeMs } = await stat(path)
    return `${path} ${ino} ${entry.isFile() ? `${size} ${mtimeMs}` : ''}`
  })
  return (await Promise.all(told)).sort()
}

describe('a coordinator that has stopped', () => {
  it('changes nothing any more, though it was clearing dead sessions away', async () => {
    for (let round = 0; round < 3; round++) {
      const dir = await testFolder()
      const victim = await startProcess(dir, 'victim')
      for (let i = 0; i < 40; i++) await victim.call('connect')
      await victim.kill()
      expect((await contentOf(dir)).length).toBeGreaterThan(40)
      const { coordinator } = await startNode(dir, 'a')
      await coordinator.connect(options)
      await coordinator.stop()
      const before = await contentOf(dir)
      await pause(100)
      expect(await contentOf(dir)).toEqual(before)
    }
  })
})
