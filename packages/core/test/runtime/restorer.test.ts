/** What a restore waits for, and what it holds meanwhile: by a clock of the test's own. */
import { Readable } from 'node:stream'
import { memoryCluster } from '@kagami/testkit'
import { afterEach, expect, test } from 'vitest'
import type { CommitLog, SnapshotMeta, SnapshotStore, TokenLog } from '../../src/contract/index.js'
import { admit, emptyState } from '../../src/engine/admission.js'
import { encodeFrame, type Frame } from '../../src/engine/frame.js'
import { dataBlock, endBlock, headerBlock } from '../../src/engine/snapshot-blob.js'
import { systemSeams } from '../../src/index.js'
import { Listings } from '../../src/runtime/listings.js'
import { restoreCopy, type RestoredCopy } from '../../src/runtime/restorer.js'
import { Stillness } from '../../src/runtime/stillness.js'
import { Turns } from '../../src/runtime/turns.js'
import { metaOf } from '../engine/snapshots.js'
import { delegate, Ledger } from './harness.js'
import { ManualClock, rest } from './manual-clock.js'

const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const { signal } = new AbortController()
/** As many restores as a node has under way at once. */
const PLACES = 8
const STALL_MS = 60_000
/** Who does not move on for so long may lend its place. */
const STILL_MS = 2_000

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

/** One node's restores, over a log and a store that do as they are told. */
class Node {
  readonly clock = new ManualClock()
  readonly world = memoryCluster({ clock: this.clock })
  readonly outcomes = new Map<string, { readonly atMs: number; readonly what: string }>()
  readonly hindered = new Map<string, number>()
  readonly stillness = new Map<string, Stillness>()
  /** Tokens whose snapshots were asked for, and those that were read, in order. */
  readonly listed: string[] = []
  readonly opened: string[] = []
  /** What else a listing waits for, and reading a snapshot. */
  beforeList: (token: string, signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  beforeOpen: (token: string, signal: AbortSignal) => Promise<void> = () => Promise.resolve()
  /** How long each byte of a snapshot takes. */
  everyMs = 0
  readonly #log: CommitLog = this.world.commitLog()
  readonly stored: SnapshotStore = this.world.snapshotStore()
  readonly #store: SnapshotStore
  readonly #listings: Listings
  readonly #turns: Turns

  /** `lent`: how many places those give away that stand still. */
  private constructor(lent: number) {
    const { stored } = this
    this.#turns = new Turns(this.clock, { atOnce: PLACES, lent, stillMs: STILL_MS })
    this.#store = delegate<SnapshotStore>(stored, {
      list: async (...[token, options]: Parameters<SnapshotStore['list']>) => {
        this.listed.push(token)
        await this.beforeList(token, options.signal)
        return stored.list(token, options)
      },
      open: (...args: Parameters<SnapshotStore['open']>) => this.#opened(...args),
    })
    this.#listings = new Listings(this.#store, this.clock)
  }

  async *#opened(...args: Parameters<SnapshotStore['open']>): AsyncGenerator<Uint8Array> {
    const [token, id, { signal }] = args
    this.opened.push(id)
    await this.beforeOpen(token, signal)
    for await (const chunk of this.stored.open(...args)) {
      for (const byte of chunk) {
        if (this.everyMs > 0) await answersAfter(this.clock, this.everyMs, signal)
        yield Uint8Array.of(byte)
      }
    }
  }

  static async start(lent = 0): Promise<Node> {
    const node = new Node(lent)
    for (const adapter of [node.#log, node.stored]) {
      await adapter.start({ cluster: 'test', node: 'a', logger, signal })
      ends.push(() => adapter.stop())
    }
    return node
  }

  /** A log that holds these frames of a token. */
  async log(token: string, kinds: readonly Kind[]): Promise<TokenLog> {
    const log = await this.#log.open(await this.#log.allocate(token, new Set(), { signal }), { token, signal })
    const state = emptyState()
    for (const kind of kinds) {
      const frame = frameOf(token, kind, state)
      admit(state, token, frame)
      await log.append(encodeFrame(frame), { signal })
    }
    return log
  }

  /** A snapshot that has read the log up to an offset. */
  async publish(log: TokenLog, token: string, offset: bigint): Promise<SnapshotMeta> {
    const meta = metaOf({
      id: `${token}-${offset}`,
      token,
      nextIndex: Number(offset),
      anchor: { offset: String(offset), checksum: 1 },
      log: { address: log.address, identity: log.identity },
    })
    const line = Buffer.from(`up to ${offset}\n`)
    await this.stored.create(meta, Readable.from([headerBlock(meta), dataBlock(line, 0), endBlock(1, line.length)]), {
      signal,
    })
    return meta
  }

  /** Begins to restore a copy, whose outcome is noted. */
  restore(token: string, log: TokenLog, { stallTimeoutMs = STALL_MS, end = signal } = {}): void {
    const note = (what: string): unknown => this.outcomes.set(token, { atMs: this.clock.monotonicMs(), what })
    const stillness = new Stillness(this.clock)
    this.stillness.set(token, stillness)
    restoreCopy({
      token,
      incarnation: 1,
      assigned: () => ({ epoch: 1, entries: 0 }),
      log,
      store: this.#store,
      listings: this.#listings,
      newMachine: () => new Ledger(),
      clock: this.clock,
      random: systemSeams().random,
      logger,
      retryMs: { first: 10, longest: 10 },
      patienceMs: 60_000,
      maxBatchBytes: 65_536,
      stallTimeoutMs,
      turns: this.#turns,
      stillness,
      onProgress: quiet,
      onHindered: () => {
        if (!this.hindered.has(token)) this.hindered.set(token, this.clock.monotonicMs())
      },
      signal: end,
    }).then(
      (restored) => note(outcomeOf(restored)),
      (error: Error & { code?: string }) => note(error.code ?? error.message),
    )
  }

  what(token: string): string | undefined {
    return this.outcomes.get(token)?.what
  }

  /** Tokens whose log alone holds nothing that counts: each waits for its snapshots, which the store has. */
  async truncated(token: string): Promise<TokenLog> {
    const log = await this.log(token, ['open', 'barrier', 'data', 'data', 'data', 'data'])
    await this.publish(log, token, 3n)
    await log.truncate(3n, { signal })
    return log
  }

  /** Takes every place by a restore that stands still while it reads its snapshot, until the returned function is called. */
  async occupy(): Promise<() => void> {
    const holders = Array.from({ length: PLACES }, (_, i) => `holder-${i}`)
    let release: () => void = quiet
    const held = new Promise<void>((resolve) => (release = resolve))
    this.beforeOpen = (token) => (holders.includes(token) ? held : Promise.resolve())
    for (const token of holders) this.restore(token, await this.truncated(token))
    await rest()
    expect(this.opened).toHaveLength(PLACES)
    this.opened.length = 0
    this.listed.length = 0
    return release
  }
}

