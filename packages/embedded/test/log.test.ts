import { appendFile, mkdir, readdir, readFile, readlink, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommitLog, LogBatch, TokenLog } from '@kagami/core/contract'
import { describe, expect, it, onTestFinished } from 'vitest'
import { partsOf } from '../src/names.js'
import { encodeRecord, headerBytes, recordTypes } from '../src/record.js'
import { decodeHeader, seedOf, segmentHeaderBytes } from '../src/segment.js'
import { pause } from './processes.js'
import {
  fillDisk,
  mountTmpfs,
  none,
  openLog,
  options,
  reachedFolder,
  readAll,
  readTexts,
  startNode,
  testFolder,
} from './support.js'
import { mark } from './written-logs.js'

/** The files of a log, the oldest first. */
async function filesOf(dir: string, address: string): Promise<string[]> {
  const [root] = await readdir(dir)
  const folder = join(dir, root!, 'logs', partsOf(address)!.bucket, address)
  return (await readdir(folder)).filter((name) => name.endsWith('.log')).map((name) => join(folder, name))
}

async function appendTexts(log: TokenLog, texts: readonly string[]): Promise<bigint[]> {
  const offsets: bigint[] = []
  for (const text of texts) offsets.push(await log.append(Buffer.from(text), options))
  return offsets
}

const numbered = (count: number, prefix = 'r'): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

/** What this process has open, as the system calls it. */
async function openPaths(): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd')
  return Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
}

async function reopened(dir: string, address: string): Promise<TokenLog> {
  return openLog((await startNode(dir, 'later')).log, 'orders', address)
}

