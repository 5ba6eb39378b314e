/**
 * Snapshots that fail, by the state machine's fault or the store's: writes go on, the log is not truncated, health says why, and it heals by itself.
 * Snapshots that are damaged after they were published: none is ever restored, and nothing is deleted for want of a better one.
 */
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { fsSnapshotStore } from '../../src/snapshot-fs.js'
import { KagamiError, type Kagami, type SnapshotStore, type StateSnapshot } from '../../src/index.js'
import { eventually, forToken, Ledger, line, refusal, Service, TOKEN, type NodeOptions } from './support.js'

const often: NodeOptions = { snapshotting: { everyEntries: 10 } }

/** The phases of the token's snapshots on a node, as they come. */
function phasesOn(node: Kagami<number>): string[] {
  const phases: string[] = []
  node.on('snapshot', ({ token, phase }) => {
    if (token === TOKEN) phases.push(phase)
  })
  return phases
}

/** The snapshots of the token that the store has published. */
async function published(dir: string): Promise<string[]> {
  const files = await readdir(dir, { recursive: true }).catch(() => [])
  return files.filter((path) => path.includes(TOKEN) && path.endsWith('.snap'))
}

/** Snapshots of the token fail, which costs nothing else, until the fault is mended. */
async function failsAndHeals(service: Service, mend: () => void, code: string, advice: RegExp): Promise<void> {
  const b = service.node('b')
  const dir = join(service.dir, 'snapshots')
  const phases = phasesOn(b)
  // No more than that: what is tried again is this snapshot, and not one that later writes call for.
  while (!phases.includes('failed')) await service.write()
  const { problems, ok, copies } = b.health()
  expect(ok).toBe(false)
  expect(problems.join()).toMatch(/snapshots of 'orders' fail, its log is not truncated/)
  expect(problems.join()).toMatch(advice)
  expect(copies.find(({ token }) => token === TOKEN)?.snapshotError).toMatchObject({ code })
  expect(phases).not.toContain('published')
  expect(await published(dir)).toEqual([])
  await service.otherGoesOn()
  await service.holds(TOKEN, 2)

  mend()
  await eventually(() => b.health().ok, 'a snapshot succeeds, without another write')
  expect(await published(dir)).toHaveLength(1)
  const c = await service.start('c')
  let restored: string | undefined
  c.on('restored', ({ token, snapshot }) => {
    if (token === TOKEN) restored = snapshot
  })
  await service.node('a').alter(TOKEN, { replicas: 2 })
  await service.goesOn({ copies: 3 })
  expect(restored, 'the snapshot that the new copy came from').toBeDefined()
}

test('snapshot() that throws costs that snapshot, and nothing else', async () => {
  let broken = true
  class Shy extends Ledger {
    override snapshot(): StateSnapshot {
      if (broken) throw new Error('not now')
      return super.snapshot()
    }
  }
  const service = await Service.pair({ ...often, ...forToken(() => new Shy()) })
  await failsAndHeals(service, () => (broken = false), 'KAGAMI_SNAPSHOT_FAILED', /mend its snapshot\(\)/)
})

test('persist that fails half-way costs that snapshot, whose capture is released once', async () => {
  let broken = true
  let captured = 0
  let released = 0
  class HalfWay extends Ledger {
    override snapshot(): StateSnapshot {
      const whole = super.snapshot()
      captured += 1
      return {
        async *persist(options) {
          for await (const chunk of whole.persist(options)) {
            yield chunk
            if (broken) throw new Error('lost the thread')
          }
        },
        release: () => {
          released += 1
          whole.release()
        },
      }
    }
  }
  const service = await Service.pair({ ...often, ...forToken(() => new HalfWay()) })
  await failsAndHeals(service, () => (broken = false), 'KAGAMI_SNAPSHOT_FAILED', /mend its snapshot\(\)/)
  expect(released).toBe(captured)
})

