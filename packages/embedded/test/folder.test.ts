import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isKagamiError } from '@kagami/core/contract'
import type { TokenLog } from '@kagami/core/contract'
import { describe, expect, it, onTestFinished } from 'vitest'
import { embedded } from '../src/index.js'
import type { EmbeddedOptions } from '../src/index.js'
import { folderOfOther, keepFromOther, otherUser } from './other-user.js'
import { now, startProcess } from './processes.js'
import { context, fillDisk, mountTmpfs, openLog, options, readTexts, startNode, testFolder } from './support.js'

const run = promisify(execFile)

describe('embedded', () => {
  it('refuses options that are wrong, and names option, value and what would be right', () => {
    for (const [wrong, message] of [
      [undefined, /options is undefined; expected an object/],
      [{}, /dir is undefined; expected the path/],
      [{ dir: '' }, /dir is ""; expected the path/],
      [{ dir: 'a\0b' }, /dir is .*; expected the path/],
      [{ dir: 'x', sessionTimeoutMs: 10 }, /sessionTimeoutMs is 10; expected .* from 200 to 60000/],
      [{ dir: 'x', sessionTimeoutMs: '2000' }, /sessionTimeoutMs is "2000"/],
      [{ dir: 'x', segmentBytes: 1000 }, /segmentBytes is 1000; expected .* from 65536/],
      [{ dir: 'x', maxOpenFiles: 1.5 }, /maxOpenFiles is 1.5/],
      [{ dir: 'x', mustExist: 'yes' }, /mustExist is "yes"; expected true or false/],
      [{ dir: 'x', sesionTimeoutMs: 500 }, 'there is no option sesionTimeoutMs; did you mean sessionTimeoutMs?'],
    ] as const) {
      const make = (): unknown => embedded(wrong as unknown as EmbeddedOptions)
      expect(make).toThrow(message)
      expect(make).toThrow(expect.objectContaining({ code: 'KAGAMI_BAD_OPTION' }))
    }
  })

  it('creates its folder, also several levels deep', async () => {
    const dir = join(await testFolder(), 'a', 'b', 'c')
    const { log } = await startNode(dir, 'a')
    await (await openLog(log)).append(Buffer.from('x'), options)
  })

  it('makes nothing where the cluster must exist, and names the folder or the cluster that does not', async () => {
    const dir = await testFolder()
    const find = (where: string, cluster: string): Promise<void> =>
      embedded({ dir: where, mustExist: true }).coordinator.start({ ...context('looks'), cluster })
    const missing = join(dir, 'missing')
    await expect(find(missing, 'test')).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
      message: `option dir is ${JSON.stringify(missing)}; expected the path of a folder that exists`,
    })
    await expect(find(dir, 'test')).rejects.toThrow(
      'option cluster is "test"; expected the name of a cluster in the fol',
    )
    expect(await readdir(dir)).toEqual([])
    await startNode(dir, 'a')
    const held = await readdir(dir)
    await expect(find(dir, 'other')).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
      message: `option cluster is "other"; expected the name of a cluster in the folder ${dir}; that folder holds test`,
    })
    expect(await readdir(dir)).toEqual(held)
  })

  it('where the cluster must exist, brings back nothing of a folder that was deleted since', async () => {
    const dir = await testFolder()
    const { coordinator: node, log } = await startNode(dir, 'a')
    const { coordinator } = embedded({ dir, mustExist: true })
    onTestFinished(() => coordinator.stop())
    await coordinator.start(context('looks'))
    await Promise.all([node.stop(), log.stop()])
    await rm(dir, { recursive: true })
    await expect(coordinator.connect(options)).rejects.toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
    await expect(readdir(dir)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('several nodes of one process share a folder', async () => {
    const dir = await testFolder()
    const nodes = [await startNode(dir, 'a'), await startNode(dir, 'b'), await startNode(dir, 'c')]
    const first = await openLog(nodes[0]!.log)
    for (const { log } of nodes) {
      const handle = await openLog(log, 'orders', first.address)
      await handle.append(Buffer.from('x'), options)
    }
    expect(await readTexts(first)).toEqual(['x', 'x', 'x'])
    await nodes[0]!.log.stop()
    expect(await readTexts(await openLog(nodes[1]!.log, 'orders', first.address))).toEqual(['x', 'x', 'x'])
  })

  it('leaves nothing behind in the folder of running processes when it stops', async () => {
    const dir = await testFolder()
    const { log, coordinator } = await startNode(dir, 'a')
    const session = await coordinator.connect(options)
    await session.join({ node: 'a', member: 'a-1', data: new Uint8Array(1) }, options)
    await log.stop()
    await coordinator.stop()
    const [root] = await readdir(dir)
    for (const name of ['peers', 'sessions', 'scratch']) expect(await readdir(join(dir, root!, name)), name).toEqual([])
  })
})

describe('what was left half-made by processes that died', () => {
  const elevenMinutes = { ...otherUser, KAGAMI_TEST_LATER_MS: '660000' }

  it('is removed by a start once it is old, and what can not be removed is told, and keeps nobody from starting', async () => {
    const dir = await folderOfOther()
    const first = await startProcess(dir, 'first', {}, otherUser)
    const root = join(dir, (await readdir(dir))[0]!)
    const scratch = join(root, 'scratch')
    const setAside = join(root, 'sessions', '1-0123456789abcdef.over')
    await mkdir(setAside)
    await mkdir(join(scratch, 'litter'))
    await writeFile(join(scratch, 'litter', 'info'), 'x')
    await writeFile(join(scratch, 'old'), 'x')
    await keepFromOther(join(scratch, 'litter'), 0o555)
    await startProcess(dir, 'second', {}, otherUser)
    expect((await readdir(scratch)).sort()).toEqual(['litter', 'old'])
    await expect(stat(setAside)).resolves.toBeDefined()
    const late = await startProcess(dir, 'late', {}, elevenMinutes)
    expect(await readdir(scratch)).toEqual(['litter'])
    await expect(stat(setAside)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(late.of('told')).toMatchObject([
      { message: expect.stringContaining(join(scratch, 'litter')), code: 'EACCES' },
    ])
    await late.call('connect')
    await first.kill()
  })
})

describe('a folder whose path is longer than a socket’s may be', () => {
  it('has the sockets inside all the same: appends are told over them, and they go with it, also after a kill', async () => {
    const [outer, temporary] = [await testFolder(), await testFolder()]
    const dir = join(outer, 'x'.repeat(120), 'y'.repeat(120))
    const env = { TMPDIR: temporary }
    const [writer, reader] = [await startProcess(dir, 'writer', {}, env), await startProcess(dir, 'reader', {}, env)]
    const tookMs: number[] = []
    for (const token of ['one', 'two', 'three']) {
      // A log of its own each time: a reading that has found something by itself looks more often for a while.
      const address = (await writer.call('allocate', token)) as string
      await writer.call('append', address, `${token} before`)
      await reader.call('follow', address, 0, 60_000)
      await reader.report(({ text }) => text === `${token} before`)
      const began = now()
      await writer.call('append', address, `${token} told`)
      const { at } = await reader.report(({ text }) => text === `${token} told`)
      tookMs.push((at as number) - began)
    }
    expect(Math.min(...tookMs), `of ${tookMs.join(', ')} ms; half a second, where nobody tells`).toBeLessThan(300)
    const [root] = await readdir(dir)
    const sockets = (await readdir(join(dir, root!, 'peers'))).filter((name) => name.endsWith('.sock'))
    expect(sockets).toHaveLength(2)
    await Promise.all([writer.kill(), reader.kill()])
    await rm(outer, { recursive: true })
    expect(await readdir(temporary), 'left in the folder for temporary files').toEqual([])
  })

  it('keeps no socket of a node that has stopped, nor of a process that was killed', async () => {
    const dir = join(await testFolder(), 'x'.repeat(120), 'y'.repeat(120))
    const killed = await startProcess(dir, 'killed')
    await killed.kill()
    const { log, coordinator } = await startNode(dir, 'a')
    await coordinator.stop()
    await log.stop()
    const [root] = await readdir(dir)
    expect(await readdir(join(dir, root!, 'peers'))).toEqual([])
  })
})

describe('a folder that can not be used', () => {
  async function refusal(dir: string): Promise<{ code: string; message: string; retryable: boolean }> {
    const { log, coordinator } = embedded({ dir })
    const errors = await Promise.all(
      [log, coordinator].map((adapter) =>
        adapter.start(context('a')).then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
    )
    await Promise.all([log.stop(), coordinator.stop()])
    expect((errors[0] as { code: string }).code).toBe((errors[1] as { code: string }).code)
    return errors[0] as { code: string; message: string; retryable: boolean }
  }

  it('because its path leads through a file is a bad option, which is named', async () => {
    const dir = await testFolder()
    await writeFile(join(dir, 'file'), 'x')
    for (const path of [join(dir, 'file'), join(dir, 'file', 'below')]) {
      const error = await refusal(path)
      expect(error).toMatchObject({ code: 'KAGAMI_BAD_OPTION' })
      expect(error.message).toContain(path)
    }
  })

  it('because it is mounted read-only is named, with what to do', async () => {
    const disk = await mountTmpfs(4)
    onTestFinished(disk.remove)
    await mkdir(join(disk.path, 'kagami'))
    await run('mount', ['-o', 'remount,ro', disk.path])
    const error = await refusal(join(disk.path, 'kagami'))
    expect(error).toMatchObject({ code: 'KAGAMI_STORE_UNAVAILABLE' })
    expect(error.message).toContain(disk.path)
    expect(error.message).toMatch(/read-only/)
  })

  it('because the disk is full is KAGAMI_STORE_FULL, and works when there is room', async () => {
    const disk = await mountTmpfs(4)
    onTestFinished(disk.remove)
    const empty = fillDisk(disk.path)
    expect(await refusal(join(disk.path, 'kagami'))).toMatchObject({ code: 'KAGAMI_STORE_FULL', retryable: true })
    empty()
    await startNode(join(disk.path, 'kagami'), 'a')
  })
})

/** The other nodes close the files that were truncated away moments later, and only then is there room. */
async function appendWhenRoom(log: TokenLog, text: string): Promise<void> {
  for (;;) {
    try {
      await log.append(Buffer.from(text), options)
      return
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_STORE_FULL')) throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

describe('a disk that fills up', () => {
  it('refuses appends, retryably, loses nothing, and goes on by itself when there is room', async () => {
    const disk = await mountTmpfs(8)
    onTestFinished(disk.remove)
    const settings = { segmentBytes: 65_536 }
    const [a, b] = [await startNode(disk.path, 'a', settings), await startNode(disk.path, 'b', settings)]
    const handle = await openLog(a.log)
    const other = await openLog(b.log, 'orders', handle.address)
    const kept: string[] = []
    for (let round = 0; round < 3; round++) {
      const empty = round === 0 ? undefined : fillDisk(disk.path)
      const refused: unknown[] = []
      for (let i = 0; refused.length < 3; i++) {
        const text = `${round}-${i} `.padEnd(20_000, 'x')
        const log = i % 2 === 0 ? handle : other
        await log.append(Buffer.from(text), options).then(
          () => kept.push(text),
          (error: unknown) => refused.push(error),
        )
      }
      for (const error of refused) expect(error).toMatchObject({ code: 'KAGAMI_STORE_FULL', retryable: true })
      if (empty === undefined) {
        // Truncation makes room also on a full disk.
        await handle.truncate((await handle.range(options)).end, options)
        kept.length = 0
      } else empty()
      for (const log of [handle, other]) {
        const text = `${round} after`
        await appendWhenRoom(log, text)
        kept.push(text)
      }
    }
    // A record whose append was refused may have landed all the same, but only whole.
    for (const { log } of [a, b, await startNode(disk.path, 'c')]) {
      const texts = await readTexts(await openLog(log, 'orders', handle.address))
      expect(texts.filter((text) => kept.includes(text))).toEqual(kept)
      for (const text of texts) expect(text).toMatch(/^\d-\d+ x{19000,}$|^\d after$/)
    }
  })

  it('ends no session, and is told by writes of documents', async () => {
    const disk = await mountTmpfs(4)
    onTestFinished(disk.remove)
    const settings = { sessionTimeoutMs: 600 }
    const nodes = [await startNode(disk.path, 'a', settings), await startNode(disk.path, 'b', settings)]
    const sessions = await Promise.all(nodes.map(({ coordinator }) => coordinator.connect(options)))
    const leadership = await sessions[0]!.campaign(options)
    const version = await sessions[0]!.write('x/1', Buffer.from('before'), undefined, options)
    const empty = fillDisk(disk.path)
    const write = sessions[1]!.write('x/1', Buffer.alloc(50_000), version, options)
    await expect(write).rejects.toMatchObject({ code: 'KAGAMI_STORE_FULL', retryable: true })
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(sessions.map(({ signal }) => signal.aborted)).toEqual([false, false])
    expect(leadership.signal.aborted).toBe(false)
    expect(Buffer.from((await sessions[1]!.read('x/1', options))!.bytes).toString()).toBe('before')
    empty()
    await sessions[1]!.write('x/1', Buffer.alloc(50_000), version, options)
  })
})