describe('a log of many files', () => {
  const settings = { segmentBytes: 65_536 }
  const large = (text: string): Buffer => Buffer.from(text.padEnd(9_000, '.'))

  it('is one log to everyone, while several nodes begin files at once', async () => {
    const dir = await testFolder()
    const nodes = await Promise.all(['a', 'b', 'c'].map((node) => startNode(dir, node, settings)))
    const first = await openLog(nodes[0]!.log)
    const handles = await Promise.all(nodes.map(({ log }) => openLog(log, 'orders', first.address)))
    const offsets = new Map<string, bigint>()
    await Promise.all(
      handles.map(async (handle, node) => {
        for (let i = 0; i < 60; i++) offsets.set(`${node}-${i}`, await handle.append(large(`${node}-${i}`), options))
      }),
    )
    expect((await filesOf(dir, first.address)).length).toBeGreaterThan(10)
    for (const handle of [...handles, await reopened(dir, first.address)]) {
      const records = await readAll(handle)
      expect(records).toHaveLength(180)
      for (const { offset, bytes } of records) {
        expect(offsets.get(Buffer.from(bytes).toString().replace(/\.+$/, ''))).toBe(offset)
      }
    }
  })

  it('can be read from every offset on', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a', settings)
    const handle = await openLog(log)
    const offsets: bigint[] = []
    for (let i = 0; i < 30; i++) offsets.push(await handle.append(large(`r${i}`), options))
    for (const [i, offset] of offsets.entries()) {
      expect((await readAll(handle, offset)).map((record) => record.offset)).toEqual(offsets.slice(i))
      expect((await readAll(handle, offset + 1n)).map((record) => record.offset)).toEqual(offsets.slice(i + 1))
      expect((await readAll(handle, offset + 5_000n)).map((record) => record.offset)).toEqual(offsets.slice(i + 1))
    }
  })

  it('can be read from within the record that was written last, where another node has written behind it', async () => {
    const dir = await testFolder()
    const handle = await openLog((await startNode(dir, 'a')).log)
    const first = await handle.append(Buffer.from('one'), options)
    const other = await openLog((await startNode(dir, 'b')).log, 'orders', handle.address)
    await appendTexts(other, ['two'])
    expect(await readTexts(handle, first + 1n)).toEqual(['two'])
  })

  it('loses whole files below its start, and shrinks to almost nothing when it is emptied', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a', settings)
    const handle = await openLog(log)
    const offsets: bigint[] = []
    for (let i = 0; i < 40; i++) offsets.push(await handle.append(large(`r${i}`), options))
    const before = (await filesOf(dir, handle.address)).length
    await handle.truncate(offsets[20]!, options)
    expect((await filesOf(dir, handle.address)).length).toBeLessThan(before)
    expect(await readAll(handle)).toHaveLength(20)
    const { end } = await handle.range(options)
    await handle.truncate(end, options)
    const [file, ...others] = await filesOf(dir, handle.address)
    expect(others).toEqual([])
    expect((await readFile(file!)).byteLength).toBe(segmentHeaderBytes)
    const { start, end: now } = await (await reopened(dir, handle.address)).range(options)
    expect(start).toBe(now)
    await handle.append(large('next'), options)
    expect((await readTexts(await reopened(dir, handle.address), end)).map((text) => text.slice(0, 4))).toEqual([
      'next',
    ])
  })

  it('tells a slow reader that truncation by another node has overtaken it', async () => {
    const dir = await testFolder()
    const [a, b] = [await startNode(dir, 'a', settings), await startNode(dir, 'b', settings)]
    const handle = await openLog(a.log)
    for (let i = 0; i < 40; i++) await handle.append(large(`r${i}`), options)
    const other = await openLog(b.log, 'orders', handle.address)
    const reading = other.read(0n, { ...options, lookMs: 500, maxBatchBytes: 1 })[Symbol.asyncIterator]()
    for (let i = 0; i < 3; i++) await reading.next()
    await handle.truncate((await handle.range(options)).end, options)
    const seen: LogBatch[] = []
    const rest = async (): Promise<void> => {
      for (;;) {
        const { value } = await reading.next()
        seen.push(value as LogBatch)
        expect((value as LogBatch).records.length, 'a jump').toBe(1)
      }
    }
    await expect(rest()).rejects.toMatchObject({ code: 'KAGAMI_LOG_TRUNCATED' })
    expect(seen.length).toBeLessThan(37)
  })

  /** A log of which node b has sealed and deleted the file that node a was at the end of. */
  async function emptiedElsewhere() {
    const dir = await testFolder()
    // What is appended fits into one file, so that it is the truncation that begins another.
    const [a, b] = [await startNode(dir, 'a'), await startNode(dir, 'b')]
    const handle = await openLog(a.log)
    for (let i = 0; i < 10; i++) await handle.append(large(`r${i}`), options)
    const { end } = await handle.range(options)
    const other = await openLog(b.log, 'orders', handle.address)
    const empty = async (): Promise<void> => {
      const [file] = await filesOf(dir, handle.address)
      await other.truncate(end, options)
      expect(await filesOf(dir, handle.address)).not.toContain(file)
      // Until node a has heard of it, and has let go of what it had open.
      while ((await openPaths()).includes(`${file!} (deleted)`)) await pause(1)
    }
    return { dir, handle, other, end, empty }
  }

  it('takes an append at the end of a file that another node has sealed and deleted', async () => {
    const { handle, other, end, empty } = await emptiedElsewhere()
    await empty()
    const offset = await handle.append(large('later'), options)
    expect(offset).toBeGreaterThanOrEqual(end)
    expect((await readAll(other, end)).map((record) => record.offset)).toEqual([offset])
  })

  it.each(['its own node', 'another node'])('is read on behind such a file, when %s appends', async (whose) => {
    const { handle, other, end, empty } = await emptiedElsewhere()
    // Looks so seldom that it hears of the next record, and not of what has become of the file.
    const reading = handle.read(end, { ...options, lookMs: 60_000, maxBatchBytes: 65_536 })[Symbol.asyncIterator]()
    expect((await reading.next()).value).toMatchObject({ records: [], end })
    const next = reading.next()
    await empty()
    const offset = await (whose === 'another node' ? other : handle).append(large('later'), options)
    expect((await next).value).toMatchObject({ records: [{ offset }] })
    await reading.return?.()
  })

  it('S8: is read on, and from its start, where a file is left over below its start', async () => {
    const { dir, handle, other, end, empty } = await emptiedElsewhere()
    const reading = handle.read(end, { ...options, lookMs: 60_000, maxBatchBytes: 65_536 })[Symbol.asyncIterator]()
    await reading.next()
    const next = reading.next()
    await empty()
    const [passing] = await filesOf(dir, handle.address)
    const header = (await readFile(passing!)).subarray(0, segmentHeaderBytes)
    // Sealed, and deleted with all that it held, which the reader has been given.
    for (let i = 0; i < 8; i++) await other.append(large(`s${i}`), options)
    const { end: later } = await other.range(options)
    for (let batch = (await next).value as LogBatch; batch.next < later;)
      batch = (await reading.next()).value as LogBatch
    const waiting = reading.next()
    await other.truncate(later, options)
    await writeFile(passing!, header)
    const offset = await other.append(large('last'), options)
    const { value } = await waiting
    expect((value as LogBatch).records).toMatchObject([{ offset }])
    await reading.return?.()
    for (const node of [handle, other, await reopened(dir, handle.address)]) {
      expect((await readAll(node, later)).map((record) => record.offset)).toEqual([offset])
    }
    // The next truncation takes it away.
    expect(await filesOf(dir, handle.address)).toContain(passing)
    await other.truncate(offset, options)
    expect(await filesOf(dir, handle.address)).not.toContain(passing)
  })

  it('tells its bounds and is truncated, while another node begins files and deletes them', async () => {
    const { handle, other, empty } = await emptiedElsewhere()
    await empty()
    let over = false
    const emptying = (async () => {
      while (!over) {
        for (let i = 0; i < 8; i++) await other.append(large('more'), options)
        await other.truncate((await other.range(options)).end, options)
      }
    })()
    for (let i = 0; i < 100; i++) {
      const { start, end } = await handle.range(options)
      expect(end).toBeGreaterThanOrEqual(start)
      if (i % 10 === 0) await handle.truncate(start, options)
    }
    over = true
    await emptying
  })

  it('loses nothing while appends, truncation and readers of several nodes go on at once', async () => {
    const dir = await testFolder()
    const nodes = await Promise.all(['a', 'b'].map((node) => startNode(dir, node, settings)))
    const first = await openLog(nodes[0]!.log)
    const handles = await Promise.all(nodes.map(({ log }) => openLog(log, 'orders', first.address)))
    const stop = new AbortController()
    const appended: [bigint, string][] = []
    const read = handles.map(() => [] as [bigint, string][])
    const reading = handles.map(async (handle, node) => {
      for await (const { records } of handle.read(0n, { signal: stop.signal, lookMs: 50, maxBatchBytes: 30_000 })) {
        for (const { offset, bytes } of records)
          read[node]!.push([offset, Buffer.from(bytes).toString().replace(/\.+$/, '')])
      }
    })
    await Promise.all(
      handles.map(async (handle, node) => {
        for (let i = 0; i < 150; i++) {
          const text = `${node}-${i}`
          appended.push([await handle.append(large(text), options), text])
          // Below what both readers have read.
          const slowest = read.map((records) => records.at(-1)?.[0] ?? 0n).sort((x, y) => (x < y ? -1 : 1))[0]!
          if (i % 10 === node) await handle.truncate(slowest, options)
        }
      }),
    )
    const expected = appended.sort(([x], [y]) => (x < y ? -1 : 1))
    const last = expected.at(-1)![0]
    while (read.some((records) => (records.at(-1)?.[0] ?? 0n) < last)) await pause(5)
    stop.abort()
    for (const ended of await Promise.allSettled(reading))
      expect(ended).toMatchObject({ reason: { name: 'AbortError' } })
    const acknowledged = new Set(expected.map(([offset]) => offset))
    for (const records of read) {
      expect(records.filter(([offset]) => acknowledged.has(offset))).toEqual(expected)
      // One whose file was sealed, read and truncated away before its writer could find it there is written once more, as the contract allows.
      for (const [, text] of records.filter(([offset]) => !acknowledged.has(offset)))
        expect(expected.map((record) => record[1])).toContain(text)
    }
  })
})

