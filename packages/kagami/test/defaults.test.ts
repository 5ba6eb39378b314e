import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import { createKagami, type Entry, type KagamiDefaultOptions, type StateMachine } from '../src/index.js'

class Total implements StateMachine<number> {
  total = 0
  apply(entry: Entry): number {
    return (this.total += entry.value[0] ?? 0)
  }
  snapshot() {
    const { total } = this
    return {
      async *persist() {
        yield Buffer.from(String(total))
      },
      release: () => undefined,
    }
  }
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) this.total = Number(Buffer.from(chunk).toString())
  }
}

test('nodes that name only a folder share it: writes, failover, and snapshots below it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'kagami-defaults-'))
  const make = (id: string) =>
    createKagami<number>({
      cluster: 'test',
      dir,
      node: { id },
      stateMachine: () => new Total(),
      snapshotting: { everyEntries: 10 },
    })
  const [a, b] = [make('a'), make('b')]
  try {
    await Promise.all([a.start(), b.start()])
    const orders = await a.token('orders', { primary: 'self' })
    const verified = new Promise<string>((resolve) => {
      b.on('snapshot', ({ phase, id }) => {
        if (phase === 'verified') resolve(id)
      })
    })
    const promoted = new Promise<number>((resolve) => {
      b.on('promoted', ({ epoch }) => resolve(epoch))
    })
    await new Promise<void>((resolve) => {
      b.on('in-sync', () => resolve())
      if (b.get('orders')?.lag.caughtUp) resolve()
    })
    const { incarnation } = orders.next!
    for (let i = 0; i < 25; i++) await orders.replicate(Uint8Array.of(2))
    const snapshot = await verified
    await a.stop()
    expect(await promoted).toBe(2)
    const survivor = b.get('orders')
    expect(await survivor?.replicate(Uint8Array.of(2))).toEqual({ position: { incarnation, index: 25 }, result: 52 })
    expect(b.locate('orders')).toMatchObject({ primary: { id: 'b' }, epoch: 2 })
    expect((await readdir(join(dir, 'snapshots'), { recursive: true })).join('\n')).toContain(snapshot)
  } finally {
    await Promise.all([a.stop(), b.stop()])
    // A document that a node was writing when it was stopped may still get its name moments later.
    await rm(dir, { recursive: true, force: true, maxRetries: 10 })
  }
})

test('a node that names only a log, a coordinator and a folder snapshots into the folder, and restores from it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'kagami-defaults-'))
  const world = memoryCluster()
  const make = (id: string) =>
    createKagami<number>({
      cluster: 'test',
      dir,
      node: { id },
      log: world.commitLog(),
      coordinator: world.coordinator(),
      stateMachine: () => new Total(),
      snapshotting: { everyEntries: 10 },
    })
  const a = make('a')
  const b = make('b')
  try {
    await a.start()
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    const truncated = new Promise<void>((resolve) => {
      a.on('snapshot', ({ phase }) => {
        if (phase === 'truncated') resolve()
      })
    })
    for (let i = 0; i < 100; i++) await orders.replicate(Uint8Array.of(1))
    await truncated
    await b.start()
    const restored = new Promise<string | undefined>((resolve) => {
      b.on('restored', ({ snapshot }) => resolve(snapshot))
    })
    await a.alter('orders', { replicas: 1 })
    expect(await restored).toBeDefined()
    const copy = b.get('orders')
    await copy?.sync()
    expect((copy?.state as Total).total).toBe(100)
  } finally {
    await Promise.all([a.stop(), b.stop()])
    await rm(dir, { recursive: true, force: true })
  }
})

test('without a folder and without a snapshot store the option is named', () => {
  const world = memoryCluster()
  const options = {
    cluster: 'test',
    node: { id: 'a' },
    log: world.commitLog(),
    coordinator: world.coordinator(),
    stateMachine: () => new Total(),
  }
  expect(() => createKagami(options)).toThrow(/option dir is undefined/)
})

test('an option that does not go with the embedded default is named, with its value and what would be right', () => {
  const world = memoryCluster()
  for (const [wrong, option, message] of [
    [{ sessionTimeoutMs: 10 }, 'sessionTimeoutMs', /option sessionTimeoutMs is 10; expected .* from 200 to 60000/],
    [{ log: world.commitLog() }, 'coordinator', /option coordinator is undefined; .* belong together.*give dir/],
    [{ coordinator: world.coordinator() }, 'log', /option log is undefined; .* belong together.*give dir/],
    [{ dir: '' }, 'dir', /option dir is ""; expected the path of a folder/],
  ] as const) {
    const options: KagamiDefaultOptions<number> = {
      cluster: 'test',
      dir: 'unused',
      node: { id: 'a' },
      stateMachine: () => new Total(),
      ...wrong,
    }
    expect(() => createKagami(options)).toThrow(message)
    expect(() => createKagami(options)).toThrow(
      expect.objectContaining({ code: 'KAGAMI_BAD_OPTION', details: expect.objectContaining({ option }) }),
    )
  }
})
