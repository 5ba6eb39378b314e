/** Whose the bytes are: what a server of the world keeps is a copy, and what it hands out is another. */
import type { SnapshotMeta } from '@kagami/core/contract'
import { expect, test } from 'vitest'
import { Chance } from '../src/kernel/chance.js'
import { Faults } from '../src/kernel/faults.js'
import { SimProcess } from '../src/kernel/process.js'
import { Scheduler } from '../src/kernel/scheduler.js'
import { Trace } from '../src/kernel/trace.js'
import { LogServer } from '../src/world/log-server.js'
import { simCommitLog } from '../src/world/sim-log.js'
import { simSnapshotStore } from '../src/world/sim-store.js'
import { StoreServer } from '../src/world/store-server.js'

const { signal } = new AbortController()

function world() {
  const chance = new Chance(1)
  const trace = new Trace()
  const scheduler = new Scheduler(chance, (error) => {
    throw error
  })
  const faults = new Faults(chance, { all: 0 })
  const process = new SimProcess({ index: 0, node: 'a', run: 1, scheduler, chance, trace })
  /** Lets virtual time pass until the work is done. */
  const during = async <T>(work: Promise<T>): Promise<T> => {
    let over = false
    const done = work.finally(() => (over = true))
    await scheduler.run(60_000, () => over)
    return done
  }
  return { process, during, of: { scheduler, chance, faults, trace } }
}

test('a snapshot is not changed by what its author, or a reader, does to its bytes', async () => {
  const { process, during, of } = world()
  const store = simSnapshotStore(of, process, new StoreServer())
  const own = Buffer.from('state')
  const chunks = async function* () {
    yield own
  }
  const meta = { token: 't0', id: 's1', incarnation: 1, nextIndex: 1 } as SnapshotMeta
  await during(store.create(meta, chunks(), { signal }))
  own.fill(0)
  const read = async (): Promise<Uint8Array[]> => {
    const parts: Uint8Array[] = []
    for await (const part of store.open('t0', 's1', { signal })) parts.push(part)
    return parts
  }
  const [first] = await during(read())
  expect(Buffer.from(first!).toString()).toBe('state')
  first!.fill(0)
  const [second] = await during(read())
  expect(Buffer.from(second!).toString()).toBe('state')
})

test('a record is not changed by what its writer does to the bytes once the call is over, nor by a reader', async () => {
  const { process, during, of } = world()
  const observer = { landed: () => undefined, mayHave: () => true, dropping: () => undefined }
  const server = new LogServer(of.chance, observer)
  const log = simCommitLog(of, process, server)
  const address = await during(log.allocate('t0', new Set(), { signal }))
  const opened = await during(log.open(address, { token: 't0', signal }))
  const own = Buffer.from('record')
  const offset = await during(opened.append(own, { signal }))
  own.fill(0)
  const read = async (): Promise<Uint8Array> => {
    for await (const { records } of opened.read(offset, { signal, lookMs: 1000, maxBatchBytes: 1000 }))
      if (records[0] !== undefined) return records[0].bytes
    throw new Error('nothing was read')
  }
  const first = await during(read())
  expect(Buffer.from(first).toString()).toBe('record')
  first.fill(0)
  expect(Buffer.from(await during(read())).toString()).toBe('record')
})