describe('a log that was cut or damaged', () => {
  async function damaged(damage: (path: string, bytes: Buffer, record: (text: string) => Buffer) => Promise<void>) {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const handle = await openLog(log)
    await appendTexts(handle, numbered(5))
    await log.stop()
    const [path] = await filesOf(dir, handle.address)
    const bytes = await readFile(path!)
    const seed = seedOf(decodeHeader(path!, bytes.subarray(0, segmentHeaderBytes)).identity)
    await damage(path!, bytes, (text) =>
      encodeRecord(Buffer.from(text), { type: recordTypes.data, nonce: 77n, synced: 0, seed }),
    )
    return { dir, address: handle.address, path: path!, bytes }
  }

  it('keeps what was acknowledged, and goes on, when an append was cut at any byte', async () => {
    for (const length of [1, 7, 8, 20, 39, 40, 41, 60]) {
      const { dir, address } = await damaged((path, _bytes, record) =>
        appendFile(path, record('a record that was cut').subarray(0, length)),
      )
      const handle = await reopened(dir, address)
      expect(await readTexts(handle), `cut after ${length} bytes`).toEqual(numbered(5))
      await appendTexts(handle, ['after', 'and after'])
      expect(await readTexts(await reopened(dir, address))).toEqual([...numbered(5), 'after', 'and after'])
    }
  })

  it('keeps what was acknowledged, and goes on, when a power failure left anything at its end', async () => {
    for (const [what, garbage] of [
      ['zeros', () => Buffer.alloc(5_000)],
      ['noise', () => Buffer.from(Array.from({ length: 5_000 }, () => Math.floor(Math.random() * 256)))],
      [
        'a record without its end',
        (record: (text: string) => Buffer) =>
          Buffer.concat([record('x'.repeat(200)).subarray(0, 100), Buffer.alloc(150)]),
      ],
      [
        'a hole, and a record that was not synced',
        (record: (text: string) => Buffer) => Buffer.concat([Buffer.alloc(4_096), record('y')]),
      ],
    ] as const) {
      const { dir, address } = await damaged((path, _bytes, record) => appendFile(path, garbage(record)))
      const handle = await reopened(dir, address)
      expect(await readTexts(handle), what).toEqual(numbered(5))
      await appendTexts(handle, ['after', 'and after'])
      expect(await readTexts(handle), what).toEqual([...numbered(5), 'after', 'and after'])
      expect(await readTexts(await reopened(dir, address)), what).toEqual([...numbered(5), 'after', 'and after'])
    }
  })

  it('stops readers and writers with an error when a record was damaged that had been acknowledged', async () => {
    for (const at of [70, 100, 105]) {
      const { dir, address, path } = await damaged(async (file, bytes) => {
        bytes[at]! ^= 0x01
        await writeFile(file, bytes)
      })
      const handle = await reopened(dir, address)
      const read = readTexts(handle, 0n)
      await expect(read, `damaged at ${at}`).rejects.toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
      const { log } = await startNode(dir, 'other')
      expect(await log.find('orders', none, options)).toEqual([address])
      expect(await log.allocate('orders', none, options)).not.toBe(address)
      await expect(read).rejects.toThrow(path)
      await expect(handle.append(Buffer.from('x'), options)).rejects.toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
    }
  })

  it('tells a reader that is above the end of a file that was shortened', async () => {
    const { dir, address, bytes } = await damaged((path, whole) => truncate(path, whole.byteLength - 20))
    const handle = await reopened(dir, address)
    const read = readTexts(handle, BigInt(bytes.byteLength))
    await expect(read).rejects.toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
    expect(await readTexts(handle)).toEqual(numbered(4))
  })

  it('refuses a file whose header is damaged, or of a newer format', async () => {
    for (const [at, code] of [
      [6, 'KAGAMI_UNKNOWN_FORMAT'],
      [20, 'KAGAMI_LOG_LOST_TAIL'],
    ] as const) {
      const { dir, address } = await damaged(async (path, bytes) => {
        bytes[at]! ^= 0x01
        await writeFile(path, bytes)
      })
      await expect(reopened(dir, address)).rejects.toMatchObject({ code })
    }
  })
})

