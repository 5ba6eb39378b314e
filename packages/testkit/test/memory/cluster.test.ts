import { isKagamiError } from '@kagami/core/contract'
import type { Adapter, Session, SnapshotMeta } from '@kagami/core/contract'
import { describe, expect, it } from 'vitest'
import { memoryCluster } from '../../src/memory/cluster.js'
import { virtualClock } from '../virtual-clock.js'

const signal = new AbortController().signal
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

async function started<A extends Adapter>(adapter: A, node = 'a'): Promise<A> {
  await adapter.start({ cluster: 'test', node, logger: quiet, signal })
  return adapter
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return isKagamiError(error) ? error.code : String(error)
}

function memoryWorld() {
  const clock = virtualClock()
  return { clock, world: memoryCluster({ clock }) }
}

async function session(
  world: ReturnType<typeof memoryCluster>,
  node: string,
  sessionTimeoutMs = 1_000,
): Promise<Session> {
  return (await started(world.coordinator({ sessionTimeoutMs }), node)).connect({ signal })
}

describe('under a virtual clock', () => {
  it('nothing waits but by the clock: a lease is suspended, and a session expires, when time is told to pass', async () => {
    const { clock, world } = memoryWorld()
    const [a, b] = [await session(world, 'a'), await session(world, 'b')]
    await a.join({ node: 'a', member: 'a-1', data: new Uint8Array(0) }, { signal })
    const states: string[] = []
    const watching = (async () => {
      for await (const state of a.watchLease({ signal })) states.push(state)
    })().catch((error: unknown) => states.push(isKagamiError(error) ? error.code : String(error)))
    const members = b.watchMembers({ signal })[Symbol.asyncIterator]()
    expect((await members.next()).value).toHaveLength(1)
    const mend = world.coordination.cut('a')
    await clock.advance(600)
    expect(states).toEqual(['held'])
    await clock.advance(100)
    expect(states).toEqual(['held', 'suspended'])
    const gone = members.next()
    await clock.advance(299)
    expect(a.signal.aborted).toBe(false)
    await clock.advance(2)
    expect((await gone).value).toHaveLength(0)
    expect(a.signal.aborted, 'a process that is cut off can not know').toBe(false)
    mend()
    await watching
    expect(states).toEqual(['held', 'suspended', 'KAGAMI_SESSION_LOST'])
    await b.close()
    expect(clock.armed, 'timers that nobody needs any more').toBe(0)
  })

  it('an outage of the whole coordinator lets no session expire', async () => {
    const { clock, world } = memoryWorld()
    const a = await session(world, 'a')
    const leadership = await a.campaign({ signal })
    const mend = world.coordination.cut()
    await clock.advance(60_000)
    expect(leadership.signal.aborted).toBe(true)
    mend()
    await clock.advance(60_000)
    expect(a.signal.aborted).toBe(false)
    expect((await a.campaign({ signal })).epoch).toBeGreaterThan(leadership.epoch)
  })

  it('a leader that is cut off and expires early has lost its leadership before another is elected', async () => {
    const { clock, world } = memoryWorld()
    const [a, b] = [await session(world, 'a'), await session(world, 'b')]
    const first = await a.campaign({ signal })
    const second = b.campaign({ signal }).then((leadership) => ({ leadership, alone: first.signal.aborted }))
    const mend = world.coordination.cut('a')
    world.coordination.expire('a')
    expect((await second).alone).toBe(true)
    expect(clock.armed, 'the deadlines of a session that is over').toBe(0)
    expect(a.signal.aborted).toBe(false)
    mend()
    expect(a.signal.aborted).toBe(true)
  })

  it('a campaign that is won while the winner is cut off is told when the contact is back', async () => {
    const { clock, world } = memoryWorld()
    const [a, b] = [await session(world, 'a'), await session(world, 'b')]
    const first = await a.campaign({ signal })
    const second = b.campaign({ signal })
    const mend = world.coordination.cut('b')
    await first.resign()
    expect(world.coordination.leader('test')).toBe('b')
    let told = false
    void second.then(() => (told = true))
    // Past the lease's deadline, and before the session's: the suspension wakes the campaign.
    await clock.advance(800)
    expect(told, 'it leads on a suspended lease').toBe(false)
    mend()
    expect((await second).signal.aborted).toBe(false)
  })

  it('what a candidate that is cut off wants, the coordinator hears when the contact is back', async () => {
    const { world } = memoryWorld()
    const [a, b] = [await session(world, 'a'), await session(world, 'b')]
    const first = await a.campaign({ signal })
    const mends = [world.coordination.cut('a'), world.coordination.cut('b')]
    await first.resign()
    expect(first.signal.aborted).toBe(true)
    const second = b.campaign({ signal })
    expect(world.coordination.leader('test')).toBe('a')
    for (const mend of mends) mend()
    expect((await second).epoch).toBe(first.epoch + 1)
  })

  it('a reader rides out an outage of a minute, and no longer', async () => {
    const { clock, world } = memoryWorld()
    const log = await started(world.commitLog())
    const handle = await log.open(await log.allocate('t', new Set(), { signal }), { signal, token: 't' })
    const reading = handle.read(0n, { signal, lookMs: 100, maxBatchBytes: 1000 })[Symbol.asyncIterator]()
    await reading.next()
    for (const [outageMs, code] of [
      [40_000, undefined],
      [40_000, undefined],
      [61_000, 'KAGAMI_LOG_UNAVAILABLE'],
    ] as const) {
      const mend = world.logs.cut('a')
      const next = reading.next()
      const outcome = code === undefined ? next : codeOf(next)
      await clock.advance(outageMs)
      mend()
      if (code === undefined) expect((await next).done).toBe(false)
      else expect(await outcome).toBe(code)
    }
  })

  it('an append takes as long as it is told to, and ends at once when the handle is closed', async () => {
    const { clock, world } = memoryWorld()
    const log = await started(world.commitLog({ appendMs: 50 }))
    const handle = await log.open(await log.allocate('t', new Set(), { signal }), { signal, token: 't' })
    const first = handle.append(new Uint8Array(1), { signal })
    await clock.advance(49)
    expect(world.logs.records(handle.address)).toHaveLength(0)
    await clock.advance(1)
    expect(await first).toBe(0n)
    const second = codeOf(handle.append(new Uint8Array(1), { signal }))
    await handle.close()
    expect(await second).toBe('KAGAMI_STOPPED')
    expect(clock.armed).toBe(0)
  })
})