type Kind = 'open' | 'barrier' | 'second barrier' | 'data'

function frameOf(token: string, kind: Kind, state: ReturnType<typeof emptyState>): Frame {
  const common = { token, incarnation: 1, timeMs: 1 }
  const { nextIndex } = state
  if (kind === 'open') return { ...common, kind, deleted: false, address: 'log-0', identity: 'uuid' }
  if (kind === 'barrier') return { ...common, kind, epoch: 1, term: 7n, nextIndex }
  if (kind === 'second barrier') return { ...common, kind: 'barrier', epoch: 2, term: 8n, nextIndex }
  const { epoch, term, nextSeq: firstSeq, chain } = state
  return {
    ...common,
    kind,
    epoch,
    term,
    firstSeq,
    firstIndex: nextIndex,
    count: 0,
    chain,
    body: new Uint8Array(0),
  }
}

function outcomeOf({ snapshot, machine, from }: RestoredCopy<number, Uint8Array>): string {
  if (snapshot === undefined) return `begins at ${from}`
  return `${snapshot.id}: ${(machine as Ledger).lines.join()}`
}

const hang = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))

const named = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`)

test('tokens whose log holds everything begin together, soon, on a store that does not answer', async () => {
  const node = await Node.start()
  node.beforeList = (_, signal) => hang(signal)
  // More than restore at once, and than are listed at once.
  const tokens = named('fresh', 200)
  for (const token of tokens) node.restore(token, await node.log(token, ['open', 'barrier', 'data']))
  await node.clock.advance(1_999)
  expect(node.outcomes.size).toBe(0)
  await node.clock.advance(1)
  expect(tokens.filter((token) => node.what(token) !== 'begins at 0')).toEqual([])
})

test('where what does not move is given up sooner, so is the store', async () => {
  const node = await Node.start()
  node.beforeList = (_, signal) => hang(signal)
  node.restore('fresh', await node.log('fresh', ['open', 'barrier', 'data']), { stallTimeoutMs: 400 })
  await node.clock.advance(400)
  expect(node.what('fresh')).toBe('begins at 0')
})

test('tokens whose snapshots do not answer hold up no restore that needs a place', async () => {
  const node = await Node.start()
  node.beforeList = (token, signal) => (token.startsWith('hangs') ? hang(signal) : Promise.resolve())
  for (const token of named('hangs', 4 * PLACES)) node.restore(token, await node.truncated(token))
  await rest()
  expect(node.listed).toHaveLength(4 * PLACES)
  for (const token of named('other', 2 * PLACES)) node.restore(token, await node.truncated(token))
  await rest()
  for (const token of named('other', 2 * PLACES)) expect(node.what(token)).toBe(`${token}-3: up to 3`)
  expect(node.clock.monotonicMs()).toBe(0)
  // Nor do they when they are listed again and again.
  await node.clock.advance(45_000)
  expect(node.listed.filter((token) => token === 'hangs-0').length).toBeGreaterThan(3)
  node.restore('late', await node.truncated('late'))
  await rest()
  expect(node.what('late')).toBe('late-3: up to 3')
  expect(node.outcomes.size).toBe(2 * PLACES + 1)
})

test('tokens whose snapshots hang while they are read hold up others for a moment only, and so do logs that hang', async () => {
  const node = await Node.start(64)
  node.beforeOpen = (token, signal) => (token.startsWith('hangs') ? hang(signal) : Promise.resolve())
  for (const token of named('hangs', 3 * PLACES)) node.restore(token, await node.truncated(token))
  for (const token of named('silent', PLACES)) {
    const log = await node.truncated(token)
    node.restore(
      token,
      delegate<TokenLog>(log, { range: (...[{ signal }]: Parameters<TokenLog['range']>) => hang(signal) }),
    )
  }
  const others = named('other', 2 * PLACES)
  for (const token of others) node.restore(token, await node.truncated(token))
  await node.clock.advance(3 * STILL_MS)
  expect(node.outcomes.size).toBe(0)
  await node.clock.advance(STILL_MS)
  expect(others.filter((token) => node.what(token) !== `${token}-3: up to 3`)).toEqual([])
})

test('who is slow, and comes on, keeps its place', async () => {
  const node = await Node.start(64)
  node.everyMs = STILL_MS - 1
  for (const token of [...named('slow', PLACES), 'waits']) node.restore(token, await node.truncated(token))
  await node.clock.advance(20 * STILL_MS)
  expect(node.opened).toHaveLength(PLACES)
  expect(node.outcomes.size).toBe(0)
})

test('a restore stands still from its last chunk on, and not while it waits for a place', async () => {
  const node = await Node.start()
  const still = (token: string): number | undefined => node.stillness.get(token)?.ms
  const begin: (() => void)[] = []
  node.beforeOpen = () => new Promise((resolve) => begin.push(resolve))
  const tokens = named('slow', PLACES)
  for (const token of [...tokens, 'waits']) node.restore(token, await node.truncated(token))
  await node.clock.advance(20_000)
  expect(tokens.map(still)).toEqual(Array(PLACES).fill(20_000))
  expect(still('waits')).toBe(0)
  begin[0]?.()
  await rest()
  expect(still('slow-0')).toBe(0)
  await node.clock.advance(1_000)
  expect(still('waits')).toBe(1_000)
})

test('a store that is slow to list is waited for longer each time, and meanwhile nothing is believed', async () => {
  const node = await Node.start()
  node.beforeList = (_, signal) => answersAfter(node.clock, 30_000, signal)
  // The log begins with an open frame, of which only the snapshots tell that it is not the beginning.
  const log = await node.log('slow', ['open', 'second barrier'])
  await node.publish(log, 'slow', 1n)
  node.restore('slow', log)
  await node.clock.advance(59_000)
  expect(node.outcomes.size).toBe(0)
  await node.clock.advance(2_000)
  expect(node.what('slow')).toBe('slow-1: up to 1')
  expect(node.hindered.size).toBe(0)
  // 2, 4, 8 and 16 seconds were too short.
  expect(node.listed).toHaveLength(5)
})

test('a copy whose snapshots can not be listed counts as hindered after its patience, and is restored as soon as they can', async () => {
  const node = await Node.start()
  node.beforeList = (_, signal) => hang(signal)
  node.restore('cut off', await node.truncated('cut off'))
  await node.clock.advance(60_000)
  expect(node.hindered.size).toBe(0)
  await node.clock.advance(60_000)
  expect(node.hindered.get('cut off')).toBeGreaterThanOrEqual(60_000)
  expect(node.outcomes.size).toBe(0)
  node.beforeList = () => Promise.resolve()
  // However long it has been so, no listing is waited for longer than for anything else that stands still.
  await node.clock.advance(STALL_MS)
  expect(node.what('cut off')).toBe('cut off-3: up to 3')
})

test('a restore that has waited for its place takes what is there by then, and not what was listed before', async () => {
  const node = await Node.start()
  const release = await node.occupy()
  const log = await node.truncated('orders')
  node.restore('orders', log)
  await node.clock.advance(30_000)
  expect(node.listed).toEqual(['orders'])
  await node.publish(log, 'orders', 5n)
  await node.stored.delete('orders', 'orders-3', { signal })
  await log.truncate(5n, { signal })
  release()
  await rest()
  expect(node.what('orders')).toBe('orders-5: up to 5')
  expect(node.opened).toEqual(['orders-5'])
})

test('S1, S8: that there were no snapshots before it waited for its place makes no open frame the beginning', async () => {
  const node = await Node.start()
  const release = await node.occupy()
  const log = await node.log('orders', ['open', 'second barrier'])
  node.restore('orders', log)
  await node.clock.advance(30_000)
  await node.publish(log, 'orders', 1n)
  node.beforeOpen = (token, signal) => (token === 'orders' ? hang(signal) : Promise.resolve())
  release()
  await node.clock.advance(1_000)
  expect(node.opened).toEqual(['orders-1'])
  expect(node.outcomes.has('orders')).toBe(false)
})

test('a place that is free, or soon is, is taken without listing again', async () => {
  const node = await Node.start()
  const release = await node.occupy()
  const tokens = named('soon', 100)
  for (const token of tokens) node.restore(token, await node.truncated(token))
  await node.clock.advance(500)
  release()
  await rest()
  expect(tokens.filter((token) => node.what(token) !== `${token}-3: up to 3`)).toEqual([])
  expect(node.listed).toHaveLength(100)
})

test('a store that falls silent while restores wait for a place holds them up once, not one after the other', async () => {
  const node = await Node.start()
  const release = await node.occupy()
  const tokens = named('fresh', 64)
  for (const token of tokens) node.restore(token, await node.log(token, ['open', 'barrier', 'data']))
  await node.clock.advance(30_000)
  expect(node.listed).toHaveLength(64)
  node.beforeList = (_, signal) => hang(signal)
  release()
  await node.clock.advance(1_000)
  expect(tokens.filter((token) => node.what(token) !== 'begins at 0')).toEqual([])
})

test('tokens whose snapshots could not be listed do not ask again in the place that they have waited for', async () => {
  const node = await Node.start()
  const release = await node.occupy()
  node.beforeList = (_, signal) => hang(signal)
  const tokens = named('fresh', 16)
  for (const token of tokens) node.restore(token, await node.log(token, ['open', 'barrier', 'data']))
  await node.clock.advance(30_000)
  release()
  await rest()
  expect(tokens.filter((token) => node.what(token) !== 'begins at 0')).toEqual([])
  expect(node.listed).toHaveLength(16)
})

test('a signal ends a restore wherever it waits, and leaves no place taken', async () => {
  const node = await Node.start()
  const release = await node.occupy()
  const end = new AbortController()
  const tokens = [...named('lists again', PLACES), 'waits for a place', 'lists']
  for (const token of tokens) {
    if (token === 'lists') node.beforeList = (token, signal) => (token === 'stays' ? Promise.resolve() : hang(signal))
    node.restore(token, await node.truncated(token), { end: end.signal })
    await node.clock.advance(token === 'waits for a place' ? 30_000 : 0)
  }
  release()
  await rest()
  end.abort(new Error('the node stops'))
  await rest()
  expect(tokens.filter((token) => node.what(token) !== 'the node stops')).toEqual([])
  expect(node.listed.filter((token) => token.startsWith('lists again'))).toHaveLength(2 * PLACES)
  node.restore('stays', await node.truncated('stays'))
  await rest()
  expect(node.what('stays')).toBe('stays-3: up to 3')
})

/** Answers when so long has passed, unless nobody waits any more. */
function answersAfter(clock: ManualClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.timer(ms, resolve)
    signal.addEventListener('abort', () => {
      timer.cancel()
      reject(signal.reason as Error)
    })
  })
}