describe('records near the end of what is read at once', () => {
  /** How much a reader, and who looks for the log's end, reads at once. */
  const chunkBytes = 1024 * 1024
  const bytes = (length: number, fill = 0x41): Buffer => Buffer.alloc(length, fill)

  /** Everything is there for whoever comes later: readers, and writers too. */
  async function expectAll(dir: string, handle: TokenLog, offsets: bigint[]): Promise<void> {
    const { log } = await startNode(dir, 'reader')
    const reader = await openLog(log, 'orders', handle.address)
    expect((await readAll(reader)).map(({ offset }) => offset)).toEqual(offsets)
    const { log: other } = await startNode(dir, 'writer')
    const writer = await openLog(other, 'orders', handle.address)
    offsets.push(await writer.append(bytes(1), options))
    expect((await readAll(writer)).map(({ offset }) => offset)).toEqual(offsets)
    expect((await readAll(reader)).map(({ offset }) => offset)).toEqual(offsets)
    await log.stop()
    await other.stop()
  }

  /** A log of which a chunk ends within a record that was cut: it claims more bytes than come behind it. */
  async function cutAtChunkEnd(segmentBytes: number) {
    const dir = await testFolder()
    const handle = await openLog((await startNode(dir, 'a', { segmentBytes })).log)
    const offsets: bigint[] = []
    const append = async (length: number): Promise<void> => {
      offsets.push(await handle.append(bytes(length), options))
    }
    for (let i = 0; i < 10; i++) await append(95_000)
    const [path] = await filesOf(dir, handle.address)
    const { identity } = decodeHeader(path!, (await readFile(path!)).subarray(0, segmentHeaderBytes))
    const info = { type: recordTypes.data, nonce: 77n, synced: 64, seed: seedOf(identity) }
    await appendFile(path!, encodeRecord(bytes(262_000), info).subarray(0, 150_000))
    const { size } = await stat(path!)
    expect([size - 150_000, size].map((at) => Math.floor((at - segmentHeaderBytes) / chunkBytes))).toEqual([0, 1])
    return { dir, handle, offsets, append }
  }

  it('are all read behind one that was cut, though it claims more than comes behind it', async () => {
    const { dir, handle, offsets, append } = await cutAtChunkEnd(8 * 1024 * 1024)
    for (let i = 0; i < 5; i++) await append(10)
    await expectAll(dir, handle, offsets)
  })

  it('are all read behind one that was cut near the end of a file that is sealed', async () => {
    const { dir, handle, offsets, append } = await cutAtChunkEnd(1_150_000)
    for (let i = 0; i < 6; i++) await append(10_000)
    expect(await filesOf(dir, handle.address)).toHaveLength(2)
    for (let i = 0; i < 10; i++) await append(100_000)
    await expectAll(dir, handle, offsets)
  })

  it('are all read behind one that a full disk has cut, when whoever wrote it is dead', async () => {
    const disk = await mountTmpfs(4)
    onTestFinished(disk.remove)
    const { log } = await startNode(disk.path, 'a')
    const handle = await openLog(log)
    const offsets: bigint[] = []
    for (let i = 0; i < 10; i++) offsets.push(await handle.append(bytes(95_000), options))
    const [path] = await filesOf(disk.path, handle.address)
    await writeFile(join(disk.path, 'room'), bytes(150_000))
    const empty = fillDisk(disk.path)
    await rm(join(disk.path, 'room'))
    const before = (await stat(path!)).size
    await expect(handle.append(bytes(262_000), options)).rejects.toMatchObject({ code: 'KAGAMI_STORE_FULL' })
    const cut = (await stat(path!)).size - before
    expect(cut).toBeGreaterThan(chunkBytes - before)
    expect(cut).toBeLessThan(262_000)
    await log.stop()
    empty()
    const other = await openLog((await startNode(disk.path, 'b')).log, 'orders', handle.address)
    for (let i = 0; i < 5; i++) offsets.push(await other.append(bytes(10), options))
    await expectAll(disk.path, other, offsets)
  })

  it('are read whatever their bytes look like where a chunk ends', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const first = mark[0]!
    for (let behind = 1; behind < mark.byteLength; behind++) {
      const handle = await openLog(log, 'orders', await log.allocate('orders', none, options))
      const record = bytes(chunkBytes - headerBytes + behind)
      record.fill(first, record.byteLength - behind - 3, record.byteLength - behind)
      const offsets = [await handle.append(record, options)]
      await expectAll(dir, handle, offsets)
      await handle.truncate((await handle.range(options)).end, options)
    }
  })

  it('are read where they hold nothing but a byte with which the next one could begin', async () => {
    const dir = await testFolder()
    const handle = await openLog((await startNode(dir, 'a')).log)
    const offsets: bigint[] = []
    for (const length of [1_100_000, 1_500_000, 8 * 1024 * 1024]) {
      const record = bytes(length, mark[0])
      // Else it would be masked.
      record[length - 1] = 0
      offsets.push(await handle.append(record, options))
    }
    await expectAll(dir, handle, offsets)
  })
})