describe('the controls of the logs', () => {
  it('fail appends with or without the record landing', async () => {
    const { world } = memoryWorld()
    const log = await started(world.commitLog())
    const handle = await log.open(await log.allocate('t', new Set(), { signal }), { signal, token: 't' })
    world.logs.failAppends(1, { landed: true })
    world.logs.failAppends(1, { landed: false })
    world.logs.failAppends(1, { landed: true, node: 'another' })
    const codes = [1, 2].map((byte) => codeOf(handle.append(Uint8Array.of(byte), { signal })))
    expect(await Promise.all(codes)).toEqual(['KAGAMI_LOG_UNAVAILABLE', 'KAGAMI_LOG_UNAVAILABLE'])
    await handle.append(Uint8Array.of(3), { signal })
    expect(world.logs.records(handle.address).map(({ bytes }) => bytes[0])).toEqual([1, 3])
  })

  it('lose a tail, and give its offsets again', async () => {
    const { clock } = memoryWorld()
    const world = memoryCluster({ clock, offsets: { first: 100n, step: 10n } })
    const log = await started(world.commitLog())
    const handle = await log.open(await log.allocate('t', new Set(), { signal }), { signal, token: 't' })
    const offsets: bigint[] = []
    for (const byte of [1, 2, 3, 4]) offsets.push(await handle.append(Uint8Array.of(byte), { signal }))
    expect(offsets).toEqual([100n, 110n, 120n, 130n])
    world.logs.loseTail(handle.address, 2)
    expect((await handle.range({ signal })).end).toBe(111n)
    expect(await handle.append(Uint8Array.of(5), { signal })).toBe(120n)
  })

  it('remove a log with its address', async () => {
    const { world } = memoryWorld()
    const log = await started(world.commitLog())
    const address = await log.allocate('t', new Set(), { signal })
    const handle = await log.open(address, { signal, token: 't' })
    world.logs.remove(address)
    expect(world.logs.addresses()).toEqual([])
    expect(await codeOf(handle.range({ signal }))).toBe('KAGAMI_LOG_REPLACED')
    expect(await codeOf(log.open(address, { signal, token: 't' }))).toBe('KAGAMI_LOG_REPLACED')
  })
})

