import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openLog, options, readAll, readTexts, startNode, testFolder } from './support.js'
import { now, pause, startProcess } from './processes.js'
import type { NodeProcess } from './processes.js'

function acknowledged(nodes: readonly NodeProcess[]): Map<string, string> {
  return new Map(
    nodes.flatMap((node) => node.of('acked').map(({ text, offset }) => [text as string, offset as string])),
  )
}

describe('processes that are killed', () => {
  it('lose no acknowledged record, and every reader sees one order without a gap, whenever they are killed', async () => {
    const dir = await testFolder()
    const settings = { segmentBytes: 65_536 }
    const { log } = await startNode(dir, 'reader', settings)
    const handle = await openLog(log)
    const { address } = handle
    const follower = await startProcess(dir, 'follower', settings)
    await follower.call('follow', address, 0, 500)
    const nodes: NodeProcess[] = []
    const survivor = await startProcess(dir, 'survivor', settings)
    await survivor.call('flood', address, 's-', 700, 4)
    for (let round = 0; round < 25; round++) {
      const victim = await startProcess(dir, `victim-${round}`, settings)
      await victim.call('flood', address, `v${round}-`, round % 3 === 0 ? 60_000 : 700, 4)
      nodes.push(victim)
      await victim.report(({ event }) => event === 'acked')
      await pause(Math.random() * 40)
      await victim.kill()
    }
    await survivor.kill()
    const acked = acknowledged([survivor, ...nodes])
    expect(acked.size).toBeGreaterThan(100)
    const records = await readAll(handle, 0n)
    const byOffset = new Map(
      records.map(({ offset, bytes }) => [String(offset), Buffer.from(bytes).toString().replace(/\.+$/, '')]),
    )
    for (const [text, offset] of acked) expect(byOffset.get(offset), `the record at ${offset}`).toBe(text)
    // A node that comes later sees the same, and so did the one that followed all the time.
    const { log: later } = await startNode(dir, 'later', settings)
    const again = await readAll(await openLog(later, 'orders', address), 0n)
    expect(again.map(({ offset }) => offset)).toEqual(records.map(({ offset }) => offset))
    const last = String(records.at(-1)!.offset)
    await follower.report(({ event, offset }) => event === 'read' && offset === last)
    expect(follower.of('read').map(({ offset, text }) => [offset, text])).toEqual([...byOffset])
    expect(follower.of('ended')).toEqual([])
  })

  it('leave documents whole: no count that was written is lost or given twice', async () => {
    const dir = await testFolder()
    const survivor = await startProcess(dir, 'survivor')
    await survivor.call('connect')
    await survivor.call('count', 'x/count')
    const counts: number[] = []
    for (let round = 0; round < 10; round++) {
      const victim = await startProcess(dir, `victim-${round}`)
      await victim.call('connect')
      await victim.call('count', 'x/count')
      await victim.report(({ event }) => event === 'counted')
      await pause(Math.random() * 60)
      await victim.kill()
      counts.push(...victim.of('counted').map(({ count }) => count as number))
    }
    await survivor.kill()
    counts.push(...survivor.of('counted').map(({ count }) => count as number))
    expect(new Set(counts).size).toBe(counts.length)
    const { coordinator } = await startNode(dir, 'judge')
    const session = await coordinator.connect(options)
    const document = await session.read('x/count', options)
    expect(Number(Buffer.from(document!.bytes).toString())).toBeGreaterThanOrEqual(Math.max(...counts))
  })
})

/** Keeps a process frozen until another, that does one thing after the other, has done one of which it began all meanwhile. */
async function freezeUntil(victim: NodeProcess, other: NodeProcess, event: string): Promise<void> {
  victim.freeze()
  const frozenAt = now()
  const seen = other.reports.length
  const done = (): boolean => {
    const since = other.reports.slice(seen).filter((report) => report.event === event && Number(report.at) > frozenAt)
    return since.length > 1
  }
  const kept = pause(20_000).then(() => Promise.reject(new Error('the other process was kept from it for 20 s')))
  await Promise.race([other.report(done), kept])
  victim.thaw()
}

describe('a process that is frozen', () => {
  it('keeps nobody from appending, wherever in its own append it was frozen', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const { address } = await openLog(log)
    const [victim, other] = [await startProcess(dir, 'victim'), await startProcess(dir, 'other')]
    await victim.call('flood', address, 'v-', 14_000, 4)
    await other.call('flood', address, 'o-', 14_000, 1)
    for (let round = 0; round < 20; round++) {
      await pause(20 + Math.random() * 30)
      await freezeUntil(victim, other, 'acked')
    }
    expect(victim.of('refused')).toEqual([])
    expect(other.of('refused')).toEqual([])
  })

  it('that was about to write a document keeps nobody from writing it', async () => {
    const dir = await testFolder()
    const [victim, other] = [await startProcess(dir, 'victim'), await startProcess(dir, 'other')]
    for (const node of [victim, other]) {
      await node.call('connect')
      await node.call('count', 'x/count')
    }
    for (let round = 0; round < 10; round++) {
      await pause(20 + Math.random() * 30)
      await freezeUntil(victim, other, 'counted')
    }
    const counts = [...victim.of('counted'), ...other.of('counted')].map(({ count }) => count)
    expect(new Set(counts).size).toBe(counts.length)
  })
})