describe('a folder that can not be reached for a while', () => {
  const settings = { segmentBytes: 65_536 }
  const large = (i: number): Buffer => Buffer.from(`r${i}`.padEnd(9_000, '.'))
  const name = (bytes: Uint8Array): string => Buffer.from(bytes).toString().replace(/\.+$/, '')

  async function reached() {
    const folder = await reachedFolder()
    onTestFinished(folder.remove)
    const a = await startNode(folder.wayOf('a'), 'a', settings)
    const b = await startNode(folder.wayOf('b'), 'b', settings)
    const handle = await openLog(a.log)
    return { folder, log: a.log, handle, other: await openLog(b.log, 'orders', handle.address) }
  }

  it('is told to whoever asks for what lies there, retryably, and works when it is back', async () => {
    const { folder, log, handle } = await reached()
    await appendTexts(handle, numbered(3))
    const mend = folder.cut('a')
    for (const [what, call] of [
      ['range', () => handle.range(options)],
      ['truncate', () => handle.truncate(1n, options)],
      ['find', () => log.find('orders', none, options)],
      ['allocate', () => log.allocate('carts', none, options)],
      ['open', () => openLog(log, 'carts', handle.address.replace(/.$/, '1'))],
      ['release', () => log.release(handle.address, 1n, options)],
    ] as const) {
      await expect(call(), what).rejects.toMatchObject({ code: 'KAGAMI_LOG_UNAVAILABLE', retryable: true })
    }
    mend()
    await appendTexts(handle, ['after'])
    expect(await readTexts(handle)).toEqual([...numbered(3), 'after'])
    expect(await log.find('orders', none, options)).toEqual([handle.address])
  })

  it('takes an append only where others can read it, whether it goes into an open file or needs another', async () => {
    const { folder, handle, other } = await reached()
    await handle.append(large(0), options)
    const mend = folder.cut('a')
    const acknowledged = ['r0']
    let refused = 0
    for (let i = 1; i < 20; i++) {
      await handle.append(large(i), options).then(
        () => acknowledged.push(`r${i}`),
        (error: unknown) => {
          refused++
          expect(error).toMatchObject({ code: 'KAGAMI_LOG_UNAVAILABLE', retryable: true })
        },
      )
      const texts = (await readAll(other)).map(({ bytes }) => name(bytes))
      expect(texts.filter((text) => acknowledged.includes(text))).toEqual(acknowledged)
    }
    expect(refused, 'appends that needed another file').toBeGreaterThan(0)
    mend()
    await handle.append(large(20), options)
    expect((await readAll(other)).map(({ bytes }) => name(bytes)).at(-1)).toBe('r20')
  })

  it('keeps a reader waiting, who then goes on without a gap', async () => {
    const { folder, handle, other } = await reached()
    await other.append(large(0), options)
    const read: string[] = []
    const reading = (async () => {
      for await (const { records } of handle.read(0n, { ...options, lookMs: 20, maxBatchBytes: 30_000 })) {
        read.push(...records.map(({ bytes }) => name(bytes)))
        if (read.at(-1) === 'r19') return
      }
    })()
    const mend = folder.cut('a')
    for (let i = 1; i < 20; i++) await other.append(large(i), options)
    await Promise.race([reading, pause(300)])
    expect(read.at(-1), 'what lies in a file that can not be opened').not.toBe('r19')
    mend()
    await reading
    expect(read).toEqual(numbered(20))
  })

  it('keeps a reader waiting also at a file’s end, and loses nothing of what was read before it', async () => {
    const { folder, handle, other } = await reached()
    await other.append(large(0), options)
    const root = join(folder.path, (await readdir(folder.path))[0]!)
    // Nobody tells of the next file, only of what lies in it.
    for (const card of await readdir(join(root, 'peers'))) await rm(join(root, 'peers', card))
    const c = await startNode(folder.path, 'c', settings)
    await rm(join(root, 'peers'), { recursive: true })
    await mkdir(join(root, 'peers'))
    const silentWriter = await openLog(c.log, 'orders', handle.address)
    const reading = handle.read(0n, { ...options, lookMs: 60_000, maxBatchBytes: 10_000 })[Symbol.asyncIterator]()
    const next = async (): Promise<string[]> => {
      const { records } = (await reading.next()).value as LogBatch
      return records.map(({ bytes }) => name(bytes))
    }
    const read = await next()
    for (let i = 1; i < 20; i++) await silentWriter.append(large(i), options)
    const mend = folder.cut('a')
    await appendTexts(other, ['last'])
    const rest = (async () => {
      while (read.at(-1) !== 'last') read.push(...(await next()))
    })()
    await Promise.race([rest, pause(200)])
    expect(read.at(-1), 'what lies in a file that can not be found').not.toBe('last')
    mend()
    await rest
    expect(read).toEqual([...numbered(20), 'last'])
  })
})