describe('the controls of the coordinator', () => {
  it('fail writes with or without their taking effect', async () => {
    const { world } = memoryWorld()
    const a = await session(world, 'a')
    const bytes = Uint8Array.of(1)
    world.coordination.failWrites(1, { landed: true })
    world.coordination.failWrites(1, { landed: false })
    expect(await codeOf(a.write('x', bytes, undefined, { signal }))).toBe('KAGAMI_COORDINATOR_UNAVAILABLE')
    expect((await a.read('x', { signal }))?.version).toBe(1)
    expect(await codeOf(a.write('x', bytes, 1, { signal }))).toBe('KAGAMI_COORDINATOR_UNAVAILABLE')
    expect((await a.read('x', { signal }))?.version).toBe(1)
    expect(await a.write('x', bytes, 1, { signal })).toBe(2)
  })

  it('go back to a backup: later writes, elections and all sessions are lost', async () => {
    const { world } = memoryWorld()
    const a = await session(world, 'a')
    await a.write('x', Uint8Array.of(1), undefined, { signal })
    const { epoch } = await a.campaign({ signal })
    const backup = world.coordination.backup()
    await a.write('x', Uint8Array.of(2), 1, { signal })
    world.coordination.restore(backup)
    expect(a.signal.aborted).toBe(true)
    const b = await session(world, 'a')
    const document = await b.read('x', { signal })
    expect([document?.version, document?.bytes[0]]).toEqual([1, 1])
    expect((await b.campaign({ signal })).epoch).toBe(epoch + 1)
    world.coordination.wipe()
    const c = await session(world, 'a')
    expect(await c.read('x', { signal })).toBeUndefined()
    expect((await c.campaign({ signal })).epoch).toBe(1)
  })

  it('that lose the bytes of one keep its version and tell those who watch', async () => {
    const { world } = memoryWorld()
    const a = await session(world, 'a')
    await a.write('x', Uint8Array.of(1), undefined, { signal })
    const watch = a.watch('x', { signal })[Symbol.asyncIterator]()
    await watch.next()
    world.coordination.damage('test', 'x')
    const shown = (await watch.next()).value as ReadonlyMap<string, unknown>
    expect(shown.get('x')).toEqual({ name: 'x', version: 1, bytes: new Uint8Array(0) })
    expect(await a.write('x', Uint8Array.of(2), 1, { signal })).toBe(2)
    expect(() => world.coordination.damage('test', 'y')).toThrow(
      expect.objectContaining({ code: 'KAGAMI_BAD_OPTION', details: expect.objectContaining({ option: 'name' }) }),
    )
  })

  it('show the documents and the leader', async () => {
    const { world } = memoryWorld()
    const a = await session(world, 'a')
    expect(world.coordination.leader('test')).toBeUndefined()
    await a.campaign({ signal })
    await a.write('x', Uint8Array.of(1), undefined, { signal })
    expect(world.coordination.leader('test')).toBe('a')
    expect([...world.coordination.documents('test').keys()]).toEqual(['x'])
    world.coordination.wipeDocuments()
    expect(world.coordination.documents('test').size).toBe(0)
    expect(a.signal.aborted).toBe(false)
  })
})