/** A store that is gone after the first chunk of a snapshot, while `broken` says so. */
function halfStore(dir: string, broken: () => boolean): SnapshotStore {
  const store = fsSnapshotStore({ dir })
  const create: SnapshotStore['create'] = (meta, chunks, options) => {
    async function* half(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        yield chunk
        if (broken()) {
          throw new KagamiError('KAGAMI_STORE_UNAVAILABLE', 'the store is gone: bring it back', { retryable: true })
        }
      }
    }
    return store.create(meta, half(), options)
  }
  return {
    name: store.name,
    start: (context) => store.start(context),
    stop: () => store.stop(),
    create,
    list: (token, options) => store.list(token, options),
    open: (token, id, options) => store.open(token, id, options),
    delete: (token, id, options) => store.delete(token, id, options),
  }
}

test('a store that fails half-way costs the snapshots of all tokens, and nothing else', async () => {
  let broken = true
  const service = await Service.open([])
  for (const id of ['a', 'b']) {
    const snapshots = halfStore(join(service.dir, 'snapshots'), () => broken)
    await service.start(id, { ...often, snapshots })
  }
  await service.own('a')
  await failsAndHeals(service, () => (broken = false), 'KAGAMI_STORE_UNAVAILABLE', /bring it back/)
})

/** A service whose log no longer holds its beginning, and whose nodes have stopped; the files of the token's snapshots, from the oldest to the newest. */
async function stopped(): Promise<{ service: Service; files: string[] }> {
  const service = await Service.pair(often)
  const phases = phasesOn(service.node('b'))
  while (!phases.includes('truncated')) await service.write()
  await service.restart([])
  const dir = join(service.dir, 'snapshots')
  const index = (path: string): number => Number(basename(path).split('-')[1])
  const files = (await published(dir)).sort((one, other) => index(one) - index(other)).map((path) => join(dir, path))
  expect(files.length).toBeGreaterThanOrEqual(2)
  return { service, files }
}

const damages: Record<string, (file: string) => Promise<void>> = {
  'cut to its half': async (file) => truncate(file, Math.floor((await stat(file)).size / 2)),
  'changed in one byte': async (file) => {
    const bytes = await readFile(file)
    const at = Math.floor(bytes.length * 0.75)
    bytes[at] = (bytes[at] as number) ^ 1
    await writeFile(file, bytes)
  },
  emptied: (file) => truncate(file, 0),
}

test.each(Object.entries(damages))(
  'a snapshot that was %s is passed over for the next older one',
  async (_how, damage) => {
    const { service, files } = await stopped()
    await damage(files.at(-1) as string)
    await service.restart(['a', 'b'], often)
    await service.goesOn()
    const older = basename(files.at(-2) as string, '.snap')
    const restored = service.restored.filter(({ token }) => token === TOKEN).map(({ snapshot }) => snapshot)
    // A copy that is restored later may find a newer one, of the new run.
    expect(restored[0]).toBe(older)
    expect(restored).not.toContain(basename(files.at(-1) as string, '.snap'))
  },
)

test('a token all of whose snapshots are damaged serves nothing, and deletes nothing; mended, they bring everything back', async () => {
  const { service, files } = await stopped()
  const whole = await Promise.all(files.map(async (file) => ({ file, bytes: await readFile(file) })))
  for (const file of files) await damages['changed in one byte']?.(file)
  await service.restart(['a', 'b'], { ...often, limits: { restoreTimeoutMs: 500 } })
  for (const id of ['a', 'b']) {
    await eventually(() => service.node(id).get(TOKEN)?.role === 'failed', `the copy on ${id} fails`)
    expect(await refusal(service.node(id).get(TOKEN)!.replicate(line('lost')))).toMatchObject({
      code: 'KAGAMI_TOKEN_FAILED',
      details: { token: TOKEN, code: 'KAGAMI_LOG_GAP' },
    })
    expect(service.node(id).health().problems.join()).toMatch(
      /'orders' has failed: .* its log starts at .*Bring back a snapshot.*nothing was deleted/,
    )
  }
  await service.otherGoesOn()
  await service.restart([])
  for (const { file, bytes } of whole) {
    expect(await readFile(file), 'a damaged snapshot is left as it was').toHaveLength(bytes.length)
    await writeFile(file, bytes)
  }
  await service.restart(['a', 'b'], often)
  await service.goesOn()
})
