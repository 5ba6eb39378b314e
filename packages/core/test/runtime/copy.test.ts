/** One copy without a cluster around it: its assignments are given to it by hand, and its log is held up where that matters. */
import { evenPlacement } from '@kagami/placement-even'
import { memoryCluster } from '@kagami/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KagamiError, type CommitLog, type LogBatch, type TokenLog } from '../../src/contract/index.js'
import type { Assignment } from '../../src/engine/documents.js'
import { decodeFrame, encodeEntries, encodeFrame, type BarrierFrame, type Frame } from '../../src/engine/frame.js'
import { systemSeams, type KagamiEvents, type LimitOptions } from '../../src/index.js'
import { cutOffMs } from '../../src/runtime/copy-progress.js'
import { Copy } from '../../src/runtime/copy.js'
import { Events } from '../../src/runtime/events.js'
import { Listings } from '../../src/runtime/listings.js'
import { settings } from '../../src/runtime/options.js'
import type { VerifiedRecord } from '../../src/runtime/verified-record.js'
import { Turns } from '../../src/runtime/turns.js'
import { Watchdogs } from '../../src/runtime/watchdog.js'
import { markerFrame, resealed } from '../engine/frames.js'
import { bytes, delegate, eventually, Ledger } from './harness.js'

const { signal } = new AbortController()
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

let world: ReturnType<typeof memoryCluster>
/** The token's log, as something that is no copy sees it. */
let opened: TokenLog
let assignment: Assignment
let ends: (() => Promise<unknown>)[]

beforeEach(async () => {
  world = memoryCluster()
  ends = []
  const log = await started('stranger', world.commitLog())
  const address = await log.allocate('orders', new Set(), { signal })
  opened = await log.open(address, { token: 'orders', signal })
  assignment = {
    token: 'orders',
    incarnation: 1,
    phase: 'open',
    log: { address, identity: opened.identity },
    epoch: 1,
    reached: { incarnation: 1, index: 0 },
    primary: { node: 'a', member: 'a1' },
    replicas: ['b'],
    snapshotter: 'b',
    handoverGivenUp: null,
  }
  await append({ kind: 'open', token: 'orders', incarnation: 1, deleted: false, ...assignment.log, timeMs: 1 })
})

afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

async function started(node: string, log: CommitLog): Promise<CommitLog> {
  await log.start({ cluster: 'test', node, logger, signal })
  ends.push(() => log.stop())
  return log
}

function append(frame: Frame): Promise<bigint> {
  return opened.append(encodeFrame(frame), { signal })
}

/** A log that gives its readers nothing while it is held. Released, it lets them begin again where they were. */
class HeldReads {
  #held: Promise<void> | undefined
  release: () => void = quiet

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.release = () => {
        this.#held = undefined
        resolve()
      }
    })
  }

  over(log: CommitLog): CommitLog {
    return delegate<CommitLog>(log, {
      open: async (...call: Parameters<CommitLog['open']>) => {
        const own = await log.open(...call)
        return delegate<TokenLog>(own, { read: (...read: Parameters<TokenLog['read']>) => this.#read(own, read) })
      },
    })
  }

  async *#read(log: TokenLog, read: Parameters<TokenLog['read']>): AsyncGenerator<LogBatch> {
    const batches = log.read(...read)[Symbol.asyncIterator]()
    for (;;) {
      // What it says while it is held, a refusal for instance, is held back as well.
      const step = batches.next()
      await step.catch(() => undefined)
      if (this.#held !== undefined && !read[1].signal.aborted) {
        await this.#held
        throw new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'it was held', { retryable: true })
      }
      const { done, value } = await step
      if (done === true) return
      yield value
    }
  }
}

/** Longer than a reader may miss looks. */
const CUT_MS = 200

/** A log whose readers hear nothing while it is cut, and then go on where they were, as an adapter may that rides out an outage by itself. */
class SilentReads implements Reads {
  #cut: Promise<void> | undefined
  mend: () => void = quiet
  readonly release = (): void => this.mend()

