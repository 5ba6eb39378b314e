/** One log in two processes, where the other one seals the last file and truncates it away at whatever point of what this one does. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { Cursor } from '../src/cursor.js'
import { Gate } from '../src/gate.js'
import { Journal } from '../src/journal.js'
import { OpenFiles } from '../src/open-files.js'
import { encodeHeader, segmentPath, type Segment } from '../src/segment.js'
import type { LogStore } from '../src/store.js'
import { testFolder } from './support.js'
import { identity } from './written-logs.js'

/** Lets something happen just before a file is used for a certain time from now on. */
class InterruptedFiles extends OpenFiles {
  uses = 0
  #at: (use: number) => boolean = () => false
  #happens: (segment: Segment) => Promise<void> = () => Promise.resolve()

  before(at: (use: number) => boolean, happens: (segment: Segment) => Promise<void>): void {
    this.uses = 0
    this.#at = at
    this.#happens = happens
  }

  override async use<T>(segment: Segment, task: (fd: number) => Promise<T>): Promise<T> {
    this.uses += 1
    if (this.#at(this.uses)) await this.#happens(segment)
    return super.use(segment, task)
  }
}

interface Process {
  readonly journal: Journal
  readonly files: InterruptedFiles
  /** The offset, once it is acknowledged. */
  append(payload: Uint8Array): Promise<number>
}

async function processes(count: number): Promise<Process[]> {
  const dir = await testFolder()
  const folder = join(dir, 'log')
  await mkdir(folder)
  await writeFile(segmentPath(folder, 0), encodeHeader({ identity, base: 0, dataEnd: 0 }))
  let names = 0
  return Promise.all(
    Array.from({ length: count }, async () => {
      const files = new InterruptedFiles(100)
      onTestFinished(() => files.close())
      const store = {
        files,
        syncs: new Gate(1),
        settings: { segmentBytes: 1024 ** 2 },
        folder: { scratch: () => join(dir, `scratch-${names++}`) },
        hub: { tell: () => undefined },
        nonce: () => BigInt(++names),
      } as unknown as LogStore
      const journal = await Journal.open(store, 'log', folder)
      await journal.settle()
      const append = (payload: Uint8Array): Promise<number> =>
        new Promise((resolve, reject) => journal.enqueue({ record: journal.encode(payload), resolve, reject }))
      return { journal, files, append }
    }),
  )
}

/** What a process finds that comes anew. */
async function readAnew({ journal, files }: Process): Promise<Map<number, string>> {
  await journal.settle()
  const { end } = journal
  const cursor = await Cursor.at(journal, files, journal.chain.start)
  const found = new Map<number, string>()
  for (let next = journal.chain.start; next < end;) {
    const batch = await cursor.read(end, 1024 ** 2)
    for (const { offset, bytes } of batch.records) found.set(Number(offset), Buffer.from(bytes).toString())
    next = batch.next
  }
  return found
}

const text = (value: string): Buffer => Buffer.from(value)
// Else nobody would seal a file in order to empty a log.
const large = Buffer.alloc(70_000, 'x')

const calls: readonly (readonly [string, (own: Process) => Promise<number | undefined>])[] = [
  ['appends', (own) => own.append(text('own'))],
  ['looks for the end', (own) => own.journal.settle().then(() => undefined)],
  ['truncates', (own) => own.journal.truncate(Number.MAX_SAFE_INTEGER).then(() => undefined)],
]

for (const [name, call] of calls) {
  for (const closed of [false, true]) {
    it(`${name} though another process empties the log meanwhile${closed ? ', and the file was not open' : ''}`, async () => {
      let interruptions = 0
      for (let use = 1; ; use++) {
        const [own, other, fresh] = (await processes(3)) as [Process, Process, Process]
        await own.append(large)
        await other.append(text('unseen'))
        let happened = false
        own.files.before(
          (at) => at === use,
          async (segment) => {
            happened = true
            await other.append(large)
            await other.journal.truncate(Number.MAX_SAFE_INTEGER)
            expect(other.journal.chain.segments.map(({ base }) => base)).not.toContain(segment.base)
            if (closed) own.files.forget(segment)
          },
        )
        const acknowledged = await call(own)
        if (!happened) break
        interruptions += 1
        const later = [await own.append(text('later')), await other.append(text('other'))]
        const found = await readAnew(fresh)
        expect([...found.values()].filter((value) => value === 'later' || value === 'other')).toHaveLength(2)
        expect(later.map((offset) => found.get(offset))).toEqual(['later', 'other'])
        if (acknowledged !== undefined && acknowledged >= fresh.journal.chain.start) {
          expect(found.get(acknowledged)).toBe('own')
        }
      }
      expect(interruptions).toBeGreaterThan(0)
    })
  }
}

it('refuses for now what others have sealed the file before, again and again', async () => {
  const [own, other] = (await processes(2)) as [Process, Process]
  let seals = 0
  // A write, and then a look at the file that was sealed, and one at the next.
  own.files.before(
    (use) => use % 3 === 1,
    async () => {
      seals += 1
      await other.append(large)
      await other.journal.truncate(Number.MAX_SAFE_INTEGER)
    },
  )
  const refused = expect(own.append(text('refused'))).rejects
  await refused.toMatchObject({ code: 'KAGAMI_LOG_UNAVAILABLE', retryable: true })
  expect(seals).toBe(8)
  own.files.before(
    () => false,
    () => Promise.resolve(),
  )
  const offset = await own.append(text('taken'))
  expect([...(await readAnew(other))]).toEqual([[offset, 'taken']])
})