describe('a reader in another process', () => {
  it('sees an append within a few milliseconds', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const handle = await openLog(log)
    const reader = await startProcess(dir, 'reader')
    await reader.call('follow', handle.address, 0, 60_000)
    const latencies: number[] = []
    for (let i = 0; i < 100; i++) {
      await handle.append(Buffer.from(`r${i}`), options)
      const acked = now()
      const { at } = await reader.report(({ event, text }) => event === 'read' && text === `r${i}`, i)
      latencies.push((at as number) - acked)
      await pause(5)
    }
    latencies.sort((a, b) => a - b)
    expect(latencies[50], `p50 of ${latencies.map((ms) => ms.toFixed(1)).join(' ')}`).toBeLessThan(3)
  })

  it('leaves the processor alone while nothing is appended', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const reader = await startProcess(dir, 'reader')
    for (let i = 0; i < 100; i++) {
      const handle = await openLog(log, `token-${i}`)
      await handle.append(Buffer.from('x'), options)
      await reader.call('follow', handle.address, 0, 500)
    }
    await reader.report((_report) => reader.of('read').length === 100)
    await pause(1_000)
    const [before] = [(await reader.call('cpu')) as { ms: number; at: number }]
    await pause(3_000)
    const after = (await reader.call('cpu')) as { ms: number; at: number }
    const share = (after.ms - before.ms) / (after.at - before.at)
    // A busy loop would take a whole core; a hundred logs take less than a hundredth on a quiet machine.
    expect(share, `${(share * 100).toFixed(2)} % of a core for 100 idle logs`).toBeLessThan(0.05)
  })

  it('is right, only slower, when nobody tells it of appends', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const handle = await openLog(log)
    const deaf = await deafReader(dir, handle.address)
    for (let i = 0; i < 5; i++) await handle.append(Buffer.from(`r${i}`), options)
    await deaf.report(({ event, text }) => event === 'read' && text === 'r4')
    expect(deaf.of('read').map(({ text }) => text)).toEqual(['r0', 'r1', 'r2', 'r3', 'r4'])
  })

  it('sees what a process wrote that was frozen before it could say so', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const handle = await openLog(log)
    const victim = await startProcess(dir, 'victim')
    await victim.call('flood', handle.address, 'v-', 14_000, 1)
    await victim.report(({ event }) => event === 'acked')
    victim.freeze()
    const texts = (await readTexts(handle)).map((text) => text.replace(/\.+$/, ''))
    const acked = victim.of('acked').map(({ text }) => text)
    expect(texts.slice(0, acked.length)).toEqual(acked)
    victim.thaw()
  })
})

/** A reader that no other process can reach. */
async function deafReader(dir: string, address: string): Promise<NodeProcess> {
  const { readdir, rm } = await import('node:fs/promises')
  const { join } = await import('node:path')
  const [root] = await readdir(dir)
  const peers = join(dir, root!, 'peers')
  const cards = await readdir(peers)
  for (const name of cards) await rm(join(peers, name))
  const reader = await startProcess(dir, 'deaf')
  for (const name of await readdir(peers)) await rm(join(peers, name))
  await reader.call('follow', address, 0, 60_000)
  return reader
}

describe('a document of which a byte has rotted', () => {
  /** Its newest version, on the disk. */
  async function newest(dir: string, name: string): Promise<{ readonly path: string; readonly version: number }> {
    const files = await readdir(dir, { recursive: true })
    const versions = files
      .filter((file) => basename(file).startsWith(`${name}@`))
      .map((file) => Number(file.split('@').at(-1)))
    const version = Math.max(...versions)
    return {
      version,
      path: join(
        dir,
        files.find((file) => file.endsWith(`${name}@${version}`))!,
      ),
    }
  }

  async function rot(path: string): Promise<void> {
    const bytes = await readFile(path)
    bytes[bytes.length - 2]! ^= 1
    await writeFile(path, bytes)
  }

  it('is written anew by a process that has read it before, as soon as another one finds it', async () => {
    const dir = await testFolder()
    const [holder, finder] = [await startProcess(dir, 'holder'), await startProcess(dir, 'finder')]
    await holder.call('connect')
    await holder.call('watch', 'x/')
    await holder.call('write', 'x/1', 'one')
    await holder.call('write', 'x/1', 'two', 1)
    await holder.report(({ event, texts }) => event === 'documents' && (texts as { 'x/1'?: string })['x/1'] === 'two')
    const { path } = await newest(dir, 'x+1')
    await rot(path)
    await finder.call('connect')
    await finder.call('watch', 'x/')
    await finder.report(({ event, message }) => event === 'told' && /x\/1 is damaged/.test(String(message)))
    await finder.report(({ event, texts }) => event === 'documents' && (texts as { 'x/1'?: string })['x/1'] === 'two')
    await holder.report(
      ({ event, message }) => event === 'told' && /x\/1 was damaged, and is written anew/.test(String(message)),
    )
    expect((await newest(dir, 'x+1')).version).toBe(3)
    expect(await finder.call('write', 'x/1', 'three', 3)).toBe(4)
  })

  it('is written anew also where the process that has read it was frozen when it was found', async () => {
    const dir = await testFolder()
    const holder = await startProcess(dir, 'holder', { sessionTimeoutMs: 20_000 })
    await holder.call('connect')
    await holder.call('watch', 'x/')
    await holder.call('write', 'x/1', 'one')
    await holder.report(({ event, texts }) => event === 'documents' && (texts as { 'x/1'?: string })['x/1'] === 'one')
    const { path } = await newest(dir, 'x+1')
    await rot(path)
    holder.freeze()
    const finder = await startProcess(dir, 'finder')
    await finder.call('connect')
    await finder.call('watch', 'x/')
    await finder.report(({ event, texts }) => event === 'documents' && (texts as { 'x/1'?: string })['x/1'] === '')
    holder.thaw()
    await finder.report(({ event, texts }) => event === 'documents' && (texts as { 'x/1'?: string })['x/1'] === 'one')
    expect((await newest(dir, 'x+1')).version).toBe(2)
  })
})