  cut(): void {
    this.#cut = new Promise((resolve) => {
      this.mend = () => {
        this.#cut = undefined
        resolve()
      }
    })
  }

  over(log: CommitLog): CommitLog {
    return delegate<CommitLog>(log, {
      open: async (...call: Parameters<CommitLog['open']>) => {
        const own = await log.open(...call)
        return delegate<TokenLog>(own, { read: (...read: Parameters<TokenLog['read']>) => this.#read(own, read) })
      },
    })
  }

  async *#read(log: TokenLog, [from, options]: Parameters<TokenLog['read']>): AsyncGenerator<LogBatch> {
    let next = from
    for (;;) {
      await this.#cut
      const batches = log.read(next, options)[Symbol.asyncIterator]()
      const { value } = (await batches.next()) as IteratorYieldResult<LogBatch>
      await batches.return?.()
      // What was on its way when the log was cut never arrives.
      if (this.#cut !== undefined) continue
      next = value.next
      yield value
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

interface Reads {
  readonly release: () => void
  over(log: CommitLog): CommitLog
}

const turns = (): Turns => new Turns(systemSeams().clock, { atOnce: 1, lent: 0, stillMs: 2_000 })

interface Own {
  readonly reads?: Reads
  readonly everyEntries?: number
  readonly stateMachine?: () => Ledger
  readonly snapshotTurns?: Turns
  readonly limits?: LimitOptions
}

/** The copy on a node, whose member is named as the node and 1. */
async function copyOn(node: string, own: Own = {}) {
  const { reads, everyEntries = 1000, snapshotTurns = turns(), stateMachine = () => new Ledger() } = own
  const memory = await started(node, world.commitLog())
  const store = world.snapshotStore()
  await store.start({ cluster: 'test', node, logger, signal })
  ends.push(() => store.stop())
  const log = reads === undefined ? memory : reads.over(memory)
  const events = new Events(logger)
  const verified: string[] = []
  const context = {
    settings: settings<number, Uint8Array>({
      cluster: 'test',
      node: { id: node },
      log,
      coordinator: world.coordinator(),
      snapshots: store,
      placement: evenPlacement(),
      stateMachine,
      limits: { lookMs: 20, restoreTimeoutMs: 500, retryMs: { first: 5, longest: 20 }, ...own.limits },
      snapshotting: { everyEntries },
      seams: { logger },
    }),
    commitLog: log,
    store,
    events,
    verified: {
      add: (_token: string, _incarnation: number, id: string) => Promise.resolve(new Set([...verified, id])),
    } as unknown as VerifiedRecord,
    snapshotTurns,
    listings: new Listings(store, systemSeams().clock),
    restoreTurns: turns(),
    watchdogs: new Watchdogs({ clock: systemSeams().clock, boundMs: cutOffMs(20), longestMs: 30_000 }),
    member: () => `${node}1`,
    leaseHeld: () => true,
    primaryElsewhere: quiet,
    hooks: quiet,
    onRetired: quiet,
    onChange: quiet,
  }
  events.on('snapshot', ({ phase, id }) => phase === 'verified' && verified.push(id))
  const copy = new Copy(context, assignment)
  ends.push(() => copy.close())
  if (reads !== undefined) ends.push(() => Promise.resolve(reads.release()))
  copy.open()
  return { copy, events, write: (line: string) => copy.replicate(bytes(line), undefined) }
}

/** The copy on node a, which serves. */
async function primary(own: Own = {}) {
  const made = await copyOn('a', own)
  await eventually(() => made.copy.role === 'primary', 'it serves')
  return made
}

/** What becomes of a promise, as soon as it has. */
function outcomeOf(promise: Promise<unknown>): { code: string } {
  const outcome = { code: 'pending' }
  promise.then(
    () => (outcome.code = 'resolved'),
    (error: unknown) => (outcome.code = (error as KagamiError).code),
  )
  return outcome
}

async function settledAs(outcome: { readonly code: string }): Promise<string> {
  await eventually(() => outcome.code !== 'pending', 'it settles')
  return outcome.code
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('a copy that is taken away waits until the log has said how its sealed entries end', async () => {
  const reads = new HeldReads()
  const { copy, write } = await primary({ reads })
  reads.hold()
  const entry = outcomeOf(write('one'))
  await eventually(() => world.logs.records(opened.address).length === 3, 'the entry is in the log')
  const retired = outcomeOf(copy.retire())
  for (let i = 0; i < 10; i++) await turn()
  expect([entry.code, retired.code]).toEqual(['pending', 'pending'])
  reads.release()
  expect(await settledAs(entry)).toBe('resolved')
  await eventually(() => retired.code === 'resolved', 'the copy is closed')
})

test('a copy that is taken away with nothing sealed is closed at once', async () => {
  const reads = new HeldReads()
  const { copy } = await primary({ reads })
  reads.hold()
  await copy.retire()
})

const start = (): bigint => world.logs.records(opened.address)[0]?.offset ?? 0n
const end = (): bigint => (world.logs.records(opened.address).at(-1)?.offset ?? -1n) + 1n

test('S1: that the log has taken an entry acknowledges nothing: behind the barrier of another primary it never counts', async () => {
  const reads = new HeldReads()
  const { copy, write } = await primary({ reads })
  await write('one')
  reads.hold()
  await append({ kind: 'barrier', token: 'orders', incarnation: 1, epoch: 2, term: 77n, nextIndex: 0, timeMs: 1 })
  const unread = end()
  const entry = outcomeOf(write('late'))
  await eventually(() => end() > unread, 'the entry is in the log')
  for (let i = 0; i < 10; i++) await turn()
  expect(entry.code).toBe('pending')
  reads.release()
  expect(await settledAs(entry)).toBe('KAGAMI_NOT_PRIMARY')
  await copy.sync(undefined)
  expect(copy.next).toEqual({ incarnation: 1, index: 1 })
})

test('an append that lands below what the copy has read shows that the log has lost its tail, before anything is read', async () => {
  const reads = new HeldReads()
  const { copy, write } = await primary({ reads })
  await write('one')
  await write('two')
  reads.hold()
  world.logs.loseTail(opened.address, 1)
  const entry = outcomeOf(write('three'))
  expect(await settledAs(entry)).toBe('KAGAMI_INDETERMINATE')
  expect(copy.health().error).toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
  reads.release()
})

test('so does a marker, on a copy that writes nothing else', async () => {
  await append({ kind: 'barrier', token: 'orders', incarnation: 1, epoch: 2, term: 77n, nextIndex: 0, timeMs: 1 })
  const reads = new HeldReads()
  const { copy } = await copyOn('b', { reads })
  await copy.sync(undefined)
  reads.hold()
  world.logs.loseTail(opened.address, 1)
  const sync = outcomeOf(copy.sync(undefined))
  expect(await settledAs(sync)).toBe('KAGAMI_TOKEN_FAILED')
  expect(copy.health().error).toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
  reads.release()
})

test('nothing hangs: what the log has taken, and loses before it is read, is appended again', async () => {
  const reads = new HeldReads()
  const { copy, write } = await primary({ reads, limits: { appendTimeoutMs: 200 } })
  await write('one')
  reads.hold()
  const unread = end()
  const entry = write('two')
  await eventually(() => end() > unread, 'the log has taken it')
  world.logs.loseTail(opened.address, 1)
  reads.release()
  expect(await entry).toMatchObject({ position: { index: 1 }, result: 2 })
  expect([copy.role, copy.health().error]).toEqual(['primary', undefined])
})

test('S4: what a reader that is far behind was taken to have lost is applied once', async () => {
  const reads = new HeldReads()
  const { copy, write } = await primary({ reads, limits: { appendTimeoutMs: 200 } })
  await write('one')
  reads.hold()
  const unread = end()
  const two = write('two')
  await eventually(() => end() === unread + 1n, 'the log has taken one')
  const three = write('three')
  // Both, and the first of them once more.
  await eventually(() => end() >= unread + 3n, 'it is appended again')
  reads.release()
  expect(await Promise.all([two, three])).toMatchObject([{ result: 2 }, { result: 3 }])
  await eventually(() => (copy.health().ignored['duplicate'] ?? 0) > 0, 'the other is a duplicate')
  expect(copy.next).toEqual({ incarnation: 1, index: 3 })
})

test('S1: a reader that was cut off begins again at its anchor: what the log has lost meanwhile may have been written anew', async () => {
  const reads = new SilentReads()
  const { copy, write } = await primary({ reads })
  await write('one')
  await write('two')
  reads.cut()
  world.logs.loseTail(opened.address, 1)
  const position = { kind: 'marker', token: 'orders', incarnation: 1, timeMs: 1 } as const
  for (const nonce of [1n, 2n, 3n]) await append({ ...position, nonce })
  await new Promise((resolve) => setTimeout(resolve, CUT_MS))
  reads.mend()
  await eventually(() => copy.health().error, 'the copy notices')
  expect(copy.health().error).toMatchObject({ code: 'KAGAMI_LOG_LOST_TAIL' })
})

/** Lets a copy read again whose next record is not there any more. */
async function jump(reads: HeldReads, events: Events): Promise<void> {
  let restored = false
  events.on('restored', () => (restored = true))
  reads.release()
  await eventually(() => restored, 'it is restored')
}

test('S5: a primary that is restored past a change of primary does not know what has become of its entries', async () => {
  const reads = new HeldReads()
  const a = await primary({ reads })
  const b = await copyOn('b', { everyEntries: 5 })
  await a.write('one')
  const unread = end()
  reads.hold()
  const entry = outcomeOf(a.write('two'))
  await eventually(() => b.copy.next?.index === 2, 'the entry is applied elsewhere')
  b.copy.assign({ ...assignment, epoch: 2, primary: { node: 'b', member: 'b1' }, replicas: ['a'] })
  while (start() <= unread) await b.write('by b')
  await jump(reads, a.events)
  expect(await settledAs(entry)).toBe('KAGAMI_INDETERMINATE')
})

test('a copy tells where the epoch in force began, and nothing of one whose barrier it was restored over', async () => {
  const reads = new HeldReads()
  const a = await primary({ reads })
  const b = await copyOn('b', { everyEntries: 1 })
  await a.write('one')
  expect(a.copy.report()).toMatchObject({ epoch: 1, epochBegan: 0, nextIndex: 1 })
  await eventually(() => b.copy.next?.index === 1, 'the entry is applied elsewhere')
  const unread = end()
  reads.hold()
  b.copy.assign({ ...assignment, epoch: 2, primary: { node: 'b', member: 'b1' }, replicas: ['a'] })
  while (start() <= unread) await b.write('by b')
  expect(b.copy.report()).toMatchObject({ epoch: 2, epochBegan: 1 })
  await jump(reads, a.events)
  expect(a.copy.report()).toMatchObject({ epoch: 2, nextIndex: b.copy.report().nextIndex })
  expect(a.copy.report().epochBegan).toBeUndefined()
})

test('S5: one that is restored within its own term knows that its entries are committed, not with which results, and goes on', async () => {
  const reads = new HeldReads()
  const a = await primary({ reads })
  const b = await copyOn('b', { everyEntries: 1 })
  await a.write('one')
  const unread = end()
  reads.hold()
  const outcomes: { readonly code: string }[] = []
  while (start() <= unread) {
    outcomes.push(outcomeOf(a.write('more')))
    await eventually(() => b.copy.next?.index === 1 + outcomes.length, 'the entry is applied elsewhere')
  }
  await jump(reads, a.events)
  for (const outcome of outcomes) expect(['KAGAMI_INDETERMINATE', 'resolved']).toContain(await settledAs(outcome))
  expect(outcomes[0]?.code).toBe('KAGAMI_INDETERMINATE')
  const index = 1 + outcomes.length
  expect(await a.write('last')).toEqual({ position: { incarnation: 1, index }, result: index + 1 })
})

test('S5: one that finds only a newer incarnation does not know what has become of its entries', async () => {
  const reads = new HeldReads()
  const a = await primary({ reads })
  await a.write('one')
  const unread = end()
  reads.hold()
  const entry = outcomeOf(a.write('two'))
  await eventually(() => end() > unread, 'the entry is in the log')
  await opened.truncate(end(), { signal })
  await append({ kind: 'open', token: 'orders', incarnation: 3, deleted: false, ...assignment.log, timeMs: 1 })
  await jump(reads, a.events)
  expect(await settledAs(entry)).toBe('KAGAMI_INDETERMINATE')
})

test('a copy that has failed while its snapshot waited for a place takes none', async () => {
  assignment = { ...assignment, snapshotter: 'a' }
  const snapshotTurns = turns()
  const turn = await snapshotTurns.begin(signal)
  const { copy, events, write } = await primary({ everyEntries: 2, snapshotTurns })
  const phases: KagamiEvents['snapshot']['phase'][] = []
  events.on('snapshot', ({ phase }) => phases.push(phase))
  for (const line of ['one', 'two']) await write(line)
  // Read in a later batch: after the one before, the snapshot was due.
  await copy.sync(undefined)
  await expect(write('poison')).rejects.toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  turn.end()
  await snapshotTurns.begin(signal)
  expect(copy.role).toBe('failed')
  expect(phases).toEqual([])
})

test.each([
  ['epoch', { incarnation: 1, epoch: 9 }],
  ['incarnation', { incarnation: 3, epoch: 1 }],
])('S8: data of an %s that the log has not opened means that records are missing: the copy fails', async (_, ahead) => {
  const { copy, write } = await primary()
  await write('one')
  const body = encodeEntries([bytes('astray')])
  const data = { term: 7n, firstSeq: 0, firstIndex: 0, count: 1, chain: 0n, timeMs: 1, body }
  await append({ kind: 'data', token: 'orders', ...ahead, ...data })
  await eventually(() => copy.role === 'failed', 'the copy fails')
  expect(copy.health().error).toMatchObject({ code: 'KAGAMI_LOG_GAP' })
  expect(copy.next).toEqual({ incarnation: 1, index: 1 })
  await expect(write('two')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
})

test('S2: data that continues another history than what the copy has applied fails it, and is not applied', async () => {
  const { copy, write } = await primary()
  await write('one')
  const { term } = decodeFrame(world.logs.records(opened.address)[1]!.bytes) as BarrierFrame
  const next = { token: 'orders', incarnation: 1, epoch: 1, term, firstSeq: 1, firstIndex: 1, timeMs: 1 }
  await append({ kind: 'data', ...next, count: 1, chain: 0n, body: encodeEntries([bytes('foreign')]) })
  await eventually(() => copy.role === 'failed', 'the copy fails')
  expect(copy.health().error).toMatchObject({ code: 'KAGAMI_LOG_DIVERGED' })
  expect(copy.next).toEqual({ incarnation: 1, index: 1 })
  await expect(write('two')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
})

/** A frame of a version and kind that are not known here. */
const newer = (flags: number): Uint8Array =>
  resealed(encodeFrame(markerFrame()), (frame) => frame.set([2, 99, flags], 2))

test('a frame of a format that is not known stops the copy, with a code of its own', async () => {
  const { copy, write } = await primary()
  await write('one')
  await opened.append(newer(0), { signal })
  await eventually(() => copy.role === 'failed', 'the copy fails')
  expect(copy.health().error).toMatchObject({ code: 'KAGAMI_UNKNOWN_FORMAT' })
  expect(copy.next).toEqual({ incarnation: 1, index: 1 })
  await expect(write('two')).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
})

test('one that says that it may be skipped is passed over, and counted', async () => {
  const { copy, write } = await primary()
  await write('one')
  await opened.append(newer(1), { signal })
  expect(await write('two')).toEqual({ position: { incarnation: 1, index: 1 }, result: 2 })
  expect(copy.health().ignored).toEqual({ unknown: 1 })
})

test('a copy that is behind says by how many entries, and by none once it has applied them', async () => {
  const a = await primary()
  const reads = new HeldReads()
  const behind: number[] = []
  class Behind extends Ledger {
    override apply(entry: Parameters<Ledger['apply']>[0]): number {
      behind.push(b.copy.lag.entries)
      return super.apply(entry)
    }
  }
  const b = await copyOn('b', { reads, stateMachine: () => new Behind() })
  await b.copy.sync(undefined)
  reads.hold()
  for (const line of ['one', 'two', 'three']) await a.write(line)
  reads.release()
  await b.copy.waitFor({ incarnation: 1, index: 2 }, undefined)
  expect(behind).toEqual([3, 2, 1])
  expect(b.copy.lag.entries).toBe(0)
})

test('a copy that a listener closes in place is promoted no more', async () => {
  const { copy, events } = await primary()
  const told: string[] = []
  for (const event of ['promoting', 'promoted', 'demoted'] as const) events.on(event, () => told.push(event))
  events.on('copy', ({ opened: open }) => told.push(open ? 'opened' : 'closed'))
  let closing: Promise<void> | undefined
  events.on('demoted', () => void (closing ??= copy.close()))
  copy.assign({ ...assignment, epoch: 2 })
  await closing
  expect(told).toEqual(['demoted', 'closed'])
})

test('a listener that is told of the demotion of a closed copy finds a replica that takes nothing', async () => {
  const { copy, events, write } = await primary()
  let refused: Promise<unknown> | undefined
  const roles: string[] = []
  events.on('demoted', () => {
    roles.push(copy.role)
    refused = write('late').catch((error: unknown) => error)
  })
  await copy.close()
  expect(roles).toEqual(['replica'])
  expect(await refused).toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
})
