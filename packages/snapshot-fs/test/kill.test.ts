/** Kills real writers at any moment, and checks what the next one finds. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { contextOf, filesIn, folder, options, read } from './support.js'
import { FsSnapshotStore } from '../src/store.js'

const publisher = fileURLToPath(new URL('./children/publisher.mjs', import.meta.url))
const ROUNDS = 30

function contentOf(id: string): Buffer {
  const seed = createHash('sha256').update(id).digest()
  const chunks = Array.from({ length: 2 + (seed[0]! % 12) }, (_, index) =>
    Buffer.alloc(100_000, createHash('sha256').update(`${id} ${index}`).digest()),
  )
  return Buffer.concat(chunks)
}

/** Runs a publisher, kills it `delayMs` after its first chunk, and gives what it had said. */
async function killed(dir: string, round: number, delayMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [publisher, dir, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  try {
    let said = ''
    let timer: NodeJS.Timeout | undefined
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString()
      if (said.includes('chunk')) timer ??= setTimeout(() => child.kill('SIGKILL'), delayMs)
    })
    const [code, signal] = (await closed) as [number | null, string | null]
    expect([code, signal]).toEqual([null, 'SIGKILL'])
    return said.split('\n').slice(0, -1)
  } finally {
    child.kill('SIGKILL')
    await closed
  }
}

describe('a writer that is killed', () => {
  test(`at any moment, ${ROUNDS} times, loses nothing it had published, shows nothing partial, and leaves nothing for ever`, async () => {
    const dir = await folder()
    const acknowledged = new Set<string>()
    const doing: Record<string, number> = {}
    let litter = 0
    for (let round = 0; round < ROUNDS; round += 1) {
      const said = await killed(dir, round, Math.random() * 40)
      for (const line of said) if (line.startsWith('published ')) acknowledged.add(line.slice('published '.length))
      const last = said.at(-1)!.split(' ')[0]!
      doing[last] = (doing[last] ?? 0) + 1
      const unfinished = (await filesIn(dir)).filter((name) => name.endsWith('.tmp'))
      expect(unfinished.length).toBeLessThanOrEqual(1)
      litter += unfinished.length

      const store = new FsSnapshotStore({ dir })
      await store.start(contextOf())
      if (process.platform === 'linux') expect((await filesIn(dir)).every((name) => name.endsWith('.snap'))).toBe(true)
      const found = new Set<string>()
      for (const token of ['token 0', 'token 1', 'token 2']) {
        for (const { meta, bytes } of await store.list(token, options)) {
          found.add(meta.id)
          const expected = contentOf(meta.id)
          expect(bytes).toBe(expected.byteLength)
          expect((await read(store, token, meta.id)).equals(expected)).toBe(true)
        }
      }
      expect([...acknowledged].filter((id) => !found.has(id))).toEqual([])
      // The one that was under way may have been published before its writer could say so.
      expect(found.size - acknowledged.size).toBeLessThanOrEqual(1)
      for (const id of found) acknowledged.add(id)
      await trim(store, acknowledged)
      await store.stop()
    }
    console.log(
      `killed ${ROUNDS} writers, after they had said: ${JSON.stringify(doing)}; ${litter} left an unfinished file`,
    )
    expect(litter).toBeGreaterThan(0)
  })
})

/** Keeps two snapshots per token, so that a round does not read all that the rounds before it wrote. */
async function trim(store: FsSnapshotStore, known: Set<string>): Promise<void> {
  for (const token of ['token 0', 'token 1', 'token 2']) {
    for (const { meta } of (await store.list(token, options)).slice(2)) {
      await store.delete(token, meta.id, options)
      known.delete(meta.id)
    }
  }
}