describe('logs', () => {
  it('keep a bounded number of files open', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a', { maxOpenFiles: 16 })
    const stop = new AbortController()
    const before = (await readdir('/proc/self/fd')).length
    const handles: TokenLog[] = []
    for (let i = 0; i < 100; i++) handles.push(await openLog(log, `token ${i}`))
    const readings = handles.map(async (handle) => {
      for await (const { records } of handle.read(0n, { signal: stop.signal, lookMs: 20, maxBatchBytes: 1000 })) {
        if (records.length > 0) return Buffer.from(records[0]!.bytes).toString()
      }
      return undefined
    })
    await Promise.all(handles.map((handle, i) => handle.append(Buffer.from(`r${i}`), options)))
    expect(await Promise.all(readings)).toEqual(numbered(100))
    expect((await readdir('/proc/self/fd')).length - before).toBeLessThan(30)
    stop.abort()
  })

  it('are found under every token that has appended to them', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    const address = await log.allocate('orders', none, options)
    const handle = await openLog(log, 'carts', address)
    expect(await log.find('carts', none, options)).toEqual([])
    await appendTexts(handle, ['x'])
    const { log: other } = await startNode(dir, 'b')
    expect(await other.find('carts', none, options)).toEqual([address])
    expect(await other.find('orders', none, options)).toEqual([address])
  })

  it('are not reached by addresses that lead out of the folder', async () => {
    const dir = await testFolder()
    const { log } = await startNode(dir, 'a')
    for (const address of ['', '..', '../../x', 'a/b', 'x.0123456789abcdef.0/../..', 'x.0123456789abcdef.00', '\0']) {
      const open = log.open(address, { ...options, token: 'orders' })
      await expect(open, JSON.stringify(address)).rejects.toMatchObject({ code: 'KAGAMI_LOG_REPLACED' })
      await log.release(address, 5n, options)
    }
  })

  it('are allocated once each by nodes that ask at once, or the same one twice, but always whole', async () => {
    const dir = await testFolder()
    const nodes = await Promise.all(['a', 'b', 'c'].map((node) => startNode(dir, node)))
    const allocate = (log: CommitLog): Promise<string> => log.allocate('orders', none, options)
    const addresses = await Promise.all(nodes.flatMap(({ log }) => [allocate(log), allocate(log)]))
    for (const [i, address] of addresses.entries()) {
      const handle = await openLog(nodes[i % 3]!.log, 'orders', address)
      await appendTexts(handle, ['x'])
    }
    expect(new Set(addresses).size).toBe(1)
    expect(await readTexts(await openLog(nodes[0]!.log, 'orders', addresses[0]))).toHaveLength(6)
  })
})