describe('a node that is cut off from everything', () => {
  it('reaches nothing, and everything again afterwards, while others go on', async () => {
    const { world } = memoryWorld()
    const log = await started(world.commitLog())
    const store = await started(world.snapshotStore())
    const others = await started(world.commitLog(), 'b')
    const coordinator = await started(world.coordinator())
    const mend = world.cut('a')
    expect(await codeOf(log.allocate('t', new Set(), { signal }))).toBe('KAGAMI_LOG_UNAVAILABLE')
    expect(await codeOf(store.list('t', { signal }))).toBe('KAGAMI_STORE_UNAVAILABLE')
    expect(await codeOf(coordinator.connect({ signal }))).toBe('KAGAMI_COORDINATOR_UNAVAILABLE')
    await others.allocate('t', new Set(), { signal })
    mend()
    mend()
    await log.allocate('t', new Set(), { signal })
    await store.list('t', { signal })
    await coordinator.connect({ signal })
  })
})

describe('a wrong option or use is refused with a code', () => {
  it.each([
    ['maxRecordBytes', () => memoryCluster().commitLog({ maxRecordBytes: 1000 })],
    ['appendsInFlight', () => memoryCluster().commitLog({ appendsInFlight: 0 })],
    ['appendMs', () => memoryCluster().commitLog({ appendMs: -1 })],
    ['sessionTimeoutMs', () => memoryCluster().coordinator({ sessionTimeoutMs: 0 })],
    ['maxDocumentBytes', () => memoryCluster().coordinator({ maxDocumentBytes: 1 })],
    ['offsets.step', () => memoryCluster({ offsets: { step: 0n } })],
    ['offsets.first', () => memoryCluster({ offsets: { first: 5 as unknown as bigint } })],
    ['option offset; did you mean offsets?', () => memoryCluster({ offset: {} } as object)],
    ['offsets.stride; expected one of offsets.first', () => memoryCluster({ offsets: { stride: 7n } as object })],
    ['appendMS; did you mean appendMs?', () => memoryCluster().commitLog({ appendMS: 5 } as object)],
    ['sessionTimeout; did you mean', () => memoryCluster().coordinator({ sessionTimeout: 5 } as object)],
  ])('%s', (option, make) => {
    expect(make).toThrow(
      expect.objectContaining({ code: 'KAGAMI_BAD_OPTION', message: expect.stringContaining(option) }),
    )
  })

  it('calls before start and after stop', async () => {
    const { world } = memoryWorld()
    for (const adapter of [world.commitLog(), world.snapshotStore(), world.coordinator()] as const) {
      const call = (): Promise<unknown> => {
        if ('connect' in adapter) return adapter.connect({ signal })
        return 'list' in adapter ? adapter.list('t', { signal }) : adapter.allocate('t', new Set(), { signal })
      }
      expect(await codeOf(call())).toBe('KAGAMI_NOT_STARTED')
      await started(adapter)
      await call()
      await adapter.stop()
      expect(await codeOf(call())).toBe('KAGAMI_STOPPED')
    }
  })

  it('a chunk of a snapshot that is no bytes', async () => {
    const { world } = memoryWorld()
    const store = await started(world.snapshotStore())
    async function* chunks() {
      yield Uint8Array.of(1)
      yield ['2'] as unknown as Uint8Array
    }
    const meta = { token: 't', id: 'one', incarnation: 1, nextIndex: 1 } as SnapshotMeta
    expect(await codeOf(store.create(meta, chunks(), { signal }))).toBe('KAGAMI_SNAPSHOT_FAILED')
    expect(await store.list('t', { signal })).toEqual([])
  })

  it('a second campaign of one session, an update without a join, and a bad name', async () => {
    const { world } = memoryWorld()
    const a = await session(world, 'a')
    await a.campaign({ signal })
    expect(await codeOf(a.campaign({ signal }))).toBe('KAGAMI_BUG')
    const record = { node: 'a', member: 'a-1', data: new Uint8Array(0) }
    expect(await codeOf(a.update(record, { signal }))).toBe('KAGAMI_BAD_OPTION')
    expect(await codeOf(a.read('no spaces', { signal }))).toBe('KAGAMI_BAD_OPTION')
  })
})
