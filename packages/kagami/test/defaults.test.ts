import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryCluster } from '@kagami/testkit'
import { expect, test } from 'vitest'
import { createKagami, type Entry, type StateMachine } from '../src/index.js'

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
