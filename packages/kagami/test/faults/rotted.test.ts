/** Bytes of the coordinator's documents that rot on the disk: what processes remember, the assignments and the logs bring everything back. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { Fleet, type Status } from './fleet.js'

const tokens = ['t1', 't2', 't3', 't4']

/** The files of all documents of a kind, by document, the newest version last. */
async function filesOf(dir: string, kind: 'specs' | 'assignments'): Promise<ReadonlyMap<string, readonly string[]>> {
  const version = (file: string): number => Number(file.split('@').at(-1))
  const found = new Map<string, string[]>()
  for (const file of await readdir(dir, { recursive: true })) {
    if (!basename(file).startsWith(`${kind}+`)) continue
    const name = basename(file).split('@')[0]!
    found.set(
      name,
      [...(found.get(name) ?? []), file].sort((a, b) => version(a) - version(b)),
    )
  }
  return new Map([...found].map(([name, files]) => [name, files.map((file) => join(dir, file))]))
}

async function rot(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length - 2]! ^= 1
  await writeFile(path, bytes)
}

/** What stands before the JSON in a document's file. */
const HEADER_BYTES = 32

/** Whether the file holds JSON as it was written: the flipped bit makes none. */
async function isWhole(path: string): Promise<boolean> {
  try {
    JSON.parse((await readFile(path)).toString('utf8', HEADER_BYTES))
    return true
  } catch {
    return false
  }
}

const unharmed = { lost: [], twice: 0, rejectedButApplied: [], outOfTerm: [], diverged: [] }

test(
  'what the living remember is written anew as soon as a process finds it damaged, and all goes on',
  { timeout: 120_000 },
  async () => {
    await using fleet = new Fleet(tokens)
    await fleet.open(['a', 'b', 'c'])
    await fleet.atRest()
    const rotten: { readonly name: string; readonly kind: 'specs' | 'assignments'; readonly files: number }[] = []
    for (const kind of ['specs', 'assignments'] as const) {
      for (const [name, files] of await filesOf(fleet.dir, kind)) {
        await rot(files.at(-1)!)
        rotten.push({ name, kind, files: files.length })
      }
    }
    expect(rotten.length).toBeGreaterThanOrEqual(4)
    await fleet.start('d')
    await fleet.eventually(async () => {
      for (const { name, kind } of rotten) {
        const files = (await filesOf(fleet.dir, kind)).get(name) ?? []
        if (!(await isWhole(files.at(-1)!))) return false
      }
      return true
    }, 'every document is whole again')
    await fleet.settled()
    const before = fleet.acked.size
    await fleet.worker('a').kill()
    await fleet.settled()
    await fleet.goesOn(before)
    expect(await fleet.verdict()).toMatchObject(unharmed)
  },
)

test.each(['specs', 'assignments'] as const)(
  '%s of which no version is whole when all processes start are written anew, and every token is served and fails over',
  { timeout: 120_000 },
  async (kind) => {
    await using fleet = new Fleet(tokens)
    await fleet.open(['a', 'b', 'c'])
    await fleet.atRest()
    await Promise.all(fleet.alive.map((worker) => worker.kill()))
    for (const files of (await filesOf(fleet.dir, kind)).values()) for (const file of files) await rot(file)
    const before = fleet.acked.size
    await Promise.all(['b', 'c', 'd'].map((id) => fleet.start(id)))
    await fleet.settled()
    await fleet.goesOn(before)
    await fleet.worker('b').kill()
    await fleet.settled()
    await fleet.goesOn(fleet.acked.size)
    await fleet.eventually(async () => {
      const states = await Promise.all(fleet.alive.map((worker) => worker.ask<Status>('status')))
      return states.every(({ problems }) => problems.length === 0)
    }, 'no node has a problem')
    expect(await fleet.verdict()).toMatchObject(unharmed)
  },
)
